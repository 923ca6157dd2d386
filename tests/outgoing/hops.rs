//! Which next hop mail goes to, and how it is spoken to.

use std::time::Duration;

use ringpost::delivery::names::Zone;
use ringpost::delivery::route::{Addresses, MailExchange};
use ringpost::delivery::settings::{Gateway, LmtpPlace, LmtpSettings, RemoteSettings};
use ringpost::io::sim::{Manner, seeds};
use ringpost::mail::BodyType;
use ringpost::mailet::edit::{Edit, Edits};
use ringpost::mta::journey::Journey;

use super::here::{Here, envelope, remote, schedule, settings, zone};
use super::hop::{Answer, Hop};

const MAIL: &[u8] = b"Subject: m\r\n\r\nhello\r\n";

fn found(list: &[&str]) -> Addresses {
    Addresses::Found(list.iter().map(|text| text.parse().expect("an address")).collect())
}

fn one_remote(settings: RemoteSettings) -> ringpost::mta::outgoing::Settings {
    super::here::settings(vec![settings], Vec::new())
}

#[test]
fn hosts_are_tried_by_preference_and_addresses_by_turns() {
    for seed in seeds(10) {
        let zone = Zone::default()
            .with_hosts("a.example", &[(20, "backup.a.example"), (10, "best.a.example")])
            .with_addresses("best.a.example", found(&["198.51.100.1", "2001:db8::1"]))
            .with_addresses("backup.a.example", found(&["198.51.100.2"]));
        let mut here = Here::new(seed, zone, one_remote(remote(&[60])));
        let [six, four, backup] =
            ["[2001:db8::1]:25", "198.51.100.1:25", "198.51.100.2:25"].map(|at| Hop::new(&here.world, at, &[]));
        six.host.set_manner(Manner::Refuses);
        four.set_policy(|command| if command == "greeting" { Answer::Say("421 4.3.2 busy") } else { Answer::Usual });
        here.start();
        [&six, &four, &backup].into_iter().for_each(|hop: &Hop| hop.serve(&here.world.machine()));
        here.send(envelope(1, "me@here.example", &["you@A.example", "two@a.example"]), here.to_remote(0), MAIL);
        assert!(here.settle());
        assert_eq!(
            (six.host.attempts(), four.connections.get(), backup.taken.borrow().len()),
            (1, 1, 2),
            "seed {seed}"
        );
        let told = here.told("sent", &["to", "relay", "dsn", "text"]);
        let expected = "<you@A.example> | backup.a.example[198.51.100.2]:25 | 2.0.0 | 250 2.0.0 taken";
        assert_eq!(told.first().map(String::as_str), Some(expected));
    }
}

#[test]
fn what_the_dns_says_is_told_apart() {
    let zone = Zone::default()
        .with_hosts("null.example", &[(0, ".")])
        .with_hosts("loop.example", &[(10, "here.example"), (20, "other.example")])
        .with_exchange("down.example", MailExchange::Unavailable)
        .with_exchange("bare.example", MailExchange::NoRecord)
        .with_addresses("bare.example", found(&["198.51.100.1"]))
        .with_hosts("empty.example", &[(10, "nothing.example")]);
    let settings = one_remote(RemoteSettings { dns_retries: 2, ..remote(&[60, 60]) });
    let mut here = Here::new(1, zone, settings);
    let hop = Hop::new(&here.world, "198.51.100.1:25", &[]);
    here.start();
    hop.serve(&here.world.machine());
    let domains = ["null", "loop", "down", "bare", "empty", "none"];
    for (number, domain) in (1..).zip(domains) {
        here.send(envelope(number, "me@here.example", &[&format!("you@{domain}.example")]), here.to_remote(0), MAIL);
    }
    here.send(envelope(7, "me@here.example", &["you@[198.51.100.1]"]), here.to_remote(0), MAIL);
    here.world.run(Duration::from_secs(2));
    let attempts = |domain: &str| here.reports(&format!("you@{domain}.example"), "failed");
    assert_eq!(domains.map(attempts), [1, 1, 0, 0, 0, 0], "at once");
    assert_eq!(hop.taken.borrow().len(), 2, "an address, and a domain that is its own host");
    assert!(here.settle());
    assert_eq!(domains.map(|domain| here.reports(&format!("you@{domain}.example"), "failed")), [1, 1, 1, 0, 1, 1]);
    let told = here.told("bounced", &["to", "dsn", "text"]);
    for expected in [
        "<you@null.example> | 5.1.10 | 5.1.10 the domain takes no mail",
        "<you@loop.example> | 5.4.6 | 5.4.6 mail for the domain comes back to this host",
        "<you@down.example> | 5.4.3 | 4.4.3 the domain could not be looked up (given up after 3 attempts)",
        "<you@none.example> | 5.1.2 | 5.1.2 there is no such domain",
        "<you@empty.example> | 5.4.4 | 5.4.4 no host of the domain has an address",
    ] {
        assert!(told.contains(&expected.to_owned()), "{expected} is not in {told:#?}");
    }
    let deferred = here.outgoing().figures().deferred;
    assert!(deferred >= 6, "{deferred}: twice each for the three that may be there");
}

