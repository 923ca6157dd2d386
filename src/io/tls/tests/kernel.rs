//! Connections that are handed over to a kernel with TLS: one made here, which reads the structures of `linux/tls.h` and seals
//! and opens by them. What it seals is opened by the client of rustls, and the other way round.

use std::collections::HashSet;

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};

use super::*;
use crate::io::records::{APPLICATION_DATA, Aead, Direction, FRAGMENT, Keys, Received, Records};
use crate::mail::CipherSuite;

const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;

/// The keys of one direction.
struct Sealing {
    newer: bool,
    key: LessSafeKey,
    nonce: [u8; 12],
    /// In TLS 1.2 with AES-GCM: what stands in the next record, counted up.
    explicit: Option<u64>,
    sequence: u64,
}

impl Sealing {
    fn new(keys: &Keys) -> Sealing {
        let octets = keys.octets();
        let number = |at: usize| u16::from_ne_bytes([octets[at], octets[at + 1]]);
        let newer = number(0) == 0x0304;
        let (algorithm, iv, key, salt) = match number(2) {
            51 => (&AES_128_GCM, 4..12, 12..28, 28..32),
            52 => (&AES_256_GCM, 4..12, 12..44, 44..48),
            54 => (&CHACHA20_POLY1305, 4..16, 16..48, 48..48),
            other => panic!("cipher {other}"),
        };
        let sequence = u64::from_be_bytes(octets[salt.end..].try_into().unwrap());
        let explicit = (!newer && iv.len() == 8).then(|| u64::from_be_bytes(octets[iv.clone()].try_into().unwrap()));
        let nonce = [&octets[salt], &octets[iv]].concat().try_into().unwrap();
        let key = LessSafeKey::new(UnboundKey::new(algorithm, &octets[key]).unwrap());
        Sealing { newer, key, nonce, explicit, sequence }
    }

    /// For the present record, unless that brings its own.
    fn nonce(&self, explicit: Option<u64>) -> Nonce {
        let mut nonce = self.nonce;
        match explicit {
            Some(explicit) => nonce[4..].copy_from_slice(&explicit.to_be_bytes()),
            None => nonce[4..].iter_mut().zip(self.sequence.to_be_bytes()).for_each(|(octet, by)| *octet ^= by),
        }
        Nonce::assume_unique_for_key(nonce)
    }

    fn additional(&self, kind: u8, sealed: usize, plain: usize) -> Vec<u8> {
        match self.newer {
            true => [&[23, 3, 3][..], &(sealed as u16).to_be_bytes()].concat(),
            false => [&self.sequence.to_be_bytes()[..], &[kind, 3, 3], &(plain as u16).to_be_bytes()].concat(),
        }
    }

    fn seal(&mut self, kind: u8, content: &[u8]) -> Vec<u8> {
        let mut sealed = content.to_vec();
        if self.newer {
            sealed.push(kind);
        }
        let additional = self.additional(kind, sealed.len() + 16, content.len());
        let nonce = self.nonce(self.explicit);
        self.key.seal_in_place_append_tag(nonce, Aad::from(additional), &mut sealed).unwrap();
        let explicit = self.explicit.map_or(Vec::new(), |explicit| explicit.to_be_bytes().to_vec());
        self.explicit = self.explicit.map(|explicit| explicit.wrapping_add(1));
        self.sequence += 1;
        let shown = if self.newer { 23 } else { kind };
        let length = (explicit.len() + sealed.len()) as u16;
        [&[shown, 3, 3][..], &length.to_be_bytes(), &explicit, &sealed].concat()
    }

    fn open(&mut self, record: &[u8]) -> Option<(u8, Vec<u8>)> {
        let (head, content) = record.split_at(5);
        let (explicit, sealed) = content.split_at(if self.explicit.is_some() { 8 } else { 0 });
        let explicit = self.explicit.map(|_| u64::from_be_bytes(explicit.try_into().unwrap()));
        let additional = self.additional(head[0], sealed.len(), sealed.len().checked_sub(16)?);
        let mut sealed = sealed.to_vec();
        let mut opened =
            self.key.open_in_place(self.nonce(explicit), Aad::from(additional), &mut sealed).ok()?.to_vec();
        self.sequence += 1;
        let kind = if self.newer { opened.pop()? } else { head[0] };
        Some((kind, opened))
    }
}

