//! The fields of a header (RFC 5322 §2.2), read from any octets.

use std::borrow::Cow;

/// One field as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// All of it, its CR LF and folded lines included.
    pub raw: &'a [u8],
    /// What stands before the colon; all of a line that has none.
    pub name: &'a [u8],
    /// What stands after it, as written.
    pub body: &'a [u8],
}

impl Field<'_> {
    /// Whether it has that name, in whatever case.
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }

    /// The value with its lines unfolded and blanks around it gone; what is no UTF-8 is replaced.
    pub fn value(&self) -> String {
        let text = String::from_utf8_lossy(self.body);
        let text = if text.contains(['\r', '\n']) { Cow::Owned(text.replace(['\r', '\n'], "")) } else { text };
        text.trim().to_owned()
    }
}

/// The fields of a header, or of content that begins with one: what follows an empty line is none.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a>(&'a [u8]);

/// Reads the fields of `header`.
pub fn fields(header: &[u8]) -> Fields<'_> {
    Fields(header)
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        if self.0.is_empty() || self.0.starts_with(b"\r\n") || self.0.starts_with(b"\n") {
            return None;
        }
        let mut end = line_end(self.0, 0);
        while matches!(self.0.get(end), Some(b' ' | b'\t')) {
            end = line_end(self.0, end);
        }
        let (raw, rest) = self.0.split_at(end);
        self.0 = rest;
        let colon = raw.iter().position(|octet| *octet == b':');
        let (name, body) = match colon {
            Some(at) => (&raw[..at], &raw[at + 1..]),
            None => (raw, &raw[raw.len()..]),
        };
        Some(Field { raw, name: name.trim_ascii_end(), body })
    }
}

/// Where the line that `from` is in ends, its LF included.
fn line_end(octets: &[u8], from: usize) -> usize {
    memchr::memchr(b'\n', &octets[from..]).map_or(octets.len(), |at| from + at + 1)
}

/// Header and body of content: the header with the CR LF of its last field, the body after the empty line.
pub fn split(content: &[u8]) -> (&[u8], &[u8]) {
    let length: usize = fields(content).map(|field| field.raw.len()).sum();
    let (header, rest) = content.split_at(length);
    (header, rest.strip_prefix(b"\r\n").or_else(|| rest.strip_prefix(b"\n")).unwrap_or(rest))
}

/// The values of every field of that name.
pub fn all<'a>(header: &'a [u8], name: &'a str) -> impl Iterator<Item = String> + 'a {
    fields(header).filter(move |field| field.is(name)).map(|field| field.value())
}

/// The value of the first field of that name.
pub fn first(header: &[u8], name: &str) -> Option<String> {
    fields(header).find(|field| field.is(name)).map(|field| field.value())
}

/// The value of the first field of that name, its encoded words decoded (RFC 2047).
pub fn decoded(header: &[u8], name: &str) -> Option<String> {
    first(header, name).map(|value| decode_words(&value))
}

/// A text with its encoded words decoded; those of a charset other than UTF-8, US-ASCII and ISO-8859-1 stay as they are.
pub fn decode_words(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut after_word = false;
    while let Some(at) = rest.find("=?") {
        let (before, word) = rest.split_at(at);
        match decode_word(word) {
            Some((decoded, length)) => {
                // Blanks between two encoded words are no part of the text (RFC 2047 §6.2).
                if !(after_word && before.trim().is_empty()) {
                    out.push_str(before);
                }
                out.push_str(&decoded);
                rest = &word[length..];
                after_word = true;
            }
            None => {
                out.push_str(before);
                out.push_str("=?");
                rest = &word[2..];
                after_word = false;
            }
        }
    }
    out.push_str(rest);
    out
}

/// The encoded word that a text begins with, decoded, and its length.
fn decode_word(text: &str) -> Option<(String, usize)> {
    let mut parts = text.strip_prefix("=?")?.splitn(3, '?');
    let (charset, encoding, rest) = (parts.next()?, parts.next()?, parts.next()?);
    let end = rest.find("?=")?;
    let data = rest.get(..end)?;
    let octets = match encoding {
        "B" | "b" => base64::Engine::decode(&base64::engine::general_purpose::STANDARD, data).ok()?,
        "Q" | "q" => super::mime::unquote(&data.replace('_', " ").into_bytes()),
        _ => return None,
    };
    let charset = charset.split('*').next()?;
    let decoded = match charset.to_ascii_lowercase().as_str() {
        "utf-8" | "us-ascii" => String::from_utf8_lossy(&octets).into_owned(),
        "iso-8859-1" => octets.iter().map(|octet| char::from(*octet)).collect(),
        _ => return None,
    };
    Some((decoded, 2 + charset_length(text)? + 1 + encoding.len() + 1 + end + 2))
}

