//! The spool of one core: what is in it, what is due, and how what became of it is noted.

use std::cell::{Cell, RefCell, RefMut};
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use super::StoreError;
use super::incoming::{Committed, Incoming, OpenChain};
use super::log::{Figures, Log, Purpose};
use super::outcome::{Outcome, OutcomeResult};
use super::progress::Progress;
use super::record::{Draft, Extent, Fields, Header, Kind, Memory, Message, Origin, message_weight};
use super::recovery::Survivor;
use super::schedule::Schedule;
use crate::io::wait::Bell;
use crate::io::{Aligned, Class, Machine};
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
    longest_delay: Duration,
    live: RefCell<BTreeMap<MessageId, Live>>,
    /// Messages that are being received and have chunks on the disk.
    open: RefCell<HashMap<MessageId, OpenChain>>,
    schedule: RefCell<Schedule>,
    /// Where content was moved that several messages share, as long as one of them may still name the old place; and how many
    /// messages were moved.
    forwarded: RefCell<HashMap<Extent, Extent>>,
    moved: Cell<u64>,
    /// A message came in or became due sooner.
    added: Bell,
    buffers: RefCell<Vec<Vec<u8>>>,
    memory: Memory,
}

/// A message with something left to do.
#[derive(Debug)]
pub(super) struct Live {
    /// Where its message record stands.
    pub record: Extent,
    /// The records that hold its content before that.
    pub chunks: Box<[Extent]>,
    /// What its message record weighs.
    pub weight: u64,
    /// What is left to do.
    pub progress: Progress,
    pub standing: Standing,
}

/// What happens to a message now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Somebody is at work on it, and will resolve or schedule it.
    Busy,
    /// It waits until then, by the clock that nobody sets.
    Waiting(Duration),
    /// The operator holds it.
    Held,
}

/// A message, read back.
#[derive(Debug)]
pub struct Stored {
    /// Envelope, findings, and where the content stands.
    pub message: Message,
    /// What is left to do.
    pub progress: Progress,
    record: (Aligned, std::ops::Range<usize>),
}

impl Stored {
    /// Octets of its message record.
    pub(super) fn octets(&self) -> usize {
        self.record.1.len()
    }

    /// The content in the message record itself.
    pub(super) fn own_content(&self) -> &[u8] {
        let (buffer, range) = &self.record;
        let head = self.message.extents.last().map_or(0, |own| own.head as usize);
        &buffer[range.start + head..range.end]
    }
}

impl<M: Machine> Spool<M> {
    pub(super) fn new(log: Log<M>, max_messages: usize, longest_delay: Duration) -> Spool<M> {
        Spool(Rc::new(State {
            log,
            max_messages,
            longest_delay,
            live: RefCell::default(),
            open: RefCell::default(),
            schedule: RefCell::default(),
            forwarded: RefCell::default(),
            moved: Cell::default(),
            added: Bell::default(),
            buffers: RefCell::default(),
            memory: Memory::default(),
        }))
    }

    /// Begins to move stragglers on.
    pub(super) fn start(&self) {
        let mover = self.clone();
        self.0.log.machine().spawn_vital(Class::Delivery, async move { mover.move_stragglers().await });
    }

    pub(super) fn log(&self) -> &Log<M> {
        &self.0.log
    }

    /// Begins a message.
    pub fn incoming(&self, envelope: impl Into<Rc<Envelope>>) -> Incoming<M> {
        self.incoming_with(envelope, Fields::default())
    }

