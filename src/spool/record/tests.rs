use super::*;
use crate::mail::{CipherSuite, Tls, TlsVersion, Username};
use crate::spool::outcome::OutcomeResult;
use proptest::prelude::*;

const KEY: Key = Key(0x0123_4567_89AB_CDEF);

fn envelope() -> Envelope {
    let mut envelope = crate::spool::envelope_codec::tests::usual(1);
    envelope.client.address = "[2001:db8::1]:25".parse().expect("an address");
    envelope.client.tls = CipherSuite::all().next().map(|cipher| Tls { version: TlsVersion::Tls13, cipher });
    envelope.client.user = Username::parse("you@example.org").ok();
    envelope
}

proptest! {
    #[test]
    fn a_message_reads_back(body in proptest::collection::vec(any::<u8>(), 0..2000), chain in 0usize..4, flags in 0u8..16) {
        let extents: Vec<_> = (0..chain as u32).map(|n| Extent { epoch: 9, offset: n * 4096, head: 90, octets: 100 + n }).collect();
        let content = Content {
            octets: body.len() as u64, header_octets: 3, longest_line: 998,
            eight_bit: flags & 1 > 0, bare_cr: flags & 2 > 0, bare_lf: flags & 4 > 0, dot_stuffed: flags & 8 > 0,
        };
        let mut draft = Draft::message(&envelope(), &extents, vec![1, 2, 3]);
        draft.push(&body);
        draft.set_findings(&content);
        let mut place = vec![0xAA; draft.stride() + 7];
        draft.write(KEY, Kind::Message, 12, 4096, &mut place);

        let header = Header::decode(&place, KEY).expect("a header");
        prop_assert!(header.matches(&place));
        prop_assert_eq!((header.kind, header.epoch, header.id, header.batch), (Kind::Message, 12, MessageId(77), 4096));
        let message = Message::decode(&header, &place, 8192).expect("a message");
        prop_assert_eq!(&message.envelope, &envelope());
        prop_assert_eq!(message.content, content);
        prop_assert_eq!(&message.extents[..chain], &extents[..]);
        let own = message.extents[chain];
        prop_assert_eq!((own.offset, own.record_octets()), (8192, header.length as usize));
        let start = own.head as usize;
        prop_assert_eq!(&place[start..start + own.octets as usize], &body[..]);
    }

    #[test]
    fn fields_read_back_and_extents_can_move(
        places in proptest::collection::vec(any::<u32>(), 0..5),
        with in 0u8..4,
        notes in proptest::collection::vec(any::<u8>(), 0..300),
        chain in 0usize..4,
    ) {
        let origin = (with & 1 > 0).then_some(Origin { parent: MessageId(76), places });
        let progress = (with & 2 > 0).then(|| {
            let mut progress = Progress::new(1);
            let reason = "full".into();
            let result = OutcomeResult::Deferred { not_before: 5, attempts: 2, reason };
            progress.apply(&[Outcome { recipient: 0, result }]);
            progress.hold(true);
            progress
        });
        let fields = Fields { progress, origin, notes };
        let extents: Vec<_> = (0..chain as u32).map(|n| Extent { epoch: 9, offset: n, head: 90, octets: 1 }).collect();
        let moved: Vec<_> = extents.iter().map(|extent| Extent { epoch: 12, ..*extent }).collect();
        let mut draft = Draft::message_with(&envelope(), &extents, &fields, Vec::new());
        draft.push(b"content");
        draft.set_extents(&moved);
        let mut place = vec![0; draft.stride()];
        draft.write(KEY, Kind::Message, 12, 4096, &mut place);
        let header = Header::decode(&place, KEY).expect("a header");
        let message = Message::decode(&header, &place, 0).expect("a message");
        prop_assert_eq!(&message.fields, &fields);
        prop_assert_eq!(&message.extents[..chain], &moved[..]);
        // What is not understood is not believed.
        let mut unknown = Draft::message(&envelope(), &[], Vec::new());
        put_field(99, b"obey", &mut unknown.octets);
        unknown.used = unknown.octets.len();
        unknown.envelope = unknown.used - HEADER;
        let mut place = vec![0; unknown.stride()];
        unknown.write(KEY, Kind::Message, 12, 4096, &mut place);
        let header = Header::decode(&place, KEY).expect("a header");
        prop_assert_eq!(Message::decode(&header, &place, 0), Err(Malformed));
    }

    #[test]
    fn what_is_received_in_place_is_written_as_what_is_pushed(
        sizes in proptest::collection::vec(1usize..100_000, 0..6),
        chain in 0usize..40,
    ) {
        let extents: Vec<_> = (0..chain as u32).map(|n| Extent { epoch: 9, offset: n, head: 90, octets: 1 }).collect();
        let memory = Memory::default();
        // Memory that was used before, in which anything may stand.
        let mut used = Draft::receiving(&envelope(), &[], &Fields::default(), &memory);
        while !used.room(&memory).is_empty() {
            let room = used.room(&memory);
            room.fill(0xEE);
            let octets = room.len();
            used.received(octets);
        }
        memory.give(used);
        let mut pushed = Draft::message(&envelope(), &extents, Vec::new());
        let mut received = Draft::receiving(&envelope(), &extents, &Fields::default(), &memory);
        for (number, size) in sizes.into_iter().enumerate() {
            let room = received.room(&memory);
            let size = size.min(room.len());
            room[..size].fill(number as u8);
            received.received(size);
            pushed.push(&vec![number as u8; size]);
        }
        received.set_extents(&extents);
        received.close();
        prop_assert_eq!((received.stride(), received.content_octets()), (pushed.stride(), pushed.content_octets()));
        let (mut place, mut other) = (vec![1; pushed.stride()], vec![2; pushed.stride()]);
        pushed.write(KEY, Kind::Message, 12, 4096, &mut place);
        received.write(KEY, Kind::Message, 12, 4096, &mut other);
        prop_assert!(place == other, "copied whole");
        if received.has_pieces() {
            let mut parts = vec![3; received.front()];
            let pieces: Vec<_> = received.write_front(KEY, Kind::Message, 12, 4096, &mut parts).collect();
            pieces.iter().for_each(|(piece, end)| parts.extend_from_slice(&piece[..*end]));
            prop_assert!(parts.len().is_multiple_of(BLOCK) && parts[..place.len()] == place[..]);
            prop_assert!(parts[place.len()..].iter().all(|octet| *octet == 0), "zeros behind the record");
        }
    }

    #[test]
    fn a_changed_octet_is_noticed(position in 0usize..400, change in 1u8..=255) {
        let mut draft = Draft::message(&envelope(), &[], Vec::new());
        draft.push(&[b'x'; 300]);
        let mut place = vec![0; draft.stride()];
        draft.write(KEY, Kind::Message, 12, 4096, &mut place);
        let header = Header::decode(&place, KEY).expect("a header");
        place[position] ^= change;
        prop_assert!(Header::decode(&place, KEY) != Some(header) || !header.matches(&place));
    }

    #[test]
    fn a_record_of_another_log_is_none(other in any::<u64>()) {
        prop_assume!(other != KEY.0);
        let draft = Draft::message(&envelope(), &[], Vec::new());
        let mut place = vec![0; draft.stride()];
        draft.write(Key(other), Kind::Message, 12, 4096, &mut place);
        prop_assert_eq!(Header::decode(&place, KEY), None);
    }

    #[test]
    fn any_octets_are_read_without_harm(octets in proptest::collection::vec(any::<u8>(), 0..300), length in 0u32..300, section in 0u32..300) {
        let _ = Header::decode(&octets, KEY);
        let header = Header { kind: Kind::Message, epoch: 1, id: MessageId(1), length: length.max(HEADER as u32 + section), envelope: section, checksum: 0, batch: 0 };
        let _ = header.matches(&octets);
        let _ = Message::decode(&header, &octets, u32::MAX);
        let _ = outcomes(&header, &octets);
    }
}
