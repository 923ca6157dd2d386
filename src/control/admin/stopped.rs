//! The messages of a spool that no process uses: read from its segments; what becomes of them is noted in further ones.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::{Change, LogStats, Page, Source};
use crate::io::aligned::{BLOCK, blocks};
use crate::mail::MessageId;
use crate::spool::group_commit::{GroupCommit, Unplaced};
use crate::spool::outcome::{Outcome, OutcomeResult};
use crate::spool::queue::Entry;
use crate::spool::record::{Draft, Extent, Header, Key, Kind, Message};
use crate::spool::recovery::{Recovery, Survivor, incarnation};
use crate::spool::segment::{self, SEGMENT_HEADER, SegmentHeader, decode_header, encode_header};

/// Messages that are shown at a time.
const PAGE: usize = 64;

/// Octets of a segment of changes at most.
const CHANGES: usize = 8 << 20;

/// All logs of a spool.
pub struct Stopped {
    logs: Vec<Log>,
    /// Where the next page begins.
    log: usize,
    after: MessageId,
}

struct Log {
    directory: PathBuf,
    key: Key,
    /// Segments that hold records, by their incarnations.
    segments: BTreeMap<u64, PathBuf>,
    free: u64,
    next_epoch: u64,
    next_slot: u32,
    messages: BTreeMap<MessageId, Survivor>,
    newest: Option<MessageId>,
    damage: Vec<String>,
    changes: Vec<(Draft, Kind)>,
}

impl Stopped {
    /// Reads all logs in a spool, which must be locked.
    pub fn open(spool: &Path) -> io::Result<Stopped> {
        let mut directories = Vec::new();
        for entry in fs::read_dir(spool)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with("shard-") && entry.file_type()?.is_dir() {
                directories.push(entry.path());
            }
        }
        directories.sort();
        let logs = directories.into_iter().map(Log::open).collect::<io::Result<_>>()?;
        Ok(Stopped { logs, log: 0, after: MessageId(0) })
    }

    fn holder(&self, id: MessageId) -> Option<&Log> {
        self.logs.iter().find(|log| log.messages.contains_key(&id))
    }
}

