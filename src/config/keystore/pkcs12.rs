//! PKCS #12 (RFC 7292), what Java and OpenSSL write today.

use p12_keystore::error::Error;
use p12_keystore::{KeyStore, KeyStoreEntry, Pkcs12ImportPolicy};

use super::{Contents, Flaw, Key};
use crate::io::tls::{CertificateDer, PrivateKeyDer};

/// Reads a keystore.
pub fn read(octets: &[u8], password: &str) -> Result<Contents, Flaw> {
    // DER, a sequence: anything else is not worth the work of deriving keys.
    if octets.first() != Some(&0x30) {
        return Err(Flaw::Broken("it is neither JKS nor PKCS #12".to_owned()));
    }
    let store = |policy| KeyStore::from_pkcs12(octets, password, policy).map_err(flaw);
    let mut contents = Contents::default();
    for (_, entry) in store(Pkcs12ImportPolicy::Strict)?.entries() {
        match entry {
            KeyStoreEntry::PrivateKeyChain(chain) => contents.keys.push(Key {
                key: PrivateKeyDer::Pkcs8(chain.key().as_der().to_vec().into()),
                chain: chain.certs().iter().map(|certificate| certificate.as_der().to_vec().into()).collect(),
            }),
            KeyStoreEntry::Certificate(certificate) => contents.trusted.push(certificate.as_der().to_vec().into()),
            KeyStoreEntry::Secret(_) => {}
        }
    }
    // Only Java marks certificates as trusted. A file of others that holds no key is there for nothing else.
    if contents.keys.is_empty() && contents.trusted.is_empty() {
        for (_, entry) in store(Pkcs12ImportPolicy::Raw)?.entries() {
            if let KeyStoreEntry::Certificate(certificate) = entry {
                contents.trusted.push(CertificateDer::from(certificate.as_der().to_vec()));
            }
        }
    }
    Ok(contents)
}

fn flaw(error: Error) -> Flaw {
    match error {
        // Without a MAC a wrong password shows only in what comes out.
        Error::MacError(_) | Error::UnpadError | Error::Pkcs5Error(_) => Flaw::Password,
        Error::UnsupportedContentType
        | Error::UnsupportedCertificateType
        | Error::UnsupportedEncryptionScheme
        | Error::UnsupportedMacAlgorithm => {
            let command = "openssl pkcs12 -in OLD -nodes | openssl pkcs12 -export -out NEW";
            Flaw::Unsupported(format!("PKCS #12 of another kind ({error})"), format!("write it anew: {command}"))
        }
        error => Flaw::Broken(format!("it is no PKCS #12 ({error})")),
    }
}
