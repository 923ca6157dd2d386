//! The real process killed under load, again and again: whatever it acknowledged is in a mailbox in the end, whole and once.

mod common;

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, Read};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use common::client::{Client, stuffed};
use common::process::{Conf, Home, Process};

const KILLS: u64 = 10;
const USERS: [&str; 3] = ["you", "alice", "bob"];

/// What numbers messages apart, before anything else in them.
const NUMBER: &str = "X-Number: ";

/// A message whose every octet follows from its number: half of them small, some of up to 300 KiB.
fn content(number: u64) -> Vec<u8> {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let octets = random() % [1, 2_000, 2_000, 30_000, 300 << 10][(random() % 5) as usize];
    let mut content = format!("{NUMBER}{number}\r\n\r\n").into_bytes();
    while (content.len() as u64) < octets {
        let line = random() % 120;
        content.extend((0..line).map(|_| b'.' + (random() % 60) as u8));
        content.extend_from_slice(b"\r\n");
    }
    content
}

/// The same in a mailbox; no CR stands alone in it.
fn in_mailbox(number: u64) -> Vec<u8> {
    content(number).into_iter().filter(|octet| *octet != b'\r').collect()
}

/// What was acknowledged by all clients together.
#[derive(Default)]
struct Ledger {
    next: AtomicU64,
    acknowledged: Mutex<Vec<u64>>,
}

impl Ledger {
    fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Enters a message whose last reply is this. A reply that is neither a yes nor a no is a bug of the server.
    fn enter(&self, number: u64, reply: &str) {
        if reply.starts_with("250 ") {
            self.acknowledged.lock().expect("no panic").push(number);
        } else {
            assert!(reply.starts_with('4'), "{reply}");
        }
    }

    fn acknowledged(&self) -> Vec<u64> {
        self.acknowledged.lock().expect("no panic").clone()
    }
}

fn user(number: u64) -> &'static str {
    USERS[(number % 3) as usize]
}

fn envelope(number: u64) -> String {
    format!("MAIL FROM:<me@example.org>\r\nRCPT TO:<{}@localhost>\r\n", user(number))
}

fn replies(client: &mut Client, count: usize) -> io::Result<String> {
    (0..count).try_fold(String::new(), |_, _| client.try_reply())
}

/// One command at a time.
fn send_in_steps(client: &mut Client, ledger: &Ledger) -> io::Result<()> {
    let number = ledger.number();
    for command in format!("{}DATA\r\n", envelope(number)).split_inclusive('\n') {
        client.try_send(command.as_bytes())?;
        client.try_reply()?;
    }
    client.try_send(&stuffed(&content(number)))?;
    ledger.enter(number, &client.try_reply()?);
    Ok(())
}

/// Everything up to DATA in one piece.
fn send_pipelined(client: &mut Client, ledger: &Ledger) -> io::Result<()> {
    let number = ledger.number();
    client.try_send(format!("{}DATA\r\n", envelope(number)).as_bytes())?;
    replies(client, 3)?;
    client.try_send(&stuffed(&content(number)))?;
    ledger.enter(number, &client.try_reply()?);
    Ok(())
}

/// Several whole transactions in one piece, their content by BDAT.
fn send_in_batches(client: &mut Client, ledger: &Ledger) -> io::Result<()> {
    let numbers: Vec<u64> = (0..5).map(|_| ledger.number()).collect();
    let mut octets = Vec::new();
    for number in &numbers {
        let content = content(*number);
        octets.extend_from_slice(format!("{}BDAT {} LAST\r\n", envelope(*number), content.len()).as_bytes());
        octets.extend_from_slice(&content);
    }
    client.try_send(&octets)?;
    for number in numbers {
        ledger.enter(number, &replies(client, 3)?);
    }
    Ok(())
}

/// Sends until the server is gone.
fn send_until_the_end(address: SocketAddr, lmtp: bool, send: Send, ledger: &Ledger) {
    let Ok(mut client) = Client::dial(address) else { return };
    let hello = if lmtp { "LHLO client\r\n" } else { "EHLO client\r\n" };
    let greeted = client.try_reply().and_then(|_| client.try_send(hello.as_bytes())).and_then(|()| client.try_reply());
    while greeted.is_ok() {
        if let Err(error) = send(&mut client, ledger) {
            assert_ne!(error.kind(), io::ErrorKind::WouldBlock, "the server did not answer");
            return;
        }
    }
}

type Send = fn(&mut Client, &Ledger) -> io::Result<()>;

/// The kinds of clients, all of which send at the same time: which server, and how.
const CLIENTS: [(usize, Send); 6] = [
    (0, send_in_steps),
    (0, send_pipelined),
    (0, send_pipelined),
    (0, send_in_batches),
    (1, send_in_steps),
    (1, send_in_batches),
];

