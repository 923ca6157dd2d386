//! The client's end against the server's, both ours.

use super::*;
use crate::io::tls::{ClientStream, ClientTls, ClientTlsConfig, Verification};

/// Both ends of a connection.
struct Ends {
    server: TlsStream<Wire>,
    client: ClientStream<Wire>,
    /// What is on its way to the client.
    down: Pipe,
    /// Nothing more will come to it.
    ended: Rc<RefCell<bool>>,
}

fn roots_of(trusted: &[&Identity]) -> Arc<rustls::RootCertStore> {
    Arc::new(roots(trusted.iter().map(|identity| identity.chain()[0].clone()).collect()))
}

fn tls(verification: &Verification, name: &str) -> ClientTls {
    ClientTls::new(&ClientTlsConfig::new(verification).unwrap(), name).unwrap()
}

impl Ends {
    /// Octets go by pieces of this size in either direction.
    fn new(server: Arc<ServerConfig>, client: &ClientTls, read: usize, write: usize) -> Ends {
        let (up, down) = (Pipe::default(), Pipe::default());
        let ended: Rc<RefCell<bool>> = Rc::default();
        let wire = |from: &Pipe, to: &Pipe, ended| Wire {
            from_client: from.clone(),
            to_client: to.clone(),
            read,
            write,
            ended,
        };
        let server = TlsStream::new(wire(&up, &down, Rc::default()), server, &[]).unwrap();
        let client = ClientStream::client(wire(&down, &up, ended.clone()), client).unwrap();
        Ends { server, client, down, ended }
    }

    fn shake_hands(&mut self) -> io::Result<()> {
        let mut context = Context::from_waker(Waker::noop());
        let (mut server, mut client) = (false, false);
        for _ in 0..100_000 {
            if !client && let Poll::Ready(result) = self.client.poll_handshake(&mut context) {
                result?;
                client = true;
            }
            if !server && let Poll::Ready(result) = self.server.poll_handshake(&mut context) {
                result?;
                server = true;
            }
            if server && client {
                return Ok(());
            }
        }
        Err(io::ErrorKind::TimedOut.into())
    }
}

/// Brings octets from one end to the other, by buffers of so many.
fn bring(from: &mut impl Stream, to: &mut impl Stream, octets: &[u8], buffer: usize) -> Vec<u8> {
    let mut context = Context::from_waker(Waker::noop());
    let (mut sent, mut received, mut buffer) = (0, Vec::new(), vec![0; buffer]);
    for _ in 0..1_000_000 {
        if sent < octets.len()
            && let Poll::Ready(written) = from.poll_write(&mut context, &octets[sent..])
        {
            sent += written.unwrap();
        }
        if let Poll::Ready(read) = to.poll_read(&mut context, &mut buffer) {
            received.extend_from_slice(&buffer[..read.unwrap()]);
        }
        if received.len() >= octets.len() {
            break;
        }
    }
    // Both wait for more now.
    let (from, to) = (from.poll_read(&mut context, &mut buffer), to.poll_read(&mut context, &mut buffer));
    assert!(from.is_pending() && to.is_pending(), "{from:?} {to:?}");
    received
}

#[test]
fn a_client_speaks_both_versions() {
    let own = identity(&["mx.example.org"]);
    for version in TlsVersion::ALL {
        let server = server_config(TlsSettings { versions: vec![version], ..settings(&own, &[]) }).unwrap();
        let client = tls(&Verification::Full(roots_of(&[&own])), "MX.example.org.");
        let mut ends = Ends::new(server, &client, usize::MAX, usize::MAX);
        ends.shake_hands().unwrap();
        assert_eq!(ends.client.secured_with().map(|tls| tls.version), Some(version));
        assert_eq!(ends.client.secured_with(), ends.server.secured_with());
        assert_eq!(bring(&mut ends.client, &mut ends.server, b"EHLO client\r\n", 100), b"EHLO client\r\n");
        assert_eq!(bring(&mut ends.server, &mut ends.client, b"250 OK\r\n", 100), b"250 OK\r\n");
        assert_eq!((ends.client.held(), ends.server.held()), (0, 0), "between records nothing is held");
        assert!([ends.client.agreed(), ends.server.agreed()].iter().all(|agreed| agreed.is_some_and(|it| !it.resumed)));
        ends.client.shutdown();
        let mut context = Context::from_waker(Waker::noop());
        let ended = ends.server.poll_read(&mut context, &mut [0; 9]);
        assert!(matches!(ended, Poll::Ready(Ok(0))), "close_notify is seen: {ended:?}");
    }
}

#[test]
fn whom_a_client_believes() {
    let (own, other) = (identity(&["mx.example.org"]), identity(&["elsewhere.example"]));
    let shakes = |verification: &Verification, name: &str| {
        let server = server_config(settings(&own, &[])).unwrap();
        let mut ends = Ends::new(server, &tls(verification, name), 700, 900);
        ends.shake_hands().map_err(|error| error.to_string())
    };
    let full = |trusted: &[&Identity]| Verification::Full(roots_of(trusted));
    let any_name = |trusted: &[&Identity]| Verification::AnyName(roots_of(trusted));
    assert_eq!(shakes(&full(&[&own]), "mx.example.org"), Ok(()));
    let error = shakes(&full(&[&own]), "mx2.example.org").unwrap_err();
    assert!(error.contains("mx2.example.org"), "{error}");
    assert!(shakes(&full(&[&own]), "192.0.2.1").is_err(), "a certificate of a name is not one of an address");
    assert_eq!(shakes(&any_name(&[&own]), "mx2.example.org"), Ok(()));
    assert!(shakes(&full(&[&other]), "mx.example.org").is_err());
    assert!(shakes(&any_name(&[&other]), "mx.example.org").is_err());
    for name in ["mx.example.org", "mx2.example.org", "192.0.2.1", "2001:db8::1", "not a name"] {
        assert_eq!(shakes(&Verification::Nothing, name), Ok(()), "{name}");
    }
}

