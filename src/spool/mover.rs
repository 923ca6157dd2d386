//! Moves on what lives in the oldest segment, so that it and those behind it can be used again.
//!
//! A message is copied forward as it stands: its content, its envelope, how far it has come. The old records are let go when the
//! copy is on stable storage; until then recovery finds the old ones, afterwards the last. Whoever is at work on the message
//! goes on meanwhile: the copy says what had become of it at the moment when it was put into the log, and what becomes of it
//! later stands behind it. Chunks of a message whose client takes its time are moved as well. What several messages share is
//! copied once.

use std::collections::HashSet;
use std::io;
use std::time::Duration;

use super::StoreError;
use super::group_commit::Ending;
use super::log::Purpose;
use super::record::{Draft, Extent, Fields, Header, Kind};
use super::store::{Live, Spool, Standing, Stored};
use crate::io::Machine;
use crate::io::wait::Latch;
use crate::mail::MessageId;

/// How long to wait when the oldest segment holds nothing that can be moved now.
const REST: Duration = Duration::from_secs(1);

/// Messages younger than this that somebody is at work on, or will be at once, will be gone soon: they are not worth a copy while
/// there is room.
const YOUNG: Duration = Duration::from_secs(60);

/// Copies that are brought to the disk together: so many, or of about so many octets, so that little pads their batches.
const TOGETHER: usize = 1024;
const TOGETHER_OCTETS: usize = 1 << 20;

/// A message that was read, whose chunks are where its copy will name them.
struct Ready {
    id: MessageId,
    stored: Stored,
    chunks: Box<[Extent]>,
}

