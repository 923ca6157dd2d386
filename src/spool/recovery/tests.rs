use super::*;
use crate::io::aligned::BLOCK;
use crate::mail::{Content, Envelope};
use crate::spool::group_commit::GroupCommit;
use crate::spool::outcome::OutcomeResult;
use crate::spool::record::{ALIGNMENT, Draft, Fields, Memory, Origin};
use crate::spool::segment::encode_header;
use proptest::prelude::*;

const KEY: Key = Key(0x0123_4567_89AB_CDEF);
const OCTETS: usize = 64 * BLOCK;

fn envelope(id: u64) -> Envelope {
    crate::spool::envelope_codec::tests::plain(id, id, &["a@localhost", "b@localhost"])
}

fn message(id: u64, content: usize, extents: &[Extent]) -> Draft {
    let mut draft = Draft::message(&envelope(id), extents, Vec::new());
    draft.push(&vec![b'x'; content]);
    draft.set_findings(&Content { octets: content as u64, ..Content::default() });
    draft
}

fn outcome(recipient: u32, result: OutcomeResult) -> Outcome {
    Outcome { recipient, result }
}

/// A segment as the group commit writes it.
struct Segment {
    group: GroupCommit,
    octets: Vec<u8>,
    epoch: u64,
}

impl Segment {
    fn over(mut octets: Vec<u8>, epoch: u64) -> Segment {
        let mut group = GroupCommit::new(KEY, OCTETS);
        encode_header(group.begin_segment(epoch, 1), &mut octets);
        group.header_ended(epoch);
        Segment { group, octets, epoch }
    }

    fn new(epoch: u64) -> Segment {
        Segment::over(vec![0; OCTETS], epoch)
    }

    /// Writes records as one batch; where each stands.
    fn batch(&mut self, drafts: &[(&Draft, Kind)]) -> Vec<Extent> {
        let place = |(draft, kind): &(&Draft, Kind)| {
            let placed = self.group.place(draft, *kind).expect("there is room");
            draft.extent(self.epoch, placed.offset)
        };
        let places = drafts.iter().map(place).collect();
        while let Some(write) = self.group.leave() {
            let parts = std::iter::once(&write.buffer[write.range.clone()]);
            let mut offset = write.offset as usize;
            for octets in parts.chain(write.rest.iter().map(|part| part.octets(&write.buffer))) {
                self.octets[offset..offset + octets.len()].copy_from_slice(octets);
                offset += octets.len();
            }
            self.group.returned(write.buffer);
        }
        places
    }

    fn message(&mut self, id: u64, content: usize) -> Extent {
        self.batch(&[(&message(id, content, &[]), Kind::Message)])[0]
    }
}

/// A message as a client's is received.
fn received(id: u64, content: usize, memory: &Memory) -> Draft {
    let mut draft = Draft::receiving(&envelope(id), &[], &Fields::default(), memory);
    let mut left = content;
    while left > 0 {
        let room = draft.room(memory);
        let octets = room.len().min(left);
        room[..octets].fill(b'y');
        draft.received(octets);
        left -= octets;
    }
    draft.set_findings(&Content { octets: content as u64, ..Content::default() });
    draft.close();
    draft
}

#[test]
fn records_that_are_written_from_pieces_stand_among_others() {
    let memory = Memory::default();
    let mut segment = Segment::new(7);
    let sizes = [100, 40_000, 0, 70_000, 17_000, 5, 16_384];
    let drafts: Vec<_> = sizes.iter().enumerate().map(|(id, size)| received(id as u64, *size, &memory)).collect();
    assert_eq!(drafts.iter().filter(|draft| draft.has_pieces()).count(), 4, "the others have no more than a front");
    let places = segment.batch(&drafts.iter().map(|draft| (draft, Kind::Message)).collect::<Vec<_>>());
    let behind = segment.message(99, 10);
    let (recovered, damage) = recover(7, &segment.octets, behind.offset + behind.record_octets() as u32);
    assert_eq!((ids(&recovered.survivors), damage), (vec![0, 1, 2, 3, 4, 5, 6, 99], vec![]));
    let found: Vec<_> = recovered.survivors.iter().map(|survivor| survivor.record).collect();
    assert_eq!(found[..7], places);
    for (place, size) in places.iter().zip(sizes) {
        let content = &segment.octets[place.offset as usize..][place.head as usize..][..place.octets as usize];
        assert!(content.len() == size && content.iter().all(|octet| *octet == b'y'));
    }
}

