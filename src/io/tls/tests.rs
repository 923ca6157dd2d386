//! TLS over a pipe in memory, with the client of rustls at the other end.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use proptest::prelude::*;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection};

use super::*;
use crate::io::Stream;
use crate::io::records::Offered;
use crate::mail::TlsVersion;

mod client;
mod kernel;

/// One direction of a pipe.
#[derive(Clone, Default)]
struct Pipe(Rc<RefCell<VecDeque<u8>>>);

/// The server's end: reads at most `read` octets at a time and takes at most `write`, so that nothing comes in whole pieces.
struct Wire {
    from_client: Pipe,
    to_client: Pipe,
    read: usize,
    write: usize,
    /// Nothing more will come.
    ended: Rc<RefCell<bool>>,
}

impl Stream for Wire {
    fn poll_read(&mut self, _: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let room = self.read.min(buffer.len());
        let octets = self.from_client.0.borrow_mut().read(&mut buffer[..room])?;
        if octets == 0 && !*self.ended.borrow() { Poll::Pending } else { Poll::Ready(Ok(octets)) }
    }

    fn read_now(&mut self, buffer: &mut [u8]) -> usize {
        let room = self.read.min(buffer.len());
        self.from_client.0.borrow_mut().read(&mut buffer[..room]).unwrap_or(0)
    }

    fn poll_write(&mut self, _: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        let octets = self.write.min(buffer.len());
        self.to_client.0.borrow_mut().extend(&buffer[..octets]);
        Poll::Ready(Ok(octets))
    }

    fn shutdown(&mut self) {}
}

struct Pair<T = TlsStream<Wire>> {
    server: T,
    client: ClientConnection,
    from_client: Pipe,
    to_client: Pipe,
    ended: Rc<RefCell<bool>>,
    /// What the client was sent.
    heard: Vec<u8>,
}

fn identity(names: &[&str]) -> Identity {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    Identity::new(vec![made.cert.der().clone()], key).unwrap()
}

fn settings(default: &Identity, others: &[Identity]) -> TlsSettings {
    TlsSettings {
        identities: Identities::new(default, others),
        versions: Vec::new(),
        cipher_suites: Vec::new(),
        clients: None,
        protocol: "smtp",
        tickets: Some(Tickets { server: "test".into(), lifetime: Duration::from_secs(3600) }),
        kernel: Offered::default(),
    }
}

fn client_config(trusted: &[&Identity], version: TlsVersion) -> ClientConfig {
    let certificates = trusted.iter().map(|identity| identity.chain()[0].clone()).collect();
    let version = if version == TlsVersion::Tls13 { &rustls::version::TLS13 } else { &rustls::version::TLS12 };
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.kx_groups.sort_by_key(|group| group.name() != rustls::NamedGroup::X25519MLKEM768);
    ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots(certificates))
        .with_no_client_auth()
}

impl Pair {
    fn new(server: Arc<ServerConfig>, client: Arc<ClientConfig>, name: &str, read: usize, write: usize) -> Pair {
        let (from_client, to_client) = (Pipe::default(), Pipe::default());
        let ended = Rc::default();
        let wire = Wire {
            from_client: from_client.clone(),
            to_client: to_client.clone(),
            read,
            write,
            ended: Rc::clone(&ended),
        };
        let server = TlsStream::new(wire, server, &[]).unwrap();
        let client = ClientConnection::new(client, ServerName::try_from(name.to_owned()).unwrap()).unwrap();
        Pair { server, client, from_client, to_client, ended, heard: Vec::new() }
    }

    fn shake_hands(&mut self) -> io::Result<()> {
        let mut context = Context::from_waker(Waker::noop());
        for _ in 0..10_000 {
            let told = self.exchange();
            match self.server.poll_handshake(&mut context) {
                Poll::Ready(result) => {
                    result?;
                    self.exchange().map_err(io::Error::other)?;
                    return Ok(());
                }
                Poll::Pending => told.map_err(io::Error::other)?,
            }
        }
        Err(io::ErrorKind::TimedOut.into())
    }
}

impl<T: Stream> Pair<T> {
    /// Brings everything that the client has to send on its way, and what the server sent to it.
    fn exchange(&mut self) -> Result<(), rustls::Error> {
        while self.client.wants_write() {
            self.client.write_tls(&mut *self.from_client.0.borrow_mut()).unwrap();
        }
        while !self.to_client.0.borrow().is_empty() {
            self.client.read_tls(&mut *self.to_client.0.borrow_mut()).unwrap();
            self.client.process_new_packets()?;
            let _ = self.client.reader().read_to_end(&mut self.heard);
        }
        Ok(())
    }

