//! Every dialogue of `tests/dialogues`, held with the real process over TCP: all at once, line by line and octet by octet.

mod common;

use std::net::{IpAddr, SocketAddr, TcpStream};

use common::client::Client;
use common::dialogue::{Dialogue, Exchange, Setup, difference, files, lines};
use common::process::{Conf, Home, Process, Server};
use ringpost::smtp::server::settings::Extensions;
use socket2::{Domain, Socket, Type};

/// Dialogues that no configuration brings about over loopback, and why.
const NOT_OVER_TCP: [(&str, &str); 14] = [
    ("client-ipv4-mapped", "sockets for IPv6 take no IPv4"),
    ("ehlo-limits", "ringpost.xml allows 100 recipients at least"),
    ("ehlo-no-limits", "ringpost.xml allows 100000 recipients at most"),
    ("line-too-long", "maxLineLength is 1000 at least"),
    ("lmtp-failures", "the fate of each mailbox is made up"),
    ("lmtp-store-full", "the spool's fate is made up"),
    ("recipient-limit", "ringpost.xml allows 100 recipients at least"),
    ("rewrite-lmtp", "the fate of each mailbox is made up"),
    ("rewrite-too-many", "ringpost.xml allows 100 recipients at least"),
    ("size-unlimited", "the spool of a test has no room for 4 GiB"),
    ("store-busy", "the spool's fate is made up"),
    ("store-closed", "the spool's fate is made up"),
    ("store-failed", "the spool's fate is made up"),
    ("store-rejected", "the spool's fate is made up"),
];

/// The same for a spool that is full; kept apart because it has a test of its own in `delivery.rs`.
const FULL: &str = "store-full";

/// Whether a dialogue needs users, or a connection, that are made up.
fn is_made_up(setup: &Setup) -> bool {
    !setup.passwords.is_empty()
        || setup.socket_tls
        || setup.directory_down
        || setup.domains.len() > 1
        || !setup.rewrites.is_empty()
        || setup.leads_out
}

/// Addresses of examples, and those on loopback that stand in for them.
const STAND_INS: [(&str, &str); 2] = [("192.0.2.7", "127.0.0.7"), ("2001:db8::7", "::1")];

/// A dialogue with its name, and the number of the server that it is held with.
struct Planned {
    name: String,
    dialogue: Dialogue,
    server: usize,
}

/// The server that a dialogue asks for.
fn server(setup: &Setup) -> Server {
    let mut server = if setup.lmtp { Server::lmtp() } else { Server::smtp() };
    server = server
        .with("helloName", &setup.hello_name)
        .with("maxmessagesize", &format!("{}B", setup.max_message_octets))
        .with("maxLineLength", &setup.max_line_octets.to_string())
        .with("heloEhloEnforcement", &setup.require_hello.to_string())
        .with("addressBracketsEnforcement", &setup.require_brackets.to_string());
    if let Some(greeting) = &setup.greeting {
        server = server.with(if setup.lmtp { "lmtpGreeting" } else { "smtpGreeting" }, greeting);
    }
    if !setup.disabled_features.is_empty() {
        let words: Vec<&str> = setup.disabled_features.iter().map(|feature| feature.keyword()).collect();
        server = server.with("disabledFeatures", &words.join("\n"));
    }
    let Extensions { dsn, future_release, mt_priority, require_tls } = setup.extensions;
    for (is_on, hook) in [
        (dsn, "dsn.DSNRcptParameterHook"),
        (future_release, "futurerelease.FutureReleaseEHLOHook"),
        (mt_priority, "priority.SmtpMtPriorityMessageHook"),
        (require_tls, "tls.SmtpRequireTlsEhloHook"),
    ] {
        if is_on {
            server = server.with_handler(hook);
        }
    }
    if let Some(always) = setup.auth_always {
        let announce = if always { "always" } else { "forUnauthorizedAddresses" };
        let Setup { auth_requires_tls, auth_required, .. } = setup;
        let auth = format!(
            "<announce>{announce}</announce><requireSSL>{auth_requires_tls}</requireSSL><required>{auth_required}</required>"
        );
        server = server.with("auth", &auth);
    }
    if !setup.authorized.0.is_empty() {
        let networks: Vec<String> = setup.authorized.0.iter().map(ToString::to_string).collect();
        server = server.with("authorizedAddresses", &networks.join(" "));
    }
    if !setup.lmtp {
        server = server.with("verifyIdentity", &format!("{:?}", setup.identity).to_lowercase());
    }
    if setup.client.contains(':') {
        server = server.with("bind", "[::1]:0");
    }
    server
}

/// Connects from the address that the dialogue asks for.
fn dial(process: &Process, planned: &Planned) -> Client {
    let (address, from): (SocketAddr, IpAddr) =
        (process.address(planned.server), planned.dialogue.setup.client.parse().expect("an address"));
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::new(from, 0).into()).expect("an address of loopback");
    socket.connect(&address.into()).expect("the server listens");
    Client::over(TcpStream::from(socket)).expect("a connection")
}

