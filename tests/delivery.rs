//! Mail from the wire to the mailbox, through the real process.

mod common;

use std::fs;

use common::client::{Client, id};
use common::process::{Conf, Home, Server, eventually};

/// What the mailbox must hold of content that was sent with CR LF.
fn in_mailbox(content: &[u8]) -> Vec<u8> {
    let ends_line = |place: usize| content[place] == b'\r' && content.get(place + 1) == Some(&b'\n');
    (0..content.len()).filter(|place| !ends_line(*place)).map(|place| content[place]).collect()
}

/// Ten MiB of lines of all lengths up to 997, many of which begin with dots.
fn large() -> Vec<u8> {
    let mut content = b"Subject: large\r\n\r\n".to_vec();
    let mut line = 0usize;
    while content.len() < 10 << 20 {
        content.extend(std::iter::repeat_n(b'.', line % 4));
        content.extend((0..line * 7 % 994).map(|place| b'!' + (place * 31 + line) as u8 % 90));
        content.extend_from_slice(b"\r\n");
        line += 1;
    }
    content
}

/// Messages whose lines end with CR LF, the last one too.
fn messages() -> Vec<(&'static str, Vec<u8>)> {
    let long_line = [b"Subject: long\r\n\r\n".as_slice(), &b"x".repeat(100_000), b"\r\n"].concat();
    let many_dots = b".\r\n..\r\n...\r\n.text\r\n\r\n.\r\nQUIT\r\n".to_vec();
    let eight_bit: Vec<u8> = (0..=255).filter(|octet| ![b'\r', b'\n'].contains(octet)).collect();
    let eight_bit = [b"Subject: octets\r\n\r\n".as_slice(), &eight_bit, b"\r\n"].concat();
    vec![
        ("plain", b"Subject: test\r\n\r\nHello.\r\n".to_vec()),
        ("empty", Vec::new()),
        ("header alone", b"Subject: test\r\n".to_vec()),
        ("no header", b"\r\nHello.\r\n".to_vec()),
        ("looks folded", b"\tfor <you@localhost>; a date\r\n\tmore\r\n".to_vec()),
        ("dots", many_dots),
        ("long line", long_line),
        ("eight bits", eight_bit),
        ("no text, many lines", b"\r\n".repeat(20_000)),
        ("large", large()),
    ]
}

fn assert_same(name: &str, expected: &[u8], actual: &[u8]) {
    if expected != actual {
        let differ = expected.iter().zip(actual).position(|(expected, actual)| expected != actual);
        panic!("{name}: {} octets expected, {} in the mailbox, differing at {differ:?}", expected.len(), actual.len());
    }
}

/// The trace fields say who sent what to whom, by which protocol, under which id.
fn check_trace(trace: &[String], protocol: &str, recipient: &str, id: &str) {
    let Some([reverse_path, delivered_to, from, by, _]) = trace.first_chunk() else { panic!("{trace:?}") };
    assert_eq!(reverse_path.trim_end(), "Return-Path: <me@example.org>");
    assert_eq!(delivered_to.trim_end(), format!("Delivered-To: {recipient}"));
    assert_eq!(from.trim_end(), "Received: from client ([127.0.0.1])");
    assert!(by.starts_with(&format!("\tby localhost (ringpost) with {protocol} id {id}")), "{by}");
}

#[test]
fn content_reaches_the_mailbox_octet_by_octet() {
    let home = Home::new(&Conf::new());
    let process = home.start();
    let (mut smtp, mut lmtp) = (process.smtp(), process.lmtp());
    let you = ["you@localhost"];
    let mut sent = Vec::new();
    for (name, content) in messages() {
        for (way, reply) in [
            ("ESMTP", smtp.data(&you, &content)),
            ("ESMTP", smtp.bdat("", &you, &content, usize::MAX)),
            ("ESMTP", smtp.bdat(" BODY=8BITMIME", &you, &content, 70_001)),
            ("LMTP", lmtp.data(&you, &content)),
            ("LMTP", lmtp.bdat("", &you, &content, 4096 * 7)),
        ] {
            assert!(reply.starts_with("250 2."), "{name}: {reply}");
            sent.push((name, way, id(&reply).to_owned(), in_mailbox(&content)));
        }
    }
    for (name, way, id, expected) in &sent {
        let (trace, content) = home.delivered("you", id);
        check_trace(&trace, way, "you@localhost", id);
        assert_same(name, expected, &content);
    }
    assert_eq!(home.mail("you").len(), sent.len());
    assert_eq!(fs::read_dir(home.maildir("you").join("tmp")).expect("tmp").count(), 0);
    process.stop();
}

