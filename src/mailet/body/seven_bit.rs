//! `ConvertTo7Bit`: a message for a host that takes no octets above 127 (RFC 6152 §3), and none of its lines too long.

use super::super::header::split;
use super::super::mime::{DEPTH_MAX, Encoding, Part, base64_lines, encoding, multipart, quote};
use super::{BodyError, with_field};
use crate::mail::limits::TEXT_LINE_OCTETS;

/// The message with every part that needs it encoded; as it is where none does. The header of the message itself is not
/// looked at: what stands in it beyond ASCII needs SMTPUTF8, and no encoding of parts can help.
///
/// # Errors
///
/// See [`BodyError`].
pub fn convert(content: &[u8]) -> Result<Vec<u8>, BodyError> {
    entity(content, 0)
}

/// Whether a body may go as it is.
fn is_fine(body: &[u8]) -> bool {
    let most = TEXT_LINE_OCTETS as usize + 1;
    body.is_ascii() && !body.contains(&0) && body.split(|octet| *octet == b'\n').all(|line| line.len() <= most)
}

fn entity(content: &[u8], depth: usize) -> Result<Vec<u8>, BodyError> {
    let (header, body) = split(content);
    if is_fine(body) {
        return Ok(content.to_vec());
    }
    if depth > DEPTH_MAX {
        return Err(BodyError::TooDeep);
    }
    let kind = Part { header, body }.content_type();
    if let Some(inside) = multipart(header, body) {
        let mut out = seven(header);
        let mut done = 0;
        for part in &inside.parts {
            // Between parts is nothing but delimiters; a preamble is for nobody to read.
            out.extend(body[done..part.from].iter().map(|octet| if octet.is_ascii() { *octet } else { b'?' }));
            out.extend(entity(&body[part.from..part.to], depth + 1)?);
            done = part.to;
        }
        out.extend(body[done..].iter().map(|octet| if octet.is_ascii() { *octet } else { b'?' }));
        return Ok(out);
    }
    if kind == "message/rfc822" {
        let mut out = seven(header);
        out.extend(entity(body, depth + 1)?);
        return Ok(out);
    }
    if encoding(header) != Encoding::Identity {
        return Err(BodyError::Encoding);
    }
    Ok(encoded(header, body, &kind, depth))
}

/// A header that says 7bit, and the empty line after it.
fn seven(header: &[u8]) -> Vec<u8> {
    let mut out = with_field(header, "Content-Transfer-Encoding", "7bit");
    out.extend_from_slice(b"\r\n");
    out
}

fn encoded(header: &[u8], body: &[u8], kind: &str, depth: usize) -> Vec<u8> {
    let text = kind.starts_with("text/") && !body.contains(&0);
    let name = if text { "quoted-printable" } else { "base64" };
    let mut out = with_field(header, "Content-Transfer-Encoding", name);
    if !super::super::header::fields(header).any(|field| field.is("Content-Type")) {
        let charset = if std::str::from_utf8(body).is_ok() { "utf-8" } else { "unknown-8bit" };
        out = with_field(&out, "Content-Type", &format!("text/plain; charset={charset}"));
    }
    if depth == 0 && !super::super::header::fields(header).any(|field| field.is("MIME-Version")) {
        out = with_field(&out, "MIME-Version", "1.0");
    }
    out.extend_from_slice(b"\r\n");
    out.extend(if text { quote(body) } else { base64_lines(body) });
    out
}

#[cfg(test)]
mod tests {
    use super::super::super::mime::{decoded, parts};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_needs_nothing_stays() {
        let plain = b"Subject: a\r\n\r\nb\r\n";
        assert_eq!(convert(plain).expect("it is fine"), plain);
    }

    #[test]
    fn a_text_without_mime_gets_it() {
        let converted = convert("Subject: a\r\n\r\nä\r\n".as_bytes()).expect("it can be done");
        let expected = "Subject: a\r\nContent-Transfer-Encoding: quoted-printable\r\nContent-Type: text/plain; charset=utf-8\r\nMIME-Version: 1.0\r\n\r\n=C3=A4\r\n";
        assert_eq!(String::from_utf8_lossy(&converted), expected);
    }

    #[test]
    fn parts_and_messages_inside_are_encoded_one_by_one() {
        let content = b"Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: 8bit\r\n\r\n--b\r\n\r\n\xc3\xa4\r\n--b\r\n\
            Content-Type: image/x\r\n\r\n\xff\0\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: i\r\n\r\n\xc3\xbc\r\n--b--\r\n";
        let converted = convert(content).expect("it can be done");
        assert!(converted.is_ascii());
        let leaves: Vec<Vec<u8>> = parts(&converted)
            .iter()
            .filter(|part| !part.content_type().starts_with("multipart") && part.content_type() != "message/rfc822")
            .map(|part| decoded(part.header, part.body).expect("it is encoded").into_owned())
            .collect();
        assert_eq!(leaves, [b"\xc3\xa4".to_vec(), b"\xff\0".to_vec(), b"\xc3\xbc".to_vec()]);
    }

    #[test]
    fn what_is_encoded_wrongly_is_refused() {
        let content = b"Content-Transfer-Encoding: base64\r\n\r\n\xff\r\n";
        assert_eq!(convert(content), Err(BodyError::Encoding));
    }

    proptest! {
        #[test]
        fn the_body_is_fine_afterwards(octets in prop::collection::vec(any::<u8>(), 0..3000), head in "(Content-Type: (text/x|multipart/x; boundary=b|message/rfc822)\r\n)?") {
            let content = [head.as_bytes(), b"\r\n", octets.as_slice()].concat();
            if let Ok(converted) = convert(&content) {
                prop_assert!(is_fine(split(&converted).1) || !split(&content).1.is_ascii());
                prop_assert!(split(&converted).1.is_ascii() || head.contains("rfc822"));
            }
        }
    }
}
