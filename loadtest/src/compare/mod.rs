//! `loadtest postfix`: the same load on Postfix and ringpost in turn, on this machine, and on smtp-sink, which keeps nothing.

mod debian;
mod postfix;
mod report;

use crate::args::seconds;
use crate::process::StopSignal;
use crate::rig::cpu;
use crate::rig::home::{self, Fate, Home, Spool};
use crate::rig::load::{End, Load};
use crate::rig::process::{PATIENCE, Server, free_port, greets};
use clap::{Args, ValueEnum};
use debian::Root;
use postfix::Postfix;
use report::{Results, Turn};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

/// Octets of one of ringpost's segments, in MiB.
const SEGMENT: u32 = 64;

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Taking mail alone: both hold it, ringpost in segments that were written before
    Intake,
    /// The whole way: both discard it while more comes, and use its space again
    Through,
}

/// The servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Peer {
    /// Postfix of Debian
    Postfix,
    /// This one
    Ringpost,
    /// Postfix's test server, which keeps nothing: what the load alone can do
    SmtpSink,
}

/// What `loadtest postfix` is asked to do.
#[derive(Args, Debug)]
pub struct Options {
    /// ringpost's program
    #[arg(long, default_value = "target/release/ringpost")]
    ringpost: PathBuf,
    /// Folder for the private root and the queues, on the disk to be measured; what was fetched into it is used again
    #[arg(long)]
    root: PathBuf,
    /// What is compared
    #[arg(long, value_enum, default_value_t = Mode::Intake)]
    mode: Mode,
    /// Whom to measure; all three if not given
    #[arg(long, value_enum)]
    only: Vec<Peer>,
    #[command(flatten)]
    load: Load,
    /// Rounds, of which the first only warms up
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u32).range(2..=1000))]
    rounds: u32,
    /// Seconds of load on each server in each round
    #[arg(long, default_value = "5", value_parser = seconds)]
    seconds: Duration,
    /// Messages before each measurement
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    warm_up: u64,
    /// Seconds of rest between two turns
    #[arg(long, default_value = "2", value_parser = seconds)]
    pause: Duration,
    /// Segments of 64 MiB that each of ringpost's shards has written before the load
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..=1000))]
    prepared: u32,
    /// Postfix's default_process_limit
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(10..=10_000))]
    processes: u32,
    /// File for all figures as JSON
    #[arg(long)]
    json: Option<PathBuf>,
    /// Keep queues and logs of all rounds
    #[arg(long)]
    keep: bool,
}

