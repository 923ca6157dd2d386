//! `loadtest regress A B`: whether build B takes more processor time a message than build A.

mod statistics;
mod verdict;

use crate::process::StopSignal;
use crate::rig::cores::Cores;
use crate::rig::cpu;
use crate::rig::home::{self, Fate, Home, Spool};
use crate::rig::load::{End, Load};
use crate::rig::process::Server;
use clap::Args;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use verdict::{Finding, Interval, LEAST_ROUNDS, Rule};

/// Octets of a segment in MiB: small, for each round writes all its segments anew.
const SEGMENT: u32 = 16;

/// Octets that a message's record and the round's slack may take beside its content.
const OVERHEAD: u64 = 2048;

/// What `loadtest regress` is asked to do.
#[derive(Args, Debug)]
pub struct Options {
    /// ringpost as it was
    a: PathBuf,
    /// ringpost as it is now
    b: PathBuf,
    #[command(flatten)]
    load: Load,
    /// Messages of each of the four turns of a round (A B B A)
    #[arg(long, default_value_t = 5000, value_parser = clap::value_parser!(u64).range(10..=1_000_000))]
    messages: u64,
    /// Messages before the first turn of each server, not counted
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    warm_up: u64,
    /// Most rounds
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(2..=1000))]
    rounds: u32,
    /// Per cent from which on a difference matters
    #[arg(long, default_value = "2", value_parser = crate::args::positive)]
    margin: f64,
    /// Per cent of confidence of the verdict, over all looks together
    #[arg(long, default_value = "95", value_parser = confidence)]
    confidence: f64,
    /// Folder for the spools, on the disk to be used
    #[arg(long, default_value = "/var/tmp")]
    work: PathBuf,
    /// File for all figures as JSON
    #[arg(long)]
    json: Option<PathBuf>,
}

fn confidence(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(number) if (50.0..100.0).contains(&number) => Ok(number),
        _ => Err("not a number from 50 and below 100".into()),
    }
}

/// Processor microseconds a message of the two builds in one round, the first turn and the last of each together.
#[derive(Clone, Copy, Debug)]
struct Round {
    a: f64,
    b: f64,
}

/// A directory that is gone with it.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Compares. Status 0: no change, or faster; 1: slower; 2: undecided.
pub fn run(options: &Options) -> Result<ExitCode, String> {
    let stop = StopSignal::install().map_err(|error| error.to_string())?;
    let programs = [&options.a, &options.b]
        .map(|path| fs::canonicalize(path).map_err(|error| format!("{}: {error}", path.display())));
    let [a, b] = programs;
    let (a, b) = (a?, b?);
    let rule = Rule::new(options.margin / 100.0, 1.0 - options.confidence / 100.0, options.rounds as usize);
    println!("A  {}  {}", a.display(), home::version(&a)?);
    println!("B  {}  {}", b.display(), home::version(&b)?);
    println!(
        "{}; {} messages a turn, A B B A; looks after {:?} rounds, {} % sure over all of them, margin {} %",
        options.load.describe(),
        options.messages,
        rule.looks,
        options.confidence,
        options.margin
    );
    let cores = Cores::find().map_err(|error| format!("the processors: {error}"))?;
    match cores.server() {
        Some(cpu) => println!("the servers on CPU {cpu}, the load on the others"),
        None => println!("servers and load share one CPU: the figures are noisier than where they have one each"),
    }
    let scratch = Scratch(options.work.join(format!("loadtest-regress-{}", std::process::id())));
    fs::create_dir_all(&scratch.0).map_err(|error| format!("{}: {error}", scratch.0.display()))?;
    let mut rounds: Vec<Round> = Vec::new();
    let (interval, finding) = loop {
        let number = rounds.len() + 1;
        let round = round(options, [&a, &b], &scratch.0.join(format!("{number}")), number, &cores, &stop)?;
        rounds.push(round);
        eprintln!("round {number:<3} A {:>8.2} us  B {:>8.2} us  B/A {:.4}", round.a, round.b, round.b / round.a);
        if rule.is_look(number) {
            let interval = rule.interval(&rounds.iter().map(|round| (round.b / round.a).ln()).collect::<Vec<_>>());
            let finding = rule.find(&interval);
            eprintln!("look      {}", describe(&interval, finding));
            if finding != Finding::Undecided || Some(&number) == rule.looks.last() {
                break (interval, finding);
            }
        }
    };
    report(options, &rule, &rounds, &interval, finding)
}

