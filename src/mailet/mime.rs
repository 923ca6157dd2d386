//! The parts of a message (RFC 2045, RFC 2046), found in any octets, with bounds.

use std::borrow::Cow;

use super::header::{decode_words, fields, first, split};

/// Entities inside each other that are looked into.
pub const DEPTH_MAX: usize = 10;
/// Parts that are looked at.
pub const PARTS_MAX: usize = 1000;
/// Octets of a line of encoded text (RFC 2045 §6.7, §6.8).
const LINE: usize = 76;

/// A header and a body.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// Its fields.
    pub header: &'a [u8],
    /// What follows them, encoded as the header says.
    pub body: &'a [u8],
}

impl Part<'_> {
    /// The type alone, in lower case; `text/plain` where none is named.
    pub fn content_type(&self) -> String {
        let value = first(self.header, "Content-Type").unwrap_or_default();
        let kind = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if kind.contains('/') { kind } else { "text/plain".to_owned() }
    }

    /// The name that a part's file should have.
    pub fn file_name(&self) -> Option<String> {
        let of = |field, name| first(self.header, field).and_then(|value| parameter(&value, name));
        of("Content-Disposition", "filename").or_else(|| of("Content-Type", "name"))
    }

    /// Whether it is to be shown apart, or has a file name.
    pub fn is_attachment(&self) -> bool {
        let disposition = first(self.header, "Content-Disposition").unwrap_or_default();
        let apart = disposition.get(..10).is_some_and(|word| word.eq_ignore_ascii_case("attachment"));
        !self.content_type().starts_with("multipart/") && (apart || self.file_name().is_some())
    }
}

/// Every part of a message, itself first, in their order.
pub fn parts(content: &[u8]) -> Vec<Part<'_>> {
    let mut found = Vec::new();
    collect(content, 0, &mut found);
    found
}

fn collect<'a>(entity: &'a [u8], depth: usize, found: &mut Vec<Part<'a>>) {
    if found.len() >= PARTS_MAX || depth > DEPTH_MAX {
        return;
    }
    let (header, body) = split(entity);
    let part = Part { header, body };
    found.push(part);
    match multipart(header, body) {
        Some(inside) => inside.parts.iter().for_each(|one| collect(&body[one.from..one.to], depth + 1, found)),
        None if part.content_type() == "message/rfc822" => collect(body, depth + 1, found),
        None => {}
    }
}

/// Where a part of a multipart body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Where its delimiter line begins.
    pub line: usize,
    /// Where its header begins.
    pub from: usize,
    /// Where it ends; the line end after it belongs to the next delimiter.
    pub to: usize,
}

/// The parts of a multipart body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Multipart {
    /// In their order.
    pub parts: Vec<Segment>,
    /// Where the closing delimiter begins; the end where there is none.
    pub close: usize,
}

/// The parts of a body whose header says that it has some.
pub fn multipart(header: &[u8], body: &[u8]) -> Option<Multipart> {
    let value = first(header, "Content-Type")?;
    if !value.get(..10)?.eq_ignore_ascii_case("multipart/") {
        return None;
    }
    let boundary = parameter(&value, "boundary").filter(|boundary| (1..=200).contains(&boundary.len()))?;
    let delimiter = [b"--", boundary.as_bytes()].concat();
    let mut found = Multipart { parts: Vec::new(), close: body.len() };
    let mut at = 0;
    while at < body.len() {
        let end = memchr::memchr(b'\n', &body[at..]).map_or(body.len(), |feed| at + feed + 1);
        if let Some(rest) = body[at..end].strip_prefix(delimiter.as_slice()) {
            let closing = rest.starts_with(b"--");
            let is_line = closing || rest.trim_ascii().is_empty();
            if is_line {
                if let Some(last) = found.parts.last_mut() {
                    last.to = before_line_end(body, at).max(last.from);
                }
                if closing {
                    found.close = at;
                    return Some(found);
                }
                if found.parts.len() >= PARTS_MAX {
                    return None;
                }
                found.parts.push(Segment { line: at, from: end, to: body.len() });
            }
        }
        at = end;
    }
    (!found.parts.is_empty()).then_some(found)
}

/// Where the line before `at` ends, without its CR LF.
fn before_line_end(body: &[u8], at: usize) -> usize {
    let before = &body[..at];
    let before = before.strip_suffix(b"\n").unwrap_or(before);
    before.strip_suffix(b"\r").unwrap_or(before).len()
}

