//! Statuses of a delivery (RFC 3463), as reports tell them.

use std::fmt;

/// An enhanced status code with its class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// 2 done, 4 not yet, 5 never.
    pub class: u8,
    /// What it is about.
    pub subject: u16,
    /// What about it.
    pub detail: u16,
}

impl Status {
    /// Undefined, of that class.
    pub const fn undefined(class: u8) -> Status {
        Status { class, subject: 0, detail: 0 }
    }

    /// Reads `5.1.1`.
    pub fn parse(text: &str) -> Option<Status> {
        let mut numbers = text.split('.').map(|digits| match digits.len() <= 3 && !digits.is_empty() {
            true if digits.bytes().all(|octet| octet.is_ascii_digit()) => digits.parse::<u16>().ok(),
            _ => None,
        });
        let (class, subject, detail) = (numbers.next()??, numbers.next()??, numbers.next()??);
        let rest = numbers.next();
        (rest.is_none() && [2, 4, 5].contains(&class)).then_some(Status { class: class as u8, subject, detail })
    }

    /// What a text tells of a recipient of whom that has become: a reply, or one that begins with a status. What is given up
    /// after it was put off keeps what was said last, but that it is for good.
    pub fn of_text(text: &str, class: u8) -> Status {
        Status { class, ..Status::of_reply(text).unwrap_or(Status::undefined(class)) }
    }

    /// What a reply such as `550 5.1.1 No such user` says of a delivery; by its code alone where it has no enhanced one.
    pub fn of_reply(text: &str) -> Option<Status> {
        let mut words = text.split([' ', '-']).filter(|word| !word.is_empty());
        let first = words.next()?;
        if let Some(status) = Status::parse(first) {
            return Some(status);
        }
        let code: u16 = first.parse().ok().filter(|code| (200..600).contains(code))?;
        let class = (code / 100) as u8;
        let own = words.next().and_then(Status::parse).filter(|status| status.class == class);
        let (subject, detail) = match code {
            450 | 550 => (2, 0),
            452 | 552 => (2, 2),
            551 => (1, 6),
            553 => (1, 3),
            421 => (4, 2),
            500..=504 => (5, 0),
            _ => (0, 0),
        };
        own.or([2, 4, 5].contains(&class).then_some(Status { class, subject, detail }))
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.class, self.subject, self.detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_tell_their_status() {
        let of = |text| Status::of_reply(text).map(|status| status.to_string());
        for (text, status) in [
            ("550 5.1.1 No such user", Some("5.1.1")),
            ("550-5.1.1 No such user", Some("5.1.1")),
            ("550 no such user", Some("5.2.0")),
            ("451 5.1.1 contradicts itself", Some("4.0.0")),
            ("5.4.4 no host", Some("5.4.4")),
            ("354 go on", None),
            ("it broke", None),
            ("", None),
        ] {
            assert_eq!(of(text).as_deref(), status, "{text}");
        }
        assert_eq!(Status::parse("5.1.1.1"), None);
        assert_eq!(Status::parse("5.1.1000"), None);
    }
}