#[test]
fn chunks_may_end_anywhere() {
    let home = Home::new(&Conf::new());
    let process = home.start();
    let mut smtp = process.smtp();
    for (name, content) in [
        ("without an end of line", b"Subject: a\r\n\r\nno end".as_slice()),
        ("one octet", b"x"),
        ("dots at the seams", b".\r\n.\r\n..\r\n.a\r\n."),
    ] {
        for chunk in [1, 2, 3, usize::MAX] {
            let reply = smtp.bdat("", &["you@localhost"], content, chunk);
            let (_, delivered) = home.delivered("you", id(&reply));
            assert_same(name, &in_mailbox(content), &delivered);
        }
    }
    process.stop();
}

#[test]
fn binary_content_stays_as_it_came() {
    let home = Home::new(&Conf::new());
    let process = home.start();
    let mut smtp = process.smtp();
    let content: Vec<u8> =
        (0..200_000u32).map(|place| (place.wrapping_mul(place) >> 3) as u8).chain(*b"\r\n.\r\n\r").collect();
    let reply = smtp.bdat(" BODY=BINARYMIME", &["you@localhost"], &content, 65_537);
    let (trace, delivered) = home.delivered("you", id(&reply));
    assert!(trace.iter().all(|line| line.ends_with("\r\n")), "{trace:?}");
    assert_same("binary", &content, &delivered);
    process.stop();
}

#[test]
fn every_recipient_gets_it_once_for_each_time_named() {
    let home = Home::new(&Conf::new().users(&["you", "alice", "bob"]));
    let process = home.start();
    let mut smtp = process.smtp();
    let recipients = ["you@localhost", "Alice@LOCALHOST", "bob+lists.rust@localhost", "\"you\"@localhost"];
    let content = b"Subject: to all\r\n\r\nHello.\r\n";
    let reply = smtp.data(&recipients, content);
    let id = id(&reply);
    for (user, delivered_to) in [("alice", "Alice@LOCALHOST"), ("bob", "bob+lists.rust@localhost")] {
        let (trace, delivered) = home.delivered(user, id);
        check_trace(&trace, "ESMTP", delivered_to, id);
        assert!(!trace.concat().contains("for <"), "nobody learns of the others: {trace:?}");
        assert_same(user, &in_mailbox(content), &delivered);
    }
    eventually(|| (home.mail("you").len() == 2).then_some(())).expect("both are there");
    process.stop();
}

#[test]
fn strangers_are_refused() {
    let home = Home::new(&Conf::new());
    let process = home.start();
    for mut client in [process.smtp(), process.lmtp()] {
        client.expect("MAIL FROM:<me@example.org>", "250 2.1.0");
        client.expect("RCPT TO:<nobody@localhost>", "550 5.1.1 ");
        client.expect("RCPT TO:<you@example.org>", "550 5.7.1 ");
        client.expect("RCPT TO:<you%example.org@localhost>", "550 5.1.1 ");
        client.expect("DATA", "503 5.5.0 ");
    }
    assert!(home.mail("you").is_empty());
    process.stop();
}

