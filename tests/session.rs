//! A session that is sent anything in any pieces, and one that is driven by hand.

mod common;

use std::sync::Arc;

use common::dialogue::{Setup, lines};
use common::driver::{Driver, secured, settings};
use proptest::prelude::*;
use ringpost::hook::IdentityMode;
use ringpost::mail::{Content, EnhancedStatus, MessageId, Reply, ReplyCode, SessionId};
use ringpost::smtp::line::Line;
use ringpost::smtp::received::write_received;
use ringpost::smtp::sasl::Mechanism;
use ringpost::smtp::server::question::{Authentication, Interrupt, Refusal, Step, Transfer, Verdict};
use ringpost::smtp::server::{Session, State};

/// Pieces that dialogues are made of, and pieces that break them.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let words: Vec<&[u8]> = vec![
        b"EHLO client\r\n",
        b"HELO client\n",
        b"LHLO client\r\n",
        b"MAIL FROM:<me@example.org>\r\n",
        b"MAIL FROM:<> BODY=BINARYMIME SMTPUTF8 SIZE=3\r\n",
        b"RCPT TO:<you@localhost>\r\n",
        b"RCPT TO:<\"",
        b"DATA\r\n",
        b"text\r\n.\r\n",
        b"From: you@localhost\r\n\r\n.\r\n",
        b".\r\n",
        b"BDAT 3\r\nabc",
        b"BDAT 4 LAST\r\nab\r\n",
        b"BDAT 0 LAST\r\n",
        b"BDAT 2000\r\n",
        b"BDAT 99999999999999999999\r\n",
        b"RSET\r\n",
        b"NOOP\r\n",
        b"VRFY \xff\0\r\n",
        b"AUTH PLAIN AHlvdQBzZXNhbWU=\r\n",
        b"AUTH PLAIN AHlvdQB3cm9uZw==\r\n",
        b"AUTH SCRAM-SHA-256 biwsbj15b3Uscj1hYmM=\r\n",
        b"AUTH LOGIN\r\neW91\r\n",
        b"c2VzYW1l\r\n",
        b"*\r\n",
        b"=\r\n",
        b"QUIT x\r\n",
        b"\r\n",
        b"\n.\n",
        b"\r",
        b" ",
        b"<a@b",
        b">",
    ];
    prop_oneof![
        8 => prop::sample::select(words).prop_map(<[u8]>::to_vec),
        1 => prop::collection::vec(any::<u8>(), 0..40),
        1 => prop::collection::vec(any::<u8>(), 100..140),
    ]
}

fn setup(lmtp: bool) -> Setup {
    let limits = Setup { max_message_octets: 1024, max_line_octets: 100, max_recipients: 2, ..Setup::default() };
    let passwords = vec![("you@localhost".into(), "sesame".into())];
    let mechanisms = Mechanism::ALL.into();
    let auth =
        Setup { auth_always: (!lmtp).then_some(true), auth_requires_tls: false, mechanisms, passwords, ..limits };
    Setup { lmtp, identity: if lmtp { IdentityMode::Disabled } else { IdentityMode::Strict }, ..auth }
}

/// Every line is a reply line, and many-line replies are of one code.
fn assert_well_formed(sent: &[u8]) {
    let mut within = None;
    for line in lines(sent) {
        assert!(line.len() <= 510 && line.bytes().all(|byte| (32..127).contains(&byte)), "{line:?}");
        let number: u16 = line[..3].parse().unwrap();
        assert!(ReplyCode::new(number).is_some(), "{line:?}");
        assert!(within.is_none_or(|code| code == number), "{line:?}");
        within = match &line[3..4] {
            "-" => Some(number),
            " " => None,
            _ => panic!("{line:?}"),
        };
        let status = line[4..].split(' ').next().unwrap();
        if status.split('.').count() == 3 && status.len() < 8 && status.bytes().all(|b| b == b'.' || b.is_ascii_digit())
        {
            assert!(status.starts_with(&line[..1]), "{line:?}");
        }
    }
    assert_eq!(within, None);
}

