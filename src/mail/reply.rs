//! Replies (RFC 5321 §4.2) and enhanced status codes (RFC 3463, RFC 2034).

use std::borrow::Cow;
use std::fmt;

use super::octets::{append_number, is_printable};

/// Octets of a reply line with its CR LF (RFC 5321 §4.5.3.1.5).
const LINE_OCTETS: usize = 512;

/// The three digits a reply begins with: 200 to 599.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReplyCode(u16);

impl ReplyCode {
    /// Service ready.
    pub const READY: ReplyCode = ReplyCode(220);
    /// Service closing transmission channel.
    pub const CLOSING: ReplyCode = ReplyCode(221);
    /// Authentication succeeded (RFC 4954 §6).
    pub const AUTHENTICATED: ReplyCode = ReplyCode(235);
    /// Requested mail action okay, completed.
    pub const OK: ReplyCode = ReplyCode(250);
    /// Cannot VRFY user, but will accept message and attempt delivery.
    pub const CANNOT_VERIFY: ReplyCode = ReplyCode(252);
    /// Continue the exchange (RFC 4954 §4).
    pub const CONTINUE: ReplyCode = ReplyCode(334);
    /// Start mail input.
    pub const START_MAIL_INPUT: ReplyCode = ReplyCode(354);
    /// Service not available, closing transmission channel.
    pub const NOT_AVAILABLE: ReplyCode = ReplyCode(421);
    /// Requested action aborted: local error in processing.
    pub const LOCAL_ERROR: ReplyCode = ReplyCode(451);
    /// Requested action not taken: insufficient system storage.
    pub const INSUFFICIENT_STORAGE: ReplyCode = ReplyCode(452);
    /// Temporary authentication failure (RFC 4954 §6).
    pub const AUTHENTICATION_LATER: ReplyCode = ReplyCode(454);
    /// Syntax error, command unrecognized.
    pub const UNRECOGNIZED: ReplyCode = ReplyCode(500);
    /// Syntax error in parameters or arguments.
    pub const BAD_ARGUMENTS: ReplyCode = ReplyCode(501);
    /// Command not implemented.
    pub const NOT_IMPLEMENTED: ReplyCode = ReplyCode(502);
    /// Bad sequence of commands.
    pub const BAD_SEQUENCE: ReplyCode = ReplyCode(503);
    /// Command parameter not implemented.
    pub const PARAMETER_NOT_IMPLEMENTED: ReplyCode = ReplyCode(504);
    /// Authentication required (RFC 4954 §6).
    pub const AUTHENTICATION_REQUIRED: ReplyCode = ReplyCode(530);
    /// Authentication credentials invalid (RFC 4954 §6).
    pub const AUTHENTICATION_FAILED: ReplyCode = ReplyCode(535);
    /// Encryption required for requested authentication mechanism.
    pub const ENCRYPTION_REQUIRED: ReplyCode = ReplyCode(538);
    /// Requested action not taken: mailbox unavailable, or refused for policy reasons.
    pub const UNAVAILABLE: ReplyCode = ReplyCode(550);
    /// Requested mail action aborted: exceeded storage allocation.
    pub const STORAGE_EXCEEDED: ReplyCode = ReplyCode(552);
    /// Requested action not taken: mailbox name not allowed.
    pub const NAME_NOT_ALLOWED: ReplyCode = ReplyCode(553);
    /// Transaction failed.
    pub const FAILED: ReplyCode = ReplyCode(554);
    /// MAIL FROM or RCPT TO parameters not recognized or not implemented.
    pub const UNKNOWN_PARAMETER: ReplyCode = ReplyCode(555);

    /// The code of that number; `None` unless it is 200 to 599.
    pub const fn new(number: u16) -> Option<ReplyCode> {
        if number >= 200 && number <= 599 { Some(ReplyCode(number)) } else { None }
    }

    /// The number.
    pub const fn number(self) -> u16 {
        self.0
    }

    /// The first digit: 2 done, 3 go on, 4 refused for now, 5 refused.
    pub const fn class(self) -> u16 {
        self.0 / 100
    }

