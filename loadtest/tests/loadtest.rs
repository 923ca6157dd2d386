//! The program as a whole, against a small server of the test's own.

mod common;

use common::{loadtest, start, text};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How the server behaves.
#[derive(Clone, Default)]
struct Manner {
    lmtp: bool,
    maildir: Option<PathBuf>,
    refuse_every: Option<usize>,
    vanish_after: Option<usize>,
    silent: bool,
}

/// A server that keeps messages in a Maildir; a thread a session.
struct Server {
    manner: Manner,
    messages: AtomicUsize,
}

fn serve(manner: Manner) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = Arc::new(Server { manner, messages: AtomicUsize::new(0) });
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let server = server.clone();
            std::thread::spawn(move || server.converse(stream.unwrap()));
        }
    });
    address
}

impl Server {
    /// A session; `None` at its end, however it came.
    fn converse(&self, stream: TcpStream) -> Option<()> {
        let mut input = BufReader::new(stream.try_clone().ok()?);
        let mut output = stream;
        if self.manner.silent {
            return input.read_to_end(&mut Vec::new()).ok().map(drop);
        }
        let mut recipients = 0;
        output.write_all(b"220 test\r\n").ok()?;
        loop {
            let line = read_line(&mut input)?;
            let reply = match line.split([' ', ':']).next()? {
                "EHLO" | "LHLO" => "250-test\r\n250-PIPELINING\r\n250 CHUNKING\r\n".into(),
                "MAIL" => {
                    recipients = 0;
                    "250 ok\r\n".into()
                }
                "RCPT" => {
                    recipients += 1;
                    "250 ok\r\n".into()
                }
                "DATA" => {
                    output.write_all(b"354 go\r\n").ok()?;
                    self.keep(&read_data(&mut input)?, recipients)?
                }
                "BDAT" => {
                    let mut content = vec![0; line.split(' ').nth(1)?.parse().ok()?];
                    input.read_exact(&mut content).ok()?;
                    self.keep(&content, recipients)?
                }
                "QUIT" => return output.write_all(b"221 bye\r\n").ok(),
                _ => "500 what\r\n".into(),
            };
            output.write_all(reply.as_bytes()).ok()?;
        }
    }

    /// Keeps a message as a Maildir does, with LF; the reply, or `None` if the server is to vanish instead.
    fn keep(&self, content: &[u8], recipients: usize) -> Option<String> {
        let number = self.messages.fetch_add(1, Ordering::SeqCst) + 1;
        if self.manner.vanish_after.is_some_and(|limit| number > limit) {
            return None;
        }
        if self.manner.refuse_every.is_some_and(|every| number.is_multiple_of(every)) {
            return Some("452 4.3.1 full\r\n".into());
        }
        let copies = if self.manner.lmtp { recipients } else { 1 };
        for copy in 0..copies {
            let Some(maildir) = &self.manner.maildir else { continue };
            let text = String::from_utf8(content.to_vec()).ok()?.replace("\r\n", "\n");
            fs::write(maildir.join(format!("new/{number}.{copy}.test")), text).ok()?;
        }
        Some("250 kept\r\n".repeat(copies))
    }
}

fn read_line(input: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    input.read_line(&mut line).ok()?;
    line.strip_suffix("\r\n").map(String::from)
}

fn read_data(input: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    loop {
        let line = read_line(input)?;
        if line == "." {
            return Some(content);
        }
        content.extend_from_slice(line.strip_prefix('.').unwrap_or(&line).as_bytes());
        content.extend_from_slice(b"\r\n");
    }
}

fn maildir() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    ["new", "cur", "tmp"].iter().for_each(|folder| fs::create_dir(directory.path().join(folder)).unwrap());
    directory
}

fn verify(ledger: &Path, maildir: &Path, more: &[&str]) -> Output {
    let (ledger, maildir) = (ledger.to_str().unwrap(), maildir.to_str().unwrap());
    loadtest(&[&["verify", "--ledger", ledger, "--maildir", maildir], more].concat())
}

