//! What the directory says of a recipient.

use std::sync::Arc;

use crate::mail::{EnhancedStatus, Mailbox, Reply, ReplyCode};

/// What the directory says of a mailbox, after the rewrite table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is a user's.
    User,
    /// Its domain is one of ours, but nobody there is called so.
    UnknownUser,
    /// Its domain is not one of ours.
    OtherDomain,
    /// Its mail goes elsewhere.
    Rewritten(Rewriting),
    /// The rewrite table refuses it with this reply (an `error:` mapping), or has too many mappings for it.
    Refused(Arc<Reply>),
}

/// Where the mail for a mailbox goes instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewriting {
    /// To these: at least one, none twice.
    pub targets: Arc<[Target]>,
    /// Whether it would be valid without the rewrite table too: there is a user of this name.
    pub is_user: bool,
}

/// Where rewritten mail goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The address.
    pub mailbox: Mailbox,
    /// Whose it is.
    pub place: Place,
}

/// Whose a target is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A user's here.
    User,
    /// Nobody's, of a domain of ours.
    Nobody,
    /// Of another domain.
    OtherDomain,
}

/// What a mapping `error:text` refuses with: `text` may begin with a code of three digits (4yz or 5yz, but 421 does not close
/// anything here and is none) and after it an enhanced status of the same class; else it is 550 5.1.1.
pub fn refusal_of(text: &str) -> Reply {
    let (code, rest) = take_word(text.trim_start(), reply_code);
    let code = code.unwrap_or(ReplyCode::UNAVAILABLE);
    let (status, rest) = take_word(rest, |word| enhanced_status(word, code));
    let text = if rest.trim().is_empty() { "Requested action not taken: mailbox unavailable" } else { rest.trim() };
    Reply::new(code, status.unwrap_or(EnhancedStatus::new(1, 1)), text.to_owned())
}

/// The first word, if it can be read, and what follows it; else everything.
fn take_word<T>(text: &str, read: impl FnOnce(&str) -> Option<T>) -> (Option<T>, &str) {
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    match read(word) {
        Some(value) => (Some(value), rest.trim_start()),
        None => (None, text),
    }
}

fn reply_code(word: &str) -> Option<ReplyCode> {
    let is_number = word.len() == 3 && word.bytes().all(|octet| octet.is_ascii_digit());
    let code = is_number.then(|| word.parse().ok()).flatten().and_then(ReplyCode::new)?;
    (code.refuses() && code != ReplyCode::NOT_AVAILABLE).then_some(code)
}

fn enhanced_status(word: &str, code: ReplyCode) -> Option<EnhancedStatus> {
    let mut numbers = word.split('.').map(|number| number.parse::<u16>().ok().filter(|number| *number < 1000));
    let (class, subject, detail) = (numbers.next()??, numbers.next()??, numbers.next()??);
    (class == code.class() && subject < 8 && numbers.next().is_none()).then_some(EnhancedStatus::new(subject, detail))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn refusals_say_what_the_mapping_says() {
        for (text, reply) in [
            ("551 5.1.6 Gone to example.org", "551 5.1.6 Gone to example.org"),
            ("450 later", "450 4.1.1 later"),
            ("554", "554 5.1.1 Requested action not taken: mailbox unavailable"),
            ("No such user", "550 5.1.1 No such user"),
            ("550 4.1.6 mixed", "550 5.1.1 4.1.6 mixed"),
            ("421 closing", "550 5.1.1 421 closing"),
            ("250 2.0.0 fine", "550 5.1.1 250 2.0.0 fine"),
            ("", "550 5.1.1 Requested action not taken: mailbox unavailable"),
            ("two\r\nlines", "550 5.1.1 two??lines"),
        ] {
            assert_eq!(refusal_of(text).to_string(), reply, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_refusal_refuses(text in ".{0,600}|[0-9. ]{0,20}") {
            prop_assert!(refusal_of(&text).code().refuses());
        }
    }
}
