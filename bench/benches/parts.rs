//! Micro-benchmarks of the pure parts; see `bench/README.md`.

use bench::allocations::Counting;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: Counting = Counting::new();

fn main() -> ExitCode {
    bench::parts::runner::main(&ALLOCATOR)
}
