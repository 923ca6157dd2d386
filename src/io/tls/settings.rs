//! How a server speaks TLS.

use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::aws_lc_rs::{self, kx_group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::pki_types::CertificateDer;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{Error, RootCertStore, SupportedProtocolVersion};
use sha2::{Digest, Sha256};

use super::exporter::Exporters;
use super::identity::Identities;
use super::tickets::CoreTickets;
use crate::io::records::Offered;
use crate::mail::{CipherSuite, TlsVersion};

/// How keys are agreed on, in the order of preference: first what a quantum computer will not undo (X25519MLKEM768).
const GROUPS: [&'static dyn SupportedKxGroup; 4] =
    [kx_group::X25519MLKEM768, kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1];

/// The versions that are spoken where no others are named.
pub(super) static TLS_VERSIONS: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS13, &rustls::version::TLS12];

/// How a server speaks TLS.
#[derive(Debug)]
pub struct TlsSettings {
    /// What it shows of itself.
    pub identities: Identities,
    /// The versions that it speaks; all where empty.
    pub versions: Vec<TlsVersion>,
    /// The cipher suites that it has; all where empty.
    pub cipher_suites: Vec<CipherSuite>,
    /// A client must show a certificate of one of these; `None`: no client is asked for any.
    pub clients: Option<Vec<CertificateDer<'static>>>,
    /// The protocol inside, by its ALPN name (RFC 7301): a client that offers only others is refused, so that nobody can pass a
    /// connection of one protocol off as one of another.
    pub protocol: &'static str,
    /// How clients may resume sessions; `None`: not at all.
    pub tickets: Option<Tickets>,
    /// What the kernel is to be given the keys for, once the handshake is done.
    pub kernel: Offered,
}

/// How a server speaks TLS, ready for connections.
#[derive(Debug)]
pub struct ServerConfig {
    pub(super) rustls: Arc<rustls::ServerConfig>,
    pub(super) kernel: Offered,
}

/// Resumption by tickets (RFC 8446 §2.2, RFC 5077).
#[derive(Clone, Debug)]
pub struct Tickets {
    /// The server's name: a ticket of one is nothing to another, which may ask more of clients.
    pub server: String,
    /// How long a ticket is good, at most the seven days of RFC 8446 §4.6.1.
    pub lifetime: Duration,
}

/// The same, ready for connections.
pub fn server_config(settings: TlsSettings) -> Result<Arc<ServerConfig>, Error> {
    let provider = Arc::new(provider(&settings.cipher_suites));
    let versions: Vec<&SupportedProtocolVersion> =
        [(TlsVersion::Tls13, &rustls::version::TLS13), (TlsVersion::Tls12, &rustls::version::TLS12)]
            .into_iter()
            .filter(|(version, _)| settings.versions.is_empty() || settings.versions.contains(version))
            .map(|(_, supported)| supported)
            .collect();
    let builder = rustls::ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(&versions)?;
    let scope = settings.tickets.as_ref().map(|tickets| scope(tickets, settings.clients.as_deref()));
    let builder = match settings.clients {
        None => builder.with_no_client_auth(),
        Some(certificates) => {
            let roots = roots(certificates);
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .map_err(|error| Error::General(error.to_string()))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_cert_resolver(Arc::new(settings.identities));
    config.alpn_protocols = vec![settings.protocol.as_bytes().to_vec()];
    // All that there is is good; who asks what is preferred hears one answer.
    config.ignore_client_order = true;
    // Sessions are kept by the clients, in tickets: a table of them here would be shared by the cores, and need a lock.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.key_log = Arc::new(Exporters);
    if let (Some(tickets), Some(scope)) = (settings.tickets, scope) {
        config.ticketer = Arc::new(CoreTickets::new(scope, tickets.lifetime));
        config.send_tls13_tickets = 1;
    }
    config.enable_secret_extraction = !settings.kernel.is_empty();
    Ok(Arc::new(ServerConfig { rustls: Arc::new(config), kernel: settings.kernel }))
}

/// The certificates that others may be signed by; what is none is left out.
pub fn roots(certificates: Vec<CertificateDer<'static>>) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates);
    roots
}

/// The provider with these cipher suites; with all where there are none.
pub(super) fn provider(suites: &[CipherSuite]) -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    provider.kx_groups = GROUPS.to_vec();
    if !suites.is_empty() {
        provider.cipher_suites.retain(|known| suites.iter().any(|suite| suite.number() == u16::from(known.suite())));
    }
    provider
}

/// What a ticket is bound to: the server, and whose clients it lets in.
fn scope(tickets: &Tickets, clients: Option<&[CertificateDer<'static>]>) -> [u8; 32] {
    let mut digest = Sha256::new();
    digest.update((tickets.server.len() as u64).to_le_bytes());
    digest.update(&tickets.server);
    for certificate in clients.into_iter().flatten() {
        digest.update((certificate.len() as u64).to_le_bytes());
        digest.update(certificate);
    }
    digest.update([u8::from(clients.is_some())]);
    digest.finalize().into()
}
