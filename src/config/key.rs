//! One key of a file, as data: how often it is written, what ringpost makes of it, and what it is where it is not written.
//! The walk over a file, `ringpost check` and docs/COMPATIBILITY.md all read the same tables.

use super::value::{self, Expected};

/// What ringpost makes of a key or a class.
#[derive(Clone, Copy, Debug)]
pub enum Standing {
    /// It does what it does in James.
    Honoured,
    /// It is obeyed, and differs from James: how and why.
    Differently(&'static str),
    /// It is an older spelling of the key named, and read as that. A warning.
    Older(&'static str),
    /// James reads no such key there; the text says what does count. A warning.
    Misplaced(&'static str),
    /// ringpost has read it once and does not any more; the text says what to do instead. An error.
    Gone(&'static str),
    /// It has no meaning here; the text says why. A note.
    Meaningless(&'static str),
    /// It is read and checked, and belongs to something that is not done yet. A note.
    Waits(&'static str),
    /// It is not done yet, and nobody is less safe without it; the text says what happens instead. A warning.
    Later(&'static str),
    /// It protects or restricts, and is not done yet; the text says what is not done, and what to write instead. An error.
    Protects(&'static str),
}

/// How often a key may be written, and who reads what is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occurs {
    /// Once; of several elements the first counts, as in James.
    Once,
    /// Any number of times.
    Often,
    /// Any number of times; what is inside is walked on its own.
    Apart,
}

/// What a key is where it is not written. The texts are as one would write them, or say what is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Defaults {
    /// In James' documentation.
    pub documented: &'static str,
    /// In James' code.
    pub code: &'static str,
    /// Here.
    pub ringpost: &'static str,
}

/// One key: the names from the element that is walked, joined by `/`, an attribute with `@`.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Such as `tls/@startTLS`.
    pub path: &'static str,
    /// How often it may be written.
    pub occurs: Occurs,
    /// What ringpost makes of it.
    pub standing: Standing,
    /// What it is where it is not written, if anything.
    pub defaults: Option<Defaults>,
    /// Whether a value asks for nothing, so that nothing is to be said of what is not done.
    pub idle: Option<fn(&str) -> bool>,
    /// Whether a value is right, where nobody reads it who would say so.
    pub check: Option<Check>,
}

/// Says whether a value is right.
pub type Check = fn(&str) -> Result<(), Expected>;

/// A key that is honoured and may be written once; the methods say otherwise.
pub const fn key(path: &'static str) -> Key {
    Key { path, occurs: Occurs::Once, standing: Standing::Honoured, defaults: None, idle: None, check: None }
}

impl Key {
    /// It may be repeated.
    pub const fn often(self) -> Key {
        Key { occurs: Occurs::Often, ..self }
    }

    /// It may be repeated, and is walked on its own.
    pub const fn apart(self) -> Key {
        Key { occurs: Occurs::Apart, ..self }
    }

    /// It is obeyed, and differs from James.
    pub const fn differently(self, how: &'static str) -> Key {
        Key { standing: Standing::Differently(how), ..self }
    }

    /// It is an older spelling of the key `today`.
    pub const fn older(self, today: &'static str) -> Key {
        Key { standing: Standing::Older(today), ..self }
    }

    /// James reads no such key there.
    pub const fn misplaced(self, right: &'static str) -> Key {
        Key { standing: Standing::Misplaced(right), ..self }
    }

    /// It is read no more.
    pub const fn gone(self, instead: &'static str) -> Key {
        Key { standing: Standing::Gone(instead), ..self }
    }

    /// It has no meaning here.
    pub const fn meaningless(self, why: &'static str) -> Key {
        Key { standing: Standing::Meaningless(why), ..self }
    }

    /// It belongs to something that is not done yet.
    pub const fn waits(self, what: &'static str) -> Key {
        Key { standing: Standing::Waits(what), ..self }
    }

    /// It is not done yet and does no harm by that.
    pub const fn later(self, instead: &'static str) -> Key {
        Key { standing: Standing::Later(instead), ..self }
    }

    /// It protects and is not done yet; a value that `idle` knows asks for nothing.
    pub const fn protects(self, idle: fn(&str) -> bool, advice: &'static str) -> Key {
        Key { standing: Standing::Protects(advice), idle: Some(idle), ..self }
    }

    /// A value that `idle` knows asks for nothing.
    pub const fn unless(self, idle: fn(&str) -> bool) -> Key {
        Key { idle: Some(idle), ..self }
    }

    /// The same default everywhere.
    pub const fn default(self, value: &'static str) -> Key {
        self.defaults(value, value, value)
    }

    /// The defaults in James' documentation, in James' code, and here.
    pub const fn defaults(self, documented: &'static str, code: &'static str, ringpost: &'static str) -> Key {
        Key { defaults: Some(Defaults { documented, code, ringpost }), ..self }
    }

    /// Its value must please `check`.
    pub const fn checked(self, check: Check) -> Key {
        Key { check: Some(check), ..self }
    }
}

impl Standing {
    /// Whether ringpost does it.
    pub fn is_done(self) -> bool {
        matches!(self, Standing::Honoured | Standing::Differently(_) | Standing::Older(_))
    }
}

/// Whether a Boolean is false, so that it asks for nothing.
pub fn is_false(text: &str) -> bool {
    value::boolean(text) == Ok(false)
}

/// Accepts Booleans.
pub fn boolean(text: &str) -> Result<(), Expected> {
    value::boolean(text).map(drop)
}

/// Accepts whole numbers.
pub fn whole(text: &str) -> Result<(), Expected> {
    value::number(text, 0, u64::from(u32::MAX)).map(drop)
}

/// Accepts anything but nothing.
pub fn something(text: &str) -> Result<(), Expected> {
    if text.is_empty() { Err("a value".to_owned()) } else { Ok(()) }
}
