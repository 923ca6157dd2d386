//! How far a mail has come on its way through this host, as its record in the spool says beside its envelope.
//!
//! Pure. What a journey says is written as fields with a tag each, so that one that says nothing takes no octet: so it is for
//! a mail that a client brought and that enters the container as every other. Numbers are little-endian; a text has its length
//! before it. Octets that are no journey are [`Malformed`], whatever they are.

use std::hash::{Hash, Hasher};
use std::rc::Rc;

use crate::mailet::edit::{Edit, Edits};
use crate::mailet::mail::{ATTRIBUTES_MAX, AUTH_NETWORK, Attributes, Value};
use crate::spool::record::NOTES_MAX;
use crate::spool::{Cursor, Malformed};

/// Recipients of one envelope whose folders can be told.
pub const PLACES_MAX: u32 = 65_536;

/// How far a mail has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Journey {
    /// Where it goes; `None`: it enters the container.
    pub route: Option<Route>,
    /// The processor it enters at; `None` is root.
    pub state: Option<Box<str>>,
    /// What went wrong before.
    pub error: Option<Box<str>>,
    /// Walks that failed.
    pub failures: u32,
    /// Its attributes.
    pub attributes: Attributes,
    /// Changes to its header, which whoever reads the content makes.
    pub edits: Edits,
    /// By the recipient's place: its folder, where one was chosen. Behind the last that is named there is none.
    pub folders: Vec<Option<Box<str>>>,
    /// It was made here (a report, a notice, …).
    pub made_here: bool,
}

/// Where a mail goes that has left the container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// Into the mailboxes on this host.
    Mailbox,
    /// To other hosts, with these settings of a `RemoteDelivery`.
    Remote(SettingsName),
    /// By LMTP, with these settings of an `LmtpDelivery`.
    Lmtp(SettingsName),
}

/// Which element's settings, found again after the file was edited: its place in the file, and a hash of what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SettingsName {
    /// Its place among the elements of its class, from 0.
    pub place: u16,
    /// A hash of what it says.
    pub hash: u64,
}

/// A journey says more than a record has room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("attributes, header changes and folders of the mail take more than {NOTES_MAX} octets")]
pub struct TooLong;

impl SettingsName {
    /// The names of all elements of one class, in the order of the file.
    pub fn all<T: Hash>(settings: &[T]) -> Vec<SettingsName> {
        let name = |(place, one): (u16, &T)| {
            let mut hasher = Fnv(0xcbf2_9ce4_8422_2325);
            one.hash(&mut hasher);
            SettingsName { place, hash: hasher.finish() }
        };
        (0..).zip(settings).map(name).collect()
    }

    /// The place in `all` of the element that this was: that which says the same, the nearest of several; else, since what it
    /// says was edited, that which stands where it stood.
    pub fn find(&self, all: &[SettingsName]) -> Option<u16> {
        let alike = all.iter().filter(|one| one.hash == self.hash).min_by_key(|one| one.place.abs_diff(self.place));
        alike.or_else(|| all.get(usize::from(self.place))).map(|one| one.place)
    }
}

