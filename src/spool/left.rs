//! What the last run left is read while mail comes in: from the newest segment to the oldest, and each message joins the spool as
//! soon as it is known what is left to do for it and that all of it is there. Damage is set aside.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_lite::future::yield_now;

use super::log::LogEvent;
use super::open::{Trouble, make_directory};
use super::record::Extent;
use super::recovery::{Found, Recovery, Survivor};
use super::segment::path;
use super::store::Spool;
use crate::io::aligned::{Aligned, blocks};
use crate::io::{Disk, File, Machine, Open};
use crate::mail::MessageId;

/// How often it is told how far recovery has come.
const TELL: Duration = Duration::from_secs(1);

/// Octets that are looked at before others have their turn.
const PIECE: usize = 1 << 20;

/// A segment that is to be read.
pub(super) struct Unread {
    /// Its incarnation.
    pub epoch: u64,
    /// The number in its name.
    pub slot: u32,
    /// Its size.
    pub octets: u64,
    /// Octets of it that were written before the first batch of the next one, as that says.
    pub sealed: u32,
}

/// What the last run left, and how far it has been read. Nothing of it is used again before all is.
pub struct Left<M: Machine> {
    spool: Spool<M>,
    directory: PathBuf,
    recovery: Recovery,
    /// The newest last.
    unread: Vec<Unread>,
    segments: usize,
    messages: usize,
    trouble: Trouble,
    buffer: Option<Aligned>,
    told: Duration,
}

/// What was found.
#[derive(Debug)]
pub struct Read {
    /// Messages with something left to do.
    pub messages: usize,
    /// Whole records.
    pub records: u64,
    /// The newest id of any of them.
    pub newest: Option<MessageId>,
    /// Files that hold what was damaged.
    pub quarantined: Vec<PathBuf>,
    /// Segments that could not be read, or whose damage could not be set aside, and why. They are left as they are.
    pub unreadable: Vec<(PathBuf, io::Error)>,
}

impl<M: Machine> Left<M> {
    /// These segments of a spool, oldest first, of which none was read yet.
    pub(super) fn new(spool: Spool<M>, directory: &Path, unread: Vec<Unread>, trouble: Trouble) -> Left<M> {
        let recovery = Recovery::new(spool.log().key());
        let (segments, told, directory) = (unread.len(), spool.log().machine().now(), directory.to_owned());
        let left = Left { spool, directory, recovery, unread, segments, messages: 0, trouble, buffer: None, told };
        left.count();
        left
    }

    /// The newest id met so far.
    pub(super) fn newest(&self) -> Option<MessageId> {
        self.recovery.newest()
    }

    /// How many segments there are.
    pub fn segments(&self) -> usize {
        self.segments
    }

    /// Reads all that is left, and says what was found.
    pub async fn read(mut self) -> Read {
        while self.read_next().await {}
        let Left { spool, recovery, messages, trouble, .. } = self;
        spool.log().all_is_read();
        let Trouble { quarantined, unreadable } = trouble;
        let (records, newest) = (recovery.records(), recovery.newest());
        Read { messages, records, newest, quarantined, unreadable }
    }

    /// Reads the newest segment that is left; false where none is.
    pub(super) async fn read_next(&mut self) -> bool {
        let Some(segment) = self.unread.pop() else { return false };
        let mut scan = self.recovery.scan(segment.epoch, segment.sealed);
        match self.read_all(&segment).await {
            Ok(octets) => {
                while scan.step(&mut self.recovery, &octets, PIECE) {
                    yield_now().await;
                }
                let found = self.recovery.end_segment(scan);
                for range in &found.damage {
                    self.keep(&segment, range.start, &octets[range.clone()]).await;
                }
                self.buffer = Some(octets);
                self.join(found).await;
            }
            Err(error) => {
                self.give_up(&segment, error);
                // What it should hold is missing.
                let found = self.recovery.end_segment(scan);
                self.join(found).await;
            }
        }
        if self.unread.is_empty() {
            let lacking = self.recovery.lacking();
            self.join(Found { lacking, ..Found::default() }).await;
        }
        self.count();
        true
    }

    /// Says how much is still to be read.
    fn count(&self) {
        let octets = self.unread.iter().map(|segment| segment.octets).sum();
        self.spool.log().has_unread(self.unread.len() as u64, octets);
    }

    /// Reads all of a segment; what a file is short of its last block is blank.
    async fn read_all(&mut self, segment: &Unread) -> io::Result<Aligned> {
        let machine = self.spool.log().machine();
        if machine.now() >= self.told + TELL {
            self.told = machine.now();
            let (segments, of) = (self.segments - self.unread.len() - 1, self.segments);
            self.spool.log().tell(LogEvent::Recovering { segments, of });
        }
        let length = blocks(segment.octets as usize);
        let file = self.spool.log().file(segment.epoch).ok_or(io::ErrorKind::NotFound)?;
        let buffer = self.buffer.take().filter(|buffer| buffer.len() == length);
        let buffer = buffer.unwrap_or_else(|| Aligned::zeroed(length));
        let (result, mut buffer) = file.read_at(buffer, length, 0).await;
        let read = result?;
        buffer[read..].fill(0);
        Ok(buffer)
    }

    /// What was found with a segment goes on, or is set aside.
    async fn join(&mut self, found: Found) {
        self.messages += found.survivors.len();
        found.survivors.into_iter().for_each(|survivor| self.spool.readmit(survivor));
        for Survivor { record, .. } in found.lacking {
            let segment = self.holder(&record);
            match self.spool.log().read(&record).await {
                Ok((octets, range)) => self.keep(&segment, record.offset as usize, &octets[range]).await,
                Err(error) => self.give_up(&segment, error),
            }
        }
    }

    /// The segment that holds a record.
    fn holder(&self, record: &Extent) -> Unread {
        let slot = self.spool.log().slot(record.epoch).unwrap_or(0);
        Unread { epoch: record.epoch, slot, octets: 0, sealed: 0 }
    }

    /// Leaves a segment as it is.
    fn give_up(&mut self, segment: &Unread, error: io::Error) {
        self.spool.log().leave_alone(segment.epoch);
        self.trouble.unreadable.push((path(&self.directory, segment.slot), error));
    }

    /// Sets damage aside; where that fails, the segment that holds it is left as it is.
    async fn keep(&mut self, segment: &Unread, start: usize, octets: &[u8]) {
        let machine = self.spool.log().machine();
        match set_aside(machine, &self.directory, segment.epoch, start, octets).await {
            Ok(kept) => self.trouble.quarantined.push(kept),
            Err(error) => self.give_up(segment, error),
        }
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