    /// The same with further fields. With an origin it is mail that is made here: it may use the room that is kept from
    /// clients, and when it is committed the origin's places are resolved in the parent, which somebody must be at work on.
    pub fn incoming_with(&self, envelope: impl Into<Rc<Envelope>>, fields: Fields) -> Incoming<M> {
        Incoming::new(self.clone(), envelope.into(), fields)
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

    /// The disk is not what it was, so nothing is taken and noted any more: what was acknowledged is found at the next start.
    pub fn close(&self, why: io::Error) {
        self.0.log.close(why);
        self.0.added.ring();
    }

    /// How its log is.
    pub fn figures(&self) -> Figures {
        self.0.log.figures()
    }

    /// Asks the kernel at once for the memory that most of a core's mail is put together in, instead of when it is first used.
    pub fn warm(&self) {
        self.0.log.warm();
        self.0.memory.warm();
    }

    /// To be called a few times a second.
    pub fn pulse(&self) {
        self.0.log.pulse();
    }

    /// Ends when all that was noted so far is on stable storage, or lost.
    pub async fn settled(&self) {
        self.0.log.settle().await;
    }

    /// Messages with something left to do.
    pub fn len(&self) -> usize {
        self.0.live.borrow().len()
    }

    /// Nothing is left to do.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Chunks of a message that is being received may be moved from now on.
    pub(super) fn chain_is_open(&self, id: MessageId, chain: &OpenChain) {
        self.0.open.borrow_mut().entry(id).or_insert_with(|| chain.clone());
    }

    /// They may not any more.
    pub(super) fn chain_is_closed(&self, id: MessageId) {
        self.0.open.borrow_mut().remove(&id);
    }

    pub(super) fn open_chain(&self, id: MessageId) -> Option<OpenChain> {
        self.0.open.borrow().get(&id).cloned()
    }

    /// A committed message becomes ours; the log has pinned its records.
    pub(super) fn admit(&self, envelope: &Envelope, record: Extent, chunks: Box<[Extent]>) {
        let recipients = envelope.recipients.len() as u32;
        let (progress, weight) = (Progress::new(recipients), message_weight(record.record_octets(), recipients));
        let live = Live { record, chunks, weight, progress, standing: Standing::Busy };
        self.0.live.borrow_mut().insert(envelope.id, live);
    }

    /// A message that recovery found becomes ours again and is scheduled.
    pub(super) fn readmit(&self, survivor: Survivor) {
        let Survivor { id, record, chunks, progress, weight } = survivor;
        self.0.log.pin(&record, id, weight);
        chunks.iter().for_each(|extent| self.0.log.pin_shared(extent, id));
        let due = progress.due();
        let live = Live { record, chunks, weight, progress, standing: Standing::Busy };
        self.0.live.borrow_mut().insert(id, live);
        self.schedule(id, due);
    }

    /// Lets a message be tried from `not_before` (microseconds since the Unix epoch) on. From now on the time that passes counts:
    /// whoever sets the clock delays nothing.
    pub fn schedule(&self, id: MessageId, not_before: u64) {
        let machine = self.0.log.machine();
        let delay = match not_before {
            0 => Duration::ZERO,
            _ => Duration::from_micros(not_before.saturating_sub(machine.wall_clock())),
        };
        self.stand(id, Standing::Waiting(machine.now() + delay.min(self.0.longest_delay)));
    }

    /// Lets a message wait, or not wait any more. One that is held waits for its release, whatever it should wait for.
    pub(super) fn stand(&self, id: MessageId, standing: Standing) {
        let mut live = self.0.live.borrow_mut();
        let Some(message) = live.get_mut(&id) else { return };
        let mut schedule = self.0.schedule.borrow_mut();
        if let Standing::Waiting(due) = message.standing {
            schedule.remove(due, id);
        }
        message.standing = match standing {
            Standing::Waiting(_) if message.progress.is_held() => Standing::Held,
            standing => standing,
        };
        if let Standing::Waiting(due) = message.standing {
            schedule.add(due, id);
            self.0.added.ring();
        }
    }

    /// Takes the next message that is due; who takes it either resolves or schedules it again.
    pub fn take_due(&self) -> Option<MessageId> {
        let id = self.0.schedule.borrow_mut().take_due(self.0.log.machine().now())?;
        if let Some(message) = self.0.live.borrow_mut().get_mut(&id) {
            message.standing = Standing::Busy;
        }
        Some(id)
    }

    /// How long until the next message is due.
    pub fn next_due(&self) -> Option<Duration> {
        let due = self.0.schedule.borrow().next_due();
        due.map(|due| due.saturating_sub(self.0.log.machine().now()))
    }

    /// How long the message that is due longest has waited for somebody to take it.
    pub fn lag(&self) -> Duration {
        let due = self.0.schedule.borrow().next_due();
        due.map_or(Duration::ZERO, |due| self.0.log.machine().now().saturating_sub(due))
    }

    /// Ends when a message is scheduled.
    pub fn scheduled(&self) -> impl Future<Output = ()> {
        self.0.added.heard()
    }

    /// Messages that are here above `after`, oldest first, so many at most.
    pub(super) fn after(&self, after: MessageId, limit: usize) -> Vec<MessageId> {
        let live = self.0.live.borrow();
        let above = (std::ops::Bound::Excluded(after), std::ops::Bound::Unbounded);
        live.range(above).take(limit).map(|(id, _)| *id).collect()
    }

    /// Messages that were moved on since the start.
    pub fn moved(&self) -> u64 {
        self.0.moved.get()
    }

    /// One more was moved on.
    pub(super) fn has_moved(&self) {
        self.0.moved.set(self.0.moved.get() + 1);
    }

    /// Where content went that was moved.
    pub(super) fn forwarded(&self) -> RefMut<'_, HashMap<Extent, Extent>> {
        self.0.forwarded.borrow_mut()
    }

