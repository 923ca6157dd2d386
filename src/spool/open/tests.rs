use std::time::Duration;

use super::*;
use crate::io::sim::{Fault, Operation, SimMachine, World, errno, seeds};
use crate::mail::{Content, Envelope};
use crate::spool::log::Purpose;
use crate::spool::record::{Draft, Fields, Kind, Origin};
use crate::spool::{Outcome, OutcomeResult, StoreError};

const LOG: &str = "/log";

fn settings(segment_octets: u64) -> Settings {
    Settings {
        segment_octets,
        prepared: 1,
        max_segments: 16,
        reserve_octets: 0,
        max_messages: 100,
        longest_delay: Duration::from_secs(60),
    }
}

async fn open(machine: SimMachine, segment_octets: u64) -> Opened<SimMachine> {
    let opened = Spool::open(machine, LOG.as_ref(), settings(segment_octets), Box::new(|_| {}));
    opened.await.expect("any state of a log can be opened")
}

fn envelope(id: u64) -> Envelope {
    crate::spool::envelope_codec::tests::plain(id, 1, &["you@localhost"])
}

async fn store(spool: &Spool<SimMachine>, id: u64, content: &[u8]) {
    let mut incoming = spool.incoming(envelope(id));
    incoming.push(content).await.expect("there is room");
    incoming.commit(&Content::default()).await.expect("there is room");
}

async fn content(spool: &Spool<SimMachine>, id: u64) -> Vec<u8> {
    let stored = spool.read(MessageId(id)).await.expect("it is there");
    let mut all = Vec::new();
    let read = spool.read_content(&stored, async |slice| {
        all.extend_from_slice(slice);
        Ok(())
    });
    read.await.expect("it is whole");
    all
}

fn names(world: &World) -> Vec<String> {
    world.disk().list(LOG).expect("it is there")
}

#[test]
fn a_log_is_made_and_found_again() {
    let world = World::new(1);
    let machine = world.machine();
    let large: Vec<_> = (0..600_000u32).map(|number| number as u8).collect();
    world.block_on(async {
        let opened = open(machine, 512 * 1024).await;
        assert_eq!((opened.messages, opened.records, opened.newest), (0, 0, None));
        store(&opened.spool, 7, b"small").await;
        store(&opened.spool, 8, &large).await;
    });
    world.crash();
    let machine = world.restart();
    world.block_on(async {
        let opened = open(machine, 512 * 1024).await;
        assert_eq!((opened.messages, opened.records, opened.newest), (2, 4, Some(MessageId(8))));
        assert_eq!(opened.quarantined, Vec::<PathBuf>::new());
        assert_eq!(opened.spool.take_due(), Some(MessageId(7)));
        assert_eq!(content(&opened.spool, 7).await, b"small");
        assert!(content(&opened.spool, 8).await == large);
    });
}

#[test]
fn what_was_never_finished_goes_and_what_is_not_ours_stays() {
    let world = World::new(1);
    world.disk().make_directory(LOG).expect("the disk is empty");
    for name in ["segment-000004.new", "segment-000009", "notes", "segment-"] {
        world.disk().write(format!("{LOG}/{name}"), b"whatever").expect("written");
    }
    let machine = world.machine();
    world.block_on(async {
        let opened = open(machine, 128 * 1024).await;
        store(&opened.spool, 7, b"small").await;
    });
    let names = names(&world);
    assert!(names.contains(&"notes".to_owned()) && names.contains(&"segment-".to_owned()), "{names:?}");
    assert!(names.iter().all(|name| !name.ends_with("4.new") && name != "segment-000009"), "{names:?}");
}

#[test]
fn a_segment_in_which_nothing_is_whole_is_kept_and_a_blank_one_is_used() {
    let world = World::new(1);
    world.disk().make_directory(LOG).expect("the disk is empty");
    world.disk().write(format!("{LOG}/segment-000003"), &[0xAA; 8192]).expect("written");
    world.disk().write(format!("{LOG}/segment-000004"), &[0; 128 * 1024]).expect("written");
    let machine = world.machine();
    world.block_on(async {
        let opened = open(machine, 128 * 1024).await;
        assert_eq!(opened.quarantined, [PathBuf::from(LOG).join("quarantine/segment-000003")]);
        store(&opened.spool, 7, b"small").await;
    });
    let kept = world.disk().read(format!("{LOG}/quarantine/segment-000003")).expect("it is there");
    assert!(kept == [0xAA; 8192]);
    assert!(names(&world).contains(&"segment-000004".to_owned()));
}