#[test]
fn gateways_are_tried_in_order_and_one_after_the_other() {
    let gateways = ["198.51.100.1", "198.51.100.2"].map(|host| Gateway { host: host.into(), port: 2525 });
    let settings = RemoteSettings { gateways: gateways.to_vec(), load_balancing: false, ..remote(&[60]) };
    let mut here = Here::new(1, Zone::silent(), one_remote(settings));
    let [first, second] =
        ["198.51.100.1:2525", "198.51.100.2:2525"].map(|at| Hop::new(&here.world, at, &["PIPELINING"]));
    first.host.set_manner(Manner::Silent);
    here.start();
    [&first, &second].into_iter().for_each(|hop: &Hop| hop.serve(&here.world.machine()));
    for number in 1..=30 {
        let to = format!("you@{number}.example");
        here.send(envelope(number, "me@here.example", &[&to]), here.to_remote(0), MAIL);
    }
    assert!(here.settle());
    assert_eq!(second.taken.borrow().len(), 30);
    assert!(here.world.now() < Duration::from_secs(200));
    assert!(second.connections.get() <= 3, "{} connections", second.connections.get());
}

#[test]
fn a_connection_is_used_again_and_not_for_ever() {
    for seed in seeds(5) {
        let mut here = Here::new(seed, zone(&[("a.example", "198.51.100.1")]), one_remote(remote(&[60])));
        let hop = Hop::new(&here.world, "198.51.100.1:25", &["PIPELINING"]);
        here.start();
        hop.serve(&here.world.machine());
        for number in 1..=250 {
            here.send(envelope(number, "me@here.example", &["you@a.example"]), here.to_remote(0), MAIL);
        }
        assert!(here.settle());
        assert_eq!(hop.taken.borrow().len(), 250);
        let connections = hop.connections.get();
        assert!((3..=25).contains(&connections), "seed {seed}: {connections}");
    }
}

#[test]
fn a_connection_that_the_host_has_closed_meanwhile_costs_no_attempt() {
    let mut here = Here::new(1, zone(&[("a.example", "198.51.100.1")]), one_remote(remote(&[3600])));
    let hop = Hop::new(&here.world, "198.51.100.1:25", &[]);
    // It closes whatever comes after the first mail.
    let count = std::rc::Rc::new(std::cell::Cell::new(0));
    let policy = count.clone();
    hop.set_policy(move |command| match command {
        _ if command.starts_with("MAIL") => {
            policy.set(policy.get() + 1);
            if policy.get() == 2 { Answer::Drop } else { Answer::Usual }
        }
        _ => Answer::Usual,
    });
    here.start();
    hop.serve(&here.world.machine());
    here.send(envelope(1, "me@here.example", &["you@a.example"]), here.to_remote(0), MAIL);
    here.world.run(Duration::from_secs(2));
    here.send(envelope(2, "me@here.example", &["you@a.example"]), here.to_remote(0), MAIL);
    assert!(here.settle());
    assert_eq!((hop.taken.borrow().len(), hop.connections.get(), here.outgoing().figures().deferred), (2, 2, 0));
    assert!(here.world.now() < Duration::from_secs(60));
}

