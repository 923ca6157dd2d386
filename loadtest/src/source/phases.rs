//! How long each phase took: one histogram each, in nanoseconds.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer, V2Serializer};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Longest time that is told from longer ones, in nanoseconds.
const LIMIT: u64 = 3_600_000_000_000;

/// A phase of a session or of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// From the call of connect until the connection is there.
    Connect,
    /// From there, or from the end of the TLS handshake that came first, until the greeting has come.
    Greeting,
    /// The TLS handshake.
    Tls,
    /// From the first line of AUTH to the 235.
    Auth,
    /// From the moment when the message was due until its MAIL was said: until a session was free for it.
    Wait,
    /// From MAIL to the reply to the last RCPT.
    Envelope,
    /// From the last octet of the content to the final reply.
    Dot,
    /// From the moment when the message was due to the final reply.
    Due,
}

const ALL: [Phase; 8] =
    [Phase::Connect, Phase::Greeting, Phase::Tls, Phase::Auth, Phase::Wait, Phase::Envelope, Phase::Dot, Phase::Due];

/// The quantiles that are shown, by their names.
const QUANTILES: [(&str, f64); 5] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)];

impl Phase {
    /// For a reader.
    fn title(self) -> &'static str {
        ["connect", "greeting", "TLS", "AUTH", "due to MAIL", "MAIL to RCPT", "dot to 250", "due to 250"][self as usize]
    }

    /// For a program.
    pub fn key(self) -> &'static str {
        ["connect", "greeting", "tls", "auth", "due_to_mail", "mail_to_rcpt", "dot_to_250", "due_to_250"][self as usize]
    }
}

/// The histograms of all phases.
pub struct Phases(Vec<Histogram<u64>>);

impl Phases {
    /// Without a value.
    pub fn new() -> Result<Phases, String> {
        let histogram = |_| Histogram::new_with_bounds(1000, LIMIT, 3).map_err(|error| error.to_string());
        ALL.iter().map(histogram).collect::<Result<_, _>>().map(Phases)
    }

    /// Enters a value.
    pub fn record(&mut self, phase: Phase, time: Duration) {
        self.0[phase as usize].saturating_record(time.as_nanos() as u64);
    }

    /// Adds the values of others.
    pub fn add(&mut self, others: &Phases) -> Result<(), String> {
        let mut pairs = self.0.iter_mut().zip(&others.0);
        pairs.try_for_each(|(mine, theirs)| mine.add(theirs)).map_err(|error| error.to_string())
    }

    fn of(&self, phase: Phase) -> &Histogram<u64> {
        &self.0[phase as usize]
    }

    fn filled(&self) -> impl Iterator<Item = (Phase, &Histogram<u64>)> {
        ALL.into_iter().map(|phase| (phase, self.of(phase))).filter(|(_, histogram)| !histogram.is_empty())
    }