#[test]
fn a_segment_that_cannot_be_read_costs_only_itself_and_is_left_as_it_is() {
    let world = World::new(1);
    let machine = world.machine();
    world.block_on(async {
        let opened = open(machine, 128 * 1024).await;
        for id in 1..5 {
            store(&opened.spool, id, &[b'x'; 50_000]).await;
        }
    });
    world.kill();
    let machine = world.restart();
    let broken = PathBuf::from(LOG).join("segment-000001");
    let before = world.disk().read(&broken).expect("it is there");
    let fails = broken.clone();
    world.faults().add(Fault::fail(Operation::Read, errno::EIO).at(move |path| path == fails));
    let spool = world.block_on(async {
        let opened = open(machine, 128 * 1024).await;
        assert_eq!(opened.unreadable.iter().map(|(path, _)| path).collect::<Vec<_>>(), [&broken]);
        assert!((1..4).contains(&opened.messages), "{} of 4", opened.messages);
        for id in 10..20 {
            store(&opened.spool, id, &[b'y'; 50_000]).await;
        }
        opened.spool
    });
    drop(spool);
    assert!(world.disk().read(&broken).expect("it is there") == before);
}

#[test]
fn content_cannot_pass_for_records() {
    let world = World::new(1);
    let machine = world.machine();
    // What a client could know: the form of a record, and that epochs count from 1.
    let mut forged = Vec::new();
    for epoch in 1..200 {
        let mut draft = Draft::message(&envelope(u64::MAX), &[], Vec::new());
        draft.push(b"forged");
        let mut place = vec![0; draft.stride()];
        draft.write(Key(0), Kind::Message, epoch, 4096, &mut place);
        forged.extend_from_slice(&place);
    }
    world.block_on(async {
        let opened = open(machine, 128 * 1024).await;
        // Received, never committed: its chunks stay behind, and so does what is written over.
        for id in 1..4 {
            store(&opened.spool, id, &forged).await;
        }
    });
    world.kill();
    // The records that hold it are damaged, so that all that is in them is looked at.
    for name in names(&world).iter().filter(|name| slot(name).is_some()) {
        let path = format!("{LOG}/{name}");
        let mut octets = world.disk().read(&path).expect("it is there");
        octets[SEGMENT_HEADER..SEGMENT_HEADER + 48].fill(1);
        world.disk().write(&path, &octets).expect("there is room");
    }
    let machine = world.restart();
    world.block_on(async {
        let opened = open(machine, 128 * 1024).await;
        assert!(opened.newest.is_none_or(|id| id < MessageId(4)), "{:?}", opened.newest);
        assert!(opened.messages < 3, "{}", opened.messages);
    });
}

#[test]
fn what_no_record_can_hold_is_refused_at_once() {
    let world = World::new(1);
    let machine = world.machine();
    world.block_on(async {
        let opened = open(machine, 128 * 1024).await;
        let mut incoming = opened.spool.incoming(envelope(9));
        // A chunk of the usual size is larger than these segments.
        assert_eq!(incoming.push(&[b'x'; 300_000]).await, Err(StoreError::TooLarge));
        drop(incoming);
        store(&opened.spool, 7, b"small").await;
    });
}

