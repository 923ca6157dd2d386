//! The spool of one core: what is in it, what is due, and how what became of it is noted.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::rc::Rc;

use super::StoreError;
use super::incoming::Incoming;
use super::log::{Log, Purpose};
use super::outcome::{Outcome, OutcomeResult};
use super::record::{Draft, Extent, Header, Kind, Message};
use super::recovery::Survivor;
use super::schedule::Schedule;
use crate::io::wait::Bell;
use crate::io::{Aligned, Machine};
use crate::mail::{Envelope, MessageId};

/// Buffers for records under construction that are kept for the next message, and the size above which one is not kept.
const KEPT_BUFFERS: usize = 64;
const KEPT_BUFFER_OCTETS: usize = 64 * 1024;

/// The spool of one core; clones are the same spool.
pub struct Spool<M: Machine>(Rc<State<M>>);

impl<M: Machine> Clone for Spool<M> {
    fn clone(&self) -> Self {
        Spool(self.0.clone())
    }
}

struct State<M: Machine> {
    log: Log<M>,
    max_messages: usize,
    live: RefCell<HashMap<MessageId, Live>>,
    schedule: RefCell<Schedule>,
    /// A message came in or became due sooner.
    added: Bell,
    buffers: RefCell<Vec<Vec<u8>>>,
}

/// A message with something left to do.
#[derive(Debug)]
struct Live {
    /// Where its message record stands.
    record: Extent,
    /// Further segments that hold its content, one entry for each extent.
    chunk_epochs: Box<[u64]>,
    /// Recipients not resolved yet, by their place in the envelope; all of them where absent.
    unresolved: Option<Vec<u32>>,
    recipients: u32,
    attempts: u32,
}

/// A message, read back.
#[derive(Debug)]
pub struct Stored {
    /// Envelope, findings, and where the content stands.
    pub message: Message,
    /// The recipients with something left to do, by their place in the envelope.
    pub unresolved: Vec<u32>,
    /// Attempts that have failed so far.
    pub attempts: u32,
    record: (Aligned, std::ops::Range<usize>),
}

impl<M: Machine> Spool<M> {
    pub(super) fn new(log: Log<M>, max_messages: usize, survivors: &[Survivor]) -> Spool<M> {
        let spool = Spool(Rc::new(State {
            log,
            max_messages,
            live: RefCell::default(),
            schedule: RefCell::default(),
            added: Bell::default(),
            buffers: RefCell::default(),
        }));
        for survivor in survivors {
            spool.readmit(survivor);
        }
        spool
    }

    pub(super) fn log(&self) -> &Log<M> {
        &self.0.log
    }

    /// Begins a message.
    pub fn incoming(&self, envelope: Envelope) -> Incoming<M> {
        Incoming::new(self.clone(), envelope)
    }

    /// Whether a message of `octets` (0 where unknown) would find room now.
    pub fn admits(&self, octets: u64) -> Result<(), StoreError> {
        if self.0.live.borrow().len() >= self.0.max_messages {
            return Err(StoreError::Full);
        }
        self.0.log.admits(octets)
    }

    /// A write failed: nothing is taken in, and nothing that would have to be noted may be done.
    pub fn is_closed(&self) -> bool {
        self.0.log.is_closed()
    }

    /// Ends when all that was noted so far is on stable storage, or lost.
    pub async fn settled(&self) {
        self.0.log.settled().await;
    }

    /// Messages with something left to do.
    pub fn len(&self) -> usize {
        self.0.live.borrow().len()
    }

    /// Nothing is left to do.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A committed message becomes ours; the log has pinned its segments, once an extent.
    pub(super) fn admit(&self, envelope: &Envelope, extents: Vec<Extent>) {
        let Some((record, chunks)) = extents.split_last() else { return };
        let live = Live {
            record: *record,
            chunk_epochs: chunks.iter().map(|chunk| chunk.epoch).collect(),
            unresolved: None,
            recipients: envelope.recipients.len() as u32,
            attempts: 0,
        };
        self.0.live.borrow_mut().insert(envelope.id, live);
    }

    /// A message that recovery found becomes ours again and is scheduled.
    fn readmit(&self, survivor: &Survivor) {
        let envelope = &survivor.message.envelope;
        survivor.message.extents.iter().for_each(|extent| self.0.log.pin(extent.epoch));
        self.admit(envelope, survivor.message.extents.clone());
        if let Some(live) = self.0.live.borrow_mut().get_mut(&envelope.id) {
            let unresolved = (0..live.recipients).filter(|place| !survivor.resolved.contains(place));
            live.unresolved = Some(unresolved.collect());
            live.attempts = survivor.attempts;
        }
        self.schedule(envelope.id, survivor.not_before);
    }

