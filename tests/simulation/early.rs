//! Mail comes in while what the last run left is still being read.

use std::time::Duration;

use ringpost::io::sim::{Fault, Operation, seeds};

use super::client::{LMTP, SMTP};
use super::explore::Explorer;
use super::host::{Host, SPOOL, spool_settings};
use super::ledger::{Fate, Strictness};

/// A host that was killed while it held mail in several segments, some of it in chains over two of them, and whose disk takes
/// its time to read from now on.
fn killed_with_much_to_read(seed: u64) -> Host {
    let mut host = Host::new(seed);
    host.spool = spool_settings(320 * 1024);
    host.hold = true;
    assert!(host.start());
    let sizes = [100_000, 280_000, 1_000, 120_000, 300_000, 90_000, 262_200];
    let mails = sizes.iter().enumerate().map(|(user, size)| host.plain_mail(user % 4, *size)).collect();
    host.send(SMTP, mails);
    assert!(host.settle());
    assert_eq!(host.ledger.count(Fate::Accepted), sizes.len());
    host.kill();
    host.hold = false;
    host.world.faults().add(Fault::delay(Operation::Read, Duration::from_secs(2)).below(SPOOL));
    host
}

#[test]
fn mail_is_taken_and_delivered_before_all_is_read_and_what_is_read_goes_on() {
    for seed in seeds(3) {
        let mut host = killed_with_much_to_read(seed);
        assert!(host.start());
        let unread = host.core().spool.figures().unread;
        assert!(unread >= 3 && !host.has_read(), "seed {seed}: {unread} segments are left to read");
        let (before, known) = (host.ledger.count(Fate::Accepted), host.core().spool.len());
        let (first, second) = (host.plain_mail(3, 5_000), host.plain_mail(2, 5_000));
        host.send(SMTP, vec![first]);
        host.send(LMTP, vec![second]);
        assert!(host.clients_leave());
        assert_eq!(host.ledger.count(Fate::Accepted), before + 2, "seed {seed}");
        assert!(host.core().spool.figures().unread >= 2, "seed {seed}: they had to wait");
        // What was read first is delivered before the rest is read.
        host.world.run_until(|| host.core().spooler.delivered() > 2 || host.has_read());
        assert!(!host.has_read() && known <= 7, "seed {seed}: nothing goes on before all is read");
        assert!(host.settle());
        assert_eq!((host.found(), host.quarantined()), (7, 0), "seed {seed}");
        assert!(host.told().contains("Recovering"), "seed {seed}: {}", host.told());
        host.ledger.check(&host.world, Strictness::Exact);
        assert_eq!(host.core().spooler.delivered(), 9, "seed {seed}: something was delivered twice");
        // What is read is used again.
        host.world.run(Duration::from_secs(10));
        assert!(host.core().spool.figures().segments <= 2, "seed {seed}: {:?}", host.core().spool.figures());
    }
}

#[test]
fn a_clock_that_was_set_back_gives_no_id_twice() {
    for seed in seeds(2) {
        let mut host = killed_with_much_to_read(seed);
        host.world.set_wall_clock(1_000_000_000_000_000);
        assert!(host.start() && !host.has_read());
        let mails: Vec<_> = (0..10).map(|_| host.plain_mail(1, 2_000)).collect();
        host.send(SMTP, mails);
        assert!(host.settle());
        host.ledger.check(&host.world, Strictness::Exact);
        assert_eq!(host.core().spooler.delivered(), 17, "seed {seed}");
    }
}

#[test]
fn a_crash_at_any_moment_while_it_is_read_loses_nothing() {
    for seed in seeds(10) {
        let mut host = killed_with_much_to_read(seed);
        for _ in 0..3 {
            assert!(host.start(), "nothing stops it");
            host.send_any(2, 2, 100_000);
            let moment = host.random.below(12_000_000);
            host.world.run(Duration::from_micros(moment));
            host.crash_or_kill();
        }
        host.recover_and_check();
    }
}

#[test]
fn a_crash_at_every_boundary_while_it_is_read_loses_nothing() {
    let mut host = killed_with_much_to_read(1);
    assert!(host.start());
    host.send_any(2, 2, 20_000);
    let explorer = Explorer::new(1, 2, 4);
    host.world.run_until(|| {
        explorer.borrow_mut().look(&host);
        host.is_at_rest()
    });
    let tally = explorer.borrow_mut().finish();
    assert!(tally.crashes > 60, "{tally:?}");
    host.ledger.check(&host.world, Strictness::Exact);
}
