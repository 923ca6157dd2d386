//! Replies as a client reads them from a stream (RFC 5321 section 4.2).

use std::fmt;

/// Octets of one reply line that are read at most; RFC 5321 section 4.5.3.1.5 allows servers 512.
const LINE_LIMIT: usize = 4096;

/// Octets of all lines of one reply that are read at most.
const REPLY_LIMIT: usize = 64 * 1024;

/// Collects the octets of a stream into replies. Holds one reply at a time and uses its buffers again.
#[derive(Debug, Default)]
pub struct ReplyReader {
    line: Vec<u8>,
    text: Vec<u8>,
    code: Option<u16>,
    complete: bool,
}

/// One complete reply, borrowed from the reader until it reads on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply<'a> {
    /// The reply code, 200 to 599.
    pub code: u16,
    /// All lines with their codes, without their CR LF, joined by LF.
    pub text: &'a [u8],
}

/// What was received is no reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed(pub String);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "malformed reply: {}", self.0)
    }
}

impl Reply<'_> {
    /// The first line, code included, as text that fits on one line of a report.
    pub fn first_line(&self) -> String {
        let line = self.text.split(|&octet| octet == b'\n').next().unwrap_or_default();
        line.escape_ascii().to_string()
    }

    /// The extension keywords of a reply to EHLO: the first word of each line but the first.
    pub fn keywords(&self) -> impl Iterator<Item = &[u8]> {
        let lines = self.text.split(|&octet| octet == b'\n').skip(1);
        lines.filter_map(|line| line.get(4..)?.split(|&octet| octet == b' ').next())
    }

    /// Whether a reply to EHLO offers `keyword` with `argument` among its arguments.
    pub fn offers(&self, keyword: &str, argument: &str) -> bool {
        let mut lines = self.text.split(|&octet| octet == b'\n').skip(1).filter_map(|line| line.get(4..));
        lines.any(|line| {
            let mut words = line.split(|&octet| octet == b' ');
            let is = |word: &[u8], name: &str| word.eq_ignore_ascii_case(name.as_bytes());
            words.next().is_some_and(|word| is(word, keyword)) && words.any(|word| is(word, argument))
        })
    }
}

impl ReplyReader {
    /// Takes octets from the front of `input` up to the end of a reply and returns it, or all of them and `None`.
    pub fn next(&mut self, input: &mut &[u8]) -> Result<Option<Reply<'_>>, Malformed> {
        if self.complete {
            self.complete = false;
            self.text.clear();
            self.code = None;
        }
        while !self.complete {
            if !self.take_line(input)? {
                return Ok(None);
            }
            self.line_ended()?;
        }
        Ok(self.code.map(|code| Reply { code, text: &self.text }))
    }

    fn take_line(&mut self, input: &mut &[u8]) -> Result<bool, Malformed> {
        let end = input.iter().position(|&octet| octet == b'\n').map(|at| at + 1);
        let (taken, rest) = input.split_at(end.unwrap_or(input.len()));
        if self.line.len() + taken.len() > LINE_LIMIT {
            return Err(Malformed("a line longer than 4096 octets".into()));
        }
        self.line.extend_from_slice(taken);
        *input = rest;
        Ok(end.is_some())
    }

    fn line_ended(&mut self) -> Result<(), Malformed> {
        let line = self.line.strip_suffix(b"\r\n").ok_or_else(|| malformed(&self.line))?;
        let code = code(line).ok_or_else(|| malformed(line))?;
        if self.code.is_some_and(|first| first != code) {
            return Err(malformed(line));
        }
        if self.text.len() + line.len() > REPLY_LIMIT {
            return Err(Malformed("a reply longer than 64 KiB".into()));
        }
        self.complete = match line.get(3) {
            None | Some(b' ') => true,
            Some(b'-') => false,
            Some(_) => return Err(malformed(line)),
        };
        if self.code.is_some() {
            self.text.push(b'\n');
        }
        self.code = Some(code);
        self.text.extend_from_slice(line);
        self.line.clear();
        Ok(())
    }
}

fn code(line: &[u8]) -> Option<u16> {
    match *line {
        [a @ b'2'..=b'5', b @ b'0'..=b'9', c @ b'0'..=b'9', ..] => {
            Some(u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0'))
        }
        _ => None,
    }
}

fn malformed(line: &[u8]) -> Malformed {
    let shown = line.get(..80).unwrap_or(line);
    Malformed(format!("\"{}\"", shown.escape_ascii()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &[u8] = b"220 here\r\n250-here\r\n250-SIZE 100\r\n250 PIPELINING\r\n250\r\n354 go\r\n";

    fn replies(pieces: &[&[u8]]) -> Result<Vec<(u16, String)>, Malformed> {
        let mut reader = ReplyReader::default();
        let mut found = Vec::new();
        for piece in pieces {
            let mut input = *piece;
            while let Some(reply) = reader.next(&mut input)? {
                found.push((reply.code, String::from_utf8_lossy(reply.text).into_owned()));
            }
        }
        Ok(found)
    }

    #[test]
    fn reads_the_same_at_every_split() {
        let whole = replies(&[STREAM]).unwrap();
        assert_eq!(whole.iter().map(|(code, _)| *code).collect::<Vec<_>>(), [220, 250, 250, 354]);
        assert_eq!(whole[1].1, "250-here\n250-SIZE 100\n250 PIPELINING");
        for at in 0..=STREAM.len() {
            let (left, right) = STREAM.split_at(at);
            assert_eq!(replies(&[left, right]).unwrap(), whole, "split at {at}");
        }
    }

    #[test]
    fn refuses_what_is_no_reply() {
        for stream in
            ["hello\r\n", "250 bare line feed\n", "25\r\n", "199 low\r\n", "250:x\r\n", "250-a\r\n251 b\r\n", "\r\n"]
        {
            assert!(replies(&[stream.as_bytes()]).is_err(), "{stream:?}");
        }
    }

    #[test]
    fn is_bounded() {
        assert!(replies(&[&[b'2'; LINE_LIMIT + 1]]).is_err());
        let lines = "250-and so on and so on and so on\r\n".repeat(REPLY_LIMIT / 30);
        assert!(replies(&[lines.as_bytes()]).is_err());
    }

    #[test]
    fn finds_keywords_and_the_first_line() {
        let reply = Reply { code: 250, text: b"250-here\xff\n250-SIZE 100\n250-\n250 PIPELINING" };
        assert_eq!(reply.first_line(), "250-here\\xff");
        assert_eq!(reply.keywords().collect::<Vec<_>>(), [&b"SIZE"[..], b"", b"PIPELINING"]);
        assert!(reply.offers("size", "100") && !reply.offers("SIZE", "10") && !reply.offers("100", "100"));
    }
}
