//! Load source, sink, ledger and comparisons for SMTP and LMTP servers. See `loadtest/README.md`.

mod args;
mod compare;
mod content;
mod date;
mod errors;
mod idle;
mod inspect;
mod ledger;
mod mark;
mod process;
mod random;
mod regress;
mod reply;
mod rig;
mod sink;
mod source;
mod storm;
pub mod tls;
mod verify;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Measures SMTP and LMTP servers, and proves what they kept.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Send messages and measure how they are taken
    Source(Box<source::Source>),
    /// Be a next hop that takes messages, late, seldom or never if asked to
    Sink(sink::Options),
    /// Compare mailboxes, files and a sink's ledger with the ledger of what was acknowledged
    Verify(verify::Options),
    /// Hold idle sessions and measure what they cost the server
    Idle(idle::Options),
    /// Tell whether one build of ringpost takes more processor time a message than another
    Regress(regress::Options),
    /// Compare ringpost with Postfix, fetched into a root of its own
    Postfix(compare::Options),
    /// Come and go very often, in every way, and tell whether the server kept to its limits
    Storm(storm::Options),
}

/// The program.
pub fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Source(source) => source::run(&source),
        Command::Sink(options) => sink::run(&options),
        Command::Verify(options) => verify::run(&options),
        Command::Idle(options) => idle::run(&options),
        Command::Regress(options) => regress::run(&options),
        Command::Postfix(options) => compare::run(&options),
        Command::Storm(options) => storm::run(&options),
    };
    done.unwrap_or_else(|error| {
        eprintln!("loadtest: {error}");
        ExitCode::FAILURE
    })
}
