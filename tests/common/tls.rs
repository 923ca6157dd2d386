//! Keys, certificates and clients for TLS: the files of `tests/keystores`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ringpost::mail::TlsVersion;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

/// The password of every keystore and key.
pub const SECRET: &str = "james72laBalle";

/// The name that the first certificate is for, and that of the second.
pub const NAME: &str = "mx.example.org";
pub const OTHER: &str = "mail.example.net";

pub fn keystore(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/keystores").join(name)
}

pub fn certificate(name: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(keystore(name)).expect("a certificate")
}

/// What names the first key and its certificates in `<tls>`.
pub fn pem() -> String {
    let (key, chain) = (keystore("mx-key.pem"), keystore("mx-chain.pem"));
    format!("<privateKey>{}</privateKey><certificates>{}</certificates>", key.display(), chain.display())
}

/// The same of the second.
pub fn other_pem() -> String {
    let (key, chain) = (keystore("net-key.pem"), keystore("net-chain.pem"));
    format!("<privateKey>{}</privateKey><certificates>{}</certificates>", key.display(), chain.display())
}

fn builder(versions: &[TlsVersion]) -> rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert> {
    let versions: Vec<_> = versions
        .iter()
        .map(|version| match version {
            TlsVersion::Tls12 => &rustls::version::TLS12,
            TlsVersion::Tls13 => &rustls::version::TLS13,
        })
        .collect();
    let mut roots = RootCertStore::empty();
    roots.add(certificate("server-ca.pem")).expect("an authority");
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_protocol_versions(&versions)
        .expect("versions")
        .with_root_certificates(roots)
}

/// A client that trusts the test's authority, speaks these versions and offers these protocols.
pub fn client(versions: &[TlsVersion], protocols: &[&str]) -> Arc<ClientConfig> {
    let mut config = builder(versions).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    Arc::new(config)
}

/// A client that speaks both versions and offers no protocol.
pub fn any_client() -> Arc<ClientConfig> {
    client(&TlsVersion::ALL, &[])
}

/// A client with a certificate and key of these names.
pub fn client_with(certificate_name: &str, key: &str) -> Arc<ClientConfig> {
    let key = PrivateKeyDer::from_pem_file(keystore(key)).expect("a key");
    let config = builder(&TlsVersion::ALL).with_client_auth_cert(vec![certificate(certificate_name)], key);
    Arc::new(config.expect("a certificate"))
}