/// The next lines that come, as many as are expected.
fn read(client: &mut Client, expected: &[String]) -> Vec<String> {
    expected.iter().map_while(|_| client.try_line().ok()).collect()
}

/// The first line of the server: a client speaks when it was greeted.
fn greeting(client: &mut Client, planned: &Planned) -> Vec<String> {
    read(client, &planned.dialogue.expected()[..1])
}

/// The end of a dialogue: nothing more comes, and the connection ends.
fn end(client: &mut Client, resets_allowed: bool) -> Result<(), String> {
    client.end_input();
    match client.rest() {
        Ok(rest) if rest.is_empty() => Ok(()),
        Ok(rest) => Err(format!("more was said: {:?}", lines(&rest))),
        Err(error) if resets_allowed && error.kind() == std::io::ErrorKind::ConnectionReset => Ok(()),
        Err(error) => Err(format!("the connection does not end in order: {error}")),
    }
}

/// Holds a dialogue with what the client sends cut by `cut`; each exchange must be answered before the next one begins.
fn replay(process: &Process, planned: &Planned, cut: fn(&Exchange) -> Vec<&[u8]>) -> Result<(), String> {
    let mut client = dial(process, planned);
    let mut said = greeting(&mut client, planned);
    let mut closes = false;
    for exchange in &planned.dialogue.exchanges {
        let octets = String::from_utf8_lossy(&exchange.client);
        for piece in cut(exchange) {
            // A server that closes in the middle of an exchange does not take the rest of it.
            if let Err(error) = client.try_send(piece)
                && !exchange.closed
            {
                return Err(format!("sending {octets:?}: {error}"));
            }
        }
        said.extend(read(&mut client, &exchange.server[said.len()..]));
        if let Some(difference) = difference(&exchange.server, &std::mem::take(&mut said)) {
            return Err(format!("after {octets:?}\n{difference}"));
        }
        closes = exchange.closed;
        if closes {
            break;
        }
    }
    end(&mut client, closes)
}

fn replay_at_once(process: &Process, planned: &Planned) -> Result<(), String> {
    let mut client = dial(process, planned);
    let expected = planned.dialogue.expected();
    let mut said = greeting(&mut client, planned);
    client.try_send(&planned.dialogue.input()).map_err(|error| error.to_string())?;
    // A client that has nothing more to say is answered all the same.
    client.end_input();
    said.extend(read(&mut client, &expected[said.len()..]));
    match difference(&expected, &said) {
        Some(difference) => Err(difference),
        None => end(&mut client, false),
    }
}

fn check(process: &Process, planned: &Planned) -> Result<(), String> {
    replay(process, planned, |exchange| exchange.client.split_inclusive(|octet| *octet == b'\n').collect())
        .map_err(|error| format!("line by line: {error}"))?;
    replay(process, planned, |exchange| exchange.client.chunks(1).collect())
        .map_err(|error| format!("octet by octet: {error}"))?;
    replay_at_once(process, planned).map_err(|error| format!("all at once: {error}"))
}

/// Every dialogue that can be held, with stand-ins for addresses that are not to be had.
fn dialogues() -> Vec<(String, Dialogue)> {
    let mut all = Vec::new();
    let mut left_out = Vec::new();
    for file in files() {
        let name = file.file_stem().expect("a name").to_string_lossy().into_owned();
        let mut text = std::fs::read_to_string(&file).expect("a dialogue");
        for (address, stand_in) in STAND_INS {
            if text.contains(&format!("set client {address}\n")) {
                text = text.replace(address, stand_in);
            }
        }
        let dialogue = Dialogue::parse(&text).unwrap_or_else(|line| panic!("{name}:{line}: not understood"));
        let Setup { max_recipients, max_line_octets, store, mailboxes, client, .. } = &dialogue.setup;
        let cannot_be = *max_recipients != 1000
            || *max_line_octets < 1000
            || store.is_some()
            || !mailboxes.is_empty()
            || client.starts_with("::ffff")
            || text.contains("SIZE=4294967296");
        if cannot_be {
            left_out.push(name);
        } else if !is_made_up(&dialogue.setup) {
            all.push((name, dialogue));
        }
    }
    left_out.retain(|name| name != FULL);
    assert_eq!(left_out, NOT_OVER_TCP.map(|(name, _)| name), "dialogues that are left out are those of the list");
    all
}

