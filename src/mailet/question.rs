//! What the container cannot know by itself, and the answers.

use std::net::IpAddr;
use std::rc::Rc;

use super::dkim::{BodyHash, Canonicalization};
use crate::directory;
use crate::mail::Domain;

/// Asked of whoever walks a mail through the container. One is open at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// The header as it came: without stuffed dots, up to and including the CR LF of its last field.
    Header,
    /// The whole content as it came, without stuffed dots; at most so many octets of it are wanted.
    Content {
        /// Where there are more, the answer is [`Answer::TooBig`].
        most: usize,
    },
    /// The hash of the body as it came, without stuffed dots (RFC 6376 §3.7).
    BodyHash(Canonicalization),
    /// What the directory says of them; see [`super::container::Walk::whom`].
    Directory(Whom),
    /// What the rewrite table makes of them.
    Rewrite(Whom),
    /// Whether these domains have a mail server or an address.
    Exists(Vec<Domain>),
    /// Whether the list of that name has the address.
    Listed {
        /// The list's domain.
        zone: Box<str>,
        /// Whom it may list.
        address: IpAddr,
    },
    /// The active Sieve scripts of the recipients.
    Scripts,
}

/// Whom a question is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whom {
    /// The sender.
    Sender,
    /// The recipients of the branch that asks, in their order.
    Recipients,
}

/// What the rewrite table makes of a mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rewritten {
    /// It has no entry for it.
    Unchanged,
    /// Mail for it goes to these instead.
    To(Vec<directory::Target>),
    /// An `error:` entry: mail for it is refused with this text.
    Refused(Box<str>),
    /// Its entries go in circles, or there are more than the limit.
    Loop,
}

/// The answer to a [`Question`]; lists are in the order of the question.
#[derive(Clone, Debug)]
pub enum Answer {
    /// To [`Question::Header`].
    Header(Rc<[u8]>),
    /// To [`Question::Content`].
    Content(Rc<[u8]>),
    /// To [`Question::Header`] and [`Question::Content`] where there is more than is wanted.
    TooBig,
    /// To [`Question::BodyHash`].
    BodyHash(BodyHash),
    /// To [`Question::Directory`].
    Directory(Vec<directory::Place>),
    /// To [`Question::Rewrite`].
    Rewritten(Vec<Rewritten>),
    /// To [`Question::Exists`].
    Exists(Vec<bool>),
    /// To [`Question::Listed`].
    Listed(bool),
    /// To [`Question::Scripts`]; `None` where a user has none.
    Scripts(Vec<Option<Rc<str>>>),
    /// Whoever knows did not answer, and why. What depends on it is tried again later.
    Unavailable(Box<str>),
}
