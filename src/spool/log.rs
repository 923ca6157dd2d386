//! One core's log on disk: segments, the batches that go into them, and what keeps a segment from being recycled.
//!
//! **Invariants.** A record is placed before its batch leaves; a batch leaves only when the one before it and its segment's header
//! have ended; after one of these was lost nothing is written any more until the next start. Segments are recycled oldest first and
//! used again, or removed, in that order, so that no outcome disappears before the message it belongs to; and not before what freed
//! them is on stable storage.

mod placing;
mod preparing;
mod reading;
mod recycling;
mod writing;

pub(super) use placing::Purpose;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use super::Settings;
use super::group_commit::{Ending, GroupCommit};
use super::record::{Extent, Key};
use crate::io::wait::{Bell, Latch};
use crate::io::{Class, Disk, Machine};
use crate::mail::MessageId;

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
    /// By incarnation.
    pub in_use: Vec<(u64, Segment<F>)>,
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
    /// How many records in it are needed, and how many octets they weigh.
    pins: u64,
    live: u64,
    /// How many are being read: it is not used again meanwhile, whether they are needed any more or not.
    readers: u64,
    /// Whose records they were; some are gone.
    holders: Vec<MessageId>,
    /// It must not be used again in this run.
    untouchable: bool,
}

impl<F> InUse<F> {
    fn new(segment: Segment<F>) -> InUse<F> {
        InUse { segment, pins: 0, live: 0, readers: 0, holders: Vec::new(), untouchable: false }
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
    /// Octets of all segments in use.
    octets_in_use: Cell<u64>,
    /// Octets that all records weigh that are needed, and the heaviest one that there was.
    live: Cell<u64>,
    largest: Cell<u64>,
    /// What those of them weigh that are copies of others, which go when the copies are on stable storage.
    copies: Cell<u64>,
    /// How many messages need a record that holds a part of their content before the last.
    shared: RefCell<HashMap<Extent, u32>>,
    /// Oldest first.
    free: RefCell<VecDeque<Segment<DiskFile<M>>>>,
    /// The batch behind which the last segment was freed: what says that nobody needs it is in that one or before it.
    freed_by: RefCell<Option<Latch<Ending>>>,
    /// Freed, oldest first, behind one of a size that is no longer wanted and is being removed.
    retired: RefCell<VecDeque<Segment<DiskFile<M>>>>,
    /// The incarnation that the next segment gets.
    next_epoch: Cell<u64>,
    next_slot: Cell<u32>,
    /// What the last run left is not all read: so many segments of so many octets are to be. None is used again before.
    unread: Cell<Option<(u64, u64)>>,
    /// What weighed too much for the segments that there are, last.
    refused: Cell<u64>,
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
    /// When the batch in flight left, when the header on its way did, and the longest of either since the figures were begun anew.
    writing_since: Cell<Option<Duration>>,
    heading_since: Cell<Option<Duration>>,
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
    /// Batches that were written and synced, or failed to be.
    pub batches: u64,
    /// Segments that the last run left and that are still to be read.
    pub unread: u64,
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
        let octets_in_use = in_use.iter().map(|(_, segment)| segment.octets).sum();
        let in_use = in_use.into_iter().map(|(epoch, segment)| (epoch, InUse::new(segment))).collect();
        Log(Rc::new(State {
            machine,
            directory: directory.to_owned(),
            key,
            group: RefCell::new(GroupCommit::new(key, settings.segment_octets as usize)),
            settings,
            in_use: RefCell::new(in_use),
            octets_in_use: Cell::new(octets_in_use),
            live: Cell::new(0),
            largest: Cell::new(0),
            copies: Cell::new(0),
            shared: RefCell::default(),
            free: RefCell::new(free.into()),
            freed_by: RefCell::default(),
            retired: RefCell::default(),
            next_epoch: Cell::new(next_epoch),
            next_slot: Cell::new(next_slot),
            unread: Cell::new(Some((0, 0))),
            refused: Cell::new(0),
            full: Cell::new(false),
            told_prepared: Cell::new(None),
            closed: Cell::new(false),
            removing: Cell::new(false),
            batches: Cell::new(0),
            batches_seen: Cell::new(0),
            writing_since: Cell::new(None),
            heading_since: Cell::new(None),
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

    /// See [`GroupCommit::warm`].
    pub fn warm(&self) {
        self.0.group.borrow_mut().warm();
    }

    /// Says what is the newest id of all records from before.
    pub fn know_newest(&self, newest: MessageId) {
        self.0.group.borrow_mut().know_newest(newest);
    }

    /// So many segments of what the last run left, of so many octets, are to be read.
    pub fn has_unread(&self, segments: u64, octets: u64) {
        self.0.unread.set(Some((segments, octets)));
    }

    /// All that the last run left is read: from now on what is not needed is used again.
    pub fn all_is_read(&self) {
        self.0.unread.set(None);
        self.recycle();
        self.0.segments_changed.ring();
        self.0.room.ring();
        self.look_for_fragments();
    }

    /// Tells the operator.
    pub fn tell(&self, event: LogEvent) {
        (self.0.report)(event);
    }

    /// The segment of this incarnation is not used again in this run.
    pub fn leave_alone(&self, epoch: u64) {
        self.0.in_use.borrow_mut().entry(epoch).and_modify(|used| used.untouchable = true);
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
        let under_way = [self.0.writing_since.get(), self.0.heading_since.get()].into_iter().flatten().min();
        let so_far = under_way.map_or(Duration::ZERO, |since| self.0.machine.now().saturating_sub(since));
        let slowest = self.0.slowest.get().max(so_far);
        Figures {
            segments: self.0.in_use.borrow().len() as u64,
            free: usage.free,
            octets: usage.live,
            slowest,
            batches: self.0.batches.get(),
            unread: self.0.unread.get().map_or(0, |(segments, _)| segments),
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
}
