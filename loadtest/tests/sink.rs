//! The sink does what its options say, seen by the source and by a client of the test's own.

mod common;

use common::{Running, clean, loadtest, sink, source, text};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

struct Client(BufReader<TcpStream>);

impl Client {
    fn connect(server: &Running) -> Client {
        Client(BufReader::new(TcpStream::connect(&server.address).unwrap()))
    }

    /// The next reply, or `None` where the connection has ended.
    fn hears(&mut self) -> Option<String> {
        let mut text = String::new();
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line).ok()? == 0 {
                return None;
            }
            text += &line;
            if line.as_bytes().get(3) == Some(&b' ') {
                return Some(text);
            }
        }
    }

    fn says(&mut self, line: &str) -> Option<String> {
        write!(self.0.get_mut(), "{line}\r\n").ok()?;
        self.hears()
    }
}

#[test]
fn offers_what_it_has_and_not_what_is_left_out() {
    let server = sink(&["--without", "CHUNKING", "--starttls", "--size", "1000000"]);
    let mut client = Client::connect(&server);
    assert!(client.hears().unwrap().starts_with("220 "));
    let offered = client.says("EHLO me").unwrap();
    for keyword in ["PIPELINING", "SIZE 1000000", "8BITMIME", "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES", "STARTTLS"] {
        assert!(offered.contains(keyword), "{keyword}: {offered}");
    }
    assert!(!offered.contains("CHUNKING"));
    let output = loadtest(&["sink", "--without", "ETRN"]);
    assert!(!output.status.success() && text(&output).contains("not offered anyway"), "{}", text(&output));
}

#[test]
fn delays_are_kept() {
    let server = sink(&["--delay", "greeting:0.3", "--delay", "reply:0.1", "--delay", "dot:0.4"]);
    let begun = Instant::now();
    let mut client = Client::connect(&server);
    client.hears().unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(300));
    let begun = Instant::now();
    for line in ["EHLO me", "MAIL FROM:<>", "RCPT TO:<a@b>", "DATA"] {
        client.says(line).unwrap();
    }
    assert!(begun.elapsed() >= Duration::from_millis(400));
    let begun = Instant::now();
    assert!(client.says("x\r\n.").unwrap().starts_with("250 "));
    assert!(begun.elapsed() >= Duration::from_millis(400));
}

#[test]
fn faults_by_recipient_are_met_by_those_alone() {
    let server =
        sink(&["--fault", "rcpt:450:1:later*@*", "--fault", "rcpt:550:1:nobody@*", "--fault", "rcpt:drop:1:cut@*"]);
    let mut client = Client::connect(&server);
    client.hears().unwrap();
    client.says("EHLO me").unwrap();
    client.says("MAIL FROM:<a@b>").unwrap();
    for (recipient, code) in [("later-1@there", "450 "), ("nobody@there", "550 "), ("you@there", "250 ")] {
        assert!(client.says(&format!("RCPT TO:<{recipient}>")).unwrap().starts_with(code), "{recipient}");
    }
    assert_eq!(client.says("RCPT TO:<cut@there>"), None);
}

#[test]
fn chances_are_the_same_for_the_same_seed() {
    let errors = |seed: &str| {
        let server = sink(&["--fault", "dot:451:0.3", "--fault", "rcpt:550:0.1", "--seed", seed]);
        let (output, figures) = source(&server.address, &["--messages", "100", "--sessions", "1"]);
        assert!(!output.status.success());
        figures["errors"].clone()
    };
    let first = errors("5");
    assert_eq!(first, errors("5"));
    assert_ne!(first, errors("6"));
}

#[test]
fn only_so_many_sessions_are_served() {
    let server = sink(&["--sessions", "2"]);
    let mut served: Vec<Client> = (0..2).map(|_| Client::connect(&server)).collect();
    served.iter_mut().for_each(|client| assert!(client.hears().unwrap().starts_with("220 ")));
    let mut third = Client::connect(&server);
    assert!(third.hears().unwrap().starts_with("421 4.3.2"));
    assert_eq!(third.hears(), None);
    served[0].says("QUIT").unwrap();
    assert_eq!(served[0].hears(), None);
    assert!(Client::connect(&server).hears().unwrap().starts_with("220 "));
}

#[test]
fn what_is_dropped_before_its_reply_is_in_no_ledger() {
    let home = tempfile::tempdir().unwrap();
    let (sent, taken) = (home.path().join("sent"), home.path().join("taken"));
    let (sent, taken) = (sent.to_str().unwrap(), taken.to_str().unwrap());
    let server = sink(&["--fault", "dot:drop:0.3", "--seed", "3", "--ledger", taken]);
    let (output, figures) =
        source(&server.address, &["--messages", "60", "--sessions", "3", "--pipelining", "--ledger", sent]);
    assert!(!output.status.success());
    let (begun, acknowledged) = (figures["begun"].as_u64().unwrap(), figures["acknowledged"].as_u64().unwrap());
    assert!(0 < acknowledged && acknowledged < begun, "{}", text(&output));
    // The ledgers tell the same: everything acknowledged is there, and nothing else.
    let lines = |path: &str| fs::read_to_string(path).unwrap().lines().count() as u64 - 1;
    assert_eq!((lines(sent), lines(taken)), (acknowledged, acknowledged));
    let said = common::verified(&["--ledger", sent, "--sink", taken]);
    assert!(said.contains("not acknowledged 0"), "{said}");
}

#[test]
fn counts_what_it_took_and_ends_when_it_has_enough() {
    let home = tempfile::tempdir().unwrap();
    let json = home.path().join("json");
    let server = sink(&["--messages", "10", "--json", json.to_str().unwrap()]);
    clean(&server.address, &["--messages", "10", "--sessions", "1", "--recipient", "a@b", "--recipient", "c@d"]);
    let deadline = Instant::now() + common::PATIENCE;
    while fs::read(&json).map_or(true, |octets| octets.is_empty()) {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(10));
    }
    let counts: serde_json::Value = serde_json::from_slice(&fs::read(&json).unwrap()).unwrap();
    assert_eq!((&counts["messages"], &counts["recipients"], &counts["sessions"]), (&10.into(), &20.into(), &1.into()));
    let server = sink(&[]);
    clean(&server.address, &["--messages", "3", "--sessions", "1"]);
    assert!(server.end().contains("3 acknowledged for 3 recipients"));
}
