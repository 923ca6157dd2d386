//! One segment, read piece by piece: its records are found from the first to the last, and taken in from the last to the first.

use std::ops::Range;

use super::Recovery;
use crate::io::aligned::BLOCK;
use crate::spool::record::{ALIGNMENT, Header, Key};
use crate::spool::segment::SEGMENT_HEADER;

/// How far the reading of one segment has come.
#[derive(Debug)]
pub struct Scan {
    epoch: u64,
    /// Octets that were on stable storage once.
    sealed: usize,
    position: usize,
    /// Where something begins that is no record.
    doubtful: Option<usize>,
    gaps: Vec<Range<usize>>,
    /// Whole records that are not taken in yet, and where each stands.
    records: Vec<(Header, u32)>,
    /// All records were found.
    found: bool,
    /// There is one at least.
    any: bool,
    damage: Vec<Range<usize>>,
}

impl Scan {
    /// Of the segment of this incarnation, of which the first `sealed` octets were on stable storage once, as the next segment
    /// says.
    pub(super) fn new(epoch: u64, sealed: u32) -> Scan {
        let (doubtful, gaps, records, found, any, damage) = Default::default();
        Scan { epoch, sealed: sealed as usize, position: SEGMENT_HEADER, doubtful, gaps, records, found, any, damage }
    }

    /// It was read, and no whole record was in it.
    pub(super) fn is_blank(&self) -> bool {
        self.found && !self.any
    }

    /// Which incarnation it is.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(super) fn into_damage(self) -> Vec<Range<usize>> {
        self.damage
    }

    /// Goes on for about `most` octets; false when the segment is read. `octets` are all of it, its header block included.
    pub fn step(&mut self, recovery: &mut Recovery, octets: &[u8], most: usize) -> bool {
        if !self.found {
            self.find(recovery.key, octets, most);
            return true;
        }
        let mut left = most;
        while let Some((header, offset)) = self.records.pop() {
            let (start, length) = (offset as usize, header.length as usize);
            if !recovery.read_record(&header, &octets[start..start + length], offset) {
                self.damage.push(start..start + length);
            }
            left = left.saturating_sub(length);
            if left == 0 {
                break;
            }
        }
        !self.records.is_empty()
    }

    /// Finds records, and at the end says what lies between them.
    fn find(&mut self, key: Key, octets: &[u8], most: usize) {
        let end = self.position.saturating_add(most).min(octets.len());
        while self.position < end {
            match whole_record(key, self.epoch, &octets[self.position..]) {
                Some(header) => {
                    self.gaps.extend(self.doubtful.take().map(|start| start..self.position));
                    self.sealed = self.sealed.max(self.position.min(header.batch as usize));
                    self.records.push((header, self.position as u32));
                    self.any = true;
                    self.position += header.stride();
                }
                None => {
                    self.doubtful.get_or_insert(self.position);
                    self.position = skip(octets, self.position);
                }
            }
        }
        if self.position < octets.len() {
            return;
        }
        self.found = true;
        self.gaps.extend(self.doubtful.take().map(|start| start..octets.len()));
        let sealed = self.sealed.min(octets.len());
        for gap in std::mem::take(&mut self.gaps) {
            let gap = gap.start..gap.end.min(sealed);
            if gap.start < gap.end && is_damage(key, self.epoch, &octets[gap.clone()]) {
                self.damage.push(gap);
            }
        }
    }
}

/// Where a record may begin behind `position`, at which none does. Nothing but padding between here and the next block is the
/// common case: it is stepped over in one go.
pub(super) fn skip(octets: &[u8], position: usize) -> usize {
    let next = position + ALIGNMENT;
    let block_end = next.next_multiple_of(BLOCK).min(octets.len());
    match octets.get(next..block_end) {
        Some(padding) if padding.iter().all(|octet| *octet == 0) => block_end,
        _ => next,
    }
}

/// Whether the octets between two whole records are anything but blank or left over from an earlier incarnation.
fn is_damage(key: Key, epoch: u64, mut gap: &[u8]) -> bool {
    while !gap.is_empty() {
        let step = match Header::decode(gap, key) {
            Some(old) if old.epoch < epoch => old.stride(),
            _ if gap.iter().take(ALIGNMENT).all(|octet| *octet == 0) => ALIGNMENT,
            _ => return true,
        };
        gap = gap.get(step..).unwrap_or_default();
    }
    false
}

/// The header of the record at the front of `octets`, if it is whole and of this incarnation.
fn whole_record(key: Key, epoch: u64, octets: &[u8]) -> Option<Header> {
    Header::decode(octets, key).filter(|header| header.epoch == epoch && header.matches(octets))
}
