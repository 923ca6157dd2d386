//! Load source, ledger and reader for tests of SMTP and LMTP servers. See `loadtest/README.md`.

mod content;
mod date;
mod idle;
mod ledger;
mod mark;
mod process;
mod reply;
mod source;
mod storm;
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
    Source(source::Options),
    /// Compare the Maildirs with the ledger of what was acknowledged
    Verify(verify::Options),
    /// Hold idle sessions and measure what they cost the server
    Idle(idle::Options),
    /// Come and go very often, in every way, and tell whether the server kept to its limits
    Storm(storm::Options),
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Source(options) => source::run(&options),
        Command::Verify(options) => verify::run(&options),
        Command::Idle(options) => idle::run(&options),
        Command::Storm(options) => storm::run(&options),
    };
    done.unwrap_or_else(|error| {
        eprintln!("loadtest: {error}");
        ExitCode::FAILURE
    })
}
