//! Events on their way from a core to the log: a bounded ring of octets that the core never waits for.
//!
//! An event is a name and fields. When the ring fills up because the log's reader is slow, the least important events are
//! dropped first, and counted.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rtrb::{Consumer, Producer, RingBuffer};

use crate::mail::octets::append;

/// Octets of a core's ring.
const RING: usize = 1024 * 1024;

/// Octets of an event at most; fields beyond are left out.
const EVENT: usize = 4096;

/// How much an event matters: to the reader, and when room is short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// For those who look for a fault.
    Debug = 0,
    /// Sessions: who came and went. Shown as information, and the first to go when room is short.
    Session = 1,
    /// Mail: what was accepted, refused, delivered.
    Info = 2,
    /// Something an operator should look at.
    Warning = 3,
    /// Something an operator must look at.
    Error = 4,
}

impl Level {
    /// Its name in the log.
    pub fn name(self) -> &'static str {
        ["debug", "info", "info", "warn", "error"][self as usize]
    }

    fn from_octet(octet: u8) -> Level {
        match octet {
            0 => Level::Debug,
            1 => Level::Session,
            2 => Level::Info,
            3 => Level::Warning,
            _ => Level::Error,
        }
    }

    /// Octets of the ring that must stay free behind an event of this level.
    fn kept_free(self) -> usize {
        match self {
            Level::Debug | Level::Session => RING / 2,
            Level::Info => RING / 16,
            Level::Warning | Level::Error => 0,
        }
    }
}

/// A field of an event.
pub type Field<'a> = (&'static str, &'a dyn Display);

/// One core's (or thread's) end of a ring.
pub struct Journal {
    least: Level,
    ring: RefCell<Producer<u8>>,
    scratch: RefCell<Vec<u8>>,
    dropped: Arc<AtomicU64>,
}

/// The log's end of a ring.
pub struct Reader {
    ring: Consumer<u8>,
    dropped: Arc<AtomicU64>,
    scratch: Vec<u8>,
}

/// An event as the log reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// How much it matters.
    pub level: Level,
    /// Microseconds since the Unix epoch.
    pub time: u64,
    /// What happened.
    pub name: Cow<'a, str>,
    /// The rest, in order.
    pub fields: Fields<'a>,
}

/// The fields of an event: key and value, key and value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fields<'a>(&'a [u8]);

/// Both ends of a ring; events below `least` are not written.
pub fn ring(least: Level) -> (Journal, Reader) {
    let (producer, consumer) = RingBuffer::new(RING);
    let dropped = Arc::new(AtomicU64::new(0));
    let journal = Journal {
        least,
        ring: RefCell::new(producer),
        scratch: RefCell::new(Vec::with_capacity(EVENT)),
        dropped: dropped.clone(),
    };
    (journal, Reader { ring: consumer, dropped, scratch: Vec::new() })
}

