//! The real process killed under load, again and again: whatever it acknowledged is in a mailbox in the end, whole and once.

mod common;

use std::process::Stdio;
use std::time::Duration;

use common::load::{Ledger, Mailboxes, USERS, load, wait_for_all, waiting};
use common::process::{Conf, Home, Process, end_with_this_thread};

const KILLS: u64 = 10;

/// Starts the process and kills it without waiting until it is ready: while it reads its spool, or soon after.
fn kill_at_start(home: &Home, after: Duration) {
    let mut command = home.command();
    end_with_this_thread(&mut command);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it is started");
    std::thread::sleep(after);
    child.kill().expect("it is ours");
    child.wait().expect("it is ours");
}

#[test]
fn nothing_acknowledged_is_lost_by_kills() {
    let conf = Conf::new().users(&USERS).with("log/level", "warn").with("spool/segmentSize", "2M");
    let (home, ledger) = (Home::new(&conf), Ledger::default());
    let mut mailboxes = Mailboxes::default();
    for kill in 0..KILLS {
        // Sometimes mail gathers in the spool, so that there is a lot to be found at the next start.
        home.configure(&conf.clone().with("delivery/hold", if kill % 3 == 1 { "true" } else { "false" }));
        mailboxes.look(&home);
        let (acknowledged, delivered) = (ledger.acknowledged(), mailboxes.numbers());
        let missing = acknowledged.iter().filter(|number| !delivered.contains(*number)).count();
        let process = home.start();
        let found = waiting(&process);
        assert!(found >= missing, "after kill {kill}: {missing} are in no mailbox, and {found} in the spool");
        load(process, &ledger, Duration::from_millis(300 + kill * 70 % 400), Process::kill);
        kill_at_start(&home, Duration::from_millis(kill * 3));
    }
    let acknowledged = ledger.acknowledged();
    assert!(acknowledged.len() > 200, "only {} messages were acknowledged", acknowledged.len());

    home.configure(&conf);
    let process = home.start();
    wait_for_all(&home, &mut mailboxes, &acknowledged);
    let log = process.stop();
    assert!(!log.iter().any(|line| line.contains(" damage-set-aside ")), "{log:#?}");

    let process = home.start();
    assert_eq!(waiting(&process), 0);
    process.stop();
    mailboxes.look(&home);
    let unasked = mailboxes.check() - acknowledged.len();
    println!(
        "{} acknowledged, all delivered once; {unasked} more were stored and not acknowledged",
        acknowledged.len()
    );
}