/// Lets all clients send, and kills the process in the middle of it.
fn load_and_kill(process: Process, ledger: &Ledger, time: Duration) {
    std::thread::scope(|scope| {
        for (server, send) in CLIENTS {
            let address = process.address(server);
            scope.spawn(move || send_until_the_end(address, server == 1, send, ledger));
        }
        std::thread::sleep(time);
        process.kill();
    });
}

/// Starts the process and kills it without waiting until it is ready: while it reads its spool, or soon after.
fn kill_at_start(home: &Home, after: Duration) {
    let mut command = home.command();
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it is started");
    std::thread::sleep(after);
    child.kill().expect("it is ours");
    child.wait().expect("it is ours");
}

/// The mailboxes as they fill up: the number of every message, by its file.
#[derive(Default)]
struct Mailboxes(HashMap<PathBuf, u64>);

impl Mailboxes {
    fn look(&mut self, home: &Home) {
        for user in USERS {
            let Ok(entries) = fs::read_dir(home.maildir(user).join("new")) else { continue };
            for entry in entries {
                let path = entry.expect("an entry").path();
                self.0.entry(path).or_insert_with_key(number_in);
            }
        }
    }

    fn numbers(&self) -> HashSet<u64> {
        self.0.values().copied().collect()
    }
}

/// The number in the file of a message.
fn number_in(path: &PathBuf) -> u64 {
    let mut start = Vec::new();
    File::open(path).and_then(|file| file.take(1000).read_to_end(&mut start)).expect("a message");
    let start = String::from_utf8_lossy(&start);
    let number = start.lines().find_map(|line| line.strip_prefix(NUMBER)?.parse().ok());
    number.unwrap_or_else(|| panic!("{} has no number:\n{start}", path.display()))
}

/// Messages that a process found in its spool.
fn waiting(process: &Process) -> usize {
    let lines = process.announcement.lines().filter_map(|line| line.split(", ").nth(1)?.strip_suffix(" waiting"));
    lines.filter_map(|found| found.split(' ').next()?.parse::<usize>().ok()).sum()
}

/// The file of a delivered message holds five lines of ours and then what was sent, octet by octet.
fn check_whole(path: &PathBuf, number: u64) {
    let file = fs::read(path).expect("a message");
    let trace: usize = file.split_inclusive(|octet| *octet == b'\n').take(5).map(<[u8]>::len).sum();
    assert!(file[trace..] == in_mailbox(number), "{} is not message {number} as it was sent", path.display());
}

#[test]
fn nothing_acknowledged_is_lost_by_kills() {
    let conf = Conf::new().users(&USERS).with("log/level", "warn").with("spool/segmentSize", "2M");
    let (home, ledger) = (Home::new(&conf), Ledger::default());
    let mut mailboxes = Mailboxes::default();
    for kill in 0..KILLS {
        // Sometimes mail gathers in the spool, so that there is a lot to be found at the next start.
        home.configure(&conf.clone().with("delivery/hold", if kill % 3 == 1 { "true" } else { "false" }));
        mailboxes.look(&home);
        let (acknowledged, delivered) = (ledger.acknowledged(), mailboxes.numbers());
        let missing = acknowledged.iter().filter(|number| !delivered.contains(*number)).count();
        let process = home.start();
        let found = waiting(&process);
        assert!(found >= missing, "after kill {kill}: {missing} are in no mailbox, and {found} in the spool");
        load_and_kill(process, &ledger, Duration::from_millis(300 + kill * 70 % 400));
        kill_at_start(&home, Duration::from_millis(kill * 3));
    }
    let acknowledged = ledger.acknowledged();
    assert!(acknowledged.len() > 200, "only {} messages were acknowledged", acknowledged.len());

    home.configure(&conf);
    let process = home.start();
    let begun = Instant::now();
    let missing = loop {
        mailboxes.look(&home);
        let delivered = mailboxes.numbers();
        let missing = acknowledged.iter().filter(|number| !delivered.contains(*number)).count();
        if missing == 0 || begun.elapsed() > Duration::from_secs(60) {
            break missing;
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    assert_eq!(missing, 0, "of {} acknowledged", acknowledged.len());
    let log = process.stop();
    assert!(!log.iter().any(|line| line.contains(" damage-set-aside ")), "{log:#?}");

    let process = home.start();
    assert_eq!(waiting(&process), 0);
    process.stop();
    mailboxes.look(&home);
    assert_eq!(mailboxes.numbers().len(), mailboxes.0.len(), "every message is there once");
    mailboxes.0.iter().for_each(|(path, number)| check_whole(path, *number));
    let unasked = mailboxes.0.len() - acknowledged.len();
    println!(
        "{} acknowledged, all delivered once; {unasked} more were stored and not acknowledged",
        acknowledged.len()
    );
}