    /// Reads until there is nothing, by buffers of so many octets.
    fn read(&mut self, buffer: usize) -> io::Result<(Vec<u8>, bool)> {
        let mut context = Context::from_waker(Waker::noop());
        let (mut read, mut buffer, mut idle) = (Vec::new(), vec![0; buffer], 0);
        while idle < 3 {
            self.exchange().map_err(io::Error::other)?;
            match self.server.poll_read(&mut context, &mut buffer) {
                Poll::Ready(Ok(0)) => return Ok((read, true)),
                Poll::Ready(Ok(octets)) => read.extend_from_slice(&buffer[..octets]),
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending if self.from_client.0.borrow().is_empty() => idle += 1,
                Poll::Pending => {}
            }
        }
        Ok((read, false))
    }

    fn write(&mut self, mut octets: &[u8]) {
        let mut context = Context::from_waker(Waker::noop());
        while !octets.is_empty() {
            match self.server.poll_write(&mut context, octets) {
                Poll::Ready(written) => octets = &octets[written.unwrap()..],
                Poll::Pending => self.exchange().unwrap(),
            }
        }
    }

    fn read_by_client(&mut self) -> Vec<u8> {
        self.exchange().unwrap();
        std::mem::take(&mut self.heard)
    }
}

fn connected(version: TlsVersion, read: usize, write: usize) -> Pair {
    let own = identity(&["mx.example.org"]);
    let config = client_config(&[&own], version);
    let server = server_config(settings(&own, &[])).unwrap();
    let mut pair = Pair::new(server, Arc::new(config), "mx.example.org", read, write);
    pair.shake_hands().unwrap();
    pair
}

#[test]
fn both_versions_are_spoken_and_told_of() {
    for (version, suite) in
        [(TlsVersion::Tls13, "TLS_AES_256_GCM_SHA384"), (TlsVersion::Tls12, "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384")]
    {
        let mut pair = connected(version, usize::MAX, usize::MAX);
        let tls = pair.server.secured_with().unwrap();
        assert_eq!((tls.version, tls.cipher.name()), (version, suite));
        let group = if version == TlsVersion::Tls13 { "X25519MLKEM768" } else { "X25519" };
        assert_eq!(pair.server.agreed().unwrap().key_exchange(), group);
        let binding = pair.client.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(b"")).unwrap();
        let expected = (version == TlsVersion::Tls13).then_some(binding);
        assert_eq!(pair.server.agreed().unwrap().exporter, expected, "tls-exporter is what the other end says");
        pair.client.writer().write_all(b"EHLO client\r\n").unwrap();
        assert_eq!(pair.read(100).unwrap(), (b"EHLO client\r\n".to_vec(), false));
        pair.write(b"250 OK\r\n");
        assert_eq!(pair.read_by_client(), b"250 OK\r\n");
        assert_eq!(pair.server.held(), 0, "between records nothing is held");
    }
}

#[test]
fn the_exporter_of_the_other_hash_too() {
    let own = identity(&["mx.example.org"]);
    let suites = vec![crate::mail::CipherSuite::named("TLS_AES_128_GCM_SHA256").unwrap()];
    let server = server_config(TlsSettings { cipher_suites: suites, ..settings(&own, &[]) }).unwrap();
    let config = Arc::new(client_config(&[&own], TlsVersion::Tls13));
    let mut pair = Pair::new(server, config, "mx.example.org", 1000, 1000);
    pair.shake_hands().unwrap();
    let binding = pair.client.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(b"")).unwrap();
    assert_eq!(pair.server.agreed().unwrap().exporter, Some(binding));
}

