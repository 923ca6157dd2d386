//! Serves: starts everything in order, waits for the end, stops everything in order.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::announcement::{announcement, described, invitation};
use super::error::{Error, file_error, start_error};
use super::fleet::Fleet;
use super::holdings::{Directories, bind_all};
use super::huge_pages;
use super::placement::Placement;
use super::requirements;
use super::topology;
use super::translate::wishes;
use crate::config::Configuration;
use crate::control::journal::Level;
use crate::control::signals::StopSignals;
use crate::control::status::ControlSocket;

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

    let (sender, signalled) = tokio::sync::oneshot::channel();
    control.spawn(async move {
        // Whoever waits for it may have gone because a shard was lost.
        let _ = sender.send(signals.next().await);
        // A second signal ends the process at once: everything acknowledged is on stable storage already.
        signals.next().await;
        std::process::exit(EXIT_AT_ONCE);
    });

    let path = &configuration.ringpost.control_socket;
    let socket = control.block_on(async { ControlSocket::bind(path) });
    let socket = socket.map_err(file_error("cannot make the control socket", path))?;
    let mut fleet = Fleet::start(configuration, &directories, &placement, bound, &control)?;
    let ready = fleet.wait_until_ready().and_then(|()| fleet.open_doors(&placement)).and_then(|()| fleet.look());
    let shards = match ready {
        Ok(shards) => shards,
        Err(error) => {
            // It is the start that failed; that nobody waits for the rest is no further news.
            let _ = fleet.stop(false);
            return Err(error);
        }
    };
    huge_pages::take_no_more();
    let started = announcement(configuration, &directories, &servers, &shards, &placement, &fleet.kernel_tls);
    announce(&(started.clone() + &invitation(configuration, &servers)));
    let report = fleet.report(started);
    let status = Arc::new(move |request| report.answer(request));
    control.spawn(socket.serve(status, fleet.keeper.clone(), fleet.errands.clone()));
    if configuration.ringpost.delivery.discard {
        let text = "accepted mail is thrown away, nobody gets any (delivery/discard in ringpost.xml)";
        fleet.journal.note(Level::Warning, now(), "discarding", &[("text", &text)]);
    }
    fleet.kernel_tls.note(&fleet.journal);
    fleet.journal.note(Level::Info, now(), "started", &[("shards", &shards.len())]);

    let why = control.block_on(async {
        tokio::select! {
            Ok(signal) = signalled => Ok(signal),
            error = fleet.failed() => Err(error),
        }
    });
    match &why {
        Ok(signal) => fleet.journal.note(Level::Info, now(), "stopping", &[("signal", signal)]),
        Err(error) => fleet.journal.note(Level::Error, now(), "stopping", &[("text", error)]),
    }
    let at_rest = fleet.stop(why.is_ok());
    control.shutdown_background();
    // Its task may not come to it any more.
    let _ = std::fs::remove_file(path);
    why.and(at_rest)
}

/// Microseconds since the Unix epoch.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros() as u64
}