    /// Whether it says no: for now (4yz) or for ever (5yz).
    pub const fn refuses(self) -> bool {
        self.class() >= 4
    }
}

impl fmt::Display for ReplyCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The second and third number of an enhanced status code (RFC 3463 §2). The first is the class of the reply code it is
/// written after, so that the two cannot contradict each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EnhancedStatus {
    /// The part of mail that the status is about, 0 to 7 (RFC 3463 §3).
    pub subject: u16,
    /// What about it.
    pub detail: u16,
}

impl EnhancedStatus {
    /// The status `x.subject.detail`.
    pub const fn new(subject: u16, detail: u16) -> EnhancedStatus {
        EnhancedStatus { subject, detail }
    }
}

/// A reply of one line or more. Nothing its text holds can end a line early or pass for another reply: what is no
/// printable ASCII is written as `?`, and a line that would be longer than 512 octets is cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    code: ReplyCode,
    status: Option<EnhancedStatus>,
    /// Lines are parted by LF, which no line has in it.
    text: Cow<'static, str>,
}

/// The text without an LF that would part it.
fn one_line(text: Cow<'static, str>) -> Cow<'static, str> {
    if text.contains('\n') { text.replace('\n', "?").into() } else { text }
}

impl Reply {
    /// A reply of one line with an enhanced status code.
    pub fn new(code: ReplyCode, status: EnhancedStatus, text: impl Into<Cow<'static, str>>) -> Reply {
        Reply { code, status: Some(status), text: one_line(text.into()) }
    }

    /// A reply of one line without an enhanced status code, as a banner and the reply to DATA are (RFC 2034 §3).
    pub fn plain(code: ReplyCode, text: impl Into<Cow<'static, str>>) -> Reply {
        Reply { code, status: None, text: one_line(text.into()) }
    }

    /// A reply of many lines (RFC 5321 §4.2.1). Without any it has one that is empty.
    pub fn lines<T: Into<Cow<'static, str>>>(
        code: ReplyCode,
        status: Option<EnhancedStatus>,
        lines: impl IntoIterator<Item = T>,
    ) -> Reply {
        let lines: Vec<_> = lines.into_iter().map(|line| one_line(line.into())).collect();
        Reply { code, status, text: lines.join("\n").into() }
    }

    /// The reply code.
    pub fn code(&self) -> ReplyCode {
        self.code
    }

    /// The enhanced status; its class is that of the code.
    pub fn status(&self) -> Option<EnhancedStatus> {
        self.status
    }

    /// The text, lines parted by LF.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Writes the reply with the CR LF of its last line to the end of `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut lines = self.text.split('\n').peekable();
        while let Some(line) = lines.next() {
            self.write_line(line, lines.peek().is_some(), out);
        }
    }

    fn write_line(&self, text: &str, more: bool, out: &mut Vec<u8>) {
        write_line(self.code, self.status, more, out, |out| out.extend_from_slice(text.as_bytes()));
    }

    /// Writes the reply of one line that [`Reply::new`] would make, without making it: for what is replied to every message.
    pub fn write_new(code: ReplyCode, status: EnhancedStatus, out: &mut Vec<u8>, text: impl FnOnce(&mut Vec<u8>)) {
        write_line(code, Some(status), false, out, text);
    }
}

fn write_line(
    code: ReplyCode,
    status: Option<EnhancedStatus>,
    more: bool,
    out: &mut Vec<u8>,
    text: impl FnOnce(&mut Vec<u8>),
) {
    let end = out.len() + LINE_OCTETS - "\r\n".len();
    let digits = [code.number() / 100, code.number() / 10, code.number()].map(|digit| b'0' + (digit % 10) as u8);
    let [first, second, third] = digits;
    out.extend_from_slice(&[first, second, third, if more { b'-' } else { b' ' }]);
    // 3yz has no class among enhanced status codes (RFC 3463 §2).
    if let (Some(EnhancedStatus { subject, detail }), 2 | 4 | 5) = (status, code.class()) {
        for (number, behind) in [(code.class(), b'.'), (subject, b'.'), (detail, b' ')] {
            append_number(number.into(), out);
            out.push(behind);
        }
    }
    let start = out.len();
    text(out);
    make_plain(out, start);
    out.truncate(end);
    out.extend_from_slice(b"\r\n");
}