/// What a kernel knows of one connection.
#[derive(Default)]
struct Kernel {
    /// It has TLS.
    there: bool,
    /// It takes new keys in place of others.
    renews: bool,
    send: Option<Sealing>,
    receive: Option<Sealing>,
    raw: Vec<u8>,
    opened: VecDeque<(u8, VecDeque<u8>)>,
    /// Everything that the connection below has sent.
    sent: Vec<u8>,
}

/// A connection over such a kernel.
struct Socket {
    wire: Wire,
    kernel: Rc<RefCell<Kernel>>,
}

impl Socket {
    fn push(&mut self, octets: &[u8]) {
        self.kernel.borrow_mut().sent.extend_from_slice(octets);
        self.wire.to_client.0.borrow_mut().extend(octets);
    }
}

impl Stream for Socket {
    fn poll_read(&mut self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        assert!(self.kernel.borrow().receive.is_none(), "records are asked for by kind");
        self.wire.poll_read(context, buffer)
    }

    fn read_now(&mut self, buffer: &mut [u8]) -> usize {
        self.wire.read_now(buffer)
    }

    fn poll_write(&mut self, _: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        let octets = &buffer[..self.wire.write.min(buffer.len())];
        let sealed = match &mut self.kernel.borrow_mut().send {
            Some(keys) => octets.chunks(FRAGMENT).flat_map(|content| keys.seal(APPLICATION_DATA, content)).collect(),
            None => octets.to_vec(),
        };
        self.push(&sealed);
        Poll::Ready(Ok(octets.len()))
    }

    fn shutdown(&mut self) {}

    fn records(&mut self) -> Option<&mut dyn Records> {
        Some(self)
    }
}

impl Records for Socket {
    fn prepare(&mut self) -> io::Result<()> {
        if self.kernel.borrow().there { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::ENOENT)) }
    }

    fn use_keys(&mut self, direction: Direction, keys: &Keys) -> io::Result<()> {
        let Kernel { renews, send, receive, .. } = &mut *self.kernel.borrow_mut();
        let place = if direction == Direction::Send { send } else { receive };
        if place.is_some() && !*renews {
            return Err(io::Error::from_raw_os_error(libc::EBUSY));
        }
        *place = Some(Sealing::new(keys));
        Ok(())
    }

    fn poll_receive(&mut self, _: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<Received>> {
        match self.receive_now(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
            result => Poll::Ready(result),
        }
    }

    fn receive_now(&mut self, buffer: &mut [u8]) -> io::Result<Received> {
        let mut kernel = self.kernel.borrow_mut();
        let Kernel { receive, raw, opened, .. } = &mut *kernel;
        let mut more = vec![0; self.wire.read.min(100_000)];
        let octets = self.wire.from_client.0.borrow_mut().read(&mut more)?;
        raw.extend_from_slice(&more[..octets]);
        let length = |raw: &[u8]| 5 + usize::from(u16::from_be_bytes([raw[3], raw[4]]));
        if opened.is_empty() && raw.len() >= 5 && raw.len() >= length(raw) {
            let record: Vec<u8> = raw.drain(..length(raw)).collect();
            let broken = || io::Error::from_raw_os_error(libc::EBADMSG);
            let (kind, content) = receive.as_mut().unwrap().open(&record).ok_or_else(broken)?;
            opened.push_back((kind, content.into()));
        }
        let Some((kind, content)) = opened.front_mut() else {
            return if *self.wire.ended.borrow() { Ok(Received::End) } else { Err(io::ErrorKind::WouldBlock.into()) };
        };
        let (kind, octets) = (*kind, content.read(buffer)?);
        if content.is_empty() {
            opened.pop_front();
        }
        Ok(Received::Content { kind, octets })
    }

    fn poll_send(&mut self, _: &mut Context<'_>, kind: u8, content: &[u8]) -> Poll<io::Result<usize>> {
        let sealed = self.kernel.borrow_mut().send.as_mut().unwrap().seal(kind, content);
        self.push(&sealed);
        Poll::Ready(Ok(content.len()))
    }
}