impl Log {
    fn open(directory: PathBuf) -> io::Result<Log> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&directory)? {
            let entry = entry?;
            if let Some(slot) = segment::slot(&entry.file_name().to_string_lossy()) {
                files.push((slot, entry.path()));
            }
        }
        files.sort();
        let secret = first_block(&directory.join("secret")).ok().and_then(|block| decode_header(&block));
        let mut headers = Vec::new();
        let mut damage = Vec::new();
        for (slot, path) in &files {
            match first_block(path) {
                Ok(block) => headers.push((*slot, path.clone(), decode_header(&block))),
                Err(error) => damage.push(format!("{} cannot be read: {error}", path.display())),
            }
        }
        let known = secret.or_else(|| headers.iter().find_map(|(_, _, header)| *header));
        let key = known.map_or(Key(0), |header| header.key);
        let mut log = Log {
            directory,
            key,
            segments: BTreeMap::new(),
            free: 0,
            next_epoch: 1,
            next_slot: files.last().map_or(0, |(slot, _)| slot + 1),
            messages: BTreeMap::new(),
            newest: None,
            damage,
            changes: Vec::new(),
        };
        log.read(headers);
        Ok(log)
    }

    /// Does what recovery would do, and touches nothing.
    fn read(&mut self, headers: Vec<(u32, PathBuf, Option<SegmentHeader>)>) {
        let mut sealed = BTreeMap::new();
        for (_, path, header) in headers {
            let epoch = match header.filter(|header| header.key == self.key) {
                Some(header) => {
                    sealed.insert(header.epoch, header.sealed);
                    Some(header.epoch).filter(|epoch| *epoch > 0)
                }
                None => fs::read(&path).ok().and_then(|octets| incarnation(self.key, &octets)),
            };
            match epoch {
                Some(epoch) => drop(self.segments.insert(epoch, path)),
                None => self.free += 1,
            }
        }
        self.next_epoch = self.segments.last_key_value().map_or(1, |(epoch, _)| epoch + 1);
        let mut recovery = Recovery::new(self.key);
        for (epoch, path) in self.segments.iter().rev() {
            match fs::read(path) {
                Ok(octets) => {
                    let sealed = sealed.get(&(epoch + 1)).copied().unwrap_or(0);
                    let found = recovery.read_segment(*epoch, &octets, sealed);
                    let damage = |range: &Range<usize>| {
                        format!("{} octets {} to {} are no record", path.display(), range.start, range.end)
                    };
                    self.damage.extend(found.damage.iter().map(damage));
                    self.damage.extend(found.lacking.iter().map(lacks_content));
                    self.messages.extend(found.survivors.into_iter().map(|survivor| (survivor.id, survivor)));
                }
                Err(error) => self.damage.push(format!("{} cannot be read: {error}", path.display())),
            }
        }
        self.damage.extend(recovery.lacking().iter().map(lacks_content));
        self.newest = recovery.newest();
    }

    /// A whole record, held against its checksum.
    fn record(&self, extent: &Extent) -> io::Result<Vec<u8>> {
        let path = self.segments.get(&extent.epoch).ok_or(io::ErrorKind::NotFound)?;
        let mut record = vec![0; extent.record_octets()];
        File::open(path)?.read_exact_at(&mut record, extent.offset.into())?;
        let whole = Header::decode(&record, self.key)
            .is_some_and(|header| header.extent(extent.offset) == *extent && header.matches(&record));
        if whole { Ok(record) } else { Err(io::Error::new(io::ErrorKind::InvalidData, "a record is damaged")) }
    }

    fn entry(&self, survivor: &Survivor) -> io::Result<Entry> {
        let record = self.record(&survivor.record)?;
        let header = Header::decode(&record, self.key).ok_or(io::ErrorKind::InvalidData)?;
        let message = Message::decode(&header, &record, survivor.record.offset).map_err(io::Error::other)?;
        Ok(Entry::new(message, &survivor.progress, false))
    }

    fn change(&mut self, id: MessageId, change: Change) {
        let Some(survivor) = self.messages.get_mut(&id) else { return };
        match change {
            Change::Hold(held) => {
                survivor.progress.hold(held);
                self.changes.push((Draft::hold(id, held), Kind::Hold));
            }
            Change::Remove => {
                let removed = |place| Outcome { recipient: place, result: OutcomeResult::Removed };
                let outcomes: Vec<_> = survivor.progress.pending().iter().map(|left| removed(left.place)).collect();
                self.messages.remove(&id);
                self.changes.push((Draft::outcomes(id, &outcomes), Kind::Outcomes));
            }
            Change::Flush => {
                let due = survivor.progress.pending().into_iter().filter_map(|left| {
                    let (attempts, reason) = (left.attempts, left.reason?.as_ref().into());
                    Some(Outcome {
                        recipient: left.place,
                        result: OutcomeResult::Deferred { not_before: 0, attempts, reason },
                    })
                });
                let outcomes: Vec<_> = due.collect();
                survivor.progress.flush();
                self.changes.push((Draft::outcomes(id, &outcomes), Kind::Outcomes));
            }
        }
    }

    /// Writes what was changed as a segment of its own behind all others.
    fn settle(&mut self) -> io::Result<()> {
        let mut changes = std::mem::take(&mut self.changes).into_iter().peekable();
        while changes.peek().is_some() {
            let mut group = GroupCommit::new(self.key, CHANGES);
            let mut octets = Vec::new();
            group.know_newest(self.newest.unwrap_or(MessageId(0)));
            let header = group.begin_segment(self.next_epoch, self.segments.keys().next().copied().unwrap_or(1));
            octets.resize(SEGMENT_HEADER, 0);
            encode_header(header, &mut octets);
            group.header_ended(self.next_epoch);
            while let Some((draft, kind)) = changes.peek() {
                match group.place(draft, *kind) {
                    Ok(_) => drop(changes.next()),
                    Err(Unplaced::Later) => write_out(&mut group, &mut octets),
                    Err(Unplaced::NeedsSegment) => break,
                }
            }
            write_out(&mut group, &mut octets);
            if octets.len() <= SEGMENT_HEADER {
                return Err(io::Error::other("a change has no room in a segment"));
            }
            let path = segment::path(&self.directory, self.next_slot);
            let unfinished = path.with_extension("new");
            let owner = fs::metadata(&self.directory)?;
            let mut file = File::options().create(true).truncate(true).write(true).mode(0o600).open(&unfinished)?;
            // Whoever runs the server must be able to open it.
            std::os::unix::fs::fchown(&file, Some(owner.uid()), Some(owner.gid()))?;
            file.write_all(&octets)?;
            file.sync_all()?;
            fs::rename(&unfinished, &path)?;
            File::open(&self.directory)?.sync_all()?;
            self.segments.insert(self.next_epoch, path);
            self.next_epoch += 1;
            self.next_slot += 1;
        }
        Ok(())
    }

    fn stats(&self) -> LogStats {
        let extents = self.messages.values().flat_map(|message| message.chunks.iter().chain([&message.record]));
        LogStats {
            log: self.directory.display().to_string(),
            messages: self.messages.len() as u64,
            segments: self.segments.len() as u64,
            free: self.free,
            octets: extents.map(|extent| extent.record_octets() as u64).sum(),
            state: "stopped",
            damage: self.damage.clone(),
        }
    }
}

