//! `StripAttachment`: parts with a file name go.

use super::super::header::split;
use super::super::mime::{DEPTH_MAX, Part, multipart};
use super::BodyError;

/// What comes out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stripped {
    /// The message; `None` where nothing was taken out.
    pub content: Option<Vec<u8>>,
    /// The names of the parts that were taken out.
    pub names: Vec<String>,
}

/// The message without the parts whose file name `goes` says yes to.
///
/// # Errors
///
/// [`BodyError::TooDeep`].
pub fn strip(content: &[u8], goes: impl Fn(&str) -> bool) -> Result<Stripped, BodyError> {
    let mut names = Vec::new();
    let stripped = entity(content, &goes, 0, &mut names)?;
    Ok(Stripped { content: (!names.is_empty()).then_some(stripped), names })
}

fn entity(
    content: &[u8],
    goes: &impl Fn(&str) -> bool,
    depth: usize,
    names: &mut Vec<String>,
) -> Result<Vec<u8>, BodyError> {
    let (header, body) = split(content);
    let Some(inside) = multipart(header, body) else { return Ok(content.to_vec()) };
    if depth > DEPTH_MAX {
        return Err(BodyError::TooDeep);
    }
    let mut out = content[..content.len() - body.len()].to_vec();
    let Some(first) = inside.parts.first() else { return Ok(content.to_vec()) };
    out.extend_from_slice(&body[..first.line]);
    let mut left = 0;
    for (place, part) in inside.parts.iter().enumerate() {
        let (header, inner) = split(&body[part.from..part.to]);
        let name = Part { header, body: inner }.file_name().filter(|name| goes(name));
        if let Some(name) = name {
            names.push(name);
            continue;
        }
        left += 1;
        let next = inside.parts.get(place + 1).map_or(inside.close, |next| next.line);
        out.extend_from_slice(&body[part.line..part.from]);
        out.extend(entity(&body[part.from..part.to], goes, depth + 1, names)?);
        out.extend_from_slice(&body[part.to..next]);
    }
    if left == 0 {
        // A multipart has one part at least (RFC 2046 §5.1.1).
        out.extend_from_slice(&body[first.line..first.from]);
        out.extend_from_slice(b"Content-Type: text/plain\r\n\r\nWhat was attached here was removed.\r\n");
    }
    out.extend_from_slice(&body[inside.close..]);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::super::super::mime::parts;
    use super::*;
    use proptest::prelude::*;

    const MIXED: &[u8] = b"Content-Type: multipart/mixed; boundary=b\r\n\r\npreamble\r\n--b\r\n\r\ntext\r\n--b\r\n\
        Content-Disposition: attachment; filename=a.exe\r\n\r\nx\r\n--b\r\nContent-Type: image/png; name=a.png\r\n\r\ny\r\n--b--\r\nepilogue\r\n";

    #[test]
    fn parts_go_by_their_names() {
        let stripped = strip(MIXED, |name| name.ends_with(".exe")).expect("it can be done");
        assert_eq!(stripped.names, ["a.exe"]);
        let expected = "Content-Type: multipart/mixed; boundary=b\r\n\r\npreamble\r\n--b\r\n\r\ntext\r\n--b\r\n\
            Content-Type: image/png; name=a.png\r\n\r\ny\r\n--b--\r\nepilogue\r\n";
        assert_eq!(String::from_utf8_lossy(&stripped.content.expect("something went")), expected);
    }

    #[test]
    fn nothing_changes_where_nothing_goes_and_one_part_is_left_where_all_go() {
        assert_eq!(strip(MIXED, |_| false).expect("it can be done").content, None);
        let only = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Disposition: x; filename=a\r\n\r\n--b--\r\n";
        let stripped = strip(only, |_| true).expect("it can be done").content.expect("something went");
        assert_eq!(parts(&stripped).len(), 2);
    }

    proptest! {
        #[test]
        fn no_name_that_goes_is_left(lines in prop::collection::vec(
            "(--b|--b|--b--|--c|Content-Type: multipart/x; boundary=[bc]|Content-Disposition: x; filename=a|)", 0..25))
        {
            let content = format!("Content-Type: multipart/x; boundary=b\r\n\r\n{}", lines.join("\r\n"));
            let stripped = strip(content.as_bytes(), |_| true).expect("it is not deep");
            let left = stripped.content.unwrap_or_else(|| content.clone().into_bytes());
            prop_assert!(strip(&left, |_| true).expect("it is not deep").names.is_empty());
        }
    }
}
