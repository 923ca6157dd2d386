//! The bounds of a server over all its shards: how many connections, and how long a client may be silent.

mod common;

use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use common::client::Client;
use common::process::{Conf, Home, Server, eventually};

/// Connects as often as there are places, which those who were there before may still be leaving.
fn take_places(address: SocketAddr, count: usize) -> Vec<Client> {
    let mut taken = Vec::new();
    eventually(|| {
        let mut client = Client::dial(address).expect("it listens");
        if client.reply().starts_with("220 ") {
            taken.push(client);
        }
        (taken.len() == count).then_some(())
    })
    .expect("every place is free in the end");
    taken
}

#[test]
fn the_limit_of_connections_holds_over_all_shards_and_leaks_nothing() {
    let servers = vec![Server::smtp().with("connectionLimit", "4"), Server::smtp().with("connectionLimit", "1")];
    let home = Home::new(&Conf::new().servers(servers));
    let process = home.start();
    for _ in 0..5 {
        let mut taken = take_places(process.address(0), 4);
        for _ in 0..8 {
            let mut client = Client::dial(process.address(0)).expect("it listens");
            assert_eq!(client.reply(), "421 4.7.0 localhost Too busy, please try again later");
            client.assert_closed();
        }
        take_places(process.address(1), 1)[0].expect("QUIT", "221");
        // One leaves in order, one breaks off in a message, the others just go.
        taken[0].expect("QUIT", "221");
        taken[1].expect("EHLO client", "250");
        taken[1].envelope("", &["you@localhost"]);
        taken[1].expect("DATA", "354");
        taken[1].send("Subject: never ends");
    }
    process.wait_for_log("turned-away", &["server=server-0", "why=connectionLimit"]);
    process.stop();
}

#[test]
fn a_silent_client_is_told_and_disconnected() {
    let home = Home::new(&Conf::new().servers(vec![Server::smtp().with("connectiontimeout", "2")]));
    let process = home.start();
    let mut silent = process.connect(0);
    let mut in_data = Client::hello(process.address(0), false);
    in_data.envelope("", &["you@localhost"]);
    in_data.expect("DATA", "354");
    let begun = Instant::now();
    // One that says something now and then is not silent.
    let mut slow = process.connect(0);
    for _ in 0..6 {
        std::thread::sleep(Duration::from_millis(700));
        slow.expect("NOOP", "250");
    }
    for client in [&mut silent, &mut in_data] {
        let goodbye = "421 4.4.2 localhost Timeout waiting for client, closing transmission channel";
        assert_eq!(client.reply(), goodbye);
        client.assert_closed();
    }
    assert!(begun.elapsed() < Duration::from_secs(30));
    process.stop();
}

/// Sends one octet after the other, until it is told to stop.
fn drip(client: &mut Client, octets: &[u8]) -> String {
    for octet in octets.iter().cycle() {
        if client.try_send(&[*octet]).is_err() || client.has_input() {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    client.reply()
}

#[test]
fn a_client_that_never_gets_anywhere_is_told_and_disconnected() {
    let conf = Conf::new()
        .with("timeouts/commandLine", "2s")
        .with("timeouts/contentRate", "1000")
        .with("timeouts/contentWindow", "2s")
        .with("timeouts/transaction", "4s")
        .with("timeouts/session", "6s");
    let home = Home::new(&conf);
    let process = home.start();
    let too_slow = "421 4.4.2 localhost Too slow, closing transmission channel";
    let too_long = "421 4.4.2 localhost Too much time taken, closing transmission channel";
    std::thread::scope(|scope| {
        scope.spawn(|| assert_eq!(drip(&mut process.connect(0), b"NOOP "), too_slow));
        scope.spawn(|| {
            let mut client = Client::hello(process.address(0), false);
            client.envelope("", &["you@localhost"]);
            client.expect("DATA", "354");
            assert_eq!(drip(&mut client, b"text\r\n"), too_slow);
        });
        scope.spawn(|| {
            let mut client = Client::hello(process.address(0), false);
            client.envelope("", &["you@localhost"]);
            assert_eq!(client.reply(), too_long);
        });
        scope.spawn(|| {
            let mut client = Client::hello(process.address(0), false);
            let begun = Instant::now();
            // Whole commands, and never a pause that counts.
            let end = loop {
                std::thread::sleep(Duration::from_millis(20));
                let reply = client.say("RSET");
                if !reply.starts_with("250") {
                    break reply;
                }
            };
            assert_eq!(end, too_long);
            assert!((Duration::from_secs(5)..Duration::from_secs(20)).contains(&begun.elapsed()));
        });
        scope.spawn(|| {
            let mut client = Client::hello(process.address(0), false);
            for _ in 0..10 {
                assert!(client.data(&["you@localhost"], &b"text\r\n".repeat(1000)).starts_with("250 "));
                std::thread::sleep(Duration::from_millis(200));
            }
        });
    });
    process.stop();
}

#[test]
fn clients_that_are_gone_before_they_are_taken_keep_nobody_waiting() {
    let home = Home::new(&Conf::new().servers(vec![Server::smtp()]));
    let process = home.start();
    process.signal(libc::SIGSTOP);
    for _ in 0..100 {
        let client = TcpStream::connect(process.address(0)).unwrap();
        socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
    }
    process.signal(libc::SIGCONT);
    process.connect(0).expect("QUIT", "221");
    let log = process.stop();
    assert!(!log.iter().any(|line| line.contains("accepting-paused")), "{log:?}");
}

#[test]
fn strangers_cannot_take_the_descriptors_that_mail_needs() {
    let limit = libc::rlimit { rlim_cur: 200, rlim_max: 200 };
    let home = Home::new(&Conf::new().with("spool/segmentSize", "1M").with("spool/maxSegments", "16"));
    let process = home.start_prepared(|command| {
        // SAFETY: between fork and exec this makes one system call and looks at nothing else.
        unsafe {
            std::os::unix::process::CommandExt::pre_exec(command, move || {
                match libc::setrlimit(libc::RLIMIT_NOFILE, &limit) {
                    0 => Ok(()),
                    _ => Err(std::io::Error::last_os_error()),
                }
            });
        }
    });
    let mut smtp = process.smtp();
    let strangers: Vec<_> = (0..200).filter_map(|_| TcpStream::connect(process.address(0)).ok()).collect();
    process.wait_for_log("turned-away", &["why=\"no descriptor is left for connections\""]);
    // More than its segments hold: it has to open further ones.
    for number in 0..5 {
        smtp.envelope("me@example.org", &["you@localhost"]);
        smtp.expect("DATA", "354");
        smtp.send(format!("Subject: {number}\r\n\r\n{}\r\n.\r\n", "0123456789\r\n".repeat(50_000)));
        assert!(smtp.reply().starts_with("250"), "message {number}");
    }
    eventually(|| (home.mail_count("you") == 5).then_some(())).expect("it is delivered");
    drop(strangers);
    process.stop();
}
