//! The dialogue at its barest: fixed replies, and the one thing that must be found, the end of data. Pure: no I/O.
//!
//! Content that came whole in one read is copied once, into the batch. Longer content is received straight into a chunk, which
//! is what goes to the disk. Commands are told by their first four octets; nothing is checked.

use super::batch::{Batch, Memory};
use memchr::{memchr, memmem};
use ringpost::io::aligned::{BLOCK, blocks};

/// Octets that are received at a time where no content is under way, as ringpost does.
const READ: usize = 16 * 1024;

/// Octets of a chunk that is written by itself; behind it there is room for the block that is carried on.
pub const CHUNK: usize = 256 * 1024;

/// The rest of a message above this size is written from where it was received, instead of being copied into the batch.
const COPIED: usize = 32 * 1024;

/// Octets that ringpost keeps with a message: the record's header, the envelope, the Received field.
pub const RECORD: [u8; 336] = [b'r'; 336];

/// What ends the data.
const END: &[u8] = b"\r\n.\r\n";

/// What is to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Send the replies, then receive into the room.
    Receive,
    /// Write so many octets of the chunk, which is to be taken and given back.
    WriteChunk(usize),
    /// The message is in the batch: say when that is on stable storage.
    Commit,
    /// The batch is full: come again when it has left.
    Full,
    /// Send the replies and close.
    Close,
}

/// What conversations share.
pub struct Shared<B> {
    /// What gathers for the disk.
    pub batch: Batch<B>,
    chunks: Vec<B>,
    fresh: Box<dyn Fn(usize) -> B>,
}

impl<B: Memory> Shared<B> {
    /// With memory made by `fresh`.
    pub fn new(fresh: impl Fn(usize) -> B + 'static) -> Shared<B> {
        Shared { batch: Batch::new(&fresh), chunks: Vec::new(), fresh: Box::new(fresh) }
    }

    fn chunk(&mut self) -> B {
        self.chunks.pop().unwrap_or_else(|| (self.fresh)(CHUNK + BLOCK))
    }
}

/// Where in a message the conversation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Commands,
    Content,
    /// All of the content is on the disk or on its way: its record is still to be placed.
    Ended,
}

/// One conversation.
pub struct Conversation<B> {
    state: State,
    small: Box<[u8]>,
    start: usize,
    end: usize,
    chunk: Option<B>,
    filled: usize,
    scanned: usize,
    /// Replies to be sent.
    pub replies: Vec<u8>,
}

impl<B: Memory> Default for Conversation<B> {
    fn default() -> Conversation<B> {
        Conversation {
            state: State::Commands,
            small: vec![0; READ].into(),
            start: 0,
            end: 0,
            chunk: None,
            filled: 0,
            scanned: 0,
            replies: b"220 leanest ESMTP\r\n".to_vec(),
        }
    }
}

impl<B: Memory> Conversation<B> {
    /// Where to receive.
    pub fn room(&mut self) -> &mut [u8] {
        match &mut self.chunk {
            Some(chunk) => &mut chunk.octets_mut()[self.filled..],
            None => &mut self.small[self.end..],
        }
    }

    /// So many octets were received.
    pub fn received(&mut self, octets: usize) {
        match &self.chunk {
            Some(_) => self.filled += octets,
            None => self.end += octets,
        }
    }

    /// The chunk, to be written.
    pub fn take_chunk(&mut self) -> Option<B> {
        self.chunk.take()
    }

    /// The chunk has been written. What was not of it is carried on, so that the end is found wherever it was cut.
    pub fn chunk_written(&mut self, mut chunk: B, shared: &mut Shared<B>) {
        if self.state == State::Ended {
            shared.chunks.push(chunk);
            return;
        }
        chunk.octets_mut().copy_within(CHUNK.., 0);
        (self.filled, self.scanned) = (BLOCK, BLOCK);
        self.chunk = Some(chunk);
    }

    /// The message is on stable storage.
    pub fn committed(&mut self) {
        self.replies.extend_from_slice(b"250 2.0.0 OK\r\n");
    }

    /// Goes on with what was received.
    pub fn step(&mut self, shared: &mut Shared<B>) -> Step {
        loop {
            let step = match self.state {
                State::Commands => self.command(),
                State::Content if self.chunk.is_none() => self.short_content(shared),
                State::Content => self.long_content(shared),
                State::Ended => self.place(shared),
            };
            if let Some(step) = step {
                return step;
            }
        }
    }

    fn command(&mut self) -> Option<Step> {
        let input = &self.small[self.start..self.end];
        let Some(end) = memchr(b'\n', input) else {
            self.small.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            return Some(if self.end == READ { Step::Close } else { Step::Receive });
        };
        let mut verb = [0; 4];
        input.iter().zip(&mut verb).for_each(|(octet, place)| *place = octet.to_ascii_uppercase());
        self.start += end + 1;
        let reply: &[u8] = match &verb {
            b"EHLO" => b"250-leanest\r\n250-PIPELINING\r\n250 SIZE 0\r\n",
            b"DATA" => b"354 go on\r\n",
            b"QUIT" => b"221 2.0.0 bye\r\n",
            _ => b"250 2.0.0 OK\r\n",
        };
        self.replies.extend_from_slice(reply);
        match &verb {
            b"DATA" => {
                self.state = State::Content;
                None
            }
            b"QUIT" => Some(Step::Close),
            _ => None,
        }
    }

