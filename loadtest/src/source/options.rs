//! What `loadtest source` is asked to do.

use super::script::Mechanism;
use super::sizes::Sizes;
use super::supply::Arrivals;
use crate::args::{address, positive, seconds};
use clap::{ArgGroup, Args, ValueEnum};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// A load and how it is measured.
#[derive(Args, Clone, Debug)]
#[command(group(ArgGroup::new("end").args(["messages", "duration"]).required(true).multiple(true)))]
pub struct Options {
    /// Server as HOST:PORT
    #[arg(long)]
    pub to: String,
    /// Messages in all, over all sessions
    #[arg(long, help_heading = "How much", value_parser = clap::value_parser!(u64).range(1..=9_999_999_999))]
    pub messages: Option<u64>,
    /// Seconds after which no further message is begun (with --rate: falls due)
    #[arg(long, help_heading = "How much", value_parser = seconds)]
    pub duration: Option<Duration>,
    /// Sessions held at the same time, over all processes
    #[arg(long, help_heading = "How much", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub sessions: u32,
    /// Messages after which a session ends with QUIT and a new one begins; 0: no limit
    #[arg(long, help_heading = "How much", default_value_t = 0)]
    pub messages_per_connection: u64,
    /// Processes that share sessions and messages, for more sessions than one processor can drive
    #[arg(long, help_heading = "How much", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub processes: u32,
    /// Open loop: messages due a second, however slow the server is; without it each session sends its next when it can
    #[arg(long, help_heading = "How much", value_parser = positive)]
    pub rate: Option<f64>,
    /// How the due messages are spaced
    #[arg(long, help_heading = "How much", value_enum, default_value_t = Arrivals::Poisson, requires = "rate")]
    pub arrivals: Arrivals,
    /// Seconds over which sessions are opened, and the rate grows; they are not in the figures
    #[arg(long, help_heading = "How much", default_value = "0", value_parser = seconds)]
    pub ramp: Duration,
    /// With --rate: seconds after the duration in which what is due may still be begun
    #[arg(long, help_heading = "How much", default_value = "30", value_parser = seconds, requires = "rate")]
    pub drain: Duration,
    /// Sessions that send slowly, among those of --sessions
    #[arg(long, help_heading = "How much", default_value_t = 0, requires = "slow_rate", conflicts_with = "rate")]
    pub slow: u32,
    /// Octets a second of each slow session
    #[arg(long, help_heading = "How much", value_parser = positive, requires = "slow")]
    pub slow_rate: Option<f64>,
    /// Octets of a message's content, header included, dots not doubled; "real": sizes of real mail; @FILE: lines of
    /// "share octets", both growing, share from 0 to 1
    #[arg(long, help_heading = "What is sent", default_value = "4096", value_parser = Sizes::parse)]
    pub size: Sizes,
    /// Recipient; repeat it for several recipients of every message
    #[arg(long, help_heading = "What is sent", default_value = "you@localhost", value_parser = address)]
    pub recipient: Vec<String>,
    /// Reverse-path
    #[arg(long, help_heading = "What is sent", default_value = "loadtest@localhost", value_parser = address)]
    pub from: String,
    /// Send MAIL, RCPT and DATA in one write
    #[arg(long, help_heading = "How it is sent", conflicts_with = "pipelining")]
    pub group: bool,
    /// Send content and the next MAIL, RCPT and DATA in one write (with --bdat: a whole transaction)
    #[arg(long, help_heading = "How it is sent")]
    pub pipelining: bool,
    /// Send content by BDAT (RFC 3030) instead of DATA
    #[arg(long, help_heading = "How it is sent")]
    pub bdat: bool,
    /// Speak LMTP (RFC 2033): LHLO, and a reply per recipient
    #[arg(long, help_heading = "How it is sent")]
    pub lmtp: bool,
    /// Say STARTTLS after EHLO
    #[arg(long, help_heading = "TLS and AUTH", conflicts_with = "tls")]
    pub starttls: bool,
    /// TLS from the first octet (after the PROXY header)
    #[arg(long, help_heading = "TLS and AUTH")]
    pub tls: bool,
    /// Take certificates of the authorities in this PEM file, for the right name
    #[arg(long, help_heading = "TLS and AUTH", conflicts_with = "insecure")]
    pub ca: Option<PathBuf>,
    /// Take any certificate
    #[arg(long, help_heading = "TLS and AUTH")]
    pub insecure: bool,
    /// Name the server's certificate must have, and SNI; the host of --to if not given
    #[arg(long, help_heading = "TLS and AUTH")]
    pub tls_name: Option<String>,
    /// Resume TLS sessions; without it every connection makes a whole handshake
    #[arg(long, help_heading = "TLS and AUTH")]
    pub tls_resume: bool,
    /// Authenticate
    #[arg(long, help_heading = "TLS and AUTH", value_enum, requires_all = ["user", "password_file"])]
    pub auth: Option<Mechanism>,
    /// Who to authenticate as
    #[arg(long, help_heading = "TLS and AUTH")]
    pub user: Option<String>,
    /// File whose first line is the password
    #[arg(long, help_heading = "TLS and AUTH")]
    pub password_file: Option<PathBuf>,
    /// Local address to connect from; repeat it to spread the sessions over several
    #[arg(long, help_heading = "Where from")]
    pub local: Vec<IpAddr>,
    /// Send a PROXY header first
    #[arg(long, help_heading = "Where from", value_enum)]
    pub proxy: Option<ProxyVersion>,
    /// Client address that the PROXY header claims; the true one if not given
    #[arg(long, help_heading = "Where from", requires = "proxy")]
    pub proxy_source: Option<IpAddr>,
    /// Addresses from --proxy-source on over which the claims are spread
    #[arg(long, help_heading = "Where from", default_value_t = 1, requires = "proxy_source",
          value_parser = clap::value_parser!(u32).range(1..=16_000_000))]
    pub proxy_sources: u32,
    /// File for a line per acknowledged message; must not exist
    #[arg(long, help_heading = "What is told")]
    pub ledger: Option<PathBuf>,
    /// File for the figures as JSON
    #[arg(long, help_heading = "What is told")]
    pub json: Option<PathBuf>,
    /// File for the histograms of all phases, as HdrHistogram's tools read them
    #[arg(long, help_heading = "What is told")]
    pub histograms: Option<PathBuf>,
    /// Print neither progress nor figures, only errors
    #[arg(long, help_heading = "What is told")]
    pub quiet: bool,
    /// Expect the server to vanish: end with status 0 once it has, and do not connect again
    #[arg(long, help_heading = "How it ends", conflicts_with = "processes")]
    pub until_lost: bool,
    /// Seconds without one octet moved after which the run is given up
    #[arg(long, help_heading = "How it ends", default_value = "30", value_parser = seconds)]
    pub stall_timeout: Duration,
    /// Part of a run of several processes: INDEX/OF:RUN
    #[arg(long, hide = true, value_parser = Worker::parse)]
    pub worker: Option<Worker>,
}

