//! BDAT (RFC 3030 §2).

use super::question::{Step, Transfer};
use super::{Chunks, Session, Turn, replies};
use crate::mail::{Content, Reply};
use crate::smtp::grammar::chunk;

impl<P> Session<P> {
    /// The octets follow whether the command is welcome or not, so a refused one has them discarded.
    pub(super) fn bdat(&mut self, argument: &str, replies: &mut Vec<u8>) -> Step {
        let Some((octets, last)) = chunk(argument) else {
            return self.lost_in_bdat(replies);
        };
        match self.accept_chunk(octets) {
            Ok(first) => Step::ReceiveData(Transfer::Chunk { octets, last, first }),
            Err(reply) => {
                self.refuse_chunk(&reply, last, replies);
                Step::ReceiveData(Transfer::Discard { octets })
            }
        }
    }

    /// Without a length, what follows cannot be told from commands, and content must never be taken for one.
    pub(super) fn lost_in_bdat(&mut self, replies: &mut Vec<u8>) -> Step {
        replies::bdat_usage().write(replies);
        replies::lost_in_bdat(&self.settings).write(replies);
        Step::Close
    }

    /// Counts a chunk in; says whether it is the message's first.
    fn accept_chunk(&mut self, octets: u64) -> Result<bool, Reply> {
        let before = match self.ready_for_content()?.chunks {
            Chunks::None => None,
            Chunks::Open(octets) => Some(octets),
            Chunks::Refused => return Err(replies::bdat_after_failure()),
        };
        let all = before.unwrap_or(0).saturating_add(octets);
        if self.too_big(all) {
            return Err(replies::too_big());
        }
        self.set_chunks(Chunks::Open(all));
        Ok(before.is_none())
    }

    /// Refuses a chunk. The last one ends the transaction, as the final dot does; after another the client may have sent
    /// more already, and all of it is refused (RFC 3030 §2). Outside of a transaction there is nothing to end.
    fn refuse_chunk(&mut self, reply: &Reply, last: bool, replies: &mut Vec<u8>) {
        let in_message = self.ready_for_content().is_ok();
        if in_message && last {
            return self.refuse_message(reply, replies);
        }
        reply.write(replies);
        if in_message {
            self.set_chunks(Chunks::Refused);
        }
    }

    /// A chunk that is not the last was received: `content` is what is known of the message so far.
    pub fn chunk_ended(&mut self, content: &Content, replies: &mut Vec<u8>) -> Step {
        let Turn::Content(Transfer::Chunk { last: false, .. }) = self.turn else {
            return self.confused(replies);
        };
        if self.too_big(content.octets) {
            self.refuse_chunk(&replies::too_big(), false, replies);
        } else {
            replies::chunk_ok(content.octets).write(replies);
        }
        self.expect_next(Step::Receive)
    }

    fn set_chunks(&mut self, chunks: Chunks) {
        if let Some(transaction) = &mut self.transaction {
            transaction.chunks = chunks;
        }
    }
}
