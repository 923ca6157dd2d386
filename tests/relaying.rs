//! Mail for other domains is for those who may send it there: whatever the configuration leaves out, and whatever is said.
//!
//! A configuration is generated and read as a server reads it; a dialogue is generated and held with the session, the policy
//! and the counting of failures that the server has; what was accepted is then compared with what the generator knows: whether
//! the client's address is authorized, and whether the dialogue has proved a user.

mod common;

use common::dialogue::{Setup, lines};
use common::driver::{Driver, settings};
use common::reading::{put, read, told, with};
use proptest::prelude::*;
use ringpost::config::Configuration;
use ringpost::hook::{Chain, Handler, TableCheck};
use ringpost::mta::settings::{chain, session_settings};
use ringpost::smtp::sasl::base64::encode;

/// A server as it is written, and what of that matters here.
#[derive(Clone, Debug)]
struct Written {
    xml: String,
    /// Whether `127.0.0.1` may relay for its address, and `192.0.2.7`.
    authorizes: [bool; 2],
}

/// Ways to write whom `authorizedAddresses` means, and whether these are the two clients that there are.
const AUTHORIZED: [(&str, [bool; 2]); 11] = [
    ("", [false, false]),
    ("127.0.0.0/8", [true, false]),
    ("127.*", [true, false]),
    ("127.0.0.1", [true, false]),
    ("127.0.0.2 192.0.2.6", [false, false]),
    ("192.0.2.0/255.255.255.248, 10.*", [false, true]),
    ("192.0.2.8/29", [false, false]),
    ("::ffff:127.0.0.1", [true, false]),
    ("::/1 2001:db8::/32", [false, false]),
    ("*", [true, true]),
    ("localhost", [true, false]),
];

fn written() -> impl Strategy<Value = Written> {
    let word = |name: &'static str, words: &'static [&'static str]| {
        prop::sample::select(words).prop_map(move |word| match word {
            "" => String::new(),
            word => format!("<{name}>{word}</{name}>"),
        })
    };
    let booleans: &'static [&'static str] = &["", "true", "false"];
    let auth = (
        word("announce", &["", "never", "always", "forUnauthorizedAddresses"]),
        word("requireSSL", booleans),
        word("required", booleans),
        word("plainAuthEnabled", booleans),
        word(
            "saslMechanisms",
            &["", "PlainSaslMechanismFactory", "ScramSha256SaslMechanismFactory,LoginSaslMechanismFactory"],
        ),
    );
    let server = (
        word("verifyIdentity", &["", "strict", "relaxed", "disabled", "true", "false"]),
        word("authRequired", &["", "true", "announce", "false"]),
        word("heloEhloEnforcement", booleans),
        word("addressBracketsEnforcement", booleans),
        prop::sample::select(&["CoreCmdHandlerLoader", "NoAuthCmdHandlerLoader"][..]),
        any::<bool>(),
    );
    (auth, server, prop::sample::select(&AUTHORIZED[..])).prop_map(|(auth, server, (authorized, authorizes))| {
        let (announce, require_ssl, required, plain, mechanisms) = auth;
        let (identity, older, hello, brackets, core, valid_rcpt) = server;
        let authorized = match authorized {
            "" => String::new(),
            text => format!("<authorizedAddresses>{text}</authorizedAddresses>"),
        };
        let handler = if valid_rcpt {
            "<handler class='org.apache.james.smtpserver.fastfail.ValidRcptHandler'/>"
        } else {
            ""
        };
        let xml = format!(
            "<smtpservers><smtpserver><bind>127.0.0.1:0</bind><auth>{announce}{require_ssl}{required}{plain}{mechanisms}</auth>\
             {identity}{older}{hello}{brackets}{authorized}\
             <handlerchain coreHandlersPackage='org.apache.james.smtpserver.{core}'>{handler}</handlerchain>\
             </smtpserver></smtpservers>"
        );
        Written { xml, authorizes }
    })
}

