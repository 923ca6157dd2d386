//! The power fails, or the process is killed, anywhere.

use std::time::Duration;

use ringpost::io::sim::{Edge, seeds};

use super::client::{LMTP, Manner, SMTP};
use super::host::Host;
use super::ledger::{Fate, Strictness};

#[test]
fn without_a_crash_everything_arrives_once() {
    for seed in seeds(15) {
        let mut host = Host::started(seed);
        host.send_any(4, 3, 700_000);
        assert!(host.settle(), "seed {seed}: mail stays undelivered");
        assert_eq!((host.ledger.count(Fate::Unknown), host.ledger.count(Fate::Refused)), (0, 0), "seed {seed}");
        host.ledger.check(&host.world, Strictness::Exact);
    }
}

#[test]
fn a_seed_gives_the_same_run_again() {
    let run = |seed| {
        let mut host = Host::started(seed);
        host.send_any(3, 2, 300_000);
        host.world.run(Duration::from_millis(20));
        host.crash();
        host.recover_and_check();
        host.world.fingerprint()
    };
    assert_eq!(run(3), run(3));
    assert_ne!(run(3), run(4));
}

#[test]
fn a_crash_at_any_moment_loses_nothing_that_was_accepted() {
    let (mut tried, mut accepted) = (0, 0);
    for seed in seeds(50) {
        tried += 1;
        let mut host = Host::started(seed);
        host.send_any(4, 3, 700_000);
        let moment = host.random.below(60_000);
        host.world.run(Duration::from_micros(moment));
        host.crash_or_kill();
        accepted += host.ledger.count(Fate::Accepted);
        host.recover_and_check();
    }
    assert!(tried < 50 || accepted > 0, "no crash came after a 250");
}

#[test]
fn mail_goes_on_after_every_crash() {
    for seed in seeds(12) {
        let mut host = Host::started(seed);
        for _ in 0..4 {
            host.send_any(3, 3, 300_000);
            let moment = host.random.below(60_000);
            host.world.run(Duration::from_micros(moment));
            host.crash_or_kill();
            assert!(host.start(), "nothing stops it");
        }
        assert!(host.settle(), "seed {seed}: mail stays undelivered");
        host.ledger.check(&host.world, Strictness::Safe);
    }
}

#[test]
fn crashes_while_recovering_lose_nothing() {
    for seed in seeds(25) {
        let mut host = Host::started(seed);
        host.send_any(3, 3, 300_000);
        let moment = host.random.between(5_000, 60_000);
        host.world.run(Duration::from_micros(moment));
        host.crash_or_kill();
        for _ in 0..host.random.between(3, 5) {
            let (at, edge) = (host.random.between(1, 60), any_edge(&mut host));
            host.world.faults().crash_at(at, edge);
            if host.start() {
                host.settle();
            }
            host.crash_or_kill();
        }
        host.recover_and_check();
    }
}

pub fn any_edge(host: &mut Host) -> Edge {
    if host.random.one_in(2) { Edge::Before } else { Edge::After }
}

/// A little of everything: a message for two, one of several records, and one over LMTP.
fn small_scenario(host: &mut Host) {
    if !host.start() {
        return;
    }
    let mut first = host.plain_mail(0, 500);
    first.recipients = vec![0, 1];
    let large = host.plain_mail(1, 300_000);
    let last = host.plain_mail(2, 2_000);
    host.send(SMTP, vec![first]);
    host.send(Manner { pipelining: true, ..SMTP }, vec![large]);
    host.send(LMTP, vec![last]);
    host.settle();
}

#[test]
fn a_crash_at_every_boundary_of_the_disk_loses_nothing() {
    let mut host = Host::new(1);
    small_scenario(&mut host);
    let boundaries = host.world.faults().boundaries();
    host.ledger.check(&host.world, Strictness::Exact);
    assert!(boundaries > 30, "{boundaries}");
    for n in 1..=boundaries {
        for edge in [Edge::Before, Edge::After] {
            let mut host = Host::new(1);
            host.world.faults().crash_at(n, edge);
            small_scenario(&mut host);
            host.world.note(format!("crashed {edge:?} boundary {n} of {boundaries}"));
            host.crash();
            host.recover_and_check();
        }
    }
}

/// A host whose process was killed while it held some mail.
fn killed_while_holding(seed: u64) -> Host {
    let mut host = Host::new(seed);
    host.hold = true;
    small_scenario(&mut host);
    assert_eq!(host.ledger.count(Fate::Accepted), 4);
    host.kill();
    host.hold = false;
    host
}

#[test]
fn a_crash_at_every_boundary_of_recovery_and_delivery_loses_nothing() {
    let mut host = killed_while_holding(2);
    let before = host.world.faults().boundaries();
    host.recover_and_check();
    let boundaries = host.world.faults().boundaries() - before;
    for n in 1..=boundaries {
        for edge in [Edge::Before, Edge::After] {
            let mut host = killed_while_holding(2);
            host.world.faults().crash_at(n, edge);
            if host.start() {
                host.settle();
            }
            host.world.note(format!("crashed {edge:?} boundary {n} of {boundaries}"));
            host.crash();
            host.recover_and_check();
        }
    }
}

#[test]
fn mail_that_is_held_is_delivered_when_it_is_not_held_any_more() {
    for seed in seeds(10) {
        let mut host = Host::new(seed);
        host.hold = true;
        assert!(host.start());
        host.send_any(3, 2, 300_000);
        assert!(host.settle());
        assert!(host.world.disk().list("/mail").expect("it is there").is_empty(), "seed {seed}: not held");
        let held = host.core().spool.len();
        host.crash_or_kill();
        host.hold = false;
        assert!(host.start());
        assert_eq!(host.found(), held, "seed {seed}");
        assert!(host.settle());
        host.ledger.check(&host.world, Strictness::Exact);
    }
}
