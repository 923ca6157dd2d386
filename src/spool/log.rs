//! One core's log on disk: segments, the batches that go into them, and what keeps a segment from being recycled.
//!
//! **Invariants.** A record is placed before its batch leaves; a batch leaves only when the one before it has ended; after a
//! batch was lost nothing is written any more until the next start. Segments are recycled oldest first and used again, or
//! removed, in that order, so that no outcome disappears before the message it belongs to.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use super::compaction::{self, Usage};
use super::group_commit::{BatchLost, Ending, GroupCommit, Placed, Unplaced};
use super::record::{Draft, Extent, Key, Kind};
use super::segment::{self, SEGMENT_HEADER, SegmentHeader, encode_header};
use super::{Settings, StoreError};
use crate::io::aligned::{Aligned, blocks};
use crate::io::wait::{Bell, Latch};
use crate::io::{Class, Disk, File, Machine, Open};
use crate::mail::MessageId;

/// Octets of zeros that are written at a time when a segment is prepared: small enough that intake's syncs get between them.
const ZEROS: usize = 1024 * 1024;

/// Octets that must be left for a message whose size was not declared to be begun.
const LEAST_ROOM: u64 = 128 * 1024;

/// Free segments that mail leaves alone.
const KEPT: usize = compaction::KEPT as usize;

/// How long to wait before looking again whether the disk has room.
const ROOM_CHECK: Duration = Duration::from_secs(1);

type DiskFile<M> = <<M as Machine>::Disk as Disk>::File;

/// A segment's file.
#[derive(Clone, Debug)]
pub(super) struct Segment<F> {
    /// The number in its name.
    pub slot: u32,
    /// Its size.
    pub octets: u64,
    /// It, open.
    pub file: F,
}

/// The segments of a log as recovery sorted them.
pub(super) struct Segments<F> {
    /// By incarnation, and whether it must not be used again in this run.
    pub in_use: Vec<(u64, Segment<F>, bool)>,
    /// Oldest first.
    pub free: Vec<Segment<F>>,
    /// The incarnation that the next one begins.
    pub next_epoch: u64,
    /// The number of the next file.
    pub next_slot: u32,
    /// The log's secret.
    pub key: Key,
}

/// A segment in use and who needs it.
#[derive(Debug)]
struct InUse<F> {
    segment: Segment<F>,
    /// How many records in it are needed, and how many octets they have.
    pins: u64,
    live: u64,
    /// Whose records they were; some are gone.
    holders: Vec<MessageId>,
    /// It must not be used again in this run.
    untouchable: bool,
}

impl<F> InUse<F> {
    fn new(segment: Segment<F>, untouchable: bool) -> InUse<F> {
        InUse { segment, pins: 0, live: 0, holders: Vec::new(), untouchable }
    }
}

/// The log of one core; clones are the same log.
pub(super) struct Log<M: Machine>(Rc<State<M>>);

impl<M: Machine> Clone for Log<M> {
    fn clone(&self) -> Self {
        Log(self.0.clone())
    }
}

struct State<M: Machine> {
    machine: M,
    directory: PathBuf,
    key: Key,
    settings: Settings,
    group: RefCell<GroupCommit>,
    /// By incarnation, the current one included.
    in_use: RefCell<BTreeMap<u64, InUse<DiskFile<M>>>>,
    /// Octets of all records that are needed.
    live: Cell<u64>,
    /// How many messages need a record that holds a part of their content before the last.
    shared: RefCell<HashMap<Extent, u32>>,
    /// Oldest first.
    free: RefCell<VecDeque<Segment<DiskFile<M>>>>,
    /// Freed, oldest first, behind one of a size that is no longer wanted and is being removed.
    retired: RefCell<VecDeque<Segment<DiskFile<M>>>>,
    /// The incarnation that the next segment gets.
    next_epoch: Cell<u64>,
    next_slot: Cell<u32>,
    /// No further segment can be prepared: the limit or the reserve is reached.
    full: Cell<bool>,
    /// What was last told of segments: that the wanted number is ready, or that none can be made.
    told_prepared: Cell<Option<bool>>,
    /// A batch was lost.
    closed: Cell<bool>,
    /// The first of the retired segments is being removed.
    removing: Cell<bool>,
    /// Batches that have ended, now and at the last pulse.
    batches: Cell<u64>,
    batches_seen: Cell<u64>,
    /// Something was placed that no mark stands behind.
    unmarked: Cell<bool>,
    /// There is something to write.
    gathered: Bell,
    /// A batch has left or ended, or a segment became free.
    room: Bell,
    /// A free segment was taken or one in use became free.
    segments_changed: Bell,
    /// There is more to win by moving records on than it costs.
    fragmented: Bell,
    report: Box<dyn Fn(LogEvent)>,
}

