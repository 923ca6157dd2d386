//! Configurations in the shape of James' flavours and versions, each served by a process of its own: strangers, clients that
//! its files authorize, STARTTLS, TLS from the start, proxies and LMTP hear what `behaves.txt` beside the files says.
//!
//! Only what a test must change is changed: ports become 0, addresses the loopback's, the keys those of the tests, and
//! 127.0.0.0/8 becomes 127.0.0.0/9, so that there is somebody on the loopback whom the files do not authorize. What the server
//! does not do yet is accepted in `ringpost.xml` with the very lines that `ringpost check` tells.
//!
//! ```text
//! connect smtpserver-global from 127.200.0.1     a connection to the server of that jmxName
//! proxy 192.0.2.7                                says by the PROXY protocol for whom
//! tls                                            does the handshake of TLS
//! C: EHLO client.example.org                     says a line
//! auth you secret                                says AUTH PLAIN
//! S: 250                                         the next reply begins so, each line of it
//! has STARTTLS                                   a line of that reply has this text and no more
//! lacks AUTH                                     no line of that reply begins with this text
//! closed                                         the server closes
//! arrives you                                    the message that the last reply named is in that user's mailbox
//! bounced                                        of the message that the last reply named its sender hears
//! ```

mod common;

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use common::client::{Client, id};
use common::process::{Conf, Home, Process};
use common::tls;
use socket2::{Domain, Socket, Type};

/// The password of the user `you`.
const PASSWORD: &str = "correct horse";

/// What a test changes in a flavour's files.
fn adapted(text: &str) -> String {
    let text = text
        .replace("127.0.0.0/8", "127.0.0.0/9")
        .replace("notTheRealOne", tls::SECRET)
        .replace("<port>25</port>", "<bind>127.0.0.1:0</bind>");
    let line = |line: &str| match (line.find("<bind>"), line.find("</bind>")) {
        (Some(from), Some(to)) => format!("{}<bind>127.0.0.1:0{}\n", &line[..from], &line[to..]),
        _ => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

/// A home with the flavour's files and the user `you` of localhost.
fn home(flavour: &Path) -> Home {
    let home = Home::without_users(&Conf::new().servers(Vec::new()));
    for entry in fs::read_dir(flavour).expect("it is there") {
        let path = entry.expect("readable").path();
        if path.extension().is_some_and(|extension| extension != "txt") {
            let text = adapted(&fs::read_to_string(&path).expect("it is text"));
            fs::write(home.conf().join(path.file_name().expect("a name")), text).expect("it is written");
        }
    }
    for (from, to) in [("java.p12", "keystore"), ("mx-key.pem", "private.key"), ("mx-chain.pem", "certificates.pem")] {
        fs::copy(tls::keystore(from), home.conf().join(to)).expect("it is copied");
    }
    let checked = home.command().arg("check").output().expect("it runs");
    let told = String::from_utf8(checked.stdout).expect("it is UTF-8") + &String::from_utf8_lossy(&checked.stderr);
    let mut accepted: Vec<&str> =
        told.lines().filter_map(|line| Some(&line[line.find("<accept-inactive")?..])).collect();
    accepted.sort_unstable();
    accepted.dedup();
    let spool = "<spool><segmentSize>4M</segmentSize><reserve>1M</reserve></spool>";
    fs::write(home.conf().join("ringpost.xml"), format!("<ringpost>{}{spool}</ringpost>\n", accepted.concat()))
        .expect("it is written");
    home.run_with(&["user", "add", "you@localhost"], PASSWORD);
    home
}

/// A connection from that address.
fn dial(server: SocketAddr, from: Option<IpAddr>) -> Client {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    if let Some(from) = from {
        socket.bind(&SocketAddr::new(from, 0).into()).expect("an address of the loopback");
    }
    socket.connect(&server.into()).expect("the server listens");
    Client::over(socket.into()).expect("a connection")
}

/// Plays the script of a flavour.
fn play(home: &Home, process: &Process, script: &str) {
    let (mut client, mut reply) = (None::<Client>, String::new());
    for (number, line) in script.lines().enumerate() {
        let at = || format!("line {}: {line}\nthe last reply:\n{reply}", number + 1);
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        if word.is_empty() || word == "#" {
            continue;
        }
        if word == "connect" {
            let (name, from) = rest.split_once(" from ").map_or((rest, None), |(name, from)| (name, Some(from)));
            let from = from.map(|from| from.parse().expect("an address"));
            client = Some(dial(process.listener(name), from));
            continue;
        }
        if word == "arrives" {
            let (_, content) = home.delivered(rest, id(&reply));
            assert!(content.ends_with(b"\nHello.\n"), "{}", at());
            continue;
        }
        if word == "bounced" {
            process.wait_for_log("made", &[&format!("of={}", id(&reply)), "kind=bounce"]);
            continue;
        }
        let client = client.as_mut().expect("the script connects first");
        match word {
            "proxy" => client.send(format!("PROXY TCP4 {rest} 127.0.0.1 40000 25\r\n")),
            "tls" => client.secure(tls::any_client(), tls::NAME).unwrap_or_else(|error| panic!("{error}; {}", at())),
            "C:" => client.send(format!("{rest}\r\n")),
            "auth" => {
                let credentials = STANDARD.encode(format!("\0{rest}\0{PASSWORD}"));
                client.send(format!("AUTH PLAIN {credentials}\r\n"));
            }
            "S:" => {
                let said = client.try_reply().unwrap_or_else(|error| panic!("{error}; {}", at()));
                let (code, _) = rest.split_once(' ').unwrap_or((rest, ""));
                let first = said.replacen('-', " ", 1);
                assert!(first.starts_with(rest) && said.lines().all(|line| line.starts_with(code)), "{said}\n{}", at());
                reply = said;
            }
            "has" => assert!(reply.lines().any(|line| line.get(4..) == Some(rest)), "{}", at()),
            "lacks" => {
                let begins = |line: &str| line.get(4..).is_some_and(|text| text.starts_with(rest));
                assert!(!reply.lines().any(begins), "{}", at());
            }
            "closed" => client.assert_closed(),
            _ => panic!("no such step: {}", at()),
        }
    }
}

#[test]
fn each_flavour_is_served_as_its_files_say() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/flavours");
    let entries = fs::read_dir(directory).expect("it is there").map(|entry| entry.expect("readable").path());
    let flavours: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    assert!(flavours.len() >= 9);
    for flavour in flavours {
        let name = flavour.display();
        let script = fs::read_to_string(flavour.join("behaves.txt")).unwrap_or_else(|error| panic!("{name}: {error}"));
        println!("{name}");
        let home = home(&flavour);
        let process = home.start();
        play(&home, &process, &script);
        process.stop();
    }
}
