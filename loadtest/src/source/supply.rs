//! Which message is next, and when it is due: at once, or at its place in a schedule that does not wait for the server.

use crate::random::Random;
use std::time::{Duration, Instant};

/// A message that may be begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begun {
    /// Its number.
    pub seq: u64,
    /// When it was due, if there is a schedule.
    pub due: Option<Instant>,
}

/// Whether there is a next message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// This one.
    Message(Begun),
    /// It is not due yet.
    Later,
    /// There is none any more.
    Over,
}

/// How arrivals are spaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Arrivals {
    /// At random, as from many clients that know nothing of each other (a Poisson process)
    Poisson,
    /// Evenly
    Even,
}

/// When messages are due.
#[derive(Debug)]
pub struct Schedule {
    start: Instant,
    /// Messages a second, of all processes together.
    rate: f64,
    /// Seconds over which the rate grows from nothing.
    ramp: f64,
    arrivals: Arrivals,
    /// Place of the next message among all, and how far on the one after it is.
    place: f64,
    step: f64,
    random: Random,
    /// From when on nothing is due.
    end: Option<Duration>,
}

/// One process's part of the numbers: every so many-th.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Which one, from 0.
    pub index: u64,
    /// Of how many.
    pub of: u64,
}

/// Hands out messages until there are to be no more.
#[derive(Debug)]
pub struct Supply {
    part: Part,
    begun: u64,
    limit: u64,
    schedule: Option<Schedule>,
    now: Instant,
}

impl Schedule {
    /// From `start` on, for one part of the messages.
    pub fn new(start: Instant, rate: f64, ramp: Duration, arrivals: Arrivals, part: Part, seed: u64) -> Schedule {
        let mut random = Random::new(seed ^ part.index);
        let step = part.of as f64;
        let place = match arrivals {
            Arrivals::Even => part.index as f64,
            Arrivals::Poisson => step * random.exponential(),
        };
        Schedule { start, rate, ramp: ramp.as_secs_f64(), arrivals, place, step, random, end: None }
    }

    /// Nothing is due from `end` after the start on.
    pub fn until(self, end: Option<Duration>) -> Schedule {
        Schedule { end, ..self }
    }

    /// How long after the start the next message is due; `None` if there is none.
    fn next(&self) -> Option<Duration> {
        let in_ramp = self.rate * self.ramp / 2.0;
        let seconds = if self.place < in_ramp {
            (2.0 * self.place * self.ramp / self.rate).sqrt()
        } else {
            self.ramp + (self.place - in_ramp) / self.rate
        };
        let next = Duration::from_secs_f64(seconds);
        self.end.is_none_or(|end| next < end).then_some(next)
    }

    fn advance(&mut self) {
        self.place += match self.arrivals {
            Arrivals::Even => self.step,
            Arrivals::Poisson => self.step * self.random.exponential(),
        };
    }
}

impl Supply {
    /// At most `limit` messages, each at once or as the schedule says.
    pub fn new(part: Part, limit: u64, schedule: Option<Schedule>) -> Supply {
        Supply { part, begun: 0, limit, schedule, now: Instant::now() }
    }

    /// Time goes on.
    pub fn tick(&mut self, now: Instant) {
        self.now = now;
    }

    /// How many were handed out.
    pub fn begun(&self) -> u64 {
        self.begun
    }

    /// Whether another one can be had, now or later.
    pub fn is_left(&self) -> bool {
        self.begun < self.limit && self.schedule.as_ref().is_none_or(|schedule| schedule.next().is_some())
    }

    /// When the next one is due, if there is a schedule with anything left.
    pub fn next_due(&self) -> Option<Instant> {
        let schedule = self.schedule.as_ref().filter(|_| self.begun < self.limit)?;
        Some(schedule.start + schedule.next()?)
    }

    /// Hands out no more; how many were due already.
    pub fn stop(&mut self) -> u64 {
        let mut due = 0;
        while self.next_due().is_some_and(|next| next <= self.now) && self.begun + due < self.limit {
            due += 1;
            self.schedule.iter_mut().for_each(Schedule::advance);
        }
        self.limit = self.begun;
        due
    }

