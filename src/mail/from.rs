//! The From field of a message (RFC 5322 §3.6.2): found while content passes by, and read.
//!
//! It is read to say who a message claims to be from, and whoever reads it later may read it otherwise. So what is not
//! understood is [`Authors::Invalid`] and never passed over, every From field counts where there are several, and an address in
//! the clear before the one in angle brackets counts as well.

use memchr::memchr;

use super::Mailbox;

/// Octets of all From fields that are kept; more is no From field of anybody's.
const FIELD_OCTETS: usize = 16 * 1024;

/// Addresses that are looked at.
const ADDRESSES: usize = 100;

const NAME: &[u8] = b"from";

/// Whom a message claims to be from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authors {
    /// There is no From field, or nothing in it.
    Missing,
    /// It cannot be read.
    Invalid,
    /// These; none where the field has only empty groups.
    Mailboxes(Vec<Mailbox>),
}

/// Finds the From field in content that comes in pieces, as it comes over the wire.
#[derive(Debug, Default)]
pub struct FromScanner {
    at: At,
    /// The line belongs to a From field if it begins with white space.
    inside: bool,
    seen: bool,
    text: Vec<u8>,
    too_long: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    #[default]
    LineStart,
    /// So many letters of the field's name.
    Name(usize),
    /// White space between the name and its colon.
    Colon,
    /// A line of another field, or of none.
    Other,
    Field,
    /// The header has ended.
    Body,
}

impl FromScanner {
    /// Takes the next piece.
    pub fn scan(&mut self, piece: &[u8]) {
        let mut rest = piece;
        while let (Some((&octet, after)), true) = (rest.split_first(), self.at != At::Body) {
            if self.at == At::Other {
                let Some(end) = memchr(b'\n', rest) else { return };
                rest = rest.get(end + 1..).unwrap_or_default();
                self.at = At::LineStart;
                continue;
            }
            self.octet(octet);
            rest = after;
        }
    }

    fn octet(&mut self, octet: u8) {
        self.at = match (self.at, octet) {
            // The CR of an empty line.
            (At::LineStart, b'\r') => At::LineStart,
            (At::LineStart, b'\n') => At::Body,
            (At::LineStart, b' ' | b'\t') if self.inside => self.keep(octet),
            (At::LineStart, b' ' | b'\t') => At::Other,
            (At::LineStart, _) => {
                self.inside = false;
                name(0, octet)
            }
            (At::Name(_) | At::Colon | At::Other, b'\n') => At::LineStart,
            (At::Name(4) | At::Colon, b':') => {
                // One field after another is one list of addresses.
                if std::mem::replace(&mut self.seen, true) {
                    self.keep(b',');
                }
                self.inside = true;
                At::Field
            }
            (At::Name(4) | At::Colon, b' ' | b'\t') => At::Colon,
            (At::Name(known), _) => name(known, octet),
            (At::Colon, _) => At::Other,
            (At::Field, b'\n') => {
                self.keep(octet);
                At::LineStart
            }
            (At::Field, _) => self.keep(octet),
            (state @ (At::Other | At::Body), _) => state,
        };
    }

    fn keep(&mut self, octet: u8) -> At {
        if self.text.len() < FIELD_OCTETS {
            self.text.push(octet);
        } else {
            self.too_long = true;
        }
        At::Field
    }

    /// Whom the message claims to be from, by what was seen of it.
    pub fn authors(&self) -> Authors {
        let Ok(text) = std::str::from_utf8(&self.text) else { return Authors::Invalid };
        if self.too_long {
            return Authors::Invalid;
        }
        authors(text)
    }
}

fn name(known: usize, octet: u8) -> At {
    match NAME.get(known) {
        Some(letter) if octet.eq_ignore_ascii_case(letter) => At::Name(known + 1),
        _ => At::Other,
    }
}

/// Reads what is behind `From:`, folded or not.
pub fn authors(text: &str) -> Authors {
    if text.trim_matches(|c: char| c.is_ascii_whitespace() || c == ',').is_empty() {
        return Authors::Missing;
    }
    let mut parser = Parser { rest: text, mailboxes: Vec::new() };
    match parser.list() {
        Ok(()) => Authors::Mailboxes(parser.mailboxes),
        Err(Malformed) => Authors::Invalid,
    }
}

struct Malformed;

/// A piece of structured text (RFC 5322 §3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'a> {
    /// An atom, a quoted string or a domain literal, as it is written.
    Word(&'a str),
    Special(u8),
}

struct Parser<'a> {
    rest: &'a str,
    mailboxes: Vec<Mailbox>,
}

