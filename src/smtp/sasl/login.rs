//! LOGIN (draft-murchison-sasl-login): two prompts that clients compare with what they know, so they are never others.

use super::{Malformed, Move, attempt};

const USERNAME: &[u8] = b"Username:";
const PASSWORD: &[u8] = b"Password:";

/// An exchange.
#[derive(Debug, Default)]
pub struct Login {
    name: Option<Box<str>>,
}

impl Login {
    /// Asks for the name.
    pub fn begin(&self) -> Move {
        Move::Challenge(USERNAME.to_vec())
    }

    /// The name, once it was said.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Takes the name, then the password.
    pub fn respond(&mut self, response: &[u8]) -> Result<Move, Malformed> {
        // Some clients send a NUL at the end.
        let text = std::str::from_utf8(response).map_err(|_| Malformed)?;
        let text = text.strip_suffix('\0').unwrap_or(text);
        if text.contains('\0') {
            return Err(Malformed);
        }
        match self.name.take() {
            Some(name) => attempt(&name, "", text),
            None if text.is_empty() => Err(Malformed),
            None => {
                self.name = Some(text.into());
                Ok(Move::Challenge(PASSWORD.to_vec()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Claim;
    use super::super::base64::encode;
    use super::*;
    use crate::mail::Password;

    fn challenge(step: Result<Move, Malformed>) -> String {
        match step {
            Ok(Move::Challenge(octets)) => encode(&octets),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_name_then_a_password() {
        let mut login = Login::default();
        assert_eq!(challenge(Ok(login.begin())), "VXNlcm5hbWU6");
        assert_eq!(challenge(login.respond(b"You@localhost")), "UGFzc3dvcmQ6");
        let claim = Claim { name: "You@localhost".into(), act_for: None };
        assert_eq!(login.respond(b"secret\0"), Ok(Move::Password(claim, Password::new("secret").unwrap())));
    }

    #[test]
    fn what_is_none() {
        assert_eq!(Login::default().respond(b""), Err(Malformed));
        assert_eq!(Login::default().respond(b"a\0b"), Err(Malformed));
        assert_eq!(Login::default().respond(b"\xff"), Err(Malformed));
        let mut login = Login::default();
        let _ = login.respond(b"you");
        assert_eq!(login.respond(b""), Ok(Move::Disproved { name: "you".into() }));
    }
}
