//! Replies as a client reads them (RFC 5321 §4.2), from any octets.

use std::fmt;

/// Octets of a line of a reply, its CR LF included. RFC 5321 §4.5.3.1.5 allows 512; some servers write more.
pub const LINE_MAX: usize = 4096;
/// Lines of a reply.
pub const LINES_MAX: usize = 200;
/// Octets of a reply's text that are kept.
pub const TEXT_MAX: usize = 8192;

/// A reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// 200 to 599.
    pub code: u16,
    /// Its lines without their codes.
    pub lines: Vec<String>,
}

impl Reply {
    /// The first digit of the code.
    pub fn class(&self) -> u16 {
        self.code / 100
    }

    /// Its lines as one.
    pub fn text(&self) -> String {
        self.lines.join(" ")
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.text())
    }
}

/// What is no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    /// No code at the start of a line.
    #[error("the server answers with something that is no reply")]
    NoCode,
    /// The lines of one reply have several codes.
    #[error("the lines of a reply have different codes")]
    Codes,
    /// A line or the number of lines is above its bound.
    #[error("a reply is longer than a reply may be")]
    TooLong,
}

/// Octets that were received, as replies.
#[derive(Clone, Debug, Default)]
pub struct Replies {
    octets: Vec<u8>,
    read: usize,
    begun: Option<(Reply, usize)>,
}

impl Replies {
    /// More octets.
    pub fn push(&mut self, octets: &[u8]) {
        if self.read > 0 {
            self.octets.drain(..self.read);
            self.read = 0;
        }
        self.octets.extend_from_slice(octets);
    }

    /// Whether there is something that is no whole reply yet, or was not looked at.
    pub fn has_more(&self) -> bool {
        self.read < self.octets.len() || self.begun.is_some()
    }

    /// The next reply; `None` where it is not all there.
    ///
    /// # Errors
    ///
    /// What is no reply; the connection is of no use after it.
    pub fn take(&mut self) -> Result<Option<Reply>, ReplyError> {
        loop {
            let rest = &self.octets[self.read..];
            let Some(feed) = memchr::memchr(b'\n', rest) else {
                return if rest.len() >= LINE_MAX { Err(ReplyError::TooLong) } else { Ok(None) };
            };
            if feed >= LINE_MAX {
                return Err(ReplyError::TooLong);
            }
            let line = &rest[..feed];
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let (code, last, text) = read_line(line).ok_or(ReplyError::NoCode)?;
            self.read += feed + 1;
            let (reply, kept) = self.begun.get_or_insert_with(|| (Reply { code, lines: Vec::new() }, 0));
            if reply.code != code {
                return Err(ReplyError::Codes);
            }
            if reply.lines.len() >= LINES_MAX {
                return Err(ReplyError::TooLong);
            }
            if *kept + text.len() <= TEXT_MAX {
                *kept += text.len();
                reply.lines.push(text);
            }
            if last {
                return Ok(self.begun.take().map(|(reply, _)| reply));
            }
        }
    }
}

/// A line's code, whether it is the last, and its text. What is no printable character is `?`.
fn read_line(line: &[u8]) -> Option<(u16, bool, String)> {
    let (digits, rest) = line.split_at_checked(3)?;
    let code = digits
        .iter()
        .try_fold(0u16, |code, digit| digit.is_ascii_digit().then(|| code * 10 + u16::from(digit - b'0')))?;
    let (last, text) = match rest.split_first() {
        None => (true, rest),
        Some((b' ', text)) => (true, text),
        Some((b'-', text)) => (false, text),
        Some(_) => return None,
    };
    let text = String::from_utf8_lossy(text).chars().map(|c| if c.is_control() { '?' } else { c }).collect();
    (200..600).contains(&code).then_some((code, last, text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(octets: &[u8]) -> Result<Vec<String>, ReplyError> {
        let mut replies = Replies::default();
        replies.push(octets);
        let mut list = Vec::new();
        while let Some(reply) = replies.take()? {
            list.push(reply.to_string());
        }
        Ok(list)
    }

    #[test]
    fn replies_are_found_line_by_line() {
        assert_eq!(all(b"250-a\r\n250 b\r\n354\r\n250 c").expect("replies"), ["250 a b", "354 "]);
        assert_eq!(all(b"250 a\0\xff\n").expect("a reply"), ["250 a?\u{fffd}"]);
        for (octets, error) in [
            (&b"250-a\r\n251 b\r\n"[..], ReplyError::Codes),
            (b"hello\r\n", ReplyError::NoCode),
            (b"25\r\n", ReplyError::NoCode),
            (b"250_a\r\n", ReplyError::NoCode),
            (b"150 a\r\n", ReplyError::NoCode),
            (&[b'2'; LINE_MAX], ReplyError::TooLong),
            (&b"250-a\r\n".repeat(LINES_MAX + 1), ReplyError::TooLong),
        ] {
            assert_eq!(all(octets), Err(error));
        }
    }

    proptest! {
        #[test]
        fn slices_make_no_difference(octets in prop::collection::vec(prop_oneof![Just(b'2'), Just(b'5'), Just(b'0'), Just(b'-'), Just(b' '), Just(b'\r'), Just(b'\n'), any::<u8>()], 0..80), cut in 0usize..80) {
            let cut = cut.min(octets.len());
            let mut replies = Replies::default();
            let mut list = Vec::new();
            let mut wrong = None;
            for slice in [&octets[..cut], &octets[cut..]] {
                replies.push(slice);
                while wrong.is_none() {
                    match replies.take() {
                        Ok(Some(reply)) => list.push(reply.to_string()),
                        Ok(None) => break,
                        Err(error) => wrong = Some(error),
                    }
                }
            }
            match all(&octets) {
                Ok(whole) => prop_assert_eq!((whole, None), (list, wrong)),
                Err(error) => prop_assert_eq!(Some(error), wrong),
            }
        }
    }
}
