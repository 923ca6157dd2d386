//! How many instructions a run takes: by the processor's counter, or else by running it under callgrind.

use super::Prepared;
use crate::perf::{Counter, Event};
use std::process::{Command, Stdio};

/// What counts.
pub enum Instructions {
    /// The processor's counter, read through perf_event_open.
    Hardware(Counter),
    /// `valgrind --tool=callgrind`, which runs the program again.
    Callgrind,
    /// Nothing: why.
    Nothing(String),
}

/// The option with which the program runs one case under callgrind.
pub const MEASURED: &str = "--measured";

impl Instructions {
    /// The best that this machine has.
    pub fn find() -> Instructions {
        let denied = match Counter::open(Event::UserInstructions, 0) {
            Ok(counter) => return Instructions::Hardware(counter),
            Err(error) => error,
        };
        let valgrind = Command::new("valgrind").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        match valgrind {
            Ok(status) if status.success() => Instructions::Callgrind,
            _ => Instructions::Nothing(format!("no counter of the processor ({denied}), and no valgrind")),
        }
    }

    /// What to tell people.
    pub fn describe(&self) -> String {
        match self {
            Instructions::Hardware(_) => "by the processor's counter, user mode".into(),
            Instructions::Callgrind => {
                "by valgrind's callgrind: the processor's counters are not to be had here".into()
            }
            Instructions::Nothing(why) => format!("not counted: {why}"),
        }
    }

    /// Instructions of one run of a case.
    pub fn of(&self, name: &str, prepared: &mut Prepared) -> Option<f64> {
        let times = times(prepared.octets);
        let all = match self {
            Instructions::Hardware(counter) => {
                let before = counter.read().ok()?;
                bench_measured(&mut prepared.run, times);
                counter.read().ok()? - before
            }
            Instructions::Callgrind => callgrind(name)?,
            Instructions::Nothing(_) => return None,
        };
        Some(all as f64 / times as f64)
    }
}

/// How often a case is run to count: more often what is short.
fn times(octets: u64) -> u64 {
    (1 << 20) / octets.clamp(1 << 14, 1 << 20)
}

/// Runs a case as often as it is counted. The name is what callgrind looks for.
#[unsafe(no_mangle)]
#[inline(never)]
fn bench_measured(run: &mut dyn FnMut() -> u64, times: u64) -> u64 {
    (0..times).fold(0, |sum, _| std::hint::black_box(sum ^ run()))
}

/// Runs a case in this process for callgrind, which counts.
pub fn run_measured(prepared: &mut Prepared) {
    // What is done only the first time is no cost of a run.
    (prepared.run)();
    bench_measured(&mut prepared.run, times(prepared.octets));
}

fn callgrind(name: &str) -> Option<u64> {
    let program = std::env::current_exe().ok()?;
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--collect-atstart=no"]);
    command.arg("--toggle-collect=bench_measured").arg(program).args([MEASURED, name]);
    collected(&String::from_utf8_lossy(&command.output().ok()?.stderr))
}

/// The sum that callgrind tells at its end: `==7== Collected : 1234`.
pub fn collected(told: &str) -> Option<u64> {
    let line = told.lines().find(|line| line.contains("Collected :"))?;
    line.rsplit(':').next()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_callgrind_tells() {
        assert_eq!(collected("==7== Events    : Ir\n==7== Collected : 23400\n"), Some(23400));
        assert_eq!(collected("==7== Command: x"), None);
        assert_eq!((times(10), times(1 << 20), times(10 << 20)), (64, 1, 1));
    }
}
