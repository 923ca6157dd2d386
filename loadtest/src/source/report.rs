//! The figures of a run, as text and as JSON, and of a run of several processes from those of its parts.

use super::options::Options;
use super::phases::{Phase, Phases};
use super::script::Script;
use super::tally::Tally;
use crate::errors::Errors;
use serde_json::{Value, json};
use std::fmt::Write;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All messages were sent, the time was up, or all sessions were lost or given up.
    Done,
    /// By SIGTERM or SIGINT.
    Signal,
    /// Nothing moved for the stall timeout.
    Stalled,
    /// The run makes no sense any more.
    Fatal(String),
}

/// The figures of a run.
pub struct Report {
    /// The run's number, as messages and ledger have it.
    pub run: u64,
    /// Sessions held at the same time.
    pub sessions: u32,
    /// What sizes the messages had, for a reader.
    pub sizes: String,
    /// Octets of a message's content, on the average over all sizes.
    pub size: f64,
    /// Messages begun.
    pub begun: u64,
    /// Messages that fell due and were not begun in time.
    pub never_begun: u64,
    /// Messages acknowledged, with LMTP for every recipient that was accepted.
    pub acknowledged: u64,
    /// Those of them that came after the ramp.
    pub counted: u64,
    /// Octets of their bodies.
    pub octets: u64,
    /// Connections on which the server said something.
    pub connections: u64,
    /// Those of them that ended before QUIT was answered and without 421.
    pub lost: u64,
    /// What went wrong.
    pub errors: Errors,
    /// When figures began, since 1970.
    pub from: Duration,
    /// When the last message was acknowledged, since 1970.
    pub to: Duration,
    /// Processor time that this program took meanwhile.
    pub cpu: Duration,
    /// How long everything took.
    pub phases: Phases,
    /// How the run ended.
    pub ending: Ending,
}

impl Report {
    /// The figures of one process.
    pub fn new(
        options: &Options,
        script: &Script,
        sessions: u32,
        begun: u64,
        never_begun: u64,
        tally: Tally,
        ending: Ending,
    ) -> Report {
        let started = tally.started_at.duration_since(UNIX_EPOCH).unwrap_or_default();
        let cpu = tally.cpu();
        Report {
            run: script.content.run(),
            sessions,
            sizes: options.size.describe(),
            size: script.content.mean_octets(),
            begun,
            never_begun,
            acknowledged: tally.acknowledged,
            counted: tally.counted,
            octets: tally.octets,
            connections: tally.connections,
            lost: tally.lost,
            errors: tally.errors,
            from: started + (tally.counted_from - tally.started),
            to: started + (tally.last_acknowledged - tally.started),
            cpu,
            phases: tally.phases,
            ending,
        }
    }

    /// Adds the figures of another process of the same run.
    pub fn add(&mut self, other: &Report) -> Result<(), String> {
        self.sessions += other.sessions;
        self.begun += other.begun;
        self.never_begun += other.never_begun;
        self.acknowledged += other.acknowledged;
        self.counted += other.counted;
        self.octets += other.octets;
        self.connections += other.connections;
        self.lost += other.lost;
        other.errors.texts().for_each(|(text, count)| self.errors.add(text, count));
        self.from = self.from.min(other.from);
        self.to = self.to.max(other.to);
        self.cpu += other.cpu;
        if self.ending == Ending::Done {
            self.ending = other.ending.clone();
        }
        self.phases.add(&other.phases)
    }

    /// Whether every message was begun and acknowledged and nothing else went wrong.
    pub fn is_clean(&self) -> bool {
        self.missing() == 0 && self.never_begun == 0 && self.errors.total() == 0
    }

    /// Messages begun and not acknowledged.
    pub fn missing(&self) -> u64 {
        self.begun - self.acknowledged
    }

