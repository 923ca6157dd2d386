//! TLS for tests: certificates of our own making, whom a client trusts, and a stream that may or may not be encrypted.

use mio::net::TcpStream;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, Connection, DigitallySignedStruct, RootCertStore, ServerConfig, ServerConnection,
    SignatureScheme,
};
use std::io::{self, IoSlice, Read, Write};
use std::path::Path;
use std::sync::Arc;

/// A certificate and its key, made on the spot, as PEM. The certificate signs itself, so it is its own authority.
pub struct SelfMade {
    /// The certificate.
    pub certificate: String,
    /// Its private key (PKCS #8).
    pub key: String,
}

impl SelfMade {
    /// For these host names and addresses.
    pub fn new(names: &[&str]) -> Result<SelfMade, String> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_string()).collect();
        let made = rcgen::generate_simple_self_signed(names).map_err(|error| format!("certificate: {error}"))?;
        Ok(SelfMade { certificate: made.cert.pem(), key: made.signing_key.serialize_pem() })
    }
}

/// Whose certificates a client takes.
#[derive(Clone, Copy, Debug)]
pub enum Trust<'a> {
    /// Those signed by an authority of this PEM file, for the right name.
    Authority(&'a Path),
    /// Any. Encrypted, but for all we know with a stranger.
    Anyone,
}

/// A client's side: TLS 1.2 and 1.3. Without `resumption` every connection makes the whole handshake.
pub fn client_config(trust: Trust<'_>, resumption: bool) -> Result<Arc<ClientConfig>, String> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = match trust {
        Trust::Anyone => Arc::new(Anyone(provider.clone())),
        Trust::Authority(path) => {
            let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(authorities(path)?), provider.clone());
            verifier.build().map_err(|error| format!("{}: {error}", path.display()))?
        }
    };
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| error.to_string())?;
    let mut config = builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    if !resumption {
        config.resumption = Resumption::disabled();
    }
    Ok(Arc::new(config))
}

fn authorities(path: &Path) -> Result<RootCertStore, String> {
    let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| failed(&error))? {
        store.add(certificate.map_err(|error| failed(&error))?).map_err(|error| failed(&error))?;
    }
    if store.is_empty() { Err(failed(&"no certificate in it")) } else { Ok(store) }
}

/// A server's side with one certificate chain and its key, both PEM.
pub fn server_config(chain: &[u8], key: &[u8]) -> Result<Arc<ServerConfig>, String> {
    let chain = CertificateDer::pem_slice_iter(chain).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|error| format!("certificate: {error}"))?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| format!("key: {error}"))?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| error.to_string())?.with_no_client_auth();
    Ok(Arc::new(builder.with_single_cert(chain, key).map_err(|error| format!("certificate and key: {error}"))?))
}

/// Takes every certificate, and still checks that its owner holds the key.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// A stream that does not block: plain, or under TLS from some moment on.
pub struct Transport {
    tcp: TcpStream,
    tls: Option<Box<Connection>>,
}

impl Transport {
    /// A plain stream.
    pub fn new(tcp: TcpStream) -> Transport {
        Transport { tcp, tls: None }
    }

    /// The stream below.
    pub fn tcp(&mut self) -> &mut TcpStream {
        &mut self.tcp
    }

    /// Whether TLS has begun.
    pub fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Begins TLS as a client of the server `name`.
    pub fn begin_client(&mut self, config: &Arc<ClientConfig>, name: &ServerName<'static>) -> io::Result<()> {
        let client = ClientConnection::new(config.clone(), name.clone()).map_err(io::Error::other)?;
        self.tls = Some(Box::new(client.into()));
        Ok(())
    }

    /// Begins TLS as a server.
    pub fn begin_server(&mut self, config: &Arc<ServerConfig>) -> io::Result<()> {
        let server = ServerConnection::new(config.clone()).map_err(io::Error::other)?;
        self.tls = Some(Box::new(server.into()));
        Ok(())
    }

    /// Goes on with the handshake as far as it goes without waiting; true once it is over, or there is none.
    pub fn handshake(&mut self) -> io::Result<bool> {
        loop {
            self.push()?;
            let Some(tls) = self.tls.as_mut().filter(|tls| tls.is_handshaking()) else { return Ok(true) };
            match take_in(tls, &mut self.tcp) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Hands what was encrypted to the kernel; true if nothing is left.
    pub fn push(&mut self) -> io::Result<bool> {
        let Some(tls) = &mut self.tls else { return Ok(true) };
        while tls.wants_write() {
            match tls.write_tls(&mut self.tcp) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Says that nothing more will be sent (close_notify), as far as that goes without waiting.
    pub fn close(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
            // Whoever closes does not wait for a peer that takes nothing.
            let _ = self.push();
        }
    }

    fn write_with(&mut self, write: impl Fn(&mut dyn Write) -> io::Result<usize>) -> io::Result<usize> {
        if !self.push()? {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let Some(tls) = &mut self.tls else { return write(&mut self.tcp) };
        let written = write(&mut tls.writer())?;
        self.push()?;
        Ok(written)
    }
}

/// Reads ciphertext once and decrypts it.
fn take_in(tls: &mut Connection, tcp: &mut TcpStream) -> io::Result<usize> {
    let count = tls.read_tls(tcp)?;
    if let Err(error) = tls.process_new_packets() {
        // The alert says to the peer why; whether it can still be sent changes nothing here.
        let _ = tls.write_tls(tcp);
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("TLS: {error}")));
    }
    Ok(count)
}

impl Read for Transport {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else { return self.tcp.read(buffer) };
        loop {
            match tls.reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read,
            }
            if take_in(tls, &mut self.tcp)? == 0 {
                return Ok(0);
            }
        }
    }
}

impl Write for Transport {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.write_with(|stream| stream.write(octets))
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.write_with(|stream| stream.write_vectored(slices))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.push().map(drop)
    }
}
