//! Opening a spool: reading what the last run left, setting damage aside, adopting logs of cores that are gone.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Settings;
use super::log::{Log, LogEvent, Segment, Segments};
use super::record::Key;
use super::record::{Extent, Header};
use super::recovery::{Recovered, Recovery, Survivor, incarnation};
use super::segment::{SEGMENT_HEADER, SegmentHeader, decode_header, encode_header, path, slot};
use super::store::Spool;
use crate::io::aligned::{Aligned, BLOCK, blocks};
use crate::io::{Disk, File, Machine, Open};
use crate::mail::MessageId;

/// A spool that is open, and what was found.
pub struct Opened<M: Machine> {
    /// The spool; its messages are scheduled.
    pub spool: Spool<M>,
    /// Messages found with something left to do.
    pub messages: usize,
    /// Whole records found.
    pub records: u64,
    /// Files that hold what was damaged.
    pub quarantined: Vec<PathBuf>,
    /// Segments that could not be read, or whose damage could not be set aside, and why. They are left as they are.
    pub unreadable: Vec<(PathBuf, io::Error)>,
    /// The newest id found; new ones must be above it.
    pub newest: Option<MessageId>,
    /// Writes go past the page cache.
    pub direct: Option<bool>,
}

struct Found<F> {
    epoch: Option<u64>,
    /// What it says of the incarnation before it.
    sealed: u32,
    segment: Segment<F>,
    /// It must not be used again in this run: what it holds could not be read, or not be set aside.
    untouchable: bool,
}

/// What went wrong, so far as it could be helped.
#[derive(Default)]
struct Trouble {
    quarantined: Vec<PathBuf>,
    unreadable: Vec<(PathBuf, io::Error)>,
}

type DiskFile<M> = <<M as Machine>::Disk as Disk>::File;

impl<M: Machine> Spool<M> {
    /// Opens the spool in `directory`, which is made if it is not there. `report` hears of trouble later on.
    pub async fn open(
        machine: M,
        directory: &Path,
        settings: Settings,
        report: Box<dyn Fn(LogEvent)>,
    ) -> io::Result<Opened<M>> {
        make_directory(&machine, directory).await?;
        let mut trouble = Trouble::default();
        let found = find_segments(&machine, directory, &mut trouble).await?;
        // Names that an earlier process made and did not come to sync must last before anything is promised on them.
        machine.disk().sync_directory(directory).await?;
        let key = find_key(&machine, directory, &found).await?;
        let mut found = tell_incarnations(&machine, directory, key, found, &mut trouble).await;
        found.sort_by_key(|found| (found.epoch, found.segment.slot));
        let mut found = set_doubles_aside(&machine, directory, found, &mut trouble).await;
        let direct = found.first().map(|found| found.segment.file.is_direct());
        let recovered = recover(&machine, directory, key, &mut found, &mut trouble, &*report).await;
        let Trouble { quarantined, unreadable } = trouble;

        let needed = recovered.survivors.iter().flat_map(|survivor| survivor.chunks.iter().chain([&survivor.record]));
        let oldest = needed.map(|extent| extent.epoch).min().unwrap_or(u64::MAX);
        // Epochs go up by one, so those that could not be read are at most as many above the highest that could.
        let highest = found.iter().filter_map(|found| found.epoch).max().unwrap_or(0);
        let next_epoch = highest + 1 + unreadable.len() as u64;
        let (mut in_use, mut free) = (Vec::new(), Vec::new());
        for Found { epoch, segment, untouchable, .. } in found {
            match epoch {
                Some(epoch) if epoch >= oldest => in_use.push((epoch, segment, untouchable)),
                _ if untouchable => {}
                _ if segment.octets == settings.segment_octets => free.push(segment),
                // Oldest first, each durably: no outcome goes before the message that it belongs to.
                _ => {
                    machine.disk().remove(&path(directory, segment.slot)).await?;
                    machine.disk().sync_directory(directory).await?;
                }
            }
        }
        // Above every number that a file has, read or not.
        let names = machine.disk().list(directory).await?;
        let next_slot = names.iter().filter_map(|name| slot(name)).max().map_or(0, |slot| slot + 1);
        let (max_messages, longest_delay) = (settings.max_messages, settings.longest_delay);
        let segments = Segments { in_use, free, next_epoch, next_slot, key };
        let log = Log::new(machine, directory, settings, segments, report);
        log.start();
        let Recovered { survivors, records, newest, .. } = recovered;
        let messages = survivors.len();
        let spool = Spool::new(log, max_messages, longest_delay, survivors);
        Ok(Opened { spool, messages, records, quarantined, unreadable, newest, direct })
    }
}