    /// The next message.
    pub fn take(&mut self) -> Taken {
        if !self.is_left() {
            return Taken::Over;
        }
        let due = self.next_due();
        if due.is_some_and(|due| due > self.now) {
            return Taken::Later;
        }
        let seq = self.part.index + self.begun * self.part.of;
        self.begun += 1;
        self.schedule.iter_mut().for_each(Schedule::advance);
        Taken::Message(Begun { seq, due })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: Part = Part { index: 0, of: 1 };

    fn dues(part: Part, arrivals: Arrivals, ramp: u64, count: usize) -> Vec<f64> {
        let start = Instant::now();
        let schedule = Schedule::new(start, 1000.0, Duration::from_secs(ramp), arrivals, part, 9);
        let mut supply = Supply::new(part, u64::MAX, Some(schedule));
        supply.tick(start + Duration::from_secs(3600));
        let due = |taken| match taken {
            Taken::Message(Begun { due: Some(due), .. }) => (due - start).as_secs_f64(),
            other => panic!("{other:?}"),
        };
        (0..count).map(|_| due(supply.take())).collect()
    }

    #[test]
    fn hands_out_at_once_without_a_schedule_and_no_number_twice() {
        let mut numbers = Vec::new();
        for index in 0..3 {
            let mut supply = Supply::new(Part { index, of: 3 }, 4, None);
            while let Taken::Message(Begun { seq, due: None }) = supply.take() {
                numbers.push(seq);
            }
            assert_eq!((supply.take(), supply.begun(), supply.is_left()), (Taken::Over, 4, false));
        }
        numbers.sort_unstable();
        assert_eq!(numbers, (0..12).collect::<Vec<_>>());
    }

    #[test]
    fn even_arrivals_are_even_and_parts_interlace() {
        let whole = dues(WHOLE, Arrivals::Even, 0, 100);
        assert!(whole.iter().enumerate().all(|(place, due)| (due - place as f64 / 1000.0).abs() < 1e-9));
        let mut parts: Vec<f64> = (0..4).flat_map(|index| dues(Part { index, of: 4 }, Arrivals::Even, 0, 25)).collect();
        parts.sort_by(f64::total_cmp);
        assert_eq!(parts, whole);
    }

    #[test]
    fn poisson_arrivals_have_the_rate_and_the_irregularity() {
        let dues = dues(WHOLE, Arrivals::Poisson, 0, 100_000);
        assert!((dues.last().unwrap() - 100.0).abs() < 2.0);
        let gaps: Vec<f64> = dues.windows(2).map(|pair| pair[1] - pair[0]).collect();
        // Of an exponential distribution, e^-1 is above the mean.
        let above = gaps.iter().filter(|gap| **gap > 0.001).count() as f64 / gaps.len() as f64;
        assert!((above - (-1f64).exp()).abs() < 0.01, "{above}");
    }

    #[test]
    fn the_rate_grows_over_the_ramp() {
        let dues = dues(WHOLE, Arrivals::Even, 10, 10_000);
        let until = |second: f64| dues.iter().filter(|due| **due < second).count() as f64;
        for (second, count) in [(5.0, 1250.0), (10.0, 5000.0), (12.0, 7000.0)] {
            assert!((until(second) - count).abs() <= 1.0, "{second}: {}", until(second));
        }
    }

    #[test]
    fn what_is_not_due_waits_and_what_was_never_begun_is_told() {
        let start = Instant::now();
        let schedule = Schedule::new(start, 10.0, Duration::ZERO, Arrivals::Even, WHOLE, 1);
        let mut supply = Supply::new(WHOLE, u64::MAX, Some(schedule.until(Some(Duration::from_secs(2)))));
        supply.tick(start);
        assert!(matches!(supply.take(), Taken::Message(Begun { seq: 0, .. })));
        assert_eq!(supply.take(), Taken::Later);
        assert_eq!(supply.next_due(), Some(start + Duration::from_millis(100)));
        supply.tick(start + Duration::from_secs(60));
        (1..15).for_each(|_| assert!(matches!(supply.take(), Taken::Message(_))));
        assert_eq!(supply.stop(), 5, "20 in two seconds, of which 15 were taken");
        assert_eq!((supply.take(), supply.next_due()), (Taken::Over, None));
    }
}
