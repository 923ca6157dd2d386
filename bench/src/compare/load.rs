//! The load: `loadtest source`, a process of its own.

use super::servers::spawn;
use crate::system;
use serde_json::Value;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// What is sent, and how.
#[derive(Clone, Debug)]
pub struct Load {
    /// The `loadtest` program.
    pub program: PathBuf,
    /// Connections at a time.
    pub sessions: u32,
    /// Octets of a message.
    pub size: u64,
    /// Whether commands are sent before the replies to those before them have come.
    pub pipelining: bool,
    /// Messages after which a connection is closed and a new one opened; 0: never.
    pub messages_per_connection: u32,
    /// The CPUs it may use.
    pub cpus: Vec<usize>,
}

/// When it ends.
#[derive(Clone, Copy, Debug)]
pub enum End {
    /// After so many messages.
    Messages(u64),
    /// After so many seconds.
    Seconds(f64),
}

/// What the source tells of a run.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// Messages that were acknowledged.
    pub messages: u64,
    /// Messages a second.
    pub per_second: f64,
    /// From the final dot to the reply, in milliseconds: half of them took no longer.
    pub p50_ms: f64,
    /// 99 of 100 took no longer.
    pub p99_ms: f64,
    /// Processor time of the source.
    pub cpu: Duration,
}

impl Load {
    /// For people.
    pub fn describe(&self) -> String {
        let pace = if self.pipelining { "pipelined" } else { "one command at a time" };
        let connections = match self.messages_per_connection {
            0 => String::new(),
            1 => ", a message a connection".to_owned(),
            count => format!(", {count} messages a connection"),
        };
        format!("{} sessions, {}, {pace}{connections}", self.sessions, crate::figures::octets(self.size))
    }

    /// Runs it against a server. Every message must be acknowledged.
    pub fn run(&self, to: SocketAddr, end: End, folder: &Path) -> Result<Sent, String> {
        let json = folder.join("source.json");
        let mut command = Command::new(&self.program);
        command.args(["source", "--to", &to.to_string(), "--sessions", &self.sessions.to_string()]);
        command.args(["--size", &self.size.to_string(), "--quiet", "--json"]).arg(&json);
        match end {
            End::Messages(count) => command.args(["--messages", &count.to_string()]),
            End::Seconds(seconds) => command.args(["--duration", &seconds.to_string()]),
        };
        if self.pipelining {
            command.arg("--pipelining");
        }
        command.args(["--messages-per-connection", &self.messages_per_connection.to_string()]);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let output = spawn(command, &self.cpus)?.wait_with_output().map_err(|error| error.to_string())?;
        if !output.status.success() {
            let why = if system::is_stopping() { system::stopped().to_string() } else { String::new() };
            return Err(format!("the load failed: {}{why}", String::from_utf8_lossy(&output.stderr).trim()));
        }
        let text = std::fs::read_to_string(&json).map_err(|error| format!("{}: {error}", json.display()))?;
        let figures: Value = serde_json::from_str(&text).map_err(|error| format!("{}: {error}", json.display()))?;
        read(&figures).ok_or_else(|| format!("{}: figures are missing", json.display()))
    }
}

fn read(figures: &Value) -> Option<Sent> {
    let latency = &figures["latency_ms"];
    Some(Sent {
        messages: figures["acknowledged"].as_u64()?,
        per_second: figures["messages_per_s"].as_f64()?,
        p50_ms: latency["p50"].as_f64()?,
        p99_ms: latency["p99"].as_f64()?,
        cpu: Duration::try_from_secs_f64(figures["source_cpu_s"].as_f64()?).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn figures_are_read() {
        let figures = json!({ "acknowledged": 7, "messages_per_s": 3.5, "source_cpu_s": 0.25,
            "latency_ms": { "p50": 1.0, "p99": 2.0 } });
        let sent = read(&figures).expect("all figures are there");
        assert_eq!((sent.messages, sent.per_second, sent.p99_ms), (7, 3.5, 2.0));
        assert!(read(&json!({ "acknowledged": 7 })).is_none());
    }
}
