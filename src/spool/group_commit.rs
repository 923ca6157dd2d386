//! Which records are written and synced together: decided here, without I/O.
//!
//! While one batch is on its way to the disk the next one gathers; a lone record never waits for company, because a batch
//! leaves as soon as the one before it has come to its end. One batch is in flight at a time, so what a crash can tear is only
//! ever the last thing written. A segment begins with a write of its header alone, beside the last batch of the one before: what
//! an earlier incarnation left there is never touched before it is known to be old.

use super::record::{Draft, Key, Kind, RECORD_MAX};
use super::segment::{Before, SEGMENT_HEADER, SegmentHeader};
use crate::io::aligned::blocks;
use crate::io::wait::Latch;
use crate::io::{Aligned, Part};
use crate::mail::MessageId;

/// Octets of a batch at most, unless one record alone has more: nobody waits for long because others are large.
const BATCH_MAX: usize = 4 * 1024 * 1024;

/// Octets of each buffer that are touched at the start: no more than a large batch of small messages has.
const WARM: usize = 1024 * 1024;

/// How a batch ended: all of it is on stable storage, or nothing about it is known.
pub type Ending = Result<(), BatchLost>;

/// Writing or syncing a batch failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLost;

/// Where a record was put, and what to wait for.
#[derive(Debug)]
pub struct Placed {
    /// The incarnation of the segment.
    pub epoch: u64,
    /// Octets from the segment's start to the record.
    pub offset: u32,
    /// Set when the batch that holds it has ended.
    pub ending: Latch<Ending>,
}

/// Why a record was not placed now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unplaced {
    /// The batch is full: try again when it has left.
    Later,
    /// The segment is full and nothing is gathered: begin another one, then try again.
    NeedsSegment,
}

/// A batch to be written: `buffer[range]` at `offset` of segment incarnation `epoch`.
#[derive(Debug)]
pub struct Write {
    /// The incarnation of the segment.
    pub epoch: u64,
    /// Octets from the segment's start, a multiple of the block size.
    pub offset: u64,
    /// Holds the front of the batch.
    pub buffer: Aligned,
    /// Where in the buffer; whole blocks.
    pub range: std::ops::Range<usize>,
    /// What comes behind that, in order; whole blocks each.
    pub rest: Vec<Part>,
    /// How many records it holds.
    pub records: u32,
    /// To be set once the outcome is known.
    pub ending: Latch<Ending>,
}

/// Gathers records into batches of one log.
#[derive(Debug)]
pub struct GroupCommit {
    key: Key,
    segment_octets: usize,
    epoch: u64,
    /// The newest id of all records so far; not known at first, perhaps.
    newest: Option<MessageId>,
    /// The current segment's header is on stable storage, or lost.
    headed: bool,
    /// Octets of the current segment that are written or belong to a batch that has left.
    written: usize,
    /// The gathering batch: its octets, and how many of the buffer's are among them.
    buffer: Aligned,
    gathered: usize,
    in_buffer: usize,
    /// Its parts that are complete; the last, which is not, begins so far into the buffer.
    parts: Vec<Part>,
    part: usize,
    records: u32,
    ending: Latch<Ending>,
    /// The other buffer, when no batch is in flight.
    spare: Option<Aligned>,
    /// The ending of the batch that left last.
    left: Option<Latch<Ending>>,
}

impl GroupCommit {
    /// With segments of `segment_octets`, none begun: the first record needs one.
    pub fn new(key: Key, segment_octets: usize) -> GroupCommit {
        let buffer = || Aligned::zeroed(RECORD_MAX);
        GroupCommit {
            key,
            segment_octets,
            epoch: 0,
            newest: None,
            headed: false,
            written: segment_octets,
            buffer: buffer(),
            gathered: 0,
            in_buffer: 0,
            parts: Vec::new(),
            part: 0,
            records: 0,
            ending: Latch::default(),
            spare: Some(buffer()),
            left: None,
        }
    }

    /// Touches what most batches have room in.
    pub fn warm(&mut self) {
        let gathers = (self.gathered == 0).then_some(&mut self.buffer);
        for buffer in self.spare.iter_mut().chain(gathers) {
            let warm = WARM.min(buffer.len());
            // What is not part of a batch is never written, so it need not be zeros.
            buffer[..warm].fill(u8::MAX);
        }
    }

    /// Says what is the newest id of all records that the log has from before.
    pub fn know_newest(&mut self, newest: MessageId) {
        self.newest = self.newest.max(Some(newest));
    }

    /// Octets that the current segment has left.
    pub fn room(&self) -> usize {
        self.segment_octets.saturating_sub(self.written + self.gathered)
    }

    /// Something waits to be written.
    pub fn has_gathered(&self) -> bool {
        self.gathered > 0
    }

    /// Octets of the largest record that an empty batch at the front of an empty segment has room for.
    pub fn largest(&self) -> usize {
        self.buffer.len().min(self.segment_octets.saturating_sub(SEGMENT_HEADER))
    }

