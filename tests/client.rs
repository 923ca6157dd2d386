//! The client's side of SMTP and LMTP: every dialogue of `tests/client`, line by line and octet by octet.
//!
//! ```text
//! set lmtp | tls opportunistic | tls required | secured | login NAME PASSWORD
//! mail PATH [size=N] [exact=N] [8bit] [binary] [utf8] [requiretls] [ret=R] [envid=E]
//! rcpt MAILBOX [notify=N] [orcpt=O]     for the next transaction
//! begin                                 begins it
//! S: 250 ok                             the server says
//! C: QUIT                               the client must have said
//! receive | tls | ready | data | chunk  what the last step said is next; tls and content are then done
//! = taken: 250 ok                       what became of a recipient, one line each
//! done | done, close                    the transaction is over
//! close: WHY                            the session is over
//! unfit: WHY                            the transaction was not begun
//! lost | quit                           what happens to the session
//! ```

mod common;

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use ringpost::mail::{ByMode, Mailbox, ReversePath};
use ringpost::smtp::client::transaction::{By, ContentKind, Recipient, Transaction};
use ringpost::smtp::client::{ClientSession, Login, Next, Protocol, Settings, Step, Tls};

fn settings() -> Settings {
    let hello_name = "client.example".into();
    Settings { protocol: Protocol::Smtp, hello_name, tls: Tls::Never, secured: false, login: None }
}

fn set(settings: &mut Settings, words: &[&str]) {
    match words {
        ["lmtp"] => settings.protocol = Protocol::Lmtp,
        ["tls", "opportunistic"] => settings.tls = Tls::Opportunistic,
        ["tls", "required"] => settings.tls = Tls::Required,
        ["secured"] => settings.secured = true,
        ["login", name, password] => {
            settings.login = Some(Login { username: (*name).into(), password: (*password).into() });
        }
        _ => panic!("no such setting: {words:?}"),
    }
}

fn mail(words: &[&str]) -> Transaction {
    let (path, rest) = words.split_first().expect("a path");
    let mut mail = Transaction {
        reverse_path: ReversePath::parse(path.trim_matches(['<', '>']), "x").expect("a path"),
        ..Transaction::default()
    };
    for word in rest {
        match word.split_once('=') {
            Some(("size", number)) => mail.size = number.parse().expect("a number"),
            Some(("exact", number)) => mail.exact = Some(number.parse().expect("a number")),
            Some(("ret", text)) => mail.ret = Some(text.into()),
            Some(("priority", number)) => mail.priority = number.parse().expect("a number"),
            Some(("by", text)) => mail.deliver_by = Some(by(text)),
            Some(("envid", text)) => mail.envelope_id = Some(text.into()),
            None if *word == "8bit" => mail.kind = ContentKind::EightBit,
            None if *word == "binary" => mail.kind = ContentKind::Binary,
            None if *word == "utf8" => mail.smtputf8 = true,
            None if *word == "requiretls" => mail.require_tls = true,
            _ => panic!("no such thing of a mail: {word}"),
        }
    }
    mail
}

/// As BY has it: `120;R`.
fn by(text: &str) -> By {
    let (seconds, how) = text.split_once(';').expect("a time and a mode");
    let mode = if how.starts_with('R') { ByMode::Return } else { ByMode::Notify };
    By { seconds: seconds.parse().expect("a number"), mode, trace: how.ends_with('T') }
}

fn rcpt(words: &[&str]) -> Recipient {
    let (mailbox, rest) = words.split_first().expect("a mailbox");
    let mut recipient =
        Recipient { mailbox: Mailbox::parse(mailbox).expect("a mailbox"), notify: None, original: None };
    for word in rest {
        match word.split_once('=') {
            Some(("notify", text)) => recipient.notify = Some(text.into()),
            Some(("orcpt", text)) => recipient.original = Some(text.into()),
            _ => panic!("no such thing of a recipient: {word}"),
        }
    }
    recipient
}

/// Everything that comes out of a dialogue, as the file has it.
fn replay(text: &str, by_octets: bool) -> String {
    let mut settings = settings();
    let mut session: Option<ClientSession> = None;
    let mut transaction = Transaction::default();
    let mut out = String::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [] => out.push('\n'),
            ["#" | "mail" | "rcpt" | "set", ..] => out.push_str(&format!("{line}\n")),
            _ => {}
        }
        if words.first().is_some_and(|word| *word == "set") {
            set(&mut settings, &words[1..]);
            continue;
        }
        if words.first().is_none_or(|word| *word == "#") {
            continue;
        }
        let session = session.get_or_insert_with(|| ClientSession::new(settings.clone()));
        match words.as_slice() {
            ["mail", rest @ ..] => transaction = mail(rest),
            ["rcpt", rest @ ..] => transaction.recipients.push(rcpt(rest)),
            ["begin"] => {
                out.push_str("begin\n");
                match session.begin(transaction.clone()) {
                    Ok(step) => told(&step, &mut out),
                    Err(unfit) => out.push_str(&format!("unfit: {unfit}\n")),
                }
            }
            ["quit"] => {
                out.push_str("quit\n");
                let step = session.quit();
                told(&step, &mut out);
            }
            ["lost"] => {
                out.push_str("lost\n");
                let next = session.lost();
                told(&Step { send: Vec::new(), next }, &mut out);
            }
            ["S:", ..] => {
                out.push_str(&format!("{line}\n"));
                let octets = format!("{}\r\n", line.strip_prefix("S: ").unwrap_or_default()).replace("\\n", "\r\n");
                let mut step = Step { send: Vec::new(), next: Next::Receive };
                for slice in octets.as_bytes().chunks(if by_octets { 1 } else { octets.len() }) {
                    let one = session.receive(slice);
                    step.send.extend(one.send);
                    step.next = one.next;
                    if matches!(step.next, Next::StartTls | Next::Close(_) | Next::Done { close: true, .. }) {
                        break;
                    }
                }
                told(&step, &mut out);
                match step.next {
                    Next::StartTls => {
                        let step = session.secured();
                        told(&step, &mut out);
                    }
                    Next::Data | Next::Chunk => {
                        let step = session.sent();
                        told(&step, &mut out);
                    }
                    _ => {}
                }
            }
            // What the session says is compared as a whole.
            _ => {}
        }
    }
    out
}

