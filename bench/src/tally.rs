//! What a counted program has done so far, in memory that another process can read.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Octets from which on a copy counts as one of content: shorter ones are envelopes, replies and fields.
pub const LARGE: usize = 512;

/// The name of the variable that holds the path of the file that is shared.
pub const VARIABLE: &str = "BENCH_TALLY";

/// The variable that, where it is set, lets rings be waited for by poll(2), as a program under valgrind must.
pub const POLLING: &str = "BENCH_POLL_RINGS";

/// Counters. All of them only go up.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Tally {
    /// Blocks of memory asked for.
    pub blocks: AtomicU64,
    /// Octets of them.
    pub octets: AtomicU64,
    /// Copies of [`LARGE`] octets and more.
    pub copies: AtomicU64,
    /// Octets of them.
    pub copied: AtomicU64,
}

/// A tally at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Blocks of memory asked for.
    pub blocks: u64,
    /// Octets of them.
    pub octets: u64,
    /// Copies of [`LARGE`] octets and more.
    pub copies: u64,
    /// Octets of them.
    pub copied: u64,
}

impl Tally {
    /// With nothing counted.
    pub const fn new() -> Tally {
        Tally {
            blocks: AtomicU64::new(0),
            octets: AtomicU64::new(0),
            copies: AtomicU64::new(0),
            copied: AtomicU64::new(0),
        }
    }

    /// Counts a block.
    pub fn allocated(&self, octets: usize) {
        self.blocks.fetch_add(1, Relaxed);
        self.octets.fetch_add(octets as u64, Relaxed);
    }

    /// Counts a copy, if it is a large one.
    pub fn copied(&self, octets: usize) {
        if octets >= LARGE {
            self.copies.fetch_add(1, Relaxed);
            self.copied.fetch_add(octets as u64, Relaxed);
        }
    }

    /// What was counted so far.
    pub fn read(&self) -> Reading {
        Reading {
            blocks: self.blocks.load(Relaxed),
            octets: self.octets.load(Relaxed),
            copies: self.copies.load(Relaxed),
            copied: self.copied.load(Relaxed),
        }
    }

    /// The tally in a file, which is made if it is not there; it stays mapped as long as the process lives.
    pub fn shared(path: &Path) -> io::Result<&'static Tally> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        file.set_len(size_of::<Tally>() as u64)?;
        Tally::map(&file)
    }

    fn map(file: &File) -> io::Result<&'static Tally> {
        let (length, access) = (size_of::<Tally>(), libc::PROT_READ | libc::PROT_WRITE);
        // SAFETY: a new mapping of a file that is as long; nothing else is touched.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), length, access, libc::MAP_SHARED, file.as_raw_fd(), 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the mapping begins at a page, is long enough, is never undone, and any octets are valid counters.
        Ok(unsafe { &*start.cast::<Tally>() })
    }
}

impl Reading {
    /// What was counted since an earlier reading.
    pub fn since(self, earlier: Reading) -> Reading {
        Reading {
            blocks: self.blocks - earlier.blocks,
            octets: self.octets - earlier.octets,
            copies: self.copies - earlier.copies,
            copied: self.copied - earlier.copied,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_counts_another_reads() {
        let folder = tempfile::tempdir().expect("a directory");
        let path = folder.path().join("tally");
        let (one, other) = (Tally::shared(&path).expect("a tally"), Tally::shared(&path).expect("the same"));
        one.allocated(100);
        let before = other.read();
        one.copied(LARGE - 1);
        one.copied(LARGE);
        let counted = Reading { blocks: 0, octets: 0, copies: 1, copied: LARGE as u64 };
        assert_eq!((before.blocks, before.octets, other.read().since(before)), (1, 100, counted));
    }
}
