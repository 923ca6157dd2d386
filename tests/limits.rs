//! The bounds of a server over all its shards: how many connections, and how long a client may be silent.

mod common;

use std::net::SocketAddr;
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
            assert_eq!(client.reply(), "421 4.3.2 localhost Too busy, please try again later");
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