type Over = Pair<Transport<Socket>>;

fn every() -> Offered {
    let mut offered = Offered::default();
    TlsVersion::ALL.iter().for_each(|version| Aead::ALL.iter().for_each(|aead| offered.insert(*version, *aead)));
    offered
}

fn suite(name: &str) -> Vec<CipherSuite> {
    vec![CipherSuite::named(name).unwrap()]
}

/// Before a handshake, with a kernel as it is given.
fn over(
    kernel: Kernel,
    version: TlsVersion,
    suites: Vec<CipherSuite>,
    offered: Offered,
) -> (Over, Rc<RefCell<Kernel>>) {
    use_ticket_keys(Arc::new(TicketKeys::new(vec![Arc::new(TicketKey::random().unwrap())])));
    let own = identity(&["mx.example.org"]);
    let server = server_config(TlsSettings { cipher_suites: suites, kernel: offered, ..settings(&own, &[]) }).unwrap();
    let (from_client, to_client) = (Pipe::default(), Pipe::default());
    let ended: Rc<RefCell<bool>> = Rc::default();
    let wire = Wire {
        from_client: from_client.clone(),
        to_client: to_client.clone(),
        read: usize::MAX,
        write: usize::MAX,
        ended: ended.clone(),
    };
    let kernel = Rc::new(RefCell::new(kernel));
    let mut server_end = Transport::Plain(Socket { wire, kernel: kernel.clone() });
    server_end.begin_tls(server, &[]).unwrap();
    let name = ServerName::try_from("mx.example.org").unwrap();
    let client = ClientConnection::new(Arc::new(client_config(&[&own], version)), name).unwrap();
    (Pair { server: server_end, client, from_client, to_client, ended, heard: Vec::new() }, kernel)
}

fn there() -> Kernel {
    Kernel { there: true, renews: true, ..Kernel::default() }
}

impl Over {
    fn shake(&mut self) {
        let mut context = Context::from_waker(Waker::noop());
        for _ in 0..1000 {
            self.exchange().unwrap();
            if self.server.poll_handshake(&mut context).map(Result::unwrap).is_ready() {
                return self.exchange().unwrap();
            }
        }
        panic!("no handshake");
    }

    /// After the greeting, when the client is waited for.
    fn greeted(
        kernel: Kernel,
        version: TlsVersion,
        suites: Vec<CipherSuite>,
        offered: Offered,
    ) -> (Over, Rc<RefCell<Kernel>>) {
        let (mut pair, kernel) = over(kernel, version, suites, offered);
        pair.shake();
        assert!(matches!(pair.server, Transport::Tls(_)));
        pair.write(b"220 ready\r\n");
        assert_eq!(pair.read_by_client(), b"220 ready\r\n");
        assert_eq!(pair.read(100).unwrap(), (Vec::new(), false));
        (pair, kernel)
    }

    fn handed_over(version: TlsVersion, suites: Vec<CipherSuite>) -> (Over, Rc<RefCell<Kernel>>) {
        let (pair, kernel) = Over::greeted(there(), version, suites, every());
        assert!(pair.is_handed_over());
        (pair, kernel)
    }

    fn is_handed_over(&self) -> bool {
        matches!(self.server, Transport::Kernel(_))
    }

    /// Something goes both ways.
    fn converses(&mut self) {
        self.client.writer().write_all(b"NOOP\r\n").unwrap();
        assert_eq!(self.read(100).unwrap(), (b"NOOP\r\n".to_vec(), false));
        self.write(b"250 OK\r\n");
        assert_eq!(self.read_by_client(), b"250 OK\r\n");
    }

    /// The server's end comes to an end by an error.
    fn fails(&mut self) -> (io::Error, Option<rustls::Error>) {
        let mut context = Context::from_waker(Waker::noop());
        let _ = self.exchange();
        let mut polls = (0..10).map(|_| self.server.poll_read(&mut context, &mut [0; 100]));
        let Some(Poll::Ready(Err(error))) = polls.find(Poll::is_ready) else { panic!("no error") };
        let told = self.exchange().err();
        assert!(matches!(self.server.poll_write(&mut context, b"x"), Poll::Ready(Err(_))), "nothing is sent any more");
        (error, told)
    }
}