fn charset_length(text: &str) -> Option<usize> {
    text.get(2..)?.find('?')
}

/// A text as the value of a field: as it is where it is ASCII, in encoded words where not. It has no control characters.
pub fn encode_words(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.is_ascii() {
        return text;
    }
    // An encoded word has at most 75 characters (RFC 2047 §2), and no character is cut in two (§5).
    let mut words: Vec<String> = Vec::new();
    let mut piece = String::new();
    for c in text.chars() {
        if piece.len() + c.len_utf8() > 45 {
            words.push(word(&piece));
            piece.clear();
        }
        piece.push(c);
    }
    words.push(word(&piece));
    words.join("\r\n ")
}

fn word(piece: &str) -> String {
    format!("=?UTF-8?B?{}?=", base64::Engine::encode(&base64::engine::general_purpose::STANDARD, piece))
}

/// The addresses in the value of a field such as From: what stands between angle brackets, or alone. What is no mailbox is
/// left out; at most 100.
pub fn addresses(value: &str) -> Vec<crate::mail::Mailbox> {
    let mut found = Vec::new();
    let (mut quoted, mut depth, mut start) = (false, 0u32, 0);
    let mut ends: Vec<(usize, usize)> = Vec::new();
    for (at, c) in value.char_indices() {
        match c {
            '"' if depth == 0 => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth = depth.saturating_sub(1),
            ',' | ';' if !quoted && depth == 0 => {
                ends.push((start, at));
                start = at + 1;
            }
            _ => {}
        }
    }
    ends.push((start, value.len()));
    for (from, to) in ends.into_iter().take(100) {
        let one = value.get(from..to).unwrap_or_default();
        let inner = match (one.rfind('<'), one.rfind('>')) {
            (Some(open), Some(close)) if open < close => one.get(open + 1..close).unwrap_or_default(),
            _ => one.split('(').next().unwrap_or_default().rsplit(':').next().unwrap_or_default(),
        };
        found.extend(crate::mail::Mailbox::parse(inner.trim()));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEADER: &[u8] =
        b"Received: a\r\nSubject: one\r\n two\r\nX-Odd : 1\r\nreceived:b\r\nno colon\r\n\r\nSubject: no\r\n";

    #[test]
    fn fields_are_found_whatever_their_case_and_unfolded() {
        assert_eq!(first(HEADER, "SUBJECT").as_deref(), Some("one two"));
        assert_eq!(all(HEADER, "Received").collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(first(HEADER, "X-Odd").as_deref(), Some("1"));
        assert_eq!(fields(HEADER).count(), 5);
        assert_eq!(split(HEADER).1, b"Subject: no\r\n");
    }

    #[test]
    fn encoded_words_are_read_and_written() {
        assert_eq!(decode_words("a =?UTF-8?Q?=C3=A4_b?= =?utf-8?B?w7Y=?= c"), "a ä bö c");
        assert_eq!(decode_words("=?iso-8859-1?q?=FC?="), "ü");
        assert_eq!(decode_words("=?big5?B?eA==?= =?x"), "=?big5?B?eA==?= =?x");
        for text in ["plain", "größer", &"ä".repeat(100)] {
            assert_eq!(decode_words(&encode_words(text).replace("\r\n", "")), text);
            assert!(encode_words(text).split("\r\n").all(|line| line.len() <= 76));
        }
        assert_eq!(encode_words("a\r\nBcc: x"), "a  Bcc: x");
    }

    #[test]
    fn addresses_are_found_among_names() {
        let found =
            addresses("\"Doe, J\" <j@example.org>, a@example.org (work, home), no address, Group: b@example.org;");
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(found, ["j@example.org", "a@example.org", "b@example.org"]);
    }

    proptest! {
        #[test]
        fn any_octets_are_fields_and_nothing_is_lost(octets in prop::collection::vec(any::<u8>(), 0..300)) {
            let (header, _) = split(&octets);
            let joined: Vec<u8> = fields(&octets).flat_map(|field| field.raw.to_vec()).collect();
            prop_assert_eq!(joined, header);
            for field in fields(&octets) {
                let value = field.value();
                decode_words(&value);
                addresses(&value);
            }
        }

        #[test]
        fn any_text_is_decoded(text in ".{0,100}", word in "=\\?(utf-8|x)\\?[bqBQ]\\?.{0,20}\\?=") {
            decode_words(&format!("{text}{word}{text}"));
        }
    }
}
