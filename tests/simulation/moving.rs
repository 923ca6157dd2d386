//! Power fails while mail is moved on.

use std::time::Duration;

use ringpost::io::sim::{Fault, Operation, errno, seeds};

use super::client::SMTP;
use super::explore::Explorer;
use super::host::{Host, SPOOL, spool_settings};

#[test]
fn a_crash_while_mail_is_moved_on_loses_nothing() {
    let mut moved = 0;
    for seed in seeds(12) {
        let mut host = Host::new(seed);
        host.spool = spool_settings(320 * 1024);
        assert!(host.start());
        for _ in 0..6 {
            // What comes for one of the users stays for long; some of it is a chain of records.
            host.world.faults().add(Fault::fail(Operation::Open, errno::ENOSPC).below("/mail/example.com/u1"));
            let mut mails = Vec::new();
            for number in 0..8 {
                let size = if number == 0 { 300_000 } else { host.random.index(40_000) };
                mails.push(host.plain_mail(usize::from(number < 2), size));
            }
            host.send(SMTP, mails);
            host.clients_leave();
            let moment = host.random.below(4_000_000);
            host.world.run(Duration::from_micros(moment));
            moved += host.core().spool.moved();
            host.crash_or_kill();
            assert!(host.start(), "nothing stops it");
            assert_eq!(host.quarantined(), 0, "seed {seed}: a crash is no damage");
        }
        host.crash_or_kill();
        host.recover_and_check();
    }
    assert!(moved > 20, "only {moved} messages were moved");
}

/// A host that was killed while a chain of two records and a small message waited for one user; from now on segments have
/// `segment` octets.
fn with_stragglers(seed: u64, segment: u64) -> Host {
    let mut host = Host::new(seed);
    host.spool = spool_settings(320 * 1024);
    assert!(host.start());
    host.world.faults().add(Fault::fail(Operation::Open, errno::ENOSPC).below("/mail/example.com/u1"));
    let mails = vec![host.plain_mail(1, 262_300), host.plain_mail(1, 3_000)];
    host.send(SMTP, mails);
    assert!(host.clients_leave());
    host.kill();
    host.spool.segment_octets = segment;
    host
}

/// Other mail comes and goes until what waits was moved on, and a little longer; the last round, in which that happens, is looked
/// at after every step. None where it does not happen.
fn move_them(host: &mut Host, look: &mut dyn FnMut(&Host)) -> Option<()> {
    if !host.start() {
        return None;
    }
    // A disk that takes its time for data, but not for names.
    host.world.faults().add(Fault::delay(Operation::Sync, Duration::from_millis(20)).below(SPOOL));
    for _ in 0..20 {
        let mails = (0..2).map(|_| host.plain_mail(0, 100_000)).collect();
        host.send(SMTP, mails);
        let until = host.world.now() + Duration::from_secs(3);
        let mut looking = Duration::ZERO;
        host.world.run_until(|| {
            let now = host.world.now();
            // The mover begins when a segment is begun, which the figures show. They do not show how long the one that it let
            // go of takes to go, and what was copied to be synced.
            if host.core().spool.figures().segments > 1 {
                looking = now + Duration::from_millis(100);
            }
            if now < looking {
                look(host);
            }
            now >= until
        });
        if host.core().spool.moved() > 1 {
            return Some(());
        }
    }
    None
}

#[test]
fn a_crash_at_every_boundary_while_mail_is_moved_on_loses_nothing() {
    // Segments of the same size are used again, those of another are removed.
    for segment in [320 * 1024, 512 * 1024] {
        for seed in seeds(1) {
            let mut host = with_stragglers(seed, segment);
            let explorer = Explorer::new(seed, 64, 16);
            move_them(&mut host, &mut |host| explorer.borrow_mut().look(host)).expect("both are moved");
            let tally = explorer.borrow_mut().finish();
            assert!(tally.crashes > 200, "{tally:?}");
            host.crash();
            host.recover_and_check();
        }
    }
}
