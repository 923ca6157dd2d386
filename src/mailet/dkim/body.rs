//! The hash of a body, computed while it passes by (RFC 6376 §3.4.3, §3.4.4).

use sha2::{Digest, Sha256};

/// What may change on the way without harm to a signature (RFC 6376 §3.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Canonicalization {
    /// Almost nothing.
    #[default]
    Simple,
    /// White space.
    Relaxed,
}

impl Canonicalization {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Canonicalization::Simple => "simple",
            Canonicalization::Relaxed => "relaxed",
        }
    }

    /// The one of that name.
    pub fn named(name: &str) -> Option<Canonicalization> {
        [Canonicalization::Simple, Canonicalization::Relaxed].into_iter().find(|one| one.name() == name)
    }
}

/// The hash of a body (SHA-256).
pub type BodyHash = [u8; 32];

/// Takes in a body, slice by slice; holds none of it.
#[derive(Clone, Debug)]
pub struct BodyHasher {
    how: Canonicalization,
    digest: Sha256,
    /// Ends of line that count only if something follows.
    ends: u64,
    /// White space that counts only if something follows in its line.
    space: bool,
    /// The last octet was a CR.
    cr: bool,
    /// Something counted.
    any: bool,
}

impl BodyHasher {
    /// At the start of a body.
    pub fn new(how: Canonicalization) -> BodyHasher {
        BodyHasher { how, digest: Sha256::new(), ends: 0, space: false, cr: false, any: false }
    }

    /// Takes in what follows, without stuffed dots.
    pub fn push(&mut self, slice: &[u8]) {
        let mut rest = slice;
        while let Some(octet) = rest.first() {
            if std::mem::take(&mut self.cr) {
                if *octet == b'\n' {
                    (self.ends, self.space, rest) = (self.ends + 1, false, &rest[1..]);
                    continue;
                }
                self.content(b"\r");
            }
            match octet {
                b'\r' => (self.cr, rest) = (true, &rest[1..]),
                b' ' | b'\t' if self.how == Canonicalization::Relaxed => (self.space, rest) = (true, &rest[1..]),
                _ => {
                    let relaxed = self.how == Canonicalization::Relaxed;
                    let special = |octet: &u8| *octet == b'\r' || relaxed && (*octet == b' ' || *octet == b'\t');
                    let (text, after) = rest.split_at(rest.iter().position(special).unwrap_or(rest.len()));
                    self.content(text);
                    rest = after;
                }
            }
        }
    }

    fn content(&mut self, text: &[u8]) {
        for _ in 0..std::mem::take(&mut self.ends) {
            self.digest.update(b"\r\n");
        }
        if std::mem::take(&mut self.space) {
            self.digest.update(b" ");
        }
        self.digest.update(text);
        self.any = true;
    }

    /// The hash, once all of the body has passed.
    pub fn finish(mut self) -> BodyHash {
        if std::mem::take(&mut self.cr) {
            self.content(b"\r");
        }
        if self.any || self.how == Canonicalization::Simple {
            self.digest.update(b"\r\n");
        }
        self.digest.finalize().into()
    }
}

/// The hash of a whole body.
pub fn hash(how: Canonicalization, body: &[u8]) -> BodyHash {
    let mut hasher = BodyHasher::new(how);
    hasher.push(body);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    /// As the RFC says it, line by line.
    fn naive(how: Canonicalization, body: &[u8]) -> Vec<u8> {
        let text: String = body.iter().map(|octet| char::from(*octet)).collect();
        let mut lines: Vec<String> = text.split("\r\n").map(str::to_owned).collect();
        if how == Canonicalization::Relaxed {
            for line in &mut lines {
                let mut out = String::new();
                for c in line.chars() {
                    match c {
                        ' ' | '\t' if out.ends_with(' ') => {}
                        ' ' | '\t' => out.push(' '),
                        c => out.push(c),
                    }
                }
                *line = out.trim_end_matches(' ').to_owned();
            }
        }
        while lines.last().is_some_and(String::is_empty) {
            lines.pop();
        }
        let mut out: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
        if out.is_empty() && how == Canonicalization::Simple {
            out.push_str("\r\n");
        }
        out.chars().map(|c| c as u8).collect()
    }

    #[test]
    fn an_empty_body_has_the_hash_of_the_rfc() {
        // RFC 6376 §3.4.3 and §3.4.4.
        let of = |how| STANDARD.encode(hash(how, b""));
        assert_eq!(of(Canonicalization::Simple), "frcCV1k9oG9oKj3dpUqdJg1PxRT2RSN/XKdLCPjaYaY=");
        assert_eq!(of(Canonicalization::Relaxed), "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
    }

    proptest! {
        #[test]
        fn slices_make_no_difference(body in "( |\t|\r\n|\r|\n|a|\\.){0,30}", cut in 0usize..30, second in 0usize..30, relaxed in any::<bool>()) {
            let how = if relaxed { Canonicalization::Relaxed } else { Canonicalization::Simple };
            let body = body.as_bytes();
            let cut = cut.min(body.len());
            let second = second.clamp(cut, body.len().max(cut));
            let mut hasher = BodyHasher::new(how);
            [&body[..cut], &body[cut..second], &body[second..]].iter().for_each(|slice| hasher.push(slice));
            let expected: BodyHash = Sha256::digest(naive(how, body)).into();
            prop_assert_eq!(hasher.finish(), expected);
        }
    }
}
