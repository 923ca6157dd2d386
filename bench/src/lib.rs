//! Yardsticks: what kernel, disk and processor of a machine can do, and what ringpost does of it.
//!
//! - [`parts`]: the pure parts of ringpost, each alone (`cargo bench -p bench`).
//! - [`ring`]: the primitives that ringpost uses, and nothing else (`bench ring`).
//! - [`leanest`]: a program that does what must be done for a message, and nothing else (`bench leanest`).
//! - [`compare`]: ringpost beside it, under the same load (`bench compare`).
//! - [`count`]: what ringpost does for a message, counted (`bench count`).

pub mod allocations;
pub mod compare;
pub mod count;
pub mod deliver;
pub mod figures;
pub mod leanest;
pub mod parts;
pub mod perf;
pub mod ring;
pub mod system;
pub mod table;
pub mod tally;
pub mod uring;

use std::path::Path;

/// A folder of its own in `directory`, gone with all that is in it when it is dropped.
pub fn folder_in(directory: &Path) -> Result<tempfile::TempDir, String> {
    let made = tempfile::Builder::new().prefix("bench-").tempdir_in(directory);
    made.map_err(|error| format!("cannot make files in {}: {error}", directory.display()))
}

/// Writes figures for a program.
pub fn write_json(path: &Path, figures: &serde_json::Value) -> Result<(), String> {
    std::fs::write(path, format!("{figures:#}\n")).map_err(|error| format!("{}: {error}", path.display()))
}
