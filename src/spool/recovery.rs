//! What a log says after a crash: decided from the octets of its segments alone.
//!
//! Total: any octets at all lead to a result. A record is believed if its header, its checksum and its segment's incarnation
//! agree; a message if all of its content is there. What is neither a whole record nor blank nor left over from an earlier
//! incarnation is damage and is set aside, if it was on stable storage once: a record behind it was written with a later batch,
//! or the next segment says so and has a record itself, which was written when all before it had ended. Else it is what a crash
//! left of the last batch, which nobody was told of.
//!
//! Segments are read from the newest to the oldest, and in each the records from the last to the first. So what became of a
//! message is known before the message is met: as soon as it is, it can go on, while older segments are still to be read.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use super::outcome::Outcome;
use super::progress::Progress;
use super::record::{Extent, Header, Key, Kind, Message, held, message_weight, outcomes};
use super::segment::SEGMENT_HEADER;
use crate::mail::MessageId;

mod known;
mod scan;

use known::Known;
pub use scan::Scan;

/// A message that is not finished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survivor {
    /// It.
    pub id: MessageId,
    /// Its message record.
    pub record: Extent,
    /// The records that hold the content before that, in order.
    pub chunks: Box<[Extent]>,
    /// What is left to do.
    pub progress: Progress,
    /// What its message record weighs.
    pub weight: u64,
}

/// What was found with a segment.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Messages with something left to do, all of whose content was seen, oldest first.
    pub survivors: Vec<Survivor>,
    /// Messages with something left to do of whose content something is missing, oldest first.
    pub lacking: Vec<Survivor>,
    /// Where octets stand that are no record of ours though records should: to be kept before the segment is used again.
    pub damage: Vec<Range<usize>>,
}

/// Reads the segments of one log from the newest incarnation to the oldest.
#[derive(Debug)]
pub struct Recovery {
    key: Key,
    /// What became of messages whose record was not met yet.
    known: HashMap<MessageId, Known>,
    /// Messages that were met, so that what stands before is of no account: those that go on, and those of which a copy was met.
    met: HashSet<MessageId>,
    /// Messages that lack content which may stand in segments that were not read yet.
    incomplete: Vec<Survivor>,
    /// Records that hold content of messages that were met: not seen yet, and seen.
    wanted: HashSet<Extent>,
    seen: HashSet<Extent>,
    records: u64,
    newest: Option<MessageId>,
    /// The incarnation that was read last, if no whole record of it was there.
    blank: Option<u64>,
}

impl Recovery {
    /// Of the log with this key, of which nothing is read yet.
    pub fn new(key: Key) -> Recovery {
        let (known, met, incomplete, wanted, seen, records, newest, blank) = Default::default();
        Recovery { key, known, met, incomplete, wanted, seen, records, newest, blank }
    }

    /// Whole records seen.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// The newest id seen.
    pub fn newest(&self) -> Option<MessageId> {
        self.newest
    }

    /// Begins to read the segment of an incarnation. The header of the next one says that `sealed` octets of it were written before
    /// that one's first batch; where there is no such batch, the last of them may have been lost on their way.
    pub fn scan(&self, epoch: u64, sealed: u32) -> Scan {
        Scan::new(epoch, if self.blank == Some(epoch + 1) { 0 } else { sealed })
    }

    /// Reads one segment in one go; see [`Recovery::scan`].
    pub fn read_segment(&mut self, epoch: u64, octets: &[u8], sealed: u32) -> Found {
        let mut scan = self.scan(epoch, sealed);
        while scan.step(self, octets, usize::MAX) {}
        self.end_segment(scan)
    }