#[test]
fn segments_of_an_earlier_size_go_when_nobody_needs_them_any_more() {
    let world = World::new(1);
    let machine = world.machine();
    world.block_on(async {
        let opened = open(machine, 128 * 1024).await;
        for id in 0..4 {
            store(&opened.spool, id, &[b'x'; 50_000]).await;
        }
    });
    world.kill();
    let machine = world.restart();
    let spool = world.block_on(async {
        let opened = open(machine, 256 * 1024).await;
        assert_eq!(opened.messages, 4);
        for id in 0..4 {
            assert_eq!(content(&opened.spool, id).await.len(), 50_000);
            let outcome = Outcome { recipient: 0, result: OutcomeResult::Delivered };
            opened.spool.resolve(MessageId(id), &[outcome]).await.expect("noted");
        }
        store(&opened.spool, 9, b"new").await;
        opened.spool
    });
    world.run(std::time::Duration::from_secs(5));
    assert!(spool.is_some_and(|spool| spool.len() == 1));
    for name in names(&world).iter().filter(|name| slot(name).is_some()) {
        let length = world.disk().read(format!("{LOG}/{name}")).expect("listed").len();
        assert_eq!(length, 256 * 1024, "{name}");
    }
}

fn delivered(recipient: u32) -> Outcome {
    Outcome { recipient, result: OutcomeResult::Delivered }
}

/// Lets something that was put on the schedule come due for ever later.
async fn defer(spool: &Spool<SimMachine>, id: u64) {
    let result = OutcomeResult::Deferred { not_before: u64::MAX, attempts: 3, reason: "locked".into() };
    spool.resolve(MessageId(id), &[Outcome { recipient: 0, result }]).await.expect("noted");
}

#[test]
fn a_straggler_is_moved_on_with_all_that_is_known_of_it() {
    let world = World::new(1);
    let machine = world.machine();
    let large: Vec<_> = (0..300_000u32).map(|number| number as u8).collect();
    let spool = world.block_on(async {
        let spool = open(machine.clone(), 512 * 1024).await.spool;
        store(&spool, 1, b"small").await;
        store(&spool, 2, &large).await;
        defer(&spool, 1).await;
        defer(&spool, 2).await;
        for id in 10..40 {
            store(&spool, id, &[b'y'; 90_000]).await;
            spool.resolve(MessageId(id), &[delivered(0)]).await.expect("noted");
            machine.sleep(Duration::from_millis(10)).await;
        }
        spool
    });
    let spool = spool.expect("the world goes on");
    assert!(spool.log().usage().before <= 2, "{:?}", spool.log().usage());
    drop(spool);
    world.crash();
    let machine = world.restart();
    world.block_on(async {
        let opened = open(machine, 512 * 1024).await;
        assert_eq!((opened.messages, opened.quarantined.len()), (2, 0));
        assert_eq!(content(&opened.spool, 1).await, b"small");
        assert!(content(&opened.spool, 2).await == large);
        let pending = opened.spool.read(MessageId(2)).await.expect("it is there").progress.pending();
        assert_eq!((pending[0].attempts, pending[0].reason.as_deref()), (3, Some("locked")));
        assert!(opened.spool.next_due() <= Some(Duration::from_secs(60)), "put off for longer than anything is");
    });
}

#[test]
fn chunks_of_a_client_that_takes_its_time_are_moved_on() {
    let world = World::new(1);
    let machine = world.machine();
    let large: Vec<_> = (0..900_000u32).map(|number| (number >> 3) as u8).collect();
    world.block_on(async {
        let spool = open(machine.clone(), 512 * 1024).await.spool;
        let mut slow = spool.incoming(envelope(5));
        for (number, part) in large.chunks(90_000).enumerate() {
            slow.push(part).await.expect("there is room");
            for id in 0..10 {
                let id = 100 + number as u64 * 10 + id;
                store(&spool, id, &[b'y'; 90_000]).await;
                spool.resolve(MessageId(id), &[delivered(0)]).await.expect("noted");
                machine.sleep(Duration::from_millis(5)).await;
            }
        }
        assert!(spool.log().usage().before <= 6, "{:?}", spool.log().usage());
        slow.commit(&Content::default()).await.expect("there is room");
        assert!(content(&spool, 5).await == large);
    });
    world.crash();
    let machine = world.restart();
    world.block_on(async {
        let opened = open(machine, 512 * 1024).await;
        assert_eq!((opened.messages, opened.quarantined.len()), (1, 0));
        assert!(content(&opened.spool, 5).await == large);
    });
}

