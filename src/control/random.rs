//! Randomness that nobody can guess.

use std::fs::File;
use std::io::{self, Read};

/// So many octets of it, from the kernel.
pub fn octets<const N: usize>() -> io::Result<[u8; N]> {
    let mut octets = [0; N];
    File::open("/dev/urandom")?.read_exact(&mut octets)?;
    Ok(octets)
}
