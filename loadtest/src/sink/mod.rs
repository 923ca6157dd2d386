//! `loadtest sink`: a next hop that takes messages, late, seldom or never if asked to, and keeps a ledger of what it took.

mod engine;
mod faults;
mod session;

use crate::ledger::SinkLedger;
use crate::tls::{self, SelfMade};
use clap::Args;
use faults::{Delay, Fault, Manner};
use rustls::ServerConfig;
use session::Policy;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

/// What `loadtest sink` is asked to be.
#[derive(Args, Debug)]
pub struct Options {
    /// Where to listen, as HOST:PORT; port 0: a free one, which the first line of the output tells
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: String,
    /// Speak LMTP (RFC 2033)
    #[arg(long)]
    lmtp: bool,
    /// Most octets of a message
    #[arg(long, default_value_t = 64 * 1024 * 1024, value_parser = clap::value_parser!(u64).range(1..=1 << 30))]
    size: u64,
    /// Sessions at the same time; further ones hear 421
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    sessions: u32,
    /// Extension not to offer, by its keyword; repeat it for several
    #[arg(long)]
    without: Vec<String>,
    /// Offer STARTTLS
    #[arg(long, conflicts_with = "tls")]
    starttls: bool,
    /// TLS from the first octet
    #[arg(long)]
    tls: bool,
    /// Certificate chain (PEM); made on the spot for localhost, 127.0.0.1 and ::1 if not given
    #[arg(long, requires = "key")]
    certificate: Option<PathBuf>,
    /// Its private key (PEM)
    #[arg(long, requires = "certificate")]
    key: Option<PathBuf>,
    /// File for the certificate made on the spot, for clients to trust
    #[arg(long, conflicts_with = "certificate")]
    write_certificate: Option<PathBuf>,
    /// Who may authenticate, as USER:PASSWORD; offers AUTH PLAIN and LOGIN, and asks nobody to use it
    #[arg(long)]
    user: Option<String>,
    /// Wait, as STAGE:SECONDS; stages are greeting, reply (each but the other two) and dot (before the reply to a message)
    #[arg(long, value_parser = Delay::parse)]
    delay: Vec<Delay>,
    /// Fail, as STAGE:ACTION[:PROBABILITY[:PATTERN]]; stages are connect, mail, rcpt, data and dot; ACTION is a code from
    /// 400 to 599 or "drop", which resets the connection; the first rule that is met counts; a pattern is like a recipient, * anything
    #[arg(long, value_parser = Fault::parse)]
    fault: Vec<Fault>,
    /// What the chances of --fault follow from: the same seed and order of connections, the same faults
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// File for a line per acknowledged recipient of a message; must not exist
    #[arg(long)]
    ledger: Option<PathBuf>,
    /// End after so many acknowledged messages, once the clients have gone or 5 s have passed
    #[arg(long)]
    messages: Option<u64>,
    /// File for the counts as JSON
    #[arg(long)]
    json: Option<PathBuf>,
}

/// Takes messages until SIGTERM, SIGINT or the given count.
pub fn run(options: &Options) -> Result<ExitCode, String> {
    let tls = if options.tls || options.starttls { Some(tls_config(options)?) } else { None };
    let ledger = options.ledger.as_deref().map(SinkLedger::create).transpose()?;
    crate::process::raise_descriptor_limit(u64::from(options.sessions) + 64)?;
    let user = match &options.user {
        None => None,
        Some(text) => {
            let (name, password) = text.split_once(':').ok_or("--user: not USER:PASSWORD")?;
            Some((name.to_string(), password.to_string()))
        }
    };
    let mut extensions = Policy::all_extensions(options.size);
    for name in &options.without {
        let count = extensions.len();
        extensions.retain(|offered| !offered.split(' ').next().unwrap_or_default().eq_ignore_ascii_case(name));
        if extensions.len() == count {
            return Err(format!("--without {name}: not offered anyway"));
        }
    }
    let policy = Policy {
        lmtp: options.lmtp,
        size: options.size,
        extensions,
        starttls: options.starttls,
        user,
        manner: Manner::new(&options.fault, &options.delay),
    };
    let mut engine = engine::Engine::new(options, &policy, tls, ledger)?;
    println!("listening on {}", engine.address()?);
    let counts = engine.run()?;
    print!("{}", counts.text());
    if let Some(path) = &options.json {
        fs::write(path, format!("{:#}\n", counts.json())).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn tls_config(options: &Options) -> Result<Arc<ServerConfig>, String> {
    if let (Some(certificate), Some(key)) = (&options.certificate, &options.key) {
        let read = |path: &PathBuf| fs::read(path).map_err(|error| format!("{}: {error}", path.display()));
        return tls::server_config(&read(certificate)?, &read(key)?);
    }
    let made = SelfMade::new(&["localhost", "127.0.0.1", "::1"])?;
    if let Some(path) = &options.write_certificate {
        fs::write(path, &made.certificate).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    tls::server_config(made.certificate.as_bytes(), made.key.as_bytes())
}
