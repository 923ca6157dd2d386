//! `loadtest source`: makes messages and hands them to a server as fast as it takes them.

mod dialogue;
mod engine;
mod outgoing;
mod report;
mod script;

use crate::content::{Content, Framing};
use crate::ledger::LedgerWriter;
use clap::{ArgGroup, Args};
use engine::{Ending, Engine};
pub use report::Errors;
use script::{Pace, Script};
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Most octets of a message; the pool that all messages share is a little larger.
const SIZE_LIMIT: u64 = 256 * 1024 * 1024;

/// What `loadtest source` is asked to do.
#[derive(Args, Debug)]
#[command(group(ArgGroup::new("end").args(["messages", "duration"]).required(true).multiple(true)))]
pub struct Options {
    /// Server as HOST:PORT
    #[arg(long)]
    to: String,
    /// Sessions held at the same time
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    sessions: u32,
    /// Messages in all, over all sessions
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=9_999_999_999))]
    messages: Option<u64>,
    /// Seconds after which no further message is begun
    #[arg(long, value_parser = seconds)]
    duration: Option<Duration>,
    /// Messages after which a session ends with QUIT and a new one begins; 0: no limit
    #[arg(long, default_value_t = 0)]
    messages_per_connection: u64,
    /// Octets of a message's content, header included, dots not doubled
    #[arg(long, default_value_t = 4096, value_parser = clap::value_parser!(u64).range(1..=SIZE_LIMIT))]
    size: u64,
    /// Recipient; repeat it for several recipients of every message
    #[arg(long, default_value = "you@localhost", value_parser = address)]
    recipient: Vec<String>,
    /// Reverse-path
    #[arg(long, default_value = "loadtest@localhost", value_parser = address)]
    from: String,
    /// Send MAIL, RCPT and DATA in one write
    #[arg(long, conflicts_with = "pipelining")]
    group: bool,
    /// Send content and the next MAIL, RCPT and DATA in one write (with --bdat: a whole transaction)
    #[arg(long)]
    pipelining: bool,
    /// Send content by BDAT (RFC 3030) instead of DATA
    #[arg(long)]
    bdat: bool,
    /// Speak LMTP (RFC 2033): LHLO, and a reply per recipient
    #[arg(long)]
    lmtp: bool,
    /// File for a line per acknowledged message; must not exist
    #[arg(long)]
    ledger: Option<PathBuf>,
    /// File for the figures as JSON
    #[arg(long)]
    json: Option<PathBuf>,
    /// Print neither progress nor figures, only errors
    #[arg(long)]
    quiet: bool,
    /// Expect the server to vanish: end with status 0 once it has, and do not connect again
    #[arg(long)]
    until_lost: bool,
    /// Seconds without one octet moved after which the run is given up
    #[arg(long, default_value = "30", value_parser = seconds)]
    stall_timeout: Duration,
}

/// Runs the load and prints its figures. Status 0 means: every message begun was acknowledged, without one unexpected reply.
pub fn run(options: &Options) -> Result<ExitCode, String> {
    let to = resolve(&options.to)?;
    let script = script(options)?;
    let ledger = match &options.ledger {
        Some(path) => {
            let written = LedgerWriter::create(path, script.content.run());
            Some(written.map_err(|error| format!("{}: {error}", path.display()))?)
        }
        None => None,
    };
    crate::process::raise_descriptor_limit(u64::from(options.sessions) + 64)?;
    let mut engine = Engine::new(options, to, &script, ledger).map_err(|error| format!("cannot start: {error}"))?;
    let ending = engine.run();
    let report = engine.finish(&ending)?;
    if !options.quiet {
        print!("{}", report.text());
    }
    if let Some(path) = &options.json {
        std::fs::write(path, format!("{:#}\n", report.json()))
            .map_err(|error| format!("{}: {error}", path.display()))?;
    }
    verdict(options, &ending, &report)
}

fn verdict(options: &Options, ending: &Ending, report: &report::Report) -> Result<ExitCode, String> {
    match ending {
        Ending::Fatal(text) => Err(text.clone()),
        Ending::Stalled => Err(format!("nothing moved for {:?}: given up", options.stall_timeout)),
        _ if options.until_lost && report.lost == 0 => Err("the server was not lost".into()),
        _ if options.until_lost => Ok(ExitCode::SUCCESS),
        Ending::Done if report.is_clean() => Ok(ExitCode::SUCCESS),
        // Messages under way when a signal came are no failure.
        Ending::Signal if report.errors.total() == 0 => Ok(ExitCode::SUCCESS),
        Ending::Signal | Ending::Done => Err(format!(
            "{} of {} messages were not acknowledged, {} errors",
            report.missing(),
            report.begun,
            report.errors.total()
        )),
    }
}

fn script(options: &Options) -> Result<Script, String> {
    let framing = if options.bdat { Framing::Bdat } else { Framing::Data };
    let size = usize::try_from(options.size).map_err(|error| error.to_string())?;
    let content = Content::prepare(new_run(), &options.from, &options.recipient, size, framing)?;
    let pace = match (options.group, options.pipelining) {
        (_, true) => Pace::Pipelining,
        (true, false) => Pace::Group,
        (false, false) => Pace::Stepwise,
    };
    let mut script = Script::new(content, &options.from, &options.recipient, pace, framing, options.lmtp);
    script.messages_per_connection = options.messages_per_connection;
    Ok(script)
}

/// A number that no other run has, as far as clock and process number tell.
fn new_run() -> u64 {
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
    nanos ^ (u64::from(std::process::id()) << 40)
}

/// The first address that `to` resolves to.
pub fn resolve(to: &str) -> Result<SocketAddr, String> {
    let mut addresses = to.to_socket_addrs().map_err(|error| format!("--to {to}: {error}"))?;
    addresses.next().ok_or_else(|| format!("--to {to}: no address"))
}

/// Seconds of at most a week, with decimals.
pub fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.0..=604_800.0).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("not a number of seconds up to 604800".into()),
    }
}

/// An address that can stand between angle brackets in commands and header alike.
fn address(text: &str) -> Result<String, String> {
    let plain = text.bytes().all(|octet| octet.is_ascii_graphic() && !b"<>".contains(&octet));
    if plain && text.len() <= 254 { Ok(text.into()) } else { Err("not a plain ASCII address".into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_cannot_carry_commands() {
        assert!(address("you@localhost").is_ok());
        for text in ["a b@c", "a@b\r\nDATA", "<a@b>", "ä@b"] {
            assert!(address(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn seconds_are_bounded() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        for text in ["-1", "nan", "inf", "1e9", "", "x"] {
            assert!(seconds(text).is_err(), "{text:?}");
        }
    }
}