proptest! {
    #[test]
    fn anything_in_any_pieces(
        pieces in prop::collection::vec(pieces(), 0..30),
        lmtp in any::<bool>(),
        cuts in prop::collection::vec(1usize..50, 1..20),
    ) {
        let input = pieces.concat();
        let mut whole = Driver::new(&setup(lmtp));
        whole.receive(&input);
        assert_well_formed(&whole.sent);
        let received = lines(&whole.sent).iter().filter(|line| line.starts_with("250 2.6.0")).count();
        let owed = |message: &common::driver::Message| if lmtp { message.envelope.recipients.len() } else { 1 };
        prop_assert_eq!(received, whole.messages.iter().map(owed).sum::<usize>());

        let mut cut = Driver::new(&setup(lmtp));
        let (mut rest, mut sizes) = (input.as_slice(), cuts.into_iter().cycle());
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(sizes.next().unwrap().min(rest.len()));
            cut.receive(piece);
            rest = after;
        }
        prop_assert_eq!(cut.sent, whole.sent);
        prop_assert_eq!(cut.messages, whole.messages);
    }
}

fn session(lmtp: bool) -> Session<()> {
    let setup = Setup { lmtp, ..Setup::default() };
    Session::new(Arc::new(settings(&setup)), SessionId(7), "192.0.2.1:1".parse().unwrap())
}

/// Gives commands, and takes what they answer with `Pass`.
fn say(session: &mut Session<()>, commands: &[&str]) -> (Step, String) {
    let (mut sent, mut step) = (Vec::new(), Step::Receive);
    for command in commands {
        step = session.receive(Line::Command(command.as_bytes()), &mut sent);
        if let Step::Ask(_) = step {
            step = session.answer(Verdict::Pass, &mut sent);
        }
    }
    (step, lines(&sent).last().cloned().unwrap_or_default())
}

const TO_DATA: [&str; 4] = ["HELO client", "MAIL FROM:<me@example.org>", "RCPT TO:<you@localhost>", "DATA"];

#[test]
fn a_verdict_refuses_in_its_own_words() {
    let reply = |number| Reply::new(ReplyCode::new(number).unwrap(), EnhancedStatus::new(7, 1), "Words");
    for (verdict, expected, step) in [
        (Verdict::Deny(reply(550)), "550 5.7.1 Words", Step::Receive),
        (Verdict::DenySoft(reply(450)), "450 4.7.1 Words", Step::Receive),
        (Verdict::Disconnect(reply(521)), "521 5.7.1 Words", Step::Close),
        (Verdict::Deny(reply(250)), "554 Email rejected", Step::Receive),
        (Verdict::DenySoft(reply(250)), "451 Temporary problem. Please try again later", Step::Receive),
        (Verdict::Disconnect(reply(354)), "554 Server disconnected", Step::Close),
    ] {
        for command in ["MAIL FROM:<a@b>", "RCPT TO:<you@localhost>"] {
            let (mut session, mut sent) = (session(false), Vec::new());
            say(&mut session, if command.starts_with("MAIL") { &TO_DATA[..1] } else { &TO_DATA[..2] });
            let before = session.state();
            session.receive(Line::Command(command.as_bytes()), &mut sent);
            assert_eq!(session.answer(verdict.clone(), &mut sent), step);
            assert_eq!(lines(&sent), [expected]);
            assert_eq!(session.state(), if step == Step::Close { State::Over } else { before });
            assert!(session.recipients().is_empty());
        }
    }
}

#[test]
fn an_envelope_says_who_brought_what_when() {
    let mut session = session(false);
    assert_eq!(say(&mut session, &TO_DATA).0, Step::ReceiveData(Transfer::Data));
    let envelope = session.begin(MessageId(9), 17);
    assert_eq!((envelope.id, envelope.session, envelope.received_at), (MessageId(9), SessionId(7), 17));
    assert_eq!(envelope.reverse_path.to_string(), "me@example.org");
    assert_eq!(envelope.recipients, session.recipients());
    assert_eq!((&*envelope.client.helo, envelope.client.address.port()), ("client", 1));
    assert_eq!((session.message(), session.in_transaction()), (Some(MessageId(9)), true));
}

