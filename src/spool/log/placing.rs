//! How records get their places: who may write where, and who waits.

use std::time::Duration;

use super::{InUse, Log};
use crate::io::wait::Latch;
use crate::io::{Class, Disk, Machine};
use crate::spool::StoreError;
use crate::spool::compaction::{self, Growth, Usage, leaves_a_step};
use crate::spool::group_commit::{BatchLost, Ending, Placed, Unplaced};
use crate::spool::record::{CONTENT_MAX, Draft, Extent, Kind};

/// Octets that must be left for a message whose size was not declared to be begun.
const LEAST_ROOM: u64 = 128 * 1024;

/// The longest that an outcome waits for the mover to win room.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often it is looked whether the mover has won room.
const LOOK: Duration = Duration::from_secs(1);

/// Whose record it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::spool) enum Purpose {
    /// New mail: leaves the last free segments alone, and the current one while one of these is in use.
    Intake,
    /// A message that is made of one that is here.
    Child,
    /// What became of messages: waits for the mover where room is short, and leaves it what it needs.
    Outcome,
    /// Records that are moved on: what wins room must always find some.
    Move,
}

/// Why a record was not placed now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::spool) enum NotNow {
    /// The batch is full and will leave.
    Batch,
    /// There is no room for this purpose.
    NoRoom,
    /// What lives then would, packed, take what is kept.
    TooMuch,
}

impl<M: Machine> Log<M> {
    /// Puts a record into the log and waits until it is on stable storage. The segments that it needs must be pinned by the
    /// caller; its own segment is pinned here.
    pub async fn append(&self, draft: &Draft, kind: Kind, purpose: Purpose) -> Result<Extent, StoreError> {
        let (extent, ending) = self.begin(draft, kind, purpose).await?;
        self.end(&extent, draft.weight(kind), &ending).await.map(|()| extent)
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
        self.pin(&extent, draft.id(), draft.weight(kind));
        Ok((extent, placed.ending))
    }

    /// The second half: the record is on stable storage, or lost and not pinned any more.
    pub async fn end(&self, extent: &Extent, weight: u64, ending: &Latch<Ending>) -> Result<(), StoreError> {
        let ended = ending.get().await;
        ended.map_err(|BatchLost| {
            self.unpin(extent, weight);
            StoreError::Closed
        })
    }

    /// Puts a record into the next batch, waiting for room as long as there is a prospect of some.
    pub async fn place(&self, draft: &Draft, kind: Kind, purpose: Purpose) -> Result<Placed, StoreError> {
        let mut patience = None;
        loop {
            let why = match self.place_now(draft, kind, purpose)? {
                Ok(placed) => return Ok(placed),
                Err(why) => why,
            };
            self.wait_for_room(why, purpose, &mut patience).await?;
        }
    }

    /// Ends when it is worth trying again to place a record that found no room; fails where it is not, or has been tried for too
    /// long since `patience` was first set.
    pub async fn wait_for_room(
        &self,
        why: NotNow,
        purpose: Purpose,
        patience: &mut Option<Duration>,
    ) -> Result<(), StoreError> {
        let heard = self.0.room.heard();
        match (why, purpose) {
            (NotNow::Batch, _) => {}
            (NotNow::NoRoom, Purpose::Move) => return Err(StoreError::Full),
            (NotNow::TooMuch, _) | (NotNow::NoRoom, Purpose::Intake) if self.0.full.get() => {
                return Err(StoreError::Full);
            }
            // What is missing is to be made: that begins when somebody asks for it.
            (NotNow::TooMuch, _) | (NotNow::NoRoom, Purpose::Intake) => self.0.segments_changed.ring(),
            (NotNow::NoRoom, Purpose::Outcome | Purpose::Child) => {
                let now = self.0.machine.now();
                if now >= *patience.get_or_insert(now + PATIENCE) {
                    return Err(StoreError::Full);
                }
                self.look_for_fragments();
                futures_lite::future::or(heard, self.0.machine.sleep(LOOK)).await;
                return Ok(());
            }
        }
        heard.await;
        Ok(())
    }

