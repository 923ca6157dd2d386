//! What an operator sees of the messages in a spool, and does with them.

use std::io;

use super::StoreError;
use super::group_commit::BatchLost;
use super::log::Purpose;
use super::outcome::{Outcome, OutcomeResult};
use super::progress::Progress;
use super::record::{Draft, Header, Kind, Message};
use super::store::{Spool, Standing};
use crate::io::Machine;
use crate::mail::{Content, Envelope, MessageId};

/// What is known of a message that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its envelope.
    pub envelope: Envelope,
    /// What was learned of its content.
    pub content: Content,
    /// What happens to it now.
    pub queue: Queue,
    /// Recipients with something left to do.
    pub recipients: Vec<Waiting>,
    /// The message that it was made of here, if it was.
    pub parent: Option<MessageId>,
}

/// A recipient with something left to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Its address.
    pub address: String,
    /// Attempts that have failed.
    pub attempts: u32,
    /// Microseconds since the Unix epoch before which it is not tried; 0 for at once.
    pub not_before: u64,
    /// Why the last attempt failed.
    pub reason: Option<String>,
}

/// What happens to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queue {
    /// It is being delivered, or will be as soon as there is a place.
    Active,
    /// It was tried, and waits for the next attempt.
    Deferred,
    /// The operator holds it.
    Hold,
}

impl Queue {
    /// Its name, as Postfix has it.
    pub fn name(self) -> &'static str {
        match self {
            Queue::Active => "active",
            Queue::Deferred => "deferred",
            Queue::Hold => "hold",
        }
    }
}

/// Why the operator's wish was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Undone {
    /// There is no such message.
    #[error("is not in the spool")]
    Unknown,
    /// It is being delivered at this moment.
    #[error("is being delivered at this moment; try again")]
    Busy,
    /// It could not be noted.
    #[error("could not be noted: {0}")]
    NotNoted(#[from] StoreError),
}

impl Entry {
    /// Of a message as its record and its progress say.
    pub fn new(message: Message, progress: &Progress, busy: bool) -> Entry {
        let queue = match progress {
            progress if progress.is_held() => Queue::Hold,
            progress if progress.attempts() > 0 && !busy => Queue::Deferred,
            _ => Queue::Active,
        };
        let waiting = progress.pending().into_iter().filter_map(|pending| {
            let address = message.envelope.recipients.get(pending.place as usize)?.to_string();
            let (attempts, not_before) = (pending.attempts, pending.not_before);
            Some(Waiting { address, attempts, not_before, reason: pending.reason.map(|reason| reason.to_string()) })
        });
        let recipients = waiting.collect();
        let parent = message.fields.origin.map(|origin| origin.parent);
        Entry { envelope: message.envelope, content: message.content, queue, recipients, parent }
    }
}

/// Octets of a message record that are read first to find its envelope.
const ENVELOPE_USUALLY: u32 = 4096;

impl<M: Machine> Spool<M> {
    /// Messages above `after`, oldest first, so many at most.
    pub fn ids(&self, after: MessageId, limit: usize) -> Vec<MessageId> {
        self.after(after, limit)
    }

    /// Whether a message is here.
    pub fn has(&self, id: MessageId) -> bool {
        self.with_live(id, |_| ()).is_some()
    }

    /// What is known of a message; `None` where it is not here, any more perhaps.
    pub async fn entry(&self, id: MessageId) -> io::Result<Option<Entry>> {
        let Some(record) = self.with_live(id, |live| live.record) else { return Ok(None) };
        // Of a large message its content is not read for this, unless the envelope is larger than most.
        let usually = record.record_octets().min(record.head.max(ENVELOPE_USUALLY) as usize) as u32;
        let part = super::record::Extent { octets: usually.saturating_sub(record.head), ..record };
        let (buffer, range) = self.log().read(&part).await?;
        let octets = &buffer[range];
        let header = Header::decode(octets, self.log().key()).ok_or(io::ErrorKind::InvalidData)?;
        let message = Message::decode(&header, octets, record.offset).map_err(io::Error::other)?;
        let busy = |live: &mut super::store::Live| (live.progress.clone(), live.standing == Standing::Busy);
        Ok(self.with_live(id, busy).map(|(progress, busy)| Entry::new(message, &progress, busy)))
    }

    /// Holds a message, or releases it; durable when this ends well. One that is being delivered is held after that attempt.
    pub async fn hold(&self, id: MessageId, held: bool) -> Result<(), Undone> {
        if !self.has(id) {
            return Err(Undone::Unknown);
        }
        let noted = self.log().place(&Draft::hold(id, held), Kind::Hold, Purpose::Outcome).await?;
        // From now on, and not from when it is durable: a copy that is made meanwhile stands behind what was noted, and says it.
        let now = self.with_live(id, |live| {
            live.progress.hold(held);
            (live.standing, live.progress.due())
        });
        if let Some((Standing::Waiting(_) | Standing::Held, due)) = now {
            self.schedule(id, due);
        }
        noted.ending.get().await.map_err(|BatchLost| StoreError::Closed)?;
        if now.is_some() { Ok(()) } else { Err(Undone::Unknown) }
    }

    /// Takes a message out: that is the end of it for all recipients that are left. Durable when this ends well.
    pub async fn remove(&self, id: MessageId) -> Result<(), Undone> {
        let (standing, pending) =
            self.with_live(id, |live| (live.standing, live.progress.pending())).ok_or(Undone::Unknown)?;
        if standing == Standing::Busy {
            return Err(Undone::Busy);
        }
        // Nobody begins to deliver it meanwhile.
        self.stand(id, Standing::Busy);
        let removed =
            pending.iter().map(|pending| Outcome { recipient: pending.place, result: OutcomeResult::Removed });
        let outcomes: Vec<_> = removed.collect();
        match self.log().place(&Draft::outcomes(id, &outcomes), Kind::Outcomes, Purpose::Outcome).await {
            Ok(noted) => {
                self.apply(id, &outcomes);
                noted.ending.get().await.map_err(|BatchLost| StoreError::Closed.into())
            }
            Err(error) => {
                self.stand(id, standing);
                Err(error.into())
            }
        }
    }

    /// Lets a message be tried at once. One that is held stays held.
    pub fn flush(&self, id: MessageId) -> Result<(), Undone> {
        let standing = self.with_live(id, |live| {
            live.progress.flush();
            live.standing
        });
        match standing {
            Some(Standing::Waiting(_)) => self.schedule(id, 0),
            Some(Standing::Busy | Standing::Held) => {}
            None => return Err(Undone::Unknown),
        }
        Ok(())
    }

    /// The content of a message, a piece at a time: piece number `piece` as it came over the wire, and whether it is the last.
    pub async fn piece(&self, id: MessageId, piece: usize) -> io::Result<Option<(Vec<u8>, bool)>> {
        let Some((chunk, record)) = self.with_live(id, |live| (live.chunks.get(piece).copied(), live.record)) else {
            return Ok(None);
        };
        let extent = chunk.unwrap_or(record);
        let (buffer, range) = self.read_record(&extent).await?;
        Ok(Some((buffer[range.start + extent.head as usize..range.end].to_vec(), chunk.is_none())))
    }
}
