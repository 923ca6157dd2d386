//! Regular expressions of the configuration, bounded: their size when they are read, linear time when they are used.

use std::fmt;

use regex::{Regex, RegexBuilder};

/// Characters of an expression.
pub const PATTERN_MAX: usize = 1000;
/// Octets an expression may take once it is read.
const COMPILED_MAX: usize = 1 << 20;

/// A regular expression that must match the whole text, as James' `matches` does.
#[derive(Clone)]
pub struct Pattern {
    text: Box<str>,
    regex: Regex,
}

impl Pattern {
    /// Reads one.
    ///
    /// # Errors
    ///
    /// Says why the text is none. What takes more than linear time in Java (looking around, references back) is none.
    pub fn new(text: &str) -> Result<Pattern, String> {
        if text.chars().count() > PATTERN_MAX {
            return Err(format!("a regular expression of at most {PATTERN_MAX} characters"));
        }
        let build = |text: &str| RegexBuilder::new(text).size_limit(COMPILED_MAX).dfa_size_limit(COMPILED_MAX).build();
        // Read alone first, so that no bracket of it can close the ones put round it.
        let read = build(text).and_then(|_| build(&format!(r"\A(?s-xim:(?-s:{text}))\z")));
        let why = |error: regex::Error| {
            let why = error.to_string();
            let last = why.lines().last().unwrap_or_default();
            format!("a regular expression ({})", last.trim_start_matches("error: "))
        };
        read.map(|regex| Pattern { text: text.into(), regex }).map_err(why)
    }

    /// Whether the whole text matches.
    pub fn matches(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Pattern) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}/", self.text)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_text_must_match() {
        let pattern = Pattern::new("(?i)a|b.*").expect("it is one");
        assert!(pattern.matches("A") && pattern.matches("bcd") && !pattern.matches("ab"));
        assert!(!pattern.matches("b\nc"));
    }

    #[test]
    fn what_is_none_says_why() {
        for wrong in ["(", "a)|(b", r"(?=a)", r"(a)\1", &"a".repeat(1001), "(a{1000}){1000}"] {
            assert!(Pattern::new(wrong).expect_err(wrong).starts_with("a regular expression"), "{wrong}");
        }
    }
}
