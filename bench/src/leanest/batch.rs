//! What is written and synced together, and where.

use glommio::io::DmaBuffer;
use ringpost::io::Aligned;
use ringpost::io::aligned::blocks;

/// Octets of a batch at most.
pub const BATCH: usize = 1024 * 1024;

/// Memory that the disk can write from.
pub trait Memory: 'static {
    /// All of it.
    fn octets(&self) -> &[u8];
    /// All of it, to be changed.
    fn octets_mut(&mut self) -> &mut [u8];
}

impl Memory for Aligned {
    fn octets(&self) -> &[u8] {
        self
    }

    fn octets_mut(&mut self) -> &mut [u8] {
        self
    }
}

impl Memory for DmaBuffer {
    fn octets(&self) -> &[u8] {
        self.as_bytes()
    }

    fn octets_mut(&mut self) -> &mut [u8] {
        self.as_bytes_mut()
    }
}

/// Records that gather while the ones before them are being written.
pub struct Batch<B> {
    buffer: B,
    used: usize,
}

impl<B: Memory> Batch<B> {
    /// With nothing in it.
    pub fn new(fresh: impl Fn(usize) -> B) -> Batch<B> {
        Batch { buffer: fresh(BATCH), used: 0 }
    }

    /// Puts a record of these pieces in, if there is room.
    pub fn place(&mut self, pieces: &[&[u8]]) -> bool {
        let octets: usize = pieces.iter().map(|piece| piece.len()).sum();
        if self.used + octets > BATCH {
            return false;
        }
        for piece in pieces {
            self.buffer.octets_mut()[self.used..self.used + piece.len()].copy_from_slice(piece);
            self.used += piece.len();
        }
        true
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// What gathered, and how many octets of it, in whole blocks, are to be written; it goes on in `next`.
    pub fn leave(&mut self, next: B) -> (B, usize) {
        let octets = blocks(std::mem::take(&mut self.used));
        (std::mem::replace(&mut self.buffer, next), octets)
    }
}

/// Where in the file the next write goes: round and round.
#[derive(Debug)]
pub struct Offsets {
    next: u64,
    file: u64,
}

impl Offsets {
    /// In a file of so many octets.
    pub fn new(file: u64) -> Offsets {
        Offsets { next: 0, file }
    }

    /// The place for so many octets.
    pub fn take(&mut self, octets: usize) -> u64 {
        if self.next + octets as u64 > self.file {
            self.next = 0;
        }
        let place = self.next;
        self.next += octets as u64;
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_go_round() {
        let mut offsets = Offsets::new(10);
        assert_eq!([4, 4, 4, 6, 10].map(|octets| offsets.take(octets)), [0, 4, 0, 4, 0]);
    }
}
