//! Few segments for much mail.

use std::time::Duration;

use ringpost::io::sim::seeds;

use super::host::{Host, spool_settings};
use super::ledger::Strictness;

/// A host with small segments, and the largest message for it: by turns too small for more than one record, and a chain of
/// records over several segments.
fn with_small_segments(seed: u64) -> (Host, usize) {
    let mut host = Host::new(seed);
    let (segment, message) = if seed.is_multiple_of(2) { (320 * 1024, 600_000) } else { (128 * 1024, 30_000) };
    host.spool = spool_settings(segment);
    assert!(host.start());
    (host, message)
}

#[test]
fn segments_are_used_again_and_again() {
    for seed in seeds(4) {
        let (mut host, most) = with_small_segments(seed);
        for _ in 0..25 {
            host.send_any(3, 3, most);
            assert!(host.settle(), "seed {seed}: mail stays undelivered");
            assert!(host.segments().len() <= 16, "seed {seed}: {:?}", host.segments());
        }
        host.ledger.check(&host.world, Strictness::Exact);
        let written = host.ledger.with_all(|entry| entry.mail.content.len()) as u64;
        assert!(written > 6 * host.spool.segment_octets, "seed {seed}: {written} octets use no segment again");
        host.crash();
        host.recover_and_check();
    }
}

#[test]
fn a_crash_while_segments_are_used_again_loses_nothing() {
    for seed in seeds(8) {
        let (mut host, most) = with_small_segments(seed);
        for _ in 0..10 {
            host.send_any(4, 4, most);
            let moment = host.random.below(200_000);
            host.world.run(Duration::from_micros(moment));
            host.crash_or_kill();
            assert!(host.start());
            assert_eq!(host.quarantined(), 0, "seed {seed}: a crash is no damage");
        }
        assert!(host.settle(), "seed {seed}: mail stays undelivered");
        host.ledger.check(&host.world, Strictness::Safe);
        assert!(host.segments().len() <= 24, "seed {seed}: {:?}", host.segments());
    }
}
