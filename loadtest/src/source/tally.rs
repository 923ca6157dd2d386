//! Counts and figures while a run goes on.

use super::dialogue::{Acknowledged, Note};
use super::phases::{Phase, Phases};
use crate::errors::Errors;
use crate::ledger::LedgerWriter;
use crate::process;
use crate::reply::Reply;
use std::time::{Duration, Instant, SystemTime};

/// What was counted. Times and the rate are of what comes after the ramp; everything else is of the whole run.
pub struct Tally {
    /// The moment at which the events are looked at.
    pub now: Instant,
    /// When the run began.
    pub started: Instant,
    /// The same by the clock on the wall, which other processes have too.
    pub started_at: SystemTime,
    /// When the ramp ends and figures begin.
    pub counted_from: Instant,
    /// Messages acknowledged.
    pub acknowledged: u64,
    /// Those of them acknowledged after the ramp.
    pub counted: u64,
    /// Octets of their bodies.
    pub octets: u64,
    /// Connections on which the server said something.
    pub connections: u64,
    /// Those that ended before QUIT was answered and without 421.
    pub lost: u64,
    /// What went wrong.
    pub errors: Errors,
    /// How long everything took.
    pub phases: Phases,
    /// When the last message was acknowledged.
    pub last_acknowledged: Instant,
    /// When anything was last received.
    pub last_moved: Instant,
    /// The file for what is acknowledged.
    pub ledger: Option<LedgerWriter>,
    /// Why the run makes no sense any more.
    pub fatal: Option<String>,
    cpu_before: Duration,
    ramping: bool,
}

impl Tally {
    /// Of a run that begins now.
    pub fn new(ledger: Option<LedgerWriter>, ramp: Duration) -> Result<Tally, String> {
        let now = Instant::now();
        Ok(Tally {
            now,
            started: now,
            started_at: SystemTime::now(),
            counted_from: now + ramp,
            acknowledged: 0,
            counted: 0,
            octets: 0,
            connections: 0,
            lost: 0,
            errors: Errors::default(),
            phases: Phases::new()?,
            last_acknowledged: now + ramp,
            last_moved: now,
            ledger,
            fatal: None,
            cpu_before: process::own_cpu_time(),
            ramping: !ramp.is_zero(),
        })
    }

    /// Time goes on.
    pub fn tick(&mut self, now: Instant) {
        self.now = now;
        if self.ramping && now >= self.counted_from {
            self.ramping = false;
            self.cpu_before = process::own_cpu_time();
        }
    }

    /// Processor time of this process since the ramp.
    pub fn cpu(&self) -> Duration {
        process::own_cpu_time().saturating_sub(self.cpu_before)
    }

    /// Enters how long a phase took that began at `since`.
    pub fn record(&mut self, phase: Phase, since: Instant) {
        if since >= self.counted_from {
            self.phases.record(phase, self.now - since);
        }
    }

    /// Counts what a reply meant.
    pub fn note(&mut self, note: Note, session: usize, reply: Reply<'_>, content_sent: Option<Instant>) {
        match note {
            Note::Passed(_) => {}
            Note::Acknowledged(acknowledged) => self.acknowledge(acknowledged, session, reply.text, content_sent),
            Note::Refused(command) => self.errors.count(&format!("{command}: {}", reply.first_line())),
            Note::Lacks(extension) => self.fatal = Some(format!("the server does not offer {extension}")),
        }
    }

    fn acknowledge(&mut self, message: Acknowledged, session: usize, reply: &[u8], content_sent: Option<Instant>) {
        if message.whole {
            self.acknowledged += 1;
            if self.now >= self.counted_from {
                self.counted += 1;
                self.octets += message.octets;
                self.last_acknowledged = self.now;
            }
            [(Phase::Dot, content_sent), (Phase::Due, message.due)]
                .into_iter()
                .filter_map(|(phase, since)| Some((phase, since?)))
                .for_each(|(phase, since)| self.record(phase, since));
        }
        let Some(ledger) = &mut self.ledger else { return };
        if let Err(error) = ledger.write(message.seq, session, message.octets, message.crc, reply) {
            self.fatal = Some(format!("ledger: {error}"));
        }
    }
}
