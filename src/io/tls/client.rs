//! How a client speaks TLS, and whom it believes.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, UnbufferedClientConnection, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::settings::{TLS_VERSIONS, provider};

/// Whom a client believes.
#[derive(Clone, Debug)]
pub enum Verification {
    /// Whoever shows a certificate of that name that one of these has signed, or somebody whom they have.
    Full(Arc<RootCertStore>),
    /// The same, whatever the name.
    AnyName(Arc<RootCertStore>),
    /// Anybody: nobody who only listens hears anything (RFC 7435), and whoever can answer in the server's place might as well
    /// have kept TLS from being offered.
    Nothing,
}

/// How a client begins TLS with one server; clones are cheap.
#[derive(Clone, Debug)]
pub struct ClientTls {
    config: Arc<ClientConfig>,
    server: ServerName<'static>,
}

impl ClientTls {
    /// With the server of this name, or address. One whose name no certificate could have is believed only where nothing is
    /// verified, and is not told whom we mean.
    ///
    /// # Errors
    ///
    /// Where the server is to be verified and its name cannot be.
    pub fn new(config: &ClientTlsConfig, server: &str) -> Result<ClientTls, Error> {
        let name = ServerName::try_from(server.trim_end_matches('.').to_owned());
        let server = match (name, config.verifies) {
            (Ok(name), _) => name,
            (Err(_), true) => return Err(Error::InvalidCertificate(CertificateError::NotValidForName)),
            (Err(_), false) => ServerName::IpAddress(std::net::Ipv4Addr::UNSPECIFIED.into()),
        };
        Ok(ClientTls { config: config.config.clone(), server })
    }

    pub(super) fn connection(&self) -> Result<UnbufferedClientConnection, Error> {
        UnbufferedClientConnection::new(self.config.clone(), self.server.clone())
    }
}

/// How a client speaks TLS with any server; made once, for it knows all authorities.
#[derive(Clone, Debug)]
pub struct ClientTlsConfig {
    config: Arc<ClientConfig>,
    /// A name is asked for.
    verifies: bool,
}

impl ClientTlsConfig {
    /// With TLS 1.2 and 1.3, no certificate of its own, no ALPN, and no session that is taken up again: rustls' memory of them is
    /// shared, behind a lock.
    ///
    /// # Errors
    ///
    /// Where there is nobody to believe, but somebody must be.
    pub fn new(verification: &Verification) -> Result<ClientTlsConfig, Error> {
        let provider = Arc::new(provider(&[]));
        let builder = ClientConfig::builder_with_provider(provider.clone()).with_protocol_versions(&TLS_VERSIONS)?;
        let (roots, any_name) = match verification {
            Verification::Full(roots) => (Some(roots), false),
            Verification::AnyName(roots) => (Some(roots), true),
            Verification::Nothing => (None, true),
        };
        let chain = match roots {
            None => None,
            Some(roots) => {
                let built = WebPkiServerVerifier::builder_with_provider(roots.clone(), provider.clone()).build();
                Some(built.map_err(|error| Error::General(error.to_string()))?)
            }
        };
        let verifier = Arc::new(Verifier { chain, any_name, provider });
        let mut config = builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
        config.resumption = Resumption::disabled();
        Ok(ClientTlsConfig { config: Arc::new(config), verifies: !any_name })
    }
}

/// Believes as was asked for. Where anybody is believed, the certificate is not even read: many that are of no other use stand
/// in front of mail servers, and a connection in clear would be no better.
#[derive(Debug)]
struct Verifier {
    /// `None`: any certificate will do.
    chain: Option<Arc<WebPkiServerVerifier>>,
    any_name: bool,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(chain) = &self.chain else { return Ok(ServerCertVerified::assertion()) };
        // The name is looked at last, when the chain is known to be right.
        match chain.verify_server_cert(certificate, intermediates, name, ocsp, now) {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if self.any_name => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        match self.chain {
            None => Ok(HandshakeSignatureValid::assertion()),
            Some(_) => {
                verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
            }
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        match self.chain {
            None => Ok(HandshakeSignatureValid::assertion()),
            Some(_) => {
                verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
            }
        }
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