    /// Looks at a message that is here.
    pub(super) fn with_live<T>(&self, id: MessageId, look: impl FnOnce(&mut Live) -> T) -> Option<T> {
        self.0.live.borrow_mut().get_mut(&id).map(look)
    }

    /// Reads a message back and checks it.
    pub async fn read(&self, id: MessageId) -> io::Result<Stored> {
        let here = self.with_live(id, |live| (live.record, live.progress.clone()));
        let (extent, progress) = here.ok_or_else(|| io::Error::other("the message is not in the spool"))?;
        let record = self.read_record(&extent).await?;
        let octets = &record.0[record.1.clone()];
        let header = Header::decode(octets, self.0.log.key()).ok_or(io::ErrorKind::InvalidData)?;
        let message = Message::decode(&header, octets, extent.offset).map_err(io::Error::other)?;
        Ok(Stored { message, progress, record })
    }

    /// Hands the content of a message to `each`, a slice at a time, in order.
    pub async fn read_content(
        &self,
        stored: &Stored,
        each: impl AsyncFnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        self.read_range(stored, 0..u64::MAX, each).await
    }

    /// The same for a part of it, by octets as they came over the wire. Records that have nothing of it are not read.
    pub async fn read_range(
        &self,
        stored: &Stored,
        part: Range<u64>,
        mut each: impl AsyncFnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let Some((_, chunks)) = stored.message.extents.split_last() else { return Ok(()) };
        let mut position = 0;
        for (place, known) in chunks.iter().enumerate() {
            let wanted = within(position, u64::from(known.octets), &part);
            if !wanted.is_empty() {
                // The mover may have put it elsewhere meanwhile, once or again.
                let now = self.with_live(stored.message.envelope.id, |live| live.chunks.get(place).copied());
                let chunk = now.flatten().unwrap_or(*known);
                let (buffer, range) = self.read_record(&chunk).await?;
                let content = &buffer[range.start + chunk.head as usize..range.end];
                each(content.get(wanted).unwrap_or_default()).await?;
            }
            position += u64::from(known.octets);
        }
        let own = stored.own_content();
        let wanted = within(position, own.len() as u64, &part);
        if wanted.is_empty() { Ok(()) } else { each(own.get(wanted).unwrap_or_default()).await }
    }

    /// Reads a record and holds it against its checksum.
    pub(super) async fn read_record(&self, extent: &Extent) -> io::Result<(Aligned, std::ops::Range<usize>)> {
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
        self.apply(id, outcomes);
        noted.map(|_| ())
    }

