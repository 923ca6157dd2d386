//! A message on its way into the spool.

use std::cell::RefCell;
use std::rc::Rc;

use super::StoreError;
use super::log::Purpose;
use super::record::{CONTENT_MAX, Draft, Extent, Fields, Kind, Origin};
use super::store::Spool;
use crate::io::Machine;
use crate::mail::{Content, Envelope, MessageId};

/// The proof that a message and its envelope are on stable storage. Only [`Incoming::commit`] makes one, after the sync.
#[derive(Debug)]
pub struct Committed {
    id: MessageId,
}

impl Committed {
    /// Made by what has just brought the message there.
    pub(super) fn new(id: MessageId) -> Committed {
        Committed { id }
    }

    /// The message.
    pub fn id(&self) -> MessageId {
        self.id
    }
}

/// The chunks of a message that is being received. The mover may put one elsewhere while its client takes its time.
pub(super) type OpenChain = Rc<RefCell<Vec<Extent>>>;

/// A message whose content is being received. Dropped before it is committed, it leaves nothing behind.
pub struct Incoming<M: Machine> {
    spool: Spool<M>,
    envelope: Rc<Envelope>,
    /// What a client's message has none of.
    fields: Option<Box<Fields>>,
    draft: Option<Draft>,
    /// Those that are on the disk, once there are some.
    chunks: Option<OpenChain>,
}

impl<M: Machine> Incoming<M> {
    pub(super) fn new(spool: Spool<M>, envelope: Rc<Envelope>, fields: Fields) -> Incoming<M> {
        let draft = Draft::receiving(&envelope, &[], &fields, spool.memory());
        let fields = (fields != Fields::default()).then(|| Box::new(fields));
        Incoming { spool, envelope, fields, draft: Some(draft), chunks: None }
    }

    /// What is made of mail that is here already must find room where clients find none, or a full spool would stay full.
    fn purpose(&self) -> Purpose {
        if self.origin().is_some() { Purpose::Child } else { Purpose::Intake }
    }

    /// The message that it is made of.
    fn origin(&self) -> Option<&Origin> {
        self.fields.as_ref()?.origin.as_ref()
    }

    /// The message.
    pub fn id(&self) -> MessageId {
        self.envelope.id
    }

    /// Appends content. What one record cannot hold is brought to the disk first, so a message of any size takes a bounded
    /// buffer, and a client faster than the disk waits here.
    pub async fn push(&mut self, mut content: &[u8]) -> Result<(), StoreError> {
        while !content.is_empty() {
            let room = self.room();
            if room.is_empty() {
                return Err(StoreError::Closed);
            }
            let (now, later) = content.split_at(room.len().min(content.len()));
            room[..now.len()].copy_from_slice(now);
            content = later;
            self.received(now.len()).await?;
        }
        Ok(())
    }

    /// Room to receive content into where it stays until it is written; none once the message is lost.
    pub fn room(&mut self) -> &mut [u8] {
        match &mut self.draft {
            Some(draft) => draft.room(self.spool.memory()),
            None => &mut [],
        }
    }

    /// So many octets at the front of the room are content. In all else this is [`Incoming::push`].
    pub async fn received(&mut self, octets: usize) -> Result<(), StoreError> {
        let Some(draft) = &mut self.draft else { return Err(StoreError::Closed) };
        draft.received(octets);
        if draft.content_octets() >= CONTENT_MAX {
            self.stage_chunk().await?;
        }
        Ok(())
    }

    /// Writes what there is as a chunk, and begins the next record.
    async fn stage_chunk(&mut self) -> Result<(), StoreError> {
        let Some(mut draft) = self.draft.take() else { return Err(StoreError::Closed) };
        draft.close();
        let chunk = self.spool.log().append(&draft, Kind::Chunk, self.purpose()).await?;
        self.spool.memory().give(draft);
        let chunks = self.chunks.get_or_insert_default();
        chunks.borrow_mut().push(chunk);
        self.spool.chain_is_open(self.envelope.id, chunks);
        let none = Fields::default();
        let fields = self.fields.as_deref().unwrap_or(&none);
        self.draft = Some(Draft::receiving(&self.envelope, &chunks.borrow(), fields, self.spool.memory()));
        Ok(())
    }

    /// Its chunks stay where they are from here on; where that is.
    fn close_chain(&mut self) -> Vec<Extent> {
        let Some(chunks) = self.chunks.take() else { return Vec::new() };
        self.spool.chain_is_closed(self.envelope.id);
        chunks.take()
    }

    /// Makes the message durable: written and synced, its envelope with it. From the moment this ends well we are
    /// responsible for the message (RFC 5321 §4.2.5).
    pub async fn commit(mut self, content: &Content) -> Result<Committed, StoreError> {
        let Some(mut draft) = self.draft.take() else { return Err(StoreError::Closed) };
        draft.set_findings(content);
        // From here on the chunks stay where they are, which is not where they were when the record was begun, perhaps.
        if let Some(chunks) = &self.chunks {
            self.spool.chain_is_closed(self.envelope.id);
            draft.set_extents(&chunks.borrow());
        }
        draft.close();
        let record = self.spool.bring(&draft, self.purpose(), self.origin()).await?;
        self.spool.memory().give(draft);
        let chunks = self.close_chain();
        // What was pinned by the one who received it is now needed by the message, and by others, perhaps.
        for chunk in &chunks {
            self.spool.log().pin_shared(chunk, self.envelope.id);
            self.spool.log().unpin(chunk, chunk.weight());
        }
        self.spool.admit(&self.envelope, record, chunks.into());
        Ok(Committed::new(self.envelope.id))
    }
}

impl<M: Machine> Drop for Incoming<M> {
    fn drop(&mut self) {
        for chunk in self.close_chain() {
            self.spool.log().unpin(&chunk, chunk.weight());
        }
        if let Some(draft) = self.draft.take() {
            self.spool.memory().give(draft);
        }
    }
}