/// What recovery makes of a whole log.
struct All {
    survivors: Vec<Survivor>,
    lacking: Vec<Survivor>,
    records: u64,
    newest: Option<MessageId>,
}

impl All {
    fn of(mut recovery: Recovery, found: impl IntoIterator<Item = Found>) -> All {
        let (mut survivors, mut lacking) = (Vec::new(), Vec::new());
        for found in found {
            survivors.extend(found.survivors);
            lacking.extend(found.lacking);
        }
        lacking.extend(recovery.lacking());
        survivors.sort_by_key(|survivor| survivor.id);
        All { survivors, lacking, records: recovery.records(), newest: recovery.newest() }
    }
}

/// What recovery makes of one segment, and the damage in it.
fn recover(epoch: u64, octets: &[u8], sealed: u32) -> (All, Vec<Range<usize>>) {
    let mut recovery = Recovery::new(KEY);
    let found = recovery.read_segment(epoch, octets, sealed);
    let damage = found.damage.clone();
    (All::of(recovery, [found]), damage)
}

fn ids(messages: &[Survivor]) -> Vec<u64> {
    messages.iter().map(|survivor| survivor.id.0).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn octets_that_mean_nothing_are_read_without_harm(
        octets in proptest::collection::vec(any::<u8>(), 0..3 * BLOCK),
        epoch: u64,
        sealed: u32,
    ) {
        let (recovered, _) = recover(epoch, &octets, sealed);
        prop_assert_eq!((recovered.survivors.len(), recovered.records), (0, 0));
        prop_assert_eq!(incarnation(KEY, &octets), None);
    }

    #[test]
    fn damage_is_found_and_spares_the_others(
        sizes in proptest::collection::vec(0usize..9000, 2..12),
        start in BLOCK..OCTETS,
        garbage in proptest::collection::vec(1u8..=255, 1..20_000),
    ) {
        let mut segment = Segment::new(7);
        let places: Vec<_> = sizes.iter().enumerate().map(|(id, size)| segment.message(id as u64, *size)).collect();
        let end = (start + garbage.len()).min(OCTETS);
        let hit = |place: &Extent| {
            (place.offset as usize) < end && start < place.offset as usize + place.record_octets()
        };
        let known = places.last().map_or(0, |place| place.offset + place.record_octets() as u32);
        segment.octets[start..end].iter_mut().zip(&garbage).for_each(|(octet, change)| *octet ^= change);

        let (recovered, damage) = recover(7, &segment.octets, known);
        let spared: Vec<_> = (0..places.len() as u64).filter(|id| !hit(&places[*id as usize])).collect();
        prop_assert_eq!(&ids(&recovered.survivors), &spared);
        for place in places.iter().filter(|place| hit(place)) {
            let kept = |range: &Range<usize>| range.start <= place.offset as usize
                && place.offset as usize + place.record_octets() <= range.end;
            prop_assert!(damage.iter().any(kept), "{place:?} {damage:?}");
        }
        // Damage to what lies between records is damage too.
        let last_whole = spared.last().map_or(BLOCK, |id| places[*id as usize].offset as usize);
        let is_whole = |octet: usize| places.iter().filter(|place| !hit(place)).any(|place| {
            let stride = place.record_octets().next_multiple_of(ALIGNMENT);
            (place.offset as usize..place.offset as usize + stride).contains(&octet)
        });
        let (_, without_successor) = recover(7, &segment.octets, 0);
        prop_assert_eq!(
            without_successor.is_empty(),
            (start..end.min(last_whole)).all(is_whole),
            "a later batch says as much"
        );
        for range in damage {
            prop_assert!(range.start < end && start < range.end, "{range:?} was not damaged");
        }
    }

    #[test]
    fn what_is_torn_was_never_told_and_is_no_damage(
        before in 0usize..4,
        last in proptest::collection::vec(0usize..5000, 1..6),
        keeps in proptest::collection::vec(any::<bool>(), 128),
    ) {
        let mut segment = Segment::over(vec![0; OCTETS], 3);
        for id in 0..before {
            segment.message(id as u64, 3000);
        }
        let untorn = segment.octets.clone();
        let drafts: Vec<_> = last.iter().enumerate().map(|(id, size)| message(100 + id as u64, *size, &[])).collect();
        let places = segment.batch(&drafts.iter().map(|draft| (draft, Kind::Message)).collect::<Vec<_>>());
        let whole = segment.octets.clone();
        let first = places[0].offset as usize;
        for (sector, _) in keeps.iter().enumerate().filter(|(_, kept)| !**kept) {
            let range = (first + sector * 512).min(OCTETS)..(first + (sector + 1) * 512).min(OCTETS);
            segment.octets[range.clone()].copy_from_slice(&untorn[range]);
        }

        let (recovered, damage) = recover(3, &segment.octets, 0);
        prop_assert!(damage.is_empty(), "{damage:?}");
        let is_whole = |place: &Extent| {
            let range = place.offset as usize..place.offset as usize + place.record_octets();
            segment.octets[range.clone()] == whole[range]
        };
        let there: Vec<_> = (0..before as u64)
            .chain((0..places.len()).filter(|at| is_whole(&places[*at])).map(|at| 100 + at as u64))
            .collect();
        prop_assert_eq!(ids(&recovered.survivors), there);
    }
}