/// Starts one process for these dialogues, which must agree on the users, with one server for each kind.
fn start(dialogues: Vec<(String, Dialogue)>) -> (Home, Process, Vec<Planned>) {
    let mut servers: Vec<Server> = Vec::new();
    let users: Vec<String> = dialogues[0].1.setup.users.clone();
    let mut planned = Vec::new();
    for (name, dialogue) in dialogues {
        assert_eq!(users, dialogue.setup.users);
        let wanted = server(&dialogue.setup);
        let server = servers.iter().position(|server| *server == wanted).unwrap_or_else(|| {
            servers.push(wanted);
            servers.len() - 1
        });
        planned.push(Planned { name, dialogue, server });
    }
    let users: Vec<&str> = users.iter().map(String::as_str).collect();
    let home = Home::new(&Conf::new().users(&users).servers(servers));
    let process = home.start();
    (home, process, planned)
}

fn check_all(dialogues: Vec<(String, Dialogue)>) {
    let (_home, process, planned) = start(dialogues);
    let failures: Vec<String> = planned
        .iter()
        .filter_map(|planned| check(&process, planned).err().map(|error| format!("{}, {error}", planned.name)))
        .collect();
    assert!(failures.is_empty(), "{} of {} dialogues:\n{}", failures.len(), planned.len(), failures.join("\n"));
    process.stop();
}

#[test]
fn every_smtp_dialogue_is_held_as_written() {
    let (_, smtp): (Vec<_>, Vec<_>) = dialogues().into_iter().partition(|(_, dialogue)| dialogue.setup.lmtp);
    assert!(smtp.len() >= 50, "only {} dialogues", smtp.len());
    check_all(smtp);
}

#[test]
fn every_lmtp_dialogue_is_held_as_written() {
    let (lmtp, _): (Vec<_>, Vec<_>) = dialogues().into_iter().partition(|(_, dialogue)| dialogue.setup.lmtp);
    assert!(lmtp.len() >= 3, "only {} dialogues", lmtp.len());
    check_all(lmtp);
}

/// A dialogue written here, held in all three ways with a process of its own.
fn hold(conf: impl FnOnce(Conf) -> Conf, text: &str) {
    let dialogue = Dialogue::parse(text).expect("a dialogue");
    let home = Home::new(&conf(Conf::new().servers(vec![server(&dialogue.setup)])));
    let process = home.start();
    let planned = Planned { name: "here".into(), dialogue, server: 0 };
    check(&process, &planned).unwrap_or_else(|error| panic!("{error}"));
    process.stop();
}

#[test]
fn the_limit_of_recipients_is_that_of_the_configuration() {
    let taken = "C: RCPT TO:<you@localhost>\nS: 250 2.1.5 Recipient <you@localhost> OK\n".repeat(100);
    let text = format!(
        "S: 220 localhost ESMTP ringpost\n\
         C: EHLO a\n\
         S: 250-localhost Hello a [127.0.0.1]\n\
         S: 250-PIPELINING\n\
         S: 250-SIZE\n\
         S: 250-8BITMIME\n\
         S: 250-CHUNKING\n\
         S: 250-BINARYMIME\n\
         S: 250-SMTPUTF8\n\
         S: 250-ENHANCEDSTATUSCODES\n\
         S: 250 LIMITS RCPTMAX=100\n\
         C: MAIL FROM:<>\n\
         S: 250 2.1.0 Sender <> OK\n\
         {taken}\
         C: RCPT TO:<you@localhost>\n\
         S: 452 4.5.3 Too many recipients\n"
    );
    hold(|conf| conf.with("limits/recipients", "100"), &text);
}

#[test]
fn the_longest_line_is_that_of_the_configuration() {
    let text = "set maxLineLength 1000\n\
         S: 220 localhost ESMTP ringpost\n\
         C: NOOP \\{x*995}\n\
         S: 250 2.0.0 OK\n\
         C: NOOP \\{x*996}\n\
         S: 500 5.5.2 Line length exceeded. See RFC 5321 section 4.5.3.1.\n\
         C: NOOP \\{x*20000}\n\
         S: 500 5.5.2 Line length exceeded. See RFC 5321 section 4.5.3.1.\n\
         C: NOOP\n\
         S: 250 2.0.0 OK\n";
    hold(|conf| conf, text);
}

#[test]
fn a_wrong_dialogue_fails() {
    let right = "S: 220 localhost ESMTP ringpost\nC: NOOP\nS: 250 2.0.0 OK\nC: QUIT\n\
        S: 221 2.0.0 localhost Service closing transmission channel\nclosed\n";
    let home = Home::new(&Conf::new());
    let process = home.start();
    let check = |text: &str| {
        check(&process, &Planned { name: "here".into(), dialogue: Dialogue::parse(text).unwrap(), server: 0 })
    };
    assert_eq!(check(right), Ok(()));
    for (from, to) in [("250 2.0.0 OK", "250 2.0.0 Ok"), ("C: NOOP\n", "C: NOOP\nC: NOOP\n")] {
        assert!(check(&right.replace(from, to)).is_err());
    }
}
