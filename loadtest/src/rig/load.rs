//! The load: this same program as `loadtest source`, in a process of its own whose figures are read back.

use crate::process::{self, StopSignal};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// What is sent, and how.
#[derive(clap::Args, Clone, Debug)]
pub struct Load {
    /// Sessions held at the same time
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub sessions: u32,
    /// Octets of a message, or "real", or @FILE, as for `loadtest source`
    #[arg(long, default_value = "4096")]
    pub size: String,
    /// How far a session goes ahead of the replies
    #[arg(long, value_enum, default_value_t = Pace::Pipelining)]
    pub pace: Pace,
    /// Messages after which a session ends and a new one begins; 0: no limit
    #[arg(long, default_value_t = 0)]
    pub messages_per_connection: u64,
}

/// The source's options of the same names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Pace {
    /// Every command waits for the reply to the one before
    Stepwise,
    /// MAIL, RCPT and DATA in one write
    Group,
    /// Content and the next MAIL, RCPT and DATA in one write
    Pipelining,
}

/// When a load ends.
#[derive(Clone, Copy, Debug)]
pub enum End {
    /// After so many messages.
    Messages(u64),
    /// After so long.
    Time(Duration),
}

impl Load {
    /// Loads the server on `port`; every message must be acknowledged. The figures as the source's JSON has them.
    pub fn run(&self, port: u16, end: End, folder: &Path, stop: &StopSignal) -> Result<Value, String> {
        let json = folder.join("source.json");
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut command = Command::new(program);
        command.args(["source", "--quiet", "--to", &format!("127.0.0.1:{port}"), "--size", &self.size]);
        command.args(["--sessions", &self.sessions.to_string()]);
        command.args(["--messages-per-connection", &self.messages_per_connection.to_string()]);
        match self.pace {
            Pace::Stepwise => &mut command,
            Pace::Group => command.arg("--group"),
            Pace::Pipelining => command.arg("--pipelining"),
        };
        match end {
            End::Messages(count) => command.args(["--messages", &count.to_string()]),
            End::Time(time) => command.args(["--duration", &time.as_secs_f64().to_string()]),
        };
        command.arg("--json").arg(&json).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("the source: {error}"))?;
        loop {
            if child.try_wait().map_err(|error| error.to_string())?.is_some() {
                break;
            }
            if stop.is_set() {
                process::terminate(child.id());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        let output = child.wait_with_output().map_err(|error| error.to_string())?;
        if stop.is_set() {
            return Err("stopped by a signal".into());
        }
        if !output.status.success() {
            return Err(format!("the load: {}", String::from_utf8_lossy(&output.stderr).trim()));
        }
        let text = fs::read_to_string(&json).map_err(|error| format!("{}: {error}", json.display()))?;
        let _ = fs::remove_file(&json);
        serde_json::from_str(&text).map_err(|error| format!("{}: {error}", json.display()))
    }

    /// For a reader.
    pub fn describe(&self) -> String {
        let size = if self.size.parse::<u64>().is_ok() { format!("{} octets", self.size) } else { self.size.clone() };
        format!("{} sessions, {size}, {}", self.sessions, format!("{:?}", self.pace).to_lowercase())
    }
}
