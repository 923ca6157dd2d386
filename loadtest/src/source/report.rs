//! The figures of a run, as text and as JSON.

use hdrhistogram::Histogram;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

/// Different error texts that are kept; further ones are counted together.
const ERROR_TEXTS: usize = 100;

/// Errors counted by their text.
#[derive(Debug, Default)]
pub struct Errors {
    counts: BTreeMap<String, u64>,
}

/// The figures of a run.
pub struct Report {
    /// The run's number, as messages and ledger have it.
    pub run: u64,
    /// Sessions held at the same time.
    pub sessions: u32,
    /// Octets of a message's content.
    pub size: u64,
    /// Messages begun.
    pub begun: u64,
    /// Messages acknowledged, with LMTP for every recipient that was accepted.
    pub acknowledged: u64,
    /// Connections on which the server said something.
    pub connections: u64,
    /// Those of them that ended before QUIT was answered and without 421.
    pub lost: u64,
    /// What went wrong.
    pub errors: Errors,
    /// From the first connection to the last acknowledgement.
    pub elapsed: Duration,
    /// Processor time that this program took over the run.
    pub cpu: Duration,
    /// Final dot to final reply, in nanoseconds.
    pub latency: Histogram<u64>,
    /// How the run ended.
    pub ending: String,
}

impl Errors {
    /// Counts an error.
    pub fn count(&mut self, text: &str) {
        if let Some(count) = self.counts.get_mut(text) {
            *count += 1;
        } else if self.counts.len() < ERROR_TEXTS {
            self.counts.insert(text.to_string(), 1);
        } else {
            *self.counts.entry("(further texts)".into()).or_insert(0) += 1;
        }
    }

    /// The texts, and how often each came.
    pub fn texts(&self) -> impl Iterator<Item = (&str, u64)> {
        self.counts.iter().map(|(text, count)| (text.as_str(), *count))
    }

    /// How many there were.
    pub fn total(&self) -> u64 {
        self.counts.values().sum()
    }
}

impl Report {
    /// Whether every message begun was acknowledged and nothing else went wrong.
    pub fn is_clean(&self) -> bool {
        self.missing() == 0 && self.errors.total() == 0
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
        text
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        let Report { begun, acknowledged, connections, lost, ending, .. } = self;
        writeln!(
            text,
            "run {:016x}: {} sessions, {} octets a message, ended: {ending}",
            self.run, self.sessions, self.size
        )?;
        writeln!(
            text,
            "messages     {acknowledged} acknowledged of {begun} begun in {:.3} s",
            self.elapsed.as_secs_f64()
        )?;
        writeln!(text, "rate         {:.1} messages/s, {:.2} MB/s", self.rate(), self.rate() * self.size as f64 / 1e6)?;
        writeln!(text, "connections  {connections} made, {lost} lost")?;
        let [p50, p90, p99, p999, max] = self.milliseconds();
        writeln!(text, "dot to 250   median {p50:.3}  p90 {p90:.3}  p99 {p99:.3}  p99.9 {p999:.3}  max {max:.3} ms")?;
        writeln!(text, "source CPU   {:.3} s per 10,000 messages", self.cpu_per_10k())?;
        for (error, count) in self.errors.texts() {
            writeln!(text, "error        {count} x {error}")?;
        }
        Ok(())
    }

    /// The figures for a program.
    pub fn json(&self) -> Value {
        let [p50, p90, p99, p999, max] = self.milliseconds();
        json!({
            "run": format!("{:016x}", self.run),
            "ending": self.ending,
            "sessions": self.sessions,
            "size": self.size,
            "begun": self.begun,
            "acknowledged": self.acknowledged,
            "connections": self.connections,
            "lost": self.lost,
            "errors": self.errors.counts,
            "elapsed_s": self.elapsed.as_secs_f64(),
            "messages_per_s": self.rate(),
            "source_cpu_s": self.cpu.as_secs_f64(),
            "source_cpu_s_per_10k": self.cpu_per_10k(),
            "latency_ms": { "p50": p50, "p90": p90, "p99": p99, "p99.9": p999, "max": max, "mean": self.latency.mean() / 1e6 },
        })
    }

    fn rate(&self) -> f64 {
        let seconds = self.elapsed.as_secs_f64();
        if seconds > 0.0 { self.acknowledged as f64 / seconds } else { 0.0 }
    }

    fn cpu_per_10k(&self) -> f64 {
        if self.acknowledged == 0 { 0.0 } else { self.cpu.as_secs_f64() * 10_000.0 / self.acknowledged as f64 }
    }

    fn milliseconds(&self) -> [f64; 5] {
        let at = |quantile| self.latency.value_at_quantile(quantile) as f64 / 1e6;
        [at(0.5), at(0.9), at(0.99), at(0.999), self.latency.max() as f64 / 1e6]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_a_bounded_number_of_texts() {
        let mut errors = Errors::default();
        (0..3 * ERROR_TEXTS).for_each(|number| errors.count(&format!("{number}")));
        (0..5).for_each(|_| errors.count("7"));
        assert_eq!(errors.total(), 3 * ERROR_TEXTS as u64 + 5);
        assert_eq!(errors.counts["7"], 6);
        assert_eq!(errors.counts.len(), ERROR_TEXTS + 1);
    }
}