const SUITES: [(TlsVersion, &str); 6] = [
    (TlsVersion::Tls13, "TLS_AES_128_GCM_SHA256"),
    (TlsVersion::Tls13, "TLS_AES_256_GCM_SHA384"),
    (TlsVersion::Tls13, "TLS_CHACHA20_POLY1305_SHA256"),
    (TlsVersion::Tls12, "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"),
    (TlsVersion::Tls12, "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"),
    (TlsVersion::Tls12, "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"),
];

#[test]
fn every_suite_is_handed_over_after_the_first_reply_and_goes_on() {
    for (version, name) in SUITES {
        let (mut pair, _) = Over::handed_over(version, suite(name));
        let agreed = pair.server.agreed().unwrap();
        assert_eq!((agreed.tls.version, agreed.tls.cipher.name()), (version, name));
        let binding = pair.client.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(b"")).unwrap();
        assert_eq!(agreed.exporter, (version == TlsVersion::Tls13).then_some(binding), "{name}");
        pair.converses();
        let large: Vec<u8> = (0..100_000u32).map(|number| number as u8).collect();
        for octets in large.chunks(60_000) {
            pair.client.writer().write_all(octets).unwrap();
            assert_eq!(pair.read(7_000).unwrap(), (octets.to_vec(), false));
        }
        pair.write(&large);
        assert_eq!(pair.read_by_client(), large);
        let Transport::Kernel(stream) = &pair.server else { panic!("it is not the kernel's") };
        assert_eq!(stream.held(), 0, "between records nothing is held");
    }
}

#[test]
fn no_nonce_of_tls_1_2_is_used_twice() {
    let (mut pair, kernel) = Over::handed_over(TlsVersion::Tls12, suite("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"));
    pair.converses();
    pair.converses();
    let sent = kernel.borrow().sent.clone();
    let (mut rest, mut sealed, mut nonces) = (&sent[..], false, Vec::new());
    while let Some((head, after)) = rest.split_at_checked(5) {
        let (record, after) = after.split_at(usize::from(u16::from_be_bytes([head[3], head[4]])));
        if sealed {
            nonces.push(record[..8].to_vec());
        }
        sealed |= head[0] == 20;
        rest = after;
    }
    assert_eq!(nonces.len(), 4, "Finished, a greeting and two replies");
    assert_eq!(nonces.iter().collect::<HashSet<_>>().len(), 4, "{nonces:?}");
}

#[test]
fn what_the_kernel_does_not_have_stays_here_and_goes_on() {
    let mut some = Offered::default();
    some.insert(TlsVersion::Tls13, Aead::ChaCha20Poly1305);
    some.insert(TlsVersion::Tls12, Aead::Aes256Gcm);
    for (kernel, offered) in
        [(there(), Offered::default()), (there(), some), (Kernel { there: false, ..there() }, every())]
    {
        let (mut pair, _) = Over::greeted(kernel, TlsVersion::Tls13, suite("TLS_AES_256_GCM_SHA384"), offered);
        pair.converses();
        pair.client.refresh_traffic_keys().unwrap();
        pair.converses();
        assert!(!pair.is_handed_over());
    }
}

#[test]
fn what_is_received_in_part_is_waited_for_here() {
    let (mut pair, _) = over(there(), TlsVersion::Tls13, Vec::new(), every());
    pair.shake();
    pair.client.writer().write_all(b"EHLO client\r\n").unwrap();
    let mut record = Vec::new();
    pair.client.write_tls(&mut record).unwrap();
    let (begin, rest) = record.split_at(9);
    pair.from_client.0.borrow_mut().extend(begin);
    assert_eq!(pair.read(100).unwrap(), (Vec::new(), false));
    pair.write(b"220 ready\r\n");
    assert_eq!(pair.read(100).unwrap(), (Vec::new(), false));
    assert!(!pair.is_handed_over());
    pair.from_client.0.borrow_mut().extend(rest);
    assert_eq!(pair.read(100).unwrap(), (b"EHLO client\r\n".to_vec(), false));
    assert!(!pair.is_handed_over(), "the reply is still to be sent");
    pair.write(b"250 OK\r\n");
    pair.read_by_client();
    pair.converses();
    assert!(pair.is_handed_over());
}

