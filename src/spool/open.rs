//! Opening a spool: reading what the last run left, setting damage aside, adopting logs of cores that are gone.

use std::io;
use std::path::{Path, PathBuf};

use super::Settings;
use super::log::{Log, LogEvent, Segment};
use super::recovery::{Recovered, Recovery, incarnation};
use super::segment::{SEGMENT_HEADER, decode_header, path, slot};
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
    /// The newest id found; new ones must be above it.
    pub newest: Option<MessageId>,
    /// Writes go past the page cache.
    pub direct: Option<bool>,
}

struct Found<F> {
    epoch: Option<u64>,
    segment: Segment<F>,
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
        let mut found = find_segments(&machine, directory).await?;
        found.sort_by_key(|found| (found.epoch, found.segment.slot));
        let direct = found.first().map(|found| found.segment.file.is_direct());
        let (recovered, quarantined) = recover(&machine, directory, &found).await?;

        let needed = recovered.survivors.iter().flat_map(|survivor| &survivor.message.extents);
        let oldest = needed.map(|extent| extent.epoch).min().unwrap_or(u64::MAX);
        let next_epoch = found.iter().filter_map(|found| found.epoch).max().unwrap_or(0) + 1;
        let (mut in_use, mut free) = (Vec::new(), Vec::new());
        for Found { epoch, segment } in found {
            match epoch {
                Some(epoch) if epoch >= oldest => in_use.push((epoch, segment)),
                _ if segment.octets == settings.segment_octets => free.push(segment),
                _ => machine.disk().remove(&path(directory, segment.slot)).await?,
            }
        }
        let max_messages = settings.max_messages;
        let log = Log::new(machine, directory, settings, in_use, free, next_epoch, report);
        log.start();
        let Recovered { survivors, records, newest, .. } = recovered;
        let spool = Spool::new(log, max_messages, &survivors);
        Ok(Opened { spool, messages: survivors.len(), records, quarantined, newest, direct })
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

/// Opens all segments of a log; leftovers of ones that were never finished are removed.
async fn find_segments<M: Machine>(machine: &M, directory: &Path) -> io::Result<Vec<Found<DiskFile<M>>>> {
    let mut found = Vec::new();
    for name in machine.disk().list(directory).await? {
        match slot(&name) {
            Some(slot) => found.push(open_segment(machine, directory, slot).await?),
            None if name.ends_with(".new") => machine.disk().remove(&directory.join(&name)).await?,
            None => {}
        }
    }
    Ok(found)
}

async fn open_segment<M: Machine>(machine: &M, directory: &Path, slot: u32) -> io::Result<Found<DiskFile<M>>> {
    let file = machine.disk().open(&path(directory, slot), Open::Direct).await?;
    // What is read must be what the disk holds, not what an earlier process left in a cache on its way there.
    file.sync().await?;
    let octets = file.length().await?;
    let (result, header) = file.read_at(Aligned::zeroed(SEGMENT_HEADER), SEGMENT_HEADER, 0).await;
    let epoch = match decode_header(&header[..result?]) {
        Some(epoch) => Some(epoch),
        // A header that was damaged must not cost the mail behind it.
        None => incarnation(&read_all(&file, octets).await?),
    };
    Ok(Found { epoch, segment: Segment { slot, octets, file } })
}

/// Reads all of a segment; what a file is short of its last block is blank.
async fn read_all(file: &impl File, octets: u64) -> io::Result<Aligned> {
    let length = blocks(octets as usize);
    let (result, buffer) = file.read_at(Aligned::zeroed(length), length, 0).await;
    result.map(|_| buffer)
}

/// Reads all segments in order and sets damage aside.
async fn recover<M: Machine>(
    machine: &M,
    directory: &Path,
    found: &[Found<DiskFile<M>>],
) -> io::Result<(Recovered, Vec<PathBuf>)> {
    let mut recovery = Recovery::default();
    let mut quarantined = Vec::new();
    for Found { epoch, segment } in found {
        let Some(epoch) = *epoch else { continue };
        let octets = read_all(&segment.file, segment.octets).await?;
        let damage = recovery.read_segment(epoch, &octets);
        for range in damage {
            let name = format!("{epoch:08}-{:08}", range.start);
            quarantined.push(set_aside(machine, directory, &name, &octets[range]).await?);
        }
    }
    Ok((recovery.finish(), quarantined))
}

/// Copies damaged octets to a file of their own, durably.
async fn set_aside<M: Machine>(machine: &M, log: &Path, name: &str, octets: &[u8]) -> io::Result<PathBuf> {
    let directory = log.join("quarantine");
    make_directory(machine, &directory).await?;
    let path = directory.join(name);
    let file = machine.disk().open(&path, Open::Create).await?;
    let mut buffer = Aligned::zeroed(octets.len());
    buffer[..octets.len()].copy_from_slice(octets);
    file.write_at(buffer, 0..octets.len(), 0).await.0?;
    file.sync().await?;
    machine.disk().sync_directory(&directory).await?;
    Ok(path)
}
