//! Whatever a client says, the session answers with whole replies and goes on, or closes.

#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use ringpost::mail::{
    CipherSuite, Content, EndPoint, MessageId, Networks, ScramCredentials, SessionId, Tls, TlsVersion, Username,
};
use ringpost::smtp::line::LineReader;
use ringpost::smtp::server::{Secured, Session};
use ringpost::smtp::sasl::Mechanism;
use ringpost::smtp::server::question::{Authentication, Question, Step, Transfer, Verdict};
use ringpost::smtp::server::settings::{Auth, Extensions, Service, Settings};

fn settings(protocol: Service) -> Settings {
    Settings {
        protocol,
        hello_name: "localhost".into(),
        greeting: None,
        max_message_octets: 1000,
        max_recipients: 3,
        max_line_octets: 1000,
        require_hello: false,
        require_brackets: false,
        default_domain: "localhost".into(),
        max_errors: 20,
        max_unknown_commands: 10,
        refuse_early_talkers: true,
        start_tls: true,
        auth: Some(Auth { always: true, require_tls: false, mechanisms: Mechanism::ALL.into(), max_failures: 3 }),
        authorized: Networks::default(),
        asks_about_content: true,
        disabled_features: Box::default(),
        extensions: Extensions { dsn: true, future_release: true, mt_priority: true, require_tls: true },
    }
}

fn secured() -> Secured {
    let cipher = CipherSuite::named("TLS_AES_256_GCM_SHA384").expect("a suite");
    Secured { tls: Tls { version: TlsVersion::Tls13, cipher }, exporter: Some([7; 32]), end_point: Some(EndPoint::Sha256([8; 32])) }
}

fuzz_target!(|input: (bool, Vec<u8>)| {
    let (lmtp, octets) = input;
    let service = if lmtp { Service::Lmtp } else { Service::Smtp };
    let client = "192.0.2.1:2525".parse().expect("an address");
    let mut session: Session<()> = Session::new(Arc::new(settings(service)), SessionId(1), client);
    let mut lines = LineReader::new(1000);
    let mut replies = Vec::new();
    let mut rest = &octets[..];
    let mut step = session.open(&mut replies);
    loop {
        step = match step {
            Step::Receive => match lines.next(&mut rest) {
                Some(line) => session.receive(line, &mut replies),
                None => break,
            },
            Step::Ask(Question::Keys(_)) => {
                let user = Username::parse("user").expect("a name");
                session.keys(Some((user, ScramCredentials::derive("secret", b"salt", 1))), "server", &mut replies)
            }
            Step::Ask(Question::Password(..) | Question::Disproved(_)) => {
                session.authenticated(Authentication::Refused, &mut replies)
            }
            Step::Ask(Question::Proved(..)) => panic!("nobody knows the password"),
            Step::Ask(_) => session.answer(Verdict::Pass, &mut replies),
            Step::ReceiveData(transfer) => {
                if transfer.is_first() {
                    session.begin(MessageId(1), 1);
                }
                match transfer {
                    Transfer::Discard { .. } => Step::Receive,
                    Transfer::Chunk { last: false, .. } => session.chunk_ended(&Content::default(), &mut replies),
                    Transfer::Data | Transfer::Chunk { .. } => session.data_ended(&Content::default(), 0, &mut replies),
                }
            }
            Step::Store if lmtp => {
                let count = session.recipients().len();
                session.delivered((0..count).map(|_| Ok(())).collect(), &mut replies)
            }
            Step::Store => session.stored(Ok(()), &mut replies),
            Step::StartTls if rest.is_empty() => {
                session.begin_tls(&mut replies);
                session.secured(secured(), &mut replies)
            }
            Step::StartTls => session.refuse_tls(&mut replies),
            Step::Close => break,
        };
    }
    for reply in replies.split_inclusive(|octet| *octet == b'\n') {
        assert!(reply.ends_with(b"\r\n") && reply.len() <= 512, "{}", String::from_utf8_lossy(reply));
        assert!(reply[..3].iter().all(u8::is_ascii_digit) && [b' ', b'-'].contains(&reply[3]));
    }
});