#[test]
fn what_an_earlier_incarnation_left_is_neither_mail_nor_damage() {
    let mut old = Segment::new(5);
    for id in 0..20 {
        old.message(id, 5000);
    }
    let mut new = Segment::over(old.octets, 6);
    for id in 100..103 {
        new.message(id, 700);
    }
    let (recovered, damage) = recover(6, &new.octets, 0);
    assert_eq!((ids(&recovered.survivors), damage), (vec![100, 101, 102], vec![]));
    assert_eq!(recovered.newest, Some(MessageId(102)));
    assert_eq!(incarnation(KEY, &new.octets), Some(6));
    new.octets[SEGMENT_HEADER..SEGMENT_HEADER + 12 * BLOCK].fill(0xEE);
    assert_eq!(incarnation(KEY, &new.octets), Some(5));
}

#[test]
fn a_message_that_lacks_a_chunk_is_reported_unless_it_is_resolved() {
    let write = |with_chunk: bool, resolved: bool| {
        let mut segment = Segment::new(1);
        let chunk = message(9, 4000, &[]);
        let chunk = segment.batch(&[(&chunk, Kind::Chunk)])[0];
        segment.batch(&[(&message(9, 10, &[chunk]), Kind::Message)]);
        if resolved {
            let outcomes = [outcome(0, OutcomeResult::Delivered), outcome(1, OutcomeResult::Returned)];
            segment.batch(&[(&Draft::outcomes(MessageId(9), &outcomes), Kind::Outcomes)]);
        }
        if !with_chunk {
            segment.octets[chunk.offset as usize + 100] ^= 1;
        }
        let recovered = recover(1, &segment.octets, 0).0;
        (ids(&recovered.survivors), ids(&recovered.lacking))
    };
    assert_eq!(write(true, false), (vec![9], vec![]));
    assert_eq!(write(false, false), (vec![], vec![9]));
    assert_eq!(write(false, true), (vec![], vec![]));
}

