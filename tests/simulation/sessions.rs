//! Clients that are silent, that vanish, or that want too much.

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::time::Duration;

use ringpost::io::sim::{ClientEnd, Fault, Operation, seeds};
use ringpost::io::{Class, Machine, Stream};

use super::client::{command, reply};
use super::host::{Host, IDLE, SPOOL};

/// Says the beginning of a dialogue; the last command given is answered as expected.
fn say(host: &Host, end: &ClientEnd, lines: &[&str], expected: &str) {
    let last = host.world.block_on(async {
        let mut last = reply(end).await.expect("greeted");
        for line in lines {
            last = command(end, line).await.expect("answered");
        }
        last
    });
    assert!(last.as_deref().is_some_and(|last| last.starts_with(expected)), "{last:?}");
}

const TO_DATA: [&str; 4] = ["EHLO client.example", "MAIL FROM:<m1@client.example>", "RCPT TO:<u0@example.com>", "DATA"];

/// The next reply, and that the connection ends behind it.
fn last_reply(host: &Host, end: &ClientEnd) -> String {
    let last = host.world.block_on(async {
        let last = reply(end).await.expect("told why");
        assert_eq!(end.receive().await.expect("closed, not reset"), b"");
        last
    });
    last.expect("it ends")
}

#[test]
fn a_silent_client_is_not_waited_for_for_ever() {
    for lines in [&TO_DATA[..1], &TO_DATA[..3], &TO_DATA[..]] {
        let host = Host::started(1);
        let end = host.connect(false);
        say(&host, &end, lines, if lines.len() == 4 { "354 " } else { "250" });
        end.send("half a li").expect("open");
        let began = host.world.now();
        assert!(last_reply(&host, &end).starts_with("421 4.4.2 "));
        let waited = host.world.now() - began;
        assert!((IDLE..IDLE + Duration::from_secs(1)).contains(&waited), "{waited:?}");
        assert!(host.settle());
        assert!(host.core().spool.is_empty());
    }
}

#[test]
fn stopping_ends_idle_sessions_and_lets_transactions_end() {
    for seed in seeds(5) {
        let host = Host::started(seed);
        let (idle, busy) = (host.connect(false), host.connect(false));
        say(&host, &idle, &TO_DATA[..1], "250");
        say(&host, &busy, &TO_DATA, "354 ");
        host.core().patience.stop();
        assert!(last_reply(&host, &idle).starts_with("421 4.3.2 "));
        host.world.run(Duration::from_secs(20));
        busy.send("text\r\n.\r\n").expect("open");
        let stored = host.world.block_on(async { reply(&busy).await.expect("answered") });
        assert!(stored.as_deref().is_some_and(|stored| stored.starts_with("250 2.6.0 ")), "{stored:?}");
        assert!(last_reply(&host, &busy).starts_with("421 4.3.2 "));
        let forced = host.connect(false);
        host.core().patience.end();
        host.world.run(Duration::from_secs(2));
        assert_eq!(host.core().patience.sessions(), 0);
        drop(forced);
    }
}

#[test]
fn a_message_that_is_broken_off_leaves_nothing() {
    for seed in seeds(20) {
        let mut host = Host::started(seed);
        for length in [1, 20_000, 900_000] {
            let end = host.connect(seed % 2 == 0);
            let hello = if seed % 2 == 0 { "LHLO client.example" } else { "EHLO client.example" };
            say(&host, &end, &[hello, TO_DATA[1], TO_DATA[2], TO_DATA[3]], "354 ");
            end.send(vec![b'x'; length]).expect("open");
            host.world.run(Duration::from_micros(host.random.below(40_000)));
            if host.random.one_in(2) {
                end.reset()
            } else {
                drop(end)
            }
            host.world.run(Duration::from_secs(2));
            assert_eq!((host.core().patience.sessions(), host.core().spool.len()), (0, 0), "seed {seed}");
        }
        host.crash_or_kill();
        assert!(host.start());
        assert_eq!((host.found(), host.quarantined()), (0, 0), "seed {seed}");
        assert!(host.world.disk().list("/mail").expect("there").is_empty());
    }
}

/// Sends the same octets for ever and reads nothing; counts what the server's side of the connection took.
fn flood(host: &Host, end: ClientEnd, octets: Vec<u8>) -> Rc<Cell<usize>> {
    let taken = Rc::new(Cell::new(0));
    let counted = taken.clone();
    let mut stream = end.into_stream();
    host.world.machine().spawn(Class::Intake, async move {
        let mut at = 0;
        while let Ok(count) = poll_fn(|context| stream.poll_write(context, &octets[at..])).await {
            at = (at + count) % octets.len();
            counted.set(counted.get() + count);
        }
    });
    taken
}

#[test]
fn a_client_that_only_sends_is_not_read_any_more() {
    for seed in seeds(3) {
        let host = Host::started(seed);
        let taken = flood(&host, host.connect(false), b"NOOP\r\n".repeat(1000));
        host.world.run(Duration::from_secs(10));
        let after_ten_seconds = taken.get();
        // Its replies fill the window of 64 KiB and the session's buffer of 32 KiB; what it sent fills its own window.
        assert!((64 * 1024..192 * 1024).contains(&after_ten_seconds), "seed {seed}: {after_ten_seconds}");
        host.world.run(Duration::from_secs(100));
        assert_eq!(taken.get(), after_ten_seconds, "seed {seed}");
        host.world.run(IDLE);
        assert_eq!(host.core().patience.sessions(), 0, "seed {seed}: it is waited for for ever");
    }
}

#[test]
fn a_client_faster_than_the_disk_waits() {
    let host = Host::started(1);
    host.world.run(Duration::from_secs(1));
    host.world.faults().add(Fault::delay(Operation::Write, Duration::from_secs(1000)).below(SPOOL));
    let end = host.connect(false);
    say(&host, &end, &TO_DATA, "354 ");
    let taken = flood(&host, end, vec![b'x'; 10_000]);
    host.world.run(Duration::from_secs(900));
    // A record of 256 KiB, the window, and what was read when the record was full.
    assert!(taken.get() <= (256 + 64 + 64) * 1024, "{}", taken.get());
    let other = host.connect(false);
    say(&host, &other, &["EHLO client.example", "NOOP"], "250 2.0.0 ");
}
