//! The `bench` command; see `bench/README.md`.

use bench::{ring, system};
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
}

fn main() -> ExitCode {
    system::stop_on_signals();
    let done = match Cli::parse().command {
        Command::Ring(options) => ring::run(&options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}
