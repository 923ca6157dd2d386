//! Opening a spool: its files are found, what is not in order is set aside, and the log goes on in a fresh segment. What the last
//! run left is read behind that, in [`super::left`].

use std::io;
use std::path::{Path, PathBuf};

use super::Settings;
use super::left::{Left, Unread};
use super::log::{Log, LogEvent, Segment, Segments};
use super::record::Key;
use super::recovery::incarnation;
use super::segment::{Before, SEGMENT_HEADER, SegmentHeader, decode_header, encode_header, path, slot};
use super::store::Spool;
use crate::io::aligned::{Aligned, blocks};
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

/// A spool that takes mail, while most of what the last run left is still to be read.
pub struct Begun<M: Machine> {
    /// The spool. Messages that the last run left join it as they are read.
    pub spool: Spool<M>,
    /// The newest id that any record has, read or not; new ones must be above it.
    pub newest: Option<MessageId>,
    /// Writes go past the page cache.
    pub direct: Option<bool>,
    /// What is to be read.
    pub left: Left<M>,
}

struct Found<F> {
    epoch: Option<u64>,
    /// What it says of the incarnation before it.
    sealed: u32,
    /// What it says of all that stands before it.
    before: Option<Before>,
    segment: Segment<F>,
}

/// What went wrong, so far as it could be helped.
#[derive(Default)]
pub(super) struct Trouble {
    pub quarantined: Vec<PathBuf>,
    pub unreadable: Vec<(PathBuf, io::Error)>,
}

type DiskFile<M> = <<M as Machine>::Disk as Disk>::File;

impl<M: Machine> Spool<M> {
    /// Opens the spool in `directory`, which is made if it is not there, and reads all that the last run left. `report` hears of
    /// trouble later on.
    pub async fn open(
        machine: M,
        directory: &Path,
        settings: Settings,
        report: Box<dyn Fn(LogEvent)>,
    ) -> io::Result<Opened<M>> {
        let Begun { spool, direct, left, .. } = Spool::begin(machine, directory, settings, report).await?;
        let read = left.read().await;
        let (messages, records, newest) = (read.messages, read.records, read.newest);
        let (quarantined, unreadable) = (read.quarantined, read.unreadable);
        Ok(Opened { spool, messages, records, quarantined, unreadable, newest, direct })
    }

    /// The same, but reads no more than it takes to know of an id above all that there are: the newest segment.
    pub async fn begin(
        machine: M,
        directory: &Path,
        settings: Settings,
        report: Box<dyn Fn(LogEvent)>,
    ) -> io::Result<Begun<M>> {
        make_directory(&machine, directory).await?;
        let mut trouble = Trouble::default();
        let found = find_segments(&machine, directory, &mut trouble).await?;
        // Names that an earlier process made and did not come to sync must last before anything is promised on them.
        machine.disk().sync_directory(directory).await?;
        let key = find_key(&machine, directory, &found).await?;
        let mut found = tell_incarnations(&machine, directory, key, found, &mut trouble).await;
        found.sort_by_key(|found| (found.epoch, found.segment.slot));
        let found = set_doubles_aside(&machine, directory, found, &mut trouble).await;
        let direct = found.first().map(|found| found.segment.file.is_direct());

        // Epochs go up by one, so those that could not be read are at most as many above the highest that could.
        let highest = found.iter().filter_map(|found| found.epoch).max().unwrap_or(0);
        let next_epoch = highest + 1 + trouble.unreadable.len() as u64;
        let stated = found.last().and_then(|found| found.before).filter(|_| trouble.unreadable.is_empty());
        let (mut in_use, mut free, mut unread) = (Vec::new(), Vec::new(), Vec::<Unread>::new());
        for Found { epoch, sealed, segment, .. } in found {
            // What was free when the newest was begun was not needed any more.
            match epoch.filter(|epoch| stated.is_none_or(|stated| *epoch >= stated.oldest)) {
                Some(epoch) => {
                    if let Some(before) = unread.last_mut().filter(|before| before.epoch + 1 == epoch) {
                        before.sealed = sealed;
                    }
                    unread.push(Unread { epoch, slot: segment.slot, octets: segment.octets, sealed: 0 });
                    in_use.push((epoch, segment));
                }
                None if segment.octets == settings.segment_octets => free.push(segment),
                None => {
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
        let spool = Spool::new(log, max_messages, longest_delay);
        let mut left = Left::new(spool.clone(), directory, unread, trouble);
        // A segment says what was the newest id before it was begun. Where the newest segment does not, or cannot be read, all of
        // them must be read.
        let all = stated.is_none();
        while left.read_next().await && all {}
        let newest = left.newest().max(stated.map(|stated| stated.newest));
        spool.log().know_newest(newest.unwrap_or(MessageId(0)));
        spool.log().start();
        spool.start();
        Ok(Begun { spool, newest, direct, left })
    }
}

/// Makes a directory and its name durable, if it is not there.
pub(super) async fn make_directory<M: Machine>(machine: &M, directory: &Path) -> io::Result<()> {
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
    encode_header(SegmentHeader { epoch: 0, sealed: 0, key, before: None }, &mut block);
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
        if let Some(SegmentHeader { epoch, sealed, before, .. }) = header.filter(|header| header.key == key) {
            // Incarnation 0 was prepared and never used.
            let epoch = Some(epoch).filter(|epoch| *epoch > 0);
            found.push(Found { epoch, sealed, before, segment });
            continue;
        }
        // A header that was damaged must not cost the mail behind it.
        let place = path(directory, segment.slot);
        match read_all(&segment).await {
            Ok(octets) => {
                let epoch = incarnation(key, &octets);
                if epoch.is_some() || octets.iter().all(|octet| *octet == 0) {
                    found.push(Found { epoch, sealed: 0, before: None, segment });
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

#[cfg(test)]
mod tests;
