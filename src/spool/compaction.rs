//! Whether the messages of the oldest segment are to be moved on, so that it and those behind it can be used again: decided
//! here, without I/O.
//!
//! Segments are freed oldest first, so one message that stays pins all that came after it. Moving it costs a copy; so it is
//! done when what is dead behind the oldest message is worth it: as much as what lives, or where room is short one segment.

use crate::io::aligned::BLOCK;

/// Free segments that new mail leaves alone: one for outcomes, and one to move records into.
pub const KEPT: u64 = 2;

/// What is known of a log's segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Octets of a segment.
    pub segment: u64,
    /// Segments in use before the current one.
    pub before: u64,
    /// Octets of records in them that are still needed.
    pub live: u64,
    /// Octets of the oldest segment's records that are still needed.
    pub oldest_live: u64,
    /// Octets of the current segment's records that are needed.
    pub current_live: u64,
    /// Segments that are free.
    pub free: u64,
    /// Octets that the current segment has left.
    pub room: u64,
    /// No further segment can be prepared.
    pub short: bool,
}

/// How much the copies of records may be larger than they: each batch begins at a fresh block.
const LOSS: u64 = 64;

/// Whether it is time to move on what lives in the oldest segment.
pub fn is_due(usage: Usage) -> bool {
    if usage.before == 0 {
        return false;
    }
    let dead = (usage.before * usage.segment).saturating_sub(usage.live);
    let dead_in_current = usage.segment.saturating_sub(usage.room + usage.current_live);
    let worth_it = match usage.short {
        false => dead >= usage.live.max(usage.segment / 2),
        true if usage.free >= KEPT => dead >= usage.segment,
        // Without a reserve outcomes will find no room one day: it is made whole again whatever that costs.
        true => dead + dead_in_current >= usage.segment / 4,
    };
    worth_it && fits(usage)
}

/// The copies must find room, or moving would end halfway and have taken what outcomes need.
fn fits(usage: Usage) -> bool {
    let needed = usage.oldest_live + usage.oldest_live / LOSS + 4 * BLOCK as u64;
    needed <= usage.room + usage.free * usage.segment
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn usage(before: u64, live: u64, oldest_live: u64) -> Usage {
        Usage {
            segment: 64 * MIB,
            before,
            live: live * MIB,
            oldest_live: oldest_live * MIB,
            current_live: 54 * MIB,
            free: KEPT,
            room: 10 * MIB,
            short: false,
        }
    }

    #[test]
    fn a_straggler_is_moved_on_and_full_segments_are_not() {
        assert!(!is_due(usage(0, 0, 0)), "nothing is before the current one");
        assert!(is_due(usage(1, 1, 1)));
        assert!(is_due(usage(5, 64, 64)), "the oldest is full of life, but what it pins is dead");
        assert!(!is_due(usage(5, 300, 60)));
        assert!(!is_due(usage(1, 40, 40)));
    }

    #[test]
    fn where_room_is_short_one_segment_is_worth_it_and_less_where_the_reserve_is_in_use() {
        let short = |live, free| Usage { short: true, free, ..usage(5, live, 50) };
        assert!(!is_due(usage(5, 250, 50)));
        assert!(is_due(short(250, 2)));
        assert!(!is_due(short(257, 2)), "too little would be won");
        assert!(is_due(short(300, 1)));
        assert!(!is_due(short(310, 1)), "nothing would be won");
        assert!(
            is_due(Usage { current_live: 20 * MIB, ..short(310, 1) }),
            "what is dead in the current one is won in time"
        );
    }

    #[test]
    fn what_would_find_no_room_stays() {
        let tight = |oldest_live, free| Usage { free, short: true, ..usage(9, 100, oldest_live) };
        assert!(is_due(tight(64, 1)));
        assert!(!is_due(tight(64, 0)));
        assert!(is_due(tight(8, 0)), "what the current one has left is enough");
    }
}
