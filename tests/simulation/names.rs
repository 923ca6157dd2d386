//! Matchers that ask the DNS, over the whole core: what it says decides where mail goes, and where it says nothing mail waits.

use std::time::Duration;

use ringpost::delivery::names::Zone;
use ringpost::mail::Mailbox;
use ringpost::mailet::mailets::{Mailet, deliver, repository};
use ringpost::mailet::matchers::{Matcher, domain};
use ringpost::mailet::pipeline::{Pair, Pipeline, Processor};
use ringpost::mta::spooler::Way;

use super::client::SMTP;
use super::host::Host;
use super::ledger::mailbox;

/// Mail of clients in the list is kept in one repository, mail of senders without a domain in another, the rest is delivered.
fn pipeline() -> Pipeline {
    let keep = |url: &str| {
        Mailet::Repository(repository::Keep { url: url.into(), by_sender_domain: false, pass_through: false })
    };
    let pair = |matcher, mailet| {
        let (on_match_exception, on_mailet_exception) = Default::default();
        Pair { matcher, negated: false, mailet, on_match_exception, on_mailet_exception }
    };
    let pairs = vec![
        pair(Matcher::Domain(domain::Condition::Listed("bl.example".into())), keep("file://listed/")),
        pair(Matcher::Domain(domain::Condition::SenderInFakeDomain), keep("file://fake/")),
        pair(Matcher::All, Mailet::Deliver(deliver::Deliver::Local)),
    ];
    Pipeline {
        processors: vec![
            Processor { state: "root".into(), pairs },
            Processor { state: "error".into(), pairs: vec![pair(Matcher::All, keep("file://error/"))] },
        ],
        root: 0,
        error: 1,
        error_repository: "file://error/".into(),
        postmaster: Mailbox::parse("u0@example.com").expect("a mailbox"),
        host: "host.example".into(),
    }
}

/// A host on which one message has come in from 192.0.2.1 and `client.example`, and an hour has passed.
fn after_an_hour(zone: Zone) -> Host {
    let mut host = Host::new(1);
    (host.way, host.zone) = (Way::Pipeline(pipeline()), zone);
    assert!(host.start(), "nothing stops it");
    let mail = host.plain_mail(0, 500);
    host.send(SMTP, vec![mail]);
    host.world.run(Duration::from_secs(3600));
    host
}

/// Mails in a repository.
fn kept(host: &Host, repository: &str) -> usize {
    let names = host.world.disk().list(format!("/kept/{repository}")).unwrap_or_default();
    names.iter().filter(|name| name.ends_with(".json")).count()
}

/// In the repositories of the listed, of those without a domain, and of errors; in the mailbox; and in the spool.
fn places(host: &Host) -> [usize; 5] {
    let delivered = host.world.disk().list(mailbox(0)).unwrap_or_default().len();
    [kept(host, "listed"), kept(host, "fake"), kept(host, "error"), delivered, host.core().spool.len()]
}

fn known() -> Zone {
    Zone::default().with_hosts("client.example", &[(10, "mx.client.example")])
}

#[test]
fn what_the_dns_says_decides() {
    assert_eq!(places(&after_an_hour(known())), [0, 0, 0, 1, 0]);
    let listed = known().with_listed("bl.example", "192.0.2.1".parse().expect("an address"));
    assert_eq!(places(&after_an_hour(listed)), [1, 0, 0, 0, 0]);
    assert_eq!(places(&after_an_hour(Zone::default())), [0, 1, 0, 0, 0], "there is no such domain");
    let null = Zone::default().with_hosts("client.example", &[(0, ".")]);
    assert_eq!(places(&after_an_hour(null)), [0, 1, 0, 0, 0], "it takes no mail");
}

#[test]
fn where_it_says_nothing_mail_waits_and_is_never_given_up_for_that() {
    let mut host = after_an_hour(Zone::silent());
    assert_eq!(places(&host), [0, 0, 0, 0, 1]);
    host.world.run(Duration::from_secs(24 * 3600));
    assert_eq!(places(&host), [0, 0, 0, 0, 1], "after a day of attempts");
    host.kill();
    host.zone = known();
    assert!(host.start(), "nothing stops it");
    host.world.run(Duration::from_secs(3600));
    assert_eq!(places(&host), [0, 0, 0, 1, 0]);
}
