//! The key that signs.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair as RsaKeyPair;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256};
use sha2::{Digest, Sha256};

/// Bits that a key of RSA must have (RFC 8301 §3.2).
const RSA_BITS: usize = 1024;

/// A private key; clones are the same one.
#[derive(Clone)]
pub struct Key(Arc<Kind>);

enum Kind {
    Rsa(RsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// Why octets are no key for signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It is no key of RSA and none of Ed25519, or is broken.
    #[error("it is no private key of RSA or Ed25519")]
    Kind,
    /// It is too short.
    #[error("a key of RSA with fewer than 1024 bits is not accepted by anybody (RFC 8301)")]
    Short,
}

impl Key {
    /// Of PKCS #8 (RFC 5958).
    pub fn from_pkcs8(der: &[u8]) -> Result<Key, KeyError> {
        match RsaKeyPair::from_pkcs8(der) {
            Ok(key) => Key::rsa(key),
            Err(_) => {
                let key = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map_err(|_| KeyError::Kind)?;
                Ok(Key(Arc::new(Kind::Ed25519(key))))
            }
        }
    }

    /// Of PKCS #1 (RFC 8017 §A.1.2).
    pub fn from_pkcs1(der: &[u8]) -> Result<Key, KeyError> {
        Key::rsa(RsaKeyPair::from_der(der).map_err(|_| KeyError::Kind)?)
    }

    fn rsa(key: RsaKeyPair) -> Result<Key, KeyError> {
        match key.public_modulus_len() * 8 < RSA_BITS {
            true => Err(KeyError::Short),
            false => Ok(Key(Arc::new(Kind::Rsa(key)))),
        }
    }

    /// What `a=` says of it (RFC 6376 §3.3, RFC 8463 §3).
    pub fn algorithm(&self) -> &'static str {
        match *self.0 {
            Kind::Rsa(_) => "rsa-sha256",
            Kind::Ed25519(_) => "ed25519-sha256",
        }
    }

    fn public(&self) -> &[u8] {
        match &*self.0 {
            Kind::Rsa(key) => key.public_key().as_ref(),
            Kind::Ed25519(key) => key.public_key().as_ref(),
        }
    }

    /// The signature of these octets.
    pub(super) fn sign(&self, octets: &[u8]) -> Option<Vec<u8>> {
        match &*self.0 {
            Kind::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), octets, &mut signature).ok()?;
                Some(signature)
            }
            Kind::Ed25519(key) => Some(key.sign(&Sha256::digest(octets)).as_ref().to_vec()),
        }
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Key) -> bool {
        self.public() == other.public()
    }
}

impl Eq for Key {}

/// Says nothing of what is secret.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.algorithm())
    }
}
