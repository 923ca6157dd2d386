//! The `bench` command; see `bench/README.md`.

use bench::{compare, count, deliver, leanest, ring, system};
use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// What this machine can do, and what ringpost does of it
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measure what kernel and disk can do with the primitives that ringpost uses
    Ring(ring::Options),
    /// Serve with fixed replies and nothing that is not needed to make a message durable
    Leanest(leanest::Options),
    /// Run ringpost and the leanest program under the same load
    Compare(compare::Options),
    /// Deliver to a Maildir, beside what the disk can do of it
    Deliver(deliver::Options),
    /// Count copies, allocations, system calls and instructions of ringpost for a message
    Count(count::Options),
}

fn main() -> ExitCode {
    system::stop_on_signals();
    let done = match Cli::parse().command {
        Command::Ring(options) => ring::run(&options),
        Command::Leanest(options) => leanest::run(&options),
        Command::Compare(options) => compare::run(&options),
        Command::Deliver(options) => deliver::run(&options),
        Command::Count(options) => count::run(&options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}
