//! The log of the real process: what an operator finds in it, and that mail never waits for whoever reads it.

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use common::client::{Client, id};
use common::process::{Conf, Home, Process, eventually};
use serde_json::Value;

/// One line, taken apart.
#[derive(Debug)]
struct Line {
    level: String,
    event: String,
    fields: BTreeMap<String, String>,
}

impl Line {
    /// A JSON line: an object whose values are texts, the time among them.
    fn from_json(text: &str) -> Line {
        let Ok(Value::Object(object)) = serde_json::from_str(text) else { panic!("no JSON object: {text}") };
        let text_of = |value: Value| value.as_str().unwrap_or_else(|| panic!("no text in {text}")).to_owned();
        let mut fields: BTreeMap<String, String> =
            object.into_iter().map(|(key, value)| (key, text_of(value))).collect();
        check_time(&fields.remove("time").expect("a time"));
        let level = fields.remove("level").expect("a level");
        Line { level, event: fields.remove("event").expect("an event"), fields }
    }

    /// A line of text: time, level, event, then `key=value` or `key="a text"`.
    fn from_text(text: &str) -> Line {
        let mut words = text.splitn(2, ' ');
        check_time(words.next().expect("a time"));
        let rest = words.next().expect("more than a time").trim_start();
        let (level, rest) = rest.split_once(' ').expect("a level");
        let (event, mut rest) = rest.trim_start().split_once(' ').unwrap_or((rest.trim_start(), ""));
        let mut fields = BTreeMap::new();
        while let Some((key, after)) = rest.split_once('=') {
            let end = match after.strip_prefix('"') {
                Some(quoted) => 2 + quoted.find('"').expect("a text ends"),
                None => after.find(' ').unwrap_or(after.len()),
            };
            fields.insert(key.to_owned(), after[..end].trim_matches('"').to_owned());
            rest = after[end..].trim_start();
        }
        assert_eq!(rest, "", "{text}");
        Line { level: level.to_owned(), event: event.to_owned(), fields }
    }

    fn get(&self, key: &str) -> &str {
        self.fields.get(key).unwrap_or_else(|| panic!("no {key} in {self:?}"))
    }
}

/// RFC 3339, to the millisecond, in UTC.
fn check_time(time: &str) {
    let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(shape, "0000-00-00T00:00:00.000Z", "{time}");
}

/// The only line about `event` of those given with `key=value`.
fn one<'a>(lines: &'a [Line], event: &str, key: &str, value: &str) -> &'a Line {
    let found: Vec<&Line> = lines
        .iter()
        .filter(|line| line.event == event && line.fields.get(key).is_some_and(|found| found == value))
        .collect();
    assert_eq!(found.len(), 1, "{event} with {key}={value}: {found:#?} of {lines:#?}");
    found[0]
}

/// A session with something refused and something accepted, followed through the log.
fn check_story(format: &str, read: fn(&str) -> Line) {
    let home = Home::new(&Conf::new().with("log/format", format));
    let process = home.start();
    let mut client = process.smtp();
    client.expect("MAIL FROM:<me@example.org>", "250");
    client.expect("RCPT TO:<\"a \\\"b\\\" = c\"@localhost>", "550 5.1.1");
    client.expect("RCPT TO:<nobody@localhost>", "550 5.1.1");
    client.expect("RCPT TO:<you@localhost>", "250");
    client.expect("DATA", "354");
    client.send("Subject: story\r\n.\r\n");
    let reply = client.reply();
    let id = id(&reply).to_owned();
    client.envelope("", &["you@localhost"]);
    client.send("BDAT 4 LAST\r\na\nb\n");
    assert!(client.reply().starts_with("550 5.6.11"));
    client.expect("QUIT", "221");
    client.assert_closed();
    let (trace, _) = home.delivered("you", &id);
    assert!(trace[3].contains(&format!(" id {id}")), "{trace:?}");
    let lines: Vec<Line> = process.stop().iter().map(|line| read(line)).collect();

    let accepted = one(&lines, "accepted", "id", &id);
    assert_eq!((accepted.get("from"), accepted.get("nrcpt")), ("<me@example.org>", "1"));
    let session = accepted.get("session");
    let connect = one(&lines, "connect", "session", session);
    assert_eq!((connect.get("server"), connect.get("client")), ("server-0", accepted.get("client")));
    let refused = one(&lines, "refused", "to", "<nobody@localhost>");
    assert_eq!((refused.get("session"), refused.get("reply")), (session, "550"));
    let content_refused = one(&lines, "refused", "from", "<>");
    assert_eq!(content_refused.get("session"), session);
    assert!(content_refused.get("reply").starts_with("550 5.6.11 "));
    assert_ne!(content_refused.get("id"), id);
    let delivered = one(&lines, "delivered", "id", &id);
    assert_eq!((delivered.get("to"), delivered.get("dsn")), ("<you@localhost>", "2.0.0"));
    assert!(delivered.get("delay").parse::<f64>().expect("seconds") < 60.0);
    let disconnect = one(&lines, "disconnect", "session", session);
    assert_eq!((disconnect.get("accepted"), disconnect.get("why")), ("1", "quit"));
    let order = ["connect", "accepted", "disconnect"].map(|event| lines.iter().position(|line| line.event == event));
    assert!(order.is_sorted(), "{order:?}");
    assert!(lines.iter().all(|line| line.level == "info"), "{lines:#?}");
}