    /// Goes on in a fresh segment, as incarnation `epoch`; `oldest` is the oldest one in which anything is needed. Only right when
    /// nothing is gathered. The header is to be written and synced at once: nothing leaves for the segment before
    /// [`GroupCommit::header_ended`].
    pub fn begin_segment(&mut self, epoch: u64, oldest: u64) -> SegmentHeader {
        debug_assert_eq!(self.gathered, 0);
        let sealed = if self.epoch + 1 == epoch && self.epoch > 0 { self.written as u32 } else { 0 };
        let before = self.newest.map(|newest| Before { newest, oldest });
        (self.epoch, self.headed, self.written) = (epoch, false, SEGMENT_HEADER);
        SegmentHeader { epoch, sealed, key: self.key, before }
    }

    /// The header of that incarnation has been written, or could not be.
    pub fn header_ended(&mut self, epoch: u64) {
        self.headed |= epoch == self.epoch;
    }

    /// Puts a record into the gathering batch.
    pub fn place(&mut self, draft: &Draft, kind: Kind) -> Result<Placed, Unplaced> {
        let batch = self.written;
        // A record with pieces begins at a fresh block, so that they do.
        let apart = draft.has_pieces();
        let begin = if apart { blocks(self.gathered) } else { self.gathered };
        let start = batch + begin;
        if blocks(start + draft.stride()) > self.segment_octets {
            return Err(if self.gathered > 0 { Unplaced::Later } else { Unplaced::NeedsSegment });
        }
        let in_buffer = if apart { blocks(self.in_buffer) + draft.front() } else { self.in_buffer + draft.stride() };
        let too_long = self.gathered > 0 && begin + draft.stride() > BATCH_MAX;
        if in_buffer > self.buffer.len() || too_long {
            return Err(Unplaced::Later);
        }
        if apart {
            self.place_apart(draft, kind, batch as u32);
        } else {
            draft.write(self.key, kind, self.epoch, batch as u32, &mut self.buffer[self.in_buffer..]);
            self.in_buffer += draft.stride();
            self.gathered += draft.stride();
        }
        self.records += 1;
        if let Some(newest) = &mut self.newest {
            *newest = draft.id().max(*newest);
        }
        Ok(Placed { epoch: self.epoch, offset: start as u32, ending: self.ending.clone() })
    }

    /// Puts a record in whose pieces are written from where they are. What is placed behind it begins at a fresh block as well.
    fn place_apart(&mut self, draft: &Draft, kind: Kind, batch: u32) {
        self.fill_block();
        let place = &mut self.buffer[self.in_buffer..self.in_buffer + draft.front()];
        let pieces = draft.write_front(self.key, kind, self.epoch, batch, place);
        self.in_buffer += draft.front();
        self.gathered += draft.front();
        self.parts.push(Part::Buffer(self.part..self.in_buffer));
        self.part = self.in_buffer;
        for (piece, end) in pieces {
            self.gathered += end;
            self.parts.push(Part::Piece(piece, end));
        }
    }

    /// Pads what is gathered with zeros to whole blocks.
    fn fill_block(&mut self) {
        let end = blocks(self.in_buffer);
        self.buffer[self.in_buffer..end].fill(0);
        (self.in_buffer, self.gathered) = (end, blocks(self.gathered));
    }

    /// The gathered batch, if there is one, none is in flight, and its segment has its header; a new one begins to gather.
    pub fn leave(&mut self) -> Option<Write> {
        if self.gathered == 0 || !self.headed {
            return None;
        }
        let next = self.spare.take()?;
        self.fill_block();
        if self.in_buffer > self.part {
            self.parts.push(Part::Buffer(self.part..self.in_buffer));
        }
        let mut parts = std::mem::take(&mut self.parts).into_iter();
        let range = match parts.next() {
            Some(Part::Buffer(range)) => range,
            // Every batch begins with a record's front, which is in the buffer.
            _ => 0..0,
        };
        let offset = self.written;
        self.written += std::mem::take(&mut self.gathered);
        (self.in_buffer, self.part) = (0, 0);
        self.left = Some(self.ending.clone());
        Some(Write {
            epoch: self.epoch,
            offset: offset as u64,
            buffer: std::mem::replace(&mut self.buffer, next),
            range,
            rest: parts.collect(),
            records: std::mem::take(&mut self.records),
            ending: std::mem::take(&mut self.ending),
        })
    }

    /// The ending of the last record placed so far, if one was ever placed.
    pub fn last(&self) -> Option<Latch<Ending>> {
        if self.gathered > 0 { Some(self.ending.clone()) } else { self.left.clone() }
    }

