//! The `ringpost` command.

mod cli;

use std::process::ExitCode;

/// A fifth less CPU for a message than the system's allocator, which gives memory back to the kernel and takes it again;
/// docs/PERFORMANCE.md has the comparison.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    without_huge_pages();
    cli::run()
}

/// The allocator asks for huge pages, and the kernel zeroes each when it is first touched: a core stands still meanwhile, with all
/// of its sessions, in a virtual machine for milliseconds. Ordinary pages cost no more and come in small steps;
/// docs/PERFORMANCE.md has the comparison.
fn without_huge_pages() {
    // SAFETY: it takes numbers alone. A kernel that knows nothing of it has no huge pages to be spared.
    unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) };
}
