//! Clients of every kind that send at the same time, and a ledger of what was acknowledged to them.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::client::{Client, stuffed};
use super::process::{Home, Process};

/// Whose mailboxes are filled, all of localhost.
pub const USERS: [&str; 3] = ["you", "alice", "bob"];

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
pub struct Ledger {
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

    pub fn acknowledged(&self) -> Vec<u64> {
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

/// Lets all clients send to the servers of [`Conf::new`](super::process::Conf::new), and ends the process in the middle of it.
pub fn load<T>(process: Process, ledger: &Ledger, time: Duration, end: impl FnOnce(Process) -> T) -> T {
    std::thread::scope(|scope| {
        for (server, send) in CLIENTS {
            let address = process.address(server);
            scope.spawn(move || send_until_the_end(address, server == 1, send, ledger));
        }
        std::thread::sleep(time);
        end(process)
    })
}

/// The mailboxes as they fill up: the number of every message, by its file.
#[derive(Default)]
pub struct Mailboxes(HashMap<PathBuf, u64>);

impl Mailboxes {
    pub fn look(&mut self, home: &Home) {
        for user in USERS {
            let Ok(entries) = fs::read_dir(home.maildir(user).join("new")) else { continue };
            for entry in entries {
                let path = entry.expect("an entry").path();
                self.0.entry(path).or_insert_with_key(|path| number_in(path));
            }
        }
    }

    /// Fails unless every message is there once, and whole; how many there are.
    pub fn check(&self) -> usize {
        assert_eq!(self.numbers().len(), self.0.len(), "every message is there once");
        self.0.iter().for_each(|(path, number)| check_whole(path, *number));
        self.0.len()
    }

    pub fn numbers(&self) -> HashSet<u64> {
        self.0.values().copied().collect()
    }
}

/// The number in the file of a message.
fn number_in(path: &Path) -> u64 {
    let mut start = Vec::new();
    File::open(path).and_then(|file| file.take(1000).read_to_end(&mut start)).expect("a message");
    let start = String::from_utf8_lossy(&start);
    let number = start.lines().find_map(|line| line.strip_prefix(NUMBER)?.parse().ok());
    number.unwrap_or_else(|| panic!("{} has no number:\n{start}", path.display()))
}

/// Messages that a process found in its spool.
pub fn waiting(process: &Process) -> usize {
    let lines = process.announcement.lines().filter_map(|line| line.split(", ").nth(1)?.strip_suffix(" waiting"));
    lines.filter_map(|found| found.split(' ').next()?.parse::<usize>().ok()).sum()
}

/// The file of a delivered message holds five lines of ours and then what was sent, octet by octet.
fn check_whole(path: &Path, number: u64) {
    let file = fs::read(path).expect("a message");
    let trace: usize = file.split_inclusive(|octet| *octet == b'\n').take(5).map(<[u8]>::len).sum();
    assert!(file[trace..] == in_mailbox(number), "{} is not message {number} as it was sent", path.display());
}

/// Waits until every message that was acknowledged is in a mailbox.
pub fn wait_for_all(home: &Home, mailboxes: &mut Mailboxes, acknowledged: &[u64]) {
    let begun = Instant::now();
    loop {
        mailboxes.look(home);
        let delivered = mailboxes.numbers();
        let missing = acknowledged.iter().filter(|number| !delivered.contains(*number)).count();
        if missing == 0 {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{missing} of {} are missing", acknowledged.len());
        std::thread::sleep(Duration::from_millis(50));
    }
}