/// What an operator should hear of.
#[derive(Debug)]
pub enum LogEvent {
    /// Writing or syncing failed: this spool takes no more until the next start.
    Closed(io::Error),
    /// No segment can be made.
    NoSegment(io::Error),
    /// A segment of a size that is no longer wanted could not be removed.
    NotRemoved(PathBuf, io::Error),
    /// As many free segments as wanted are prepared.
    Prepared {
        /// How many.
        segments: usize,
        /// Writes go past the page cache.
        direct: bool,
    },
}

/// Whose record it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// New mail: leaves the last free segments alone, and the current one while one of these is in use.
    Intake,
    /// Outcomes and records that are moved on: what frees room must always find some.
    Upkeep,
}

impl<M: Machine> Log<M> {
    /// Over the segments that recovery found.
    pub fn new(
        machine: M,
        directory: &Path,
        settings: Settings,
        segments: Segments<DiskFile<M>>,
        report: Box<dyn Fn(LogEvent)>,
    ) -> Log<M> {
        let Segments { in_use, free, next_epoch, next_slot, key } = segments;
        let in_use = in_use.into_iter();
        let in_use = in_use.map(|(epoch, segment, untouchable)| (epoch, InUse::new(segment, untouchable))).collect();
        Log(Rc::new(State {
            machine,
            directory: directory.to_owned(),
            key,
            group: RefCell::new(GroupCommit::new(key, settings.segment_octets as usize)),
            settings,
            in_use: RefCell::new(in_use),
            live: Cell::new(0),
            shared: RefCell::default(),
            free: RefCell::new(free.into()),
            retired: RefCell::default(),
            next_epoch: Cell::new(next_epoch),
            next_slot: Cell::new(next_slot),
            full: Cell::new(false),
            told_prepared: Cell::new(None),
            closed: Cell::new(false),
            removing: Cell::new(false),
            batches: Cell::new(0),
            batches_seen: Cell::new(0),
            unmarked: Cell::new(false),
            gathered: Bell::default(),
            room: Bell::default(),
            segments_changed: Bell::default(),
            fragmented: Bell::default(),
            report,
        }))
    }

    /// Starts the writer and the preparing of segments.
    pub fn start(&self) {
        let log = self.clone();
        self.0.machine.spawn_vital(Class::Intake, async move { log.write_batches().await });
        let log = self.clone();
        self.0.machine.spawn_vital(Class::Intake, async move { log.prepare_segments().await });
    }

    /// Puts a record into the log and waits until it is on stable storage. The segments that it needs must be pinned by the
    /// caller; its own segment is pinned here.
    pub async fn append(&self, draft: &Draft, kind: Kind, purpose: Purpose) -> Result<Extent, StoreError> {
        let (extent, ending) = self.begin(draft, kind, purpose).await?;
        self.end(&extent, &ending).await.map(|()| extent)
    }

    /// The first half of [`Log::append`]: the record has its place, which is pinned, and its batch will have that ending.
    pub async fn begin(
        &self,
        draft: &Draft,
        kind: Kind,
        purpose: Purpose,
    ) -> Result<(Extent, Latch<Ending>), StoreError> {
        let placed = self.place(draft, kind, purpose).await?;
        let extent = draft.extent(placed.epoch, placed.offset);
        self.pin(&extent, draft.id());
        Ok((extent, placed.ending))
    }

