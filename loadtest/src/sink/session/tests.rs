//! The session hears everything a client may say, and each fault at each stage.

use super::super::faults::{Delay, Fault};
use super::*;

/// All that is said, delays left out; `!` a reset, `.` a close, `T` TLS.
fn said(session: &mut Session) -> (String, Vec<Accepted>) {
    let (mut text, mut all) = (String::new(), Vec::new());
    while let Some(step) = session.next() {
        match step {
            Step::Say { text: line, accepted, .. } => {
                text += &format!("{} ", &String::from_utf8(line).unwrap()[..3]);
                all.extend(accepted.map(|accepted| *accepted));
            }
            Step::StartTls => text.push('T'),
            Step::Close => text.push('.'),
            Step::Reset => text.push('!'),
        }
    }
    (text.trim_end().into(), all)
}

fn heard(policy: &Policy, input: &str) -> (String, Vec<Accepted>) {
    let mut whole = Session::new(Dice::new(1, 0), policy);
    whole.receive(input.as_bytes(), policy);
    let whole = said(&mut whole);
    let mut single = Session::new(Dice::new(1, 0), policy);
    input.as_bytes().chunks(1).for_each(|octet| single.receive(octet, policy));
    assert_eq!(said(&mut single), whole, "however it arrives");
    whole
}

const OPENING: &str = "EHLO me\r\nMAIL FROM:<a@b> SIZE=10\r\nRCPT TO:<c@d>\r\nRCPT TO:<e@f> NOTIFY=NEVER\r\n";

#[test]
fn a_message_comes_through_as_it_was_meant() {
    for (body, content) in [
        ("x\r\n..y\r\n.\r\n", "x\r\n.y\r\n"),
        (".\r\n", ""),
        ("..\r\n.\r\n", ".\r\n"),
        ("a\r\n.b\r\n\r\n.\r\n", "a\r\nb\r\n\r\n"),
    ] {
        let (text, all) = heard(&Policy::plain(false), &format!("{OPENING}DATA\r\n{body}QUIT\r\n"));
        assert_eq!(text, "220 250 250 250 250 354 250 221 .", "{body:?}");
        let recipients = vec!["c@d".to_string(), "e@f".to_string()];
        assert_eq!(all, [Accepted { content: content.into(), recipients }], "{body:?}");
    }
}

#[test]
fn chunks_are_put_together_and_dots_left_alone() {
    let (text, all) = heard(&Policy::plain(false), &format!("{OPENING}BDAT 3\r\n.\r\nBDAT 5 LAST\r\n..a\r\nNOOP\r\n"));
    assert_eq!(text, "220 250 250 250 250 250 250 250");
    assert_eq!(all[0].content, b".\r\n..a\r\n");
    assert_eq!(heard(&Policy::plain(false), "EHLO me\r\nBDAT 3 LAST\r\nabcNOOP\r\n").0, "220 250 503 250");
    assert_eq!(heard(&Policy::plain(false), "EHLO me\r\nBDAT x\r\nNOOP\r\n").0, "220 250 501 .");
}

#[test]
fn lmtp_answers_for_each_recipient() {
    let mut policy = Policy::plain(true);
    policy.manner = Manner::new(&[Fault::parse("dot:452:1:e@*").unwrap()], &[]);
    let input = OPENING.replace("EHLO", "LHLO") + "DATA\r\nx\r\n.\r\n";
    let (text, all) = heard(&policy, &input);
    assert_eq!(text, "220 250 250 250 250 354 250 452");
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].recipients, ["c@d"]);
    assert_eq!(heard(&policy, "EHLO me\r\n").0, "220 500");
}

