//! Serves: starts everything in order, waits for the end, stops everything in order.

use std::time::{SystemTime, UNIX_EPOCH};

use super::announcement::{announcement, bound};
use super::error::{Error, start_error};
use super::fleet::Fleet;
use super::holdings::{Directories, bind_all};
use super::requirements;
use crate::config::Configuration;
use crate::control::journal::Level;
use crate::control::signals::StopSignals;

/// Threads of the control plane.
const CONTROL_THREADS: usize = 2;

/// The exit status after a second signal: that of a process that SIGTERM ended.
const EXIT_AT_ONCE: i32 = 128 + libc::SIGTERM;

/// Serves until it is told to stop; `announce` is given what was started, for people.
pub fn serve(configuration: &Configuration, announce: impl FnOnce(&str)) -> Result<(), Error> {
    requirements::check()?;
    let directories = Directories::prepare(configuration)?;
    let listeners = bind_all(configuration)?;
    let servers = bound(configuration, &listeners);
    let control = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(CONTROL_THREADS)
        .thread_name("control")
        .enable_all()
        .build()
        .map_err(start_error("the control plane"))?;
    let mut signals = control.block_on(async { StopSignals::new() }).map_err(start_error("the control plane"))?;

    let mut fleet = Fleet::start(configuration, &directories, listeners, &control)?;
    let shards = match fleet.wait_until_ready() {
        Ok(shards) => shards,
        Err(error) => {
            fleet.stop(false);
            return Err(error);
        }
    };
    announce(&announcement(configuration, &directories, &servers, &shards));
    fleet.journal.note(Level::Info, now(), "started", &[("shards", &shards.len())]);

    let why = control.block_on(async {
        tokio::select! {
            signal = signals.next() => Ok(signal),
            shard = fleet.ended() => Err(Error::ShardEnded(shard)),
        }
    });
    // A second signal ends the process at once: everything acknowledged is on stable storage already.
    control.spawn(async move {
        signals.next().await;
        std::process::exit(EXIT_AT_ONCE);
    });
    match &why {
        Ok(signal) => fleet.journal.note(Level::Info, now(), "stopping", &[("signal", signal)]),
        Err(error) => fleet.journal.note(Level::Error, now(), "stopping", &[("text", error)]),
    }
    fleet.stop(why.is_ok());
    control.shutdown_background();
    why.map(drop)
}

/// Microseconds since the Unix epoch.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros() as u64
}
