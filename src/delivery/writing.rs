//! A file that is written from its beginning to its end, in large pieces.

use std::io;

use crate::io::{Aligned, Disk, File, Machine};

/// Octets that are gathered before they are written.
pub(super) const BUFFER: usize = 64 * 1024;

/// The file, and what was gathered for it.
pub(super) struct Writing<M: Machine> {
    file: <M::Disk as Disk>::File,
    gathered: Vec<u8>,
    written: u64,
    buffer: Option<Aligned>,
}

impl<M: Machine> Writing<M> {
    /// An empty file that was just opened, and what it begins with.
    pub fn new(file: <M::Disk as Disk>::File, gathered: Vec<u8>) -> Writing<M> {
        Writing { file, gathered, written: 0, buffer: None }
    }

    /// Appends octets.
    pub async fn push(&mut self, octets: &[u8]) -> io::Result<()> {
        self.push_with(octets, |slice, gathered| gathered.extend_from_slice(slice)).await
    }

    /// Appends what is made of octets, a slice of them at a time.
    pub async fn push_with(&mut self, octets: &[u8], mut make: impl FnMut(&[u8], &mut Vec<u8>)) -> io::Result<()> {
        for slice in octets.chunks(BUFFER) {
            make(slice, &mut self.gathered);
            if self.gathered.len() >= BUFFER {
                self.write().await?;
            }
        }
        Ok(())
    }

    async fn write(&mut self) -> io::Result<()> {
        let length = self.gathered.len();
        let fitting = self.buffer.take().filter(|buffer| buffer.len() >= length);
        let mut buffer = fitting.unwrap_or_else(|| Aligned::zeroed(length));
        buffer[..length].copy_from_slice(&self.gathered);
        self.gathered.clear();
        let (result, buffer) = self.file.write_at(buffer, 0..length, self.written).await;
        self.buffer = Some(buffer);
        self.written += length as u64;
        result
    }

    /// Appends the last octets, and brings all of it to stable storage.
    pub async fn finish(&mut self, last: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        last(&mut self.gathered);
        if !self.gathered.is_empty() {
            self.write().await?;
        }
        self.file.sync().await
    }
}