/// Both servers are started and warmed up, and then loaded in turn, first and last the same one, so that whatever drifts evenly
/// over the round falls on both. Which one that is changes from round to round.
fn round(
    options: &Options,
    programs: [&Path; 2],
    folder: &Path,
    number: usize,
    cores: &Cores,
    stop: &StopSignal,
) -> Result<Round, String> {
    let pinned = |error: std::io::Error| format!("the processors: {error}");
    let _scratch = Scratch(folder.to_owned());
    let size = options.load.size.parse::<u64>().unwrap_or(64 * 1024);
    let octets = (2 * options.messages + options.warm_up) * (size + OVERHEAD);
    let prepared = (octets / (u64::from(SEGMENT) << 20)) as u32 + 2;
    let mut servers = Vec::new();
    for (name, program) in ["a", "b"].iter().zip(programs) {
        let home = Home::new(&folder.join(name), program, Spool { segment: SEGMENT, prepared }, Fate::Held)?;
        cores.use_servers().map_err(pinned)?;
        let server = home.start(stop);
        cores.use_others().map_err(pinned)?;
        let server = server?;
        options.load.run(home.port(), End::Messages(options.warm_up), folder, stop)?;
        servers.push((home, server));
    }
    let mut spent = [0.0; 2];
    let order = if number.is_multiple_of(2) { [0, 1, 1, 0] } else { [1, 0, 0, 1] };
    for at in order {
        let (home, server) = &servers[at];
        let before = cpu::of_process(server.pid())?;
        options.load.run(home.port(), End::Messages(options.messages), folder, stop)?;
        spent[at] += cpu::of_process(server.pid())? - before;
    }
    for (_, server) in servers {
        end(server)?;
    }
    let each = |seconds: f64| seconds * 1e6 / (2 * options.messages) as f64;
    Ok(Round { a: each(spent[0]), b: each(spent[1]) })
}

fn end(server: Server) -> Result<(), String> {
    let status = server.stop()?;
    if status.success() { Ok(()) } else { Err(format!("ringpost ended with {status} at SIGTERM")) }
}

fn describe(interval: &Interval, finding: Finding) -> String {
    let per_cent = |ratio: f64| (ratio - 1.0) * 100.0;
    format!(
        "B/A {:.4}, that is {:+.2} % (between {:+.2} % and {:+.2} %): {}",
        interval.ratio,
        per_cent(interval.ratio),
        per_cent(interval.low),
        per_cent(interval.high),
        finding.name()
    )
}

fn report(
    options: &Options,
    rule: &Rule,
    rounds: &[Round],
    interval: &Interval,
    finding: Finding,
) -> Result<ExitCode, String> {
    let median = |of: fn(&Round) -> f64| {
        let mut values: Vec<f64> = rounds.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    println!("A  median {:.2} us of processor time a message", median(|round| round.a));
    println!("B  median {:.2} us of processor time a message", median(|round| round.b));
    println!("{} after {} rounds, with {} % confidence", describe(interval, finding), rounds.len(), options.confidence);
    if rounds.len() < LEAST_ROUNDS {
        println!("fewer than {LEAST_ROUNDS} rounds: even the interval is a guess");
    }
    if let Some(path) = &options.json {
        let all: Vec<Value> = rounds.iter().map(|round| json!({ "a_us": round.a, "b_us": round.b })).collect();
        let value = json!({
            "a": options.a, "b": options.b, "verdict": finding.name(), "ratio": interval.ratio,
            "low": interval.low, "high": interval.high, "confidence": options.confidence, "margin": options.margin,
            "looks": rule.looks, "rounds": all,
        });
        fs::write(path, format!("{value:#}\n")).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(match finding {
        Finding::NoChange | Finding::Faster => ExitCode::SUCCESS,
        Finding::Slower => ExitCode::FAILURE,
        Finding::Undecided => ExitCode::from(2),
    })
}
