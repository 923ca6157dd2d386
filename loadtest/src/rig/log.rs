//! Counts what a server logs, reading each part of its log once.

use memchr::{memmem, memrchr};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;

/// How often a text stands in a log that grows.
pub struct LogCount {
    path: PathBuf,
    text: &'static str,
    offset: u64,
    count: usize,
}

impl LogCount {
    /// Of `text` in the file at `path`, from its beginning.
    pub fn new(path: PathBuf, text: &'static str) -> LogCount {
        LogCount { path, text, offset: 0, count: 0 }
    }

    /// The count now. Lines that have not ended yet do not count.
    pub fn now(&mut self) -> usize {
        let mut octets = Vec::new();
        let read = File::open(&self.path).and_then(|mut file| {
            file.seek(SeekFrom::Start(self.offset))?;
            file.read_to_end(&mut octets)
        });
        let whole = memrchr(b'\n', &octets).map_or(0, |at| at + 1);
        if read.is_ok() {
            self.offset += whole as u64;
            self.count += memmem::find_iter(&octets[..whole], self.text).count();
        }
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn counts_each_line_once_when_it_has_ended() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let mut count = LogCount::new(path.clone(), " sent ");
        assert_eq!(count.now(), 0);
        let mut log = File::create(&path).unwrap();
        for (text, expected) in [("a sent b\nc", 1), (" sent", 1), (" d\n sent x\n", 3), ("", 3)] {
            log.write_all(text.as_bytes()).unwrap();
            assert_eq!(count.now(), expected, "{text:?}");
        }
    }
}
