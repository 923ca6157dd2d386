//! One core's log on disk: segments, the batches that go into them, and what keeps a segment from being recycled.
//!
//! **Invariants.** A record is placed before its batch leaves; a batch leaves only when the one before it has ended; after a
//! batch was lost nothing is written any more until the next start. Segments are recycled oldest first and used again, or
//! removed, in that order, so that no outcome disappears before the message it belongs to.

mod preparing;
mod recycling;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use super::compaction;
use super::group_commit::{BatchLost, Ending, GroupCommit, Placed, Unplaced};
use super::record::{Draft, Extent, Key, Kind};
use super::{Settings, StoreError};
use crate::io::aligned::{Aligned, blocks};
use crate::io::wait::{Bell, Latch};
use crate::io::{Class, Disk, File, Machine};
use crate::mail::MessageId;

/// A write and its sync that take so long are told of, and how often at most.
const SLOW: Duration = Duration::from_secs(1);
const SLOW_AGAIN: Duration = Duration::from_secs(60);

/// Octets that must be left for a message whose size was not declared to be begun.
const LEAST_ROOM: u64 = 128 * 1024;

/// Free segments that mail leaves alone.
const KEPT: usize = compaction::KEPT as usize;

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
    /// When the batch in flight left, and the longest one since the figures were begun anew.
    writing_since: Cell<Option<Duration>>,
    slowest: Cell<Duration>,
    slowest_from: Cell<Duration>,
    /// When the operator was last told that the disk is slow.
    told_slow: Cell<Option<Duration>>,
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

/// How a log is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Segments in use.
    pub segments: u64,
    /// Free ones.
    pub free: u64,
    /// Octets of the records that are needed.
    pub octets: u64,
    /// The longest that a write and its sync took within the last minute.
    pub slowest: Duration,
    /// No further segment can be made.
    pub full: bool,
    /// It takes nothing until the next start.
    pub closed: bool,
}

/// What an operator should hear of.
#[derive(Debug)]
pub enum LogEvent {
    /// Writing or syncing failed, or the disk is not what it was: this spool takes no more until the next start.
    Closed(io::Error),
    /// A write and its sync have taken so long, and may not have ended.
    Slow(Duration),
    /// What the last run left is being read.
    Recovering {
        /// Segments that were read.
        segments: usize,
        /// Segments that there are.
        of: usize,
    },
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
            writing_since: Cell::new(None),
            slowest: Cell::default(),
            slowest_from: Cell::default(),
            told_slow: Cell::new(None),
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

    /// Puts a record into the log that nobody will read but recovery, and waits until it is on stable storage.
    pub async fn note(&self, draft: &Draft, kind: Kind, purpose: Purpose) -> Result<(), StoreError> {
        let placed = self.place(draft, kind, purpose).await?;
        placed.ending.get().await.map_err(|BatchLost| StoreError::Closed)
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
        let settings = &self.0.settings;
        let free = self.0.free.borrow().len() as u64;
        let could_be_made = match self.0.full.get() {
            true => 0,
            false => {
                let there = free + self.0.in_use.borrow().len() as u64 + self.0.retired.borrow().len() as u64;
                let room = self.0.machine.disk().free_octets(&self.0.directory).unwrap_or(0);
                let by_disk = room.saturating_sub(settings.reserve_octets) / settings.segment_octets;
                u64::from(settings.max_segments).saturating_sub(there).min(by_disk)
            }
        };
        // The last free segments are for outcomes; without all of them, so is the rest of the current one.
        let rest = if free < KEPT as u64 { 0 } else { self.0.group.borrow().room() as u64 };
        let spare = (free + could_be_made).saturating_sub(KEPT as u64) * settings.segment_octets + rest;
        // What is on its way to being free counts as long as there is a prospect of any.
        let octets = if octets == 0 && !self.0.full.get() { 0 } else { octets.max(LEAST_ROOM) };
        if spare < octets { Err(StoreError::Full) } else { Ok(()) }
    }

    /// The log's secret.
    pub fn key(&self) -> Key {
        self.0.key
    }

    /// Nothing is written any more: a batch was lost, or the disk is not what it was.
    pub fn is_closed(&self) -> bool {
        self.0.closed.get()
    }

    /// How it is.
    pub fn figures(&self) -> Figures {
        let usage = self.usage();
        let slowest =
            self.0.slowest.get().max(
                self.0.writing_since.get().map_or(Duration::ZERO, |since| self.0.machine.now().saturating_sub(since)),
            );
        Figures {
            segments: self.0.in_use.borrow().len() as u64,
            free: usage.free,
            octets: usage.live + usage.current_live,
            slowest,
            full: usage.short,
            closed: self.is_closed(),
        }
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
                Some(file) if !self.0.closed.get() => {
                    let begun = self.0.machine.now();
                    self.0.writing_since.set(Some(begun));
                    let written = file.write_all_synced(batch.buffer, batch.range, batch.rest, batch.offset).await;
                    self.0.writing_since.set(None);
                    self.0.slowest.set(self.0.slowest.get().max(self.0.machine.now().saturating_sub(begun)));
                    written
                }
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
    pub fn close(&self, error: io::Error) -> BatchLost {
        if !self.0.closed.replace(true) {
            (self.0.report)(LogEvent::Closed(error));
            self.0.room.ring();
        }
        BatchLost
    }
}
