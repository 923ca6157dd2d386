//! Whether the messages of the oldest segment are to be moved on, and who may write when room is short: decided here, without
//! I/O.
//!
//! Segments are freed oldest first, so one message that stays pins all that came after it. Moving copies it to the front of the
//! log; so the log is a ring, and the mover turns it. What a whole turn would win is known before it is begun: all segments in
//! use, less those that what lives would take, packed as the mover packs it. Three rules follow, and hold in every history:
//!
//! - **Mail comes in only while what lives then leaves the reserve, packed** ([`takes`]). So when the reserve is in use, a turn
//!   wins at least a segment; where it would not, nothing is moved.
//! - **What lives in one segment finds room, copied, in one empty segment** ([`holds`]). So one free segment is enough to turn.
//! - **Outcomes leave the mover what it needs for its next step** ([`leaves_a_step`]). So they wait for it, and it never for them.
//!
//! What a record *weighs* is what its copy takes at most: it may have grown by how far the message has come, which
//! [`super::record::Draft::weight`] counts from the start.

use crate::io::aligned::{BLOCK, blocks};

/// Free segments that mail leaves alone: one for outcomes, and one to move records into.
pub const KEPT: u64 = 2;

/// What is known of a log's segments; in octets where nothing else is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// A segment.
    pub segment: u64,
    /// All segments that are in use, the current one included.
    pub in_use: u64,
    /// Number of segments in use before the current one.
    pub before: u64,
    /// Weight of all records that are needed.
    pub live: u64,
    /// Weight of those in the oldest segment.
    pub oldest: u64,
    /// Weight of those in the current segment.
    pub current: u64,
    /// Weight of the heaviest record there was.
    pub largest: u64,
    /// Number of segments that are free.
    pub free: u64,
    /// What the current segment has left.
    pub room: u64,
    /// No further segment can be prepared.
    pub short: bool,
}

/// Why something is added to what lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Growth {
    /// Mail comes in.
    Mail,
    /// A message is made of one that is here, so that this one can go.
    Child,
}

/// What the copies that the mover brings to the disk together weigh at least, unless they are the last of a segment.
const TOGETHER_LEAST: u64 = 192 * 1024;

/// Batches of copies that end before that: at the end of the segment that they come from and of the one that they go to, and
/// once more where they share a batch with others.
const BROKEN: u64 = 4;

/// One in so many segments is left empty, so that turning the log when it is full costs so many copies at most for each one won.
const SPARE: u64 = 16;

/// When the reserve is whole, a turn must win one in so many segments.
const WORTH: u64 = 8;

/// What all records of a segment may weigh: the rest is its header, and what pads the batches of copies.
pub fn capacity(segment: u64) -> u64 {
    segment.saturating_sub(BLOCK as u64 * (1 + BROKEN + segment / TOGETHER_LEAST))
}

/// Whether a record may be put into the current segment, for what lives in one segment must find room in an empty one.
pub fn holds(segment: u64, current: u64, weight: u64) -> bool {
    // One that is heavier than that stands alone.
    current == 0 || current + weight <= capacity(segment)
}

/// Segments that records of so much weight take at most when they are packed one behind the other, the heaviest of them
/// `largest`, with what is to be left empty.
pub fn packed(segment: u64, live: u64, largest: u64) -> u64 {
    let capacity = capacity(segment);
    // A segment is left for the next when the next record finds no room; any two neighbours hold more than one can.
    let filled = capacity.saturating_sub(largest).max(capacity / 2);
    live.div_ceil((filled - filled / SPARE).max(1))
}

impl Usage {
    /// Segments of today's size that there are, or what is as large.
    pub fn segments(&self) -> u64 {
        self.in_use / self.segment.max(1) + self.free
    }

    /// Segments that a whole turn of the log would win; below 0 where it would need more than it has.
    fn win(&self) -> i64 {
        let there = self.in_use / self.segment.max(1);
        there as i64 - packed(self.segment, self.live, self.largest) as i64
    }

    /// Whether the copies of what lives in the oldest segment find room, so that a step never ends halfway.
    fn has_room_for_a_step(&self) -> bool {
        let padding = BLOCK as u64 * (BROKEN + self.oldest / TOGETHER_LEAST);
        self.free > 0 || self.oldest + padding <= self.room && holds(self.segment, self.current, self.oldest)
    }
}

/// Whether records of `weight` may be added to what lives, of `segments` segments that there are or can be made.
pub fn takes(usage: &Usage, segments: u64, weight: u64, growth: Growth) -> bool {
    // Mail leaves something for the messages that will be made of it.
    let kept = if growth == Growth::Mail { usage.segment / 4 } else { 0 };
    packed(usage.segment, usage.live + weight + kept, usage.largest.max(weight)) + KEPT <= segments
}

/// Whether something that will not live long may take `octets` of the current segment, or of a free one that is begun for it:
/// what the mover needs for its next step must be left, as long as turning the log wins anything.
pub fn leaves_a_step(usage: &Usage, octets: u64, begins_segment: bool) -> bool {
    let octets = blocks(octets as usize) as u64;
    let after = match begins_segment {
        true => Usage {
            free: usage.free.saturating_sub(1),
            current: 0,
            room: usage.segment.saturating_sub(BLOCK as u64 + octets),
            ..*usage
        },
        false => Usage { room: usage.room.saturating_sub(octets), ..*usage },
    };
    after.has_room_for_a_step() || usage.win() < 1
}

/// Segments that a whole turn leaves at most, from what lives in each segment, oldest first: what lives in one is at worst not
/// parted.
pub fn turned(segment: u64, weights: impl Iterator<Item = u64>) -> u64 {
    let capacity = capacity(segment);
    let (mut segments, mut taken) = (0, capacity);
    for weight in weights.filter(|weight| *weight > 0) {
        if taken + weight > capacity {
            (segments, taken) = (segments + 1, 0);
        }
        taken += weight;
    }
    segments
}

/// Whether it is time to move on what lives in the oldest segment; `turned` says what a turn would leave.
pub fn is_due(usage: &Usage, turned: impl FnOnce() -> u64) -> bool {
    if usage.before == 0 || !usage.has_room_for_a_step() {
        return false;
    }
    let there = usage.in_use / usage.segment.max(1);
    let win = |turned: u64| usage.win().max(there as i64 - turned as i64);
    match usage.short {
        // There could be more segments, but what is dead is to be no more than what lives.
        false => {
            let live = usage.live.saturating_sub(usage.current);
            let dead = (usage.before * usage.segment).saturating_sub(live);
            dead >= live.max(usage.segment / 2) && win(turned()) >= 1
        }
        true if usage.free >= KEPT => win(turned()) >= (there / WORTH).max(1) as i64,
        // Without a reserve outcomes will find no room one day.
        true => win(turned()) >= 1,
    }
}

#[cfg(test)]
mod tests;