#[test]
fn more_recipients_than_the_host_takes_go_in_several_transactions() {
    for (extensions, limit) in
        [(&["PIPELINING", "LIMITS RCPTMAX=7"][..], usize::MAX), (&["PIPELINING"][..], 5), (&[][..], 3)]
    {
        let mut here = Here::new(1, zone(&[("a.example", "198.51.100.1")]), one_remote(remote(&[3600])));
        let hop = Hop::new(&here.world, "198.51.100.1:25", extensions);
        let count = std::cell::Cell::new(0);
        hop.set_policy(move |command| {
            if command.starts_with("MAIL") {
                count.set(0);
            }
            if command.starts_with("RCPT") {
                count.set(count.get() + 1);
                if count.get() > limit {
                    return Answer::Say("452 too many recipients");
                }
            }
            Answer::Usual
        });
        here.start();
        hop.serve(&here.world.machine());
        let to: Vec<String> = (0..230).map(|number| format!("u{number}@a.example")).collect();
        let names: Vec<&str> = to.iter().map(String::as_str).collect();
        here.send(envelope(1, "me@here.example", &names), here.to_remote(0), MAIL);
        assert!(here.settle());
        let mut taken: Vec<String> = hop.taken.borrow().iter().map(|taken| taken.recipient.clone()).collect();
        taken.sort();
        let mut expected = to.clone();
        expected.sort();
        assert_eq!(taken, expected);
        assert_eq!(here.outgoing().figures().deferred, 0, "{extensions:?} {limit}");
    }
}

#[test]
fn content_arrives_as_it_is_by_either_command_with_its_header_changed() {
    let edits = Edits(vec![
        Edit::Replace { name: "Bcc".into(), value: None },
        Edit::Prepend { name: "X-Dots".into(), value: "yes".into() },
    ]);
    let plain = format!("Bcc: a@b\r\nSubject: m\r\n\r\n.\r\n..dots\r\n{}", "line\r\n".repeat(60_000));
    let stuffed = plain.replace("\r\n.", "\r\n..");
    let expected = |edited: bool| match edited {
        true => plain.replace("Bcc: a@b\r\n", "X-Dots: yes\r\n"),
        false => plain.clone(),
    };
    for extensions in [&["PIPELINING", "CHUNKING"][..], &[][..]] {
        for edited in [true, false] {
            for is_stuffed in [true, false] {
                let mut here = Here::new(1, zone(&[("a.example", "198.51.100.1")]), one_remote(remote(&[3600])));
                let hop = Hop::new(&here.world, "198.51.100.1:25", extensions);
                here.start();
                hop.serve(&here.world.machine());
                let edits = if edited { edits.clone() } else { Edits::default() };
                let journey = Journey { route: Some(here.to_remote(0)), edits, ..Journey::default() };
                let content = if is_stuffed { &stuffed } else { &plain };
                here.send_with(
                    envelope(1, "me@here.example", &["you@a.example"]),
                    journey,
                    content.as_bytes(),
                    is_stuffed,
                );
                assert!(here.settle());
                let taken = hop.taken_for("you@a.example");
                assert_eq!(taken.len(), 1);
                assert!(
                    taken[0].content == expected(edited).as_bytes(),
                    "{extensions:?}, edited {edited}, stuffed {is_stuffed}: {} octets, not {}",
                    taken[0].content.len(),
                    expected(edited).len()
                );
            }
        }
    }
}

#[test]
fn copies_that_name_their_recipient_go_one_by_one() {
    let mut here = Here::new(1, zone(&[("a.example", "198.51.100.1")]), one_remote(remote(&[3600])));
    let hop = Hop::new(&here.world, "198.51.100.1:25", &["PIPELINING"]);
    here.start();
    hop.serve(&here.world.machine());
    let edits = Edits(vec![Edit::DeliveredTo]);
    let journey = Journey { route: Some(here.to_remote(0)), edits, ..Journey::default() };
    here.send_with(envelope(1, "me@here.example", &["one@a.example", "two@a.example"]), journey, MAIL, false);
    assert!(here.settle());
    for to in ["one@a.example", "two@a.example"] {
        let taken = hop.taken_for(to);
        assert_eq!(taken.len(), 1);
        assert!(taken[0].content.starts_with(format!("Delivered-To: {to}\r\nSubject").as_bytes()));
    }
}