#[test]
fn new_keys_that_come_before_it_are_answered_before_it() {
    let (mut pair, _) = over(there(), TlsVersion::Tls13, Vec::new(), every());
    pair.shake();
    pair.client.refresh_traffic_keys().unwrap();
    pair.client.writer().write_all(b"EHLO client\r\n").unwrap();
    assert_eq!(pair.read(100).unwrap(), (b"EHLO client\r\n".to_vec(), false));
    pair.write(b"250 OK\r\n");
    pair.read_by_client();
    pair.converses();
    assert!(pair.is_handed_over());
}

#[test]
fn new_keys_are_taken_and_answered_where_the_kernel_takes_them() {
    let (mut pair, kernel) = Over::handed_over(TlsVersion::Tls13, Vec::new());
    for _ in 0..3 {
        pair.client.refresh_traffic_keys().unwrap();
        pair.converses();
        let kernel = kernel.borrow();
        assert_eq!(kernel.send.as_ref().unwrap().sequence, 1, "the reply was sealed with new keys");
        assert_eq!(kernel.receive.as_ref().unwrap().sequence, 1, "the command was opened with new keys");
    }
    for _ in 0..40 {
        pair.client.refresh_traffic_keys().unwrap();
    }
    let (_, told) = pair.fails();
    assert_eq!(
        told,
        Some(rustls::Error::AlertReceived(rustls::AlertDescription::UnexpectedMessage)),
        "that is too many"
    );

    let (mut pair, _) = Over::greeted(Kernel { renews: false, ..there() }, TlsVersion::Tls13, Vec::new(), every());
    pair.converses();
    pair.client.refresh_traffic_keys().unwrap();
    let (error, told) = pair.fails();
    assert!(error.to_string().starts_with("the kernel does not take new keys of TLS"), "{error}");
    assert_eq!(told, Some(rustls::Error::AlertReceived(rustls::AlertDescription::InternalError)));
}

#[test]
fn keys_that_have_sealed_enough_are_replaced_or_the_connection_ends() {
    for version in TlsVersion::ALL {
        let (mut pair, kernel) = Over::handed_over(version, Vec::new());
        pair.converses();
        let Transport::Kernel(stream) = &mut pair.server else { panic!("it is not the kernel's") };
        stream.age(1 << 24);
        if version == TlsVersion::Tls13 {
            pair.converses();
            assert_eq!(kernel.borrow().send.as_ref().unwrap().sequence, 1);
        } else {
            let mut context = Context::from_waker(Waker::noop());
            assert!(matches!(pair.server.poll_write(&mut context, b"250 OK\r\n"), Poll::Ready(Err(_))));
            pair.exchange().unwrap();
            assert!(!pair.client.wants_read(), "the client has seen close_notify");
        }
    }
}

#[test]
fn the_end_is_told_and_truncation_is_an_error_there_too() {
    for version in TlsVersion::ALL {
        let (mut pair, _) = Over::handed_over(version, Vec::new());
        pair.client.writer().write_all(b"DATA\r\n").unwrap();
        pair.client.send_close_notify();
        assert_eq!(pair.read(100).unwrap(), (b"DATA\r\n".to_vec(), true));
        pair.write(b"still said");
        assert_eq!(pair.read_by_client(), b"still said");
        pair.server.shutdown();
        assert_eq!(pair.read_by_client(), b"");
        assert!(!pair.client.wants_read(), "the client has seen close_notify");

        let (mut pair, _) = Over::handed_over(version, Vec::new());
        pair.client.writer().write_all(b"DATA\r\n").unwrap();
        assert_eq!(pair.read(100).unwrap().0, b"DATA\r\n");
        *pair.ended.borrow_mut() = true;
        assert_eq!(pair.fails().0.kind(), io::ErrorKind::UnexpectedEof);
    }
}

