//! The leanest program's forms and ringpost under the same load, in turn, and all of it as shares of what the ring harness does
//! in the same minutes.

pub mod load;
mod report;
pub mod servers;

use crate::leanest::Form;
use crate::ring::{self, Place};
use crate::system;
use load::{End, Load};
use report::Report;
use servers::{Ringpost, SEGMENT, Server};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What `bench compare` is asked to do.
#[derive(clap::Args, Debug)]
pub struct Options {
    /// Connections at a time; repeat it (as --size and --pipelining) to compare under several loads, one after the other
    #[arg(long, default_values_t = [100])]
    pub sessions: Vec<u32>,
    /// Octets of a message
    #[arg(long, default_values_t = [4096])]
    pub size: Vec<u64>,
    /// Send commands before the replies to those before have come (true), or one at a time (false)
    #[arg(long, default_values_t = [true], action = clap::ArgAction::Append)]
    pub pipelining: Vec<bool>,
    /// Messages after which a connection is closed and a new one opened; 0: never
    #[arg(long, default_value_t = 0)]
    pub messages_per_connection: u32,
    /// Rounds that count; one to warm up comes before
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rounds: u32,
    /// Seconds of load on each server in each round
    #[arg(long, default_value_t = 2.0, value_parser = ring::seconds)]
    pub seconds: f64,
    /// On which disk: a directory that files are made in, and removed again
    #[arg(long, default_value = ".")]
    pub directory: PathBuf,
    /// ringpost's program; the one beside this if not given
    #[arg(long)]
    pub ringpost: Option<PathBuf>,
    /// loadtest's program; the one beside this if not given
    #[arg(long)]
    pub loadtest: Option<PathBuf>,
    /// Segments of 64 MiB that ringpost has written before; as many as 1 GB a second would fill if not given
    #[arg(long)]
    pub prepared: Option<u64>,
    /// File for the figures as JSON
    #[arg(long)]
    pub json: Option<PathBuf>,
}

/// Who takes the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contestant {
    /// A form of the leanest program.
    Leanest(Form),
    /// ringpost.
    Ringpost,
}

impl Contestant {
    /// All of them, in the order they are shown.
    pub const ALL: [Contestant; 5] = [
        Contestant::Leanest(Form::Glommio),
        Contestant::Leanest(Form::Mixed),
        Contestant::Leanest(Form::Executor),
        Contestant::Leanest(Form::Ring),
        Contestant::Ringpost,
    ];

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Contestant::Leanest(Form::Glommio) => "leanest, glommio",
            Contestant::Leanest(Form::Mixed) => "leanest, mixed",
            Contestant::Leanest(Form::Executor) => "leanest, executor",
            Contestant::Leanest(Form::Ring) => "leanest, one ring",
            Contestant::Ringpost => "ringpost",
        }
    }
}

/// One server in one round.
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    /// Processor time of a message, in microseconds.
    pub cpu_us: f64,
    /// Messages a second.
    pub per_second: f64,
    /// From the final dot to the reply, in milliseconds.
    pub p50_ms: f64,
    /// The same, of 99 in 100.
    pub p99_ms: f64,
    /// How long a batch took from one to the next, in milliseconds; the leanest program does not tell.
    pub batch_ms: Option<f64>,
    /// Of the machine's time, what neither server nor load took.
    pub others: f64,
}

/// What kernel and disk did in one round.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Octets a second, received over loopback.
    pub received: f64,
    /// Octets a second, written and synced 256 KiB at a time.
    pub written: f64,
    /// One block of 4 KiB written and synced, in microseconds, median.
    pub sync_us: f64,
}

/// Everything that a comparison needs.
struct Comparison<'a> {
    options: &'a Options,
    folder: &'a Path,
    load: Load,
    ringpost: Ringpost,
}

impl Options {
    /// All loads that were asked for.
    fn loads(&self, program: &Path, cpus: &[usize]) -> Vec<Load> {
        let load = |sessions: &u32, size: &u64, pipelining: &bool| Load {
            program: program.to_owned(),
            sessions: *sessions,
            size: *size,
            pipelining: *pipelining,
            messages_per_connection: self.messages_per_connection,
            cpus: cpus.to_vec(),
        };
        let (mut loads, paces) = (Vec::new(), &self.pipelining);
        for size in &self.size {
            for sessions in &self.sessions {
                loads.extend(paces.iter().map(|pipelining| load(sessions, size, pipelining)));
            }
        }
        loads
    }
}

/// Compares, prints and writes.
pub fn run(options: &Options) -> Result<(), String> {
    let folder = crate::folder_in(&options.directory)?;
    let folder_path = folder.path().canonicalize().map_err(|error| error.to_string())?;
    let cpus = system::cpus();
    let apart = if cpus.len() > 1 { cpus[1..].to_vec() } else { cpus.clone() };
    let loads = options.loads(&beside(&options.loadtest, "loadtest")?, &apart);
    let prepared = options.prepared.unwrap_or((options.seconds * 1e9 / SEGMENT as f64) as u64 + 4);
    let program = beside(&options.ringpost, "ringpost")?;
    let ringpost = Ringpost { prepared, ..Ringpost::new(program, cpus) };
    let mut reports = Vec::new();
    for load in loads {
        let comparison = Comparison { options, folder: &folder_path, load, ringpost: ringpost.clone() };
        comparison.announce();
        let report = comparison.rounds()?;
        report.print();
        println!();
        reports.push(report);
    }
    if reports.len() > 1 {
        report::print_together(&reports);
    }
    match (&options.json, &reports[..]) {
        (Some(path), [report]) => crate::write_json(path, &report.json()),
        (Some(path), reports) => {
            crate::write_json(path, &serde_json::Value::Array(reports.iter().map(Report::json).collect()))
        }
        (None, _) => Ok(()),
    }
}

