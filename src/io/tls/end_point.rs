//! tls-server-end-point (RFC 5929 §4): the hash of the certificate that the server showed, which binds what is proved inside of
//! TLS to that server. It is there in TLS 1.2 too, and not where a session is resumed, for then no certificate is shown.

use std::cell::Cell;

use sha2::{Digest, Sha256, Sha384, Sha512};

use crate::mail::EndPoint;

thread_local! {
    /// Of the handshake that is being driven.
    static SHOWN: Cell<Option<EndPoint>> = const { Cell::new(None) };
}

/// This certificate, in DER, is about to be shown.
pub(super) fn show(certificate: &[u8]) {
    SHOWN.set(end_point(certificate));
}

/// What was shown in the handshake that was driven last on this thread, if anything.
pub(super) fn take_shown() -> Option<EndPoint> {
    SHOWN.take()
}

/// The hash is that of the certificate's signature, SHA-256 in place of MD5 and SHA-1; a signature that names no single hash
/// binds nothing.
fn end_point(certificate: &[u8]) -> Option<EndPoint> {
    let whole = element(certificate, 0x30)?.0;
    let (_, after_content) = element(whole, 0x30)?;
    let algorithm = element(after_content, 0x30)?.0;
    Some(match element(algorithm, 0x06)?.0 {
        // RSA with MD5, SHA-1, SHA-256; ECDSA with SHA-1, SHA-256.
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x04 | 0x05 | 0x0b]
        | [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x01]
        | [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02] => EndPoint::Sha256(Sha256::digest(certificate).into()),
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0c] | [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03] => {
            EndPoint::Sha384(Sha384::digest(certificate).into())
        }
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0d] | [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x04] => {
            EndPoint::Sha512(Sha512::digest(certificate).into())
        }
        _ => return None,
    })
}

/// The content of the DER element in front, which must have this tag, and what follows it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, rest) = der.split_first()?;
    let (length, rest) = rest.split_first()?;
    let (length, rest) = match *length {
        short @ 0..=0x7f => (usize::from(short), rest),
        long @ 0x81..=0x83 => {
            let (octets, rest) = rest.split_at_checked(usize::from(long & 0x7f))?;
            (octets.iter().fold(0, |length, octet| length << 8 | usize::from(*octet)), rest)
        }
        _ => return None,
    };
    (*found == tag).then(|| rest.split_at_checked(length)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn certificate(algorithm: &'static rcgen::SignatureAlgorithm) -> Vec<u8> {
        let key = rcgen::KeyPair::generate_for(algorithm).expect("a key");
        let params = rcgen::CertificateParams::new(vec!["mx.example.org".into()]).expect("a name");
        params.self_signed(&key).expect("a certificate").der().to_vec()
    }

    #[test]
    fn the_hash_is_that_of_the_signature() {
        let of = |algorithm| {
            let der = certificate(algorithm);
            (end_point(&der), der)
        };
        let (found, der) = of(&rcgen::PKCS_ECDSA_P256_SHA256);
        assert_eq!(found, Some(EndPoint::Sha256(Sha256::digest(der).into())));
        let (found, der) = of(&rcgen::PKCS_ECDSA_P384_SHA384);
        assert_eq!(found, Some(EndPoint::Sha384(Sha384::digest(der).into())));
        assert_eq!(of(&rcgen::PKCS_ED25519).0, None, "it names no hash");
    }

    proptest! {
        #[test]
        fn what_is_no_certificate_binds_nothing(octets in prop::collection::vec(any::<u8>(), 0..80)) {
            prop_assert_eq!(end_point(&octets), None);
        }
    }
}