#[test]
fn the_end_is_told_and_truncation_is_an_error() {
    for version in TlsVersion::ALL {
        let mut pair = connected(version, usize::MAX, usize::MAX);
        pair.client.writer().write_all(b"DATA\r\n").unwrap();
        pair.client.send_close_notify();
        assert_eq!(pair.read(100).unwrap(), (b"DATA\r\n".to_vec(), true));
        pair.write(b"still said");
        assert_eq!(pair.read_by_client(), b"still said");
        pair.server.shutdown();
        assert_eq!(pair.read_by_client(), b"");
        assert!(!pair.client.wants_read(), "the client has seen close_notify");

        let mut pair = connected(version, usize::MAX, usize::MAX);
        pair.client.writer().write_all(b"DATA\r\n").unwrap();
        assert_eq!(pair.read(100).unwrap().0, b"DATA\r\n");
        *pair.ended.borrow_mut() = true;
        assert_eq!(pair.read(100).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert!(pair.server.poll_write(&mut Context::from_waker(Waker::noop()), b"x").is_ready());
    }
}

#[test]
fn nothing_is_said_in_clear_before_the_handshake_is_done_or_after_it_failed() {
    let own = identity(&["mx.example.org"]);
    let server = server_config(settings(&own, &[])).unwrap();
    let config = Arc::new(client_config(&[&own], TlsVersion::Tls13));
    let mut pair = Pair::new(server, config, "mx.example.org", usize::MAX, usize::MAX);
    let mut context = Context::from_waker(Waker::noop());
    let error = |result: Poll<io::Result<usize>>| match result {
        Poll::Ready(Err(error)) => error.kind(),
        other => panic!("{other:?}"),
    };
    assert_eq!(error(pair.server.poll_write(&mut context, b"421 bye\r\n")), io::ErrorKind::NotConnected);
    assert_eq!(error(pair.server.poll_read(&mut context, &mut [0; 9])), io::ErrorKind::NotConnected);
    pair.from_client.0.borrow_mut().extend(b"EHLO evil\r\nMAIL FROM:<a@b>\r\n");
    assert!(matches!(pair.server.poll_handshake(&mut context), Poll::Ready(Err(_))));
    pair.server.shutdown();
    assert_eq!(error(pair.server.poll_write(&mut context, b"421 bye\r\n")), io::ErrorKind::NotConnected);
    let sent: Vec<u8> = pair.to_client.0.borrow().iter().copied().collect();
    assert!(sent.first() == Some(&21) && sent.len() == 7, "one alert: {sent:?}");
}

#[test]
fn names_decide_which_certificate_is_shown() {
    let own = identity(&["mx.example.org"]);
    let others = [identity(&["mail.example.net"]), identity(&["*.example.com"])];
    let server = server_config(settings(&own, &others)).unwrap();
    let shown = |name: &str, trusted: &Identity| {
        let config = Arc::new(client_config(&[trusted], TlsVersion::Tls13));
        Pair::new(server.clone(), config, name, usize::MAX, usize::MAX).shake_hands().is_ok()
    };
    assert!(shown("mx.example.org", &own));
    assert!(shown("mail.example.net", &others[0]));
    assert!(shown("MAIL.example.net", &others[0]));
    assert!(shown("a.example.com", &others[1]));
    assert!(!shown("a.b.example.com", &others[1]), "one label");
    assert!(!shown("mail.example.net", &own));
    // An unknown name gets the default, which the client then does not believe; it is shown all the same.
    let config = Arc::new(client_config(&[&own], TlsVersion::Tls13));
    let mut pair = Pair::new(server.clone(), config, "unknown.example", usize::MAX, usize::MAX);
    let error = pair.shake_hands().unwrap_err().to_string();
    assert!(error.contains("unknown.example") && error.contains("mx.example.org"), "{error}");
}

#[test]
fn other_protocols_are_refused() {
    let own = identity(&["mx.example.org"]);
    let server = server_config(settings(&own, &[])).unwrap();
    let with = |protocols: &[&str]| {
        let mut config = client_config(&[&own], TlsVersion::Tls13);
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        Pair::new(server.clone(), Arc::new(config), "mx.example.org", usize::MAX, usize::MAX).shake_hands()
    };
    assert!(with(&[]).is_ok() && with(&["smtp"]).is_ok() && with(&["h2", "smtp"]).is_ok());
    assert!(with(&["http/1.1"]).is_err() && with(&["h2", "imap"]).is_err());
}

#[test]
fn tickets_resume_sessions_and_can_be_switched_off() {
    let own = identity(&["mx.example.org"]);
    for (version, on) in TlsVersion::ALL.into_iter().flat_map(|version| [(version, true), (version, false)]) {
        use_ticket_keys(Arc::new(TicketKeys::new(vec![Arc::new(TicketKey::random().unwrap())])));
        let tickets = settings(&own, &[]).tickets.filter(|_| on);
        let server = server_config(TlsSettings { tickets, ..settings(&own, &[]) }).unwrap();
        let config = Arc::new(client_config(&[&own], version));
        let resumed = |_| {
            let mut pair = Pair::new(server.clone(), config.clone(), "mx.example.org", usize::MAX, usize::MAX);
            pair.shake_hands().unwrap();
            pair.client.writer().write_all(b"x").unwrap();
            pair.read(9).unwrap();
            let agreed = pair.server.agreed().unwrap();
            (
                agreed.resumed,
                agreed.exporter
                    == pair.client.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(b"")).ok(),
            )
        };
        let seen: Vec<(bool, bool)> = (0..2).map(resumed).collect();
        let bound = version == TlsVersion::Tls13;
        assert_eq!(seen, [(false, bound), (on, bound)], "{version} {on}");
    }
}