/// A server that can take its turn.
enum Contestant<'a> {
    Postfix(Postfix<'a>),
    Ringpost(Home),
    SmtpSink(&'a Root),
}

/// Compares.
pub fn run(options: &Options) -> Result<ExitCode, String> {
    // SAFETY: the call has no preconditions.
    if unsafe { libc::geteuid() } != 0 {
        return Err("Postfix's master must be started by root, and so must what enters a private root".into());
    }
    let stop = StopSignal::install().map_err(|error| error.to_string())?;
    let program =
        fs::canonicalize(&options.ringpost).map_err(|error| format!("{}: {error}", options.ringpost.display()))?;
    fs::create_dir_all(&options.root).map_err(|error| format!("{}: {error}", options.root.display()))?;
    let folder = fs::canonicalize(&options.root).map_err(|error| format!("{}: {error}", options.root.display()))?;
    let lock = File::create(folder.join("lock")).map_err(|error| format!("{}: {error}", folder.display()))?;
    lock.try_lock().map_err(|error| format!("{}: {error}; does another comparison run?", folder.display()))?;
    let root = Root::make(&folder, &stop)?;
    let mut contestants = contestants(options, &root, &folder, &program)?;
    let versions = json!({
        "postfix": postfix::version(&root)?,
        "ringpost": home::version(&program)?,
        "kernel": fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim(),
    });
    println!("{:?}: {}; {} s a turn; {versions}", options.mode, options.load.describe(), options.seconds.as_secs_f64());
    println!("{}", report::head());
    let mut results: Vec<Results> =
        contestants.iter().map(|contestant| Results { name: contestant.name(), turns: Vec::new() }).collect();
    let mut aside = Vec::new();
    let done = rounds(options, &folder, &mut contestants, &mut results, &mut aside, &stop);
    if !options.keep {
        aside.iter().for_each(|path| remove(path));
        contestants.iter().for_each(Contestant::clean);
    }
    done?;
    println!("\n{}", report::summary(&results));
    if let Some(path) = &options.json {
        let mut value = report::json(&results);
        value["mode"] = json!(format!("{:?}", options.mode).to_lowercase());
        value["load"] = json!(options.load.describe());
        value["versions"] = versions;
        fs::write(path, format!("{value:#}\n")).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn contestants<'a>(
    options: &Options,
    root: &'a Root,
    folder: &Path,
    program: &Path,
) -> Result<Vec<Contestant<'a>>, String> {
    let all = [Peer::Postfix, Peer::Ringpost, Peer::SmtpSink];
    let wanted = all.into_iter().filter(|peer| options.only.is_empty() || options.only.contains(peer));
    let fate = if options.mode == Mode::Intake { Fate::Held } else { Fate::Discarded };
    let spool = Spool { segment: SEGMENT, prepared: options.prepared };
    let make = |peer: Peer| {
        Ok(match peer {
            Peer::Postfix => Contestant::Postfix(Postfix::new(root, options.mode, options.processes)?),
            Peer::Ringpost => Contestant::Ringpost(Home::new(
                &folder.join(format!("ringpost-{}", std::process::id())),
                program,
                spool,
                fate,
            )?),
            Peer::SmtpSink => Contestant::SmtpSink(root),
        })
    };
    wanted.map(make).collect()
}

fn rounds(
    options: &Options,
    folder: &Path,
    contestants: &mut [Contestant<'_>],
    results: &mut [Results],
    aside: &mut Vec<PathBuf>,
    stop: &StopSignal,
) -> Result<(), String> {
    for round in 0..options.rounds as usize {
        let mut order: Vec<usize> = (0..contestants.len()).collect();
        if !round.is_multiple_of(2) {
            order.reverse();
        }
        for at in order {
            let contestant = &mut contestants[at];
            let turn = contestant.turn(options, folder, stop)?;
            println!("{}", report::row(round, contestant.name(), &turn));
            contestant.check(options, &turn)?;
            results[at].turns.push(turn);
            aside.extend(contestant.put_aside(folder, round)?);
            // What is still to be written back must not fall into the next turn.
            // SAFETY: the call has no preconditions.
            unsafe { libc::sync() };
            pause(options.pause, stop)?;
        }
    }
    Ok(())
}

fn pause(time: Duration, stop: &StopSignal) -> Result<(), String> {
    let end = Instant::now() + time;
    while Instant::now() < end {
        if stop.is_set() {
            return Err("stopped by a signal".into());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Whether there is any file below a folder.
fn holds_files(folder: &Path) -> bool {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).any(|path| if path.is_dir() { holds_files(&path) } else { true })
}

fn remove(path: &Path) {
    let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
}

impl Contestant<'_> {
    fn name(&self) -> &'static str {
        match self {
            Contestant::Postfix(_) => "postfix",
            Contestant::Ringpost(_) => "ringpost",
            Contestant::SmtpSink(_) => "smtp-sink",
        }
    }

    fn start(&mut self, options: &Options, stop: &StopSignal) -> Result<(Server, u16), String> {
        match self {
            Contestant::Postfix(postfix) => Ok((postfix.start(stop)?, postfix.port())),
            Contestant::Ringpost(home) => Ok((home.start(stop)?, home.port())),
            Contestant::SmtpSink(root) => {
                let port = free_port()?;
                let mut command = root.command("/usr/sbin/smtp-sink");
                let backlog = (2 * options.load.sessions).to_string();
                command.args(["-u", "postfix", &format!("127.0.0.1:{port}"), &backlog]);
                command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit());
                let mut server = Server::start("smtp-sink", command)?;
                server.wait_until("greeting", stop, || greets(port))?;
                Ok((server, port))
            }
        }
    }

    /// Starts the server, warms it up, measures it and ends it.
    fn turn(&mut self, options: &Options, folder: &Path, stop: &StopSignal) -> Result<Turn, String> {
        let (server, port) = self.start(options, stop)?;
        let capacity = std::thread::available_parallelism().map_or(1, usize::from) as f64;
        options.load.run(port, End::Messages(options.warm_up), folder, stop)?;
        let (busy, steal) = cpu::of_machine()?;
        let (cpu, begun) = (server.cpu()?, Instant::now());
        let figures = options.load.run(port, End::Time(options.seconds), folder, stop)?;
        // What was taken is not done before it is where it is to go.
        let waited = self.wait_until_through(options, &figures, stop)?;
        let (busy_after, steal_after) = cpu::of_machine()?;
        let cpu = server.cpu()? - cpu;
        let wall = begun.elapsed().as_secs_f64();
        let (busy, steal) = (busy_after - busy, steal_after - steal);
        let method = server.cpu_method();
        let by_family = cpu::of_family(server.pid());
        server.stop()?;
        let number = |value: &Value| value.as_f64().unwrap_or(0.0);
        let messages = number(&figures["acknowledged"]).max(1.0);
        let load = number(&figures["source_cpu_s"]);
        let per_10k = |seconds: f64| seconds * 10_000.0 / messages;
        let p = |name: &str| number(&figures["latency_ms"][name]);
        Ok(Turn {
            // Through means through: the time until nothing is left counts.
            rate: if waited { messages / wall } else { number(&figures["messages_per_s"]) },
            cpu: per_10k(cpu),
            busy: per_10k(busy - load),
            p50: p("p50"),
            p99: p("p99"),
            others: ((busy - cpu - load).max(0.0) + steal) / (wall * capacity),
            method,
            more: json!({ "source": figures, "family_cpu_s_since_start": by_family, "wall_s": wall }),
        })
    }

    /// In the mode `through`: until all that was acknowledged has been discarded. Whether there was anything to wait for.
    fn wait_until_through(&self, options: &Options, figures: &Value, stop: &StopSignal) -> Result<bool, String> {
        let all = options.warm_up as usize + figures["acknowledged"].as_u64().unwrap_or(0) as usize;
        let mut count = match self {
            _ if options.mode == Mode::Intake => return Ok(false),
            Contestant::Postfix(postfix) => postfix.deliveries(),
            Contestant::Ringpost(home) => home.discarded(),
            Contestant::SmtpSink(_) => return Ok(false),
        };
        let deadline = Instant::now() + PATIENCE;
        while count.now() < all {
            if Instant::now() > deadline {
                return Err(format!(
                    "{}: {all} messages were not discarded within {} s",
                    self.name(),
                    PATIENCE.as_secs()
                ));
            }
            pause(Duration::from_millis(50), stop)?;
        }
        Ok(true)
    }

    /// A server that did other work than it should is not compared.
    fn check(&self, options: &Options, turn: &Turn) -> Result<(), String> {
        let all = options.warm_up as usize + turn.more["source"]["acknowledged"].as_u64().unwrap_or(0) as usize;
        match (self, options.mode) {
            (Contestant::Postfix(postfix), Mode::Intake) if postfix.queued() < all => {
                Err(format!("Postfix holds {} messages of {all} that it acknowledged", postfix.queued()))
            }
            (Contestant::Ringpost(home), mode) => {
                if holds_files(&home.var().join("mail")) {
                    return Err("ringpost delivered mail".into());
                }
                let shards = fs::read_dir(home.var().join("spool")).map_or(1, |shards| shards.count().max(1));
                if mode == Mode::Intake && home.segments() > shards * (options.prepared as usize + 1) {
                    println!("  ringpost went beyond the segments prepared for it: raise --prepared");
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Removes what the last turn left.
    fn clean(&self) {
        match self {
            Contestant::Postfix(postfix) => postfix.clean(),
            Contestant::Ringpost(home) => remove(home.directory()),
            Contestant::SmtpSink(_) => {}
        }
    }

    fn put_aside(&mut self, folder: &Path, round: usize) -> Result<Vec<PathBuf>, String> {
        match self {
            Contestant::Postfix(postfix) => postfix.put_aside(),
            Contestant::Ringpost(home) => {
                let target = folder.join(format!("ringpost.aside.{round}"));
                remove(&target);
                fs::rename(home.var(), &target).map_err(|error| format!("{}: {error}", home.var().display()))?;
                Ok(vec![target])
            }
            Contestant::SmtpSink(_) => Ok(Vec::new()),
        }
    }
}