    /// Takes in outcomes that are noted.
    pub(super) fn apply(&self, id: MessageId, outcomes: &[Outcome]) {
        let Some(finished) = self.with_live(id, |live| {
            live.progress.apply(outcomes);
            live.progress.is_finished()
        }) else {
            return;
        };
        if finished {
            self.stand(id, Standing::Busy);
            let message = self.0.live.borrow_mut().remove(&id);
            message.iter().for_each(|message| self.let_go(&message.record, message.weight, &message.chunks));
            return;
        }
        let deferred = |outcome: &Outcome| match outcome.result {
            OutcomeResult::Deferred { not_before, .. } => Some(not_before),
            _ => None,
        };
        if let Some(not_before) = outcomes.iter().filter_map(deferred).min() {
            self.schedule(id, not_before);
        }
    }

    /// Records of a message are not needed any more.
    pub(super) fn let_go(&self, record: &Extent, weight: u64, chunks: &[Extent]) {
        chunks.iter().for_each(|extent| self.0.log.unpin_shared(extent));
        self.0.log.unpin(record, weight);
    }

    /// Makes a message out of some recipients of another one, whose content it shares: durable when this ends well, and from
    /// then on those recipients of the parent are resolved. `envelope` and `notes` are the child's; somebody must be at work on
    /// the parent.
    pub async fn derive(
        &self,
        parent: &Stored,
        places: Vec<u32>,
        envelope: &Envelope,
        notes: Vec<u8>,
    ) -> Result<Committed, StoreError> {
        let id = parent.message.envelope.id;
        // Where they are now: the mover may have been at work since the parent was read.
        let now = self.with_live(id, |live| live.chunks.iter().chain([&live.record]).copied().collect::<Box<[_]>>());
        let chunks = now.unwrap_or_else(|| parent.message.extents.as_slice().into());
        let fields = Fields { progress: None, origin: Some(Origin { parent: id, places }), notes };
        let mut draft = Draft::message_with(envelope, &chunks, &fields, self.take_buffer());
        draft.set_findings(&parent.message.content);
        // The child needs them from now on, whatever becomes of the parent.
        chunks.iter().for_each(|extent| self.0.log.pin_shared(extent, envelope.id));
        match self.bring(&draft, Purpose::Child, fields.origin.as_ref()).await {
            Ok(record) => {
                self.admit(envelope, record, chunks);
                Ok(Committed::new(envelope.id))
            }
            Err(error) => {
                chunks.iter().for_each(|extent| self.0.log.unpin_shared(extent));
                Err(error)
            }
        }
    }

    /// Memory to receive messages into.
    pub(super) fn memory(&self) -> &Memory {
        &self.0.memory
    }

    /// Brings a message record to the disk. The recipients that it takes over from its origin are resolved there from the moment
    /// when it has its place, and not from when it is durable: a copy of the parent that is made meanwhile stands behind it, and
    /// says so. Until then the parent's own records stay.
    pub(super) async fn bring(
        &self,
        draft: &Draft,
        purpose: Purpose,
        origin: Option<&Origin>,
    ) -> Result<Extent, StoreError> {
        let (record, ending) = self.0.log.begin(draft, Kind::Message, purpose).await?;
        let mut parent = None;
        if let Some(origin) = origin {
            let oldest = |live: &mut Live| live.chunks.iter().chain([&live.record]).map(|extent| extent.epoch).min();
            parent = self.with_live(origin.parent, oldest).flatten().and_then(|epoch| self.0.log.keep(epoch));
            self.apply(origin.parent, &origin.taken());
        }
        self.0.log.end(&record, draft.weight(Kind::Message), &ending).await?;
        drop(parent);
        Ok(record)
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

/// Which octets of a record that has `length` octets of content from `position` on are in that part.
fn within(position: u64, length: u64, part: &Range<u64>) -> Range<usize> {
    let start = part.start.saturating_sub(position).min(length);
    let end = part.end.saturating_sub(position).min(length);
    start as usize..end as usize
}