#[test]
fn clients_must_show_a_certificate_where_one_is_asked_for() {
    let (own, friend, stranger) = (identity(&["mx.example.org"]), identity(&["friend"]), identity(&["stranger"]));
    let clients = Some(vec![friend.chain()[0].clone()]);
    let server = server_config(TlsSettings { clients, ..settings(&own, &[]) }).unwrap();
    let plain = client_config(&[&own], TlsVersion::Tls13);
    let mut pair = Pair::new(server, Arc::new(plain), "mx.example.org", 500, 500);
    assert!(pair.shake_hands().is_err());
    drop(stranger);
}

#[test]
fn a_key_that_does_not_fit_is_found() {
    let made = |name: &str| rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    let (one, other) = (made("one"), made("other"));
    let key =
        |made: &rcgen::CertifiedKey<rcgen::KeyPair>| PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    assert!(matches!(Identity::new(vec![one.cert.der().clone()], key(&other)), Err(IdentityError::Mismatch)));
    assert!(matches!(Identity::new(Vec::new(), key(&one)), Err(IdentityError::NoCertificate)));
    let nonsense = CertificateDer::from(vec![1, 2, 3]);
    assert!(matches!(Identity::new(vec![nonsense], key(&one)), Err(IdentityError::Certificate(_))));
    let key = PrivateKeyDer::Pkcs8(vec![1, 2, 3].into());
    assert!(matches!(Identity::new(vec![one.cert.der().clone()], key), Err(IdentityError::Key(_))));
}

#[test]
fn any_octets_in_place_of_a_handshake_are_an_error_and_no_harm() {
    let own = identity(&["mx.example.org"]);
    let server = server_config(settings(&own, &[])).unwrap();
    let config = Arc::new(client_config(&[&own], TlsVersion::Tls13));
    proptest!(ProptestConfig::with_cases(64), |(octets in proptest::collection::vec(any::<u8>(), 0..600), read in 1usize..700, keep in 0usize..300)| {
        let mut pair = Pair::new(server.clone(), config.clone(), "mx.example.org", read, 100);
        // The beginning of a real hello, then anything.
        let mut hello = Vec::new();
        pair.client.write_tls(&mut hello).unwrap();
        let mut all = hello[..keep.min(hello.len())].to_vec();
        all.extend_from_slice(&octets);
        pair.from_client.0.borrow_mut().extend(all);
        *pair.ended.borrow_mut() = true;
        let mut context = Context::from_waker(Waker::noop());
        let failed = (0..2000).any(|_| matches!(pair.server.poll_handshake(&mut context), Poll::Ready(Err(_))));
        prop_assert!(failed);
    });
}

#[test]
fn what_is_sent_arrives_whatever_the_pieces() {
    for version in TlsVersion::ALL {
        proptest!(ProptestConfig::with_cases(12), |(
            sent in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..40_000), 1..4),
            read in 1usize..20_000,
            write in 1usize..20_000,
            buffer in 1usize..20_000,
        )| {
            let mut pair = connected(version, read.max(300), write.max(300));
            for octets in &sent {
                let mut rest = &octets[..];
                let mut received = Vec::new();
                while !rest.is_empty() {
                    let taken = pair.client.writer().write(rest).unwrap();
                    rest = &rest[taken..];
                    // The server speaks while something of the client's waits to be read.
                    pair.write(b"interleaved");
                    received.extend(pair.read(buffer).unwrap().0);
                }
                prop_assert_eq!(&received, octets);
                pair.read_by_client();
                for piece in octets.chunks(30_000) {
                    pair.write(piece);
                }
                prop_assert_eq!(&pair.read_by_client(), octets);
                prop_assert_eq!(pair.server.held(), 0);
            }
        });
    }
}