    /// Lets a message be tried from `not_before` (microseconds since the Unix epoch) on.
    pub fn schedule(&self, id: MessageId, not_before: u64) {
        self.0.schedule.borrow_mut().add(not_before, id);
        self.0.added.ring();
    }

    /// Takes the next message that is due at `now`; who takes it either resolves or schedules it again.
    pub fn take_due(&self, now: u64) -> Option<MessageId> {
        self.0.schedule.borrow_mut().take_due(now)
    }

    /// When the next message is due, in microseconds since the Unix epoch.
    pub fn next_due(&self) -> Option<u64> {
        self.0.schedule.borrow().next_due()
    }

    /// Ends when a message is scheduled.
    pub fn scheduled(&self) -> impl Future<Output = ()> {
        self.0.added.heard()
    }

    /// Reads a message back and checks it.
    pub async fn read(&self, id: MessageId) -> io::Result<Stored> {
        let (extent, unresolved, attempts) = {
            let live = self.0.live.borrow();
            let live = live.get(&id).ok_or_else(|| io::Error::other("the message is not in the spool"))?;
            let unresolved = live.unresolved.clone().unwrap_or_else(|| (0..live.recipients).collect());
            (live.record, unresolved, live.attempts)
        };
        let record = self.read_record(&extent).await?;
        let octets = &record.0[record.1.clone()];
        let header = Header::decode(octets, self.0.log.key()).ok_or(io::ErrorKind::InvalidData)?;
        let message = Message::decode(&header, octets, extent.offset).map_err(io::Error::other)?;
        Ok(Stored { message, unresolved, attempts, record })
    }

    /// Hands the content of a message to `each`, a slice at a time, in order.
    pub async fn read_content(
        &self,
        stored: &Stored,
        mut each: impl AsyncFnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let Some((own, chunks)) = stored.message.extents.split_last() else { return Ok(()) };
        for chunk in chunks {
            let (buffer, range) = self.read_record(chunk).await?;
            each(&buffer[range.start + chunk.head as usize..range.end]).await?;
        }
        let (buffer, range) = &stored.record;
        each(&buffer[range.start + own.head as usize..range.end]).await
    }

    /// Reads a record and holds it against its checksum.
    async fn read_record(&self, extent: &Extent) -> io::Result<(Aligned, std::ops::Range<usize>)> {
        let (buffer, range) = self.0.log.read(extent).await?;
        let octets = &buffer[range.clone()];
        let whole = Header::decode(octets, self.0.log.key())
            .is_some_and(|header| header.extent(extent.offset) == *extent && header.matches(octets));
        if whole { Ok((buffer, range)) } else { Err(io::Error::new(io::ErrorKind::InvalidData, "a record is damaged")) }
    }

    /// Notes what became of recipients. Final outcomes free the message's space; a deferred one schedules the next attempt.
    /// Durable with the next batch: a crash before it costs a second attempt, never a message.
    pub async fn resolve(&self, id: MessageId, outcomes: &[Outcome]) -> Result<(), StoreError> {
        let noted = self.0.log.place(&Draft::outcomes(id, outcomes), Kind::Outcomes, Purpose::Outcome).await;
        let mut next = None;
        let finished = {
            let mut live = self.0.live.borrow_mut();
            let Some(message) = live.get_mut(&id) else { return Ok(()) };
            next = message.apply(outcomes, next);
            message.unresolved.as_ref().is_some_and(Vec::is_empty).then(|| live.remove(&id)).flatten()
        };
        if let Some(message) = finished {
            message.chunk_epochs.iter().for_each(|epoch| self.0.log.unpin(*epoch));
            self.0.log.unpin(message.record.epoch);
        } else if let Some(not_before) = next {
            self.schedule(id, not_before);
        }
        noted.map(|_| ())
    }

    pub(super) fn take_buffer(&self) -> Vec<u8> {
        self.0.buffers.borrow_mut().pop().unwrap_or_default()
    }

    pub(super) fn give_buffer(&self, buffer: Vec<u8>) {
        let mut kept = self.0.buffers.borrow_mut();
        if kept.len() < KEPT_BUFFERS && buffer.capacity() <= KEPT_BUFFER_OCTETS {
            kept.push(buffer);
        }
    }
}

impl Live {
    /// Takes in outcomes; says when the next attempt is due if one was deferred.
    fn apply(&mut self, outcomes: &[Outcome], mut next: Option<u64>) -> Option<u64> {
        let unresolved = self.unresolved.get_or_insert_with(|| (0..self.recipients).collect());
        for outcome in outcomes {
            match &outcome.result {
                OutcomeResult::Deferred { not_before, attempts, .. } => {
                    self.attempts = *attempts;
                    next = Some(next.map_or(*not_before, |earlier: u64| earlier.min(*not_before)));
                }
                OutcomeResult::Delivered | OutcomeResult::Returned => {
                    unresolved.retain(|place| *place != outcome.recipient);
                }
            }
        }
        next
    }
}
