//! What the server shows of itself: keys and certificates, and which of them for which name.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use webpki::EndEntityCert;

use super::end_point;

/// A key and its certificates.
#[derive(Clone, Debug)]
pub struct Identity {
    key: Arc<CertifiedKey>,
    names: Vec<String>,
}

/// Why key and certificates are of no use.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// There is no certificate.
    #[error("there is no certificate")]
    NoCertificate,
    /// The key is of a kind that is not supported, or broken.
    #[error("the key cannot be used: {0}")]
    Key(rustls::Error),
    /// The first certificate cannot be read.
    #[error("the certificate cannot be used: {0}")]
    Certificate(String),
    /// The certificate is of another key.
    #[error("the certificate is of another key")]
    Mismatch,
}

impl Identity {
    /// Of a key and its chain, the server's own certificate first.
    pub fn new(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<Identity, IdentityError> {
        let own = chain.first().ok_or(IdentityError::NoCertificate)?;
        let parsed = EndEntityCert::try_from(own).map_err(|error| IdentityError::Certificate(error.to_string()))?;
        let names = parsed.valid_dns_names().map(str::to_ascii_lowercase).collect();
        let key = CertifiedKey::new(chain, any_supported_type(&key).map_err(IdentityError::Key)?);
        match key.keys_match() {
            // A key that does not tell its public half is believed.
            Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {}
            Err(rustls::Error::InconsistentKeys(_)) => return Err(IdentityError::Mismatch),
            Err(error) => return Err(IdentityError::Certificate(error.to_string())),
        }
        Ok(Identity { key: Arc::new(key), names })
    }

    /// The names of hosts that its certificate is for, in lower case; `*.` stands for one label.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The certificates.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.key.cert
    }
}

/// All that a server can show: one for clients that ask for a name that nothing is known of, or for none, and others by name.
#[derive(Debug)]
pub struct Identities {
    default: Arc<CertifiedKey>,
    by_name: HashMap<String, Vec<Arc<CertifiedKey>>>,
}

impl Identities {
    /// Of the default one and others.
    pub fn new(default: &Identity, others: &[Identity]) -> Identities {
        let mut by_name: HashMap<String, Vec<Arc<CertifiedKey>>> = HashMap::new();
        for identity in std::iter::once(default).chain(others) {
            for name in &identity.names {
                by_name.entry(name.clone()).or_default().push(identity.key.clone());
            }
        }
        Identities { default: default.key.clone(), by_name }
    }

    /// Those for a name, in the order they were given; a certificate for the very name comes before one for its domain.
    fn of(&self, name: &str) -> impl Iterator<Item = &Arc<CertifiedKey>> {
        let name = name.to_ascii_lowercase();
        let wildcard = name.split_once('.').map(|(_, domain)| format!("*.{domain}"));
        let of_domain = wildcard.and_then(|wildcard| self.by_name.get(&wildcard));
        self.by_name.get(&name).into_iter().chain(of_domain).flatten()
    }
}

impl ResolvesServerCert for Identities {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let fits = |key: &&Arc<CertifiedKey>| key.key.choose_scheme(hello.signature_schemes()).is_some();
        let named = hello.server_name().and_then(|name| self.of(name).find(fits));
        let shown = named.unwrap_or(&self.default);
        if let Some(certificate) = shown.cert.first() {
            end_point::show(certificate);
        }
        Some(shown.clone())
    }
}