#[test]
fn outcomes_say_what_is_left_to_do() {
    let deferred = |not_before, attempts| OutcomeResult::Deferred { not_before, attempts, reason: "full".into() };
    let mut segment = Segment::new(1);
    for id in 1..4 {
        segment.message(id, 10);
    }
    for (id, outcomes) in [
        (1, vec![outcome(0, OutcomeResult::Delivered), outcome(1, deferred(50, 1))]),
        (1, vec![outcome(1, deferred(70, 2))]),
        (2, vec![outcome(1, OutcomeResult::Delivered)]),
        (2, vec![outcome(1, OutcomeResult::Delivered), outcome(0, OutcomeResult::Returned)]),
        (3, vec![outcome(0, OutcomeResult::Delivered), outcome(7, OutcomeResult::Delivered)]),
        (99, vec![outcome(0, OutcomeResult::Delivered)]),
    ] {
        segment.batch(&[(&Draft::outcomes(MessageId(id), &outcomes), Kind::Outcomes)]);
    }
    let recovered = recover(1, &segment.octets, 0).0;
    assert_eq!(ids(&recovered.survivors), [1, 3], "an outcome for nobody resolves nobody");
    let progress = &recovered.survivors[0].progress;
    let left: Vec<_> = progress.pending().iter().map(|pending| pending.place).collect();
    assert_eq!((progress.due(), progress.attempts(), left), (70, 2, vec![1]));
    assert_eq!(recovered.newest, Some(MessageId(99)));
}

#[test]
fn the_copy_of_a_message_that_was_moved_on_stands_for_it() {
    let mut old = Segment::new(1);
    let first = old.message(1, 700);
    old.message(2, 10);
    let mut progress = Progress::new(2);
    progress.apply(&[outcome(0, OutcomeResult::Delivered)]);
    progress.hold(true);
    let fields = Fields { progress: Some(progress.clone()), ..Fields::default() };
    let mut copy = Draft::message_with(&envelope(1), &[], &fields, Vec::new());
    copy.push(&vec![b'x'; 700]);
    let mut new = Segment::new(2);
    let second = new.batch(&[(&copy, Kind::Message)])[0];
    for with_the_old_one in [true, false] {
        let mut recovery = Recovery::new(KEY);
        let mut read = vec![recovery.read_segment(2, &new.octets, 0)];
        if with_the_old_one {
            read.push(recovery.read_segment(1, &old.octets, 0));
        }
        let recovered = All::of(recovery, read);
        let found = recovered.survivors.iter().find(|survivor| survivor.id == MessageId(1)).expect("it is there");
        assert_eq!((found.record, &found.progress), (second, &progress));
        assert_ne!(found.record, first);
    }
    // What became of it after the copy was made counts.
    new.batch(&[(&Draft::outcomes(MessageId(1), &[outcome(1, OutcomeResult::Delivered)]), Kind::Outcomes)]);
    let mut recovery = Recovery::new(KEY);
    let read = [recovery.read_segment(2, &new.octets, 0), recovery.read_segment(1, &old.octets, 0)];
    assert_eq!(ids(&All::of(recovery, read).survivors), [2]);
}

#[test]
fn a_child_takes_over_recipients_of_its_parent_and_names_its_content() {
    let mut segment = Segment::new(1);
    let content = segment.message(1, 700);
    let origin = Origin { parent: MessageId(1), places: vec![1] };
    let fields = Fields { origin: Some(origin), ..Fields::default() };
    let child = Draft::message_with(&envelope(2), &[content], &fields, Vec::new());
    segment.batch(&[(&child, Kind::Message)]);
    let recovered = recover(1, &segment.octets, 0).0;
    assert_eq!((ids(&recovered.survivors), ids(&recovered.lacking)), (vec![1, 2], vec![]));
    assert_eq!(recovered.survivors[0].progress.pending().len(), 1);
    assert_eq!(*recovered.survivors[1].chunks, [content]);
    segment.batch(&[(&Draft::outcomes(MessageId(1), &[outcome(0, OutcomeResult::Delivered)]), Kind::Outcomes)]);
    let recovered = recover(1, &segment.octets, 0).0;
    assert_eq!((ids(&recovered.survivors), ids(&recovered.lacking)), (vec![2], vec![]));
    let at = content.offset as usize + 100;
    segment.octets[at] ^= 1;
    let recovered = recover(1, &segment.octets, 0).0;
    assert_eq!((ids(&recovered.survivors), ids(&recovered.lacking)), (vec![], vec![2]), "its content is gone");
}