#[test]
fn every_mode_delivers_what_it_enters_in_the_ledger() {
    let modes: [&[&str]; 9] = [
        &[],
        &["--group"],
        &["--pipelining"],
        &["--bdat"],
        &["--bdat", "--group"],
        &["--bdat", "--pipelining"],
        &["--messages-per-connection", "3"],
        &["--pipelining", "--messages-per-connection", "1"],
        &["--pipelining", "--size", "300000", "--recipient", "a@localhost", "--recipient", "b@localhost"],
    ];
    for mode in modes {
        let maildir = maildir();
        let to = serve(Manner { maildir: Some(maildir.path().into()), ..Manner::default() });
        let (ledger, json) = (maildir.path().join("ledger"), maildir.path().join("json"));
        let (ledger_path, json_path) = (ledger.to_str().unwrap(), json.to_str().unwrap());
        let base = [
            "source",
            "--to",
            &to,
            "--sessions",
            "4",
            "--messages",
            "50",
            "--ledger",
            ledger_path,
            "--json",
            json_path,
        ];
        let output = loadtest(&[&base, mode].concat());
        assert!(output.status.success(), "{mode:?}: {}", text(&output));
        let figures: serde_json::Value = serde_json::from_slice(&fs::read(&json).unwrap()).unwrap();
        assert_eq!(figures["acknowledged"], 50, "{mode:?}");
        assert!(figures["latency_ms"]["max"].as_f64().unwrap() > 0.0);
        let verified = verify(&ledger, maildir.path(), &[]);
        assert!(verified.status.success(), "{mode:?}: {}", text(&verified));
        assert!(text(&verified).contains("acknowledged 50, of these found whole 50"), "{}", text(&verified));
    }
}

#[test]
fn lmtp_enters_a_line_for_every_recipient() {
    let maildir = maildir();
    let to = serve(Manner { lmtp: true, maildir: Some(maildir.path().into()), ..Manner::default() });
    let ledger = maildir.path().join("ledger");
    let recipients = ["--recipient", "a@localhost", "--recipient", "b@localhost", "--recipient", "c@localhost"];
    let base =
        ["source", "--to", &to, "--lmtp", "--pipelining", "--messages", "20", "--ledger", ledger.to_str().unwrap()];
    let output = loadtest(&[&base[..], &recipients].concat());
    assert!(output.status.success(), "{}", text(&output));
    assert!(text(&verify(&ledger, maildir.path(), &[])).contains("acknowledged 60, of these found whole 60"));
}

#[test]
fn verify_notices_what_is_missing_damaged_or_there_twice() {
    let maildir = maildir();
    let to = serve(Manner { maildir: Some(maildir.path().into()), ..Manner::default() });
    let ledger = maildir.path().join("ledger");
    let output =
        loadtest(&["source", "--to", &to, "--messages", "20", "--ledger", ledger.to_str().unwrap(), "--quiet"]);
    assert!(output.status.success() && output.stdout.is_empty(), "{}", text(&output));
    let file = |number: usize| maildir.path().join(format!("new/{number}.0.test"));
    fs::copy(file(1), maildir.path().join("cur/again.test:2,S")).unwrap();
    assert!(text(&verify(&ledger, maildir.path(), &[])).contains("duplicates 1"));
    let kept = fs::read(file(2)).unwrap();
    fs::write(file(2), &kept[..kept.len() - 1]).unwrap();
    fs::remove_file(file(3)).unwrap();
    let verified = verify(&ledger, maildir.path(), &["--wait", "0.3"]);
    assert_eq!(verified.status.code(), Some(1));
    // The damaged copy is not a whole one, so its message is missing as well.
    assert!(text(&verified).contains("messages missing 2, damaged 1, duplicates 1"), "{}", text(&verified));
}

#[test]
fn verify_waits_for_late_deliveries() {
    let maildir = maildir();
    let to = serve(Manner { maildir: Some(maildir.path().into()), ..Manner::default() });
    let ledger = maildir.path().join("ledger");
    loadtest(&["source", "--to", &to, "--messages", "5", "--ledger", ledger.to_str().unwrap()]);
    let (from, away) = (maildir.path().join("new/3.0.test"), maildir.path().join("tmp/3.0.test"));
    fs::rename(&from, &away).unwrap();
    let (ledger_path, maildir_path) = (ledger.to_str().unwrap(), maildir.path().to_str().unwrap());
    let waiting = start(&["verify", "--ledger", ledger_path, "--maildir", maildir_path, "--wait", "20"]);
    std::thread::sleep(std::time::Duration::from_millis(300));
    fs::rename(&away, &from).unwrap();
    let verified = waiting.wait_with_output().unwrap();
    assert!(verified.status.success(), "{}", text(&verified));
}