    /// The second half: the record is on stable storage, or lost and not pinned any more.
    pub async fn end(&self, extent: &Extent, ending: &Latch<Ending>) -> Result<(), StoreError> {
        let ended = ending.get().await;
        ended.map_err(|BatchLost| {
            self.unpin(extent);
            StoreError::Closed
        })
    }

    /// Puts a record into the next batch, waiting for room as long as there is a prospect of some.
    pub async fn place(&self, draft: &Draft, kind: Kind, purpose: Purpose) -> Result<Placed, StoreError> {
        if draft.stride() > self.0.group.borrow().largest() {
            return Err(StoreError::TooLarge);
        }
        loop {
            if self.0.closed.get() {
                return Err(StoreError::Closed);
            }
            let placed = match purpose {
                // Mail must not fill what was kept for outcomes, until the reserve is whole again.
                Purpose::Intake if self.0.free.borrow().len() < KEPT => Err(Unplaced::NeedsSegment),
                _ => self.0.group.borrow_mut().place(draft, kind),
            };
            match placed {
                Ok(placed) => {
                    self.0.unmarked.set(true);
                    self.0.gathered.ring();
                    return Ok(placed);
                }
                Err(Unplaced::NeedsSegment) if self.begin_segment(purpose) => {}
                Err(Unplaced::NeedsSegment) if self.0.full.get() => return Err(StoreError::Full),
                Err(_) => self.0.room.heard().await,
            }
        }
    }

    /// Goes on in a free segment; false if there is none for this purpose.
    fn begin_segment(&self, purpose: Purpose) -> bool {
        let mut free = self.0.free.borrow_mut();
        let kept_back = if purpose == Purpose::Intake { KEPT } else { 0 };
        if free.len() <= kept_back {
            return false;
        }
        let Some(segment) = free.pop_front() else { return false };
        let epoch = self.0.next_epoch.get();
        self.0.next_epoch.set(epoch + 1);
        self.0.group.borrow_mut().begin_segment(epoch);
        self.0.in_use.borrow_mut().insert(epoch, InUse::new(segment, false));
        self.0.segments_changed.ring();
        drop(free);
        self.recycle();
        self.look_for_fragments();
        true
    }

    /// Ends when all that was placed so far is on stable storage, or lost.
    pub async fn settled(&self) {
        let last = self.0.group.borrow().last();
        if let Some(last) = last {
            // Whoever placed a record hears of its loss.
            let _ = last.get().await;
        }
    }

    /// Whether a message of `octets` would find room now.
    pub fn admits(&self, octets: u64) -> Result<(), StoreError> {
        if self.0.closed.get() {
            return Err(StoreError::Closed);
        }
        let free = self.0.free.borrow().len() as u64;
        if !self.0.full.get() {
            return Ok(());
        }
        // The last free segments are for outcomes; without all of them, so is the rest of the current one.
        let rest = if free < KEPT as u64 { 0 } else { self.0.group.borrow().room() as u64 };
        let spare = free.saturating_sub(KEPT as u64) * self.0.settings.segment_octets + rest;
        if spare < octets.max(LEAST_ROOM) { Err(StoreError::Full) } else { Ok(()) }
    }

    /// The log's secret.
    pub fn key(&self) -> Key {
        self.0.key
    }

    /// A batch was lost and nothing is written any more.
    pub fn is_closed(&self) -> bool {
        self.0.closed.get()
    }

    /// Keeps a record of message `holder` that holds content, and may be needed by others as well: its octets count once.
    pub fn pin_shared(&self, extent: &Extent, holder: MessageId) {
        self.pin(extent, holder);
        let mut shared = self.0.shared.borrow_mut();
        let needed = shared.entry(*extent).or_insert(0);
        *needed += 1;
        if *needed > 1 {
            self.count(extent, false);
        }
    }

