//! The `ringpost` command.

mod cli;

use std::process::ExitCode;

/// A fifth less CPU for a message than the system's allocator, which gives memory back to the kernel and takes it again;
/// docs/PERFORMANCE.md has the comparison.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::run()
}