#[test]
fn what_is_past_or_no_certificate_is_believed_by_nobody_who_looks() {
    let made = |past: bool| {
        let mut params = rcgen::CertificateParams::new(vec!["mx.example.org".to_owned()]).unwrap();
        if past {
            params.not_after = rcgen::date_time_ymd(2020, 1, 1);
        }
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Identity::new(vec![certificate.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap()).unwrap()
    };
    let shakes = |own: &Identity, verification: &Verification| {
        let server = server_config(settings(own, &[])).unwrap();
        Ends::new(server, &tls(verification, "mx.example.org"), 700, 900).shake_hands().is_ok()
    };
    let (good, past) = (made(false), made(true));
    assert!(shakes(&good, &Verification::Full(roots_of(&[&good]))));
    assert!(!shakes(&past, &Verification::Full(roots_of(&[&past]))));
    assert!(!shakes(&past, &Verification::AnyName(roots_of(&[&past]))));
    assert!(shakes(&past, &Verification::Nothing));
}

#[test]
fn a_name_that_cannot_be_verified_is_an_error_where_it_is_to_be() {
    let own = identity(&["mx.example.org"]);
    let config = |verification: &Verification| ClientTlsConfig::new(verification).unwrap();
    assert!(ClientTls::new(&config(&Verification::Full(roots_of(&[&own]))), "not a name").is_err());
    assert!(ClientTls::new(&config(&Verification::Nothing), "not a name").is_ok());
    assert!(ClientTlsConfig::new(&Verification::Full(roots_of(&[]))).is_err(), "nobody to believe");
}

#[test]
fn a_client_says_nothing_in_clear() {
    let own = identity(&["mx.example.org"]);
    let client = tls(&Verification::Full(roots_of(&[&own])), "mx.example.org");
    let server = server_config(settings(&own, &[])).unwrap();
    let mut ends = Ends::new(server, &client, usize::MAX, usize::MAX);
    let mut context = Context::from_waker(Waker::noop());
    let kind = |result: Poll<io::Result<usize>>| match result {
        Poll::Ready(Err(error)) => error.kind(),
        other => panic!("{other:?}"),
    };
    assert_eq!(kind(ends.client.poll_write(&mut context, b"MAIL FROM:<>\r\n")), io::ErrorKind::NotConnected);
    assert!(ends.client.poll_handshake(&mut context).is_pending());
    // The server goes on in clear, as one does that has broken off.
    ends.down.0.borrow_mut().extend(b"454 TLS not available\r\n");
    assert!(matches!(ends.client.poll_handshake(&mut context), Poll::Ready(Err(_))));
    assert_eq!(kind(ends.client.poll_write(&mut context, b"MAIL FROM:<>\r\n")), io::ErrorKind::NotConnected);
    assert_eq!(kind(ends.client.poll_read(&mut context, &mut [0; 9])), io::ErrorKind::NotConnected);
}

#[test]
fn any_octets_of_a_server_are_an_error_and_no_harm() {
    let own = identity(&["mx.example.org"]);
    let server = server_config(settings(&own, &[])).unwrap();
    let client = tls(&Verification::Full(roots_of(&[&own])), "mx.example.org");
    proptest!(ProptestConfig::with_cases(48), |(
        octets in proptest::collection::vec(any::<u8>(), 0..600),
        read in 1usize..700,
        keep in 0usize..1200,
    )| {
        let mut ends = Ends::new(server.clone(), &client, read, usize::MAX);
        let mut context = Context::from_waker(Waker::noop());
        prop_assert!(ends.client.poll_handshake(&mut context).is_pending());
        // The beginning of what a real server says, then anything, then the end.
        for _ in 0..5_000 {
            let _ = ends.server.poll_handshake(&mut context);
        }
        let said: Vec<u8> = ends.down.0.borrow_mut().drain(..).take(keep).collect();
        ends.down.0.borrow_mut().extend(said.iter().chain(&octets));
        *ends.ended.borrow_mut() = true;
        let failed = (0..5_000).any(|_| matches!(ends.client.poll_handshake(&mut context), Poll::Ready(Err(_))));
        prop_assert!(failed);
    });
}

#[test]
fn what_either_end_sends_arrives_whatever_the_pieces() {
    let own = identity(&["mx.example.org"]);
    for version in TlsVersion::ALL {
        let server = server_config(TlsSettings { versions: vec![version], ..settings(&own, &[]) }).unwrap();
        let client = tls(&Verification::Full(roots_of(&[&own])), "mx.example.org");
        proptest!(ProptestConfig::with_cases(8), |(
            up in proptest::collection::vec(any::<u8>(), 1..50_000),
            down in proptest::collection::vec(any::<u8>(), 1..50_000),
            read in 300usize..20_000,
            write in 300usize..20_000,
            buffer in 1usize..20_000,
        )| {
            let mut ends = Ends::new(server.clone(), &client, read, write);
            ends.shake_hands().unwrap();
            prop_assert_eq!(&bring(&mut ends.client, &mut ends.server, &up, buffer), &up);
            prop_assert_eq!(&bring(&mut ends.server, &mut ends.client, &down, buffer), &down);
            prop_assert_eq!((ends.client.held(), ends.server.held()), (0, 0));
        });
    }
}
