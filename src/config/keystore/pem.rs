//! PEM (RFC 7468): keys, plain or under a passphrase, and certificates.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pkcs8::EncryptedPrivateKeyInfoRef;

use super::Flaw;
use crate::io::tls::{CertificateDer, PrivateKeyDer};

/// The first private key in the text.
pub fn private_key(text: &[u8], passphrase: Option<&str>) -> Result<PrivateKeyDer<'static>, Flaw> {
    let text = String::from_utf8_lossy(text);
    for (label, body) in sections(&text) {
        let plain = |body: &str| decode(body).ok_or_else(|| Flaw::Broken(format!("its {label} is no base64")));
        return match label {
            "PRIVATE KEY" => Ok(PrivateKeyDer::Pkcs8(plain(body)?.into())),
            "RSA PRIVATE KEY" | "EC PRIVATE KEY" if body.contains("ENCRYPTED") => Err(Flaw::Unsupported(
                "a key encrypted in the way that OpenSSL had of old".to_owned(),
                MODERN.to_owned(),
            )),
            "RSA PRIVATE KEY" => Ok(PrivateKeyDer::Pkcs1(plain(body)?.into())),
            "EC PRIVATE KEY" => Ok(PrivateKeyDer::Sec1(plain(body)?.into())),
            "ENCRYPTED PRIVATE KEY" => decrypt(&plain(body)?, passphrase),
            _ => continue,
        };
    }
    Err(Flaw::Broken("there is no private key in it".to_owned()))
}

/// All certificates in the text, in order.
pub fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, Flaw> {
    let text = String::from_utf8_lossy(text);
    let labels = ["CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE"];
    let bodies = sections(&text).filter(|(label, _)| labels.contains(label));
    let found: Option<Vec<_>> = bodies.map(|(_, body)| decode(body).map(CertificateDer::from)).collect();
    match found {
        Some(found) if found.is_empty() => Err(Flaw::Broken("there is no certificate in it".to_owned())),
        Some(found) => Ok(found),
        None => Err(Flaw::Broken("one of its certificates is no base64".to_owned())),
    }
}

/// How to make a key that is read out of one that is not.
const MODERN: &str = "write it anew: openssl pkcs8 -topk8 -v2 aes-256-cbc -in OLD -out NEW";

/// A key under a passphrase (PBES2, RFC 8018 §6.2).
fn decrypt(octets: &[u8], passphrase: Option<&str>) -> Result<PrivateKeyDer<'static>, Flaw> {
    let info = EncryptedPrivateKeyInfoRef::try_from(octets)
        .map_err(|_| Flaw::Unsupported("a key that is not encrypted by PBES2".to_owned(), MODERN.to_owned()))?;
    let Some(scheme) = info.encryption_algorithm.pbes2() else {
        return Err(Flaw::Unsupported("a key that is not encrypted by PBES2".to_owned(), MODERN.to_owned()));
    };
    if let Some(work) = scheme.kdf.pbkdf2().map(|kdf| kdf.iteration_count).filter(|count| *count > ITERATIONS) {
        return Err(Flaw::Broken(format!("its key takes {work} rounds to decrypt, and {ITERATIONS} is the most")));
    }
    if scheme.kdf.scrypt().is_some_and(|kdf| {
        kdf.cost_parameter.checked_mul(128 * u64::from(kdf.block_size)).is_none_or(|octets| octets > MEMORY)
            || kdf.parallelization > 16
    }) {
        return Err(Flaw::Broken("its key takes too much memory to decrypt".to_owned()));
    }
    let document = info.decrypt(passphrase.unwrap_or_default()).map_err(|_| Flaw::Password)?;
    Ok(PrivateKeyDer::Pkcs8(document.as_bytes().to_vec().into()))
}

/// Rounds of PBKDF2 at most.
const ITERATIONS: u32 = 10_000_000;

/// Octets of memory for scrypt at most.
const MEMORY: u64 = 256 << 20;

/// Label and body of each section.
fn sections(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (_, after) = rest.split_once("-----BEGIN ")?;
        let (label, after) = after.split_once("-----")?;
        let (body, after) = after.split_once("-----END ")?;
        rest = after;
        Some((label, body))
    })
}

fn decode(body: &str) -> Option<Vec<u8>> {
    let digits: String = body.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    STANDARD.decode(digits).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_text_is_read_without_harm(octets in proptest::collection::vec(any::<u8>(), 0..300), text in "(-----(BEGIN|END) (ENCRYPTED )?(PRIVATE KEY|CERTIFICATE)-----|[A-Z=\n ]{0,9}){0,9}") {
            let _ = (private_key(&octets, None), certificates(&octets));
            let _ = (private_key(text.as_bytes(), Some("x")), certificates(text.as_bytes()));
            let body = STANDARD.encode(&octets);
            let _ = private_key(format!("-----BEGIN ENCRYPTED PRIVATE KEY-----{body}-----END ").as_bytes(), Some("x"));
        }
    }
}
