//! Signatures of mail (DKIM, RFC 6376): what `DKIMSign` puts before the header of what leaves.
//!
//! Pure: the hash of the body is computed by whoever reads it ([`body::BodyHasher`]), the header is at hand.

pub mod body;
mod key;
mod template;

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

pub use body::{BodyHash, BodyHasher, Canonicalization};
pub use key::{Key, KeyError};
pub use template::{Template, TemplateError};

use super::edit;
use super::header::fields;

/// The field that holds a signature.
pub const FIELD: &str = "DKIM-Signature";

/// Signs mail with one key, as one template says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signer {
    template: Template,
    key: Key,
}

/// Why a mail has no signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsigned {
    /// A signature that leaves From out is none (RFC 6376 §5.4).
    #[error("the header has no From, so no signature of it would be valid")]
    NoFrom,
    /// The key did not sign.
    #[error("the key cannot sign")]
    Key,
}

/// Why key and template do not go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the template says a={0}, and the key is one for {1}")]
pub struct Mismatch(&'static str, &'static str);

impl Signer {
    /// With that key, which must be of the template's algorithm.
    pub fn new(template: Template, key: Key) -> Result<Signer, Mismatch> {
        match template.algorithm == key.algorithm() {
            true => Ok(Signer { template, key }),
            false => Err(Mismatch(template.algorithm, key.algorithm())),
        }
    }

    /// How the body is hashed.
    pub fn body(&self) -> Canonicalization {
        self.template.body
    }

    /// The value of the field that signs this header and the body of that hash, at `now` (microseconds since the Unix epoch).
    /// It is one line until [`edit::field`] folds it, which it does in the signature itself alone.
    pub fn sign(&self, header: &[u8], body: &BodyHash, now: u64) -> Result<String, Unsigned> {
        let value = self.template.filled(&STANDARD.encode(body), now / 1_000_000);
        let mut signed = Vec::with_capacity(header.len() + value.len());
        let chosen = chosen(header, &self.template.headers);
        if !chosen.iter().any(|raw| fields(raw).any(|field| field.is("From"))) {
            return Err(Unsigned::NoFrom);
        }
        chosen.iter().for_each(|raw| canonical(self.template.header, raw, &mut signed));
        // Its own field comes last, without its signature and without an end of line (RFC 6376 §3.7).
        canonical(self.template.header, edit::field(FIELD, &value).as_bytes(), &mut signed);
        signed.truncate(signed.len().saturating_sub(b"\r\n".len()));
        let signature = STANDARD.encode(self.key.sign(&signed).ok_or(Unsigned::Key)?);
        Ok(value + &in_words(&signature))
    }
}

impl fmt::Display for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} by {}", self.template.algorithm, self.template.selector)
    }
}

/// Digits with blanks between, at which a long line may be folded.
fn in_words(digits: &str) -> String {
    let words: Vec<&[u8]> = digits.as_bytes().chunks(64).collect();
    words.iter().map(|word| String::from_utf8_lossy(word)).collect::<Vec<_>>().join(" ")
}

/// The fields of those names: of several the last one first (RFC 6376 §5.4.2). A name that no further field has signs that
/// there is none.
fn chosen<'a>(header: &'a [u8], names: &[Box<str>]) -> Vec<&'a [u8]> {
    let all: Vec<_> = fields(header).collect();
    let mut left: Vec<bool> = vec![true; all.len()];
    let mut chosen = Vec::new();
    for name in names {
        let place = (0..all.len()).rev().find(|place| left[*place] && all[*place].is(name));
        if let Some(place) = place {
            left[place] = false;
            chosen.push(all[place].raw);
        }
    }
    chosen
}

/// Appends a field in its canonical form, with its end of line (RFC 6376 §3.4.1, §3.4.2).
fn canonical(how: Canonicalization, raw: &[u8], to: &mut Vec<u8>) {
    let raw = raw.strip_suffix(b"\r\n").unwrap_or(raw);
    if how == Canonicalization::Simple {
        to.extend_from_slice(raw);
        return to.extend_from_slice(b"\r\n");
    }
    let colon = raw.iter().position(|octet| *octet == b':').unwrap_or(raw.len());
    let (name, value) = raw.split_at(colon);
    to.extend(name.iter().filter(|octet| !octet.is_ascii_whitespace()).map(u8::to_ascii_lowercase));
    to.push(b':');
    let words = value.get(1..).unwrap_or_default().split(|octet| b" \t\r\n".contains(octet));
    for (place, word) in words.filter(|word| !word.is_empty()).enumerate() {
        if place > 0 {
            to.push(b' ');
        }
        to.extend_from_slice(word);
    }
    to.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests;
