//! Power fails while mail is moved on.

use std::time::Duration;

use ringpost::io::sim::{Fault, Operation, errno, seeds};

use super::client::SMTP;
use super::host::{Host, spool_settings};

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