    /// Says what was found with a segment that was read to its end: with it, or with it at last.
    pub fn end_segment(&mut self, scan: Scan) -> Found {
        let epoch = scan.epoch();
        self.blank = scan.is_blank().then_some(epoch);
        let mut found = Found { damage: scan.into_damage(), ..Found::default() };
        for survivor in std::mem::take(&mut self.incomplete) {
            let missing = survivor.chunks.iter().filter(|extent| !self.seen.contains(extent));
            match missing.map(|extent| extent.epoch).max() {
                None => found.survivors.push(survivor),
                // Content stands before the record that names it. All from here on was read, and it is not there.
                Some(newest) if newest >= epoch => found.lacking.push(survivor),
                Some(_) => self.incomplete.push(survivor),
            }
        }
        found.survivors.sort_by_key(|survivor| survivor.id);
        found.lacking.sort_by_key(|survivor| survivor.id);
        found
    }

    /// All segments were read: messages that lack content lack it for good.
    pub fn lacking(&mut self) -> Vec<Survivor> {
        let mut lacking = std::mem::take(&mut self.incomplete);
        lacking.sort_by_key(|survivor| survivor.id);
        lacking
    }

    /// Takes in one whole record, behind which all was read; false if it makes no sense.
    fn read_record(&mut self, header: &Header, record: &[u8], offset: u32) -> bool {
        self.records += 1;
        if header.kind != Kind::Mark {
            self.newest = self.newest.max(Some(header.id));
        }
        match header.kind {
            Kind::Chunk => {
                self.see(header.extent(offset));
                true
            }
            Kind::Message => match Message::decode(header, record, offset) {
                Ok(message) => {
                    self.see(header.extent(offset));
                    self.read_message(message);
                    true
                }
                Err(_) => false,
            },
            Kind::Outcomes => outcomes(header, record).map(|outcomes| self.read_outcomes(header.id, outcomes)).is_ok(),
            Kind::Hold => held(header, record).map(|held| self.read_hold(header.id, held)).is_ok(),
            Kind::Mark => true,
        }
    }

    /// Content is where it should be.
    fn see(&mut self, extent: Extent) {
        if self.wanted.remove(&extent) {
            self.seen.insert(extent);
        }
    }

    /// The last record of a message stands for it. One that says how far the message had come is a copy, which was moved on: there
    /// may be others before it.
    fn read_message(&mut self, message: Message) {
        let Message { envelope, mut extents, fields, .. } = message;
        let (id, of_progress) = (envelope.id, fields.octets_of_progress());
        if let Some(origin) = &fields.origin {
            self.read_outcomes(origin.parent, origin.taken());
        }
        if self.met.contains(&id) {
            return;
        }
        let known = self.known.remove(&id).unwrap_or_default();
        if fields.progress.is_some() {
            self.met.insert(id);
        }
        let mut progress = fields.progress.unwrap_or_else(|| Progress::new(envelope.recipients.len() as u32));
        known.apply(&mut progress);
        let Some(record) = extents.pop().filter(|_| !progress.is_finished()) else { return };
        self.met.insert(id);
        self.wanted.extend(extents.iter().filter(|extent| !self.seen.contains(extent)));
        let weight = message_weight(record.record_octets() - of_progress, progress.recipients());
        self.incomplete.push(Survivor { id, record, chunks: extents.into(), progress, weight });
    }

    /// Where the message is not met, it is long gone: the segment that held it has been recycled.
    fn read_outcomes(&mut self, id: MessageId, outcomes: Vec<Outcome>) {
        if !self.met.contains(&id) {
            self.known.entry(id).or_default().before(outcomes);
        }
    }

    fn read_hold(&mut self, id: MessageId, held: bool) {
        if !self.met.contains(&id) {
            self.known.entry(id).or_default().held_before(held);
        }
    }
}

/// The incarnation of a segment whose header is not whole: the newest that has a whole record there. `octets` are all of it;
/// `None` where none has, as in a segment that was never used.
pub fn incarnation(key: Key, octets: &[u8]) -> Option<u64> {
    let (mut position, mut newest) = (SEGMENT_HEADER, None);
    while let Some(rest) = octets.get(position..).filter(|rest| !rest.is_empty()) {
        match Header::decode(rest, key).filter(|header| header.matches(rest)) {
            Some(header) => {
                newest = newest.max(Some(header.epoch));
                position += header.stride();
            }
            None => position = scan::skip(octets, position),
        }
    }
    newest
}

#[cfg(test)]
mod tests;
