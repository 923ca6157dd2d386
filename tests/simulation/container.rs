//! Mail through a container that makes children, reports and copies in repositories, while power fails at every boundary.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use ringpost::io::sim::{Edge, World};
use ringpost::mail::Mailbox;
use ringpost::mailet::compose::report::Action;
use ringpost::mailet::edit::Edit;
use ringpost::mailet::mailets::bounce::{Attachment, Bounce, MESSAGE};
use ringpost::mailet::mailets::{Mailet, body, deliver, header, notify, repository};
use ringpost::mailet::matchers::{Matcher, recipient, remote};
use ringpost::mailet::pipeline::{Pair, Pipeline, Processor};
use ringpost::mta::spooler::Way;

use super::client::SMTP;
use super::host::Host;
use super::ledger::{Fate, mailbox};

/// What left the host for each message, by its number: whoever took it has it, whatever happens here.
pub type Sent = Rc<RefCell<BTreeMap<usize, usize>>>;

fn user(number: usize) -> Mailbox {
    Mailbox::parse(&format!("u{number}@example.com")).expect("a mailbox")
}

fn pair(matcher: Matcher, mailet: Mailet) -> Pair {
    let (on_match_exception, on_mailet_exception) = Default::default();
    Pair { matcher, negated: false, mailet, on_match_exception, on_mailet_exception }
}

fn only(number: usize) -> Matcher {
    Matcher::Recipient(recipient::Condition::Is(vec![user(number)]))
}

fn keep(url: &str, pass_through: bool) -> Mailet {
    Mailet::Repository(repository::Keep { url: url.into(), by_sender_domain: false, pass_through })
}

/// A copy of everything is kept. `u0` is bounced, `u1` goes out with a footer, `u2` into the mailbox with one more field, `u3`
/// into a repository. Reports are kept.
fn pipeline() -> Pipeline {
    let bounce = Bounce {
        sender: notify::Author::Postmaster,
        prefix: None,
        attachment: Attachment::Header,
        message: MESSAGE.into(),
        action: Action::Failed,
        default_status: None,
        pass_through: false,
    };
    let added = Edit::Add { name: "X-Seen".into(), value: "yes".into() };
    let pairs = vec![
        pair(Matcher::Remote(remote::Condition::SentByMailet), keep("file://reports/", false)),
        pair(Matcher::All, keep("file://copies/", true)),
        pair(only(0), Mailet::Bounce(Box::new(bounce))),
        pair(only(1), Mailet::Body(body::Change::Footer("The end.".into()))),
        pair(only(1), Mailet::Deliver(deliver::Deliver::Remote(0))),
        pair(only(3), keep("file://kept/", false)),
        pair(Matcher::All, Mailet::Header(header::Change { name: "SetMimeHeader", edits: vec![added] })),
        pair(Matcher::All, Mailet::Deliver(deliver::Deliver::Local)),
    ];
    let processor = |state: &str, pairs| Processor { state: state.into(), pairs };
    Pipeline {
        processors: vec![
            processor("root", pairs),
            processor("error", vec![pair(Matcher::All, keep("file://error/", false))]),
        ],
        root: 0,
        error: 1,
        error_repository: "file://error/".into(),
        postmaster: user(0),
        host: "host.example".into(),
    }
}

fn host() -> Host {
    let mut host = Host::new(1);
    host.way = Way::Pipeline(pipeline());
    host
}

/// Messages for one, for all, and one of several records.
fn scenario(host: &mut Host) {
    if !host.start() {
        return;
    }
    let mut all = host.plain_mail(0, 800);
    all.recipients = vec![0, 1, 2, 3];
    all.content = b"Subject: to all\r\n\r\nText\r\n".to_vec();
    let mut two = host.plain_mail(1, 2_000);
    two.recipients = vec![1, 2];
    two.content = b"Subject: to two\r\n\r\n.Text\r\n".to_vec();
    let mut large = host.plain_mail(2, 300_000);
    large.recipients = vec![2, 3];
    host.send(SMTP, vec![all, two]);
    host.send(SMTP, vec![large]);
    host.settle();
}

/// How often each message is in a repository, found by its reverse-path; a report by whom it is for.
fn kept(world: &World, repository: &str, number: usize) -> usize {
    let directory = format!("/kept/{repository}");
    let names = world.disk().list(&directory).unwrap_or_default();
    let wanted = format!("m{number}@client.example");
    let labels = names.iter().filter(|name| name.ends_with(".json"));
    let read = labels.map(|name| world.disk().read(format!("{directory}/{name}")).expect("it is listed"));
    read.filter(|label| String::from_utf8_lossy(label).contains(&wanted)).count()
}

/// How often each message is in that user's mailbox, whole and with its further field.
fn delivered(world: &World, user: usize, number: usize) -> usize {
    let new = mailbox(user);
    let names = world.disk().list(&new).unwrap_or_default();
    let read = names.iter().map(|name| world.disk().read(format!("{new}/{name}")).expect("it is listed"));
    let wanted = format!("Return-Path: <m{number}@client.example>");
    read.filter(|file| file.starts_with(wanted.as_bytes()))
        .inspect(|file| {
            assert!(String::from_utf8_lossy(file).contains("\nX-Seen: yes\n"), "not as the container made it")
        })
        .count()
}

/// Each recipient has come to its end: once, or after a crash more often, and never less.
fn check(host: &Host, most: usize) {
    for number in 1..=3 {
        let (begun, accepted, recipients) = host
            .ledger
            .try_with(number, |entry| {
                (entry.fates.len(), entry.fates.first() == Some(&Fate::Accepted), entry.mail.recipients.clone())
            })
            .unwrap_or_default();
        if begun == 0 {
            continue;
        }
        let sent = host.sent_out.borrow().get(&number).copied().unwrap_or(0);
        let mut found = vec![("copies", kept(&host.world, "copies", number))];
        for user in recipients {
            found.push(match user {
                0 => ("reports", kept(&host.world, "reports", number)),
                1 => ("sent", sent),
                2 => ("delivered", delivered(&host.world, 2, number)),
                _ => ("kept", kept(&host.world, "kept", number)),
            });
        }
        for (what, count) in found {
            let least = usize::from(accepted);
            // What has a name that follows from message and recipients replaces itself.
            let most = if what == "kept" { 1 } else { most };
            assert!(
                (least..=most).contains(&count),
                "seed {}: message {number}: {what} {count} times",
                host.world.seed()
            );
        }
    }
    assert_eq!(host.world.disk().list("/kept/error").unwrap_or_default(), Vec::<String>::new());
}

#[test]
fn a_crash_at_every_boundary_of_a_container_loses_nothing() {
    let mut whole = host();
    scenario(&mut whole);
    let boundaries = whole.world.faults().boundaries();
    check(&whole, 1);
    assert_eq!(whole.ledger.count(Fate::Accepted), 8);
    assert!(boundaries > 60, "{boundaries}");
    for n in 1..=boundaries {
        for edge in [Edge::Before, Edge::After] {
            let mut host = host();
            host.world.faults().crash_at(n, edge);
            scenario(&mut host);
            host.world.note(format!("crashed {edge:?} boundary {n} of {boundaries}"));
            host.crash();
            host.world.faults().clear();
            assert!(host.start(), "nothing stops it");
            assert!(host.settle(), "mail stays in the spool after a crash {edge:?} boundary {n}");
            assert_eq!(host.quarantined(), 0, "a crash is no damage");
            check(&host, 2);
        }
    }
}
