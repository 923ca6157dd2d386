//! What a sender asks for with the parameters of MAIL and RCPT beside the addresses: what it wants to hear (RFC 3461), and by
//! when (RFC 2852).

use std::borrow::Cow;
use std::fmt;

/// Octets of ENVID, in xtext (RFC 3461 §4.4).
pub const ENVELOPE_ID_OCTETS: usize = 100;

/// Octets of ORCPT, in xtext (RFC 3461 §4.2).
pub const ORIGINAL_OCTETS: usize = 500;

/// When a sender wants to hear of a recipient (RFC 3461 §4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notify {
    /// Of success.
    pub success: bool,
    /// Of failure.
    pub failure: bool,
    /// Of delay.
    pub delay: bool,
}

impl Default for Notify {
    /// As where NOTIFY is not given: of failure, and of delay as local policy has it.
    fn default() -> Notify {
        Notify { success: false, failure: true, delay: true }
    }
}

impl Notify {
    /// `NOTIFY=NEVER`.
    pub const NEVER: Notify = Notify { success: false, failure: false, delay: false };

    /// Reads the value of NOTIFY: `NEVER` by itself, or a list of the others. A word that is there twice says nothing new.
    pub fn parse(value: &str) -> Option<Notify> {
        if value.eq_ignore_ascii_case("NEVER") {
            return Some(Notify::NEVER);
        }
        let mut notify = Notify::NEVER;
        for word in value.split(',') {
            let is = |name: &str| word.eq_ignore_ascii_case(name);
            match () {
                () if is("SUCCESS") => notify.success = true,
                () if is("FAILURE") => notify.failure = true,
                () if is("DELAY") => notify.delay = true,
                () => return None,
            }
        }
        Some(notify)
    }
}

impl fmt::Display for Notify {
    /// As the value of NOTIFY.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = [(self.success, "SUCCESS"), (self.failure, "FAILURE"), (self.delay, "DELAY")];
        let mut wanted = words.iter().filter(|(wanted, _)| *wanted).map(|(_, word)| *word);
        f.write_str(wanted.next().unwrap_or("NEVER"))?;
        wanted.try_for_each(|word| write!(f, ",{word}"))
    }
}

/// How much of a mail a report of failure gives back (RFC 3461 §4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ret {
    /// `RET=FULL`.
    Full,
    /// `RET=HDRS`.
    Headers,
}

impl Ret {
    /// Reads the value of RET.
    pub fn parse(value: &str) -> Option<Ret> {
        [Ret::Full, Ret::Headers].into_iter().find(|ret| value.eq_ignore_ascii_case(ret.as_str()))
    }

    /// The value of RET.
    pub fn as_str(self) -> &'static str {
        match self {
            Ret::Full => "FULL",
            Ret::Headers => "HDRS",
        }
    }
}

/// What MAIL says of reports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dsn {
    /// ENVID as it was given, in xtext.
    pub envelope_id: Option<Box<str>>,
    /// RET.
    pub ret: Option<Ret>,
}

/// What RCPT says beside the address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecipientNote {
    /// NOTIFY.
    pub notify: Option<Notify>,
    /// ORCPT as it was given: a type of address, `;`, and the address in xtext.
    pub original: Option<Box<str>>,
}

impl RecipientNote {
    /// Nothing is said.
    pub fn is_empty(&self) -> bool {
        self.notify.is_none() && self.original.is_none()
    }
}

/// By when a mail is to be delivered (RFC 2852).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeliverBy {
    /// Microseconds since the Unix epoch. May be past: with [`ByMode::Notify`] that is no error.
    pub deadline: u64,
    /// What happens then.
    pub mode: ByMode,
    /// Whether the sender wants to hear of each host that it is handed to (`T`).
    pub trace: bool,
}

/// What becomes of a mail that was not delivered in time (RFC 2852 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByMode {
    /// `R`: it is given up and reported as failed.
    Return,
    /// `N`: it is reported as delayed, and tried further.
    Notify,
}

/// What `xtext` stands for (RFC 3461 §4): printable ASCII in which `+41` is an `A`.
pub fn xtext(text: &str) -> Option<String> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    let digit = |octet: u8| match octet {
        b'0'..=b'9' => Some(octet - b'0'),
        b'A'..=b'F' => Some(octet - b'A' + 10),
        _ => None,
    };
    while let Some(octet) = rest.next() {
        octets.push(match octet {
            b'+' => digit(rest.next()?)? << 4 | digit(rest.next()?)?,
            b'=' => return None,
            plain if plain.is_ascii_graphic() => plain,
            _ => return None,
        });
    }
    String::from_utf8(octets).ok()
}

/// The text for people to read that xtext stands for; what is no xtext stands for itself.
pub fn readable(text: &str) -> Cow<'_, str> {
    match text.contains('+') {
        true => xtext(text).map_or(Cow::Borrowed(text), Cow::Owned),
        false => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn notify_is_never_or_a_list() {
        let of = |text| Notify::parse(text).map(|notify| notify.to_string());
        for (text, expected) in [
            ("never", Some("NEVER")),
            ("SUCCESS", Some("SUCCESS")),
            ("delay,Failure", Some("FAILURE,DELAY")),
            ("SUCCESS,SUCCESS", Some("SUCCESS")),
            ("NEVER,SUCCESS", None),
            ("SUCCESS,", None),
            ("", None),
            ("SUCCESS, DELAY", None),
        ] {
            assert_eq!(of(text).as_deref(), expected, "{text}");
        }
        assert_eq!(Notify::default().to_string(), "FAILURE,DELAY");
    }

    #[test]
    fn ret_is_one_of_two_words() {
        assert_eq!((Ret::parse("full"), Ret::parse("HDRS")), (Some(Ret::Full), Some(Ret::Headers)));
        assert_eq!((Ret::parse("BODY"), Ret::parse("")), (None, None));
    }

    #[test]
    fn xtext_is_read_and_shown() {
        assert_eq!(xtext("e+3Dmc2+2B@example.com").as_deref(), Some("e=mc2+@example.com"));
        assert_eq!(xtext("<>").as_deref(), Some("<>"));
        assert_eq!(xtext("jos+C3+A9").as_deref(), Some("josé"));
        for bad in ["+", "+4", "+4g", "+3d", "a=b", "a b", "+FF", "é"] {
            assert_eq!(xtext(bad), None, "{bad}");
        }
        assert_eq!((&*readable("a+2Bb"), &*readable("a+b"), &*readable("a=b")), ("a+b", "a+b", "a=b"));
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_harm(text in ".{0,60}|[A-F0-9+=a-z]{0,60}") {
            let decoded = xtext(&text);
            prop_assert!(decoded.is_none_or(|decoded| decoded.len() <= text.len()));
            let _ = (Notify::parse(&text), Ret::parse(&text), readable(&text));
        }
    }
}
