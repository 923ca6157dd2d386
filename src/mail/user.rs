//! Users by the name they log in with, and the passwords they prove it by.

use std::fmt;

/// Octets of a user's name, as in James.
pub const USERNAME_OCTETS: usize = 255;

/// Octets of a password that is looked at: hashing a longer one would cost more than anybody's password is worth.
pub const PASSWORD_OCTETS: usize = 1024;

/// Why a text is no user's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UsernameError {
    /// There is nothing in it.
    #[error("a user's name is empty")]
    Empty,
    /// It is longer than [`USERNAME_OCTETS`].
    #[error("a user's name is longer than 255 octets")]
    TooLong,
    /// It has a character that no name may have: `/`, white space or a control character.
    #[error("a user's name has no `/`, white space or control character")]
    Character,
}

/// A user's name, lower case: a whole address with virtual hosting, a local part without.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Username(Box<str>);

impl Username {
    /// Reads a name in any case.
    pub fn parse(text: &str) -> Result<Username, UsernameError> {
        let name = text.to_lowercase();
        if name.is_empty() {
            Err(UsernameError::Empty)
        } else if name.len() > USERNAME_OCTETS {
            Err(UsernameError::TooLong)
        } else if name.chars().any(|c| c == '/' || c.is_whitespace() || c.is_control()) {
            Err(UsernameError::Character)
        } else {
            Ok(Username(name.into()))
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Username {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A password as it was said. It is never written anywhere, not even for debugging.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(Box<str>);

impl Password {
    /// Out of what somebody said; `None` where it is empty or longer than [`PASSWORD_OCTETS`], which no password is.
    pub fn new(text: impl Into<Box<str>>) -> Option<Password> {
        let text = text.into();
        (1..=PASSWORD_OCTETS).contains(&text.len()).then_some(Password(text))
    }

    /// The password itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(password)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_lower_case_and_bounded() {
        assert_eq!(Username::parse("You@Example.ORG").map(|name| name.to_string()), Ok("you@example.org".into()));
        assert_eq!(Username::parse(""), Err(UsernameError::Empty));
        assert_eq!(Username::parse(&"u".repeat(255)).map(|name| name.as_str().len()), Ok(255));
        assert_eq!(Username::parse(&"u".repeat(256)), Err(UsernameError::TooLong));
        for wrong in ["a/b", "a b", "a\0", "a\u{a0}b"] {
            assert_eq!(Username::parse(wrong), Err(UsernameError::Character), "{wrong:?}");
        }
    }

    #[test]
    fn passwords_are_bounded_and_never_shown() {
        assert_eq!(Password::new(""), None);
        assert_eq!(Password::new("p".repeat(PASSWORD_OCTETS + 1)), None);
        let password = Password::new("open sesame").expect("a password");
        assert_eq!(password.reveal(), "open sesame");
        assert!(!format!("{password:?}").contains("sesame"));
    }
}
