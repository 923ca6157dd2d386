//! A disk that fails, lies, or is full.

use std::path::Path;
use std::time::Duration;

use ringpost::io::sim::{Fault, Operation, errno, seeds};
use ringpost::spool::StoreError;

use super::client::{LMTP, SMTP};
use super::host::{Host, SPOOL, spool_settings};
use super::ledger::{Fate, Strictness, mailbox};
use super::mail::{USERS, pick};

/// Lets the segments that are kept ready be made, so that what fails next is a batch.
fn prepared(seed: u64) -> Host {
    let host = Host::started(seed);
    host.world.run(Duration::from_secs(1));
    host
}

#[test]
fn after_a_failed_write_or_sync_nothing_is_accepted_and_nothing_lost() {
    let (mut tried, mut closed, mut accepted) = (0, 0, 0);
    for seed in seeds(40) {
        tried += 1;
        let mut host = prepared(seed);
        let operation = if seed % 2 == 0 { Operation::Write } else { Operation::Sync };
        let n = host.random.between(1, 8);
        host.world.faults().add(Fault::fail(operation, errno::EIO).below(SPOOL).nth(n));
        host.send_any(4, 3, 300_000);
        assert!(host.clients_leave(), "seed {seed}: a client waits for ever");
        accepted += host.ledger.count(Fate::Accepted);
        if host.core().spool.is_closed() {
            closed += 1;
            hears_that_nothing_is_taken(&mut host);
        }
        host.crash_or_kill();
        host.recover_and_check();
    }
    assert!(tried < 40 || closed > 5 && accepted > 30, "closed {closed} times, accepted {accepted}");
}

fn hears_that_nothing_is_taken(host: &mut Host) {
    for manner in [SMTP, LMTP] {
        let mail = host.plain_mail(0, 100);
        let number = mail.number;
        host.send(manner, vec![mail]);
        assert!(host.clients_leave());
        host.ledger.with(number, |entry| assert!(entry.reply.starts_with("421 4.3.2 "), "{}", entry.reply));
    }
}

#[test]
fn a_failing_batch_is_answered_with_451() {
    for (seed, operation) in [(1, Operation::Write), (2, Operation::Sync)] {
        let mut host = prepared(seed);
        // Segments of an earlier run are opened by their own names; one that is being prepared is not meant here.
        host.kill();
        assert!(host.start());
        let in_use = |path: &Path| path.starts_with(SPOOL) && path.extension().is_none();
        host.world.faults().add(Fault::fail(operation, errno::EIO).at(in_use).nth(1));
        let (first, second) = (host.plain_mail(0, 100), host.plain_mail(1, 100));
        host.send(SMTP, vec![first]);
        host.send(LMTP, vec![second]);
        assert!(host.clients_leave());
        for (_, reply) in host.ledger.replies() {
            assert!(reply.starts_with("451 4.3.2 ") || reply.starts_with("421 4.3.2 "), "{reply}");
        }
        assert_eq!(host.ledger.count(Fate::Refused), 2);
    }
}

/// Does not test the product, but that the tests of this suite would notice.
#[test]
fn a_disk_that_lies_about_syncs_is_found_out() {
    let lies: [fn() -> Fault; 3] = [
        || Fault::lose(Operation::Sync).below(SPOOL),
        || Fault::lose(Operation::Sync).below("/mail"),
        || Fault::lose(Operation::SyncDirectory).below("/mail"),
    ];
    for (number, lie) in lies.iter().enumerate() {
        let noticed = (1..20).filter(|seed| {
            let mut host = prepared(*seed);
            host.hold = number == 0;
            host.kill();
            assert!(host.start());
            host.world.faults().add(lie());
            host.send_any(2, 3, 10_000);
            assert!(host.settle());
            assert!(host.ledger.count(Fate::Accepted) > 0);
            host.crash();
            host.hold = false;
            host.world.faults().clear();
            assert!(host.start() && host.settle());
            !host.ledger.problems(&host.world, Strictness::Safe).is_empty()
        });
        assert!(noticed.count() > 0, "lie number {number} was believed");
    }
}