#[test]
fn what_is_held_stays_held_until_it_is_released() {
    let mut segment = Segment::new(1);
    segment.message(1, 10);
    for held in [true, false, true] {
        segment.batch(&[(&Draft::hold(MessageId(1), held), Kind::Hold), (&Draft::mark(), Kind::Mark)]);
        let recovered = recover(1, &segment.octets, 0).0;
        assert_eq!((recovered.survivors[0].progress.is_held(), recovered.newest), (held, Some(MessageId(1))));
    }
}

/// What a log says does not depend on how it is cut into pieces, nor on which segment holds what: a message goes on as soon as the
/// segment is read that holds the first octet of it.
#[test]
fn messages_go_on_as_soon_as_all_of_them_is_read() {
    let mut oldest = Segment::new(1);
    oldest.message(1, 100);
    let chunk = oldest.batch(&[(&message(2, 4000, &[]), Kind::Chunk)])[0];
    let mut middle = Segment::new(2);
    middle.batch(&[(&message(2, 10, &[chunk]), Kind::Message)]);
    middle.message(3, 100);
    middle.message(4, 100);
    let mut newest = Segment::new(3);
    let delivered = [outcome(0, OutcomeResult::Delivered), outcome(1, OutcomeResult::Delivered)];
    newest.batch(&[(&Draft::outcomes(MessageId(4), &delivered), Kind::Outcomes)]);
    newest.batch(&[(&Draft::outcomes(MessageId(1), &delivered[..1]), Kind::Outcomes)]);
    newest.message(5, 100);
    for piece in [1, 100, 5000, usize::MAX] {
        let mut recovery = Recovery::new(KEY);
        let mut read = |epoch, segment: &Segment| {
            let mut scan = Scan::new(epoch, 0);
            while scan.step(&mut recovery, &segment.octets, piece) {}
            recovery.end_segment(scan)
        };
        assert_eq!(ids(&read(3, &newest).survivors), [5]);
        assert_eq!(ids(&read(2, &middle).survivors), [3], "4 is done, and of 2 a part is missing");
        let last = read(1, &oldest);
        assert_eq!((ids(&last.survivors), last.lacking.len()), (vec![1, 2], 0));
        assert_eq!(last.survivors[0].progress.pending().len(), 1);
        assert!(recovery.lacking().is_empty());
    }
    // Where the oldest cannot be read, what is missing is known as soon as that is.
    let mut recovery = Recovery::new(KEY);
    recovery.read_segment(3, &newest.octets, 0);
    recovery.read_segment(2, &middle.octets, 0);
    assert_eq!(ids(&recovery.end_segment(Scan::new(1, 0)).lacking), [2]);
}

#[test]
fn a_segment_without_a_record_says_nothing_of_the_last_batch_before_it() {
    let mut before = Segment::new(1);
    before.message(1, 100);
    let last = before.message(2, 9000);
    before.octets[last.offset as usize + 5000] ^= 1;
    let mut behind = Segment::new(2);
    let blank = behind.octets.clone();
    behind.message(3, 100);
    let sealed = last.offset + last.record_octets() as u32;
    let damage = |behind: &[u8]| {
        let mut recovery = Recovery::new(KEY);
        recovery.read_segment(2, behind, 0);
        recovery.read_segment(1, &before.octets, sealed).damage.len()
    };
    assert_eq!(damage(&behind.octets), 1, "a batch behind it was written, so it had been");
    assert_eq!(damage(&blank), 0, "it may have been on its way still");
    // Of one that cannot be read nobody knows.
    let mut recovery = Recovery::new(KEY);
    recovery.end_segment(recovery.scan(2, 0));
    assert_eq!(recovery.read_segment(1, &before.octets, sealed).damage.len(), 1);
}