#[test]
fn a_message_is_answered_once_it_is_durable_and_not_before() {
    let (mut session, mut sent) = (session(false), Vec::new());
    say(&mut session, &TO_DATA);
    session.begin(MessageId(9), 0);
    assert_eq!(session.data_ended(&Content::default(), 0, &mut sent), Step::Store);
    assert!(sent.is_empty() && session.in_transaction());
    assert_eq!(session.stored(Ok(()), &mut sent), Step::Receive);
    assert_eq!(lines(&sent), ["250 2.6.0 Message received id=0000000000009"]);
    assert!(!session.in_transaction());
}

#[test]
fn a_recipient_without_a_result_has_no_message() {
    let (mut session, mut sent) = (session(true), Vec::new());
    say(&mut session, &["LHLO client", TO_DATA[1], TO_DATA[2], TO_DATA[2], TO_DATA[2], "DATA"]);
    session.begin(MessageId(9), 0);
    assert_eq!(session.data_ended(&Content::default(), 0, &mut sent), Step::Store);
    let accepted = Reply::plain(ReplyCode::OK, "Accepted after all");
    session.delivered(vec![Ok(()), Err(Refusal::Rejected(accepted))], &mut sent);
    let expected = [
        "250 2.6.0 Message received <you@localhost> id=0000000000009",
        "554 Email rejected",
        "451 4.3.0 Error processing message",
    ];
    assert_eq!(lines(&sent), expected);
}

#[test]
fn an_interrupted_session_says_why_and_is_over() {
    for (why, expected) in [
        (Interrupt::Idle, "421 4.4.2 localhost Timeout waiting for client, closing transmission channel"),
        (Interrupt::Shutdown, "421 4.3.2 localhost Service shutting down, closing transmission channel"),
        (Interrupt::Slow, "421 4.4.2 localhost Too slow, closing transmission channel"),
        (Interrupt::TooLong, "421 4.4.2 localhost Too much time taken, closing transmission channel"),
        (Interrupt::Overload, "421 4.7.0 localhost Too busy, please try again later"),
        (Interrupt::TooManyConnections, "421 4.7.0 localhost Too many connections from your address"),
    ] {
        let (mut session, mut sent) = (session(false), Vec::new());
        say(&mut session, &TO_DATA);
        session.interrupt(why, &mut sent);
        session.interrupt(why, &mut sent);
        assert_eq!(session.receive(Line::Command(b"NOOP"), &mut sent), Step::Close);
        assert_eq!(session.stored(Ok(()), &mut sent), Step::Close);
        assert_eq!(lines(&sent), [expected]);
    }
}

#[test]
fn a_call_out_of_turn_ends_the_session_and_acknowledges_nothing() {
    type Call = fn(&mut Session<()>, &mut Vec<u8>) -> Step;
    let calls: [Call; 10] = [
        |session, sent| session.answer(Verdict::Pass, sent),
        |session, sent| session.chunk_ended(&Content::default(), sent),
        |session, sent| session.data_ended(&Content::default(), 0, sent),
        |session, sent| session.stored(Ok(()), sent),
        |session, sent| session.delivered(vec![Ok(())], sent),
        |session, sent| session.secured(secured(), sent),
        |session, sent| session.refuse_tls(sent),
        |session, sent| session.keys(None, "nonce", sent),
        |session, sent| session.authenticated(Authentication::Unavailable, sent),
        |session, sent| {
            session.receive(Line::Command(b"MAIL FROM:<>"), sent);
            session.receive(Line::Command(b"NOOP"), sent)
        },
    ];
    for (index, call) in calls.into_iter().enumerate() {
        let (mut session, mut sent) = (session(true), Vec::new());
        say(&mut session, &["LHLO client"]);
        assert_eq!(call(&mut session, &mut sent), Step::Close, "call {index}");
        assert_eq!(lines(&sent), ["421 4.3.0 localhost Internal error, closing transmission channel"]);
        assert_eq!(session.state(), State::Over);
    }
}