/// Makes a directory and its name durable, if it is not there.
async fn make_directory<M: Machine>(machine: &M, directory: &Path) -> io::Result<()> {
    match machine.disk().create_directory(directory).await {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    match directory.parent() {
        Some(parent) => machine.disk().sync_directory(parent).await,
        None => Ok(()),
    }
}

/// A segment's file and its first block, if that is whole.
type Opening<F> = (Segment<F>, Option<SegmentHeader>);

/// Opens all segments of a log; leftovers of ones that were never finished are removed. One that cannot be read is noted and
/// left where it is.
async fn find_segments<M: Machine>(
    machine: &M,
    directory: &Path,
    trouble: &mut Trouble,
) -> io::Result<Vec<Opening<DiskFile<M>>>> {
    let mut found = Vec::new();
    for name in machine.disk().list(directory).await? {
        match slot(&name) {
            Some(slot) => match open_segment(machine, directory, slot).await {
                Ok(opening) => found.push(opening),
                Err(error) => trouble.unreadable.push((directory.join(&name), error)),
            },
            None if name.ends_with(".new") => machine.disk().remove(&directory.join(&name)).await?,
            None => {}
        }
    }
    Ok(found)
}

async fn open_segment<M: Machine>(machine: &M, directory: &Path, slot: u32) -> io::Result<Opening<DiskFile<M>>> {
    let file = machine.disk().open(&path(directory, slot), Open::Direct).await?;
    // What is read must be what the disk holds, not what an earlier process left in a cache on its way there.
    file.sync().await?;
    let octets = file.length().await?;
    let (result, header) = file.read_at(Aligned::zeroed(SEGMENT_HEADER), SEGMENT_HEADER, 0).await;
    let header = decode_header(&header[..result?]);
    Ok((Segment { slot, octets, file }, header))
}

/// The name of the file that holds the log's secret. It stands in every segment's header as well: each is there for the loss of
/// the other.
const KEY_FILE: &str = "secret";

/// The log's secret: that of its file, else that of a segment; a new one for a log that has none.
async fn find_key<M: Machine>(machine: &M, directory: &Path, found: &[Opening<DiskFile<M>>]) -> io::Result<Key> {
    let file = directory.join(KEY_FILE);
    let written = match machine.disk().open(&file, Open::Read).await {
        Ok(file) => {
            let (result, octets) = file.read_at(Aligned::zeroed(SEGMENT_HEADER), SEGMENT_HEADER, 0).await;
            result.ok().and_then(|length| decode_header(&octets[..length]))
        }
        Err(_) => None,
    };
    if let Some(header) = written {
        return Ok(header.key);
    }
    let key =
        found.iter().find_map(|(_, header)| header.as_ref()).map_or_else(|| Key(machine.secret()), |header| header.key);
    let unfinished = directory.join(format!("{KEY_FILE}.new"));
    let new = machine.disk().open(&unfinished, Open::Create).await?;
    let mut block = Aligned::zeroed(SEGMENT_HEADER);
    // A segment's header without a segment says no more than the secret.
    encode_header(SegmentHeader { epoch: 0, sealed: 0, key }, &mut block);
    new.write_at(block, 0..SEGMENT_HEADER, 0).await.0?;
    new.sync().await?;
    machine.disk().rename(&unfinished, &file).await?;
    machine.disk().sync_directory(directory).await?;
    Ok(key)
}

/// Finds out which incarnation each segment is. One in which nothing is whole although it is not blank is moved aside.
async fn tell_incarnations<M: Machine>(
    machine: &M,
    directory: &Path,
    key: Key,
    openings: Vec<Opening<DiskFile<M>>>,
    trouble: &mut Trouble,
) -> Vec<Found<DiskFile<M>>> {
    let mut found = Vec::new();
    for (segment, header) in openings {
        if let Some(SegmentHeader { epoch, sealed, .. }) = header.filter(|header| header.key == key) {
            // Incarnation 0 was prepared and never used.
            let epoch = Some(epoch).filter(|epoch| *epoch > 0);
            found.push(Found { epoch, sealed, segment, untouchable: false });
            continue;
        }
        // A header that was damaged must not cost the mail behind it.
        let place = path(directory, segment.slot);
        match read_all(&segment).await {
            Ok(octets) => {
                let epoch = incarnation(key, &octets);
                if epoch.is_some() || octets.iter().all(|octet| *octet == 0) {
                    found.push(Found { epoch, sealed: 0, segment, untouchable: false });
                    continue;
                }
                match set_file_aside(machine, directory, segment.slot).await {
                    Ok(kept) => trouble.quarantined.push(kept),
                    Err(error) => trouble.unreadable.push((place, error)),
                }
            }
            Err(error) => trouble.unreadable.push((place, error)),
        }
    }
    found
}

/// A log begins each incarnation once. Of two files that say that they are the same one, which only a copy can bring about, the
/// second is moved aside: left there, it would outlive what became of its messages.
async fn set_doubles_aside<M: Machine>(
    machine: &M,
    directory: &Path,
    found: Vec<Found<DiskFile<M>>>,
    trouble: &mut Trouble,
) -> Vec<Found<DiskFile<M>>> {
    let mut kept: Vec<Found<DiskFile<M>>> = Vec::new();
    for found in found {
        if found.epoch.is_none() || kept.last().is_none_or(|last| last.epoch != found.epoch) {
            kept.push(found);
            continue;
        }
        match set_file_aside(machine, directory, found.segment.slot).await {
            Ok(aside) => trouble.quarantined.push(aside),
            Err(error) => trouble.unreadable.push((path(directory, found.segment.slot), error)),
        }
    }
    kept
}

/// Moves a file out of the log, durably.
async fn set_file_aside<M: Machine>(machine: &M, log: &Path, slot: u32) -> io::Result<PathBuf> {
    let directory = log.join("quarantine");
    make_directory(machine, &directory).await?;
    let (from, to) = (path(log, slot), path(&directory, slot));
    machine.disk().rename(&from, &to).await?;
    machine.disk().sync_directory(&directory).await?;
    machine.disk().sync_directory(log).await?;
    Ok(to)
}

/// Reads all of a segment; what a file is short of its last block is blank.
async fn read_all<F: File>(segment: &Segment<F>) -> io::Result<Aligned> {
    let length = blocks(segment.octets as usize);
    let (result, buffer) = segment.file.read_at(Aligned::zeroed(length), length, 0).await;
    result.map(|_| buffer)
}

/// How often it is told how far recovery has come.
const TELL: Duration = Duration::from_secs(1);

/// Reads all segments in order and sets damage aside.
async fn recover<M: Machine>(
    machine: &M,
    directory: &Path,
    key: Key,
    found: &mut [Found<DiskFile<M>>],
    trouble: &mut Trouble,
    report: &dyn Fn(LogEvent),
) -> Recovered {
    let mut recovery = Recovery::new(key);
    let mut told = machine.now();
    for place in 0..found.len() {
        if machine.now() >= told + TELL {
            told = machine.now();
            report(LogEvent::Recovering { segments: place, of: found.len() });
        }
        let Some(epoch) = found[place].epoch else { continue };
        let next = found.get(place + 1).filter(|next| next.epoch == Some(epoch + 1));
        let sealed = next.map_or(0, |next| next.sealed);
        match read_all(&found[place].segment).await {
            Ok(octets) => {
                for range in recovery.read_segment(epoch, &octets, sealed) {
                    keep(machine, directory, &mut found[place], range.start, &octets[range], trouble).await;
                }
            }
            Err(error) => found[place].give_up(directory, error, trouble),
        }
    }
    let mut recovered = recovery.finish();
    for survivor in std::mem::take(&mut recovered.doubtful) {
        if is_whole(key, found, &survivor).await {
            recovered.survivors.push(survivor);
            continue;
        }
        let Some(holder) = found.iter_mut().find(|found| found.epoch == Some(survivor.record.epoch)) else { continue };
        match read_extent(&holder.segment, &survivor.record).await {
            Ok(record) => keep(machine, directory, holder, survivor.record.offset as usize, &record, trouble).await,
            Err(error) => holder.give_up(directory, error, trouble),
        }
    }
    recovered.survivors.sort_by_key(|survivor| survivor.id);
    recovered
}

/// Whether all content of a message is there, which may be in records of other messages.
async fn is_whole<F: File>(key: Key, found: &[Found<F>], survivor: &Survivor) -> bool {
    for extent in &survivor.chunks {
        let Some(holder) = found.iter().find(|found| found.epoch == Some(extent.epoch)) else { return false };
        let Ok(record) = read_extent(&holder.segment, extent).await else { return false };
        let whole = |header: Header| header.extent(extent.offset) == *extent && header.matches(&record);
        if !Header::decode(&record, key).is_some_and(whole) {
            return false;
        }
    }
    true
}

/// Reads one record.
async fn read_extent<F: File>(segment: &Segment<F>, extent: &Extent) -> io::Result<Vec<u8>> {
    let start = extent.offset as usize % BLOCK;
    let length = blocks(start + extent.record_octets());
    let from = extent.offset as u64 - start as u64;
    let (result, buffer) = segment.file.read_at(Aligned::zeroed(length), length, from).await;
    let read = result?;
    Ok(buffer[..read].get(start..start + extent.record_octets()).unwrap_or_default().to_vec())
}

impl<F> Found<F> {
    /// Leaves the segment as it is.
    fn give_up(&mut self, directory: &Path, error: io::Error, trouble: &mut Trouble) {
        self.untouchable = true;
        trouble.unreadable.push((path(directory, self.segment.slot), error));
    }
}

/// Sets damage aside; where that fails, the segment that holds it is left as it is.
async fn keep<M: Machine>(
    machine: &M,
    directory: &Path,
    holder: &mut Found<DiskFile<M>>,
    start: usize,
    octets: &[u8],
    trouble: &mut Trouble,
) {
    match set_aside(machine, directory, holder.epoch.unwrap_or(0), start, octets).await {
        Ok(kept) => trouble.quarantined.push(kept),
        Err(error) => holder.give_up(directory, error, trouble),
    }
}

/// Copies octets that stood `start` octets into a segment to a file of their own, durably.
async fn set_aside<M: Machine>(
    machine: &M,
    log: &Path,
    epoch: u64,
    start: usize,
    octets: &[u8],
) -> io::Result<PathBuf> {
    let directory = log.join("quarantine");
    make_directory(machine, &directory).await?;
    let path = directory.join(format!("{epoch:08}-{start:08}"));
    let file = machine.disk().open(&path, Open::Create).await?;
    let mut buffer = Aligned::zeroed(octets.len());
    buffer[..octets.len()].copy_from_slice(octets);
    file.write_at(buffer, 0..octets.len(), 0).await.0?;
    file.sync().await?;
    machine.disk().sync_directory(&directory).await?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::sim::{Fault, Operation, SimMachine, World, errno};
    use crate::mail::{BodyType, Client, Content, Dsn, Envelope, Mailbox, Protocol, ReversePath, SessionId};
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
        Envelope {
            id: MessageId(id),
            session: SessionId(1),
            received_at: 1,
            reverse_path: ReversePath::Null,
            recipients: vec![Mailbox::parse("you@localhost").expect("a mailbox")],
            body: BodyType::SevenBit,
            smtputf8: false,
            client: Client {
                address: "192.0.2.1:25".parse().expect("an address"),
                helo: "client.example".into(),
                protocol: Protocol::Esmtp,
                tls: None,
                user: None,
            },
            dsn: Dsn::default(),
            notes: Vec::new(),
            require_tls: false,
            hold_until: None,
            deliver_by: None,
            priority: 0,
        }
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
                store(&opened.spool, id, &[b'x'; 60_000]).await;
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
                store(&opened.spool, id, &[b'y'; 60_000]).await;
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
}