#[test]
fn held_mail_waits_in_the_spool_until_the_hold_is_lifted() {
    let conf = Conf::new();
    let home = Home::new(&conf.clone().with("delivery/hold", "true"));
    let process = home.start();
    assert!(process.announcement.contains("\n  hold "), "{}", process.announcement);
    let by_smtp = process.smtp().data(&["you@localhost"], b"Subject: held\r\n");
    let mut lmtp = process.lmtp();
    lmtp.envelope("me@example.org", &["you@localhost", "postmaster@localhost"]);
    lmtp.expect("DATA", "354");
    lmtp.send("Subject: held too\r\n.\r\n");
    let by_lmtp = [lmtp.reply(), lmtp.reply()];
    assert_eq!(id(&by_lmtp[0]), id(&by_lmtp[1]), "{by_lmtp:?}");
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert!(home.mail("you").is_empty());
    process.stop();

    home.configure(&conf);
    let process = home.start();
    assert!(!process.announcement.contains("\n  hold "), "{}", process.announcement);
    assert_eq!(home.delivered("you", id(&by_smtp)).1, b"Subject: held\n");
    for user in ["you", "postmaster"] {
        assert_eq!(home.delivered(user, id(&by_lmtp[0])).1, b"Subject: held too\n");
    }
    process.stop();
    let process = home.start();
    assert!(!process.announcement.contains("waiting"), "{}", process.announcement);
    process.stop();
    assert_eq!((home.mail("you").len(), home.mail("postmaster").len()), (2, 1));
}

/// Puts a file where a user's Maildir would be.
fn bar(home: &Home, user: &str) {
    let maildir = home.maildir(user);
    fs::create_dir_all(maildir.parent().expect("a domain")).expect("a directory");
    fs::write(maildir, "in the way").expect("a file");
}

#[test]
fn a_delivery_that_fails_is_tried_again_and_after_a_restart_too() {
    let home = Home::new(&Conf::new().with("delivery/retry", "1s"));
    bar(&home, "you");
    let process = home.start();
    let reply = process.smtp().data(&["postmaster@localhost", "you@localhost"], b"Subject: again\r\n");
    let name = format!("id={}", id(&reply));
    let line = process.wait_for_log("deferred", &[&name, "to=<you@localhost>", "dsn=4.2.0", "again_in=1s"]);
    assert!(line.contains(" warn "), "{line}");
    assert_eq!(home.delivered("postmaster", id(&reply)).1, b"Subject: again\n");
    process.stop();

    let process = home.start();
    assert!(process.announcement.contains(", 1 message waiting"), "{}", process.announcement);
    process.wait_for_log("deferred", &[&name, "to=<you@localhost>"]);
    fs::remove_file(home.maildir("you")).expect("the file");
    process.wait_for_log("delivered", &[&name, "to=<you@localhost>"]);
    assert_eq!(home.delivered("you", id(&reply)).1, b"Subject: again\n");
    process.stop();
    assert_eq!((home.mail("you").len(), home.mail("postmaster").len()), (1, 1));
}

#[test]
fn where_all_mailboxes_have_vanished_none_is_made_in_their_place() {
    let home = Home::new(&Conf::new().with("delivery/retry", "1s"));
    let process = home.start();
    let first = process.smtp().data(&["you@localhost"], b"Subject: first\r\n");
    assert_eq!(home.delivered("you", id(&first)).1, b"Subject: first\n");
    // As when the file system that they are on is unmounted.
    let (mail, away) = (home.path().join("var/mail"), home.path().join("away"));
    fs::rename(&mail, &away).expect("renamed");
    // One that has a Maildir, and one that would get one.
    let reply = process.smtp().data(&["you@localhost", "postmaster@localhost"], b"Subject: second\r\n");
    for to in ["to=<you@localhost>", "to=<postmaster@localhost>"] {
        process.wait_for_log("deferred", &[&format!("id={}", id(&reply)), to, "No such file or directory"]);
    }
    assert!(!mail.exists());
    fs::rename(&away, &mail).expect("renamed");
    for user in ["you", "postmaster"] {
        assert_eq!(home.delivered(user, id(&reply)).1, b"Subject: second\n");
    }
    process.stop();
    assert_eq!((home.mail("you").len(), home.mail("postmaster").len()), (2, 1));
}