    /// The batch in flight has ended; its buffer comes back.
    pub fn returned(&mut self, buffer: Aligned) {
        self.spare = Some(buffer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::aligned::BLOCK;
    use crate::spool::outcome::{Outcome, OutcomeResult};
    use crate::spool::record::{ALIGNMENT, Header};

    const KEY: Key = Key(0x0123_4567_89AB_CDEF);

    fn draft(id: u64, reason: usize) -> Draft {
        let result = OutcomeResult::Deferred { not_before: 0, attempts: 0, reason: "x".repeat(reason).into() };
        let outcomes: Vec<_> = (0..reason.div_ceil(200).max(1) as u32)
            .map(|recipient| Outcome { recipient, result: result.clone() })
            .collect();
        Draft::outcomes(MessageId(id), &outcomes)
    }

    #[test]
    fn a_lone_record_leaves_at_once_and_the_next_ones_gather_behind_it() {
        let mut group = GroupCommit::new(KEY, 64 * BLOCK);
        assert_eq!(group.place(&draft(1, 10), Kind::Outcomes).err(), Some(Unplaced::NeedsSegment));
        let header = group.begin_segment(5, 5);
        assert_eq!(header, SegmentHeader { epoch: 5, sealed: 0, key: KEY, before: None });
        let first = group.place(&draft(1, 10), Kind::Outcomes).expect("a place");
        assert_eq!((first.epoch, first.offset as usize), (5, SEGMENT_HEADER));
        assert!(group.leave().is_none(), "the header comes first");
        group.header_ended(4);
        assert!(group.leave().is_none(), "its own");
        group.header_ended(5);
        let write = group.leave().expect("a batch");
        assert_eq!((write.epoch, write.offset, write.range.clone(), write.records), (5, BLOCK as u64, 0..BLOCK, 1));

        let second = group.place(&draft(2, 10), Kind::Outcomes).expect("a place");
        let third = group.place(&draft(3, 10), Kind::Outcomes).expect("a place");
        assert_eq!(second.offset as usize, 2 * BLOCK, "a batch begins at a fresh block");
        assert_eq!(third.offset as usize % ALIGNMENT, 0);
        assert!(group.leave().is_none(), "one batch in flight");
        group.returned(write.buffer);
        let write = group.leave().expect("a batch");
        assert_eq!((write.offset as usize, write.records), (2 * BLOCK, 2));
        let at = write.range.start + (third.offset - second.offset) as usize;
        let header = Header::decode(&write.buffer[at..], KEY).expect("a record");
        assert_eq!((header.id, header.epoch, header.batch as usize), (MessageId(3), 5, 2 * BLOCK));
        assert!(group.leave().is_none(), "nothing gathered");

        let header = group.begin_segment(6, 5);
        assert_eq!(
            header,
            SegmentHeader { epoch: 6, sealed: 3 * BLOCK as u32, key: KEY, before: None },
            "what was written before is sealed, the batch in flight included"
        );
        group.place(&draft(4, 10), Kind::Outcomes).expect("a place");
        group.header_ended(6);
        assert!(group.leave().is_none(), "the batch of the segment before is in flight");
        group.returned(write.buffer);
        let write = group.leave().expect("a batch");
        assert_eq!((write.epoch, write.offset as usize, write.records), (6, SEGMENT_HEADER, 1));
    }

    #[test]
    fn a_segment_says_what_is_the_newest_id_of_all_before_it() {
        let mut group = GroupCommit::new(KEY, 64 * BLOCK);
        let header = |group: &mut GroupCommit, epoch, id| {
            let header = group.begin_segment(epoch, 1);
            group.header_ended(epoch);
            group.place(&draft(id, 10), Kind::Outcomes).expect("a place");
            let write = group.leave().expect("the record");
            group.returned(write.buffer);
            header.before.map(|before| before.newest)
        };
        assert_eq!(header(&mut group, 1, 9), None, "nobody has said what was there before");
        group.know_newest(MessageId(7));
        assert_eq!(header(&mut group, 2, 8), Some(MessageId(7)));
        assert_eq!(header(&mut group, 3, 5), Some(MessageId(8)));
        assert_eq!(header(&mut group, 4, 30), Some(MessageId(8)));
        assert_eq!(header(&mut group, 5, 1), Some(MessageId(30)));
    }

    #[test]
    fn records_never_pass_the_end_of_a_segment_or_a_batch() {
        let mut group = GroupCommit::new(KEY, 64 * BLOCK);
        let mut epoch = 0;
        let mut end = 0;
        for id in 0..2000 {
            let draft = draft(id, (id as usize * 37) % 9000);
            let placed = loop {
                match group.place(&draft, Kind::Outcomes) {
                    Ok(placed) => break placed,
                    Err(Unplaced::NeedsSegment) => {
                        epoch += 1;
                        end = 0;
                        group.begin_segment(epoch, 1);
                        group.header_ended(epoch);
                    }
                    Err(Unplaced::Later) => {
                        let write = group.leave().expect("a full batch can leave");
                        end = write.offset as usize + write.range.len();
                        assert!(end <= 64 * BLOCK);
                        group.returned(write.buffer);
                    }
                }
            };
            assert_eq!(placed.epoch, epoch);
            assert!(placed.offset as usize >= end.max(SEGMENT_HEADER));
            assert!(placed.offset as usize + draft.stride() <= 64 * BLOCK);
        }
        assert!(epoch > 10);
    }
}
