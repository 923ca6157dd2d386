//! Moves on what lives in the oldest segment, so that it and those behind it can be used again.
//!
//! A message that waits is copied forward as it stands: its content, its envelope, how far it has come. The old records are
//! let go when the copy is on stable storage; until then recovery finds the old ones, afterwards the last. What somebody is
//! at work on is left alone: it will be done, or wait, soon. Chunks of a message whose client takes its time are moved as
//! well. What several messages share is copied once.

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use super::StoreError;
use super::group_commit::Ending;
use super::log::Purpose;
use super::record::{Draft, Extent, Fields, Header, Kind};
use super::store::{Spool, Standing};
use crate::io::Machine;
use crate::io::wait::Latch;
use crate::mail::MessageId;

/// How long to wait when the oldest segment holds nothing that can be moved now, or moving it has won no segment.
const REST: Duration = Duration::from_secs(1);

/// Messages younger than this, and due, will be gone soon: they are not worth a copy while there is room.
const YOUNG: Duration = Duration::from_secs(60);

/// Copies that are brought to the disk together, at most so many and of about so many octets.
const TOGETHER: usize = 64;
const TOGETHER_OCTETS: usize = 1 << 20;

/// Where records went.
type Moved = HashMap<Extent, Extent>;

/// A copy that is on its way to the disk.
struct Copy {
    id: MessageId,
    record: Extent,
    chunks: Box<[Extent]>,
    ending: Latch<Ending>,
    /// What the message waited for.
    standing: Standing,
    /// What the copy says of that.
    held: bool,
}

/// Why a message was not moved.
enum Unmoved {
    /// It cannot be read: it stays where it is.
    Unreadable,
    /// The log takes nothing.
    NoRoom,
}

impl From<io::Error> for Unmoved {
    fn from(_: io::Error) -> Unmoved {
        Unmoved::Unreadable
    }
}

impl From<StoreError> for Unmoved {
    fn from(_: StoreError) -> Unmoved {
        Unmoved::NoRoom
    }
}

impl<M: Machine> Spool<M> {
    /// Moves on what pins more than it is worth, for ever.
    pub(super) async fn move_stragglers(&self) {
        loop {
            let fragmented = self.log().fragmented();
            if !self.log().is_fragmented() {
                fragmented.await;
                continue;
            }
            let free = self.log().usage().free;
            let moved = self.empty_oldest().await;
            // Where a segment is emptied and another filled with what was in it, the disk is not to be busy with that alone.
            let in_vain = moved == 0 || self.log().is_full() && self.log().usage().free <= free;
            if in_vain && self.log().is_fragmented() {
                self.log().machine().sleep(REST).await;
            }
        }
    }

    /// Moves on what lives in the oldest segment; how many records or messages that were.
    async fn empty_oldest(&self) -> usize {
        let Some((epoch, holders)) = self.log().oldest() else { return 0 };
        let (mut moved, mut count) = (Moved::new(), 0);
        let (mut copies, mut octets) = (Vec::new(), 0);
        for id in holders {
            if self.open_chain(id).is_some() {
                count += self.move_open_chain(id, epoch).await.unwrap_or(0);
                continue;
            }
            let Some(standing) = self.take_movable(id, epoch) else { continue };
            match self.copy(id, epoch, standing, &mut moved).await {
                Ok(copy) => {
                    octets += copy.record.record_octets();
                    copies.push(copy);
                }
                Err(Unmoved::Unreadable) => {
                    self.moving().remove(&id);
                    self.stand(id, standing);
                }
                Err(Unmoved::NoRoom) => {
                    self.stand_again(id, standing);
                    break;
                }
            }
            if copies.len() >= TOGETHER || octets >= TOGETHER_OCTETS {
                octets = 0;
                count += self.settle_copies(std::mem::take(&mut copies)).await;
            }
        }
        count + self.settle_copies(copies).await
    }

    /// Takes a message out of the schedule if it has records in this segment and can be moved; what it waited for.
    fn take_movable(&self, id: MessageId, epoch: u64) -> Option<Standing> {
        let machine = self.log().machine();
        let spared = machine.wall_clock().saturating_sub(YOUNG.as_micros() as u64);
        let standing = self.with_live(id, |live| {
            let concerned = live.chunks.iter().chain([&live.record]).any(|extent| extent.epoch <= epoch);
            concerned.then_some(live.standing)
        })??;
        match standing {
            Standing::Busy => return None,
            Standing::Waiting(due) if due <= machine.now() && id.made_at() > spared && !self.log().is_full() => {
                return None;
            }
            Standing::Waiting(_) | Standing::Held => {}
        }
        self.stand(id, Standing::Busy);
        self.moving().insert(id);
        Some(standing)
    }

