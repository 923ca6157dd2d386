//! `AddFooter`: a few words at the end of every text that is shown.

use super::super::header::{first, split};
use super::super::mime::{DEPTH_MAX, Encoding, Part, base64_lines, decoded, encoding, multipart, parameter, quote};
use super::BodyError;

/// The message with the footer; `None` where there is no text it could be put into: none that is plain or HTML, or none whose
/// charset has the footer's letters.
///
/// # Errors
///
/// [`BodyError::TooDeep`].
pub fn add(content: &[u8], footer: &str) -> Result<Option<Vec<u8>>, BodyError> {
    entity(content, footer, 0)
}

fn entity(content: &[u8], footer: &str, depth: usize) -> Result<Option<Vec<u8>>, BodyError> {
    let (header, body) = split(content);
    if depth > DEPTH_MAX {
        return Err(BodyError::TooDeep);
    }
    let part = Part { header, body };
    let kind = part.content_type();
    if let Some(inside) = multipart(header, body) {
        // Of alternatives each is shown to somebody; of others the first is what is read.
        let count = if kind == "multipart/alternative" { usize::MAX } else { 1 };
        let (mut out, mut done, mut added) = (content[..content.len() - body.len()].to_vec(), 0, false);
        for segment in inside.parts.iter().take(count) {
            let inner = &body[segment.from..segment.to];
            out.extend_from_slice(&body[done..segment.from]);
            match entity(inner, footer, depth + 1)? {
                Some(changed) => {
                    out.extend(changed);
                    added = true;
                }
                None => out.extend_from_slice(inner),
            }
            done = segment.to;
        }
        out.extend_from_slice(&body[done..]);
        return Ok(added.then_some(out));
    }
    if !["text/plain", "text/html"].contains(&kind.as_str()) || part.is_attachment() || !has_letters(header, footer) {
        return Ok(None);
    }
    let Some(text) = decoded(header, body) else { return Ok(None) };
    let text = if kind == "text/html" { in_html(&text, footer) } else { in_plain(&text, footer) };
    let mut out = content[..content.len() - body.len()].to_vec();
    // A header without an empty line after it is all there is.
    if header.len() == content.len() {
        out.extend_from_slice(b"\r\n");
    }
    match encoding(header) {
        Encoding::QuotedPrintable => out.extend(quote(&text)),
        Encoding::Base64 => out.extend(base64_lines(&text)),
        Encoding::Identity | Encoding::Unknown => out.extend_from_slice(&text),
    }
    Ok(Some(out))
}

/// Whether the charset of the text has the footer's letters.
fn has_letters(header: &[u8], footer: &str) -> bool {
    let charset = first(header, "Content-Type").and_then(|value| parameter(&value, "charset"));
    let charset = charset.unwrap_or_else(|| "us-ascii".to_owned()).to_ascii_lowercase();
    match charset.as_str() {
        "utf-8" => true,
        // Of these a letter may be more than one octet, or another one.
        charset if charset.starts_with("utf-") || charset.starts_with("iso-2022") || charset == "hz-gb-2312" => false,
        _ => footer.is_ascii(),
    }
}

fn in_plain(text: &[u8], footer: &str) -> Vec<u8> {
    let mut out = text.to_vec();
    if !out.is_empty() && !out.ends_with(b"\n") {
        out.extend_from_slice(b"\r\n");
    }
    for line in footer.lines() {
        out.extend_from_slice(line.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out
}

fn in_html(text: &[u8], footer: &str) -> Vec<u8> {
    let escaped = footer.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let footer = format!("<br />{}", escaped.lines().collect::<Vec<_>>().join("<br />"));
    let lower = text.to_ascii_lowercase();
    let at = lower.windows(7).rposition(|window| window == b"</body>").unwrap_or(text.len());
    [&text[..at], footer.as_bytes(), &text[at..]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn added(content: &str, footer: &str) -> Option<String> {
        add(content.as_bytes(), footer).expect("it is not deep").map(|octets| String::from_utf8(octets).expect("UTF-8"))
    }

    #[test]
    fn every_alternative_has_it_and_of_a_mixture_the_first() {
        let alternative = "Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\n\r\na\r\n--b\r\nContent-Type: text/html\r\n\r\n<body>a</BODY>\r\n--b--\r\n";
        let expected = "Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\n\r\na\r\n1 < 2\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n<body>a<br />1 &lt; 2</BODY>\r\n--b--\r\n";
        assert_eq!(added(alternative, "1 < 2").as_deref(), Some(expected));
        let mixed = alternative.replace("alternative", "mixed");
        assert!(added(&mixed, "x").expect("it is added").contains("<body>a</BODY>"));
    }

    #[test]
    fn encoded_texts_stay_encoded() {
        let quoted =
            "Content-Type: text/plain; charset=UTF-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=C3=A4\r\n";
        assert_eq!(added(quoted, "ö").as_deref(), Some(format!("{quoted}=C3=B6\r\n").as_str()));
        let base64 = "Content-Transfer-Encoding: base64\r\n\r\nYQ==\r\n";
        assert_eq!(added(base64, "b").as_deref(), Some("Content-Transfer-Encoding: base64\r\n\r\nYQ0KYg0K\r\n"));
    }

    #[test]
    fn what_has_no_place_for_it_stays() {
        assert_eq!(added("Content-Type: image/png\r\n\r\nx", "a"), None);
        assert_eq!(added("Subject: a\r\n\r\nx", "ä"), None);
        assert_eq!(added("Content-Transfer-Encoding: base64\r\n\r\n!", "a"), None);
    }

    proptest! {
        #[test]
        fn any_octets_come_through(octets in prop::collection::vec(any::<u8>(), 0..500), footer in ".{0,50}") {
            let _ = add(&octets, &footer);
        }
    }
}
