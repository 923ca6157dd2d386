//! TLS by rustls in memory: what the server's side of a handshake and of bulk costs one core.

use super::Case;
use super::meter::Meter;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, SupportedProtocolVersion};
use std::io::{self, Read, Write};
use std::sync::Arc;

/// Octets of content that are sent at a time.
const PIECE: usize = 16 * 1024;

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("tls", "handshake, TLS 1.3, P-256", |_, meter| handshakes(meter, &rustls::version::TLS13, false)),
        Case::new("tls", "handshake, TLS 1.3, resumed", |_, meter| handshakes(meter, &rustls::version::TLS13, true)),
        Case::new("tls", "handshake, TLS 1.2, P-256", |_, meter| handshakes(meter, &rustls::version::TLS12, false)),
        Case::new("tls", "receive in TLS, 16 KiB at a time", receive),
        Case::new("tls", "send in TLS, 16 KiB at a time", send),
    ]
}

/// Settings of both sides that trust each other.
struct Sides {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

fn sides(version: &'static SupportedProtocolVersion, resume: bool) -> io::Result<Sides> {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).map_err(io::Error::other)?;
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).map_err(io::Error::other)?;
    let certificate = made.cert.der().clone();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let server = ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(&[version]);
    let server = server.map_err(io::Error::other)?.with_no_client_auth();
    let server = server.with_single_cert(vec![certificate.clone()], key).map_err(io::Error::other)?;
    let mut roots = RootCertStore::empty();
    roots.add(certificate).map_err(io::Error::other)?;
    let client = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[version]);
    let mut client = client.map_err(io::Error::other)?.with_root_certificates(roots).with_no_client_auth();
    if !resume {
        client.resumption = rustls::client::Resumption::disabled();
    }
    Ok(Sides { server: Arc::new(server), client: Arc::new(client) })
}

/// Both sides of a connection, and what is on its way between them.
struct Connection {
    server: ServerConnection,
    client: ClientConnection,
    to_server: Vec<u8>,
    to_client: Vec<u8>,
}

impl Connection {
    fn new(sides: &Sides) -> io::Result<Connection> {
        Connection::of(sides, ServerConnection::new(sides.server.clone()).map_err(io::Error::other)?)
    }

    fn of(sides: &Sides, server: ServerConnection) -> io::Result<Connection> {
        let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
        Ok(Connection {
            server,
            client: ClientConnection::new(sides.client.clone(), name).map_err(io::Error::other)?,
            to_server: Vec::new(),
            to_client: Vec::new(),
        })
    }

    fn client_turn(&mut self) -> io::Result<()> {
        let mut received = &self.to_client[..];
        while !received.is_empty() {
            self.client.read_tls(&mut received)?;
            self.client.process_new_packets().map_err(io::Error::other)?;
        }
        self.to_client.clear();
        while self.client.wants_write() {
            self.client.write_tls(&mut self.to_server)?;
        }
        Ok(())
    }

    fn server_turn(&mut self) -> io::Result<()> {
        let mut received = &self.to_server[..];
        while !received.is_empty() {
            self.server.read_tls(&mut received)?;
            self.server.process_new_packets().map_err(io::Error::other)?;
        }
        self.to_server.clear();
        while self.server.wants_write() {
            self.server.write_tls(&mut self.to_client)?;
        }
        Ok(())
    }

    /// Shakes hands; the meter runs while the server works.
    fn shake_hands(&mut self, meter: &mut Meter) -> io::Result<()> {
        while self.client.is_handshaking() || self.server.is_handshaking() {
            self.client_turn()?;
            meter.start();
            let turn = self.server_turn();
            meter.pause();
            turn?;
        }
        // What the server said last, such as tickets.
        self.client_turn()
    }
}

fn handshakes(meter: &mut Meter, version: &'static SupportedProtocolVersion, resume: bool) -> io::Result<()> {
    let sides = sides(version, resume)?;
    if resume {
        // The tickets of this one are what the first that counts resumes from.
        Connection::new(&sides)?.shake_hands(&mut Meter::new(std::time::Duration::ZERO))?;
    }
    while meter.goes_on() {
        meter.start();
        let server = ServerConnection::new(sides.server.clone());
        meter.pause();
        let mut connection = Connection::of(&sides, server.map_err(io::Error::other)?)?;
        connection.shake_hands(meter)?;
        meter.end_round(1, 0);
        let wanted = if resume { rustls::HandshakeKind::Resumed } else { rustls::HandshakeKind::Full };
        if connection.server.handshake_kind() != Some(wanted) {
            return Err(io::Error::other(format!("the handshake was {:?}", connection.server.handshake_kind())));
        }
    }
    Ok(())
}

fn receive(_: &super::Place, meter: &mut Meter) -> io::Result<()> {
    let mut connection = Connection::new(&sides(&rustls::version::TLS13, false)?)?;
    connection.shake_hands(&mut Meter::new(std::time::Duration::ZERO))?;
    let (content, mut place) = (vec![b'x'; PIECE], vec![0; PIECE]);
    while meter.goes_on() {
        connection.client.writer().write_all(&content)?;
        connection.client_turn()?;
        meter.round(1, || {
            connection.server_turn()?;
            connection.server.reader().read_exact(&mut place)?;
            Ok(PIECE as u64)
        })?;
    }
    Ok(())
}

fn send(_: &super::Place, meter: &mut Meter) -> io::Result<()> {
    let mut connection = Connection::new(&sides(&rustls::version::TLS13, false)?)?;
    connection.shake_hands(&mut Meter::new(std::time::Duration::ZERO))?;
    let (content, mut place) = (vec![b'x'; PIECE], vec![0; PIECE]);
    while meter.goes_on() {
        meter.round(1, || {
            connection.server.writer().write_all(&content)?;
            connection.server_turn()?;
            Ok(PIECE as u64)
        })?;
        connection.client_turn()?;
        connection.client.reader().read_exact(&mut place)?;
    }
    Ok(())
}
