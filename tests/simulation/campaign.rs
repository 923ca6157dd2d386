//! Many scenarios, and crashes at every boundary of each.

use std::time::{Duration, Instant};

use ringpost::io::sim::{Fault, Operation, errno};

use super::explore::{Explorer, Tally};
use super::host::{Host, SPOOL, spool_settings};
use super::ledger::Fate;

/// How often what was not synced is torn at each boundary.
const TEARS: u64 = 8;

/// Lets a scenario go on for some time of its own, or until all is done and nothing is left, and looks on.
fn run(host: &mut Host, explorer: &std::cell::RefCell<Explorer>, longest: u64) {
    let until = host.world.now() + Duration::from_micros(host.random.between(20_000, longest));
    let look = || explorer.borrow_mut().look(host);
    host.world.run_until(|| {
        look();
        host.world.now() >= until || host.is_at_rest()
    });
}

/// A scenario in its own way for each seed: messages of all sizes over SMTP and LMTP, in chains and in groups; a mailbox that
/// fails in a third of them, so that mail is put off; segments that are used again, and stragglers that are moved on, in another
/// third; the process killed and started again in between.
fn scenario(seed: u64) -> (Tally, u64) {
    let mut host = Host::new(seed);
    let (small, stragglers) = (host.random.one_in(2), seed.is_multiple_of(3));
    host.spool = spool_settings(if stragglers || small { 320 * 1024 } else { 512 * 1024 });
    if stragglers || host.random.one_in(3) {
        host.world.faults().add(Fault::fail(Operation::Open, errno::ENOSPC).below("/mail/example.com/u1"));
    }
    let explorer = Explorer::new(seed, TEARS, 8);
    if !host.start() {
        return Default::default();
    }
    for round in 0..if stragglers { 4 } else { 2 } {
        if stragglers {
            // What comes for one user stays; what comes for another goes, and fills segments.
            let chain = host.random.one_in(3);
            let stays = if chain { host.random.between(262_200, 300_000) } else { host.random.below(20_000) };
            let mut mails = vec![host.plain_mail(1, stays as usize)];
            mails.extend((0..2).map(|_| host.plain_mail(0, 90_000)));
            host.send(super::client::SMTP, mails);
        } else {
            host.send_any(2, 3, if seed % 4 == 1 { 600_000 } else { 20_000 });
        }
        run(&mut host, &explorer, 3_000_000);
        if round % 2 == 1 && host.random.one_in(2) {
            host.crash_or_kill();
            if !host.start() {
                break;
            }
        }
    }
    let accepted = host.ledger.count(Fate::Accepted) as u64;
    let tally = explorer.borrow_mut().finish();
    // At last the scenario itself ends as all do.
    host.crash_or_kill();
    host.recover_and_check();
    (tally, accepted)
}

/// A long run is asked for with RINGPOST_CRASHES=N: scenarios until so many crashes were recovered from and checked.
/// RINGPOST_SEED=S begins with the scenario of that seed, and without RINGPOST_CRASHES tries that one alone.
#[test]
fn campaign() {
    let variable = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let (crashes, first) = (variable("RINGPOST_CRASHES"), variable("RINGPOST_SEED"));
    let wanted = crashes.unwrap_or(if first.is_some() { 1 } else { 150 });
    let (mut all, mut accepted, mut scenarios, begun) = (Tally::default(), 0, 0, Instant::now());
    let mut told = begun;
    while all.crashes < wanted {
        let (tally, promises) = scenario(first.unwrap_or(1_000_000) + scenarios);
        scenarios += 1;
        accepted += promises;
        all.crashes += tally.crashes;
        all.second += tally.second;
        all.equal += tally.equal;
        if told.elapsed() > Duration::from_secs(60) && crashes.is_some() {
            told = Instant::now();
            println!("{scenarios} scenarios, {all:?}, {accepted} promises, {:.0} s", begun.elapsed().as_secs_f64());
        }
    }
    assert!(accepted > 0 || first.is_some(), "no crash came after a 250");
    println!("{scenarios} scenarios, {all:?}, {accepted} promises, {:.0} s", begun.elapsed().as_secs_f64());
}

/// Segments are where they should be, whatever the campaign does.
#[test]
fn a_copy_of_a_host_goes_its_own_way() {
    let mut host = Host::started(1);
    host.send_any(2, 2, 20_000);
    host.world.run(Duration::from_millis(30));
    let before = host.world.fingerprint();
    let (mut one, mut other) = (host.crashed(1), host.crashed(2));
    one.recover_and_check();
    other.recover_and_check();
    assert_eq!(host.world.fingerprint(), before, "a copy is felt");
    assert!(host.settle());
    host.ledger.check(&host.world, super::ledger::Strictness::Exact);
    assert!(one.world.disk().list(SPOOL).is_ok_and(|names| !names.is_empty()));
}
