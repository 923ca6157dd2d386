//! How the real process comes to rest: who hears what, what may still finish, and that nothing acknowledged is lost.

mod common;

use std::net::TcpStream;
use std::time::{Duration, Instant};

use common::client::id;
use common::load::{Ledger, Mailboxes, USERS, load, wait_for_all, waiting};
use common::process::{Conf, Home, Process, Server, eventually};

const GOODBYE: &str = "421 4.3.2 localhost Service shutting down, closing transmission channel";

#[test]
fn a_running_transaction_may_finish_and_idle_sessions_are_told() {
    let home = Home::new(&Conf::new().with("shutdown/grace", "30s"));
    let mut process = home.start();
    let mut idle = process.smtp();
    let mut idle_lmtp = process.lmtp();
    let mut rested = process.smtp();
    assert!(rested.data(&["you@localhost"], b"Subject: before\r\n").starts_with("250"));
    let mut in_data = process.smtp();
    in_data.envelope("me@example.org", &["you@localhost"]);
    in_data.expect("DATA", "354");
    in_data.send("Subject: first half\r\n");
    let mut in_chunks = process.smtp();
    in_chunks.envelope("me@example.org", &["you@localhost"]);
    in_chunks.send("BDAT 5\r\nHello");
    assert!(in_chunks.reply().starts_with("250"));

    process.signal(libc::SIGTERM);
    for client in [&mut idle, &mut idle_lmtp, &mut rested] {
        assert_eq!(client.reply(), GOODBYE);
        client.assert_closed();
    }
    for number in [0, 1] {
        let address = process.address(number);
        eventually(|| TcpStream::connect(address).is_err().then_some(())).expect("the listener is closed");
    }
    in_data.send("Subject: second half\r\n.\r\n");
    in_chunks.send("BDAT 9 LAST\r\n, World!\n");
    let by_data = in_data.reply();
    // The bare LF is refused; the transaction has ended by that as well.
    assert!(in_chunks.reply().starts_with("550 5.6.11"));
    for client in [&mut in_data, &mut in_chunks] {
        assert_eq!(client.reply(), GOODBYE);
        client.assert_closed();
    }
    let ended = Instant::now();
    assert!(process.wait().success());
    assert!(ended.elapsed() < Duration::from_secs(20), "it does not wait for the grace to elapse");
    process.wait_for_log("stopping", &["signal=SIGTERM"]);
    process.wait_for_log("stopped", &["panics=0"]);

    let process = home.start();
    let (_, content) = home.delivered("you", id(&by_data));
    assert_eq!(content, b"Subject: first half\nSubject: second half\n");
    process.stop();
    assert_eq!(home.mail("you").len(), 2);
}

#[test]
fn the_grace_is_the_longest_a_transaction_is_waited_for() {
    let home = Home::new(&Conf::new().with("shutdown/grace", "1s"));
    let mut process = home.start();
    let mut client = process.smtp();
    client.envelope("me@example.org", &["you@localhost"]);
    client.expect("DATA", "354");
    client.send("Subject: never ends\r\n");
    let begun = Instant::now();
    process.signal(libc::SIGINT);
    assert_eq!(client.reply(), GOODBYE);
    assert!(begun.elapsed() >= Duration::from_millis(900), "{:?}", begun.elapsed());
    client.assert_closed();
    assert!(process.wait().success());
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    process.wait_for_log("stopping", &["signal=SIGINT"]);
    home.start().stop();
    assert!(home.mail("you").is_empty());
}

#[test]
fn without_a_graceful_shutdown_no_transaction_is_waited_for() {
    let servers =
        vec![Server::smtp().with("gracefulShutdown", "false"), Server::smtp().with("gracefulShutdown", "true")];
    let home = Home::new(&Conf::new().servers(servers).with("shutdown/grace", "60s"));
    let mut process = home.start();
    let mut clients = [process.connect(0), process.connect(1)];
    for client in &mut clients {
        client.expect("EHLO client", "250");
        client.envelope("me@example.org", &["you@localhost"]);
        client.expect("DATA", "354");
        client.send("Subject: half\r\n");
    }
    process.signal(libc::SIGTERM);
    let [hasty, graceful] = &mut clients;
    assert_eq!(hasty.reply(), GOODBYE);
    hasty.assert_closed();
    graceful.send(".\r\n");
    assert!(graceful.reply().starts_with("250 "), "the other server waits for its transaction");
    assert!(process.wait().success());
}

#[test]
fn a_second_signal_ends_at_once_and_loses_nothing() {
    let home = Home::new(&Conf::new().with("shutdown/grace", "60s").with("delivery/hold", "true"));
    let mut process = home.start();
    let mut client = process.smtp();
    let replies: Vec<String> =
        (0..20).map(|number| client.data(&["you@localhost"], format!("Subject: {number}\r\n").as_bytes())).collect();
    client.envelope("me@example.org", &["you@localhost"]);
    client.expect("DATA", "354");
    process.signal(libc::SIGTERM);
    process.wait_for_log("stopping", &[]);
    let begun = Instant::now();
    process.signal(libc::SIGTERM);
    assert_eq!(process.wait().code(), Some(128 + libc::SIGTERM));
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());

    home.configure(&Conf::new());
    let process = home.start();
    for (number, reply) in replies.iter().enumerate() {
        assert_eq!(home.delivered("you", id(reply)).1, format!("Subject: {number}\n").into_bytes());
    }
    process.stop();
    assert_eq!(home.mail("you").len(), 20);
}

#[test]
fn a_client_that_does_not_read_holds_nothing_up() {
    let home = Home::new(&Conf::new().with("shutdown/grace", "1s"));
    let mut process = home.start();
    let mut client = process.smtp();
    // The answers to these do not fit into what the kernel keeps for a client that does not read.
    let noops = b"NOOP\r\n".repeat(20_000);
    let writer = std::thread::spawn(move || {
        while client.try_send(&noops).is_ok() {}
        client
    });
    std::thread::sleep(Duration::from_millis(500));
    let begun = Instant::now();
    process.signal(libc::SIGTERM);
    assert!(process.wait().success());
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    drop(writer.join());
}

#[test]
fn nothing_acknowledged_is_lost_by_stopping_under_load() {
    let home = Home::new(&Conf::new().users(&USERS).with("shutdown/grace", "60s"));
    let (ledger, mut mailboxes) = (Ledger::default(), Mailboxes::default());
    for _ in 0..3 {
        let begun = Instant::now();
        let log = load(home.start(), &ledger, Duration::from_millis(300), Process::stop);
        assert!(begun.elapsed() < Duration::from_secs(30), "no transaction of these needs all of the grace");
        assert!(log.iter().any(|line| line.contains(" why=shutdown")), "sessions are told");
    }
    let acknowledged = ledger.acknowledged();
    assert!(acknowledged.len() > 50, "only {} messages were acknowledged", acknowledged.len());
    let process = home.start();
    wait_for_all(&home, &mut mailboxes, &acknowledged);
    process.stop();
    let process = home.start();
    assert_eq!(waiting(&process), 0);
    process.stop();
    mailboxes.look(&home);
    // Whoever is stopped in order leaves nothing behind that nobody was told of.
    assert_eq!(mailboxes.check(), acknowledged.len());
}