/// A parameter of a field's value: quoted or not, whole or in pieces, plain or encoded (RFC 2231).
pub fn parameter(value: &str, name: &str) -> Option<String> {
    let list = parameters(value);
    let find = |wanted: &str| list.iter().find(|(own, _)| own.eq_ignore_ascii_case(wanted)).map(|(_, text)| text);
    if let Some(text) = find(name) {
        return Some(decode_words(text));
    }
    if let Some(text) = find(&format!("{name}*")) {
        return Some(percent_decoded(text, true));
    }
    let mut whole = String::new();
    for number in 0..PARTS_MAX {
        let plain = find(&format!("{name}*{number}")).cloned();
        let piece = plain.or_else(|| find(&format!("{name}*{number}*")).map(|text| percent_decoded(text, number == 0)));
        match piece {
            Some(piece) => whole.push_str(&piece),
            None if number == 0 => return None,
            None => break,
        }
    }
    Some(whole)
}

/// The parameters of a field's value, in their order; at most 100.
fn parameters(value: &str) -> Vec<(String, String)> {
    let mut list = Vec::new();
    let mut rest = value.split_once(';').map_or("", |(_, rest)| rest);
    while list.len() < 100 {
        let Some((name, after)) = rest.split_once('=') else { break };
        let after = after.trim_start();
        let (text, next) = match after.strip_prefix('"') {
            Some(quoted) => unquoted(quoted),
            None => {
                let (text, next) = after.split_at(after.find(';').unwrap_or(after.len()));
                (text.trim().to_owned(), next)
            }
        };
        list.push((name.trim_matches([' ', '\t', ';']).to_owned(), text));
        rest = next.split_once(';').map_or("", |(_, rest)| rest);
    }
    list
}

/// A quoted string whose first quote is gone already, and what follows it.
fn unquoted(text: &str) -> (String, &str) {
    let mut out = String::new();
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match c {
            '"' => break,
            '\\' => out.extend(characters.next()),
            _ => out.push(c),
        }
    }
    (out, characters.as_str())
}

/// `charset'language'text%20encoded`, or a later piece of one.
fn percent_decoded(text: &str, first: bool) -> String {
    let text = if first { text.splitn(3, '\'').nth(2).unwrap_or(text) } else { text };
    String::from_utf8_lossy(&unescape(text.as_bytes(), b'%')).into_owned()
}

/// Octets with `escape` and two hexadecimal digits as one.
fn unescape(octets: &[u8], escape: u8) -> Vec<u8> {
    let mut out = Vec::with_capacity(octets.len());
    let mut at = 0;
    while let Some(octet) = octets.get(at) {
        let digit = |place: usize| octets.get(place).and_then(|octet| char::from(*octet).to_digit(16));
        match (*octet == escape, digit(at + 1), digit(at + 2)) {
            (true, Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                at += 3;
            }
            _ => {
                out.push(*octet);
                at += 1;
            }
        }
    }
    out
}

/// Decodes quoted-printable (RFC 2045 §6.7); what is none stays as it is.
pub fn unquote(octets: &[u8]) -> Vec<u8> {
    let mut joined = Vec::with_capacity(octets.len());
    let mut rest = octets;
    while let Some(at) = memchr::memchr(b'=', rest) {
        let (before, after) = rest.split_at(at);
        joined.extend_from_slice(before);
        let soft = after.strip_prefix(b"=\r\n").or_else(|| after.strip_prefix(b"=\n"));
        if let Some(next) = soft {
            rest = next;
        } else {
            joined.push(b'=');
            rest = &after[1..];
        }
    }
    joined.extend_from_slice(rest);
    unescape(&joined, b'=')
}

/// Encodes as quoted-printable. Its lines end as those of the text do, and have at most 76 characters.
pub fn quote(octets: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(octets.len() + octets.len() / 4);
    for line in octets.split_inclusive(|octet| *octet == b'\n') {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        let mut length = 0;
        for (place, octet) in text.iter().enumerate() {
            let last = place + 1 == text.len();
            let plain = matches!(octet, b'!'..=b'<' | b'>'..=b'~') || (matches!(octet, b' ' | b'\t') && !last);
            // A line that is a dot alone, or begins with one, would need more care on its way than an encoded one.
            let plain = plain && !(*octet == b'.' && length == 0);
            let needs = if plain { 1 } else { 3 };
            if length + needs > LINE - 1 {
                out.extend_from_slice(b"=\r\n");
                length = 0;
            }
            match plain {
                true => out.push(*octet),
                false => out.extend_from_slice(format!("={octet:02X}").as_bytes()),
            }
            length += needs;
        }
        if line.ends_with(b"\n") {
            out.extend_from_slice(b"\r\n");
        }
    }
    out
}