#[test]
fn children_share_their_parents_content_over_moves_and_crashes() {
    let world = World::new(1);
    let machine = world.machine();
    let large: Vec<_> = (0..300_000u32).map(|number| (number >> 2) as u8).collect();
    world.block_on(async {
        let spool = open(machine.clone(), 512 * 1024).await.spool;
        store(&spool, 1, &large).await;
        let parent = spool.read(MessageId(1)).await.expect("it is there");
        for id in 2..12 {
            let places = if id == 11 { vec![0] } else { vec![] };
            let notes = vec![id as u8; 1000];
            spool.derive(&parent, places, &envelope(id), notes).await.expect("there is room");
            defer(&spool, id).await;
        }
        assert_eq!(spool.len(), 10, "the parent is resolved");
        for id in 20..60 {
            store(&spool, id, &[b'y'; 90_000]).await;
            spool.resolve(MessageId(id), &[delivered(0)]).await.expect("noted");
            machine.sleep(Duration::from_millis(10)).await;
        }
        assert!(spool.log().usage().before <= 3, "{:?}", spool.log().usage());
    });
    world.crash();
    let machine = world.restart();
    world.block_on(async {
        let opened = open(machine, 512 * 1024).await;
        assert_eq!((opened.messages, opened.quarantined.len()), (10, 0));
        for id in 2..12 {
            assert!(content(&opened.spool, id).await == large);
        }
        let fields = opened.spool.read(MessageId(11)).await.expect("it is there").message.fields;
        assert_eq!(fields.origin.map(|origin| origin.parent), Some(MessageId(1)));
        assert_eq!(fields.notes, [11; 1000]);
    });
}

#[test]
fn a_child_with_content_of_its_own_takes_its_places_with_it() {
    let world = World::new(1);
    let machine = world.machine();
    let large: Vec<_> = (0..600_000u32).map(|number| (number >> 2) as u8).collect();
    world.block_on(async {
        let spool = open(machine.clone(), 512 * 1024).await.spool;
        store(&spool, 1, b"small").await;
        let origin = Some(Origin { parent: MessageId(1), places: vec![0] });
        let fields = Fields { origin, notes: vec![7; 5000], ..Fields::default() };
        let mut child = spool.incoming_with(envelope(2), fields);
        child.push(&large).await.expect("there is room");
        assert!(spool.has(MessageId(1)), "it is not durable yet");
        child.commit(&Content::default()).await.expect("there is room");
        assert!(!spool.has(MessageId(1)), "the parent is resolved");
    });
    world.crash();
    let machine = world.restart();
    world.block_on(async {
        let opened = open(machine, 512 * 1024).await;
        assert_eq!((opened.messages, opened.quarantined.len()), (1, 0));
        assert!(content(&opened.spool, 2).await == large);
        let fields = opened.spool.read(MessageId(2)).await.expect("it is there").message.fields;
        assert_eq!(fields.notes, [7; 5000]);
    });
}

#[test]
fn a_clock_that_is_set_back_delays_nothing() {
    let world = World::new(1);
    let machine = world.machine();
    world.block_on(async {
        let spool = open(machine.clone(), 512 * 1024).await.spool;
        store(&spool, 1, b"small").await;
        let not_before = machine.wall_clock() + 5_000_000;
        let result = OutcomeResult::Deferred { not_before, attempts: 1, reason: "locked".into() };
        spool.resolve(MessageId(1), &[Outcome { recipient: 0, result }]).await.expect("noted");
        world.set_wall_clock(1_000_000);
        assert_eq!(spool.take_due(), None);
        machine.sleep(Duration::from_secs(6)).await;
        assert_eq!(spool.take_due(), Some(MessageId(1)));
    });
}

#[test]
fn a_segment_that_was_prepared_is_known_by_its_first_block() {
    let world = World::new(1);
    let machine = world.machine();
    world.block_on(async {
        let opened = open(machine.clone(), 512 * 1024).await;
        store(&opened.spool, 1, b"small").await;
        machine.sleep(Duration::from_secs(5)).await;
    });
    world.crash();
    let read = world.faults().count(Operation::Read);
    let machine = world.restart();
    let found = world.block_on(async { open(machine, 512 * 1024).await.messages });
    assert_eq!(found, Some(1));
    let segments = names(&world).iter().filter(|name| slot(name).is_some()).count();
    assert!(segments >= 3, "{segments}");
    // The secret, a block of each, and all of the one that was used.
    assert!(world.faults().count(Operation::Read) - read <= 2 + segments as u64);
}

