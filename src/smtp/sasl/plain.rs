//! PLAIN (RFC 4616).

use super::{Malformed, Move};

/// Reads `authzid NUL authcid NUL password`. As James does, two habits of old clients are let pass: no
/// authzid and no NUL for it, and a NUL at the end.
fn parts_of(message: &[u8]) -> Result<(&str, &str, &str), Malformed> {
    let text = std::str::from_utf8(message).map_err(|_| Malformed)?;
    let parts: Vec<&str> = text.splitn(5, '\0').collect();
    match parts.as_slice() {
        [user, password] => Ok(("", user, password)),
        [for_whom, user, password] | [for_whom, user, password, ""] => Ok((for_whom, user, password)),
        _ => Err(Malformed),
    }
}

/// What the client wants to be believed.
pub fn attempt(message: &[u8]) -> Result<Move, Malformed> {
    let (act_for, name, password) = parts_of(message)?;
    super::attempt(name, act_for, password)
}

#[cfg(test)]
mod tests {
    use super::super::Claim;
    use super::*;
    use crate::mail::Password;

    fn password(name: &str, act_for: Option<&str>, password: &str) -> Result<Move, Malformed> {
        let claim = Claim { name: name.into(), act_for: act_for.map(Into::into) };
        Ok(Move::Password(claim, Password::new(password).expect("a password")))
    }

    /// RFC 4616 §4.
    #[test]
    fn the_examples_of_the_rfc() {
        assert_eq!(attempt(b"\0tim\0tanstaaftanstaaf"), password("tim", None, "tanstaaftanstaaf"));
        assert_eq!(attempt(b"Ursel\0Kurt\0xipj3plmq"), password("Kurt", Some("Ursel"), "xipj3plmq"));
    }

    #[test]
    fn habits_of_old_clients_are_let_pass() {
        assert_eq!(attempt(b"you\0secret"), password("you", None, "secret"));
        assert_eq!(attempt(b"\0you\0secret\0"), password("you", None, "secret"));
        assert_eq!(attempt("\0josé@b\0pässword".as_bytes()), password("josé@b", None, "pässword"));
    }

    #[test]
    fn what_is_no_message_is_malformed() {
        for wrong in [
            &b""[..],
            b"you",
            b"\0\0secret",
            b"\0you\0sec\0ret",
            b"\0you\0secret\0\0",
            b"\0you\0\xff",
            b"a\0b\0c\0d\0e\0f",
        ] {
            assert_eq!(attempt(wrong), Err(Malformed), "{wrong:?}");
        }
    }

    #[test]
    fn what_can_be_no_name_or_no_password_proves_nothing() {
        assert_eq!(attempt(b"\0you\0"), Ok(Move::Disproved { name: "you".into() }));
        let long = [&b"\0you\0"[..], &[b'x'; 2000]].concat();
        assert_eq!(attempt(&long), Ok(Move::Disproved { name: "you".into() }));
        let long = [&b"\0"[..], &[b'x'; 256], b"\0secret"].concat();
        assert!(matches!(attempt(&long), Ok(Move::Disproved { .. })));
    }
}
