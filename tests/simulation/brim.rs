//! A spool that is full to the brim of mail that lives.

use std::time::Duration;

use ringpost::io::sim::{Fault, Operation, errno, seeds};
use ringpost::mail::MessageId;

use super::client::SMTP;
use super::host::{Host, SPOOL, spool_settings};
use super::ledger::{Fate, Strictness};

const HOUR: Duration = Duration::from_secs(60 * 60);

/// A host whose mailboxes fail, filled up to the last segment by clients who were all past MAIL before any content came: only
/// the log itself can keep them from what outcomes and moves need. `octets` are a message's.
fn full(seed: u64, octets: usize) -> Host {
    let mut host = Host::new(seed);
    host.spool = spool_settings(128 * 1024);
    host.spool.max_segments = 7;
    assert!(host.start());
    host.world.run(Duration::from_secs(1));
    host.world.faults().add(Fault::delay(Operation::Open, Duration::from_secs(10)).below("/mail").nth(1));
    host.world.faults().add(Fault::fail(Operation::Open, errno::ENOSPC).below("/mail"));
    for _ in 0..1_200_000 / octets {
        let mail = host.plain_mail(0, octets);
        host.send(SMTP, vec![mail]);
    }
    assert!(host.clients_leave());
    let replies = host.ledger.replies();
    assert!(
        replies.iter().any(|(_, reply)| reply.starts_with("452 4.3.1 ")),
        "seed {seed}: it is not full: {replies:?}"
    );
    host
}

/// Lets so much time go by, and expects that in none of its minutes more is moved than what was noted makes worth it, and all
/// that lives once.
fn pass(host: &mut Host, time: Duration) {
    for minute in 0..time.as_secs() / 60 {
        let (moved, deferred) = (host.core().spool.moved(), host.core().spooler.deferred());
        host.world.run(Duration::from_secs(60));
        let moved = host.core().spool.moved() - moved;
        let worth = 8 * (host.core().spooler.deferred() - deferred) + 2 * host.core().spool.len() as u64;
        assert!(moved <= worth, "minute {minute}: {moved} messages were moved, and {worth} are many");
    }
}

fn is_refused(host: &mut Host) {
    let mail = host.plain_mail(1, 12_000);
    let number = mail.number;
    host.send(SMTP, vec![mail]);
    assert!(host.clients_leave());
    host.ledger.with(number, |entry| assert!(entry.reply.starts_with("452 4.3.1 "), "{}", entry.reply));
}

#[test]
fn outcomes_find_room_for_days_and_when_mail_leaves_there_is_room_for_more() {
    for (seed, octets) in seeds(2).zip([12_000, 3_000]) {
        let mut host = full(seed, octets);
        let accepted = host.ledger.count(Fate::Accepted);
        assert!(host.core().spool.len() == accepted, "seed {seed}");
        // Each attempt is noted: in a day these notes alone are many times what the spool can hold.
        for day in 0..2 {
            pass(&mut host, 12 * HOUR);
            let events = host.events();
            let deferred = events.iter().filter(|event| *event == "deferred").count();
            assert!(deferred > 1_000, "seed {seed}: tried {deferred} times in half day {day}");
            assert!(!events.contains(&"outcome-not-noted".to_owned()), "seed {seed}, day {day}");
            is_refused(&mut host);
        }
        let written = host.world.faults().count(Operation::Write);
        let (moved, deferred) = (host.core().spool.moved(), host.core().spooler.deferred());
        // One outcome takes a block; a copy takes three or one. So many are won for so many that are moved.
        assert!(moved < 8 * deferred, "seed {seed}: {moved} copies for {deferred} outcomes, {written} writes");
        host.crash_or_kill();
        host.world.faults().clear();
        host.world.faults().add(Fault::fail(Operation::Open, errno::ENOSPC).below("/mail"));
        assert!(host.start());
        assert_eq!((host.found(), host.quarantined()), (accepted, 0), "seed {seed}");
        pass(&mut host, HOUR);
        assert!(!host.events().contains(&"outcome-not-noted".to_owned()), "seed {seed}");
        host.world.faults().clear();
        assert!(host.settle(), "seed {seed}: mail stays undelivered");
        let mails: Vec<_> = (0..20).map(|_| host.plain_mail(1, 12_000)).collect();
        host.send(SMTP, mails);
        assert!(host.settle());
        assert_eq!(host.ledger.count(Fate::Accepted), accepted + 20, "seed {seed}: room is not found again");
        host.ledger.check(&host.world, Strictness::Safe);
    }
}

#[test]
fn what_lives_is_not_moved_in_circles() {
    for (seed, octets) in seeds(2).zip([12_000, 3_000]) {
        let mut host = full(seed, octets);
        // The operator holds all of it, so that nothing more is noted.
        pass(&mut host, HOUR);
        let spool = host.core().spool.clone();
        let held = host.world.block_on(async {
            for id in spool.ids(MessageId(0), usize::MAX) {
                spool.hold(id, true).await.expect("there is room for that, too");
            }
        });
        assert!(held.is_some());
        pass(&mut host, HOUR);
        let (moved, writes) = (host.core().spool.moved(), host.world.faults().count(Operation::Write));
        pass(&mut host, 10 * HOUR);
        assert_eq!(host.core().spool.moved(), moved, "seed {seed}: moved again, for nothing");
        assert!(host.world.faults().count(Operation::Write) <= writes + 1, "seed {seed}: written for nothing");
        let usage = host.core().spool.figures();
        assert!(usage.free >= 2 && usage.full, "seed {seed}: the reserve is not whole: {usage:?}");
        host.crash();
        host.world.faults().clear();
        assert!(host.start() && host.found() > 0);
        let spool = host.core().spool.clone();
        host.world.block_on(async {
            for id in spool.ids(MessageId(0), usize::MAX) {
                spool.hold(id, false).await.expect("there is room for that, too");
            }
        });
        assert!(host.settle(), "seed {seed}: mail stays undelivered");
        host.ledger.check(&host.world, Strictness::Safe);
    }
}

#[test]
fn a_crash_at_the_brim_loses_nothing_while_all_is_moved() {
    for seed in seeds(1) {
        let mut host = full(seed, 12_000);
        let explorer = super::explore::Explorer::new(seed, 2, 6);
        let until = host.world.now() + Duration::from_secs(1800);
        host.world.run_until(|| {
            explorer.borrow_mut().look(&host);
            host.world.now() >= until || host.core().spool.moved() > 60
        });
        let tally = explorer.borrow_mut().finish();
        assert!(host.core().spool.moved() > 30 && tally.crashes > 50, "{tally:?}");
        assert!(host.world.disk().list(SPOOL).is_ok_and(|names| names.len() <= 9));
        host.crash();
        host.recover_and_check();
    }
}
