//! Few segments for much mail.

use std::time::Duration;

use ringpost::io::sim::seeds;

use super::host::{Host, spool_settings};
use super::ledger::Strictness;

fn with_small_segments(seed: u64) -> Host {
    let mut host = Host::new(seed);
    host.spool = spool_settings(128 * 1024);
    assert!(host.start());
    host
}

#[test]
fn segments_are_used_again_and_again() {
    for seed in seeds(3) {
        let mut host = with_small_segments(seed);
        for _ in 0..40 {
            host.send_any(3, 3, 30_000);
            assert!(host.settle(), "seed {seed}: mail stays undelivered");
            assert!(host.segments().len() <= 6, "seed {seed}: {:?}", host.segments());
        }
        host.ledger.check(&host.world, Strictness::Exact);
        let written = host.ledger.with_all(|entry| entry.mail.content.len());
        assert!(written > 12 * 128 * 1024, "seed {seed}: {written} octets are too few to use segments again");
        host.crash();
        host.recover_and_check();
        assert_eq!(host.quarantined(), 0, "seed {seed}");
    }
}

#[test]
fn a_crash_while_segments_are_used_again_loses_nothing() {
    for seed in seeds(10) {
        let mut host = with_small_segments(seed);
        for _ in 0..12 {
            host.send_any(4, 6, 30_000);
            let moment = host.random.below(200_000);
            host.world.run(Duration::from_micros(moment));
            host.crash_or_kill();
            assert!(host.start());
            host.ledger.check_nothing_is_damaged(&host.world);
        }
        assert!(host.settle(), "seed {seed}: mail stays undelivered");
        host.ledger.check(&host.world, Strictness::Safe);
        assert!(host.segments().len() <= 16, "seed {seed}: {:?}", host.segments());
    }
}
