//! `loadtest source`: makes messages and hands them to a server, and tells how they were taken.

mod connect;
mod dialogue;
mod engine;
mod options;
mod outgoing;
mod phases;
mod processes;
mod progress;
mod report;
mod script;
mod sizes;
mod slot;
mod supply;
mod tally;
mod timer;

use crate::args::resolve;
use crate::content::{Content, Framing};
use crate::ledger::LedgerWriter;
use crate::tls::{self, Trust};
use crate::verify;
use clap::{Args, Subcommand};
use engine::{Engine, Setting};
pub use options::Options;
use options::Worker;
use progress::Progress;
use report::{Ending, Report};
use rustls::pki_types::ServerName;
use script::{Credentials, Pace, Script};
use std::fs;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use tally::Tally;

/// A load, or what came of one.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Source {
    #[command(flatten)]
    load: Option<Options>,
    #[command(subcommand)]
    command: Option<Afterwards>,
}

/// What is done after a load.
#[derive(Subcommand, Debug)]
enum Afterwards {
    /// The same as `loadtest verify`
    Verify(verify::Options),
}

/// Runs the load and prints its figures. Status 0 means: every message begun was acknowledged, without one unexpected reply.
pub fn run(source: &Source) -> Result<ExitCode, String> {
    match (&source.command, &source.load) {
        (Some(Afterwards::Verify(options)), _) => verify::run(options),
        (None, Some(options)) => load(options),
        (None, None) => Err("neither a load nor verify".into()),
    }
}

fn load(options: &Options) -> Result<ExitCode, String> {
    if options.sessions < options.processes {
        return Err("--processes: more than there are sessions".into());
    }
    if options.slow > options.sessions {
        return Err("--slow: more than there are sessions".into());
    }
    if let Some(worker) = options.worker {
        return part(options, worker);
    }
    let run = new_run();
    let report = if options.processes > 1 {
        processes::run(options, run)?
    } else {
        let mut shown = Progress::new(options.quiet);
        let mut progress =
            |tally: &Tally, live: usize| shown.show(tally.acknowledged, tally.errors.total(), live as u64);
        drive(options, Worker { index: 0, of: 1, run }, &mut progress, || true)?
    };
    if !options.quiet {
        print!("{}", report.text());
    }
    if let Some(path) = &options.json {
        fs::write(path, format!("{:#}\n", report.json())).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    if let Some(path) = &options.histograms {
        report.write_histograms(path)?;
    }
    verdict(options, &report)
}

/// One part of a run of several processes; the verdict is the whole run's.
fn part(options: &Options, worker: Worker) -> Result<ExitCode, String> {
    let mut progress =
        |tally: &Tally, live: usize| processes::tell_progress(tally.acknowledged, tally.errors.total(), live as u64);
    let report = drive(options, worker, &mut progress, processes::wait_for_start)?;
    processes::tell_report(&report)?;
    Ok(ExitCode::SUCCESS)
}

fn drive(
    options: &Options,
    worker: Worker,
    progress: &mut dyn FnMut(&Tally, usize),
    start: impl FnOnce() -> bool,
) -> Result<Report, String> {
    let to = resolve(&options.to)?;
    let script = script(options, worker.run)?;
    let ledger = match &options.ledger {
        Some(path) => {
            let written = LedgerWriter::create(path, worker.run);
            Some(written.map_err(|error| format!("{}: {error}", path.display()))?)
        }
        None => None,
    };
    crate::process::raise_descriptor_limit(u64::from(options.sessions).div_ceil(u64::from(worker.of)) + 64)?;
    let setting = Setting { options, to, script: &script, tls: tls(options)?, worker };
    if !start() {
        return Err("ended before the start".into());
    }
    let mut engine = Engine::new(&setting, ledger, progress)?;
    let ending = engine.run();
    engine.finish(ending)
}

fn verdict(options: &Options, report: &Report) -> Result<ExitCode, String> {
    match &report.ending {
        Ending::Fatal(text) => Err(text.clone()),
        Ending::Stalled => Err(format!("nothing moved for {:?}: given up", options.stall_timeout)),
        _ if options.until_lost && report.lost == 0 => Err("the server was not lost".into()),
        _ if options.until_lost => Ok(ExitCode::SUCCESS),
        Ending::Done if report.is_clean() => Ok(ExitCode::SUCCESS),
        // Messages under way when a signal came are no failure.
        Ending::Signal if report.errors.total() == 0 => Ok(ExitCode::SUCCESS),
        Ending::Signal | Ending::Done => Err(format!(
            "{} of {} messages were not acknowledged, {} never begun, {} errors",
            report.missing(),
            report.begun,
            report.never_begun,
            report.errors.total()
        )),
    }
}

fn script(options: &Options, run: u64) -> Result<Script, String> {
    let framing = if options.bdat { Framing::Bdat } else { Framing::Data };
    let sizes = options.size.octets(Content::least_size(&options.from, &options.recipient));
    let content = Content::prepare(run, &options.from, &options.recipient, &sizes, framing)?;
    let pace = match (options.group, options.pipelining) {
        (_, true) => Pace::Pipelining,
        (true, false) => Pace::Group,
        (false, false) => Pace::Stepwise,
    };
    let mut script = Script::new(content, &options.from, &options.recipient, pace, framing, options.lmtp);
    script.messages_per_connection = options.messages_per_connection;
    script.starttls = options.starttls;
    if let (Some(mechanism), Some(user), Some(path)) = (options.auth, &options.user, &options.password_file) {
        let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let password = text.lines().next().unwrap_or_default();
        script.credentials = Some(Credentials::new(mechanism, user, password));
    }
    Ok(script)
}

/// How TLS is spoken, if it is.
fn tls(options: &Options) -> Result<Option<(Arc<rustls::ClientConfig>, ServerName<'static>)>, String> {
    if !options.tls && !options.starttls {
        return Ok(None);
    }
    let trust = match &options.ca {
        Some(path) => Trust::Authority(path),
        None if options.insecure => Trust::Anyone,
        None => return Err("TLS needs --ca FILE, or --insecure to take any certificate".into()),
    };
    let host = options.to.rsplit_once(':').map_or("", |(host, _)| host).trim_matches(['[', ']']);
    let name = options.tls_name.as_deref().unwrap_or(host);
    let name = ServerName::try_from(name.to_string()).map_err(|error| format!("--tls-name {name}: {error}"))?;
    Ok(Some((tls::client_config(trust, options.tls_resume)?, name)))
}

/// A number that no other run has, as far as clock and process number tell.
fn new_run() -> u64 {
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
    nanos ^ (u64::from(std::process::id()) << 40)
}