    /// Takes back one [`Log::pin_shared`].
    pub fn unpin_shared(&self, extent: &Extent) {
        let mut shared = self.0.shared.borrow_mut();
        match shared.get_mut(extent) {
            Some(needed) if *needed > 1 => {
                *needed -= 1;
                self.count(extent, true);
            }
            _ => drop(shared.remove(extent)),
        }
        drop(shared);
        self.unpin(extent);
    }

    /// Counts a record's octets as needed, or not any more.
    fn count(&self, extent: &Extent, needed: bool) {
        if let Some(used) = self.0.in_use.borrow_mut().get_mut(&extent.epoch) {
            let octets = extent.record_octets() as u64;
            let change = |now: u64| if needed { now + octets } else { now - octets };
            used.live = change(used.live);
            self.0.live.set(change(self.0.live.get()));
        }
    }

    /// Keeps the segment of a record of message `holder` from being recycled.
    pub fn pin(&self, extent: &Extent, holder: MessageId) {
        if let Some(used) = self.0.in_use.borrow_mut().get_mut(&extent.epoch) {
            used.pins += 1;
            used.holders.push(holder);
        }
        self.count(extent, true);
    }

    /// Takes back one [`Log::pin`].
    pub fn unpin(&self, extent: &Extent) {
        if let Some(used) = self.0.in_use.borrow_mut().get_mut(&extent.epoch) {
            used.pins -= 1;
        }
        self.count(extent, false);
        self.recycle();
        self.look_for_fragments();
    }

    /// Frees segments that nobody needs, oldest first, never the current one and never one behind a needed one.
    fn recycle(&self) {
        let mut in_use = self.0.in_use.borrow_mut();
        let mut freed = false;
        while in_use.len() > 1
            && let Some(oldest) = in_use.first_entry()
            && oldest.get().pins == 0
        {
            let InUse { segment, untouchable, .. } = oldest.remove();
            freed = true;
            if !untouchable {
                self.0.retired.borrow_mut().push_back(segment);
            }
        }
        drop(in_use);
        if freed {
            self.retire();
            self.0.segments_changed.ring();
        }
    }

    /// Makes freed segments free. One of a size that is no longer wanted is removed, durably, before any behind it.
    fn retire(&self) {
        loop {
            let mut retired = self.0.retired.borrow_mut();
            match retired.front() {
                Some(first) if first.octets == self.0.settings.segment_octets => {
                    self.0.free.borrow_mut().extend(retired.pop_front());
                    self.0.full.set(false);
                    self.0.room.ring();
                }
                Some(first) if !self.0.removing.replace(true) => {
                    let (log, path) = (self.clone(), segment::path(&self.0.directory, first.slot));
                    self.0.machine.spawn(Class::Delivery, async move { log.remove_retired(&path).await });
                    return;
                }
                _ => return,
            }
        }
    }

    async fn remove_retired(&self, path: &Path) {
        let disk = self.0.machine.disk();
        let removed = match disk.remove(path).await {
            Ok(()) => disk.sync_directory(&self.0.directory).await,
            error => error,
        };
        if let Err(error) = removed {
            // It stays as it is; what is behind it is used again.
            (self.0.report)(LogEvent::NotRemoved(path.to_owned(), error));
        }
        self.0.retired.borrow_mut().pop_front();
        self.0.removing.set(false);
        self.retire();
        self.0.segments_changed.ring();
    }

    /// How the segments are used.
    pub fn usage(&self) -> Usage {
        let in_use = self.0.in_use.borrow();
        let current = in_use.last_key_value().map_or(0, |(_, used)| used.live);
        Usage {
            segment: self.0.settings.segment_octets,
            before: in_use.len().saturating_sub(1) as u64,
            live: self.0.live.get() - current,
            current_live: current,
            oldest_live: in_use.first_key_value().map_or(0, |(_, used)| used.live),
            free: self.0.free.borrow().len() as u64,
            room: self.0.group.borrow().room() as u64,
            short: self.0.full.get(),
        }
    }

    /// Whether records are to be moved on now.
    pub fn is_fragmented(&self) -> bool {
        !self.0.closed.get() && compaction::is_due(self.usage())
    }

