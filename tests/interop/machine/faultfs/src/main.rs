//! A file system in memory that keeps what was not synced apart, so that it can be dropped or torn as by a loss of power, and
//! that fails on demand. For ringpost's tests on one machine; see ../README of the directory above and docs/SPOOL.md.
//!
//! `faultfs MOUNTPOINT [CAPACITY]` mounts it, says `mounted`, and obeys the commands on its standard input, a line each, until
//! that ends; then it unmounts. Whoever may mount may run it: root.

mod commands;
mod disk;
mod faults;
mod layer;
mod random;
mod state;

use std::io::{BufRead, Write};
use std::process::ExitCode;
use std::sync::Arc;

use fuser::{Config, MountOption, SessionACL};

use layer::Layer;
use state::Shared;

/// Octets that there is room for unless something else is said.
const CAPACITY: u64 = 8 << 30;

/// Threads that answer. A sync that is delayed takes none of them.
const THREADS: usize = 2;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let (mountpoint, capacity) = match &arguments[..] {
        [mountpoint] => (mountpoint, Ok(CAPACITY)),
        [mountpoint, capacity] => (mountpoint, capacity.parse()),
        _ => {
            eprintln!("faultfs MOUNTPOINT [CAPACITY]; commands on standard input:\n{}", commands::HELP);
            return ExitCode::from(64);
        }
    };
    let Ok(capacity) = capacity else {
        eprintln!("The capacity is a number of octets.");
        return ExitCode::from(64);
    };
    match serve(mountpoint, capacity) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{mountpoint}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(mountpoint: &str, capacity: u64) -> std::io::Result<()> {
    // SAFETY: these ask who runs this, and cannot fail.
    let owner = unsafe { (libc::getuid(), libc::getgid()) };
    let shared = Arc::new(Shared::new(capacity, owner));
    let mut config = Config::default();
    config.mount_options = vec![MountOption::FSName("faultfs".into()), MountOption::DefaultPermissions];
    config.acl = SessionACL::All;
    config.n_threads = Some(THREADS);
    let session = fuser::spawn_mount(Layer::new(shared.clone()), mountpoint, &config)?;
    say("mounted")?;
    for line in std::io::stdin().lock().lines() {
        match commands::obey(&line?, &shared) {
            Ok(answer) => say(&answer)?,
            Err(problem) => say(&format!("error: {problem}"))?,
        }
    }
    // Who still waits for an answer gets one, so that it can be unmounted.
    shared.set_power(state::Power::Off);
    session.umount_and_join()
}

fn say(line: &str) -> std::io::Result<()> {
    let mut output = std::io::stdout().lock();
    writeln!(output, "{line}")?;
    output.flush()
}
