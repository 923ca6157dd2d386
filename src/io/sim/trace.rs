//! The last things that happened in a world, to be read when a test fails.

use std::collections::VecDeque;
use std::time::Duration;

/// How many events are kept unless a test asks for more.
const USUAL: usize = 64;

/// A ring of the last events.
pub(super) struct Trace {
    lines: VecDeque<String>,
    limit: usize,
    fingerprint: u64,
}

impl Trace {
    pub(super) fn new() -> Trace {
        Trace { lines: VecDeque::new(), limit: USUAL, fingerprint: 0xcbf2_9ce4_8422_2325 }
    }

    pub(super) fn keep(&mut self, limit: usize) {
        self.limit = limit;
        self.shorten();
    }

    /// Notes an event that happened at `now`; `text` is only made where it is kept.
    pub(super) fn note(&mut self, now: Duration, text: impl FnOnce() -> String) {
        if self.limit > 0 {
            self.lines.push_back(format!("{:>16.6} s  {}", now.as_secs_f64(), text()));
            self.shorten();
        }
    }

    fn shorten(&mut self) {
        while self.lines.len() > self.limit {
            self.lines.pop_front();
        }
    }

    /// Adds a number to the fingerprint (FNV-1a), which tells two runs apart however long they were.
    pub(super) fn mix(&mut self, number: u64) {
        for octet in number.to_le_bytes() {
            self.fingerprint = (self.fingerprint ^ u64::from(octet)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    pub(super) fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    pub(super) fn lines(&self) -> Vec<String> {
        self.lines.iter().cloned().collect()
    }
}
