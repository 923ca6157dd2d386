//! What a log says after a crash: decided from the octets of its segments alone.
//!
//! Total: any octets at all lead to a result. A record is believed if its header, its checksum and its segment's incarnation
//! agree; a message if all of its content is there. What is neither a whole record nor blank nor left over from an earlier
//! incarnation, and has whole records behind it, is damage and is set aside.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use super::outcome::{Outcome, OutcomeResult};
use super::record::{ALIGNMENT, Extent, Header, Kind, Message, outcomes};
use super::segment::SEGMENT_HEADER;
use crate::io::aligned::BLOCK;
use crate::mail::MessageId;

/// A message that is not finished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survivor {
    /// The message; the last of its extents is its message record.
    pub message: Message,
    /// Recipients that nothing is left to do for, by their place in the envelope.
    pub resolved: HashSet<u32>,
    /// Microseconds since the Unix epoch before which it is not to be tried.
    pub not_before: u64,
    /// Attempts that have failed.
    pub attempts: u32,
}

/// What recovery found.
#[derive(Debug, Default)]
pub struct Recovered {
    /// Messages with something left to do, oldest first.
    pub survivors: Vec<Survivor>,
    /// Whole records seen.
    pub records: u64,
    /// The newest id seen; new ones must be above it.
    pub newest: Option<MessageId>,
}

/// Reads the segments of one log in the order of their incarnations.
#[derive(Debug, Default)]
pub struct Recovery {
    messages: HashMap<MessageId, Survivor>,
    content: HashSet<Extent>,
    found: Recovered,
}

impl Recovery {
    /// Reads one segment; `octets` are all of it, its header block included. Segments must come in the order of their epochs.
    /// Returns where octets stand that are no record of ours though records should: to be kept before it is used again.
    pub fn read_segment(&mut self, epoch: u64, octets: &[u8]) -> Vec<Range<usize>> {
        let mut damage = Vec::new();
        let mut position = SEGMENT_HEADER;
        let mut doubtful: Option<usize> = None;
        while position < octets.len() {
            match whole_record(epoch, &octets[position..]) {
                Some(header) => {
                    damage.extend(
                        doubtful
                            .take()
                            .map(|start| start..position)
                            .filter(|gap| is_damage(epoch, &octets[gap.clone()])),
                    );
                    let end = position + header.length as usize;
                    if !self.read_record(&header, &octets[position..end], position as u32) {
                        damage.push(position..end);
                    }
                    position += header.stride();
                }
                None => {
                    doubtful.get_or_insert(position);
                    position = skip(octets, position);
                }
            }
        }
        // What stands behind the last whole record was never acknowledged: a batch cut off in the middle, or nothing.
        damage
    }

    /// Takes in one whole record; false if it makes no sense or lacks content that it refers to.
    fn read_record(&mut self, header: &Header, record: &[u8], offset: u32) -> bool {
        self.found.records += 1;
        self.found.newest = self.found.newest.max(Some(header.id));
        match header.kind {
            Kind::Chunk => self.content.insert(header.extent(offset)),
            Kind::Message => {
                self.content.insert(header.extent(offset));
                Message::decode(header, record, offset).is_ok_and(|message| self.read_message(message))
            }
            Kind::Outcomes => outcomes(header, record).map(|outcomes| self.read_outcomes(header.id, &outcomes)).is_ok(),
        }
    }

    /// Takes in a message; false if content that it needs is not there.
    fn read_message(&mut self, message: Message) -> bool {
        if message.extents.iter().any(|extent| !self.content.contains(extent)) {
            return false;
        }
        let survivor = Survivor { message, resolved: HashSet::new(), not_before: 0, attempts: 0 };
        self.messages.insert(survivor.message.envelope.id, survivor);
        true
    }

    fn read_outcomes(&mut self, id: MessageId, outcomes: &[Outcome]) {
        let Some(survivor) = self.messages.get_mut(&id) else {
            return; // Its message is long gone: the segment that held it has been recycled.
        };
        for outcome in outcomes {
            match &outcome.result {
                OutcomeResult::Deferred { not_before, attempts, .. } => {
                    (survivor.not_before, survivor.attempts) = (*not_before, *attempts);
                }
                OutcomeResult::Delivered | OutcomeResult::Returned => {
                    survivor.resolved.insert(outcome.recipient);
                }
            }
        }
        if survivor.resolved.len() >= survivor.message.envelope.recipients.len() {
            self.messages.remove(&id);
        }
    }

    /// All segments were read.
    pub fn finish(mut self) -> Recovered {
        self.found.survivors = self.messages.into_values().collect();
        self.found.survivors.sort_by_key(|survivor| survivor.message.envelope.id);
        self.found
    }
}

/// The incarnation of a segment whose header is not whole: the newest that has a whole record there. `octets` are all of it;
/// `None` where none has, as in a segment that was never used.
pub fn incarnation(octets: &[u8]) -> Option<u64> {
    let (mut position, mut newest) = (SEGMENT_HEADER, None);
    while let Some(rest) = octets.get(position..).filter(|rest| !rest.is_empty()) {
        match Header::decode(rest).filter(|header| header.matches(rest)) {
            Some(header) => {
                newest = newest.max(Some(header.epoch));
                position += header.stride();
            }
            None => position = skip(octets, position),
        }
    }
    newest
}

/// Where a record may begin behind `position`, at which none does. Nothing but padding between here and the next block is the
/// common case: it is stepped over in one go.
fn skip(octets: &[u8], position: usize) -> usize {
    let next = position + ALIGNMENT;
    let block_end = next.next_multiple_of(BLOCK).min(octets.len());
    match octets.get(next..block_end) {
        Some(padding) if padding.iter().all(|octet| *octet == 0) => block_end,
        _ => next,
    }
}

/// Whether the octets between two whole records are anything but blank or left over from an earlier incarnation.
fn is_damage(epoch: u64, mut gap: &[u8]) -> bool {
    while !gap.is_empty() {
        let step = match Header::decode(gap) {
            Some(old) if old.epoch < epoch => old.stride(),
            _ if gap.iter().take(ALIGNMENT).all(|octet| *octet == 0) => ALIGNMENT,
            _ => return true,
        };
        gap = gap.get(step..).unwrap_or_default();
    }
    false
}

/// The header of the record at the front of `octets`, if it is whole and of this incarnation.
fn whole_record(epoch: u64, octets: &[u8]) -> Option<Header> {
    Header::decode(octets).filter(|header| header.epoch == epoch && header.matches(octets))
}