/// FNV-1a: the same for every build, which the standard library's own does not promise.
struct Fnv(u64);

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, octets: &[u8]) {
        for octet in octets {
            self.0 = (self.0 ^ u64::from(*octet)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

const ROUTE: u8 = 1;
const STATE: u8 = 2;
const ERROR: u8 = 3;
const FAILURES: u8 = 4;
const ATTRIBUTE: u8 = 5;
const EDIT: u8 = 6;
const FOLDER: u8 = 7;
const MADE_HERE: u8 = 8;

impl Journey {
    /// Of a mail that a client has brought: whether it goes straight into the mailboxes, and whether the client was in an
    /// authorized network.
    pub fn of_client(straight: bool, authorized: bool) -> Journey {
        let mut journey = Journey { route: straight.then_some(Route::Mailbox), ..Journey::default() };
        if authorized {
            journey.attributes.set(AUTH_NETWORK, Value::Flag(true));
        }
        journey
    }

    /// The folder of the recipient at that place of the envelope.
    pub fn folder(&self, place: u32) -> Option<&str> {
        self.folders.get(place as usize)?.as_deref()
    }

    /// What is written in the record; nothing for a journey that says nothing.
    ///
    /// # Errors
    ///
    /// Where that is more than [`NOTES_MAX`] octets.
    pub fn encode(&self) -> Result<Vec<u8>, TooLong> {
        let mut out = Fields(Vec::new());
        match &self.route {
            None => {}
            Some(Route::Mailbox) => out.field(ROUTE, |to| to.push(0)),
            Some(Route::Remote(name)) => out.field(ROUTE, |to| put_name(1, name, to)),
            Some(Route::Lmtp(name)) => out.field(ROUTE, |to| put_name(2, name, to)),
        }
        for (tag, text) in [(STATE, &self.state), (ERROR, &self.error)] {
            if let Some(text) = text {
                out.field(tag, |to| to.extend_from_slice(text.as_bytes()));
            }
        }
        if self.failures > 0 {
            out.field(FAILURES, |to| to.extend_from_slice(&self.failures.to_le_bytes()));
        }
        for (name, value) in self.attributes.iter() {
            out.field(ATTRIBUTE, |to| {
                put_text(name, to);
                put_value(value, to);
            });
        }
        for edit in &self.edits.0 {
            out.field(EDIT, |to| put_edit(edit, to));
        }
        for (place, folder) in (0u32..).zip(&self.folders) {
            let Some(folder) = folder else { continue };
            if place >= PLACES_MAX {
                return Err(TooLong);
            }
            out.field(FOLDER, |to| {
                to.extend_from_slice(&place.to_le_bytes());
                to.extend_from_slice(folder.as_bytes());
            });
        }
        if self.made_here {
            out.field(MADE_HERE, |_| ());
        }
        if out.0.len() <= NOTES_MAX { Ok(out.0) } else { Err(TooLong) }
    }

    /// Reads what [`Journey::encode`] wrote.
    ///
    /// # Errors
    ///
    /// Where something else was written. A field that is not known would be disobeyed if it were left out, so it is an error.
    pub fn decode(notes: &[u8]) -> Result<Journey, Malformed> {
        let mut journey = Journey::default();
        if notes.len() > NOTES_MAX {
            return Err(Malformed);
        }
        let (mut cursor, mut attributes) = (Cursor::new(notes), 0);
        while !cursor.is_at_end() {
            let (tag, length) = (cursor.u8()?, cursor.u32()?);
            let payload = cursor.take(length as usize)?;
            let mut field = Cursor::new(payload);
            match tag {
                ROUTE => journey.route = Some(route(&mut field)?),
                STATE => journey.state = Some(rest(&mut field, payload.len())?.into()),
                ERROR => journey.error = Some(rest(&mut field, payload.len())?.into()),
                FAILURES => journey.failures = field.u32()?,
                ATTRIBUTE => {
                    attributes += 1;
                    let (name, value) = (text(&mut field)?, value(&mut field)?);
                    if attributes > ATTRIBUTES_MAX || journey.attributes.get(name).is_some() {
                        return Err(Malformed);
                    }
                    journey.attributes.set(name, value);
                }
                EDIT => journey.edits.0.push(edit(&mut field)?),
                FOLDER => {
                    let place = field.u32()?;
                    let folder = rest(&mut field, payload.len() - 4)?;
                    if place >= PLACES_MAX {
                        return Err(Malformed);
                    }
                    let needed = place as usize + 1;
                    journey.folders.resize(needed.max(journey.folders.len()), None);
                    journey.folders[place as usize] = Some(folder.into());
                }
                MADE_HERE => journey.made_here = true,
                _ => return Err(Malformed),
            }
            if !field.is_at_end() {
                return Err(Malformed);
            }
        }
        Ok(journey)
    }

    /// Its edits, to be shared with others.
    pub fn shared_edits(&self) -> Rc<Edits> {
        Rc::new(self.edits.clone())
    }
}

/// Fields that are being written.
struct Fields(Vec<u8>);

impl Fields {
    fn field(&mut self, tag: u8, write: impl FnOnce(&mut Vec<u8>)) {
        self.0.extend_from_slice(&[tag, 0, 0, 0, 0]);
        let start = self.0.len();
        write(&mut self.0);
        let length = (self.0.len() - start) as u32;
        self.0[start - 4..start].copy_from_slice(&length.to_le_bytes());
    }
}

fn put_text(text: &str, to: &mut Vec<u8>) {
    to.extend_from_slice(&(text.len() as u32).to_le_bytes());
    to.extend_from_slice(text.as_bytes());
}

fn text<'a>(cursor: &mut Cursor<'a>) -> Result<&'a str, Malformed> {
    let length = cursor.u32()?;
    rest(cursor, length as usize)
}

/// A text of that many octets, which is all that is left of its field.
fn rest<'a>(cursor: &mut Cursor<'a>, length: usize) -> Result<&'a str, Malformed> {
    std::str::from_utf8(cursor.take(length)?).map_err(|_| Malformed)
}