#[test]
fn recovery_that_takes_long_says_how_far_it_is() {
    let world = World::new(1);
    let machine = world.machine();
    world.block_on(async {
        let spool = open(machine, 128 * 1024).await.spool;
        for id in 1..10 {
            store(&spool, id, &[b'x'; 60_000]).await;
        }
    });
    world.kill();
    world.faults().add(Fault::delay(Operation::Read, Duration::from_secs(2)));
    let machine = world.restart();
    let told = std::rc::Rc::<std::cell::RefCell<Vec<String>>>::default();
    let hears = told.clone();
    let report = Box::new(move |event: LogEvent| hears.borrow_mut().push(format!("{event:?}")));
    let opened = world.block_on(async { Spool::open(machine, LOG.as_ref(), settings(128 * 1024), report).await });
    assert_eq!(opened.and_then(Result::ok).map(|opened| opened.messages), Some(9));
    let told = told.borrow();
    let times = told.iter().filter(|event| event.starts_with("Recovering")).count();
    assert!(times >= 4, "{told:?}");
}

#[test]
fn the_newest_id_is_known_when_one_segment_is_read() {
    let world = World::new(1);
    let machine = world.machine();
    world.block_on(async {
        let spool = open(machine.clone(), 128 * 1024).await.spool;
        // The newest id of all stands in the oldest segment; in the last one there are only outcomes of old ones.
        for id in [1, 900, 2, 3, 4, 5] {
            store(&spool, id, &[b'x'; 50_000]).await;
        }
        for round in 0..30 {
            defer(&spool, 1 + round % 5).await;
            machine.sleep(Duration::from_millis(5)).await;
        }
    });
    for run in 0..3 {
        world.crash();
        let machine = world.restart();
        let reads = world.faults().count(Operation::Read);
        world.block_on(async {
            let begun = Spool::begin(machine.clone(), LOG.as_ref(), settings(128 * 1024), Box::new(|_| {})).await;
            let begun = begun.expect("nothing stops it");
            assert_eq!(begun.newest, Some(MessageId(900 + run)), "run {run}");
            let segments = begun.left.segments();
            assert!(segments >= 3, "{segments}");
            // The first blocks of all, the secret, and the newest segment.
            let all = names(&world).iter().filter(|name| slot(name).is_some()).count() as u64;
            assert_eq!(world.faults().count(Operation::Read) - reads, all + 2);
            // A newer one comes while the rest is unread, and is known the next time.
            store(&begun.spool, 901 + run, b"new").await;
            assert_eq!(begun.left.read().await.newest, Some(MessageId(900 + run)));
        });
    }
    // Where the newest segment does not say it, all of them are read.
    world.crash();
    let newest = names(&world).into_iter().filter(|name| slot(name).is_some()).max_by_key(|name| {
        let octets = world.disk().read(format!("{LOG}/{name}")).expect("listed");
        decode_header(&octets).map_or(0, |header| header.epoch)
    });
    let path = format!("{LOG}/{}", newest.expect("there are some"));
    let mut octets = world.disk().read(&path).expect("listed");
    octets[32..52].fill(0);
    world.disk().write(&path, &octets).expect("there is room");
    let machine = world.restart();
    world.block_on(async {
        let begun = Spool::begin(machine, LOG.as_ref(), settings(128 * 1024), Box::new(|_| {})).await;
        let begun = begun.expect("nothing stops it");
        assert_eq!(begun.newest, Some(MessageId(903)));
        assert_eq!(begun.spool.figures().unread, 0);
        assert_eq!(begun.left.read().await.messages, 9);
    });
}