/// A driver of a session that offers STARTTLS.
fn with_start_tls(lmtp: bool) -> Driver {
    let mut driver = Driver::new(&Setup { lmtp, start_tls: true, ..Setup::default() });
    driver.sent.clear();
    driver
}

/// What a client is answered to `said`, as the codes and words that matter here.
fn answers(driver: &mut Driver, said: &str) -> Vec<String> {
    driver.sent.clear();
    driver.receive(said.as_bytes());
    lines(&driver.sent)
}

#[test]
fn start_tls_is_offered_until_it_is_used_and_nothing_said_before_counts_after_it() {
    for (lmtp, hello, protocol) in [(false, "EHLO", "ESMTPS"), (true, "LHLO", "LMTPS")] {
        let mut driver = with_start_tls(lmtp);
        let hello = format!("{hello} client\r\n");
        assert!(answers(&mut driver, &hello).contains(&"250 STARTTLS".to_owned()));
        answers(&mut driver, "MAIL FROM:<me@example.org>\r\nRCPT TO:<you@localhost>\r\n");
        assert_eq!(driver.session.state(), State::Recipients);
        assert_eq!(answers(&mut driver, "STARTTLS now\r\n")[0].split_at(9).0, "501 5.5.4");
        assert!(!driver.session.is_secure() && driver.session.state() == State::Recipients);

        assert_eq!(answers(&mut driver, "STARTTLS\r\n"), ["220 2.0.0 Ready to start TLS"]);
        assert!(driver.session.is_secure() && driver.session.hello().is_none() && !driver.session.in_transaction());
        assert_eq!(driver.session.state(), State::Start);
        assert!(answers(&mut driver, "MAIL FROM:<me@example.org>\r\n")[0].starts_with("503 5.5.0 Need "));
        assert!(answers(&mut driver, "RCPT TO:<you@localhost>\r\n")[0].starts_with("503 5.5.0 "));
        assert!(!answers(&mut driver, &hello).iter().any(|line| line.contains("STARTTLS")));
        assert_eq!(answers(&mut driver, "STARTTLS\r\n"), ["500 5.5.1 TLS already active"]);

        answers(&mut driver, "MAIL FROM:<me@example.org>\r\nRCPT TO:<you@localhost>\r\nDATA\r\nx\r\n.\r\n");
        let tls = driver.messages[0].envelope.client.tls;
        assert_eq!(tls, Some(secured().tls));
        let mut received = Vec::new();
        let envelope = &driver.messages[0].envelope;
        write_received(envelope, &envelope.recipients, "mx.example", &mut received);
        assert!(String::from_utf8_lossy(&received).contains(&format!("with {protocol} id ")));
    }
}

#[test]
fn what_follows_start_tls_in_the_clear_is_never_used() {
    for behind in ["MAIL FROM:<evil@example.org>\r\n", "EHLO", "\r\n", "\x16\x03\x01"] {
        let mut driver = with_start_tls(false);
        let answers = answers(&mut driver, &format!("EHLO client\r\nSTARTTLS\r\n{behind}"));
        let last = "421 4.5.1 localhost Nothing may follow STARTTLS before TLS, closing transmission channel";
        assert_eq!(answers.last().map(String::as_str), Some(last), "{behind:?}");
        assert!(driver.is_closed() && !driver.session.is_secure());
        assert!(!answers.iter().any(|line| line.starts_with("220 ")));
    }
}

#[test]
fn start_tls_is_unknown_where_it_is_not_offered() {
    for setup in [Setup::default(), Setup { socket_tls: true, ..Setup::default() }] {
        let mut driver = Driver::new(&setup);
        assert!(!answers(&mut driver, "EHLO client\r\n").iter().any(|line| line.contains("STARTTLS")));
        assert_eq!(answers(&mut driver, "STARTTLS\r\n"), ["500 5.5.1 Command STARTTLS unrecognized."]);
        assert_eq!(driver.session.is_secure(), setup.socket_tls);
    }
}