fn put_name(kind: u8, name: &SettingsName, to: &mut Vec<u8>) {
    to.push(kind);
    to.extend_from_slice(&name.place.to_le_bytes());
    to.extend_from_slice(&name.hash.to_le_bytes());
}

fn route(cursor: &mut Cursor<'_>) -> Result<Route, Malformed> {
    let kind = cursor.u8()?;
    let mut name =
        || -> Result<SettingsName, Malformed> { Ok(SettingsName { place: cursor.u16()?, hash: cursor.u64()? }) };
    match kind {
        0 => Ok(Route::Mailbox),
        1 => Ok(Route::Remote(name()?)),
        2 => Ok(Route::Lmtp(name()?)),
        _ => Err(Malformed),
    }
}

fn put_value(value: &Value, to: &mut Vec<u8>) {
    match value {
        Value::Text(text) => {
            to.push(0);
            put_text(text, to);
        }
        Value::Flag(flag) => to.extend_from_slice(&[1, u8::from(*flag)]),
        Value::Number(number) => {
            to.push(2);
            to.extend_from_slice(&number.to_le_bytes());
        }
    }
}

fn value(cursor: &mut Cursor<'_>) -> Result<Value, Malformed> {
    match cursor.u8()? {
        0 => Ok(Value::Text(text(cursor)?.into())),
        1 => match cursor.u8()? {
            0 => Ok(Value::Flag(false)),
            1 => Ok(Value::Flag(true)),
            _ => Err(Malformed),
        },
        2 => Ok(Value::Number(cursor.u64()? as i64)),
        _ => Err(Malformed),
    }
}

fn put_edit(edit: &Edit, to: &mut Vec<u8>) {
    let (kind, texts): (u8, [Option<&str>; 2]) = match edit {
        Edit::Add { name, value } => (0, [Some(name), Some(value)]),
        Edit::Prepend { name, value } => (1, [Some(name), Some(value)]),
        Edit::Replace { name, value } => (2, [Some(name), value.as_deref()]),
        Edit::RemovePrefix(prefix) => (3, [Some(prefix), None]),
        Edit::SubjectPrefix(prefix) => (4, [Some(prefix), None]),
        Edit::DeliveredTo => (5, [None, None]),
    };
    to.push(kind);
    texts.into_iter().flatten().for_each(|text| put_text(text, to));
}

