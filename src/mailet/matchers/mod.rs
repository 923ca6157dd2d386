//! Matchers: for which of a mail's recipients a mailet is. A file a family.
//!
//! A matcher is a value that looks at a [`View`] and says who matches, or what it must know first. It changes nothing.

pub mod attribute;
pub mod composite;
pub mod content;
pub mod delivery;
pub mod domain;
pub mod header;
pub mod recipient;
pub mod remote;
pub mod sender;
pub mod size;

use std::borrow::Cow;
use std::fmt;
use std::rc::Rc;

use super::dkim::{BodyHash, Canonicalization};
use super::mail::{Attributes, Body, Facts, Form, Recipient};
use super::question::{Question, Rewritten};
use crate::directory;
use crate::mail::Domain;

/// Who matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Matched {
    /// Everybody.
    All,
    /// Nobody.
    None,
    /// Those whose place in the list says so.
    Some(Vec<bool>),
}

impl Matched {
    /// Everybody or nobody.
    pub fn all_if(matches: bool) -> Matched {
        if matches { Matched::All } else { Matched::None }
    }

    /// Each as `matches` says; a list is made only where not all are alike.
    pub fn each(recipients: &[Recipient], mut matches: impl FnMut(&Recipient) -> bool) -> Matched {
        let Some((first, rest)) = recipients.split_first() else { return Matched::None };
        let of_first = matches(first);
        for (place, recipient) in rest.iter().enumerate() {
            if matches(recipient) != of_first {
                let mut list = Vec::with_capacity(recipients.len());
                list.resize(place + 1, of_first);
                list.push(!of_first);
                list.extend(rest.iter().skip(place + 1).map(matches));
                return Matched::Some(list);
            }
        }
        Matched::all_if(of_first)
    }

    /// Whether the recipient at that place matches.
    pub fn at(&self, place: usize) -> bool {
        match self {
            Matched::All => true,
            Matched::None => false,
            Matched::Some(list) => list.get(place).copied().unwrap_or(false),
        }
    }

    /// Those that it was not.
    #[must_use]
    pub fn negated(self) -> Matched {
        match self {
            Matched::All => Matched::None,
            Matched::None => Matched::All,
            Matched::Some(list) => Matched::Some(list.into_iter().map(|one| !one).collect()),
        }
    }

    /// Two results joined, recipient by recipient; `count` is how many there are.
    #[must_use]
    pub fn joined(self, other: Matched, count: usize, join: impl Fn(bool, bool) -> bool) -> Matched {
        if let (Matched::All | Matched::None, Matched::All | Matched::None) = (&self, &other) {
            return Matched::all_if(join(self == Matched::All, other == Matched::All));
        }
        let list: Vec<bool> = (0..count).map(|place| join(self.at(place), other.at(place))).collect();
        match list.first() {
            Some(first) if list.iter().all(|one| one == first) => Matched::all_if(*first),
            Some(_) => Matched::Some(list),
            None => Matched::None,
        }
    }
}

/// Why a matcher or mailet cannot say yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It must know this first.
    Ask(Question),
    /// It failed: what went wrong.
    Fail(Rc<str>),
}

/// What is known so far, for one walk.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// The header as it came.
    pub header: Option<Rc<[u8]>>,
    /// The content as it came; or that there is too much of it.
    pub content: Option<Result<Rc<[u8]>, TooBig>>,
    /// Hashes of the body as it came.
    pub body_hashes: Vec<(Canonicalization, BodyHash)>,
    /// What the directory says of the sender.
    pub sender: Option<directory::Place>,
    /// What the rewrite table makes of the sender.
    pub sender_rewritten: Option<Rewritten>,
    /// Which domains exist.
    pub exists: Vec<(Domain, bool)>,
    /// Which lists have the client.
    pub listed: Vec<(Box<str>, bool)>,
}

/// There is more content than is read at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooBig;

/// Octets of content that matchers look at and mailets change.
pub const CONTENT_MAX: usize = 32 << 20;

/// A mail as a matcher sees it.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// What does not change.
    pub facts: &'a Facts,
    /// What is known so far.
    pub known: &'a Known,
    /// The recipients.
    pub recipients: &'a [Recipient],
    /// The attributes.
    pub attributes: &'a Attributes,
    /// How the content looks by now.
    pub form: &'a Form,
    /// Whether something went wrong on the way here.
    pub failed: bool,
}

