//! Segments are made before they are needed.

use std::io;
use std::path::Path;
use std::time::Duration;

use super::{DiskFile, Log, LogEvent, Segment};
use crate::io::{Aligned, Disk, File, Machine, Open};
use crate::spool::compaction::{self, Growth};
use crate::spool::segment::{self, SEGMENT_HEADER, SegmentHeader, encode_header};

/// Octets of zeros that are written at a time when a segment is prepared: small enough that intake's syncs get between them.
const ZEROS: usize = 1024 * 1024;

/// How long to wait before looking again whether the disk has room, or is left alone.
const LOOK: Duration = Duration::from_secs(1);

impl<M: Machine> Log<M> {
    /// Keeps the wanted number of free segments ready, for ever. While mail comes the disk is left to it, as long as more than half
    /// of them are there: what comes in bursts is written once, and not zeros beside it.
    pub(super) async fn prepare_segments(&self) {
        let mut seen = 0;
        loop {
            let changed = self.0.segments_changed.heard();
            let (free, direct) = self.free_segments();
            let usage = self.usage();
            // Some are free, and there are as many as mail needs so that the reserve can always be had again.
            let prepared = u64::from(self.0.settings.prepared);
            let (few, wanted) = (prepared / 2 + compaction::KEPT, prepared + compaction::KEPT);
            let takes = compaction::takes(&usage, usage.segments(), self.0.refused.get(), Growth::Mail);
            let has_written = std::mem::replace(&mut seen, self.0.batches.get()) != self.0.batches.get();
            let is_busy = has_written || self.0.group.borrow().has_gathered();
            if takes && is_busy && !self.0.full.get() && few < usage.free && usage.free < wanted {
                futures_lite::future::or(changed, self.0.machine.sleep(LOOK)).await;
                continue;
            }
            if takes && usage.free >= wanted {
                self.0.refused.set(0);
                if self.0.told_prepared.replace(Some(true)) != Some(true) {
                    (self.0.report)(LogEvent::Prepared { segments: free, direct });
                }
                changed.await;
                continue;
            }
            match self.prepare_segment().await {
                Ok(()) => {
                    self.0.full.set(false);
                    self.0.room.ring();
                }
                Err(error) => {
                    self.0.full.set(true);
                    self.look_for_fragments();
                    if self.0.told_prepared.replace(Some(false)) != Some(false) {
                        (self.0.report)(LogEvent::NoSegment(error));
                    }
                    self.0.room.ring();
                    futures_lite::future::or(changed, self.0.machine.sleep(LOOK)).await;
                }
            }
        }
    }

    /// How many segments are free, and whether the last of them is written to past the page cache.
    fn free_segments(&self) -> (usize, bool) {
        let free = self.0.free.borrow();
        (free.len(), free.back().is_some_and(|segment| segment.file.is_direct()))
    }

    /// Makes a segment of written zeros, so that later syncs of what goes into it need not commit metadata.
    async fn prepare_segment(&self) -> io::Result<()> {
        let state = &self.0;
        let disk = state.machine.disk();
        let octets = state.settings.segment_octets;
        let segments = state.in_use.borrow().len() + state.free.borrow().len() + state.retired.borrow().len();
        if segments >= state.settings.max_segments as usize {
            return Err(io::Error::other("the limit of segments is reached"));
        }
        if disk.free_octets(&state.directory)? < state.settings.reserve_octets + octets {
            return Err(io::Error::other("the disk has no more than its reserve left"));
        }
        let slot = state.next_slot.get();
        state.next_slot.set(slot + 1);
        let path = segment::path(&state.directory, slot);
        let unfinished = path.with_extension("new");
        match self.write_zeros(&unfinished).await {
            Ok(file) => {
                disk.rename(&unfinished, &path).await?;
                disk.sync_directory(&state.directory).await?;
                state.free.borrow_mut().push_back(Segment { slot, octets, file });
                Ok(())
            }
            Err(error) => {
                // The space goes back to the file system; that the segment was not made is what the caller hears of.
                let _ = disk.remove(&unfinished).await;
                Err(error)
            }
        }
    }

    async fn write_zeros(&self, path: &Path) -> io::Result<DiskFile<M>> {
        let file = self.0.machine.disk().open(path, Open::Direct).await?;
        let octets = self.0.settings.segment_octets;
        let mut zeros = Aligned::zeroed(ZEROS);
        // Incarnation 0: whoever opens it knows from one block that it was never used.
        encode_header(SegmentHeader { epoch: 0, sealed: 0, key: self.0.key, before: None }, &mut zeros);
        let mut offset = 0;
        while offset < octets {
            let length = (octets - offset).min(ZEROS as u64);
            let (result, buffer) = file.write_at(zeros, 0..length as usize, offset).await;
            result?;
            zeros = buffer;
            zeros[..SEGMENT_HEADER].fill(0);
            offset += length;
        }
        file.sync().await?;
        Ok(file)
    }
}