    fn look_for_fragments(&self) {
        if self.is_fragmented() {
            self.0.fragmented.ring();
        }
    }

    /// Ends when it has become time to move records on.
    pub fn fragmented(&self) -> impl Future<Output = ()> {
        self.0.fragmented.heard()
    }

    /// The oldest segment's incarnation and whose records it holds, each named once; some of them are gone.
    pub fn oldest(&self) -> Option<(u64, Vec<MessageId>)> {
        let mut in_use = self.0.in_use.borrow_mut();
        let mut oldest = in_use.first_entry()?;
        let holders = &mut oldest.get_mut().holders;
        holders.sort_unstable();
        holders.dedup();
        let holders = holders.clone();
        Some((*oldest.key(), holders))
    }

    /// No further segment can be prepared.
    pub fn is_full(&self) -> bool {
        self.0.full.get()
    }

    /// The machine that it is on.
    pub fn machine(&self) -> &M {
        &self.0.machine
    }

    /// Reads a whole record to the front of a buffer; the range is the record.
    pub async fn read(&self, extent: &Extent) -> io::Result<(Aligned, std::ops::Range<usize>)> {
        let file = self.0.in_use.borrow().get(&extent.epoch).map(|used| used.segment.file.clone());
        let file = file.ok_or_else(|| io::Error::other("the segment has been recycled"))?;
        let start = extent.offset as usize % crate::io::aligned::BLOCK;
        let length = blocks(start + extent.record_octets());
        let (result, buffer) = file.read_at(Aligned::zeroed(length), length, extent.offset as u64 - start as u64).await;
        if result? < start + extent.record_octets() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok((buffer, start..start + extent.record_octets()))
    }

    /// Writes batch after batch, for ever.
    async fn write_batches(&self) {
        loop {
            let batch = self.0.group.borrow_mut().leave();
            let Some(batch) = batch else {
                self.0.gathered.heard().await;
                continue;
            };
            self.0.room.ring();
            let file = self.0.in_use.borrow().get(&batch.epoch).map(|used| used.segment.file.clone());
            let (result, buffer) = match file {
                Some(file) if !self.0.closed.get() => file.write_synced(batch.buffer, batch.range, batch.offset).await,
                _ => (Err(io::Error::other("the spool is closed")), batch.buffer),
            };
            self.0.group.borrow_mut().returned(buffer);
            let ending = result.map_err(|error| self.close(error));
            self.0.batches.set(self.0.batches.get() + 1);
            batch.ending.set(ending);
            self.0.room.ring();
        }
    }

    /// To be called now and then. When nothing was written since the last time, the log says of itself that all of it was on
    /// stable storage: what is damaged after that can be told from what a crash tore.
    pub fn pulse(&self) {
        let batches = self.0.batches.get();
        let quiet = self.0.batches_seen.replace(batches) == batches && !self.0.group.borrow().has_gathered();
        if quiet && self.0.unmarked.get() {
            self.mark();
        }
    }

    /// Where the segment has no room left for it, the header of the next one says the same.
    fn mark(&self) {
        self.0.unmarked.set(false);
        if !self.0.closed.get() && self.0.group.borrow_mut().place(&Draft::mark(), Kind::Mark).is_ok() {
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
    fn close(&self, error: io::Error) -> BatchLost {
        if !self.0.closed.replace(true) {
            (self.0.report)(LogEvent::Closed(error));
        }
        BatchLost
    }

    /// Keeps the wanted number of free segments ready, for ever.
    async fn prepare_segments(&self) {
        loop {
            let changed = self.0.segments_changed.heard();
            let (free, direct) = self.free_segments();
            if free >= self.0.settings.prepared as usize + KEPT {
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
                    futures_lite::future::or(changed, self.0.machine.sleep(ROOM_CHECK)).await;
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
        if disk.free_octets(&state.directory).await? < state.settings.reserve_octets + octets {
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
        encode_header(SegmentHeader { epoch: 0, sealed: 0, key: self.0.key }, &mut zeros);
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