#[test]
fn a_full_disk_is_answered_with_452_and_outcomes_are_still_noted() {
    for seed in seeds(15) {
        let mut host = Host::new(seed);
        host.spool = spool_settings(128 * 1024);
        assert!(host.start());
        host.world.faults().set_capacity(5 * 128 * 1024);
        host.world.faults().add(Fault::fail(Operation::Open, errno::ENOSPC).below("/mail"));
        for _ in 0..12 {
            let mails = (0..5).map(|_| host.plain_mail(0, 12_000)).collect();
            host.send(SMTP, mails);
        }
        assert!(host.clients_leave());
        let replies = host.ledger.replies();
        assert!(replies.iter().any(|(_, reply)| reply.starts_with("452 4.3.1 ")), "seed {seed}: {replies:?}");
        assert!(host.ledger.count(Fate::Accepted) > 10, "seed {seed}");
        if seed % 2 == 0 {
            host.crash_or_kill();
            assert!(host.start());
        }
        host.world.faults().clear();
        host.world.faults().set_capacity(5 * 128 * 1024 + 4_000_000);
        assert!(host.settle(), "seed {seed}: mail stays undelivered");
        assert!(!host.events().contains(&"outcome-not-noted".to_owned()), "seed {seed}");
        let mail = host.plain_mail(0, 12_000);
        host.send(SMTP, vec![mail]);
        assert!(host.settle());
        host.ledger.check(&host.world, Strictness::Exact);
        host.world.block_on(host.core().spool.settled());
        host.crash_or_kill();
        assert!(host.start());
        assert_eq!(host.found(), 0, "seed {seed}: an outcome was not noted");
    }
}

#[test]
fn the_limits_of_segments_and_of_messages_are_answered_with_452() {
    for limit in 0..2 {
        let mut host = Host::new(limit);
        host.hold = true;
        host.spool = spool_settings(128 * 1024);
        match limit {
            0 => host.spool.max_segments = 4,
            _ => host.spool.max_messages = 12,
        }
        assert!(host.start());
        let mails: Vec<_> = (0..60).map(|_| host.plain_mail(1, 12_000)).collect();
        host.send(SMTP, mails);
        assert!(host.settle());
        let accepted = host.ledger.count(Fate::Accepted);
        assert!((8..40).contains(&accepted), "accepted {accepted}");
        let replies = host.ledger.replies();
        let refused: Vec<_> = replies.iter().filter(|(_, reply)| !reply.starts_with("250 ")).collect();
        assert!(refused.iter().all(|(_, reply)| reply.starts_with("452 4.3.1 ")), "{replies:?}");
        // One that is a little shorter than the first that was refused may still find room.
        assert!(refused.first().is_some_and(|(first, _)| accepted < first + 2), "{replies:?}");
        host.kill();
        host.hold = false;
        assert!(host.start());
        assert_eq!(host.found(), accepted);
        assert!(host.settle());
        host.ledger.check(&host.world, Strictness::Exact);
        let mails: Vec<_> = (0..60).map(|_| host.plain_mail(1, 12_000)).collect();
        host.send(SMTP, mails);
        assert!(host.settle());
        assert!(host.ledger.count(Fate::Accepted) > accepted + 10, "room is not found again");
        host.ledger.check(&host.world, Strictness::Exact);
    }
}

#[test]
fn a_size_that_the_disk_has_no_room_for_is_put_off_at_mail() {
    let mut host = prepared(1);
    host.world.faults().set_capacity(8 * 512 * 1024);
    host.world.run(Duration::from_secs(2));
    let spool = &host.core().spool;
    assert_eq!((spool.admits(0), spool.admits(100_000)), (Ok(()), Ok(())));
    assert_eq!(spool.admits(3 << 20), Err(StoreError::Full), "it would reach into the reserve");
    host.world.faults().clear();
    assert_eq!(spool.admits(3 << 20), Ok(()));
    let most = 64 * 512 * 1024;
    assert_eq!(spool.admits(most), Err(StoreError::Full), "all segments together have no room for it");
    let mail = host.plain_mail(0, 1000);
    host.send(SMTP, vec![mail]);
    assert!(host.settle());
    host.ledger.check(&host.world, Strictness::Exact);
}

#[test]
fn a_disk_that_takes_seconds_for_a_sync_makes_clients_wait_and_nothing_else() {
    for seed in seeds(3) {
        let mut host = prepared(seed);
        host.world.faults().add(Fault::delay(Operation::Sync, Duration::from_secs(4)).below(SPOOL));
        host.send_any(6, 2, 300_000);
        assert!(host.settle(), "seed {seed}: mail stays undelivered");
        assert_eq!(host.ledger.count(Fate::Refused), 0, "seed {seed}");
        host.ledger.check(&host.world, Strictness::Exact);
        assert!(host.core().spool.figures().slowest >= Duration::from_secs(4), "seed {seed}");
        assert!(host.told().contains("Slow("), "seed {seed}: {}", host.told());
    }
}