#[test]
fn what_was_changed_on_the_way_is_no_record() {
    for version in TlsVersion::ALL {
        let (mut pair, _) = Over::handed_over(version, Vec::new());
        pair.client.writer().write_all(b"NOOP\r\n").unwrap();
        let mut record = Vec::new();
        pair.client.write_tls(&mut record).unwrap();
        *record.last_mut().unwrap() ^= 1;
        pair.from_client.0.borrow_mut().extend(record);
        let (error, told) = pair.fails();
        assert_eq!(error.to_string(), "what the client sent is no TLS: BadRecordMac");
        assert_eq!(told, Some(rustls::Error::AlertReceived(rustls::AlertDescription::BadRecordMac)));
    }
}

#[test]
fn what_is_no_content_is_obeyed_whatever_the_pieces() {
    let receives = |version, records: &[(u8, &[u8])], buffer: usize| {
        let (mut pair, kernel) = Over::handed_over(version, Vec::new());
        kernel
            .borrow_mut()
            .opened
            .extend(records.iter().map(|(kind, octets)| (*kind, octets.iter().copied().collect())));
        let read = pair.read(buffer);
        (read, pair.exchange().err())
    };
    let data = (APPLICATION_DATA, &b"NOOP\r\n"[..]);
    for buffer in [1, 2, 5, 100] {
        let hello: &[u8] = &[1, 0, 0, 3, 3, 3, 0];
        let (read, _) = receives(TlsVersion::Tls12, &[(HANDSHAKE, hello), data, (ALERT, &[1, 90]), data], buffer);
        assert_eq!(
            read.unwrap(),
            (b"NOOP\r\nNOOP\r\n".to_vec(), false),
            "there is no other handshake, and that is all"
        );
        let (read, _) = receives(TlsVersion::Tls12, &[data, (ALERT, &[1, 0]), data], buffer);
        assert_eq!(read.unwrap(), (b"NOOP\r\n".to_vec(), true), "nothing is read after the end");
        let (read, told) = receives(TlsVersion::Tls13, &[(HANDSHAKE, hello)], buffer);
        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(told, Some(rustls::Error::AlertReceived(rustls::AlertDescription::UnexpectedMessage)));
        let (read, told) = receives(TlsVersion::Tls13, &[(HANDSHAKE, &[24, 0, 0]), data], buffer);
        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::InvalidData, "half a message");
        assert_eq!(told, Some(rustls::Error::AlertReceived(rustls::AlertDescription::UnexpectedMessage)));
        let (read, told) = receives(TlsVersion::Tls13, &[(ALERT, &[2, 48]), data], buffer);
        assert_eq!(read.unwrap_err().to_string(), "ended by the client with alert 48");
        assert_eq!(told, None);
    }
    let warnings: Vec<(u8, &[u8])> = vec![(ALERT, &[1, 90]); 5];
    assert!(receives(TlsVersion::Tls12, &warnings[..4], 100).0.is_ok());
    assert!(receives(TlsVersion::Tls12, &warnings, 100).0.is_err());
    let long: Vec<u8> = [&[1, 1, 0, 0][..], &[0; 16_380]].concat();
    assert!(receives(TlsVersion::Tls12, &[(HANDSHAKE, &long)], 20_000).0.is_ok());
    assert!(receives(TlsVersion::Tls12, &[(HANDSHAKE, &long), (HANDSHAKE, &[0])], 20_000).0.is_err());
}

#[test]
fn what_is_sent_arrives_over_the_kernel_whatever_the_pieces() {
    for version in TlsVersion::ALL {
        proptest!(ProptestConfig::with_cases(12), |(
            sent in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..40_000), 1..4),
            read in 300usize..20_000,
            buffer in 1usize..20_000,
        )| {
            let (mut pair, _) = Over::handed_over(version, Vec::new());
            let Transport::Kernel(stream) = &mut pair.server else { panic!("it is not the kernel's") };
            stream.inner().wire.read = read;
            for octets in &sent {
                let mut rest = &octets[..];
                let mut received = Vec::new();
                while !rest.is_empty() {
                    let taken = pair.client.writer().write(rest).unwrap();
                    rest = &rest[taken..];
                    pair.write(b"interleaved");
                    received.extend(pair.read(buffer).unwrap().0);
                }
                prop_assert_eq!(&received, octets);
                pair.read_by_client();
                pair.write(octets);
                prop_assert_eq!(&pair.read_by_client(), octets);
            }
        });
    }
}