impl<'a> View<'a> {
    /// The header as it is by now.
    pub fn header(&self) -> Result<Cow<'a, [u8]>, Stop> {
        let header = match (&self.form.body, &self.known.header) {
            (Body::Changed(content), _) => super::header::split(content).0,
            (Body::Original, Some(header)) => header,
            (Body::Original, None) => return Err(Stop::Ask(Question::Header)),
        };
        Ok(self.form.edits.apply(header, None))
    }

    /// The whole content as it is by now, but for edits of the header.
    pub fn content(&self) -> Result<Rc<[u8]>, Stop> {
        match (&self.form.body, &self.known.content) {
            (Body::Changed(content), _) => Ok(content.clone()),
            (Body::Original, Some(Ok(content))) => Ok(content.clone()),
            (Body::Original, Some(Err(TooBig))) => {
                Err(Stop::Fail(format!("the message is larger than {} MiB", CONTENT_MAX >> 20).into()))
            }
            (Body::Original, None) => Err(Stop::Ask(Question::Content { most: CONTENT_MAX })),
        }
    }

    /// The value of an attribute as a text.
    pub fn attribute(&self, name: &str) -> Option<String> {
        self.attributes.get(name).map(super::mail::Value::text)
    }
}

/// A matcher with its condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Matcher {
    /// Everybody.
    All,
    /// By who the recipient is.
    Recipient(recipient::Condition),
    /// By who the sender is.
    Sender(sender::Condition),
    /// By where it came from and who authenticated.
    Remote(remote::Condition),
    /// By its header.
    Header(header::Condition),
    /// By its attributes.
    Attribute(attribute::Condition),
    /// By its size and the number of its recipients.
    Size(size::Condition),
    /// By what became of its delivery, and what the sender wants to hear.
    Delivery(delivery::Condition),
    /// By its content.
    Content(content::Condition),
    /// By what the DNS says.
    Domain(domain::Condition),
    /// By others.
    Composite(composite::Condition),
}

impl Matcher {
    /// Who matches.
    ///
    /// # Errors
    ///
    /// What must be known first, or what went wrong.
    pub fn evaluate(&self, view: View<'_>) -> Result<Matched, Stop> {
        match self {
            Matcher::All => Ok(Matched::All),
            Matcher::Recipient(condition) => condition.evaluate(view),
            Matcher::Sender(condition) => condition.evaluate(view),
            Matcher::Remote(condition) => condition.evaluate(view),
            Matcher::Header(condition) => condition.evaluate(view),
            Matcher::Attribute(condition) => Ok(condition.evaluate(view)),
            Matcher::Size(condition) => condition.evaluate(view),
            Matcher::Delivery(condition) => Ok(condition.evaluate(view)),
            Matcher::Content(condition) => condition.evaluate(view),
            Matcher::Domain(condition) => condition.evaluate(view),
            Matcher::Composite(condition) => condition.evaluate(view),
        }
    }
}

impl Matcher {
    /// Counts that somebody matched, where it is a matcher that counts.
    pub fn mark(&self, attributes: &mut Attributes) {
        match self {
            Matcher::Attribute(condition) => condition.mark(attributes),
            Matcher::Composite(condition) => condition.matchers.iter().for_each(|(_, one)| one.mark(attributes)),
            _ => {}
        }
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Matcher::All => f.write_str("All"),
            Matcher::Recipient(condition) => condition.fmt(f),
            Matcher::Sender(condition) => condition.fmt(f),
            Matcher::Remote(condition) => condition.fmt(f),
            Matcher::Header(condition) => condition.fmt(f),
            Matcher::Attribute(condition) => condition.fmt(f),
            Matcher::Size(condition) => condition.fmt(f),
            Matcher::Delivery(condition) => condition.fmt(f),
            Matcher::Content(condition) => condition.fmt(f),
            Matcher::Domain(condition) => condition.fmt(f),
            Matcher::Composite(condition) => condition.fmt(f),
        }
    }
}

/// A list for people.
fn listed<T: fmt::Display>(list: &[T]) -> String {
    list.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests;
