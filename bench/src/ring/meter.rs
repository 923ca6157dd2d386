//! Measures one case: how much was done in the time that was counted, and how long each round took.

use crate::figures::Spread;
use crate::system::{self, Cpu};
use hdrhistogram::Histogram;
use serde_json::{Value, json};
use std::io;
use std::time::{Duration, Instant};

/// Parts of the time whose rates show the spread.
const SLICES: u32 = 8;

/// Octets and operations of a round, and how long both clocks ran.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    operations: u64,
    octets: u64,
    time: Duration,
}

/// A stopwatch that runs only while the work itself is done.
pub struct Meter {
    budget: Duration,
    begun: Instant,
    cpu: Cpu,
    running: Option<(Instant, Duration)>,
    round: Duration,
    slice: Sum,
    all: Sum,
    cpu_time: Duration,
    rates: Vec<f64>,
    rounds: Histogram<u64>,
}

/// What was measured.
#[derive(Clone, Debug)]
pub struct Figures {
    /// Operations a second, over parts of the time.
    pub per_second: Spread,
    /// Processor time of one, in microseconds.
    pub cpu_us: f64,
    /// Half of the rounds took no longer for each operation, in microseconds.
    pub p50_us: f64,
    /// 99 of 100 rounds took no longer for each operation, in microseconds.
    pub p99_us: f64,
    /// Octets a second.
    pub octets_per_second: f64,
}

impl Meter {
    /// For so much counted time. Processor time is that of the whole process unless [`Meter::count_thread`] is called.
    pub fn new(budget: Duration) -> Meter {
        Meter {
            budget,
            begun: Instant::now(),
            cpu: Cpu::Process,
            running: None,
            round: Duration::ZERO,
            slice: Sum::default(),
            all: Sum::default(),
            cpu_time: Duration::ZERO,
            rates: Vec::new(),
            rounds: Histogram::new(3).expect("three digits are within the bounds"),
        }
    }

    /// Counts only the calling thread's processor time, for other threads are the other end.
    pub fn count_thread(&mut self) {
        self.cpu = Cpu::Thread;
    }

    /// Whether there is time for another round. What is not counted may take a few times as long.
    pub fn goes_on(&self) -> bool {
        let longest = self.budget * 6 + Duration::from_secs(2);
        let first = self.all.operations == 0;
        !system::is_stopping() && (first || self.all.time < self.budget && self.begun.elapsed() < longest)
    }

    /// How many rounds there may be if `a_second` are done in one: a bound for what is prepared.
    pub fn rounds_expected(&self, a_second: u32) -> usize {
        (self.budget.as_secs_f64() * f64::from(a_second)).ceil().max(1.0) as usize
    }

    /// Lets the watch run.
    pub fn start(&mut self) {
        self.running = Some((Instant::now(), self.cpu.now()));
    }

    /// Stops the watch; it may run on within the same round.
    pub fn pause(&mut self) {
        if let Some((began, cpu)) = self.running.take() {
            self.cpu_time += self.cpu.now().saturating_sub(cpu);
            self.round += began.elapsed();
        }
    }

    /// Ends a round, in which so much was done.
    pub fn end_round(&mut self, operations: u64, octets: u64) {
        let time = std::mem::take(&mut self.round);
        // It grows with what it is given; a round of centuries is none.
        let _ = self.rounds.record(time.as_nanos() as u64 / operations.max(1));
        for sum in [&mut self.slice, &mut self.all] {
            *sum = Sum { operations: sum.operations + operations, octets: sum.octets + octets, time: sum.time + time };
        }
        if self.slice.time >= self.budget / SLICES {
            self.rates.push(rate(self.slice.operations, self.slice.time));
            self.slice = Sum::default();
        }
    }

    /// A whole round of so many operations; the work says how many octets it moved.
    pub fn round(&mut self, operations: u64, work: impl FnOnce() -> io::Result<u64>) -> io::Result<()> {
        self.start();
        let octets = work();
        self.pause();
        self.end_round(operations, octets?);
        Ok(())
    }

    /// What was measured.
    pub fn finish(mut self) -> Figures {
        if self.rates.is_empty() && self.all.operations > 0 {
            self.rates.push(rate(self.all.operations, self.all.time));
        }
        let quantile = |quantile| self.rounds.value_at_quantile(quantile) as f64 / 1e3;
        Figures {
            per_second: Spread::of(&self.rates),
            cpu_us: self.cpu_time.as_secs_f64() * 1e6 / self.all.operations.max(1) as f64,
            p50_us: quantile(0.5),
            p99_us: quantile(0.99),
            octets_per_second: rate(self.all.octets, self.all.time),
        }
    }
}

fn rate(count: u64, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64().max(1e-9)
}

impl Figures {
    /// As JSON.
    pub fn json(&self, group: &str, name: &str) -> Value {
        json!({
            "group": group,
            "name": name,
            "per_second": self.per_second.json(),
            "cpu_us": self.cpu_us,
            "p50_us": self.p50_us,
            "p99_us": self.p99_us,
            "octets_per_second": self.octets_per_second,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_was_done_while_it_ran() {
        let mut meter = Meter::new(Duration::from_millis(2));
        while meter.goes_on() {
            meter.round(10, || Ok(1000)).expect("the round ends well");
        }
        let figures = meter.finish();
        assert!(figures.per_second.median > 0.0 && figures.octets_per_second > figures.per_second.least);
        assert!(figures.p50_us <= figures.p99_us);
        let mut meter = Meter::new(Duration::from_millis(2));
        let slow = || {
            std::thread::sleep(Duration::from_millis(3));
            Ok(0)
        };
        meter.round(1, slow).expect("the round ends well");
        assert!(meter.finish().p50_us >= 2990.0);
    }

    #[test]
    fn a_failed_round_is_told() {
        let mut meter = Meter::new(Duration::from_millis(2));
        assert!(meter.round(1, || Err(io::ErrorKind::InvalidData.into())).is_err());
    }
}