/// A program that was named, or the one beside this.
pub fn beside(named: &Option<PathBuf>, name: &str) -> Result<PathBuf, String> {
    let program = match named {
        Some(program) => program.clone(),
        None => std::env::current_exe().map_err(|error| error.to_string())?.with_file_name(name),
    };
    let found = program.canonicalize();
    found.map_err(|error| format!("{}: {error}; cargo build --release --workspace", program.display()))
}

impl Comparison<'_> {
    fn announce(&self) {
        let Options { rounds, seconds, directory, .. } = self.options;
        println!("{}; {} on {}", system::describe(), directory.display(), system::file_system(directory));
        let (cpu, load) = (self.ringpost.cpu, &self.load.cpus);
        println!(
            "{}; {rounds} rounds of {seconds} s each, after one to warm up. Servers on CPU {cpu}, load on {load:?}.\n",
            self.load.describe()
        );
    }

    fn rounds(&self) -> Result<Report, String> {
        let mut report = Report::new(&self.load);
        report.head();
        for round in 0..=self.options.rounds {
            let bounds = self.bounds()?;
            // Nobody always comes after the same one.
            let mut order = Contestant::ALL;
            order.rotate_left(round as usize % Contestant::ALL.len());
            for contestant in order {
                report.measuring(round, contestant);
                let turn = self.turn(contestant)?;
                report.turn(round, contestant, turn, bounds);
            }
        }
        Ok(report)
    }

    /// The harness's figures, taken on the servers' CPU.
    fn bounds(&self) -> Result<Bounds, String> {
        const TIME: Duration = Duration::from_millis(300);
        let (cpu, peer_cpu) = (self.ringpost.cpu, self.load.cpus[0]);
        let place = Place { directory: self.folder.to_owned(), cpu, peer_cpu };
        let measured = std::thread::scope(|scope| {
            let work = || {
                system::pin(&[cpu])?;
                let measure = |name: &str| {
                    let case = ring::cases().into_iter().find(|case| case.name == name);
                    case.ok_or_else(|| std::io::Error::other(format!("no case {name}")))?.measure(&place, TIME)
                };
                let received = measure(ring::RECEIVE)?.octets_per_second;
                let written = measure(ring::SYNC_64)?.octets_per_second;
                Ok(Bounds { received, written, sync_us: measure(ring::SYNC_1)?.p50_us })
            };
            scope.spawn(work).join()
        });
        let measured: std::io::Result<Bounds> =
            measured.unwrap_or_else(|_| Err(std::io::Error::other("the harness panicked")));
        measured.map_err(|error| format!("the harness: {error}"))
    }

    fn turn(&self, contestant: Contestant) -> Result<Turn, String> {
        let server = match contestant {
            Contestant::Leanest(form) => Server::leanest(form, self.folder, self.ringpost.cpu)?,
            Contestant::Ringpost => Server::ringpost(&self.ringpost, self.folder)?,
        };
        let failed = |error: std::io::Error| format!("{}: {error}", contestant.name());
        // What was written to start with must not be written back while others are measured.
        // SAFETY: sync takes nothing and always succeeds.
        unsafe { libc::sync() };
        let warm = u64::from(self.load.sessions) * 10;
        self.load.run(server.address, End::Messages(warm), self.folder)?;
        let batches = server.batches()?;
        let (cpu, busy, begun) = (
            system::cpu_of(server.process()).map_err(failed)?,
            system::machine_busy().map_err(failed)?,
            Instant::now(),
        );
        let sent = self.load.run(server.address, End::Seconds(self.options.seconds), self.folder)?;
        let cpu = system::cpu_of(server.process()).map_err(failed)? - cpu;
        let (busy_after, stolen_after) = system::machine_busy().map_err(failed)?;
        let all = begun.elapsed() * system::cpus().len() as u32;
        let batches = server.batches()?.saturating_sub(batches);
        let others = (busy_after - busy.0).saturating_sub(cpu + sent.cpu) + (stolen_after - busy.1);
        if sent.messages == 0 {
            return Err(format!("{}: no message was taken", contestant.name()));
        }
        if server.segments().is_some_and(|segments| segments > self.ringpost.prepared + 2) {
            println!("  ringpost went beyond the segments that were written before: raise --prepared");
        }
        Ok(Turn {
            cpu_us: cpu.as_secs_f64() * 1e6 / sent.messages as f64,
            per_second: sent.per_second,
            p50_ms: sent.p50_ms,
            p99_ms: sent.p99_ms,
            batch_ms: (batches > 0).then(|| sent.messages as f64 / sent.per_second * 1000.0 / batches as f64),
            others: others.as_secs_f64() / all.as_secs_f64(),
        })
    }
}