    /// Begins to copy a message. Its chunks are on stable storage before its message record is begun, so that a record that is
    /// whole names only what is.
    async fn copy(&self, id: MessageId, epoch: u64, standing: Standing, moved: &mut Moved) -> Result<Copy, Unmoved> {
        let stored = self.read(id).await?;
        let own = stored.message.extents.last().copied();
        let old = self.with_live(id, |live| live.chunks.clone()).unwrap_or_default();
        let mut chunks = Vec::with_capacity(old.len());
        for chunk in &old {
            let chunk = match moved.get(chunk) {
                Some(there) => *there,
                None if chunk.epoch > epoch => *chunk,
                None => {
                    let there = self.copy_chunk(chunk).await?;
                    moved.insert(*chunk, there);
                    there
                }
            };
            chunks.push(chunk);
        }
        let fields = Fields { progress: Some(stored.progress.clone()), ..stored.message.fields.clone() };
        let mut draft = Draft::message_with(&stored.message.envelope, &chunks, &fields, self.take_buffer());
        draft.push(stored.own_content());
        draft.set_findings(&stored.message.content);
        let begun = self.log().begin(&draft, Kind::Message, Purpose::Upkeep).await;
        self.give_buffer(draft.into_buffer());
        let (record, ending) = begun?;
        moved.extend(own.map(|own| (own, record)));
        Ok(Copy { id, record, chunks: chunks.into(), ending, standing, held: stored.progress.is_held() })
    }

    /// Copies one record's content, under the id that it had. Nobody has pinned it: the oldest segment, which its owner still
    /// pins, keeps it.
    async fn copy_chunk(&self, chunk: &Extent) -> Result<Extent, Unmoved> {
        let (buffer, range) = self.read_record(chunk).await?;
        let record = &buffer[range];
        let header = Header::decode(record, self.log().key()).ok_or(Unmoved::Unreadable)?;
        let draft = Draft::chunk(header.id, &record[chunk.head as usize..]);
        let there = self.log().append(&draft, Kind::Chunk, Purpose::Upkeep).await?;
        self.log().unpin(&there);
        Ok(there)
    }

    /// Waits for copies and lets the old records go; how many messages were moved.
    async fn settle_copies(&self, copies: Vec<Copy>) -> usize {
        let mut count = 0;
        for Copy { id, record, chunks, ending, standing, held } in copies {
            if self.log().end(&record, &ending).await.is_ok() {
                count += 1;
                self.has_moved();
                chunks.iter().for_each(|chunk| self.log().pin_shared(chunk, id));
                let old = self.with_live(id, |live| {
                    (std::mem::replace(&mut live.record, record), std::mem::replace(&mut live.chunks, chunks))
                });
                old.iter().for_each(|(record, chunks)| self.let_go(record, chunks));
                if let Some(now) = self.with_live(id, |live| live.progress.is_held()).filter(|now| *now != held) {
                    // The operator changed that meanwhile, and the copy stands behind what was noted then.
                    let _ = self.log().note(&Draft::hold(id, now), Kind::Hold, Purpose::Upkeep).await;
                }
            }
            self.stand_again(id, standing);
        }
        count
    }

    /// Lets a message wait for what it waited for before, unless the operator wants something else meanwhile.
    fn stand_again(&self, id: MessageId, standing: Standing) {
        self.moving().remove(&id);
        let now = self.with_live(id, |live| (live.progress.is_held(), live.progress.due()));
        match (standing, now) {
            (_, None) => {}
            (Standing::Held, Some((false, due))) => self.schedule(id, due),
            // It is to be tried at once now, and was not before; else it keeps its turn.
            (Standing::Waiting(until), Some((false, 0))) if until > self.log().machine().now() => self.schedule(id, 0),
            (standing, Some(_)) => self.stand(id, standing),
        }
    }

    /// Moves the chunks of a message that is still being received; how many.
    async fn move_open_chain(&self, id: MessageId, epoch: u64) -> Result<usize, Unmoved> {
        let mut count = 0;
        loop {
            let next = self.open_chain(id).and_then(|chain| {
                let chain = chain.borrow();
                chain.iter().position(|chunk| chunk.epoch <= epoch).map(|place| (place, chain[place]))
            });
            let Some((place, old)) = next else { return Ok(count) };
            let (buffer, range) = self.read_record(&old).await?;
            let draft = Draft::chunk(id, &buffer[range.start + old.head as usize..range.end]);
            let new = self.log().append(&draft, Kind::Chunk, Purpose::Upkeep).await?;
            // Meanwhile it may have been committed, which needs the chunks where they were, or given up.
            match self.open_chain(id) {
                Some(chain) => {
                    chain.borrow_mut()[place] = new;
                    self.log().unpin(&old);
                    count += 1;
                }
                None => self.log().unpin(&new),
            }
        }
    }
}
