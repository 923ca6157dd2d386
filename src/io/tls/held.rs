//! The octets that a connection in TLS holds: received, to be sent, and decrypted.

use std::cell::RefCell;
use std::io;

/// Octets of the longest record: header, content, and what encryption may add (RFC 5246 §6.2.3).
pub(super) const RECORD: usize = 5 + 16_384 + 2_048;

/// Octets that may be received of a handshake before it goes on: a message of it has at most 65,535 (RFC 8446 §4).
pub(super) const HANDSHAKE: usize = 65_535 + RECORD;

/// Buffers of one record that a core keeps for the next connection.
const KEPT: usize = 64;

thread_local! {
    /// The buffers of this core.
    static BUFFERS: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// What was received of TLS and not used yet.
#[derive(Default)]
pub(super) struct Incoming {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Something is there that was not looked at.
    fresh: bool,
}

impl Incoming {
    pub(super) fn held(&self) -> usize {
        self.buffer.capacity()
    }

    pub(super) fn put(&mut self, octets: &[u8]) -> io::Result<()> {
        if !octets.is_empty() {
            let room = self.room(HANDSHAKE.max(octets.len()))?;
            room.get_mut(..octets.len()).ok_or(io::ErrorKind::InvalidData)?.copy_from_slice(octets);
            self.note_received(octets.len());
        }
        Ok(())
    }

    pub(super) fn unused(&mut self) -> &mut [u8] {
        self.buffer.get_mut(self.start..self.end).unwrap_or_default()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    pub(super) fn is_fresh(&self) -> bool {
        self.fresh
    }

    /// Something is to be looked at although nothing was received.
    pub(super) fn look(&mut self) {
        self.fresh = true;
    }

    pub(super) fn note_processed(&mut self) {
        self.fresh = false;
        self.release_if_empty();
    }

    pub(super) fn note_received(&mut self, octets: usize) {
        self.end = (self.end + octets).min(self.buffer.len());
        self.fresh |= octets > 0;
    }

    pub(super) fn consume(&mut self, octets: usize) {
        self.start = (self.start + octets).min(self.end);
    }

    /// Octets of the content of the next record, if the whole of it is there.
    pub(super) fn next_record(&self) -> Option<usize> {
        let there = self.buffer.get(self.start..self.end)?;
        let length = usize::from(u16::from_be_bytes([*there.get(3)?, *there.get(4)?]));
        (there.len() >= 5 + length).then_some(length)
    }

    /// Room behind what is there; more of it, up to `limit`, only where all of a buffer is in use.
    pub(super) fn room(&mut self, limit: usize) -> io::Result<&mut [u8]> {
        if self.buffer.is_empty() {
            let kept = BUFFERS.with_borrow_mut(Vec::pop);
            self.buffer = kept.unwrap_or_else(|| vec![0; RECORD]);
        }
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.end == self.buffer.len() {
            if self.buffer.len() >= limit {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "more than a message of TLS may have"));
            }
            self.buffer.resize((2 * self.buffer.len()).min(limit), 0);
        }
        Ok(self.buffer.get_mut(self.end..).unwrap_or_default())
    }

    pub(super) fn release_if_empty(&mut self) {
        if self.is_empty() {
            self.release();
        }
    }

    pub(super) fn release(&mut self) {
        let buffer = std::mem::take(&mut self.buffer);
        (self.start, self.end, self.fresh) = (0, 0, false);
        if buffer.len() == RECORD {
            BUFFERS.with_borrow_mut(|kept| {
                if kept.len() < KEPT {
                    kept.push(buffer);
                }
            });
        }
    }
}

/// What is encrypted and not sent yet.
#[derive(Default)]
pub(super) struct Outgoing {
    octets: Vec<u8>,
    start: usize,
}

impl Outgoing {
    pub(super) fn held(&self) -> usize {
        self.octets.capacity()
    }

    pub(super) fn rest(&self) -> &[u8] {
        self.octets.get(self.start..).unwrap_or_default()
    }

    pub(super) fn sent(&mut self, octets: usize) {
        self.start += octets;
        if self.start >= self.octets.len() {
            *self = Outgoing::default();
        }
    }

    /// Appends what `encode` writes to `room` octets; it says how many it needs where they are too few, and nothing where more
    /// are no help.
    pub(super) fn encode(
        &mut self,
        mut room: usize,
        mut encode: impl FnMut(&mut [u8]) -> Result<usize, Option<usize>>,
    ) -> io::Result<()> {
        let before = self.octets.len();
        for _ in 0..2 {
            self.octets.resize(before + room, 0);
            match encode(&mut self.octets[before..]) {
                Ok(written) => {
                    self.octets.truncate(before + written);
                    return Ok(());
                }
                Err(Some(needed)) => room = needed,
                Err(None) => break,
            }
        }
        self.octets.truncate(before);
        Err(io::Error::other("TLS cannot encrypt any more"))
    }
}

/// What is decrypted and not fetched yet.
#[derive(Default)]
pub(super) struct Plain {
    octets: Vec<u8>,
    start: usize,
}

impl Plain {
    pub(super) fn held(&self) -> usize {
        self.octets.capacity()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.octets.is_empty()
    }

    pub(super) fn keep(&mut self, octets: &[u8]) {
        self.octets.extend_from_slice(octets);
    }

    pub(super) fn fetch(&mut self, to: &mut [u8]) -> usize {
        let rest = self.octets.get(self.start..).unwrap_or_default();
        let octets = rest.len().min(to.len());
        to[..octets].copy_from_slice(&rest[..octets]);
        self.start += octets;
        if self.start >= self.octets.len() {
            *self = Plain::default();
        }
        octets
    }
}