#[test]
fn refusals_are_counted_by_their_text_and_fail_the_run() {
    let to = serve(Manner { refuse_every: Some(5), ..Manner::default() });
    let output = loadtest(&["source", "--to", &to, "--sessions", "2", "--messages", "20", "--pipelining"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("16 acknowledged of 20 begun"), "{}", text(&output));
    assert!(text(&output).contains("4 x content: 452 4.3.1 full"), "{}", text(&output));
}

#[test]
fn until_lost_ends_well_when_the_server_vanishes_and_its_ledger_is_complete() {
    let maildir = maildir();
    let to = serve(Manner { vanish_after: Some(30), maildir: Some(maildir.path().into()), ..Manner::default() });
    let ledger = maildir.path().join("ledger");
    let base = ["source", "--to", &to, "--sessions", "3", "--duration", "20", "--until-lost", "--pipelining"];
    let output = loadtest(&[&base[..], &["--ledger", ledger.to_str().unwrap()]].concat());
    assert!(output.status.success(), "{}", text(&output));
    let verified = verify(&ledger, maildir.path(), &[]);
    assert!(verified.status.success(), "{}", text(&verified));
    assert!(text(&verified).contains("acknowledged 30, of these found whole 30"), "{}", text(&verified));
}

#[test]
fn until_lost_fails_if_the_server_stays() {
    let to = serve(Manner::default());
    let output = loadtest(&["source", "--to", &to, "--messages", "5", "--until-lost"]);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_lost_connection_is_made_again_and_the_attempts_are_bounded() {
    let to = serve(Manner { vanish_after: Some(0), ..Manner::default() });
    let output = loadtest(&["source", "--to", &to, "--sessions", "1", "--messages", "4"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("connections  4 made, 4 lost"), "{}", text(&output));
}

#[test]
fn a_silent_server_is_given_up() {
    let to = serve(Manner { silent: true, ..Manner::default() });
    let output = loadtest(&["source", "--to", &to, "--messages", "5", "--stall-timeout", "0.5"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("nothing moved"), "{}", text(&output));
}

#[test]
fn duration_and_signal_end_a_run_with_its_ledger_written() {
    let maildir = maildir();
    let to = serve(Manner { maildir: Some(maildir.path().into()), ..Manner::default() });
    let timed = loadtest(&["source", "--to", &to, "--sessions", "2", "--duration", "0.3"]);
    assert!(timed.status.success(), "{}", text(&timed));
    let ledger = maildir.path().join("ledger");
    let child =
        start(&["source", "--to", &to, "--sessions", "2", "--duration", "60", "--ledger", ledger.to_str().unwrap()]);
    std::thread::sleep(std::time::Duration::from_millis(400));
    assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && text(&output).contains("ended: signal"), "{}", text(&output));
    let verified = verify(&ledger, maildir.path(), &[]);
    assert!(verified.status.success() && !text(&verified).starts_with("acknowledged 0,"), "{}", text(&verified));
}

#[test]
fn a_storm_finds_limits_exceeded_and_nothing_else() {
    let to = serve(Manner::default());
    let storm = |more: &[&str]| {
        let base = ["storm", "--to", &to, "--connections", "200", "--at-once", "8", "--addresses", "2"];
        loadtest(&[&base, more].concat())
    };
    let output = storm(&[]);
    assert!(output.status.success() && text(&output).contains("200 connections from 2 addresses"), "{}", text(&output));
    for (limit, most) in [("--limit", "8"), ("--limit-per-address", "100")] {
        assert!(storm(&[limit, most]).status.success());
    }
    for (limit, found) in [("--limit", "8 were admitted at once"), ("--limit-per-address", "from one address were")] {
        let output = storm(&[limit, "3"]);
        assert!(!output.status.success() && text(&output).contains(found), "{}", text(&output));
    }
    let silent = serve(Manner { silent: true, ..Manner::default() });
    let output =
        loadtest(&["storm", "--to", &silent, "--connections", "20", "--at-once", "8", "--stall-timeout", "0.3"]);
    assert!(text(&output).contains("given up"), "{}", text(&output));
}

#[test]
fn idle_holds_its_sessions_and_measures_the_server() {
    let to = serve(Manner::default());
    let pid = std::process::id().to_string();
    let output = loadtest(&["idle", "--to", &to, "--connections", "20", "--hold", "0.2", "--pid", &pid]);
    assert!(output.status.success(), "{}", text(&output));
    for line in ["20 of 20 answered EHLO", "held         20", "server RSS", "server CPU"] {
        assert!(text(&output).contains(line), "{line}: {}", text(&output));
    }
}