    /// Puts a record into the next batch, if it can be done now.
    pub fn place_now(&self, draft: &Draft, kind: Kind, purpose: Purpose) -> Result<Result<Placed, NotNow>, StoreError> {
        if draft.stride() > self.0.group.borrow().largest() {
            return Err(StoreError::TooLarge);
        }
        if self.0.closed.get() {
            return Err(StoreError::Closed);
        }
        let weight = if matches!(kind, Kind::Message | Kind::Chunk) { draft.weight(kind) } else { 0 };
        if !self.takes(weight, purpose) {
            self.0.refused.set(weight);
            return Ok(Err(NotNow::TooMuch));
        }
        loop {
            let usage = self.usage();
            let placed = match purpose {
                // Mail must not fill what was kept for outcomes, until the reserve is whole again.
                Purpose::Intake if usage.free < compaction::KEPT => Err(Unplaced::NeedsSegment),
                Purpose::Child | Purpose::Outcome if !leaves_a_step(&usage, draft.stride() as u64, false) => {
                    Err(Unplaced::NeedsSegment)
                }
                _ if !compaction::holds(usage.segment, usage.current, weight) => Err(Unplaced::NeedsSegment),
                _ => self.0.group.borrow_mut().place(draft, kind),
            };
            match placed {
                Ok(placed) => {
                    self.0.largest.set(self.0.largest.get().max(weight));
                    self.0.unmarked.set(true);
                    self.0.gathered.ring();
                    return Ok(Ok(placed));
                }
                Err(Unplaced::Later) => return Ok(Err(NotNow::Batch)),
                Err(Unplaced::NeedsSegment) if !may_begin_segment(&usage, draft, purpose) => {
                    return Ok(Err(NotNow::NoRoom));
                }
                // What is gathered must leave before the segment ends.
                Err(Unplaced::NeedsSegment) if self.0.group.borrow().has_gathered() => return Ok(Err(NotNow::Batch)),
                Err(Unplaced::NeedsSegment) => self.begin_segment(),
            }
        }
    }

    /// Whether a record may be added to what lives.
    fn takes(&self, weight: u64, purpose: Purpose) -> bool {
        let growth = match purpose {
            Purpose::Intake => Growth::Mail,
            Purpose::Child => Growth::Child,
            Purpose::Outcome | Purpose::Move => return true,
        };
        let usage = self.usage();
        match self.0.unread.get() {
            None => compaction::takes(&usage, usage.segments(), weight, growth),
            // All that was not read may live. The segments that it then needs can be made when that is known.
            Some((_, unread)) => {
                let usage = Usage { live: usage.live + unread, ..usage };
                compaction::takes(&usage, usage.segments() + self.could_be_made(&usage), weight, growth)
            }
        }
    }

    /// How many segments could still be made.
    fn could_be_made(&self, usage: &Usage) -> u64 {
        if self.0.full.get() {
            return 0;
        }
        let settings = &self.0.settings;
        let there = usage.free + self.0.in_use.borrow().len() as u64 + self.0.retired.borrow().len() as u64;
        let room = self.0.machine.disk().free_octets(&self.0.directory).unwrap_or(0);
        let by_disk = room.saturating_sub(settings.reserve_octets) / settings.segment_octets;
        u64::from(settings.max_segments).saturating_sub(there).min(by_disk)
    }

    /// Goes on in a free segment, if there is one.
    fn begin_segment(&self) {
        let Some(segment) = self.0.free.borrow_mut().pop_front() else { return };
        let epoch = self.0.next_epoch.get();
        self.0.next_epoch.set(epoch + 1);
        let oldest = self.0.in_use.borrow().first_key_value().map_or(epoch, |(oldest, _)| *oldest);
        let header = self.0.group.borrow_mut().begin_segment(epoch, oldest);
        self.0.octets_in_use.set(self.0.octets_in_use.get() + segment.octets);
        self.0.in_use.borrow_mut().insert(epoch, InUse::new(segment));
        let log = self.clone();
        let freed_by = self.0.freed_by.borrow().clone();
        self.0.machine.spawn_vital(Class::Intake, async move { log.write_header(header, freed_by).await });
        self.0.segments_changed.ring();
        self.recycle();
        self.look_for_fragments();
    }

    /// Whether a message of `octets` would find room now.
    pub fn admits(&self, octets: u64) -> Result<(), StoreError> {
        if self.0.closed.get() {
            return Err(StoreError::Closed);
        }
        let settings = &self.0.settings;
        let unread = self.0.unread.get().map_or(0, |(_, octets)| octets);
        let usage = self.usage();
        let usage = Usage { live: usage.live + unread, ..usage };
        let (free, could_be_made) = (usage.free, self.could_be_made(&usage));
        // The last free segments are for outcomes; without all of them, so is the rest of the current one.
        let rest = if free < compaction::KEPT { 0 } else { usage.room };
        let spare = (free + could_be_made).saturating_sub(compaction::KEPT) * settings.segment_octets + rest;
        // What is on its way to being free counts as long as there is a prospect of any.
        let octets = if octets == 0 && !self.0.full.get() { 0 } else { octets.max(LEAST_ROOM) };
        // And it must not live at the expense of what is kept.
        let chunk = Usage { largest: usage.largest.max(octets.min(CONTENT_MAX as u64)), ..usage };
        let takes = compaction::takes(&chunk, usage.segments() + could_be_made, octets, Growth::Mail);
        if spare < octets || !takes { Err(StoreError::Full) } else { Ok(()) }
    }
}

/// Whether there is a free segment that may be begun for this purpose.
fn may_begin_segment(usage: &Usage, draft: &Draft, purpose: Purpose) -> bool {
    match purpose {
        Purpose::Intake => usage.free > compaction::KEPT,
        Purpose::Child | Purpose::Outcome => usage.free > 0 && leaves_a_step(usage, draft.stride() as u64, true),
        Purpose::Move => usage.free > 0,
    }
}