/// Shows what is no printable ASCII behind `start` as `?`, a character at a time.
fn make_plain(out: &mut Vec<u8>, start: usize) {
    if out.get(start..).is_none_or(is_printable) {
        return;
    }
    let text = out.split_off(start);
    let shown = |c: char| if c == ' ' || c.is_ascii_graphic() { c as u8 } else { b'?' };
    out.extend(String::from_utf8_lossy(&text).chars().map(shown));
}

impl fmt::Display for Reply {
    /// Writes it as it goes on the wire, but for the last CR LF.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut octets = Vec::new();
        self.write(&mut octets);
        f.write_str(String::from_utf8_lossy(&octets).trim_end_matches("\r\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_class_comes_from_the_code() {
        let status = EnhancedStatus::new(1, 1);
        let text = |code| Reply::new(code, status, "text").to_string();
        assert_eq!(text(ReplyCode::UNAVAILABLE), "550 5.1.1 text");
        assert_eq!(text(ReplyCode::OK), "250 2.1.1 text");
        assert_eq!(text(ReplyCode::START_MAIL_INPUT), "354 text");
        assert_eq!(Reply::plain(ReplyCode::READY, "text").to_string(), "220 text");
        assert_eq!((ReplyCode::new(199), ReplyCode::new(600)), (None, None));
    }

    #[test]
    fn every_line_but_the_last_says_that_more_follows() {
        let reply = Reply::lines(ReplyCode::OK, Some(EnhancedStatus::new(0, 0)), ["a", "b\n250 x", "c"]);
        assert_eq!(reply.to_string(), "250-2.0.0 a\r\n250-2.0.0 b?250 x\r\n250 2.0.0 c");
        assert_eq!(Reply::lines(ReplyCode::OK, None, [""; 0]).to_string(), "250 ");
    }

    #[test]
    fn nothing_but_printable_ascii_is_written() {
        let reply = Reply::plain(ReplyCode::OK, "a\r\nb\0c\u{7f}d\u{e9}e\tf");
        assert_eq!(reply.to_string(), "250 a??b?c?d?e?f");
        let long = Reply::plain(ReplyCode::OK, "é".repeat(1000));
        let mut out = b"before".to_vec();
        long.write(&mut out);
        assert_eq!(out.len(), "before".len() + LINE_OCTETS);
    }

    proptest! {
        #[test]
        fn a_reply_that_is_not_made_is_written_as_one_that_is(text in "(?s).{0,600}", number in 200u16..600) {
            let (code, status) = (ReplyCode::new(number).unwrap(), EnhancedStatus::new(1, 5));
            let (mut made, mut written) = (b"before".to_vec(), b"before".to_vec());
            Reply::new(code, status, text.clone()).write(&mut made);
            Reply::write_new(code, status, &mut written, |out| out.extend_from_slice(text.as_bytes()));
            prop_assert_eq!(made, written);
        }

        #[test]
        fn a_reply_is_well_formed_whatever_its_text(
            texts in prop::collection::vec("(?s).{0,600}", 1..4),
            number in 200u16..600,
        ) {
            let code = ReplyCode::new(number).unwrap();
            let mut out = Vec::new();
            Reply::lines(code, Some(EnhancedStatus::new(7, 1)), texts.clone()).write(&mut out);
            let lines = String::from_utf8(out).unwrap();
            let lines: Vec<&str> = lines.strip_suffix("\r\n").unwrap().split("\r\n").collect();
            prop_assert_eq!(lines.len(), texts.len());
            for (index, line) in lines.iter().enumerate() {
                let separator = if index + 1 < lines.len() { '-' } else { ' ' };
                let start = format!("{}{}", number, separator);
                prop_assert!(line.starts_with(&start) && line.len() <= LINE_OCTETS - 2);
                prop_assert!(line.bytes().all(|byte| (32..127).contains(&byte)));
            }
        }
    }
}