#[test]
fn intake_is_slowed_when_mail_comes_faster_than_it_goes_and_both_go_on() {
    let mut host = Host::started(5);
    host.world.faults().add(Fault::delay(Operation::Sync, Duration::from_secs(20)).below("/mail"));
    let mails: Vec<_> = (0..200).map(|_| host.plain_mail(0, 1000)).collect();
    host.send(SMTP, mails);
    assert!(host.clients_leave());
    let begun = host.world.now();
    assert!(begun < Duration::from_secs(60), "nobody waits at first: {begun:?}");
    host.world.run(Duration::from_secs(200));
    let delivered = host.core().spooler.delivered();
    assert!(host.core().spool.lag() > Duration::from_secs(120), "{:?}", host.core().spool.lag());
    let (begun, mails) = (host.world.now(), (0..20).map(|_| host.plain_mail(1, 1000)).collect());
    host.send(SMTP, mails);
    assert!(host.clients_leave());
    let taken = host.world.now() - begun;
    assert!(taken >= Duration::from_secs(4), "20 messages of one client in {taken:?}");
    assert_eq!(host.ledger.count(Fate::Accepted), 220, "slowed is not refused");
    host.world.run(Duration::from_secs(60));
    assert!(host.core().spooler.delivered() > delivered, "delivery goes on");
    host.world.faults().clear();
    assert!(host.settle());
    host.ledger.check(&host.world, Strictness::Exact);
}

#[test]
fn a_file_system_that_turned_read_only_closes_the_spool_at_the_next_write() {
    let mut host = prepared(1);
    for operation in [Operation::Write, Operation::Open, Operation::Rename, Operation::CreateDirectory] {
        host.world.faults().add(Fault::fail(operation, errno::EROFS));
    }
    let mail = host.plain_mail(0, 1000);
    host.send(SMTP, vec![mail]);
    assert!(host.clients_leave());
    assert!(host.ledger.replies()[0].1.starts_with("451 4.3.2 "), "{:?}", host.ledger.replies());
    assert!(host.core().spool.figures().closed);
    hears_that_nothing_is_taken(&mut host);
    host.crash_or_kill();
    host.recover_and_check();
}

#[test]
fn a_spool_full_of_deferred_mail_goes_on_noting_outcomes_for_days() {
    let mut host = Host::new(3);
    host.spool = spool_settings(128 * 1024);
    host.spool.max_segments = 7;
    assert!(host.start());
    host.world.faults().add(Fault::fail(Operation::Open, errno::ENOSPC).below("/mail"));
    let mails: Vec<_> = (0..90).map(|_| host.plain_mail(0, 12_000)).collect();
    host.send(SMTP, mails);
    assert!(host.clients_leave());
    let accepted = host.ledger.count(Fate::Accepted);
    assert!((20..80).contains(&accepted), "accepted {accepted}");
    // Some thousand attempts later: their outcomes alone are more than the spool can hold.
    host.world.run(Duration::from_secs(2 * 24 * 60 * 60));
    let events = host.events();
    assert!(events.iter().filter(|event| *event == "deferred").count() > 5_000, "it was not tried again");
    assert!(!events.contains(&"outcome-not-noted".to_owned()));
    host.crash_or_kill();
    host.recover_and_check();
}

/// All clients are past MAIL before any content comes: only the log itself can keep them from what outcomes and moves need. What
/// these make of it is looked at in `brim`.
#[test]
fn mail_leaves_alone_what_is_kept_for_outcomes_and_moves() {
    for seed in seeds(2) {
        let mut host = Host::new(seed);
        host.spool = spool_settings(128 * 1024);
        host.spool.max_segments = 7;
        assert!(host.start());
        host.world.run(Duration::from_secs(1));
        // Ten seconds long nothing is noted, and all that is written is mail.
        host.world.faults().add(Fault::delay(Operation::Open, Duration::from_secs(10)).below("/mail"));
        for _ in 0..90 {
            let mail = host.plain_mail(0, 12_000);
            host.send(SMTP, vec![mail]);
        }
        assert!(host.clients_leave());
        let (accepted, filled) = (host.ledger.count(Fate::Accepted), host.core().spool.figures());
        assert!((20..80).contains(&accepted), "seed {seed}: accepted {accepted}");
        assert!(host.ledger.replies().iter().any(|(_, reply)| reply.starts_with("452 4.3.1 ")), "seed {seed}");
        assert!(filled.free >= 2 && filled.full, "seed {seed}: mail took what is kept: {filled:?}");
        host.crash_or_kill();
        assert!(host.start());
        assert_eq!(host.found(), accepted, "seed {seed}");
    }
}

