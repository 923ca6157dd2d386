//! Mail that its sender wants sent later (RFC 4865) waits, whatever happens meanwhile.

use std::time::Duration;

use ringpost::io::{Machine, sim};
use ringpost::mail::{Content, Envelope, Mailbox};

use super::host::Host;
use super::week::envelope;

const HOUR: Duration = Duration::from_secs(3600);

/// A message in the spool that is to be held for three hours. The longest that anything waits by itself is ten minutes.
fn keep_one(host: &Host) -> Envelope {
    let core = host.core().clone();
    let now = core.machine.wall_clock();
    let mut envelope = envelope(core.next_message(now), now);
    envelope.recipients = vec![Mailbox::parse("u0@example.com").expect("a mailbox")];
    envelope.hold_until = Some(now + 3 * HOUR.as_micros() as u64);
    let kept = envelope.clone();
    let committed = host.world.block_on(async move {
        let mut incoming = core.spool.incoming(kept.clone());
        incoming.push(b"Subject: later\r\n\r\n").await.expect("there is room");
        incoming.commit(&Content { octets: 18, header_octets: 16, ..Content::default() }).await.expect("there is room");
        core.spool.schedule(kept.id, kept.hold_until.unwrap_or(0));
    });
    assert!(committed.is_some(), "nothing stops it");
    envelope
}

fn delivered(host: &Host) -> u64 {
    host.core().spooler.delivered()
}

#[test]
fn it_is_delivered_when_its_time_has_come_and_not_before() {
    for seed in sim::seeds(10) {
        let mut host = Host::started(seed);
        keep_one(&host);
        host.world.run(HOUR);
        assert_eq!(delivered(&host), 0, "seed {seed}");
        // A start finds it, and does not take it for late.
        host.crash();
        assert!(host.start(), "nothing stops it");
        assert_eq!(host.found(), 1, "seed {seed}");
        host.world.run(HOUR);
        assert_eq!(delivered(&host), 0, "seed {seed}: after the crash");
        host.world.run(HOUR + Duration::from_secs(700));
        assert_eq!(delivered(&host), 1, "seed {seed}");
    }
}

#[test]
fn flushing_the_queue_does_not_send_it_early() {
    let host = Host::started(1);
    let envelope = keep_one(&host);
    host.world.run(Duration::from_secs(60));
    host.core().spool.flush(envelope.id).expect("it is there");
    host.world.run(Duration::from_secs(60));
    assert_eq!(delivered(&host), 0);
    host.world.run(3 * HOUR + Duration::from_secs(700));
    assert_eq!(delivered(&host), 1);
}
