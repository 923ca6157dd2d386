//! How the spool's file system is, looked at here because looking may block: how much room it has, and whether the logs are
//! still where they were.

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

/// How often it is looked at.
const EVERY: Duration = Duration::from_secs(1);

/// How often in a row something must be wrong to be believed.
const TWICE: u32 = 2;

fn statvfs(directory: &Path) -> io::Result<libc::statvfs> {
    let path = CString::new(directory.as_os_str().as_bytes()).map_err(io::Error::other)?;
    let mut figures = std::mem::MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: the path ends with a zero and the kernel fills the structure in.
    unsafe {
        if libc::statvfs(path.as_ptr(), figures.as_mut_ptr()) != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(figures.assume_init())
    }
}

/// Octets that an ordinary user may still write on the file system that holds `directory`.
pub fn free_octets(directory: &Path) -> io::Result<u64> {
    let figures = statvfs(directory)?;
    Ok(figures.f_bavail.saturating_mul(figures.f_frsize))
}

/// What is wrong with a log's directory, so that nothing may be promised on it any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Trouble {
    /// It is not there, or another one is in its place.
    Gone = 1,
    /// Segments that are in use have no names any more.
    SegmentsGone = 2,
    /// The file system has become read-only.
    ReadOnly = 3,
}

impl Trouble {
    /// What an operator reads.
    pub fn text(self) -> &'static str {
        match self {
            Trouble::Gone => "the log's directory is not there any more, or is another one",
            Trouble::SegmentsGone => "segments that are in use have been removed from the log's directory",
            Trouble::ReadOnly => "the file system has become read-only",
        }
    }
}

/// What a shard's log and the watch over it tell each other.
#[derive(Debug, Default)]
pub struct LogWatch {
    /// Segments that have names: set by the shard.
    segments: AtomicU64,
    trouble: AtomicU8,
}

impl LogWatch {
    /// The log has at least so many segments.
    pub fn has_segments(&self, segments: u64) {
        self.segments.store(segments, Ordering::Relaxed);
    }

    /// What is wrong with the log's directory, if anything.
    pub fn trouble(&self) -> Option<Trouble> {
        match self.trouble.load(Ordering::Relaxed) {
            1 => Some(Trouble::Gone),
            2 => Some(Trouble::SegmentsGone),
            3 => Some(Trouble::ReadOnly),
            _ => None,
        }
    }
}

/// A log that is watched.
pub struct WatchedLog {
    directory: PathBuf,
    watch: Arc<LogWatch>,
    /// Which directory it is, once it was seen.
    identity: Option<(u64, u64)>,
    wrong: u32,
}

impl WatchedLog {
    /// The log in `directory`, which may not be made yet.
    pub fn new(directory: PathBuf, watch: Arc<LogWatch>) -> WatchedLog {
        WatchedLog { directory, watch, identity: None, wrong: 0 }
    }

    fn look(&mut self) {
        self.wrong = match self.trouble() {
            Some(trouble) => {
                if self.wrong + 1 >= TWICE {
                    self.watch.trouble.store(trouble as u8, Ordering::Relaxed);
                }
                self.wrong + 1
            }
            None => 0,
        };
    }

    fn trouble(&mut self) -> Option<Trouble> {
        let found = std::fs::metadata(&self.directory).ok().map(|found| (found.dev(), found.ino()));
        // Asked before the directory is looked at: segments are named before they count.
        let expected = self.watch.segments.load(Ordering::Relaxed);
        let Some(identity) = self.identity else {
            self.identity = found;
            return (found.is_none() && expected > 0).then_some(Trouble::Gone);
        };
        if found != Some(identity) {
            return Some(Trouble::Gone);
        }
        if statvfs(&self.directory).is_ok_and(|figures| figures.f_flag & libc::ST_RDONLY != 0) {
            return Some(Trouble::ReadOnly);
        }
        let entries = std::fs::read_dir(&self.directory).ok()?;
        let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
        let there = names.filter(|name| name.starts_with("segment-") && !name.ends_with(".new")).count();
        ((there as u64) < expected).then_some(Trouble::SegmentsGone)
    }
}

/// Looks again and again, for ever; a file system that cannot be asked has no room. Must run inside a tokio runtime.
pub async fn watch(directory: PathBuf, free: Arc<AtomicU64>, mut logs: Vec<WatchedLog>) {
    loop {
        tokio::time::sleep(EVERY).await;
        let looked_at = directory.clone();
        let looked = tokio::task::spawn_blocking(move || {
            logs.iter_mut().for_each(WatchedLog::look);
            (free_octets(&looked_at).unwrap_or(0), logs)
        });
        // A look that panicked would end the watch; it has nothing to panic about.
        let Ok((octets, back)) = looked.await else { return free.store(0, Ordering::Relaxed) };
        free.store(octets, Ordering::Relaxed);
        logs = back;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_is_removed_replaced_or_emptied_is_noticed() {
        let home = tempfile::tempdir().expect("a directory");
        let (log, watch) = (home.path().join("shard-0"), Arc::new(LogWatch::default()));
        let mut watched = WatchedLog::new(log.clone(), watch.clone());
        watched.look();
        std::fs::create_dir(&log).expect("made");
        for number in 0..3 {
            std::fs::write(log.join(format!("segment-{number:06}")), "").expect("written");
        }
        watch.has_segments(3);
        (0..3).for_each(|_| watched.look());
        assert_eq!(watch.trouble(), None);
        std::fs::remove_file(log.join("segment-000001")).expect("removed");
        watched.look();
        assert_eq!(watch.trouble(), None, "it must be seen twice");
        watched.look();
        assert_eq!(watch.trouble(), Some(Trouble::SegmentsGone));
        std::fs::rename(&log, home.path().join("elsewhere")).expect("renamed");
        std::fs::create_dir(&log).expect("made");
        watched.look();
        assert_eq!(watch.trouble(), Some(Trouble::Gone));
    }
}
