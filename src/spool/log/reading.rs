//! Reading records back, from segments that are not used again meanwhile.

use std::io;

use super::{DiskFile, Log};
use crate::io::aligned::{Aligned, BLOCK, blocks};
use crate::io::{File, Machine};
use crate::spool::record::Extent;

impl<M: Machine> Log<M> {
    /// The file of the segment of this incarnation.
    pub fn file(&self, epoch: u64) -> Option<DiskFile<M>> {
        self.0.in_use.borrow().get(&epoch).map(|used| used.segment.file.clone())
    }

    /// The number of the segment of this incarnation.
    pub fn slot(&self, epoch: u64) -> Option<u32> {
        self.0.in_use.borrow().get(&epoch).map(|used| used.segment.slot)
    }

    /// Reads a whole record to the front of a buffer; the range is the record.
    pub async fn read(&self, extent: &Extent) -> io::Result<(Aligned, std::ops::Range<usize>)> {
        let reading = Reading::begin(self, extent.epoch);
        let (file, _reading) = reading.ok_or_else(|| io::Error::other("the segment has been recycled"))?;
        let start = extent.offset as usize % BLOCK;
        let length = blocks(start + extent.record_octets());
        let (result, buffer) = file.read_at(Aligned::zeroed(length), length, extent.offset as u64 - start as u64).await;
        if result? < start + extent.record_octets() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok((buffer, start..start + extent.record_octets()))
    }

    /// Keeps the segment of this incarnation, and so those behind it, from being used again for as long as this is held.
    pub fn keep(&self, epoch: u64) -> Option<Reading<'_, M>> {
        Reading::begin(self, epoch).map(|(_, reading)| reading)
    }
}

/// Keeps a segment from being used again while something in it is read.
pub(in crate::spool) struct Reading<'a, M: Machine> {
    log: &'a Log<M>,
    epoch: u64,
}

impl<'a, M: Machine> Reading<'a, M> {
    /// Of the segment of this incarnation, with its file.
    fn begin(log: &'a Log<M>, epoch: u64) -> Option<(DiskFile<M>, Reading<'a, M>)> {
        let mut in_use = log.0.in_use.borrow_mut();
        let used = in_use.get_mut(&epoch)?;
        used.readers += 1;
        Some((used.segment.file.clone(), Reading { log, epoch }))
    }
}

impl<M: Machine> Drop for Reading<'_, M> {
    fn drop(&mut self) {
        let last = self.log.0.in_use.borrow_mut().get_mut(&self.epoch).is_some_and(|used| {
            used.readers -= 1;
            used.readers == 0
        });
        if last {
            self.log.recycle();
        }
    }
}