#[test]
fn what_an_attempt_before_a_crash_left_is_not_written_over() {
    let held = Conf::new().with("delivery/hold", "true");
    let home = Home::new(&held);
    let process = home.start();
    let begun = std::time::SystemTime::now();
    let reply = process.smtp().data(&["you@localhost"], b"Subject: whole\r\n");
    process.stop();
    // After a crash the file may have both of its names: that under `tmp`, and that in `new` which a reader sees.
    let maildir = home.maildir("you");
    for part in ["tmp", "new", "cur"] {
        fs::create_dir_all(maildir.join(part)).expect("made");
    }
    let seen = home.path().join("seen");
    fs::write(&seen, "seen by a reader").expect("written");
    let second = begun.duration_since(std::time::UNIX_EPOCH).expect("later").as_secs();
    for second in second..second + 60 {
        let name = format!("{second}.{}R0.localhost", id(&reply));
        fs::hard_link(&seen, maildir.join("tmp").join(name)).expect("linked");
    }
    home.configure(&held.with("delivery/hold", "false"));
    let process = home.start();
    assert_eq!(home.delivered("you", id(&reply)).1, b"Subject: whole\n");
    process.stop();
    assert_eq!(fs::read(&seen).expect("readable"), b"seen by a reader");
    let left = fs::read_dir(maildir.join("tmp")).expect("listed").count();
    assert_eq!(left, 59, "the file had another name than the one that was left");
}

#[test]
fn what_lmtp_could_not_deliver_stays_the_clients() {
    let home = Home::new(&Conf::new().with("delivery/retry", "1s"));
    bar(&home, "you");
    let process = home.start();
    let mut lmtp = process.lmtp();
    lmtp.envelope("me@example.org", &["you@localhost", "postmaster@localhost", "you@localhost"]);
    lmtp.expect("DATA", "354");
    lmtp.send("Subject: now or never\r\n.\r\n");
    let replies = [lmtp.reply(), lmtp.reply(), lmtp.reply()];
    assert!(replies[0].starts_with("451 4.2.0") && replies[2].starts_with("451 4.2.0"), "{replies:?}");
    assert_eq!(home.delivered("postmaster", id(&replies[1])).1, b"Subject: now or never\n");
    process.wait_for_log("returned", &["to=<you@localhost>"]);
    fs::remove_file(home.maildir("you")).expect("the file");
    std::thread::sleep(std::time::Duration::from_millis(1500));
    process.stop();
    let process = home.start();
    assert!(!process.announcement.contains("waiting"), "{}", process.announcement);
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert!(home.mail("you").is_empty());
    process.stop();
    assert_eq!(home.mail("postmaster").len(), 1);
}

/// Takes in one message on each of many connections, so that every shard has some, and keeps them in the spool.
fn hold(home: &Home, conf: &Conf, count: usize) -> Vec<String> {
    home.configure(&conf.clone().with("delivery/hold", "true"));
    let process = home.start();
    let you = ["you@localhost"];
    let replies = (0..count).map(|number| process.smtp().data(&you, &numbered(number)));
    let ids = replies.map(|reply| id(&reply).to_owned()).collect();
    process.stop();
    ids
}

fn numbered(number: usize) -> Vec<u8> {
    format!("Subject: this is number {number:03}\r\n\r\n{}", "text\r\n".repeat(100)).into_bytes()
}

#[test]
fn mail_of_a_shard_that_is_gone_is_delivered_by_another() {
    let conf = Conf::new();
    let home = Home::new(&conf);
    let ids = hold(&home, &conf, 30);
    home.configure(&conf.with("shards", "0").with("spool/segmentSize", "1M"));
    let process = home.start();
    assert!(process.announcement.contains("0 on CPU 0, 30 messages waiting"), "{}", process.announcement);
    for (number, id) in ids.iter().enumerate() {
        assert_eq!(home.delivered("you", id).1, in_mailbox(&numbered(number)));
    }
    process.stop();
    let process = home.start();
    assert!(!process.announcement.contains("waiting"), "{}", process.announcement);
    process.stop();
    assert_eq!(home.mail_count("you"), 30);
}