#[test]
fn while_mail_comes_half_of_what_is_prepared_is_used_before_more_is_made() {
    // Room for fifteen messages, each in a batch of its own.
    const SEGMENT: u64 = 128 * 1024;
    let world = World::new(1);
    let machine = world.machine();
    let settings = Settings { prepared: 8, max_segments: 100, max_messages: 1000, ..settings(SEGMENT) };
    let segments = || names(&world).iter().filter(|name| slot(name).is_some()).count();
    let opened = world.block_on(async { Spool::open(machine, LOG.as_ref(), settings, Box::new(|_| {})).await });
    let spool = opened.and_then(Result::ok).expect("a log").spool;
    let mut id = 0;
    let mut fill = |segments: u64| {
        world.block_on(async {
            for _ in 0..segments * 15 {
                id += 1;
                store(&spool, id, &[b'x'; 7000]).await;
            }
        });
    };
    world.run(Duration::from_secs(5));
    assert_eq!(segments(), 10, "eight, and two that mail leaves alone");
    fill(1);
    world.run(Duration::from_secs(3));
    assert_eq!(segments(), 11, "for the one that is in use");
    fill(3);
    assert_eq!(segments(), 11, "five of the eight are left");
    world.run(Duration::from_secs(3));
    assert_eq!(segments(), 14, "nothing came for a while");
    fill(5);
    assert!(segments() > 14, "no more than half of them are left");
}

#[test]
fn the_first_message_of_a_segment_is_there_after_a_crash() {
    for seed in seeds(60) {
        let world = World::new(seed);
        // A segment has room for fifteen.
        let messages = 14 + seed % 4;
        let machine = world.machine();
        world.block_on(async {
            let opened = open(machine, 128 * 1024).await;
            for id in 1..=messages {
                store(&opened.spool, id, &[b'x'; 7000]).await;
            }
        });
        world.crash();
        let machine = world.restart();
        world.block_on(async {
            let opened = open(machine, 128 * 1024).await;
            assert_eq!(opened.messages as u64, messages, "seed {seed}");
            assert_eq!(opened.quarantined, Vec::<PathBuf>::new(), "seed {seed}: a crash is no damage");
        });
    }
}

#[test]
fn a_freed_segment_is_not_written_over_before_what_freed_it_is_on_the_disk() {
    let world = World::new(1);
    let machine = world.machine();
    let settings = Settings { max_segments: 3, ..settings(128 * 1024) };
    let opened = world.block_on(async { Spool::open(machine, LOG.as_ref(), settings, Box::new(|_| {})).await });
    let spool = opened.and_then(Result::ok).expect("a log").spool;
    world.run(Duration::from_secs(5));
    let log = spool.log();
    // A segment has room for two.
    let record = |id| {
        let mut draft = Draft::message(&envelope(id), &[], Vec::new());
        draft.push(&[b'x'; 40_000]);
        draft.set_findings(&Content { octets: 40_000, ..Content::default() });
        draft
    };
    let begin = |id| {
        let placed = world.block_on(log.begin(&record(id), Kind::Message, Purpose::Move)).expect("it ends");
        placed.expect("there is room").0
    };
    let kept: Vec<_> = (1..=5).map(begin).collect();
    world.run(Duration::from_secs(1));
    assert_eq!((kept[1].epoch, kept[2].epoch, kept[4].epoch, log.usage().free), (1, 2, 3, 0));
    let file = |epoch| path(LOG.as_ref(), log.slot(epoch).expect("it is in use"));
    let (oldest, newest) = (file(1), file(3));
    let epoch = || decode_header(&world.disk().read(&oldest).expect("a segment")[..SEGMENT_HEADER]).map(|it| it.epoch);
    // A file is known by the name that it was made under.
    let concerned = move |path: &Path| path.file_stem() == newest.file_name();
    world.faults().add(Fault::delay(Operation::Write, Duration::from_secs(1)).at(concerned));
    // What is in this batch lets go of the oldest segment, and the next record begins that anew.
    assert_eq!(begin(6).epoch, 3);
    kept[..2].iter().for_each(|extent| log.unpin(extent, record(1).weight(Kind::Message)));
    assert_eq!(begin(7).epoch, 4);
    world.run(Duration::from_millis(500));
    assert_eq!(epoch(), Some(1), "the batch is on its way");
    world.run(Duration::from_secs(3));
    assert_eq!(epoch(), Some(4));
}