    /// The figures for a reader.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = self.write(&mut text);
        text + &self.phases.text()
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        let Report { run, sessions, sizes, begun, acknowledged, counted, connections, lost, .. } = self;
        writeln!(text, "run {run:016x}: {sessions} sessions, {sizes}, ended: {}", self.ending.name())?;
        writeln!(text, "messages     {acknowledged} acknowledged of {begun} begun in {:.3} s", self.elapsed())?;
        if counted != acknowledged {
            writeln!(text, "             {counted} of them after the ramp, of which the figures are")?;
        }
        if self.never_begun > 0 {
            writeln!(
                text,
                "             {} fell due and were NEVER BEGUN: too many for these sessions",
                self.never_begun
            )?;
        }
        writeln!(text, "rate         {:.1} messages/s, {:.2} MB/s of bodies", self.rate(), self.megabytes())?;
        writeln!(text, "connections  {connections} made, {lost} lost")?;
        writeln!(text, "source CPU   {:.3} s per 10,000 messages", self.cpu_per_10k())?;
        for (error, count) in self.errors.texts() {
            writeln!(text, "error        {count} x {error}")?;
        }
        Ok(())
    }

    /// The figures for a program.
    pub fn json(&self) -> Value {
        json!({
            "run": format!("{:016x}", self.run),
            "ending": self.ending.name(),
            "sessions": self.sessions,
            "size": self.size,
            "begun": self.begun,
            "never_begun": self.never_begun,
            "acknowledged": self.acknowledged,
            "counted": self.counted,
            "connections": self.connections,
            "lost": self.lost,
            "errors": self.errors.json(),
            "elapsed_s": self.elapsed(),
            "messages_per_s": self.rate(),
            "megabytes_per_s": self.megabytes(),
            "source_cpu_s": self.cpu.as_secs_f64(),
            "source_cpu_s_per_10k": self.cpu_per_10k(),
            "latency_ms": self.phases.figures(Phase::Dot),
            "phases_ms": self.phases.json(),
        })
    }

    /// Everything, for the process that adds the parts up.
    pub fn part(&self) -> Result<Value, String> {
        let mut value = self.json();
        value["sizes"] = json!(self.sizes);
        value["octets"] = json!(self.octets);
        value["from_ns"] = json!(self.from.as_nanos() as u64);
        value["to_ns"] = json!(self.to.as_nanos() as u64);
        value["histograms"] = self.phases.coded()?;
        Ok(value)
    }

    /// What [`Report::part`] made.
    pub fn from_part(value: &Value) -> Result<Report, String> {
        let number = |name: &str| value[name].as_u64().ok_or_else(|| format!("a part of the run lacks {name}"));
        let text = |name: &str| value[name].as_str().ok_or_else(|| format!("a part of the run lacks {name}"));
        let mut errors = Errors::default();
        for (error, count) in value["errors"].as_object().into_iter().flatten() {
            errors.add(error, count.as_u64().unwrap_or(0));
        }
        Ok(Report {
            run: u64::from_str_radix(text("run")?, 16).map_err(|error| error.to_string())?,
            sessions: number("sessions")? as u32,
            sizes: text("sizes")?.into(),
            size: value["size"].as_f64().unwrap_or(0.0),
            begun: number("begun")?,
            never_begun: number("never_begun")?,
            acknowledged: number("acknowledged")?,
            counted: number("counted")?,
            octets: number("octets")?,
            connections: number("connections")?,
            lost: number("lost")?,
            errors,
            from: Duration::from_nanos(number("from_ns")?),
            to: Duration::from_nanos(number("to_ns")?),
            cpu: Duration::from_secs_f64(value["source_cpu_s"].as_f64().unwrap_or(0.0).max(0.0)),
            phases: Phases::decode(&value["histograms"])?,
            ending: Ending::from_name(text("ending")?),
        })
    }

    /// Writes the histograms of all phases.
    pub fn write_histograms(&self, path: &Path) -> Result<(), String> {
        self.phases.write_log(path, UNIX_EPOCH + self.from, self.to.saturating_sub(self.from))
    }

    fn elapsed(&self) -> f64 {
        self.to.saturating_sub(self.from).as_secs_f64()
    }

    fn per_second(&self, count: f64) -> f64 {
        let seconds = self.elapsed();
        if seconds > 0.0 { count / seconds } else { 0.0 }
    }

    fn rate(&self) -> f64 {
        self.per_second(self.counted as f64)
    }

    fn megabytes(&self) -> f64 {
        self.per_second(self.octets as f64 / 1e6)
    }

    fn cpu_per_10k(&self) -> f64 {
        if self.counted == 0 { 0.0 } else { self.cpu.as_secs_f64() * 10_000.0 / self.counted as f64 }
    }
}

impl Ending {
    fn name(&self) -> &str {
        match self {
            Ending::Done => "done",
            Ending::Signal => "signal",
            Ending::Stalled => "stalled",
            Ending::Fatal(text) => text,
        }
    }

    fn from_name(name: &str) -> Ending {
        match name {
            "done" => Ending::Done,
            "signal" => Ending::Signal,
            "stalled" => Ending::Stalled,
            text => Ending::Fatal(text.into()),
        }
    }
}