/// A copy that is on its way to the disk.
struct Copy {
    id: MessageId,
    record: Extent,
    weight: u64,
    /// Where its own content stood.
    own: Option<Extent>,
    chunks: Box<[Extent]>,
    ending: Latch<Ending>,
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
            let moved = self.empty_oldest().await;
            if moved == 0 && self.log().is_fragmented() {
                self.log().machine().sleep(REST).await;
            }
        }
    }

    /// Moves on what lives in the oldest segment; how many records or messages that were.
    async fn empty_oldest(&self) -> usize {
        let Some((epoch, holders)) = self.log().oldest() else { return 0 };
        // As long as somebody pins the old place, no segment behind it is used again: so what was copied there is there.
        self.forwarded().retain(|old, _| self.log().is_in_use(old.epoch));
        let mut count = 0;
        let (mut ready, mut octets, mut own) = (Vec::new(), 0, HashSet::<Extent>::new());
        for id in holders {
            if self.open_chain(id).is_some() {
                count += self.move_open_chain(id, epoch).await.unwrap_or(0);
                continue;
            }
            if !self.is_to_move(id, epoch) {
                continue;
            }
            // Content that is copied with these is to be on stable storage before another copy names it.
            let shares = |live: &mut Live| live.chunks.iter().any(|chunk| own.contains(chunk));
            if !own.is_empty() && self.with_live(id, shares) == Some(true) {
                (octets, own) = Default::default();
                count += self.copy(std::mem::take(&mut ready)).await;
            }
            match self.make_ready(id, epoch).await {
                Ok(message) => {
                    octets += message.stored.octets();
                    own.extend(message.stored.message.extents.last().copied());
                    ready.push(message);
                }
                Err(Unmoved::Unreadable) => continue,
                Err(Unmoved::NoRoom) => break,
            }
            if ready.len() >= TOGETHER || octets >= TOGETHER_OCTETS {
                (octets, own) = Default::default();
                count += self.copy(std::mem::take(&mut ready)).await;
            }
        }
        count + self.copy(ready).await
    }

    /// Whether a message has records in this segment or an older one, and is worth a copy.
    fn is_to_move(&self, id: MessageId, epoch: u64) -> bool {
        let machine = self.log().machine();
        let young = id.made_at() > machine.wall_clock().saturating_sub(YOUNG.as_micros() as u64);
        let spared = young && !self.log().is_full();
        self.with_live(id, |live| {
            let concerned = live.chunks.iter().chain([&live.record]).any(|extent| extent.epoch <= epoch);
            let goes_soon = match live.standing {
                Standing::Busy => true,
                Standing::Waiting(due) => due <= machine.now(),
                Standing::Held => false,
            };
            concerned && !(spared && goes_soon)
        })
        .unwrap_or(false)
    }

    /// Reads a message and moves its chunks, which are on stable storage when this ends: so a record that names them is not begun
    /// before, and one that is whole names only what is.
    async fn make_ready(&self, id: MessageId, epoch: u64) -> Result<Ready, Unmoved> {
        let stored = self.read(id).await?;
        let old = self.with_live(id, |live| live.chunks.clone()).unwrap_or_default();
        let mut chunks = Vec::with_capacity(old.len());
        for chunk in &old {
            let known = self.forwarded().get(chunk).copied();
            let chunk = match known {
                Some(there) => there,
                None if chunk.epoch > epoch => *chunk,
                None => {
                    let there = self.copy_chunk(chunk).await?;
                    self.forwarded().insert(*chunk, there);
                    there
                }
            };
            chunks.push(chunk);
        }
        Ok(Ready { id, stored, chunks: chunks.into() })
    }

    /// Copies one record's content, under the id that it had. Nobody has pinned it: the oldest segment, which its owner still
    /// pins, keeps it.
    async fn copy_chunk(&self, chunk: &Extent) -> Result<Extent, Unmoved> {
        let (buffer, range) = self.read_record(chunk).await?;
        let record = &buffer[range];
        let header = Header::decode(record, self.log().key()).ok_or(Unmoved::Unreadable)?;
        let draft = Draft::chunk(header.id, &record[chunk.head as usize..]);
        let there = self.bring_chunk(&draft).await?;
        self.log().unpin(&there, there.weight());
        Ok(there)
    }

    /// Brings a copy of a chunk to the disk.
    async fn bring_chunk(&self, draft: &Draft) -> Result<Extent, StoreError> {
        let weight = draft.weight(Kind::Chunk);
        self.log().count_copy(weight, true);
        let there = self.log().append(draft, Kind::Chunk, Purpose::Move).await;
        self.log().count_copy(weight, false);
        there
    }

    /// Puts copies into the log one behind the other, waits for them, and lets the old records go; how many were moved.
    async fn copy(&self, ready: Vec<Ready>) -> usize {
        let mut copies = Vec::with_capacity(ready.len());
        for message in ready {
            match self.place_copy(message).await {
                Ok(copy) => copies.extend(copy),
                Err(_) => break,
            }
        }
        let mut count = 0;
        for Copy { id, record, weight, own, chunks, ending } in copies {
            let ended = self.log().end(&record, weight, &ending).await;
            self.log().count_copy(weight, false);
            if ended.is_err() {
                continue;
            }
            // Others may share what stands in the record itself.
            self.forwarded().extend(own.map(|own| (own, record)));
            chunks.iter().for_each(|chunk| self.log().pin_shared(chunk, id));
            let old = self.with_live(id, |live| {
                (std::mem::replace(&mut live.record, record), std::mem::replace(&mut live.chunks, chunks.clone()))
            });
            match old {
                Some((old, chunks)) => {
                    self.let_go(&old, weight, &chunks);
                    self.has_moved();
                    count += 1;
                }
                // It is finished meanwhile, which stands behind the copy.
                None => self.let_go(&record, weight, &chunks),
            }
        }
        count
    }

    /// Puts the copy of a message into the log; none where it is finished. It says what has become of the message at the very
    /// moment when it gets its place.
    async fn place_copy(&self, message: Ready) -> Result<Option<Copy>, StoreError> {
        let Ready { id, stored, chunks } = message;
        let mut patience = None;
        loop {
            let Some((progress, weight)) = self.with_live(id, |live| (live.progress.clone(), live.weight)) else {
                return Ok(None);
            };
            let mut fields = Fields { progress: Some(progress), ..stored.message.fields.clone() };
            if self.log().is_full() {
                fields.progress.iter_mut().for_each(|progress| progress.shorten());
            }
            let mut draft = Draft::message_with(&stored.message.envelope, &chunks, &fields, self.take_buffer());
            draft.push(stored.own_content());
            draft.set_findings(&stored.message.content);
            let placed = self.log().place_now(&draft, Kind::Message, Purpose::Move);
            let why = match placed? {
                Ok(placed) => {
                    let record = draft.extent(placed.epoch, placed.offset);
                    self.log().count_copy(weight, true);
                    self.log().pin(&record, id, weight);
                    self.give_buffer(draft.into_buffer());
                    let own = stored.message.extents.last().copied();
                    return Ok(Some(Copy { id, record, weight, own, chunks, ending: placed.ending }));
                }
                Err(why) => why,
            };
            self.give_buffer(draft.into_buffer());
            self.log().wait_for_room(why, Purpose::Move, &mut patience).await?;
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
            let new = self.bring_chunk(&draft).await?;
            // Meanwhile it may have been committed, which needs the chunks where they were, or given up.
            match self.open_chain(id) {
                Some(chain) => {
                    chain.borrow_mut()[place] = new;
                    self.log().unpin(&old, old.weight());
                    count += 1;
                }
                None => self.log().unpin(&new, new.weight()),
            }
        }
    }
}
