//! lettre, as a program that submits mail with a password: by STARTTLS as on port 587, by TLS from the start as on 465, and in
//! the clear where that is allowed.

mod common;

use common::process::{Conf, Home, Process, Server, eventually};
use common::tls::{NAME, certificate, pem};
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::response::Response;
use lettre::transport::smtp::{Error, SmtpTransport};
use lettre::{Message, Transport};

const PASSWORD: &str = "correct horse";

/// How a client secures its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    StartTls,
    Tls,
    Clear,
}

const WAYS: [Way; 3] = [Way::StartTls, Way::Tls, Way::Clear];

/// The server for clients of a way; all but it is the same.
fn server(way: Way) -> Server {
    let server = match way {
        Way::StartTls => Server::smtp().with("tls startTLS='true'", &pem()),
        Way::Tls => Server::smtp().with("tls socketTLS='true'", &pem()),
        Way::Clear => Server::smtp(),
    };
    let require_ssl = way != Way::Clear;
    let auth = format!(
        "<announce>forUnauthorizedAddresses</announce><required>true</required><requireSSL>{require_ssl}</requireSSL>"
    );
    server.with("auth", &auth).with("verifyIdentity", "strict")
}

/// A process with a server for each way, and two users who have a password.
fn start() -> (Home, Process) {
    let conf = Conf::new().users(&[]).servers(WAYS.map(server).into()).with("limits/authFailureDelay", "0s");
    let home = Home::new(&conf);
    for user in ["you@localhost", "me@localhost"] {
        home.run_with(&["user", "add", user], PASSWORD);
    }
    let process = home.start();
    (home, process)
}

fn client(process: &Process, way: Way, user: &str, password: &str, mechanism: Mechanism) -> SmtpTransport {
    let address = process.address(WAYS.iter().position(|other| *other == way).expect("one of them"));
    let parameters = || {
        let root = Certificate::from_der(certificate("server-ca.pem").to_vec()).expect("a certificate");
        TlsParameters::builder(NAME.into()).add_root_certificate(root).build().expect("what rustls wants")
    };
    let tls = match way {
        Way::StartTls => Tls::Required(parameters()),
        Way::Tls => Tls::Wrapper(parameters()),
        Way::Clear => Tls::None,
    };
    SmtpTransport::builder_dangerous(address.ip().to_string())
        .port(address.port())
        .hello_name(ClientId::Domain("client.example.org".into()))
        .tls(tls)
        .credentials(Credentials::new(user.into(), password.into()))
        .authentication(vec![mechanism])
        .build()
}

fn message(from: &str) -> Message {
    let mailbox = |text: &str| text.parse().expect("an address");
    let builder = Message::builder().from(mailbox(from)).to(mailbox("me@localhost")).subject("submitted");
    builder.body("text\n".to_owned()).expect("a message")
}

fn code(result: Result<Response, Error>) -> String {
    match result {
        Ok(response) => response.code().to_string(),
        Err(error) => error.status().map_or(format!("{error:?}"), |code| code.to_string()),
    }
}

#[test]
fn a_program_submits_mail_however_it_secures_its_connection() {
    let (home, process) = start();
    let mut sent = 0;
    for way in WAYS {
        for mechanism in [Mechanism::Plain, Mechanism::Login] {
            let send = |user: &str, password: &str, from: &str| {
                code(client(&process, way, user, password, mechanism).send(&message(from)))
            };
            assert_eq!(send("you@localhost", PASSWORD, "you@localhost"), "250", "{way:?} {mechanism:?}");
            assert_eq!(send("You", PASSWORD, "you+list@localhost"), "250", "{way:?} {mechanism:?}");
            sent += 2;
            assert_eq!(send("you@localhost", PASSWORD, "me@localhost"), "503", "{way:?} {mechanism:?}");
            // No more failures than nobody waits for.
            if mechanism == Mechanism::Login {
                assert_eq!(send("you@localhost", "wrong", "you@localhost"), "535", "{way:?} {mechanism:?}");
            }
        }
    }
    assert!(eventually(|| (home.mail_count("me") >= sent).then_some(())).is_some(), "all of it arrives");
    assert_eq!(home.mail_count("me"), sent);
    let protocols = home.mail("me").into_iter().map(|mail| {
        let mail = String::from_utf8(mail).expect("text");
        mail.split_once(" (ringpost) with ").and_then(|(_, rest)| rest.split(' ').next()).unwrap_or_default().to_owned()
    });
    let mut protocols: Vec<String> = protocols.collect();
    protocols.sort();
    assert_eq!(protocols, [vec!["ESMTPA"; 4], vec!["ESMTPSA"; 8]].concat());
    process.stop();
}

/// Failures are counted over all servers, shards and connections; what happens then is `mta::backoff`'s.
#[test]
fn failures_count_everywhere() {
    let (_home, process) = start();
    let send = |way: Way, user: &str, password: &str| {
        code(client(&process, way, user, password, Mechanism::Plain).send(&message(user)))
    };
    assert_eq!(send(Way::Clear, "you@localhost", PASSWORD), "250");
    // Each failure that is looked at makes the wait twice as long, so however slow the guesser is, it meets one soon.
    let met = (0..40).find(|number| {
        let answer = send(WAYS[number % 3], &format!("nobody{number}@localhost"), "wrong");
        assert!(["535", "454"].contains(&answer.as_str()), "{answer}");
        answer == "454"
    });
    assert!(met.is_some_and(|number| number >= 5), "{met:?}");
    process.wait_for_log("not-authenticated", &["why=\"too many failures before\""]);
    assert_eq!(send(Way::StartTls, "you@localhost", PASSWORD), "250", "it has come from here before");
    process.stop();
}
