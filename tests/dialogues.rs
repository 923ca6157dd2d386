//! Every dialogue of `tests/dialogues`, replayed in memory in three ways that must not differ: all at once, line by line
//! and octet by octet.

mod common;

use common::dialogue::{Dialogue, Exchange, difference, files, lines};
use common::driver::{Driver, Message, NOW};
use ringpost::mail::{ByMode, DeliverBy, Dsn, Ret};

/// What a replay left behind.
#[derive(Debug, PartialEq, Eq)]
struct Replay {
    sent: Vec<u8>,
    messages: Vec<Message>,
    closed: bool,
}

impl Replay {
    fn of(driver: Driver) -> Replay {
        Replay { closed: driver.is_closed(), sent: driver.sent, messages: driver.messages }
    }
}

/// Replays a dialogue with what the client sends cut by `cut`. Each exchange must be answered before the next one begins.
fn replay(dialogue: &Dialogue, cut: fn(&Exchange) -> Vec<&[u8]>) -> Result<Replay, String> {
    let mut driver = Driver::new(&dialogue.setup);
    let mut answered = 0;
    for exchange in &dialogue.exchanges {
        for piece in cut(exchange) {
            driver.receive(piece);
        }
        if let Some(difference) = difference(&exchange.server, &lines(&driver.sent[answered..])) {
            return Err(format!("after {:?}\n{difference}", String::from_utf8_lossy(&exchange.client)));
        }
        if exchange.closed != driver.is_closed() {
            return Err(format!(
                "after {:?}: closed is {}",
                String::from_utf8_lossy(&exchange.client),
                !exchange.closed
            ));
        }
        answered = driver.sent.len();
    }
    Ok(Replay::of(driver))
}

fn replay_at_once(dialogue: &Dialogue) -> Result<Replay, String> {
    let mut driver = Driver::new(&dialogue.setup);
    driver.receive(&dialogue.input());
    match difference(&dialogue.expected(), &lines(&driver.sent)) {
        Some(difference) => Err(difference),
        None if dialogue.closes() != driver.is_closed() => Err(format!("closed is {}", driver.is_closed())),
        None => Ok(Replay::of(driver)),
    }
}

fn check(dialogue: &Dialogue) -> Result<(), String> {
    let by_line = replay(dialogue, |exchange| exchange.client.split_inclusive(|octet| *octet == b'\n').collect())?;
    let by_octet =
        replay(dialogue, |exchange| exchange.client.chunks(1).collect()).map_err(|e| format!("by octet, {e}"))?;
    let at_once = replay_at_once(dialogue).map_err(|error| format!("all at once\n{error}"))?;
    if by_line != by_octet || by_line != at_once {
        return Err(format!("replays differ:\n{by_line:#?}\n{by_octet:#?}\n{at_once:#?}"));
    }
    Ok(())
}

#[test]
fn every_dialogue_is_held_as_written() {
    let files = files();
    assert!(files.len() >= 40, "only {} dialogues", files.len());
    let failures: Vec<String> = files
        .iter()
        .filter_map(|file| check(&Dialogue::read(file)).err().map(|error| format!("{}: {error}", file.display())))
        .collect();
    assert!(failures.is_empty(), "{} of {} dialogues:\n{}", failures.len(), files.len(), failures.join("\n"));
}

#[test]
fn a_wrong_dialogue_fails() {
    let right = "S: 220 localhost ESMTP ringpost\nC: NOOP\nS: 250 2.0.0 OK\nC: QUIT\nS: 221 2.0.0 localhost Service closing transmission channel\nclosed\n";
    assert_eq!(check(&Dialogue::parse(right).unwrap()), Ok(()));
    for (from, to) in [
        ("250 2.0.0 OK", "250 2.0.0 Ok"),
        ("C: NOOP\n", "C: NOOP\nC: NOOP\n"),
        ("closed\n", ""),
        ("ringpost\n", "ringpost\nclosed\n"),
    ] {
        let wrong = right.replace(from, to);
        assert!(check(&Dialogue::parse(&wrong).unwrap()).is_err(), "{wrong}");
    }
    assert_eq!(Dialogue::parse("set lmtp\nset unknown\n").err(), Some(2));
    assert_eq!(Dialogue::parse("C: \\q\n").err(), Some(1));
}

/// The messages that a dialogue leaves behind.
fn messages(name: &str) -> Vec<Message> {
    let file = files().into_iter().find(|file| file.file_stem().is_some_and(|stem| stem == name));
    let dialogue = Dialogue::read(&file.unwrap_or_else(|| panic!("no dialogue {name}")));
    replay_at_once(&dialogue).unwrap().messages
}

#[test]
fn content_is_kept_as_it_came() {
    let octets: Vec<Vec<u8>> = messages("data-dot-stuffing").into_iter().map(|message| message.octets).collect();
    assert_eq!(octets, [b"Subject: dots\r\n\r\n..\r\n...\r\n.. text\r\n".to_vec()]);
    let empty = messages("data-empty");
    assert_eq!(empty.iter().map(|message| message.octets.len()).collect::<Vec<_>>(), [0, 2]);
    let chunks = messages("bdat");
    assert_eq!(chunks[0].octets, b"Subject: a\r\n\r\n.\r\nQUIT\r\nend");
    assert!(!chunks[0].content.dot_stuffed && chunks[0].content.header_octets == 12);
}

#[test]
fn envelopes_are_those_agreed_on() {
    let message = messages("source-routes").remove(0);
    assert_eq!(message.envelope.reverse_path.to_string(), "me@example.org");
    assert_eq!(message.envelope.recipients.iter().map(ToString::to_string).collect::<Vec<_>>(), ["you@localhost"]);
    let message = messages("smtputf8").remove(0);
    assert!(message.envelope.smtputf8 && message.content.eight_bit);
    assert_eq!(message.envelope.reverse_path.to_string(), "jos\u{e9}@b\u{fc}cher.example");
}

#[test]
fn what_a_sender_asks_for_stands_in_the_envelope_of_that_mail_alone() {
    let reports = messages("dsn");
    let envelope = &reports[0].envelope;
    let dsn = Dsn { envelope_id: Some("QQ314159+2B".into()), ret: Some(Ret::Headers) };
    assert_eq!(envelope.dsn, dsn);
    assert_eq!(envelope.original(0), Some("rfc822;bob+2Bx@example.org"));
    let notify = [0, 1, 2].map(|place| envelope.notify(place).to_string());
    assert_eq!(notify, ["SUCCESS,FAILURE", "NEVER", "FAILURE,DELAY"]);
    assert!(reports[1].envelope.notes.is_empty() && reports[1].envelope.dsn == Dsn::default());
    let of = |name| messages(name).into_iter().map(|message| message.envelope).collect::<Vec<_>>();
    let held: Vec<_> = of("future-release").iter().map(|envelope| envelope.hold_until).collect();
    assert_eq!(held, [Some(NOW + 3_600_000_000), None]);
    assert_eq!(of("mt-priority").iter().map(|envelope| envelope.priority).collect::<Vec<_>>(), [-4, 0]);
    let by = |seconds: i64, mode, trace| {
        Some(DeliverBy { deadline: NOW.wrapping_add_signed(seconds * 1_000_000), mode, trace })
    };
    let times: Vec<_> = of("deliver-by").iter().map(|envelope| envelope.deliver_by).collect();
    assert_eq!(times, [by(120, ByMode::Return, true), by(-60, ByMode::Notify, false)]);
    assert!(of("require-tls").iter().all(|envelope| envelope.require_tls));
}
