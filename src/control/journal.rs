//! Events on their way from a core to the log: a bounded ring of octets that the core never waits for.
//!
//! An event is a name and fields. When the ring fills up because the log's reader is slow, the least important events are
//! dropped first, and counted.

use std::cell::RefCell;
use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rtrb::{Consumer, Producer, RingBuffer};

use crate::mail::octets::{append, append_number};
use crate::mail::{MessageId, SessionId};

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// How much it matters.
    pub level: Level,
    /// Microseconds since the Unix epoch.
    pub time: u64,
    /// What happened.
    pub name: &'a [u8],
    /// The rest, in order.
    pub fields: Fields<'a>,
}

/// The fields of an event: key and value, key and value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fields<'a>(&'a [u8]);

/// What a field says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// A text, whose last character may be cut.
    Text(&'a [u8]),
    /// A number.
    Number(u64),
    /// The name of a message or a session.
    Id(u64),
}

impl Value<'_> {
    /// Appends the value as it shows itself.
    pub fn write(self, to: &mut Vec<u8>) {
        match self {
            Value::Text(text) => to.extend_from_slice(text),
            Value::Number(number) => append_number(number, to),
            Value::Id(id) => MessageId(id).write(to),
        }
    }
}

/// An event that is being noted. Numbers and names go to the log as they are, and become text on its thread.
pub struct Note<'a>(&'a mut Vec<u8>);

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
        self.note_with(level, time, name, |note| fields.iter().for_each(|(key, value)| note.shown(key, value)));
    }

    /// The same with fields that need not be made before.
    pub fn note_with(&self, level: Level, time: u64, name: &str, fields: impl FnOnce(&mut Note<'_>)) {
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

/// Octets of an event before its name: its length in all (two octets), level, time, and the name's length.
const HEAD: usize = 2 + 1 + 8 + 1;

/// An event in the ring: its head, its name, then fields.
fn encode(level: Level, time: u64, name: &str, fields: impl FnOnce(&mut Note<'_>), to: &mut Vec<u8>) {
    let name = short(name);
    let mut head = [0, 0, level as u8, 0, 0, 0, 0, 0, 0, 0, 0, name.len() as u8];
    head[3..HEAD - 1].copy_from_slice(&time.to_le_bytes());
    to.clear();
    to.extend_from_slice(&head);
    to.extend_from_slice(name);
    fields(&mut Note(to));
    let length = (to.len() as u16).to_le_bytes();
    to[..2].copy_from_slice(&length);
}

/// As much of a name or key as is kept: all of any that there is.
fn short(name: &str) -> &[u8] {
    let name = name.as_bytes();
    &name[..name.len().min(255)]
}

/// Octets of a field before its key: what it is, the key's length, and the value's (two octets).
const FIELD: usize = 1 + 1 + 2;

const TEXT: u8 = 0;
const NUMBER: u8 = 1;
const ID: u8 = 2;

impl Note<'_> {
    /// What shows itself so.
    pub fn shown(&mut self, key: &str, value: impl Display) {
        self.text(key, |to| append(value, to));
    }

    /// The text that is appended.
    pub fn text(&mut self, key: &str, value: impl FnOnce(&mut Vec<u8>)) {
        self.field(TEXT, key, value);
    }

    /// A number.
    pub fn number(&mut self, key: &str, value: u64) {
        self.word(NUMBER, key, value);
    }

    /// A message.
    pub fn message(&mut self, key: &str, id: MessageId) {
        self.word(ID, key, id.0);
    }

    /// A session.
    pub fn session(&mut self, key: &str, id: SessionId) {
        self.word(ID, key, id.0);
    }

    fn word(&mut self, kind: u8, key: &str, value: u64) {
        self.field(kind, key, |to| to.extend_from_slice(&value.to_le_bytes()));
    }

    fn field(&mut self, kind: u8, key: &str, value: impl FnOnce(&mut Vec<u8>)) {
        let (Note(to), key) = (self, short(key));
        let start = to.len();
        to.extend_from_slice(&[kind, key.len() as u8, 0, 0]);
        to.extend_from_slice(key);
        let before = to.len();
        value(to);
        let length = (to.len() - before).min(EVENT);
        to.truncate(before + length);
        to[start + 2..start + FIELD].copy_from_slice(&(length as u16).to_le_bytes());
        if to.len() > EVENT {
            to.truncate(start);
        }
    }
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
    let (time, rest) = rest.split_first_chunk::<8>()?;
    let (length, rest) = rest.split_first()?;
    let (name, rest) = rest.split_at_checked(usize::from(*length))?;
    Some(Event { level: Level::from_octet(*level), time: u64::from_le_bytes(*time), name, fields: Fields(rest) })
}

impl<'a> Iterator for Fields<'a> {
    type Item = (&'a [u8], Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let ([kind, key, low, high], rest) = self.0.split_first_chunk::<FIELD>()?;
        let (key, rest) = rest.split_at_checked(usize::from(*key))?;
        let (value, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes([*low, *high])))?;
        self.0 = rest;
        let number = || value.try_into().map(u64::from_le_bytes).unwrap_or_default();
        let value = match *kind {
            NUMBER => Value::Number(number()),
            ID => Value::Id(number()),
            _ => Value::Text(value),
        };
        Some((key, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text<'a>((key, value): (&'a str, &'a str)) -> (&'a [u8], Value<'a>) {
        (key.as_bytes(), Value::Text(value.as_bytes()))
    }

    #[test]
    fn events_come_out_as_they_went_in() {
        let (journal, mut reader) = ring(Level::Info);
        journal.note(Level::Session, 1, "connect", &[]);
        journal.note(Level::Info, 2, "accepted", &[("id", &77), ("from", &"<a@b>")]);
        let long = "x".repeat(3 * EVENT);
        journal.note(Level::Error, 3, "trouble", &[("first", &1), ("long", &long), ("last", &"")]);
        let event = reader.take().expect("an event");
        assert_eq!((event.level, event.time, event.name), (Level::Info, 2, b"accepted".as_slice()));
        assert_eq!(event.fields.collect::<Vec<_>>(), [("id", "77"), ("from", "<a@b>")].map(text));
        let event = reader.take().expect("an event");
        assert_eq!(event.fields.collect::<Vec<_>>(), [("first", "1"), ("last", "")].map(text));
        assert_eq!(reader.take(), None);
        assert_eq!(reader.take_dropped(), 0);
    }

    #[test]
    fn numbers_and_names_are_not_made_text() {
        let (journal, mut reader) = ring(Level::Info);
        journal.note_with(Level::Info, u64::MAX, "accepted", |note| {
            note.message("id", MessageId(77));
            note.session("session", SessionId(u64::MAX));
            note.text("from", |to| to.extend_from_slice(b"<a@b>"));
            note.number("size", 4096);
        });
        let event = reader.take().expect("an event");
        let expected = [
            (b"id".as_slice(), Value::Id(77)),
            (b"session", Value::Id(u64::MAX)),
            text(("from", "<a@b>")),
            (b"size", Value::Number(4096)),
        ];
        assert_eq!((event.time, event.fields.collect::<Vec<_>>()), (u64::MAX, expected.to_vec()));
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
