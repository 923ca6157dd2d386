//! The counted ringpost counts, takes a message like any other, and the leanest program does the same dialogue.

use bench::compare::servers::{Ringpost, Server};
use bench::tally::{self, LARGE, Tally};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Sends a message and returns the first digits of all replies' last lines.
fn send(address: SocketAddr, content: &[u8]) -> Vec<String> {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
    let mut replies = BufReader::new(stream.try_clone().expect("a copy")).lines();
    let commands =
        ["", "EHLO localhost\r\n", "MAIL FROM:<me@localhost>\r\n", "RCPT TO:<you@localhost>\r\n", "DATA\r\n"];
    let mut codes = Vec::new();
    let content = [content, b".\r\n"].concat();
    for said in commands.iter().map(|command| command.as_bytes()).chain([&content[..], b"QUIT\r\n"]) {
        stream.write_all(said).expect("it receives");
        let last = replies.by_ref().map(|line| line.expect("a reply")).find(|line| line.as_bytes()[3] == b' ');
        codes.push(last.expect("a reply")[..3].to_owned());
    }
    codes
}

#[test]
fn copies_and_allocations_are_counted() {
    let folder = tempfile::tempdir().expect("a directory");
    let file = folder.path().join("tally");
    let tally = Tally::shared(&file).expect("a tally");
    let cpus = bench::system::cpus();
    let mut ringpost = Ringpost::new(env!("CARGO_BIN_EXE_ringpost-counted").into(), cpus);
    ringpost.environment = vec![(tally::VARIABLE.into(), file)];
    let server = Server::ringpost(&ringpost, folder.path()).expect("ringpost starts");
    let before = tally.read();
    let content = b"a line of the message's content\r\n".repeat(3000);
    assert_eq!(send(server.address, &content), ["220", "250", "250", "250", "354", "250", "221"]);
    let counted = tally.read().since(before);
    assert!(counted.blocks > 0 && counted.copies > 0 && counted.copied >= LARGE as u64, "{counted:?}");
    assert!(server.segments().is_some_and(|segments| segments >= 2));
    let told = server.end().expect("it told something");
    assert!(told.contains(" accepted "), "{told}");
}