#[test]
fn one_message_that_fails_for_ever_does_not_fill_the_spool() {
    let mut host = Host::new(4);
    host.spool = spool_settings(128 * 1024);
    host.spool.max_segments = 6;
    assert!(host.start());
    host.world.faults().add(Fault::fail(Operation::Open, errno::ENOSPC).below("/mail/example.com/u1"));
    for round in 0..40 {
        let mails: Vec<_> = (0..12).map(|mail| host.plain_mail(usize::from(round == 0 && mail == 0), 12_000)).collect();
        host.send(SMTP, mails);
        assert!(host.clients_leave());
        host.world.run(Duration::from_secs(2));
    }
    assert_eq!(host.ledger.count(Fate::Accepted), 40 * 12);
    assert_eq!(host.core().spool.len(), 1);
    host.crash_or_kill();
    host.recover_and_check();
}

/// What can fail in a Maildir without leaving the message there.
const IN_A_MAILDIR: [Operation; 4] = [Operation::Open, Operation::Write, Operation::Sync, Operation::Rename];

#[test]
fn lmtp_says_which_mailbox_failed() {
    for operation in IN_A_MAILDIR {
        for number in [errno::EIO, errno::ENOSPC] {
            let mut host = Host::started(number as u64);
            host.world.faults().add(Fault::fail(operation, number).below("/mail/example.com/u1"));
            let mut mail = host.plain_mail(0, 100_000);
            mail.recipients = vec![0, 1, 2];
            let id = mail.number;
            host.send(LMTP, vec![mail]);
            assert!(host.settle(), "what is the client's is not ours");
            let fates = host.ledger.with(id, |entry| entry.fates.clone());
            assert_eq!(fates, [Fate::Accepted, Fate::Refused, Fate::Accepted], "{operation:?}");
            host.ledger.check(&host.world, Strictness::Exact);
            nothing_is_left_in_tmp(&host);
            host.world.faults().clear();
            host.crash();
            assert!(host.start());
        }
    }
}

fn nothing_is_left_in_tmp(host: &Host) {
    for user in 0..USERS {
        let tmp = mailbox(user).replace("/new", "/tmp");
        let left = host.world.disk().list(&tmp).unwrap_or_default();
        assert!(left.is_empty(), "seed {}: {tmp} has {left:?}", host.world.seed());
    }
}

#[test]
fn smtp_mail_waits_for_a_mailbox_that_fails() {
    for seed in seeds(20) {
        let mut host = Host::started(seed);
        let operation = pick(&mut host.random, &IN_A_MAILDIR);
        host.world.faults().add(Fault::fail(operation, errno::ENOSPC).below("/mail"));
        let mails: Vec<_> = (0..6).map(|_| host.any_mail(100_000)).collect();
        host.send(SMTP, mails);
        assert!(host.clients_leave());
        host.world.run(Duration::from_secs(100));
        assert_eq!(host.core().spool.len(), 6, "seed {seed}");
        nothing_is_left_in_tmp(&host);
        if host.random.one_in(2) {
            host.crash_or_kill();
            assert!(host.start());
            assert_eq!(host.found(), 6, "seed {seed}");
        }
        host.world.faults().clear();
        assert!(host.settle(), "seed {seed}: mail stays undelivered");
        assert_eq!(host.ledger.count(Fate::Accepted), host.ledger.with_all(|entry| entry.fates.len()), "seed {seed}");
        host.ledger.check(&host.world, Strictness::Exact);
    }
}

#[test]
fn a_mailbox_directory_that_cannot_be_synced_is_tried_again() {
    for seed in seeds(10) {
        let mut host = Host::started(seed);
        host.world.faults().add(Fault::fail(Operation::SyncDirectory, errno::EIO).below("/mail").nth(3));
        host.world.faults().add(Fault::fail(Operation::CreateDirectory, errno::EIO).below("/mail").nth(2));
        let mails: Vec<_> = (0..4).map(|_| host.any_mail(50_000)).collect();
        host.send(SMTP, mails);
        assert!(host.settle(), "seed {seed}: mail stays undelivered");
        host.ledger.check(&host.world, Strictness::Exact);
        host.crash();
        host.recover_and_check();
    }
}