fn lacks_content(survivor: &Survivor) -> String {
    format!("message {} lacks content", survivor.id)
}

/// Appends the batches that are gathered to what the segment will hold.
fn write_out(group: &mut GroupCommit, octets: &mut Vec<u8>) {
    while let Some(write) = group.leave() {
        octets.resize(octets.len().max(blocks(write.offset as usize)), 0);
        octets.extend_from_slice(&write.buffer[write.range.clone()]);
        group.returned(write.buffer);
    }
}

fn first_block(path: &Path) -> io::Result<Vec<u8>> {
    let mut block = Vec::new();
    File::open(path)?.take(BLOCK as u64).read_to_end(&mut block)?;
    Ok(block)
}

impl Source for Stopped {
    async fn next_page(&mut self) -> io::Result<Page> {
        let Some(log) = self.logs.get(self.log) else {
            self.log = 0;
            return Ok(Page { last: true, ..Page::default() });
        };
        let above = (std::ops::Bound::Excluded(self.after), std::ops::Bound::Unbounded);
        let mut page = Page::default();
        let mut count = 0;
        for (id, survivor) in log.messages.range(above).take(PAGE) {
            count += 1;
            self.after = *id;
            match log.entry(survivor) {
                Ok(entry) => page.entries.push(entry),
                Err(error) => page.unreadable.push((*id, error.to_string())),
            }
        }
        if count < PAGE {
            (self.log, self.after) = (self.log + 1, MessageId(0));
        }
        if self.log >= self.logs.len() {
            (self.log, page.last) = (0, true);
        }
        Ok(page)
    }

    async fn entry(&mut self, id: MessageId) -> io::Result<Option<Entry>> {
        self.holder(id).and_then(|log| log.messages.get(&id).map(|survivor| log.entry(survivor))).transpose()
    }

    async fn piece(&mut self, id: MessageId, piece: usize) -> io::Result<Option<(Vec<u8>, bool)>> {
        let Some(log) = self.holder(id) else { return Ok(None) };
        let Some(message) = log.messages.get(&id) else { return Ok(None) };
        let chunk = message.chunks.get(piece);
        let extent = chunk.unwrap_or(&message.record);
        let content = log.record(extent)?.split_off(extent.head as usize);
        Ok(Some((content, chunk.is_none())))
    }

    async fn change(&mut self, id: MessageId, change: Change) -> io::Result<Result<(), String>> {
        match self.logs.iter_mut().find(|log| log.messages.contains_key(&id)) {
            Some(log) => {
                log.change(id, change);
                Ok(Ok(()))
            }
            None => Ok(Err("is not in the spool".to_owned())),
        }
    }

    async fn settle(&mut self) -> io::Result<()> {
        self.logs.iter_mut().try_for_each(Log::settle)
    }

    async fn stats(&mut self) -> io::Result<Vec<LogStats>> {
        Ok(self.logs.iter().map(Log::stats).collect())
    }
}