#[test]
fn a_line_of_text_for_every_step_tied_together_by_ids() {
    // Quotes within quotes are for people, who need no parser.
    check_story("text", |line| Line::from_text(&line.replace("\\\"", "'")));
}

#[test]
fn a_json_object_for_every_step_tied_together_by_ids() {
    check_story("json", Line::from_json);
}

#[test]
fn whatever_a_client_says_stays_in_its_line() {
    let home = Home::new(&Conf::new().with("log/format", "json"));
    let process = home.start();
    let mut client = process.smtp();
    client.expect("MAIL FROM:<j\u{f6}rg@example.org> SMTPUTF8", "250");
    client.expect("RCPT TO:<\"\\\"\\\\ \u{1f4ee}\"@localhost>", "550");
    client.expect("RCPT TO:<\"{},:\"@localhost>", "550");
    client.expect("QUIT", "221");
    let lines: Vec<Line> = process.stop().iter().map(|line| Line::from_json(line)).collect();
    one(&lines, "refused", "to", "<\"{},:\"@localhost>");
    assert!(lines.iter().any(|line| line.event == "refused" && line.get("to").contains('\u{1f4ee}')), "{lines:#?}");
}

#[test]
fn the_level_leaves_out_what_matters_less() {
    let home = Home::new(&Conf::new().with("log/level", "warn").with("delivery/retry", "1h"));
    let process = home.start();
    let mut client = process.smtp();
    assert!(client.data(&["you@localhost"], b"").starts_with("250"));
    assert_eq!(process.stop(), Vec::<String>::new());
}

const SENDERS: usize = 8;
const EACH: usize = 150;

/// Refused recipients of each message: a line of the log each.
const REFUSED: usize = 50;

/// Sends messages, each in the middle of recipients that are refused, which the log tells one by one.
fn send(mut client: Client) -> usize {
    let refused = "RCPT TO:<a-name-that-makes-for-a-long-line-in-the-log@localhost>\r\n".repeat(REFUSED);
    let transaction = format!("MAIL FROM:<me@example.org>\r\n{refused}RCPT TO:<you@localhost>\r\nBDAT 3 LAST\r\na\r\n");
    let mut taken = 0;
    for _ in 0..EACH {
        client.send(&transaction);
        let replies: Vec<String> = (0..REFUSED + 3).map(|_| client.reply()).collect();
        taken += usize::from(replies[REFUSED + 2].starts_with("250 2.6.0"));
    }
    taken
}

fn send_all(process: &Process) -> usize {
    std::thread::scope(|scope| {
        let senders: Vec<_> = (0..SENDERS).map(|_| scope.spawn(|| send(process.smtp()))).collect();
        senders.into_iter().map(|sender| sender.join().expect("no panic")).sum()
    })
}

#[test]
fn a_reader_of_the_log_that_is_stuck_holds_no_mail_up() {
    let home = Home::new(&Conf::new().with("log/format", "json"));
    let mut process = home.start_with_stuck_log();
    assert_eq!(send_all(&process), SENDERS * EACH);
    assert_eq!(
        eventually(|| {
            let delivered = home.mail_count("you");
            (delivered == SENDERS * EACH).then_some(delivered)
        }),
        Some(SENDERS * EACH),
        "delivery is not held up either"
    );

    // It comes to its senses: the log goes on, and says how much of it is missing.
    process.read_log();
    let dropped = Line::from_json(&process.wait_for_line(&["\"event\":\"log-lines-dropped\""]));
    assert!(dropped.get("count").parse::<u64>().expect("a number") > 1000, "{dropped:?}");
    assert_eq!(dropped.level, "warn");
    // Until it has caught up, lines may still be dropped.
    let told = eventually(|| {
        let reply = process.smtp().data(&["you@localhost"], b"");
        std::thread::sleep(Duration::from_millis(300));
        let id = format!("\"id\":\"{}\"", id(&reply));
        let told = |line: &&String| line.contains("\"event\":\"delivered\"") && line.contains(&id);
        process.log_so_far().iter().find(told).cloned()
    });
    assert!(told.is_some(), "the log does not go on");
    let lines: Vec<Line> = process.stop().iter().map(|line| Line::from_json(line)).collect();
    assert!(lines.iter().any(|line| line.event == "stopped"));
}

#[test]
fn a_reader_that_stays_stuck_holds_no_stop_up() {
    let home = Home::new(&Conf::new());
    let mut process = home.start_with_stuck_log();
    assert_eq!(send_all(&process), SENDERS * EACH);
    let begun = std::time::Instant::now();
    process.signal(libc::SIGTERM);
    assert!(process.wait().success());
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    // What was acknowledged and not yet delivered is in the spool.
    let process = home.start();
    let delivered = eventually(|| (home.mail_count("you") == SENDERS * EACH).then_some(()));
    assert!(delivered.is_some(), "{} of {}", home.mail_count("you"), SENDERS * EACH);
    process.stop();
}
