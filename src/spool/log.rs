//! One core's log on disk: segments, the batches that go into them, and what keeps a segment from being recycled.
//!
//! **Invariants.** A record is placed before its batch leaves; a batch leaves only when the one before it has ended; after a
//! batch was lost nothing is written any more until the next start. Segments are recycled oldest first and used again in that
//! order, so that no outcome disappears before the message it belongs to.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use super::group_commit::{BatchLost, GroupCommit, Placed, Unplaced};
use super::record::{Draft, Extent, Key, Kind};
use super::segment;
use super::{Settings, StoreError};
use crate::io::aligned::{Aligned, blocks};
use crate::io::wait::Bell;
use crate::io::{Class, Disk, File, Machine, Open};

/// Octets of zeros that are written at a time when a segment is prepared: small enough that intake's syncs get between them.
const ZEROS: usize = 1024 * 1024;

/// Octets that must be left for a message whose size was not declared to be begun.
const LEAST_ROOM: u64 = 128 * 1024;

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

/// A segment in use and how many messages need it.
#[derive(Debug)]
struct InUse<F> {
    segment: Segment<F>,
    pins: u64,
    /// It must not be used again in this run.
    untouchable: bool,
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
    /// Oldest first.
    free: RefCell<VecDeque<Segment<DiskFile<M>>>>,
    /// The incarnation that the next segment gets.
    next_epoch: Cell<u64>,
    next_slot: Cell<u32>,
    /// No further segment can be prepared: the limit or the reserve is reached.
    full: Cell<bool>,
    /// What was last told of segments: that the wanted number is ready, or that none can be made.
    told_prepared: Cell<Option<bool>>,
    /// A batch was lost.
    closed: Cell<bool>,
    /// There is something to write.
    gathered: Bell,
    /// A batch has left or ended, or a segment became free.
    room: Bell,
    /// A free segment was taken or one in use became free.
    segments_changed: Bell,
    report: Box<dyn Fn(LogEvent)>,
}

/// What an operator should hear of.
#[derive(Debug)]
pub enum LogEvent {
    /// Writing or syncing failed: this spool takes no more until the next start.
    Closed(io::Error),
    /// No segment can be made.
    NoSegment(io::Error),
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
    /// New mail: leaves the last free segment for outcomes.
    Intake,
    /// Outcomes: what frees room must always find some.
    Outcome,
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
        let in_use =
            in_use.map(|(epoch, segment, untouchable)| (epoch, InUse { segment, pins: 0, untouchable })).collect();
        Log(Rc::new(State {
            machine,
            directory: directory.to_owned(),
            key,
            group: RefCell::new(GroupCommit::new(key, settings.segment_octets as usize)),
            settings,
            in_use: RefCell::new(in_use),
            free: RefCell::new(free.into()),
            next_epoch: Cell::new(next_epoch),
            next_slot: Cell::new(next_slot),
            full: Cell::new(false),
            told_prepared: Cell::new(None),
            closed: Cell::new(false),
            gathered: Bell::default(),
            room: Bell::default(),
            segments_changed: Bell::default(),
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
    pub async fn append(&self, draft: &Draft, kind: Kind) -> Result<Extent, StoreError> {
        let placed = self.place(draft, kind, Purpose::Intake).await?;
        self.pin(placed.epoch);
        match placed.ending.get().await {
            Ok(()) => Ok(draft.extent(placed.epoch, placed.offset)),
            Err(BatchLost) => {
                self.unpin(placed.epoch);
                Err(StoreError::Closed)
            }
        }
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
                // Mail that is still being received must not fill the segment that was kept for outcomes.
                Purpose::Intake if self.0.free.borrow().is_empty() => Err(Unplaced::NeedsSegment),
                _ => self.0.group.borrow_mut().place(draft, kind),
            };
            match placed {
                Ok(placed) => {
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
        let kept_back = usize::from(purpose == Purpose::Intake);
        if free.len() <= kept_back {
            return false;
        }
        let Some(segment) = free.pop_front() else { return false };
        let epoch = self.0.next_epoch.get();
        self.0.next_epoch.set(epoch + 1);
        self.0.group.borrow_mut().begin_segment(epoch);
        self.0.in_use.borrow_mut().insert(epoch, InUse { segment, pins: 0, untouchable: false });
        self.0.segments_changed.ring();
        drop(free);
        self.recycle();
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
        // The last free segment is for outcomes; with none at all, so is the rest of the current one.
        let rest = if free == 0 { 0 } else { self.0.group.borrow().room() as u64 };
        let spare = free.saturating_sub(1) * self.0.settings.segment_octets + rest;
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

    /// Keeps a segment from being recycled.
    pub fn pin(&self, epoch: u64) {
        if let Some(used) = self.0.in_use.borrow_mut().get_mut(&epoch) {
            used.pins += 1;
        }
    }

    /// Takes back one [`Log::pin`].
    pub fn unpin(&self, epoch: u64) {
        if let Some(used) = self.0.in_use.borrow_mut().get_mut(&epoch) {
            used.pins -= 1;
        }
        self.recycle();
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
            if untouchable {
                continue;
            }
            if segment.octets == self.0.settings.segment_octets {
                self.0.free.borrow_mut().push_back(segment);
            } else {
                self.remove_file(segment.slot);
            }
        }
        if freed {
            self.0.full.set(false);
            self.0.segments_changed.ring();
            self.0.room.ring();
        }
    }

    /// Removes a segment of a size that is no longer wanted.
    fn remove_file(&self, slot: u32) {
        let log = self.clone();
        self.0.machine.spawn(Class::Delivery, async move {
            let removed = log.0.machine.disk().remove(&segment::path(&log.0.directory, slot)).await;
            if let Err(error) = removed {
                (log.0.report)(LogEvent::NoSegment(error));
            }
        });
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
            batch.ending.set(ending);
            self.0.room.ring();
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
            if free > self.0.settings.prepared as usize {
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
        if state.in_use.borrow().len() + state.free.borrow().len() >= state.settings.max_segments as usize {
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
        let mut offset = 0;
        while offset < octets {
            let length = (octets - offset).min(ZEROS as u64);
            let (result, buffer) = file.write_at(zeros, 0..length as usize, offset).await;
            result?;
            zeros = buffer;
            offset += length;
        }
        file.sync().await?;
        Ok(file)
    }
}