impl Journal {
    /// Notes an event that happened at `time` (microseconds since the Unix epoch). Never waits; allocates nothing.
    pub fn note(&self, level: Level, time: u64, name: &str, fields: &[Field<'_>]) {
        if level < self.least {
            return;
        }
        let mut scratch = self.scratch.borrow_mut();
        encode(level, time, name, fields, &mut scratch);
        let mut ring = self.ring.borrow_mut();
        let room = ring.slots() >= scratch.len() + level.kept_free();
        let written = room && ring.push_entire_slice(&scratch).is_ok();
        if !written {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// An event in the ring: its length in all (two octets), level, time, then texts, each behind its length (two octets).
fn encode(level: Level, time: u64, name: &str, fields: &[Field<'_>], to: &mut Vec<u8>) {
    to.clear();
    to.extend_from_slice(&[0, 0, level as u8]);
    to.extend_from_slice(&time.to_le_bytes());
    put(to, |to| to.extend_from_slice(name.as_bytes()));
    for (key, value) in fields {
        let before = to.len();
        put(to, |to| to.extend_from_slice(key.as_bytes()));
        put(to, |to| append(value, to));
        if to.len() > EVENT {
            to.truncate(before);
        }
    }
    let length = (to.len() as u16).to_le_bytes();
    to[..2].copy_from_slice(&length);
}

fn put(to: &mut Vec<u8>, text: impl FnOnce(&mut Vec<u8>)) {
    let start = to.len();
    to.extend_from_slice(&[0, 0]);
    text(to);
    let length = (to.len() - start - 2).min(EVENT);
    to.truncate(start + 2 + length);
    to[start..start + 2].copy_from_slice(&(length as u16).to_le_bytes());
}

impl Reader {
    /// The next event, if one is there.
    pub fn take(&mut self) -> Option<Event<'_>> {
        let mut length = [0; 2];
        self.ring.pop_entire_slice(&mut length).ok()?;
        let rest = usize::from(u16::from_le_bytes(length)).checked_sub(2)?;
        self.scratch.resize(rest, 0);
        self.ring.pop_entire_slice(&mut self.scratch).ok()?;
        decode(&self.scratch)
    }

    /// Events dropped since this was last asked.
    pub fn take_dropped(&self) -> u64 {
        self.dropped.swap(0, Ordering::Relaxed)
    }
}

fn decode(octets: &[u8]) -> Option<Event<'_>> {
    let (level, rest) = octets.split_first()?;
    let (time, mut rest) = rest.split_first_chunk::<8>()?;
    let name = take_text(&mut rest)?;
    Some(Event { level: Level::from_octet(*level), time: u64::from_le_bytes(*time), name, fields: Fields(rest) })
}

fn take_text<'a>(rest: &mut &'a [u8]) -> Option<Cow<'a, str>> {
    let (length, after) = rest.split_first_chunk::<2>()?;
    let (text, after) = after.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
    *rest = after;
    // Nearly all of it is text, which is seen faster than where it is not.
    Some(std::str::from_utf8(text).map_or_else(|_| String::from_utf8_lossy(text), Cow::Borrowed))
}

impl<'a> Iterator for Fields<'a> {
    type Item = (Cow<'a, str>, Cow<'a, str>);

    fn next(&mut self) -> Option<Self::Item> {
        Some((take_text(&mut self.0)?, take_text(&mut self.0)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned((key, value): (&str, &str)) -> (String, String) {
        (key.to_owned(), value.to_owned())
    }

    fn fields(event: &Event<'_>) -> Vec<(String, String)> {
        event.fields.map(|(key, value)| owned((&key, &value))).collect()
    }

    #[test]
    fn events_come_out_as_they_went_in() {
        let (journal, mut reader) = ring(Level::Info);
        journal.note(Level::Session, 1, "connect", &[]);
        journal.note(Level::Info, 2, "accepted", &[("id", &77), ("from", &"<a@b>")]);
        let long = "x".repeat(3 * EVENT);
        journal.note(Level::Error, 3, "trouble", &[("first", &1), ("long", &long), ("last", &"")]);
        let event = reader.take().expect("an event");
        assert_eq!((event.level, event.time, &*event.name), (Level::Info, 2, "accepted"));
        assert_eq!(fields(&event), [("id", "77"), ("from", "<a@b>")].map(owned));
        let event = reader.take().expect("an event");
        assert_eq!(fields(&event), [("first", "1"), ("last", "")].map(owned));
        assert_eq!(reader.take(), None);
        assert_eq!(reader.take_dropped(), 0);
    }

    #[test]
    fn what_matters_least_is_dropped_first_and_counted() {
        let (journal, mut reader) = ring(Level::Session);
        let text = "x".repeat(1000);
        for level in [Level::Session, Level::Info, Level::Error] {
            for _ in 0..2000 {
                journal.note(level, 0, "event", &[("text", &text)]);
            }
        }
        let mut kept = [0u64; 5];
        while let Some(event) = reader.take() {
            kept[event.level as usize] += 1;
        }
        let [_, detail, info, _, error] = kept;
        assert!(detail > 400 && info > 400 && error > 40, "{kept:?}");
        assert!(detail < 600 && error < 100, "{kept:?}");
        assert_eq!(reader.take_dropped(), 6000 - detail - info - error);
    }
}