#[test]
fn a_damaged_message_is_set_aside_and_the_others_are_delivered() {
    let conf = Conf::new();
    let home = Home::new(&conf);
    let ids = hold(&home, &conf, 20);
    assert_eq!(damage(&home, b"this is number 007"), 1);
    home.configure(&conf);
    let process = home.start();
    let line = process.wait_for_log("damage-set-aside", &["kept_in="]);
    assert!(line.contains(" error "), "{line}");
    for (number, id) in ids.iter().enumerate().filter(|(number, _)| *number != 7) {
        assert_eq!(home.delivered("you", id).1, in_mailbox(&numbered(number)));
    }
    let file = line.split("kept_in=").nth(1).and_then(|rest| rest.split(' ').next()).expect("a file");
    let kept = fs::read(file).expect("what was damaged is kept");
    assert!(kept.windows(18).any(|octets| octets == b"THIS IS NUMBER 007"));
    assert!(process.smtp().data(&["you@localhost"], b"").starts_with("250"));
    process.stop();
    home.start().stop();
    assert_eq!(home.mail_count("you"), 20);
}

/// Changes every occurrence of a text in the spool to capitals; how many there were.
fn damage(home: &Home, text: &[u8]) -> usize {
    let shards =
        fs::read_dir(home.path().join("var/spool")).expect("a spool").map(|entry| entry.expect("an entry").path());
    let logs = shards.filter(|path| path.is_dir());
    let files = logs.flat_map(|log| fs::read_dir(log).expect("a log").map(|entry| entry.expect("an entry").path()));
    files.map(|file| damage_file(&file, text)).sum()
}

fn damage_file(file: &std::path::Path, text: &[u8]) -> usize {
    let mut octets = fs::read(file).expect("a segment");
    let places: Vec<usize> =
        octets.windows(text.len()).enumerate().filter(|(_, window)| *window == text).map(|(place, _)| place).collect();
    for place in &places {
        octets[*place..place + text.len()].make_ascii_uppercase();
    }
    if !places.is_empty() {
        fs::write(file, octets).expect("a segment");
    }
    places.len()
}

#[test]
fn a_message_too_large_for_the_room_that_is_left_is_put_off() {
    // Two segments of 1 MiB a shard for mail: the third MiB finds no room. With the hold nothing is freed meanwhile.
    let conf = Conf::new().with("spool/segmentSize", "1M").with("spool/maxSegments", "4").with("delivery/hold", "true");
    let home = Home::new(&conf.servers(vec![Server::smtp().with("maxmessagesize", "0")]));
    let process = home.start();
    let content = [b"Subject: big\r\n\r\n".as_slice(), &b"0123456789\r\n".repeat(50_000)].concat();
    let mut smtp = Client::hello(process.address(0), false);
    let (mut taken, mut refused) = (0, String::new());
    for _ in 0..5 {
        let reply = smtp.say(&format!("MAIL FROM:<me@example.org> SIZE={}", content.len()));
        if !reply.starts_with("250") {
            refused = reply;
            break;
        }
        smtp.expect("RCPT TO:<you@localhost>", "250");
        smtp.expect("DATA", "354");
        smtp.send(common::client::stuffed(&content));
        let reply = smtp.reply();
        if !reply.starts_with("250") {
            refused = reply;
            break;
        }
        taken += 1;
    }
    assert!(refused.starts_with("452 4.3.1"), "{taken} taken, then {refused:?}");
    assert!((1..=3).contains(&taken), "{taken}");
    smtp.expect("NOOP", "250");
    process.stop();
}

#[test]
fn what_is_to_be_discarded_is_kept_until_it_is_thrown_away_and_the_start_says_so() {
    let home = Home::new(&Conf::new().with("delivery/discard", "true"));
    let process = home.start();
    assert!(process.announcement.contains("ACCEPTED MAIL IS THROWN AWAY"), "{}", process.announcement);
    process.wait_for_log("discarding", &[]);
    let reply = process.smtp().data(&["you@localhost"], b"Subject: nowhere\r\n\r\nHello.\r\n");
    assert!(reply.starts_with("250 2."), "{reply}");
    process.wait_for_log("discarded", &[&format!("id={}", id(&reply)), "to=<you@localhost>"]);
    let reply = process.lmtp().data(&["you@localhost"], b"Subject: nowhere\r\n\r\nHello.\r\n");
    assert!(reply.starts_with("451 4."), "nobody is told that it is in a mailbox: {reply}");
    assert_eq!(home.mail_count("you"), 0);
    process.stop();
    // Nothing is left to do at the next start.
    let process = home.start();
    process.stop();
    assert_eq!(home.mail_count("you"), 0);
}