#[test]
fn what_a_host_cannot_take_is_converted_or_given_back() {
    let eight = "Subject: m\r\n\r\nJürgen\r\n".as_bytes();
    let mut here = Here::new(1, zone(&[("a.example", "198.51.100.1")]), one_remote(remote(&[3600])));
    let hop = Hop::new(&here.world, "198.51.100.1:25", &["PIPELINING", "SIZE 1000"]);
    here.start();
    hop.serve(&here.world.machine());
    let to = |name: &str| format!("{name}@a.example");
    let send = |number, name: &str, content: &[u8], change: &dyn Fn(&mut ringpost::mail::Envelope)| {
        let mut envelope = envelope(number, "me@here.example", &[&to(name)]);
        change(&mut envelope);
        here.send(envelope, here.to_remote(0), content);
    };
    send(1, "eight", eight, &|envelope| envelope.body = BodyType::EightBitMime);
    send(2, "binary", b"Subject: m\r\n\r\n\x00\x01\n", &|envelope| envelope.body = BodyType::BinaryMime);
    send(3, "header", "Subject: ü\r\n\r\nhello\r\n".as_bytes(), &|envelope| {
        envelope.body = BodyType::EightBitMime;
        envelope.smtputf8 = true;
    });
    send(4, "needless", MAIL, &|envelope| envelope.smtputf8 = true);
    send(5, "large", &[MAIL, "x\r\n".repeat(500).as_bytes()].concat(), &|_| {});
    send(6, "broken", "Content-Transfer-Encoding: base64\r\n\r\nü\r\n".as_bytes(), &|envelope| {
        envelope.body = BodyType::EightBitMime;
    });
    send(7, "strict", MAIL, &|envelope| envelope.require_tls = true);
    assert!(here.settle());
    let content = |name: &str| {
        let taken = hop.taken_for(&to(name));
        taken.first().map(|taken| (String::from_utf8_lossy(&taken.content).into_owned(), taken.parameters.clone()))
    };
    let (text, parameters) = content("eight").expect("it was converted");
    assert!(
        text.contains("J=C3=BCrgen") && text.contains("quoted-printable") && !parameters.contains("BODY"),
        "{text}"
    );
    assert!(
        content("binary").is_some_and(|(text, _)| text.is_ascii() && text.contains("base64")),
        "{:?}",
        content("binary")
    );
    assert!(content("needless").is_some_and(|(_, parameters)| !parameters.contains("SMTPUTF8")));
    for (name, why) in [
        ("header", "5.6.7 the host does not take internationalized mail"),
        ("large", "5.3.4 the message is larger than the host takes"),
        ("broken", "5.6.3 the host takes no octets above 127, and the message cannot be converted"),
        ("strict", "5.7.10 the host does not offer TLS"),
    ] {
        assert!(content(name).is_none(), "{name}");
        assert_eq!(here.reports(&to(name), "failed"), 1, "{name}");
        let back = here.back.borrow();
        assert!(back.iter().any(|back| back.content.contains(why)), "{name}: {why}");
    }
}

#[test]
fn lmtp_answers_for_each_recipient() {
    for seed in seeds(10) {
        let place = LmtpPlace::Unix("/run/lmtp".into());
        let lmtp = LmtpSettings {
            place,
            timeout: Duration::from_secs(180),
            connect_timeout: Duration::from_secs(60),
            schedule: schedule(&[60, 60]),
        };
        let mut here = Here::new(seed, Zone::silent(), settings(Vec::new(), vec![lmtp]));
        let hop = Hop::new(&here.world, "/run/lmtp", &["PIPELINING"]);
        let count = std::cell::Cell::new(0);
        hop.set_policy(move |command| match command {
            ". full@a.example" if count.replace(count.get() + 1) == 0 => Answer::Say("452 4.2.2 the mailbox is full"),
            ". never@b.example" => Answer::Say("550 5.7.1 not here"),
            "RCPT TO:<nobody@a.example>" => Answer::Say("550 5.1.1 no such user"),
            _ => Answer::Usual,
        });
        here.start();
        hop.serve(&here.world.machine());
        let to = ["you@a.example", "full@a.example", "never@b.example", "nobody@a.example", "me@b.example"];
        here.send(envelope(1, "me@here.example", &to), here.to_lmtp(0), MAIL);
        here.world.run(Duration::from_secs(5));
        assert_eq!(here.why(1).keys().collect::<Vec<_>>(), ["full@a.example"]);
        assert!(here.settle());
        let taken = to.map(|to| hop.taken_for(to).len());
        assert_eq!(taken, [1, 1, 0, 0, 1], "seed {seed}");
        assert_eq!(to.map(|to| here.reports(to, "failed")), [0, 0, 1, 1, 0]);
        let told = here.told("sent", &["to", "relay"]);
        assert_eq!(told.first().map(String::as_str), Some("<you@a.example> | localhost[/run/lmtp]"));
    }
}
