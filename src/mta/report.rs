//! How the server is, for `ringpost status`: what runs where, and what it does.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Instant;

use super::figures::{Figures, SpoolState};
use super::outgoing;
use super::spooler;
use crate::control::status::Request;
use crate::io::vitals::Vitals;

/// A running server.
pub struct Report {
    /// Where it listens and what runs where, as it was said at the start.
    pub announcement: String,
    /// When it started.
    pub started: Instant,
    /// Its shards, by their numbers.
    pub shards: Vec<ShardReport>,
    /// How messages are seen through, with what is counted on the way.
    pub spooler: Arc<spooler::Settings>,
}

/// A running shard.
pub struct ShardReport {
    /// The CPU it is pinned to.
    pub cpu: usize,
    /// Its signs of life.
    pub vitals: Arc<Vitals>,
    /// What it has done.
    pub figures: Arc<Figures>,
}

impl Report {
    /// The answer to a request.
    pub fn answer(&self, request: Request) -> String {
        match request {
            Request::Text => self.text(),
            Request::Json => self.json(),
        }
    }

    fn text(&self) -> String {
        let uptime = self.started.elapsed().as_secs();
        let (hours, minutes, seconds) = (uptime / 3600, uptime / 60 % 60, uptime % 60);
        let mut text = format!(
            "{}\nup {hours}:{minutes:02}:{seconds:02}, process {}\n\n",
            self.announcement.trim_end(),
            std::process::id()
        );
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "  shard  connections   accepted  delivered   deferred    waiting  pokes  panics  segments  sync ms  spool"
        );
        for (number, shard) in self.shards.iter().enumerate() {
            let (vitals, figures) = (&shard.vitals, shard.figures.get());
            let _ = writeln!(
                text,
                "  {number:>5}  {:>11} {:>10} {:>10} {:>10} {:>10} {:>6} {:>7} {:>9} {:>8}  {}",
                vitals.connections(),
                figures.accepted,
                figures.delivered,
                figures.deferred,
                figures.waiting,
                vitals.pokes(),
                vitals.panics(),
                format!("{}+{}", figures.segments, figures.free_segments),
                figures.slowest_write.div_ceil(1000),
                match figures.unread_segments {
                    0 => figures.spool.name().to_owned(),
                    unread => format!("{}, {unread} segments to read", figures.spool.name()),
                },
            );
        }
        let mut counted = self.spooler.metrics.iter().peekable();
        if counted.peek().is_some() {
            text.push_str("\n  counted by MetricsMailet\n");
        }
        for (name, count) in counted {
            let _ = writeln!(text, "  {name}  {count}");
        }
        let leaving = |figures: &outgoing::Figures| *figures != outgoing::Figures::default();
        if self.shards.iter().any(|shard| leaving(&shard.figures.get().outgoing)) {
            let _ = writeln!(
                text,
                "\n  shard       sent   deferred    bounced  connections    waiting  destinations  left alone"
            );
            for (number, shard) in self.shards.iter().enumerate() {
                let of = shard.figures.get().outgoing;
                let _ = writeln!(
                    text,
                    "  {number:>5} {:>10} {:>10} {:>10} {:>12} {:>10} {:>13} {:>11}",
                    of.sent, of.deferred, of.bounced, of.connections, of.waiting, of.destinations, of.unreachable
                );
            }
        }
        text
    }

    fn json(&self) -> String {
        let shards: Vec<_> = self.shards.iter().enumerate().map(|(number, shard)| shard.json(number)).collect();
        let counted = self.spooler.metrics.iter();
        let counted: Vec<_> =
            counted.map(|(name, count)| format!("{}:{count}", serde_json::Value::from(name))).collect();
        format!(
            "{{\"version\":\"{}\",\"process\":{},\"uptime_seconds\":{},\"shards\":[{}],\"counted\":{{{}}}}}\n",
            env!("CARGO_PKG_VERSION"),
            std::process::id(),
            self.started.elapsed().as_secs(),
            shards.join(","),
            counted.join(",")
        )
    }
}

impl ShardReport {
    fn json(&self, number: usize) -> String {
        let (vitals, figures) = (&self.vitals, self.figures.get());
        format!(
            "{{\"shard\":{number},\"cpu\":{},\"connections\":{},\"accepted\":{},\"delivered\":{},\"deferred\":{},\"waiting\":{},\
             \"in_flight\":{},\"pokes\":{},\"panics\":{},\"spool\":\"{}\",\"spool_closed\":{},\
             \"segments\":{},\"free_segments\":{},\"spool_octets\":{},\"unread_segments\":{},\"slowest_write_us\":{},\"batches\":{},\
             \"outgoing\":{{\"sent\":{},\"deferred\":{},\"bounced\":{},\"connections\":{},\"waiting\":{},\"destinations\":{},\"left_alone\":{}}}}}",
            self.cpu,
            vitals.connections(),
            figures.accepted,
            figures.delivered,
            figures.deferred,
            figures.waiting,
            vitals.in_flight(),
            vitals.pokes(),
            vitals.panics(),
            figures.spool.name(),
            figures.spool == SpoolState::Closed,
            figures.segments,
            figures.free_segments,
            figures.octets,
            figures.unread_segments,
            figures.slowest_write,
            figures.batches,
            figures.outgoing.sent,
            figures.outgoing.deferred,
            figures.outgoing.bounced,
            figures.outgoing.connections,
            figures.outgoing.waiting,
            figures.outgoing.destinations,
            figures.outgoing.unreachable,
        )
    }
}