    /// Content that stands behind a command, or came with one read.
    fn short_content(&mut self, shared: &mut Shared<B>) -> Option<Step> {
        let input = &self.small[self.start..self.end];
        if input.is_empty() {
            (self.start, self.end) = (0, 0);
            return Some(Step::Receive);
        }
        if let Some(end) = memmem::find(input, END) {
            if !shared.batch.place(&[&RECORD, &input[..end + 2]]) {
                return Some(Step::Full);
            }
            self.start += end + END.len();
            self.state = State::Commands;
            return Some(Step::Commit);
        }
        let mut chunk = shared.chunk();
        chunk.octets_mut()[..input.len()].copy_from_slice(input);
        (self.filled, self.scanned) = (input.len(), input.len());
        self.chunk = Some(chunk);
        (self.start, self.end) = (0, 0);
        Some(Step::Receive)
    }

    fn long_content(&mut self, shared: &mut Shared<B>) -> Option<Step> {
        let chunk = self.chunk.as_ref()?;
        let from = self.scanned.saturating_sub(END.len() - 1);
        let Some(end) = memmem::find(&chunk.octets()[from..self.filled], END).map(|end| from + end) else {
            self.scanned = self.filled;
            let full = self.filled == CHUNK + BLOCK;
            return Some(if full { Step::WriteChunk(CHUNK) } else { Step::Receive });
        };
        let (length, rest) = (end + 2, end + END.len()..self.filled);
        // Before the reply to the end of data a client has nothing to say but commands.
        if rest.len() > READ {
            return Some(Step::Close);
        }
        if length <= COPIED && !shared.batch.place(&[&RECORD, &chunk.octets()[..length]]) {
            return Some(Step::Full);
        }
        (self.start, self.end) = (0, rest.len());
        self.small[..rest.len()].copy_from_slice(&chunk.octets()[rest]);
        if length > COPIED {
            self.state = State::Ended;
            return Some(Step::WriteChunk(blocks(length)));
        }
        self.state = State::Commands;
        shared.chunks.extend(self.chunk.take());
        Some(Step::Commit)
    }

    fn place(&mut self, shared: &mut Shared<B>) -> Option<Step> {
        if !shared.batch.place(&[&RECORD]) {
            return Some(Step::Full);
        }
        self.state = State::Commands;
        Some(Step::Commit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringpost::io::Aligned;

    /// What a conversation said, what it wrote, and how many messages were committed, if it hears `input` in pieces.
    fn converse(input: &[u8], piece: usize) -> (String, Vec<u8>, usize) {
        let mut shared = Shared::new(Aligned::zeroed);
        let mut conversation = Conversation::default();
        let (mut rest, mut written, mut commits) = (input, Vec::new(), 0);
        loop {
            match conversation.step(&mut shared) {
                Step::Receive if rest.is_empty() => break,
                Step::Receive => {
                    let room = conversation.room();
                    let octets = room.len().min(piece).min(rest.len());
                    room[..octets].copy_from_slice(&rest[..octets]);
                    rest = &rest[octets..];
                    conversation.received(octets);
                }
                Step::WriteChunk(octets) => {
                    let chunk = conversation.take_chunk().expect("there is a chunk to be written");
                    assert!(octets.is_multiple_of(BLOCK));
                    written.extend_from_slice(&chunk[..octets]);
                    conversation.chunk_written(chunk, &mut shared);
                }
                Step::Commit => {
                    commits += 1;
                    let (buffer, octets) = shared.batch.leave(Aligned::zeroed(super::super::batch::BATCH));
                    written.extend_from_slice(&buffer[..octets]);
                    conversation.committed();
                }
                Step::Full => panic!("a batch with one message is not full"),
                Step::Close => break,
            }
        }
        (String::from_utf8(conversation.replies).expect("replies are ASCII"), written, commits)
    }

    fn content(octets: usize) -> Vec<u8> {
        let line = b"a line of content that is no longer than others\r\n..\r\n";
        let mut content: Vec<u8> = line.iter().copied().cycle().take(octets - 2).collect();
        content.extend_from_slice(b"\r\n");
        content
    }

    #[test]
    fn messages_of_all_sizes_in_all_pieces() {
        for octets in [10, 4096, 20_000, 100_000, CHUNK, CHUNK + BLOCK - 2, CHUNK + BLOCK + 1, 3 * CHUNK + 7] {
            let content = content(octets);
            let dialogue = [b"EHLO x\r\nMAIL\r\nRCPT\r\nDATA\r\n", &content[..], b".\r\nNOOP\r\nQUIT\r\n"].concat();
            for piece in [997, READ, 50_001, usize::MAX] {
                let (replies, written, commits) = converse(&dialogue, piece);
                let codes: Vec<_> = replies.lines().map(|line| &line[..4]).collect();
                let expected = ["220 ", "250-", "250-", "250 ", "250 ", "250 ", "354 ", "250 ", "250 ", "221 "];
                assert_eq!((codes, commits), (expected.to_vec(), 1), "{octets} by {piece}");
                let whole = memmem::find(&written, &content[..content.len().min(CHUNK)]).is_some();
                assert!(whole && written.len() >= octets + RECORD.len(), "{octets} by {piece}");
            }
        }
    }

    #[test]
    fn a_full_batch_is_told_and_nothing_lost() {
        let mut shared = Shared::new(Aligned::zeroed);
        while shared.batch.place(&[&RECORD]) {}
        let mut conversation = Conversation::default();
        let input = b"DATA\r\nx\r\n.\r\n";
        conversation.room()[..input.len()].copy_from_slice(input);
        conversation.received(input.len());
        assert_eq!(conversation.step(&mut shared), Step::Full);
        shared.batch.leave(Aligned::zeroed(super::super::batch::BATCH));
        assert_eq!(conversation.step(&mut shared), Step::Commit);
        assert_eq!(conversation.step(&mut shared), Step::Receive);
    }
}