impl<'a> Parser<'a> {
    /// `address-list`, empty elements included (RFC 5322 §4.4).
    fn list(&mut self) -> Result<(), Malformed> {
        let mut in_group = false;
        loop {
            let (words, end) = self.words()?;
            match end {
                Some(b'<') => {
                    if words.contains(&Token::Special(b'@')) {
                        self.add(&words)?;
                    }
                    let (address, end) = self.words()?;
                    if end != Some(b'>') {
                        return Err(Malformed);
                    }
                    self.add(&address)?;
                    let (after, end) = self.words()?;
                    if !after.is_empty() || self.ends(end, &mut in_group)? {
                        return if after.is_empty() { Ok(()) } else { Err(Malformed) };
                    }
                }
                Some(b':') if !in_group && !words.is_empty() && !words.contains(&Token::Special(b'@')) => {
                    in_group = true
                }
                end => {
                    if !words.is_empty() {
                        self.add(&words)?;
                    }
                    if self.ends(end, &mut in_group)? {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Whether the list ends by what ended an address.
    fn ends(&mut self, end: Option<u8>, in_group: &mut bool) -> Result<bool, Malformed> {
        match end {
            None if !*in_group => Ok(true),
            Some(b',') => Ok(false),
            Some(b';') if *in_group => {
                *in_group = false;
                let (after, end) = self.words()?;
                if after.is_empty() && end != Some(b';') { self.ends(end, in_group) } else { Err(Malformed) }
            }
            _ => Err(Malformed),
        }
    }

    /// The words up to one of `<>,:;`, which is given beside them, or to the end.
    fn words(&mut self) -> Result<(Vec<Token<'a>>, Option<u8>), Malformed> {
        let mut words = Vec::new();
        loop {
            match self.token()? {
                None => return Ok((words, None)),
                Some(Token::Special(end)) if b"<>,:;".contains(&end) => return Ok((words, Some(end))),
                Some(token) => words.push(token),
            }
        }
    }

    /// `addr-spec`: words joined by dots on both sides of one `@`.
    fn add(&mut self, tokens: &[Token<'_>]) -> Result<(), Malformed> {
        let mut text = String::new();
        let mut last_was_word = false;
        for token in tokens {
            match token {
                Token::Word(_) if last_was_word => return Err(Malformed),
                Token::Word(word) => text.push_str(word),
                Token::Special(special) => text.push(char::from(*special)),
            }
            last_was_word = matches!(token, Token::Word(_));
        }
        let mailbox = Mailbox::parse(&text).map_err(|_| Malformed)?;
        if self.mailboxes.len() >= ADDRESSES {
            return Err(Malformed);
        }
        self.mailboxes.push(mailbox);
        Ok(())
    }

    fn token(&mut self) -> Result<Option<Token<'a>>, Malformed> {
        self.skip()?;
        let Some(first) = self.rest.bytes().next() else { return Ok(None) };
        let length = match first {
            b'"' => self.closing(b'"')?,
            b'[' => self.closing(b']')?,
            b'<' | b'>' | b',' | b':' | b';' | b'@' | b'.' => {
                self.rest = self.rest.get(1..).unwrap_or_default();
                return Ok(Some(Token::Special(first)));
            }
            b')' | b']' | b'\\' => return Err(Malformed),
            _ => self.rest.find(|c: char| "()<>[]:;@\\,.\" \t\r\n".contains(c)).unwrap_or(self.rest.len()),
        };
        let (word, rest) = self.rest.split_at_checked(length).ok_or(Malformed)?;
        if word.chars().any(|c| c.is_control() && !"\t\r\n".contains(c)) {
            return Err(Malformed);
        }
        self.rest = rest;
        Ok(Some(Token::Word(word)))
    }

    /// Octets up to and including the one that closes what the first one opens.
    fn closing(&self, close: u8) -> Result<usize, Malformed> {
        let mut escaped = false;
        let inside = self.rest.bytes().enumerate().skip(1);
        for (at, octet) in inside {
            match octet {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                octet if octet == close => return Ok(at + 1),
                _ => {}
            }
        }
        Err(Malformed)
    }

    /// Passes over white space and comments, which nest.
    fn skip(&mut self) -> Result<(), Malformed> {
        let (mut depth, mut escaped) = (0u32, false);
        let end = self.rest.bytes().position(|octet| match octet {
            _ if escaped => {
                escaped = false;
                false
            }
            b'\\' if depth > 0 => {
                escaped = true;
                false
            }
            b'(' => {
                depth += 1;
                false
            }
            b')' if depth > 0 => {
                depth -= 1;
                false
            }
            b' ' | b'\t' | b'\r' | b'\n' => false,
            _ => depth == 0,
        });
        if depth > 0 {
            return Err(Malformed);
        }
        self.rest = end.and_then(|end| self.rest.get(end..)).unwrap_or_default();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn found(content: &str) -> Authors {
        let mut scanner = FromScanner::default();
        scanner.scan(content.as_bytes());
        scanner.authors()
    }

    fn are(text: &str, expected: &[&str]) {
        let expected = expected.iter().map(|text| Mailbox::parse(text).expect("a mailbox")).collect();
        assert_eq!(authors(text), Authors::Mailboxes(expected), "{text:?}");
    }

    #[test]
    fn addresses_are_read_however_they_are_written() {
        are("me@example.org", &["me@example.org"]);
        are(" <me@example.org>", &["me@example.org"]);
        are("Me And Others <me@example.org>", &["me@example.org"]);
        are("\"Me, Myself\" <me@example.org>, you@example.org", &["me@example.org", "you@example.org"]);
        are("=?utf-8?q?J=C3=B6rg?= <joerg@example.org>", &["joerg@example.org"]);
        are("Jörg <jörg@example.org>", &["jörg@example.org"]);
        are("Dr. J. R. Smith\r\n\t<me@example.org>", &["me@example.org"]);
        are("(a (nested\\)) comment) me @ example . org (more)", &["me@example.org"]);
        are("\"a b\"@example.org", &["\"a b\"@example.org"]);
        are("me@[192.0.2.1]", &["me@[192.0.2.1]"]);
        are(
            "friends: a@example.org, B <b@example.org>;, c@example.org",
            &["a@example.org", "b@example.org", "c@example.org"],
        );
        are("nobody:;", &[]);
        are(",me@example.org,,", &["me@example.org"]);
    }

    /// Another reader may take the name in the clear for the address.
    #[test]
    fn an_address_before_the_brackets_counts() {
        are("boss@example.org <me@example.org>", &["boss@example.org", "me@example.org"]);
        are("\"boss@example.org\" <me@example.org>", &["me@example.org"]);
    }

    #[test]
    fn what_cannot_be_read_is_invalid() {
        for wrong in [
            "me",
            "me@",
            "@example.org",
            "<>",
            "<me@example.org",
            "me@example.org>",
            "<me@example.org> you@example.org",
            "me you@example.org",
            "\"open",
            "(open",
            "a)b@example.org",
            "<@route:me@example.org>",
            "me@example.org;",
            "a: b: c@example.org;;",
            "friends: a@example.org",
            "a@b@example.org",
            "me@example.org \\",
            "x <me@example.org>;",
            "<me@example.org><you@example.org>",
            "me\0@example.org",
            "a:;;",
        ] {
            assert_eq!(authors(wrong), Authors::Invalid, "{wrong:?}");
        }
        let many: Vec<String> = (0..=ADDRESSES).map(|number| format!("a{number}@example.org")).collect();
        assert_eq!(authors(&many.join(",")), Authors::Invalid);
    }

    #[test]
    fn nothing_is_missing() {
        for nothing in ["", " ", "\r\n\t ", ",", " , "] {
            assert_eq!(authors(nothing), Authors::Missing, "{nothing:?}");
        }
    }

    #[test]
    fn the_field_is_found_in_the_header_and_nowhere_else() {
        let me = Authors::Mailboxes(vec![Mailbox::parse("me@example.org").expect("a mailbox")]);
        assert_eq!(found("Subject: x\r\nFrom: me@example.org\r\n\r\n"), me);
        assert_eq!(found("fRoM \t:\r\n <me@example.org>\r\nTo: you@example.org\r\n"), me);
        assert_eq!(
            found("From someone\r\nX-From: x\r\nFromage: x\r\n From: y\r\nFrom: Me\r\n\t<me@example.org>\r\n"),
            me
        );
        assert_eq!(found("From: me@example.org"), me);
        assert_eq!(found("Subject: x\r\n\r\nFrom: me@example.org\r\n"), Authors::Missing);
        assert_eq!(found("\r\nFrom: me@example.org\r\n"), Authors::Missing);
        assert_eq!(found("From:\r\nSubject: x\r\n\r\n"), Authors::Missing);
        assert_eq!(found("Fro: me@example.org\r\nFromm: x\r\n\r\n"), Authors::Missing);
    }

    #[test]
    fn every_field_counts() {
        let two = ["me@example.org", "you@example.org"].map(|text| Mailbox::parse(text).expect("a mailbox"));
        let content = "From: me@example.org\r\nTo: x\r\nFROM: <you@example.org>\r\n\r\n";
        assert_eq!(found(content), Authors::Mailboxes(two.into()));
        let hidden = "From: me@example.org (\r\nFrom: boss@example.org\r\n\r\n";
        assert_eq!(found(hidden), Authors::Invalid);
    }

    #[test]
    fn a_field_without_end_is_not_kept() {
        let mut scanner = FromScanner::default();
        scanner.scan(b"From: ");
        (0..1000).for_each(|_| scanner.scan(&[b'a'; 1000]));
        assert!(scanner.text.len() <= FIELD_OCTETS);
        assert_eq!(scanner.authors(), Authors::Invalid);
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(
            content in "((From|Subject|\\PC{0,4}) ?: ?[a-z@<>,;:\"() .]{0,20}\r?\n[ \t]?){0,6}",
            cuts in prop::collection::vec(1usize..9, 1..9),
        ) {
            let mut scanner = FromScanner::default();
            let (mut rest, mut cuts) = (content.as_bytes(), cuts.into_iter().cycle());
            while !rest.is_empty() {
                let (piece, after) = rest.split_at(cuts.next().unwrap_or(1).min(rest.len()));
                scanner.scan(piece);
                rest = after;
            }
            prop_assert_eq!(scanner.authors(), found(&content));
        }

        #[test]
        fn any_text_is_read_or_not(text in "[\\PC\t\r\n]{0,60}") {
            let _ = authors(&text);
        }
    }
}