/// Encodes as base64 in lines of 76 characters, each with its CR LF.
pub fn base64_lines(octets: &[u8]) -> Vec<u8> {
    let text = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, octets);
    let mut out = Vec::with_capacity(text.len() + text.len() / LINE * 2 + 2);
    for line in text.as_bytes().chunks(LINE) {
        out.extend_from_slice(line);
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// How a body is encoded (RFC 2045 §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// As it is: 7bit, 8bit or binary.
    Identity,
    /// quoted-printable.
    QuotedPrintable,
    /// base64.
    Base64,
    /// Another one.
    Unknown,
}

/// How the body after this header is encoded.
pub fn encoding(header: &[u8]) -> Encoding {
    let field = fields(header).find(|field| field.is("Content-Transfer-Encoding"));
    match field.map(|field| field.value().to_ascii_lowercase()).as_deref() {
        None | Some("7bit" | "8bit" | "binary" | "") => Encoding::Identity,
        Some("quoted-printable") => Encoding::QuotedPrintable,
        Some("base64") => Encoding::Base64,
        Some(_) => Encoding::Unknown,
    }
}

/// A body as it is meant; `None` where it is encoded in no way that is known, or wrongly.
pub fn decoded<'a>(header: &[u8], body: &'a [u8]) -> Option<Cow<'a, [u8]>> {
    match encoding(header) {
        Encoding::Identity => Some(Cow::Borrowed(body)),
        Encoding::QuotedPrintable => Some(Cow::Owned(unquote(body))),
        Encoding::Base64 => {
            let text: Vec<u8> = body.iter().filter(|octet| !octet.is_ascii_whitespace()).copied().collect();
            base64::Engine::decode(&base64::engine::general_purpose::STANDARD, text).ok().map(Cow::Owned)
        }
        Encoding::Unknown => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MIXED: &[u8] = b"Content-Type: multipart/mixed; boundary=\"b;1\"\r\n\r\npreamble\r\n--b;1\r\n\r\ntext\r\n--b;1\r\n\
        Content-Type: application/pdf; name=a.pdf\r\nContent-Disposition: attachment;\r\n filename*0*=utf-8''%C3%A4;\r\n filename*1=b.pdf\r\n\r\nx\r\n\
        --b;1\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\ninner\r\n--b;1--\r\nepilogue\r\n";

    #[test]
    fn parts_are_found_with_their_names() {
        let found = parts(MIXED);
        let types: Vec<String> = found.iter().map(Part::content_type).collect();
        assert_eq!(types, ["multipart/mixed", "text/plain", "application/pdf", "message/rfc822", "text/plain"]);
        assert_eq!(found[1].body, b"text");
        assert_eq!(found[2].file_name().as_deref(), Some("äb.pdf"));
        assert_eq!(found.iter().filter(|part| part.is_attachment()).count(), 1);
    }

    #[test]
    fn parameters_are_read_in_all_their_forms() {
        assert_eq!(parameter("a/b; x=\"q\\\"; y=1\"; y=2", "y").as_deref(), Some("2"));
        assert_eq!(parameter("a/b; NAME = z ; y=2", "name").as_deref(), Some("z"));
        assert_eq!(parameter("a/b; name*=iso-8859-1'en'a%20b", "name").as_deref(), Some("a b"));
        assert_eq!(parameter("a/b; name==?utf-8?q?=C3=A4?=", "name").as_deref(), Some("ä"));
        assert_eq!(parameter("a/b", "name"), None);
    }

    #[test]
    fn text_is_quoted_within_its_lines() {
        let text = format!("{}\r\n.dot ä \r\n", "x=".repeat(60));
        let quoted = quote(text.as_bytes());
        assert!(quoted.is_ascii() && quoted.split(|octet| *octet == b'\n').all(|line| line.len() <= LINE + 1));
        assert_eq!(unquote(&quoted), text.as_bytes());
        assert!(String::from_utf8_lossy(&quoted).contains("=2Edot =C3=A4=20\r\n"));
    }

    proptest! {
        #[test]
        fn any_octets_have_parts_and_quoting_is_undone(
            octets in prop::collection::vec(any::<u8>(), 0..200),
            lines in prop::collection::vec("(--b|--b--|Content-Type: multipart/x; boundary=b|Content-Type: message/rfc822||[ -~]{0,100})", 0..20),
        ) {
            parts(&octets);
            let text = lines.join("\r\n");
            for part in parts(text.as_bytes()) {
                part.is_attachment();
                decoded(part.header, part.body);
            }
            prop_assert_eq!(unquote(&quote(text.as_bytes())), text.as_bytes());
        }
    }
}
