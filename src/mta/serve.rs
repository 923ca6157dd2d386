//! Serves: starts everything in order, waits for the end, stops everything in order.

use std::time::{SystemTime, UNIX_EPOCH};

use super::announcement::{announcement, described};
use super::error::{Error, start_error};
use super::fleet::Fleet;
use super::holdings::{Directories, bind_all};
use super::placement::Placement;
use super::requirements;
use super::topology;
use super::translate::wishes;
use crate::config::Configuration;
use crate::control::journal::Level;
use crate::control::signals::StopSignals;

/// The exit status after a second signal: that of a process that SIGTERM ended.
const EXIT_AT_ONCE: i32 = 128 + libc::SIGTERM;

/// Serves until it is told to stop; `announce` is given what was started, for people.
pub fn serve(configuration: &Configuration, announce: impl FnOnce(&str)) -> Result<(), Error> {
    requirements::check()?;
    let directories = Directories::prepare(configuration)?;
    let placement = Placement::of(&topology::cpus(), &configuration.ringpost.shards, &wishes(configuration));
    let bound = bind_all(configuration, &placement)?;
    let servers = described(configuration, &bound);
    // Every thread starts where this one may be; shards and acceptors then go to their own CPUs.
    topology::stay_on(&placement.control_cpus).map_err(start_error("the control plane"))?;
    let control = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(placement.control_threads)
        .thread_name("control")
        .enable_all()
        .build()
        .map_err(start_error("the control plane"))?;
    let mut signals = control.block_on(async { StopSignals::new() }).map_err(start_error("the control plane"))?;

    let mut fleet = Fleet::start(configuration, &directories, &placement, bound, &control)?;
    let ready = fleet.wait_until_ready().and_then(|shards| fleet.open_doors(&placement).map(|()| shards));
    let shards = match ready {
        Ok(shards) => shards,
        Err(error) => {
            fleet.stop(false);
            return Err(error);
        }
    };
    announce(&announcement(configuration, &directories, &servers, &shards, &placement));
    fleet.journal.note(Level::Info, now(), "started", &[("shards", &shards.len())]);

    let why = control.block_on(async {
        tokio::select! {
            signal = signals.next() => Ok(signal),
            error = fleet.ended() => Err(error),
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