/// What a client says, and what of that matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    /// Anything that matters to nobody.
    Line(&'static str),
    /// Names a recipient of another domain in a way that is right.
    Elsewhere(&'static str),
    /// Names one in a way that has opened relays.
    Trick(&'static str),
    /// Says the right password.
    Right(&'static str),
}

impl Said {
    fn text(self) -> &'static str {
        let (Said::Line(text) | Said::Elsewhere(text) | Said::Trick(text) | Said::Right(text)) = self;
        text
    }
}

const LINES: [Said; 38] = [
    Said::Line("HELO client"),
    Said::Line("EHLO mx.example.org"),
    Said::Line("EHLO localhost"),
    Said::Line("AUTH PLAIN AHlvdUBsb2NhbGhvc3QAd3Jvbmc="),
    Said::Line("AUTH PLAIN AG5vYm9keQBzZXNhbWU="),
    Said::Line("AUTH PLAIN bm9ib2R5AHlvdQBzZXNhbWU="),
    Said::Line("AUTH PLAIN ="),
    Said::Line("AUTH PLAIN"),
    Said::Line("AUTH LOGIN"),
    Said::Line("eW91"),
    Said::Line("AUTH SCRAM-SHA-256 biwsbj15b3Uscj1hYmM="),
    Said::Line("Yz1iaXdzLHI9YWJjc2VydmVyLHA9QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQT0="),
    Said::Line("*"),
    Said::Line(""),
    Said::Right("AUTH PLAIN AHlvdUBsb2NhbGhvc3QAc2VzYW1l"),
    Said::Right("c2VzYW1l"),
    Said::Line("MAIL FROM:<you@localhost>"),
    Said::Line("MAIL FROM:<me@example.org>"),
    Said::Line("MAIL FROM:<> AUTH=<>"),
    Said::Line("MAIL FROM:<me@example.org> AUTH=you@localhost"),
    Said::Line("RCPT TO:<you@localhost>"),
    Said::Line("RCPT TO:<postmaster>"),
    Said::Elsewhere("RCPT TO:<you@example.net>"),
    Said::Elsewhere("RCPT TO:<postmaster@example.net>"),
    Said::Elsewhere("RCPT TO:<you@[192.0.2.9]>"),
    Said::Elsewhere("RCPT TO:<@localhost:you@example.net>"),
    Said::Elsewhere("RCPT TO:<localhost!you@example.net>"),
    Said::Trick("RCPT TO:<you%example.net@localhost>"),
    Said::Trick("RCPT TO:<\"you@example.net\"@localhost>"),
    Said::Trick("RCPT TO:<example.net!you@localhost>"),
    Said::Trick("RCPT TO:<you@localhost@example.net>"),
    Said::Trick("RCPT TO:<you@example.net@localhost>"),
    Said::Trick("RCPT TO:you@example.net"),
    Said::Trick("RCPT TO:<you@[127.0.0.1]>"),
    Said::Line("DATA\r\nFrom: you@localhost\r\n\r\ntext\r\n."),
    Said::Line("DATA\r\nSubject: none\r\n\r\ntext\r\n."),
    Said::Line("RSET"),
    Said::Line("STARTTLS"),
];

const CLIENTS: [&str; 2] = ["127.0.0.1", "192.0.2.7"];

/// Dialogues that get somewhere: most begin as those of clients do.
fn dialogue() -> impl Strategy<Value = Vec<Said>> {
    let line = || prop::sample::select(&LINES[..]);
    let named =
        |text: &'static str| LINES.into_iter().find(|said| said.text().contains(text)).expect("a line of those");
    let beginning = prop::sample::select(vec![
        vec![],
        vec![named("EHLO mx")],
        vec![named("EHLO mx"), named("AHlvdUBsb2NhbGhvc3QAc2VzYW1l")],
        vec![named("EHLO mx"), named("AUTH LOGIN"), named("eW91"), named("c2VzYW1l")],
        vec![named("EHLO mx"), named("MAIL FROM:<me@example.org>")],
        vec![named("EHLO mx"), named("AHlvdUBsb2NhbGhvc3QAc2VzYW1l"), named("MAIL FROM:<you")],
    ]);
    (beginning, prop::collection::vec(line(), 0..16)).prop_map(|(beginning, rest)| [beginning, rest].concat())
}

/// A pipeline that brings mail to other hosts.
const WAY_OUT: &str = "<mailetcontainer><spooler><errorRepository>file://var/mail/error/</errorRepository></spooler><processors>\
    <processor state='root'><mailet match='RecipientIsLocal' class='LocalDelivery'/>\
    <mailet match='All' class='RemoteDelivery'/></processor><processor state='error'/></processors></mailetcontainer>";

/// As it is read, where there is a way to other hosts, or none.
fn configuration(xml: &str, way_out: bool) -> Configuration {
    let mut sources = with("smtpserver", xml);
    if way_out {
        put(&mut sources, "mailetcontainer", WAY_OUT.as_bytes());
    }
    let domains = "<domainlist><domainnames><domainname>localhost</domainname></domainnames></domainlist>";
    put(&mut sources, "domainlist", domains.as_bytes());
    put(&mut sources, "ringpost", b"<ringpost/>");
    let (configuration, problems) = read(&sources);
    configuration.unwrap_or_else(|| panic!("{xml}\n{}", told(&problems)))
}

fn hold(
    written: &Written,
    client: usize,
    (tls, way_out): (bool, bool),
    dialogue: &[Said],
) -> Result<(), TestCaseError> {
    let configuration = configuration(&written.xml, way_out);
    let server = &configuration.servers[0];
    let setup = Setup {
        client: CLIENTS[client].into(),
        socket_tls: tls,
        passwords: vec![("you@localhost".into(), "sesame".into())],
        ..Setup::default()
    };
    let mut driver = Driver::under(session_settings(&configuration, server), chain(&configuration, server), &setup);
    let mut right_said = false;
    for said in dialogue {
        if driver.is_closed() {
            break;
        }
        let (in_transaction, before) = (driver.session.in_transaction(), driver.sent.len());
        let may_relay = written.authorizes[client] || driver.session.user().is_some();
        let recipients = driver.session.recipients().len();
        right_said |= matches!(said, Said::Right(_));
        driver.receive(format!("{}\r\n", said.text()).as_bytes());
        let replies = lines(&driver.sent[before..]);

        // Nobody is believed who has not said the right password, and nobody else is believed to be that user.
        prop_assert!(driver.proved.is_empty() || right_said);
        prop_assert!(driver.session.user().is_none() || !driver.proved.is_empty());
        prop_assert!(driver.proved.iter().all(|user| user.as_str() == "you@localhost"));

        let reply = replies.first().map_or("", String::as_str);
        match said {
            // What they name is another domain, whatever they look like.
            Said::Elsewhere(_) if may_relay && way_out => {}
            Said::Trick(text) if may_relay && way_out && !text.contains("localhost") => {}
            Said::Elsewhere(_) | Said::Trick(_) => {
                prop_assert!(!reply.starts_with('2'), "{said:?}: {reply}");
                prop_assert!(may_relay || !reply.starts_with("451 4.4.0"), "{said:?}: {reply}");
                prop_assert_eq!(driver.session.recipients().len().min(recipients), driver.session.recipients().len());
            }
            Said::Line(_) | Said::Right(_) => {}
        }
        if matches!(said, Said::Elsewhere(_)) && in_transaction {
            let expected = match (may_relay, way_out) {
                (true, true) => "250 2.1.5 ",
                (true, false) => "451 4.4.0 ",
                (false, _) => "5",
            };
            let is_relay_reply = ["530 5.7.1 ", "550 5.7.1 "].iter().any(|start| reply.starts_with(start));
            prop_assert!(
                reply.starts_with(expected) && (may_relay || is_relay_reply || driver.is_closed()),
                "{said:?}: {reply}"
            );
        }
    }
    for message in &driver.messages {
        let elsewhere = message.envelope.recipients.iter().find(|to| to.domain().to_string() != "localhost");
        let may_relay = written.authorizes[client] || message.envelope.client.user.is_some();
        prop_assert!(elsewhere.is_none() || may_relay && way_out, "{elsewhere:?}");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn nobody_relays_who_may_not(
        written in written(),
        client in 0usize..2,
        tls in any::<(bool, bool)>(),
        dialogue in dialogue(),
    ) {
        hold(&written, client, tls, &dialogue)?;
    }
}

/// Who may relay is taken at its word where there is a way out, and the others are not.
#[test]
fn who_may_relay_does() {
    let xml = "<smtpservers><smtpserver><bind>127.0.0.1:0</bind><authorizedAddresses>192.0.2.7</authorizedAddresses>\
               <handlerchain/></smtpserver></smtpservers>";
    for (client, way_out, expected) in [
        ("192.0.2.7", true, "250 2.1.5 "),
        ("192.0.2.7", false, "451 4.4.0 "),
        ("192.0.2.8", true, "550 5.7.1 "),
        ("192.0.2.8", false, "550 5.7.1 "),
    ] {
        let configuration = configuration(xml, way_out);
        let server = &configuration.servers[0];
        let setup = Setup { client: client.into(), ..Setup::default() };
        let mut driver = Driver::under(session_settings(&configuration, server), chain(&configuration, server), &setup);
        driver.receive(b"EHLO mx.example.org\r\nMAIL FROM:<me@example.org>\r\nRCPT TO:<you@example.net>\r\n");
        let said = lines(&driver.sent);
        assert!(said.last().is_some_and(|reply| reply.starts_with(expected)), "{client} {way_out}: {said:?}");
    }
}

/// The property is none that cannot fail: a policy without the handler that refuses strangers does not have it.
#[test]
fn a_policy_without_its_handler_would_be_noticed() {
    let setup = Setup { client: "192.0.2.7".into(), ..Setup::default() };
    let mut driver =
        Driver::under(settings(&setup), Chain::new(vec![Handler::ValidRcpt(TableCheck::default())]), &setup);
    driver.receive(b"HELO client\r\nMAIL FROM:<me@example.org>\r\nRCPT TO:<you@example.net>\r\n");
    assert!(lines(&driver.sent).last().is_some_and(|reply| reply.starts_with("451 4.4.0 ")));
}

#[test]
fn the_generator_says_what_it_seems_to_say() {
    for (line, text) in [
        ("AHlvdUBsb2NhbGhvc3QAc2VzYW1l", "\0you@localhost\0sesame"),
        ("eW91", "you"),
        ("c2VzYW1l", "sesame"),
        ("biwsbj15b3Uscj1hYmM=", "n,,n=you,r=abc"),
        ("bm9ib2R5AHlvdQBzZXNhbWU=", "nobody\0you\0sesame"),
    ] {
        assert_eq!(encode(text.as_bytes()), line);
        assert!(LINES.iter().any(|said| said.text().ends_with(line)), "{line}");
    }
    // Both kinds of clients are found among the authorized, and among strangers.
    for client in 0..2 {
        let of = |authorized: bool| AUTHORIZED.iter().any(|(_, authorizes)| authorizes[client] == authorized);
        assert!(of(true) && of(false));
    }
}