#[test]
fn every_stage_can_be_made_to_fail() {
    for (fault, expected) in [
        ("connect:421", "421 ."),
        ("connect:drop", "!"),
        ("mail:451", "220 250 451 503 503 503 500 500"),
        ("rcpt:550:1:e*", "220 250 250 250 550 354 250"),
        ("rcpt:drop:1:e*", "220 250 250 250 !"),
        ("data:451", "220 250 250 250 250 451 500 500"),
        ("dot:451", "220 250 250 250 250 354 451"),
        ("dot:drop", "220 250 250 250 250 354 !"),
        ("dot:drop:0", "220 250 250 250 250 354 250"),
    ] {
        let mut policy = Policy::plain(false);
        policy.manner = Manner::new(&[Fault::parse(fault).unwrap()], &[]);
        let (text, all) = heard(&policy, &format!("{OPENING}DATA\r\nx\r\n.\r\n"));
        assert_eq!(text, expected, "{fault}");
        assert_eq!(all.len(), usize::from(text.ends_with("354 250")), "{fault}");
    }
}

#[test]
fn delays_stand_before_what_they_are_for() {
    let delays = ["greeting:1", "reply:2", "dot:3"].map(|text| Delay::parse(text).unwrap());
    let mut policy = Policy::plain(false);
    policy.manner = Manner::new(&[], &delays);
    let mut session = Session::new(Dice::new(1, 0), &policy);
    session.receive(format!("{OPENING}DATA\r\nx\r\n.\r\n").as_bytes(), &policy);
    let mut seconds = Vec::new();
    while let Some(Step::Say { delay, .. }) = session.next() {
        seconds.push(delay.as_secs());
    }
    assert_eq!(seconds, [1, 2, 2, 2, 2, 2, 3]);
}

#[test]
fn what_is_too_large_is_refused_and_not_kept() {
    let mut policy = Policy::plain(false);
    policy.size = 20;
    let long = "0123456789\r\n".repeat(20_000);
    let input = OPENING.replace(" SIZE=10", "");
    assert_eq!(heard(&policy, &format!("{input}DATA\r\n{long}.\r\nNOOP\r\n")).0, "220 250 250 250 250 354 552 250");
    assert_eq!(
        heard(&policy, &format!("{input}BDAT 26 LAST\r\n{}NOOP\r\n", &long[..26])).0,
        "220 250 250 250 250 552 250"
    );
    assert_eq!(heard(&policy, "EHLO me\r\nMAIL FROM:<> SIZE=21\r\n").0, "220 250 552");
}

#[test]
fn starttls_takes_nothing_said_in_clear_along() {
    let mut policy = Policy::plain(false);
    policy.starttls = true;
    let mut session = Session::new(Dice::new(1, 0), &policy);
    session.receive(b"EHLO me\r\nMAIL FROM:<a@b>\r\nRSET\r\nSTARTTLS\r\n", &policy);
    assert_eq!(said(&mut session).0, "220 250 250 250 220 T");
    session.encrypted();
    session.receive(b"MAIL FROM:<a@b>\r\nEHLO me\r\nSTARTTLS\r\n", &policy);
    assert_eq!(said(&mut session).0, "503 250 500");
    let mut session = Session::new(Dice::new(1, 0), &policy);
    session.receive(b"EHLO me\r\nSTARTTLS\r\nMAIL FROM:<a@b>\r\n", &policy);
    assert_eq!(said(&mut session).0, "220 250 220 .");
}

#[test]
fn passwords_are_compared() {
    let mut policy = Policy::plain(false);
    policy.user = Some(("me".into(), "secret".into()));
    for (input, expected) in [
        ("AUTH PLAIN AG1lAHNlY3JldA==\r\n", "235"),
        ("AUTH PLAIN\r\nAG1lAHNlY3JldA==\r\n", "334 235"),
        ("AUTH PLAIN AG1lAHNlY3JlZA==\r\n", "535"),
        ("AUTH LOGIN\r\nbWU=\r\nc2VjcmV0\r\n", "334 334 235"),
        ("AUTH LOGIN\r\nbWU=\r\nbWU=\r\n", "334 334 535"),
        ("AUTH LOGIN\r\n*\r\n*\r\n", "334 334 535"),
        ("AUTH CRAM-MD5\r\n", "504"),
    ] {
        assert_eq!(heard(&policy, &format!("EHLO me\r\n{input}")).0, format!("220 250 {expected}"), "{input}");
    }
    assert_eq!(heard(&Policy::plain(false), "EHLO me\r\nAUTH PLAIN AAA\r\n").0, "220 250 500");
}