fn edit(cursor: &mut Cursor<'_>) -> Result<Edit, Malformed> {
    match cursor.u8()? {
        0 => Ok(Edit::Add { name: text(cursor)?.into(), value: text(cursor)?.into() }),
        1 => Ok(Edit::Prepend { name: text(cursor)?.into(), value: text(cursor)?.into() }),
        2 => {
            let name = text(cursor)?.into();
            let value = if cursor.is_at_end() { None } else { Some(text(cursor)?.into()) };
            Ok(Edit::Replace { name, value })
        }
        3 => Ok(Edit::RemovePrefix(text(cursor)?.into())),
        4 => Ok(Edit::SubjectPrefix(text(cursor)?.into())),
        5 => Ok(Edit::DeliveredTo),
        _ => Err(Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text() -> impl Strategy<Value = Box<str>> {
        ".{0,12}".prop_map(String::into_boxed_str)
    }

    fn values() -> impl Strategy<Value = Value> {
        prop_oneof![
            text().prop_map(Value::Text),
            any::<bool>().prop_map(Value::Flag),
            any::<i64>().prop_map(Value::Number),
        ]
    }

    fn edits() -> impl Strategy<Value = Edit> {
        prop_oneof![
            (text(), text()).prop_map(|(name, value)| Edit::Add { name, value }),
            (text(), text()).prop_map(|(name, value)| Edit::Prepend { name, value }),
            (text(), proptest::option::of(text())).prop_map(|(name, value)| Edit::Replace { name, value }),
            text().prop_map(Edit::RemovePrefix),
            text().prop_map(Edit::SubjectPrefix),
            Just(Edit::DeliveredTo),
        ]
    }

    fn routes() -> impl Strategy<Value = Option<Route>> {
        let name = || (any::<u16>(), any::<u64>()).prop_map(|(place, hash)| SettingsName { place, hash });
        proptest::option::of(prop_oneof![
            Just(Route::Mailbox),
            name().prop_map(Route::Remote),
            name().prop_map(Route::Lmtp),
        ])
    }

    fn journeys() -> impl Strategy<Value = Journey> {
        let texts = || proptest::option::of(text());
        let attributes = proptest::collection::vec((text(), values()), 0..8);
        let folders = proptest::collection::vec(texts(), 0..6);
        let edits = proptest::collection::vec(edits(), 0..6);
        (routes(), texts(), texts(), any::<u32>(), attributes, edits, folders, any::<bool>()).prop_map(
            |(route, state, error, failures, list, edits, mut folders, made_here)| {
                let mut attributes = Attributes::default();
                list.into_iter().for_each(|(name, value)| attributes.set(&name, value));
                while folders.last().is_some_and(Option::is_none) {
                    folders.pop();
                }
                Journey { route, state, error, failures, attributes, edits: Edits(edits), folders, made_here }
            },
        )
    }

    proptest! {
        #[test]
        fn it_reads_back_and_no_part_of_it_does(journey in journeys()) {
            let notes = journey.encode().expect("it is short");
            let read = Journey::decode(&notes).expect("it was written");
            prop_assert_eq!(&read, &journey);
            for cut in 0..notes.len() {
                // What is whole before a cut is another journey, and never this one.
                prop_assert_ne!(Journey::decode(&notes[..cut]).ok(), Some(journey.clone()));
            }
        }

        #[test]
        fn whatever_is_read_is_written_alike(notes in proptest::collection::vec(any::<u8>(), 0..64), tag in 1u8..9) {
            let field = [&[tag], &(notes.len() as u32).to_le_bytes()[..], &notes].concat();
            for octets in [&notes, &field] {
                if let Ok(journey) = Journey::decode(octets) {
                    let again = journey.encode().expect("it is short");
                    prop_assert_eq!(Journey::decode(&again), Ok(journey));
                }
            }
        }
    }

    #[test]
    fn a_mail_that_a_client_brought_has_nothing_written() {
        assert_eq!(Journey::default().encode(), Ok(Vec::new()));
        assert_eq!(Journey::decode(&[]), Ok(Journey::default()));
    }

    #[test]
    fn it_is_bounded() {
        let long = Journey { error: Some("x".repeat(NOTES_MAX).into()), ..Journey::default() };
        assert_eq!(long.encode(), Err(TooLong));
        let far = |place: u32| [&[FOLDER, 5, 0, 0, 0], &place.to_le_bytes()[..], b"f"].concat();
        assert_eq!(Journey::decode(&far(PLACES_MAX)), Err(Malformed));
        assert_eq!(Journey::decode(&far(7)).map(|read| read.folder(7).map(str::to_owned)), Ok(Some("f".into())));
        let attribute =
            |n: usize| [&[ATTRIBUTE, 10, 0, 0, 0, 4, 0, 0, 0], format!("{n:04}").as_bytes(), &[1, 1]].concat();
        let many = |count: usize| (0..count).flat_map(attribute).collect::<Vec<u8>>();
        assert!(Journey::decode(&many(ATTRIBUTES_MAX)).is_ok());
        assert_eq!(Journey::decode(&many(ATTRIBUTES_MAX + 1)), Err(Malformed));
    }

    #[test]
    fn settings_are_found_again_after_the_file_was_edited() {
        let names = SettingsName::all(&["a", "b", "a", "c"]);
        assert_eq!(names.iter().map(|name| name.find(&names)).collect::<Vec<_>>(), [0, 1, 2, 3].map(Some));
        // A new one came before it, and it was changed itself.
        let edited = SettingsName::all(&["new", "a", "b", "d"]);
        assert_eq!(names.iter().map(|name| name.find(&edited)).collect::<Vec<_>>(), [1, 2, 1, 3].map(Some));
        assert_eq!(names[3].find(&edited[..2]), None);
    }
}
