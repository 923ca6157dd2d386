use std::collections::VecDeque;

use super::*;
use proptest::prelude::*;

const MIB: u64 = 1 << 20;

/// A log with segments of 64 MiB of which the current one has 10 MiB left.
fn usage(before: u64, live: u64, oldest: u64) -> Usage {
    Usage {
        segment: 64 * MIB,
        in_use: (before + 1) * 64 * MIB,
        before,
        live: live * MIB,
        oldest: oldest * MIB,
        current: 0,
        largest: MIB,
        free: KEPT,
        room: 10 * MIB,
        short: false,
    }
}

/// Whether it is due where nothing is known of single segments.
fn due(usage: Usage) -> bool {
    is_due(&usage, || packed(usage.segment, usage.live, usage.largest))
}

#[test]
fn a_straggler_is_moved_on_and_full_segments_are_not() {
    assert!(!due(usage(0, 0, 0)), "nothing is before the current one");
    assert!(due(usage(1, 1, 1)));
    assert!(due(usage(5, 64, 60)), "the oldest is full of life, but what it pins is dead");
    assert!(!due(usage(5, 300, 60)));
    assert!(!due(usage(1, 40, 40)));
}

#[test]
fn where_room_is_short_a_turn_must_win_something() {
    let short = |before, live, free| Usage { short: true, free, ..usage(before, live, 50) };
    assert!(!due(usage(16, 600, 50)));
    assert!(due(short(16, 600, 2)), "17 segments become 11");
    assert!(!due(short(16, 900, 2)), "17 become 16: that is dear");
    assert!(due(short(16, 900, 1)), "but the reserve is to be whole");
    assert!(!due(short(16, 950, 0)), "nothing would be won");
}

#[test]
fn what_would_find_no_room_stays() {
    let tight = |oldest, free| Usage { free, short: true, ..usage(9, 100, oldest) };
    assert!(due(tight(60, 1)));
    assert!(!due(tight(60, 0)));
    assert!(due(tight(8, 0)), "what the current one has left is enough");
}

/// A log as the rules make it: what is written where, and what lives.
#[derive(Debug)]
struct Model {
    segment: u64,
    /// Oldest first; the last is the current one.
    segments: VecDeque<Part>,
    free: u64,
    largest: u64,
    made: u64,
    moved: u64,
}

#[derive(Debug, Default)]
struct Part {
    /// Octets that are taken, the header included.
    taken: u64,
    /// Weights of what lives in it, and its octets now.
    live: Vec<(u64, u64)>,
}

impl Part {
    fn weight(&self) -> u64 {
        self.live.iter().map(|(weight, _)| weight).sum()
    }
}

const HEADER: u64 = BLOCK as u64;

impl Model {
    fn new(segment: u64, segments: u64) -> Model {
        let first = VecDeque::from([Part { taken: HEADER, live: Vec::new() }]);
        Model { segment, segments: first, free: segments - 1, largest: 0, made: segments, moved: 0 }
    }

    fn current(&mut self) -> &mut Part {
        self.segments.back_mut().expect("there is always one")
    }

    fn usage(&self) -> Usage {
        let weight = |part: Option<&Part>| part.map_or(0, Part::weight);
        Usage {
            segment: self.segment,
            in_use: self.segments.len() as u64 * self.segment,
            before: self.segments.len() as u64 - 1,
            live: self.segments.iter().map(Part::weight).sum(),
            oldest: weight(self.segments.front()),
            current: weight(self.segments.back()),
            largest: self.largest,
            free: self.free,
            room: self.segment - self.segments.back().map_or(0, |part| part.taken),
            short: true,
        }
    }

    fn turned(&self) -> u64 {
        turned(self.segment, self.segments.iter().map(Part::weight))
    }

    fn begin_segment(&mut self) {
        self.free -= 1;
        self.segments.push_back(Part { taken: HEADER, live: Vec::new() });
        self.recycle();
    }

    fn recycle(&mut self) {
        while self.segments.len() > 1 && self.segments.front().is_some_and(|part| part.live.is_empty()) {
            self.segments.pop_front();
            self.free += 1;
        }
    }

    /// Mail comes: a record in a batch of its own, which may grow to `weight`.
    fn mail(&mut self, octets: u64, weight: u64) -> bool {
        if !takes(&self.usage(), self.made, weight, Growth::Mail) || self.free < KEPT {
            return false;
        }
        let usage = self.usage();
        if blocks(octets as usize) as u64 > usage.room || !holds(self.segment, usage.current, weight) {
            if self.free <= KEPT {
                return false;
            }
            self.begin_segment();
        }
        self.largest = self.largest.max(weight);
        self.current().taken += blocks(octets as usize) as u64;
        self.current().live.push((weight, octets));
        true
    }

    /// An outcome comes, in a batch of its own: whether it found room at once.
    fn outcome(&mut self, octets: u64) -> bool {
        let usage = self.usage();
        let octets = blocks(octets as usize) as u64;
        if octets <= usage.room && leaves_a_step(&usage, octets, false) {
            self.current().taken += octets;
            return true;
        }
        if usage.free > 0 && leaves_a_step(&usage, octets, true) {
            self.begin_segment();
            self.current().taken += octets;
            return true;
        }
        false
    }

