//! A run of several processes: each drives its share of sessions and messages, and their figures are added up here.
//!
//! The parts are this same program. Each says on its standard output when it is ready, waits until all are, and then tells how far it
//! is once a second and everything at the end, a line of JSON each.

use super::options::{Options, Worker};
use super::progress::Progress;
use super::report::Report;
use crate::ledger::LedgerWriter;
use crate::process::{self, StopSignal};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

/// A process that is ended when nobody needs it any more.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

/// Runs all parts and adds up what they found.
pub fn run(options: &Options, run: u64) -> Result<Report, String> {
    // Made first, so that one that exists ends the run before it begins.
    let ledger = options.ledger.as_deref().map(|path| Ledger::create(path, run)).transpose()?;
    let stop = StopSignal::install().map_err(|error| error.to_string())?;
    let (sender, lines) = mpsc::channel();
    let mut running = Vec::new();
    let mut inputs = Vec::new();
    for index in 0..options.processes {
        let worker = Worker { index, of: options.processes, run };
        let (child, input) = start(&worker, ledger.as_ref(), sender.clone())?;
        running.push(child);
        inputs.push(input);
    }
    drop(sender);
    let report = collect(options, &lines, &stop, inputs, &running);
    if let Some(ledger) = ledger {
        ledger.join(options.processes)?;
    }
    report
}

fn start(
    worker: &Worker,
    ledger: Option<&Ledger>,
    sender: Sender<(u32, Value)>,
) -> Result<(Running, ChildStdin), String> {
    let failed = |error: io::Error| format!("process {}: {error}", worker.index);
    let program = std::env::current_exe().map_err(failed)?;
    let mut command = Command::new(program);
    // What was said to this process is said to each part, but for what only the whole has.
    let mut arguments = std::env::args_os().skip(1);
    while let Some(argument) = arguments.next() {
        let text = argument.to_string_lossy();
        let name = text.split('=').next().unwrap_or_default();
        if ["--ledger", "--json", "--histograms", "--processes"].contains(&name) {
            if name == text {
                arguments.next();
            }
        } else {
            command.arg(argument);
        }
    }
    command.arg(format!("--worker={}", worker.argument()));
    if let Some(ledger) = ledger {
        command.arg("--ledger").arg(ledger.part(worker.index));
    }
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(failed)?;
    let (input, output) = (child.stdin.take(), child.stdout.take());
    let running = Running(child);
    let (Some(input), Some(output)) = (input, output) else {
        return Err(format!("process {}: no pipes", worker.index));
    };
    let index = worker.index;
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let value = serde_json::from_str(&line).unwrap_or(Value::Null);
            if sender.send((index, value)).is_err() {
                return;
            }
        }
    });
    Ok((running, input))
}

fn collect(
    options: &Options,
    lines: &Receiver<(u32, Value)>,
    stop: &StopSignal,
    mut inputs: Vec<ChildStdin>,
    running: &[Running],
) -> Result<Report, String> {
    let count = options.processes as usize;
    let mut progress = Progress::new(options.quiet);
    let (mut ready, mut passed_on) = (0, false);
    let mut state: Vec<[u64; 3]> = vec![[0; 3]; count];
    let mut reports: Vec<Option<Report>> = (0..count).map(|_| None).collect();
    loop {
        if stop.is_set() && !std::mem::replace(&mut passed_on, true) {
            running.iter().for_each(|child| process::terminate(child.0.id()));
            // One that is not ready yet waits for its start, and hears of the end by this.
            inputs.clear();
        }
        let (index, value) = match lines.recv_timeout(Duration::from_millis(100)) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => break,
        };
        let index = index as usize;
        if value["ready"] == true {
            ready += 1;
            if ready == count {
                for input in &mut inputs {
                    input.write_all(b"go\n").map_err(|error| format!("a process is gone: {error}"))?;
                }
            }
        } else if let Some(counts) = value["progress"].as_array() {
            let count = |at: usize| counts.get(at).and_then(Value::as_u64).unwrap_or(0);
            state[index] = [count(0), count(1), count(2)];
            let sum = |at: usize| state.iter().map(|counts| counts[at]).sum();
            if index == 0 {
                progress.show(sum(0), sum(1), sum(2));
            }
        } else {
            reports[index] = Some(Report::from_part(&value["report"])?);
        }
    }
    let mut whole: Option<Report> = None;
    for (index, report) in reports.into_iter().enumerate() {
        let report = report.ok_or_else(|| format!("process {index} ended without its figures"))?;
        match &mut whole {
            None => whole = Some(report),
            Some(whole) => whole.add(&report)?,
        }
    }
    whole.ok_or_else(|| "no process".into())
}

/// A part's side: says that it is ready and waits until all are. False if there is to be no run.
pub fn wait_for_start() -> bool {
    println!("{}", json!({ "ready": true }));
    let mut line = String::new();
    io::stdin().read_line(&mut line).is_ok() && line == "go\n"
}

/// A part's side: how far it is.
pub fn tell_progress(acknowledged: u64, errors: u64, sessions: u64) {
    println!("{}", json!({ "progress": [acknowledged, errors, sessions] }));
}

/// A part's side: everything.
pub fn tell_report(report: &Report) -> Result<(), String> {
    println!("{}", json!({ "report": report.part()? }));
    Ok(())
}

/// The ledger of the whole run, into which those of the parts are joined at the end.
struct Ledger {
    path: PathBuf,
}

impl Ledger {
    fn create(path: &Path, run: u64) -> Result<Ledger, String> {
        let created = LedgerWriter::create(path, run).and_then(|mut writer| writer.flush());
        created.map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Ledger { path: path.to_owned() })
    }

    fn part(&self, index: u32) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{index}"));
        name.into()
    }

    fn join(&self, processes: u32) -> Result<(), String> {
        let failed = |error: io::Error| format!("{}: {error}", self.path.display());
        let mut whole = File::options().append(true).open(&self.path).map_err(failed)?;
        for path in (0..processes).map(|index| self.part(index)) {
            // A part that never began has none.
            let Ok(file) = File::open(&path) else { continue };
            let mut part = BufReader::new(file);
            part.read_line(&mut String::new()).map_err(failed)?;
            io::copy(&mut part, &mut whole).map_err(failed)?;
            fs::remove_file(&path).map_err(failed)?;
        }
        Ok(())
    }
}