fn told(step: &Step, out: &mut String) {
    let text = String::from_utf8_lossy(&step.send);
    text.split_terminator("\r\n").for_each(|line| out.push_str(&format!("C: {line}\n")));
    match &step.next {
        Next::Receive => {}
        Next::StartTls => out.push_str("tls\n"),
        Next::Ready => out.push_str("ready\n"),
        Next::Data => out.push_str("data\n"),
        Next::Chunk => out.push_str("chunk\n"),
        Next::Done { fates, close } => {
            fates.iter().for_each(|fate| out.push_str(&format!("= {fate}\n")));
            out.push_str(if *close { "done, close\n" } else { "done\n" });
        }
        Next::Close(None) => out.push_str("close\n"),
        Next::Close(Some(why)) => out.push_str(&format!("close: {why}\n")),
    }
}

#[test]
fn every_dialogue_is_held_as_its_file_says() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/client");
    let mut count = 0;
    for entry in fs::read_dir(dir).expect("it is there") {
        let path = entry.expect("readable").path();
        let text = fs::read_to_string(&path).expect("readable");
        let replayed = replay(&text, false);
        // What comes after the reply to STARTTLS is under TLS unless it came with it.
        if !text.contains("in clear after") {
            assert_eq!(replayed, replay(&text, true), "{}: octet by octet", path.display());
        }
        common::golden::assert_golden(&path, &replayed);
        count += 1;
    }
    assert!(count >= 10, "there are {count}");
}

proptest! {
    /// Whatever the server says: the session ends or waits, every recipient has one outcome, and nothing panics.
    #[test]
    fn a_server_may_say_anything(
        lines in prop::collection::vec(
            "(2[0-9]{2}|354|[45][0-9]{2}|421|250|220|235|334)[ -](STARTTLS|PIPELINING|CHUNKING|AUTH PLAIN LOGIN|DSN|SIZE 100|.{0,10})", 0..40),
        rubbish in prop::collection::vec(any::<u8>(), 0..20),
        at in 0usize..40,
        lmtp in any::<bool>(),
        recipients in 1usize..120,
    ) {
        let login = Some(Login { username: "a".into(), password: "b".into() }).filter(|_| at % 3 == 0);
        let protocol = if lmtp { Protocol::Lmtp } else { Protocol::Smtp };
        let mut session = ClientSession::new(Settings { protocol, tls: Tls::Opportunistic, login, ..settings() });
        let one = Recipient { mailbox: Mailbox::parse("a@b").expect("a mailbox"), notify: None, original: None };
        let mail = Transaction { recipients: vec![one; recipients], ..Transaction::default() };
        let (mut begun, mut ended) = (0u32, 0u32);
        'lines: for (place, line) in lines.iter().enumerate() {
            let mut octets = format!("{line}\r\n").into_bytes();
            if place == at {
                octets.extend_from_slice(&rubbish);
            }
            let mut step = session.receive(&octets);
            loop {
                step = match step.next {
                    Next::Receive => break,
                    Next::StartTls => session.secured(),
                    Next::Data | Next::Chunk => session.sent(),
                    Next::Ready => match session.begin(mail.clone()) {
                        Ok(step) => {
                            begun += 1;
                            step
                        }
                        Err(_) => break 'lines,
                    },
                    Next::Done { fates, close } => {
                        prop_assert_eq!(fates.len(), recipients);
                        ended += 1;
                        if close { break 'lines }
                        match session.begin(mail.clone()) {
                            Ok(step) => {
                                begun += 1;
                                step
                            }
                            Err(_) => break 'lines,
                        }
                    }
                    Next::Close(_) => break 'lines,
                };
            }
        }
        if ended < begun {
            match session.lost() {
                Next::Done { fates, close: true } => {
                    prop_assert_eq!(fates.len(), recipients);
                    ended += 1;
                }
                other => prop_assert!(false, "{:?}", other),
            }
        }
        prop_assert_eq!(ended, begun);
    }
}