    /// One step of the mover, while outcomes come wherever they may.
    fn step(&mut self, mut interrupted: impl FnMut() -> u64) {
        let oldest = self.segments.front_mut().expect("it was due");
        let mut batch = BLOCK as u64;
        let records = oldest.live.len();
        for number in 0..records {
            let (weight, _) = self.segments[0].live[0];
            let usage = self.usage();
            // In the worst case it has grown as much as it may.
            batch += weight;
            let taken = weight
                + if number == 0 || batch >= TOGETHER_LEAST {
                    batch = 0;
                    BLOCK as u64
                } else {
                    0
                };
            if taken > usage.room || !holds(self.segment, usage.current, weight) {
                assert!(self.free > 0, "the mover was left halfway: {usage:?}");
                self.free -= 1;
                self.segments.push_back(Part { taken: HEADER, live: Vec::new() });
            }
            self.current().taken += taken.min(self.segment - self.current().taken);
            self.current().live.push((weight, weight));
            self.segments[0].live.remove(0);
            self.moved += weight;
            for _ in 0..interrupted() {
                self.outcome(100);
            }
        }
        self.recycle();
    }

    /// Moves until that is not due any more; how many steps that took.
    fn turn(&mut self, mut interrupted: impl FnMut() -> u64) -> u64 {
        let mut steps = 0;
        while is_due(&self.usage(), || self.turned()) {
            self.step(&mut interrupted);
            steps += 1;
            assert!(steps < 3 * self.made, "moved in circles: {:?}", self.usage());
        }
        steps
    }
}

/// What happens.
#[derive(Clone, Debug)]
enum Happening {
    Mail { octets: u64, grows: u64 },
    Fill { octets: u64, grows: u64 },
    Outcomes { count: u64, octets: u64 },
    Done { nth: usize, count: usize },
}

fn happenings() -> impl Strategy<Value = Vec<Happening>> {
    let octets = || prop_oneof![200u64..2_000, 200u64..20_000, 100_000u64..110_000];
    let happening = prop_oneof![
        2 => (octets(), 90u64..3_000).prop_map(|(octets, grows)| Happening::Mail { octets, grows }),
        1 => (octets(), 90u64..3_000).prop_map(|(octets, grows)| Happening::Fill { octets, grows }),
        3 => (1u64..300, 60u64..9_000).prop_map(|(count, octets)| Happening::Outcomes { count, octets }),
        1 => (any::<usize>(), 1usize..60).prop_map(|(nth, count)| Happening::Done { nth, count }),
    ];
    proptest::collection::vec(happening, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever came before: every outcome finds room, at once or when the mover has turned the log; the mover is never left
    /// halfway, moves nothing in circles, and brings the reserve back.
    #[test]
    fn in_every_history_outcomes_find_room_and_nothing_is_moved_in_circles(
        segments in 4u64..20,
        segment in prop_oneof![Just(128u64 << 10), Just(320 << 10), Just(1 << 20)],
        happenings in happenings(),
        interruptions in any::<u8>(),
    ) {
        let mut log = Model::new(segment, segments);
        let mut beat = 0u64;
        let mut interrupted = || { beat += 1; u64::from(beat % 8 < u64::from(interruptions % 8)) };
        for happening in happenings {
            match happening {
                Happening::Mail { octets, grows } => { log.mail(octets, octets + grows); }
                Happening::Fill { octets, grows } => while log.mail(octets, octets + grows) {},
                Happening::Outcomes { count, octets } => for _ in 0..count {
                    let mut turns = 0;
                    while !log.outcome(octets) {
                        prop_assert!(is_due(&log.usage(), || log.turned()), "nobody wins room: {:?}", log.usage());
                        log.step(&mut interrupted);
                        turns += 1;
                        prop_assert!(turns <= 2 * segments, "an outcome finds no room: {:?}", log.usage());
                    }
                },
                Happening::Done { nth, count } => for _ in 0..count {
                    let place = nth % log.segments.len();
                    log.segments[place].live.pop();
                    log.recycle();
                },
            }
            prop_assert!(packed(segment, log.usage().live, log.largest) + KEPT <= segments);
        }
        log.turn(|| 0);
        prop_assert!(log.free >= KEPT, "the reserve does not come back: {:?}", log.usage());
        let moved = log.moved;
        log.turn(|| 0);
        prop_assert_eq!(moved, log.moved, "moved again, for nothing");
        // When all has gone, all is free again.
        log.segments.iter_mut().for_each(|part| part.live.clear());
        log.recycle();
        prop_assert!(log.free + 1 == segments && log.mail(1000, 1000));
    }

    /// What `packed` says is never less than what records take when they are packed.
    #[test]
    fn records_take_no_more_segments_than_is_reckoned(
        segment in prop_oneof![Just(128u64 << 10), Just(320 << 10), Just(64 << 20)],
        weights in proptest::collection::vec(prop_oneof![200u64..2_000, 200u64..20_000, 60_000u64..110_000], 0..600),
    ) {
        let (mut taken, mut used) = (0, 0);
        for weight in &weights {
            if used == 0 || used + weight > capacity(segment) {
                (taken, used) = (taken + 1, 0);
            }
            used += weight;
        }
        let largest = weights.iter().copied().max().unwrap_or(0);
        prop_assert!(taken <= packed(segment, weights.iter().sum(), largest));
        // And not parted where they are together now, they take no fewer.
        let parts = weights.chunks(3).map(|part| part.iter().sum::<u64>()).filter(|part| *part <= capacity(segment));
        let parts: Vec<_> = parts.collect();
        prop_assert!(turned(segment, parts.iter().copied()) >= parts.iter().sum::<u64>().div_ceil(capacity(segment)));
        prop_assert!(turned(segment, parts.iter().copied()) <= parts.len() as u64);
    }
}
