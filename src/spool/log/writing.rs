//! Batches on their way to the disk, and what is done when one is lost.

use std::cell::Cell;
use std::io;
use std::ops::Range;
use std::time::Duration;

use super::{Log, LogEvent};
use crate::io::wait::Latch;
use crate::io::{Aligned, File, Machine, Part};
use crate::spool::compaction::leaves_a_step;
use crate::spool::group_commit::{BatchLost, Ending};
use crate::spool::record::{Draft, Kind};
use crate::spool::segment::{SEGMENT_HEADER, SegmentHeader, encode_header};

/// A write and its sync that take so long are told of, and how often at most.
const SLOW: Duration = Duration::from_secs(1);
const SLOW_AGAIN: Duration = Duration::from_secs(60);

/// What is written in one go: a range of a buffer, and what comes behind it.
struct Octets {
    buffer: Aligned,
    range: Range<usize>,
    rest: Vec<Part>,
}

impl<M: Machine> Log<M> {
    /// Ends when all that was placed so far is on stable storage, or lost.
    pub async fn settled(&self) {
        let last = self.0.group.borrow().last();
        if let Some(last) = last {
            // Whoever placed a record hears of its loss.
            let _ = last.get().await;
        }
    }

    /// Writes batch after batch, for ever.
    pub(super) async fn write_batches(&self) {
        loop {
            let batch = self.0.group.borrow_mut().leave();
            let Some(batch) = batch else {
                self.0.gathered.heard().await;
                continue;
            };
            self.0.room.ring();
            let octets = Octets { buffer: batch.buffer, range: batch.range, rest: batch.rest };
            let (result, buffer) = self.write(&self.0.writing_since, batch.epoch, octets, batch.offset).await;
            self.0.group.borrow_mut().returned(buffer);
            let ending = result.map_err(|error| self.close(error));
            self.0.batches.set(self.0.batches.get() + 1);
            batch.ending.set(ending);
            self.0.room.ring();
        }
    }

    /// Writes the header of a segment that was begun. The last batch of the segment before may be on its way meanwhile, unless it is
    /// what says that a freed segment is not needed any more; the first one of this segment leaves behind both.
    pub(super) async fn write_header(&self, header: SegmentHeader, freed_by: Option<Latch<Ending>>) {
        if let Some(ending) = freed_by {
            // Where that was lost the log is closed, and nothing is written over.
            let _ = ending.get().await;
        }
        let mut buffer = Aligned::zeroed(SEGMENT_HEADER);
        encode_header(header, &mut buffer);
        let octets = Octets { buffer, range: 0..SEGMENT_HEADER, rest: Vec::new() };
        let (result, _) = self.write(&self.0.heading_since, header.epoch, octets, 0).await;
        if let Err(error) = result {
            self.close(error);
        }
        self.0.group.borrow_mut().header_ended(header.epoch);
        self.0.gathered.ring();
    }

    /// Writes and syncs octets at `offset` of a segment, unless the log is closed; `since` says meanwhile when that was begun.
    async fn write(
        &self,
        since: &Cell<Option<Duration>>,
        epoch: u64,
        octets: Octets,
        offset: u64,
    ) -> (io::Result<()>, Aligned) {
        let Some(file) = self.file(epoch).filter(|_| !self.0.closed.get()) else {
            return (Err(io::Error::other("the spool is closed")), octets.buffer);
        };
        let begun = self.0.machine.now();
        since.set(Some(begun));
        let written = file.write_all_synced(octets.buffer, octets.range, octets.rest, offset).await;
        since.set(None);
        self.0.slowest.set(self.0.slowest.get().max(self.0.machine.now().saturating_sub(begun)));
        written
    }

    /// To be called now and then. When nothing was written since the last time, the log says of itself that all of it was on
    /// stable storage: what is damaged after that can be told from what a crash tore.
    pub fn pulse(&self) {
        self.watch_speed();
        let batches = self.0.batches.get();
        let quiet = self.0.batches_seen.replace(batches) == batches && !self.0.group.borrow().has_gathered();
        if quiet && self.0.unmarked.get() {
            self.mark();
        }
    }

    /// Says so when the disk is slow, and begins the figures anew each minute.
    fn watch_speed(&self) {
        let (state, now) = (&self.0, self.0.machine.now());
        let slowest = self.figures().slowest;
        let told = state.told_slow.get().is_some_and(|told| now < told + SLOW_AGAIN);
        if slowest >= SLOW && !told {
            state.told_slow.set(Some(now));
            (state.report)(LogEvent::Slow(slowest));
        }
        if now >= state.slowest_from.get() + SLOW_AGAIN {
            state.slowest_from.set(now);
            state.slowest.set(Duration::ZERO);
        }
    }

    /// Where the segment has no room left for it, the first record of the next one says the same.
    fn mark(&self) {
        self.0.unmarked.set(false);
        let mark = Draft::mark();
        // Nor is it worth what the mover needs.
        let has_room = leaves_a_step(&self.usage(), mark.stride() as u64, false);
        if !self.0.closed.get() && has_room && self.0.group.borrow_mut().place(&mark, Kind::Mark).is_ok() {
            self.0.gathered.ring();
        }
    }

    /// The same, at once, and waits for it.
    pub async fn settle(&self) {
        self.settled().await;
        if self.0.unmarked.get() {
            self.mark();
            self.settled().await;
        }
    }

    /// A batch was lost: what the disk holds of it is unknown and must not be asked again.
    pub fn close(&self, error: io::Error) -> BatchLost {
        if !self.0.closed.replace(true) {
            (self.0.report)(LogEvent::Closed(error));
            self.0.room.ring();
        }
        BatchLost
    }
}
