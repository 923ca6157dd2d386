//! Who is let in: the PROXY protocol in front of a server, and the limit of connections of one client.

mod common;

use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use common::client::Client;
use common::process::{Conf, Home, Process, Server, eventually};
use socket2::{Domain, Socket, Type};

/// Connects from this address of loopback.
fn dial_from(address: SocketAddr, from: &str) -> Client {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::new(from.parse().expect("an address"), 0).into()).expect("an address of loopback");
    socket.connect(&address.into()).expect("it listens");
    Client::over(TcpStream::from(socket)).expect("a connection")
}

/// Connects as a proxy does that sends this.
fn dial_with(process: &Process, server: usize, header: impl AsRef<[u8]>) -> Client {
    let mut client = Client::dial(process.address(server)).expect("it listens");
    client.send(header);
    client
}

fn binary(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let length = (block.len() as u16).to_be_bytes();
    [b"\r\n\r\n\0\r\nQUIT\n".as_slice(), &[command, family], &length, block].concat()
}

/// The connection ends, and not a word was said.
fn assert_closed_silently(client: &mut Client) {
    match client.rest() {
        Ok(rest) => assert!(rest.is_empty(), "{}", String::from_utf8_lossy(&rest)),
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
    }
}

#[test]
fn behind_a_proxy_the_client_is_the_one_it_names() {
    let servers = vec![Server::smtp().with("proxyRequired", "true"), Server::lmtp().with("proxyRequired", "true")];
    let home = Home::new(&Conf::new().servers(servers));
    let process = home.start();
    let four = [192, 0, 2, 2, 198, 51, 100, 2, 0xdc, 4, 0, 25, 0x20, 0, 2, 1, 2];
    for (header, client_is) in [
        (b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 25\r\n".to_vec(), "192.0.2.1"),
        (b"PROXY TCP6 2001:db8::1 2001:db8::2 56324 25\r\n".to_vec(), "2001:db8::1"),
        (binary(0x21, 0x11, &four), "192.0.2.2"),
        (b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1"),
        (binary(0x20, 0x00, &[]), "127.0.0.1"),
    ] {
        for server in [0, 1] {
            let hello = if server == 0 { "EHLO client" } else { "LHLO client" };
            let mut client = dial_with(&process, server, &header);
            assert!(client.reply().starts_with("220 "));
            let greeted = client.expect(hello, "250");
            assert!(greeted.contains(&format!("localhost Hello client [{client_is}]")), "{greeted}");
        }
        process.wait_for_line(&["connect", client_is]);
    }
    // What follows the header is the client's input, and the address is the one in Received.
    let mut client = dial_with(&process, 0, "PROXY TCP4 192.0.2.1 198.51.100.2 56324 25\r\nEHLO client\r\n");
    assert!(client.reply().starts_with("220 ") && client.reply().starts_with("250"));
    let reply = client.data(&["you@localhost"], b"Subject: proxied\r\n\r\ntext\r\n");
    let (trace, _) = home.delivered("you", common::client::id(&reply));
    assert!(trace.concat().contains("([192.0.2.1])"), "{trace:?}");
    process.stop();
}

/// `authorizedAddresses` is about the client that the proxy names, never about the proxy.
#[test]
fn behind_a_proxy_the_client_it_names_is_authorized_or_not() {
    let server = Server::smtp().with("proxyRequired", "true").with("authorizedAddresses", "192.0.2.0/29 2001:db8::/32");
    let home = Home::new(&Conf::new().servers(vec![server]));
    let process = home.start();
    for (client, reply) in [
        ("TCP4 192.0.2.7 198.51.100.2", "451 4.4.0 "),
        ("TCP4 192.0.2.8 198.51.100.2", "550 5.7.1 "),
        ("TCP6 2001:db8:ffff::1 ::1", "451 4.4.0 "),
        ("TCP6 2001:db9::1 ::1", "550 5.7.1 "),
        ("UNKNOWN", "550 5.7.1 "),
    ] {
        let ports = if client == "UNKNOWN" { "" } else { " 56324 25" };
        let mut dialled = dial_with(&process, 0, format!("PROXY {client}{ports}\r\n"));
        assert!(dialled.reply().starts_with("220 "));
        dialled.expect("EHLO client", "250");
        dialled.expect("MAIL FROM:<me@example.org>", "250");
        dialled.expect("RCPT TO:<you@example.net>", reply);
    }
    process.stop();
}

#[test]
fn without_a_header_nothing_is_said() {
    let conf =
        Conf::new().servers(vec![Server::smtp().with("proxyRequired", "true")]).with("timeouts/proxyHeader", "2s");
    let home = Home::new(&conf);
    let process = home.start();
    let too_long = binary(0x21, 0x11, &vec![0; 4000]);
    for header in [b"EHLO client\r\n".as_slice(), b"PROXY TCP4 nonsense\r\n", b"\x16\x03\x01\x02\x00", &too_long] {
        let begun = Instant::now();
        assert_closed_silently(&mut dial_with(&process, 0, header));
        assert!(begun.elapsed() < Duration::from_secs(1), "at the first octet that cannot be right");
    }
    let begun = Instant::now();
    assert_closed_silently(&mut dial_with(&process, 0, ""));
    assert_closed_silently(&mut dial_with(&process, 0, "PROXY TCP4 192.0.2.1 "));
    assert!((Duration::from_secs(3)..Duration::from_secs(20)).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    process.wait_for_line(&["turned-away", "no PROXY header in time"]);
    process.stop();
}

#[test]
fn those_without_a_header_are_few_and_give_their_places_back() {
    let conf = Conf::new().servers(vec![Server::smtp().with("proxyRequired", "true").with("connectionLimit", "4")]);
    let home = Home::new(&conf.with("limits/withoutHeader", "2"));
    let process = home.start();
    let mut waiting = vec![dial_with(&process, 0, "PROXY"), dial_with(&process, 0, "PROXY")];
    std::thread::sleep(Duration::from_millis(300));
    assert_closed_silently(&mut dial_with(&process, 0, ""));
    for client in &mut waiting {
        client.send(" UNKNOWN\r\n");
        assert!(client.reply().starts_with("220 "));
    }
    for _ in 0..2 {
        let mut client = dial_with(&process, 0, "PROXY UNKNOWN\r\n");
        assert!(client.reply().starts_with("220 "));
        waiting.push(client);
    }
    assert_eq!(dial_with(&process, 0, "").reply(), "421 4.7.0 localhost Too busy, please try again later");
    process.stop();
}

#[test]
fn a_client_has_so_many_connections_and_no_more_whatever_shard_takes_them() {
    let servers =
        vec![Server::smtp().with("connectionLimitPerIP", "3"), Server::smtp().with("connectionLimitPerIP", "1")];
    let home = Home::new(&Conf::new().servers(servers));
    let process = home.start();
    for _ in 0..20 {
        let mut taken = Vec::new();
        eventually(|| {
            let mut client = dial_from(process.address(0), "127.0.0.9");
            if client.reply().starts_with("220 ") {
                taken.push(client);
            }
            (taken.len() == 3).then_some(())
        })
        .expect("every place is free in the end");
        for _ in 0..4 {
            let mut client = dial_from(process.address(0), "127.0.0.9");
            assert_eq!(client.reply(), "421 4.7.0 localhost Too many connections from your address");
            client.assert_closed();
        }
        for (server, other) in [(0, "127.0.0.10"), (1, "127.0.0.9")] {
            eventually(|| dial_from(process.address(server), other).reply().starts_with("220 ").then_some(()))
                .expect("others are not concerned");
        }
    }
    process.wait_for_log("turned-away", &["server=server-0", "why=connectionLimitPerIP"]);
    process.stop();
}

#[test]
fn the_limit_is_that_of_the_client_and_not_of_its_proxy() {
    let server = Server::smtp().with("proxyRequired", "true").with("connectionLimitPerIP", "1");
    let home = Home::new(&Conf::new().servers(vec![server]).with("limits/ipv6Prefix", "48"));
    let process = home.start();
    let mut first = dial_with(&process, 0, "PROXY TCP6 2001:db8:1::1 ::1 1 25\r\n");
    assert!(first.reply().starts_with("220 "));
    let mut neighbour = dial_with(&process, 0, "PROXY TCP6 2001:db8:1:2::9 ::1 1 25\r\n");
    assert_eq!(neighbour.reply(), "421 4.7.0 localhost Too many connections from your address");
    assert!(dial_with(&process, 0, "PROXY TCP6 2001:db8:2::1 ::1 1 25\r\n").reply().starts_with("220 "));
    process.stop();
}

/// Whether every thread of a process is stopped.
fn is_stopped(pid: u32) -> bool {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("a process");
    let state = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("stat")).expect("a thread");
    tasks.flatten().all(|task| state(task).rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('T')))
}

#[test]
fn who_speaks_before_being_greeted_is_refused_unless_that_is_allowed() {
    for (refuse, expected) in [("true", "554 5.5.1 localhost You spoke before you were greeted"), ("false", "220 ")] {
        let home = Home::new(&Conf::new().with("limits/refuseEarlyTalkers", refuse));
        let process = home.start();
        for server in [0, 1] {
            // While the process is stopped the kernel takes the connection and what the client says.
            process.signal(libc::SIGSTOP);
            eventually(|| is_stopped(process.pid()).then_some(())).expect("it stops");
            let mut client = Client::dial(process.address(server)).expect("it listens");
            client.send("HELO client\r\n");
            process.signal(libc::SIGCONT);
            let greeting = client.reply();
            assert!(greeting.starts_with(expected), "{greeting}");
            process.connect(server).expect("QUIT", "221");
        }
        if refuse == "true" {
            process.wait_for_log("disconnect", &["why=early"]);
        }
        process.stop();
    }
}

#[test]
fn what_will_never_be_a_command_is_not_waited_for() {
    let home = Home::new(&Conf::new());
    let process = home.start();
    let mut client = process.connect(0);
    client.send(b"\x16\x03\x01\x02\x00\x01\x00");
    assert_eq!(client.reply(), "554 5.5.1 localhost This is SMTP, closing transmission channel");
    client.assert_closed();
    process.wait_for_log("disconnect", &["why=otherprotocol"]);
    process.stop();
}