/// Versions of the PROXY protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ProxyVersion {
    /// A line of text
    V1,
    /// Binary
    V2,
}

/// Which part of a run this process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Worker {
    /// From 0.
    pub index: u32,
    /// Processes in all.
    pub of: u32,
    /// The run's number.
    pub run: u64,
}

impl Worker {
    fn parse(text: &str) -> Result<Worker, String> {
        let parsed = || {
            let (part, run) = text.split_once(':')?;
            let (index, of) = part.split_once('/')?;
            let worker =
                Worker { index: index.parse().ok()?, of: of.parse().ok()?, run: u64::from_str_radix(run, 16).ok()? };
            (worker.index < worker.of).then_some(worker)
        };
        parsed().ok_or_else(|| "not INDEX/OF:RUN".into())
    }

    /// As [`Worker::parse`] reads it.
    pub fn argument(&self) -> String {
        format!("{}/{}:{:016x}", self.index, self.of, self.run)
    }

    /// This part's share of a number.
    pub fn share(&self, whole: u64) -> u64 {
        whole / u64::from(self.of) + u64::from(u64::from(self.index) < whole % u64::from(self.of))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_of_all_parts_are_the_whole() {
        for (whole, of) in [(10, 3), (2, 5), (0, 1), (1_000_001, 256)] {
            let shares = (0..of).map(|index| Worker { index, of, run: 1 }.share(whole));
            assert_eq!(shares.sum::<u64>(), whole);
        }
        let worker = Worker { index: 2, of: 3, run: 0xabc };
        assert_eq!(Worker::parse(&worker.argument()), Ok(worker));
        assert!(["", "1/2", "2/2:1", "a/2:1", "0/2:x"].iter().all(|text| Worker::parse(text).is_err()));
    }
}
