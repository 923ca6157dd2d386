//! The parameters of MAIL and RCPT (RFC 5321 §4.1.2).

/// `KEYWORD` or `KEYWORD=value`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameter<'a> {
    /// The keyword as it was written; it has no case.
    pub keyword: &'a str,
    /// What stood after the `=`, if there was one; never empty.
    pub value: Option<&'a str>,
}

/// The text is no parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// The parameters in `text`, parted by spaces.
pub fn parameters(text: &str) -> impl Iterator<Item = Result<Parameter<'_>, Malformed>> {
    text.split(' ').filter(|word| !word.is_empty()).map(parameter)
}

fn parameter(word: &str) -> Result<Parameter<'_>, Malformed> {
    let (keyword, value) = word.split_once('=').map_or((word, None), |(keyword, value)| (keyword, Some(value)));
    let starts = keyword.starts_with(|c: char| c.is_ascii_alphanumeric());
    let is_keyword = starts && keyword.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if is_keyword && value != Some("") { Ok(Parameter { keyword, value }) } else { Err(Malformed) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read() {
        let found: Vec<_> = parameters("  SIZE=10 SMTPUTF8  X-Y=a=b ").collect();
        let parameter = |keyword, value| Ok(Parameter { keyword, value });
        assert_eq!(found, [parameter("SIZE", Some("10")), parameter("SMTPUTF8", None), parameter("X-Y", Some("a=b"))]);
        assert_eq!(parameters("   ").count(), 0);
        for bad in ["=1", "SIZE=", "-A=1", "A_B", "É", "<a@b>"] {
            assert_eq!(parameters(bad).next(), Some(Err(Malformed)), "{bad}");
        }
    }
}
