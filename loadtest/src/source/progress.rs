//! How far a run is, on standard error: each second on a terminal, each ten elsewhere.

use std::io::{self, IsTerminal};
use std::time::Instant;

/// What was shown last.
pub struct Progress {
    every: Option<u32>,
    calls: u32,
    acknowledged: u64,
    shown: Instant,
}

impl Progress {
    /// Shows nothing if `quiet`.
    pub fn new(quiet: bool) -> Progress {
        let every = if io::stderr().is_terminal() { 1 } else { 10 };
        Progress { every: (!quiet).then_some(every), calls: 0, acknowledged: 0, shown: Instant::now() }
    }

    /// To be called once a second.
    pub fn show(&mut self, acknowledged: u64, errors: u64, sessions: u64) {
        self.calls += 1;
        if self.every.is_none_or(|every| !self.calls.is_multiple_of(every)) {
            return;
        }
        let rate = (acknowledged - self.acknowledged) as f64 / self.shown.elapsed().as_secs_f64().max(0.001);
        eprintln!("{acknowledged} acknowledged, {rate:.0}/s, {errors} errors, {sessions} sessions");
        (self.acknowledged, self.shown) = (acknowledged, Instant::now());
    }
}