    /// A line for each phase that has values, in milliseconds.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (phase, histogram) in self.filled() {
            // Writing to a string cannot fail.
            let _ = write!(text, "{:<13}", phase.title());
            for (name, quantile) in QUANTILES {
                let name = if name == "p50" { "median" } else { name };
                let _ = write!(text, "{name} {:.3}  ", milliseconds(histogram.value_at_quantile(quantile)));
            }
            let _ = writeln!(text, "ms  ({} values)", histogram.len());
        }
        text
    }

    /// The same for a program, phases by their keys.
    pub fn json(&self) -> Value {
        let phases = self.filled().map(|(phase, histogram)| (phase.key().to_string(), figures(histogram)));
        Value::Object(phases.collect())
    }

    /// The figures of one phase, all zero without a value.
    pub fn figures(&self, phase: Phase) -> Value {
        figures(self.of(phase))
    }

    /// Writes a log as HdrHistogram's own tools read it (format 1.3): an interval for each phase, with its key as tag.
    pub fn write_log(&self, path: &Path, start: SystemTime, length: Duration) -> Result<(), String> {
        self.log(path, start, length).map_err(|error| format!("{}: {error}", path.display()))
    }

    fn log(&self, path: &Path, start: SystemTime, length: Duration) -> Result<(), Box<dyn std::error::Error>> {
        let mut file = BufWriter::new(File::create(path)?);
        let mut serializer = V2DeflateSerializer::new();
        let mut builder = IntervalLogWriterBuilder::new();
        builder.add_comment("loadtest source; values in nanoseconds").with_start_time(start).with_base_time(UNIX_EPOCH);
        let mut writer = builder.begin_log_with(&mut file, &mut serializer)?;
        let since_epoch = start.duration_since(UNIX_EPOCH)?;
        for (phase, histogram) in self.filled() {
            let tag = Tag::new(phase.key());
            writer.write_histogram(histogram, since_epoch, length, tag).map_err(|error| format!("{error:?}"))?;
        }
        drop(writer);
        Ok(file.flush()?)
    }

    /// All histograms as text, for another process.
    pub fn coded(&self) -> Result<Value, String> {
        let coded = |histogram: &Histogram<u64>| {
            let mut octets = Vec::new();
            let written = V2Serializer::new().serialize(histogram, &mut octets);
            written.map(|_| STANDARD.encode(octets)).map_err(|error| error.to_string())
        };
        Ok(json!(self.0.iter().map(coded).collect::<Result<Vec<_>, _>>()?))
    }

    /// What [`Phases::coded`] wrote.
    pub fn decode(value: &Value) -> Result<Phases, String> {
        let decoded = |value: &Value| {
            let octets = STANDARD.decode(value.as_str().unwrap_or_default()).map_err(|error| error.to_string())?;
            Deserializer::new().deserialize(&mut &octets[..]).map_err(|error| error.to_string())
        };
        let all = value.as_array().ok_or("no histograms")?;
        if all.len() != ALL.len() {
            return Err(format!("{} histograms, not {}", all.len(), ALL.len()));
        }
        all.iter().map(decoded).collect::<Result<_, String>>().map(Phases)
    }
}

fn figures(histogram: &Histogram<u64>) -> Value {
    let mut figures = json!({ "count": histogram.len(), "mean": histogram.mean() / 1e6 });
    for (name, quantile) in QUANTILES {
        figures[name] = json!(milliseconds(histogram.value_at_quantile(quantile)));
    }
    figures
}

fn milliseconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    fn phases() -> Phases {
        let mut phases = Phases::new().unwrap();
        (1..=1000).for_each(|millisecond| phases.record(Phase::Dot, Duration::from_millis(millisecond)));
        phases.record(Phase::Connect, Duration::from_micros(50));
        phases
    }

    #[test]
    fn shows_what_has_values_and_nothing_else() {
        let (text, json) = (phases().text(), phases().json());
        assert!(
            text.contains("dot to 250   median 500.") && text.contains("connect") && !text.contains("AUTH"),
            "{text}"
        );
        assert_eq!(json["dot_to_250"]["count"], 1000);
        assert!((json["dot_to_250"]["p99"].as_f64().unwrap() - 990.0).abs() < 1.0);
        assert!(json.get("tls").is_none());
    }

    #[test]
    fn comes_through_another_process_unchanged() {
        let mut whole = Phases::decode(&phases().coded().unwrap()).unwrap();
        assert_eq!(whole.json(), phases().json());
        whole.add(&phases()).unwrap();
        assert_eq!(whole.json()["dot_to_250"]["count"], 2000);
        assert!(Phases::decode(&json!(["x"])).is_err() && Phases::decode(&json!(1)).is_err());
    }

    #[test]
    fn the_log_is_read_by_the_library_that_defines_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        phases().write_log(&path, UNIX_EPOCH + Duration::from_secs(1000), Duration::from_secs(5)).unwrap();
        let text = std::fs::read(&path).unwrap();
        let mut tags = Vec::new();
        for entry in IntervalLogIterator::new(&text) {
            if let LogEntry::Interval(interval) = entry.unwrap() {
                let octets = STANDARD.decode(interval.encoded_histogram()).unwrap();
                let histogram: Histogram<u64> = Deserializer::new().deserialize(&mut &octets[..]).unwrap();
                tags.push((interval.tag().unwrap().as_str().to_string(), histogram.len()));
            }
        }
        assert_eq!(tags, [("connect".to_string(), 1), ("dot_to_250".to_string(), 1000)]);
    }
}
