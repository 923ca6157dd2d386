//! What is to be done, as the container says it.

use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use super::mail::{Attributes, Form, Recipient};
use crate::mail::{Mailbox, ReversePath};

/// Something to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The end of the way of these recipients. Every recipient comes to exactly one.
    End {
        /// For whom.
        recipients: Vec<Recipient>,
        /// How the content looks to them.
        form: Form,
        /// What it is.
        end: End,
        /// What else is known of them there.
        left: Left,
    },
    /// Something beside the way of the mail itself.
    Beside(Beside),
}

/// What is known of recipients where their way ends, for whoever takes it up again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// The processor they were in.
    pub state: Arc<str>,
    /// Their attributes.
    pub attributes: Attributes,
    /// What went wrong before.
    pub error: Option<Rc<str>>,
}

/// Where a recipient's way ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Into the mailboxes on this host, each into the folder that its recipient names.
    Mailbox,
    /// By LMTP; the settings are the pipeline's, in the order of the file.
    Lmtp(u16),
    /// To other hosts; the settings are the pipeline's, in the order of the file.
    Remote(u16),
    /// Kept in the repository with this URL.
    Repository(Rc<str>),
    /// Nothing more is done.
    Drop(Drop),
    /// The walk failed; it is begun again later, with one more failure counted.
    Again {
        /// What went wrong.
        why: Rc<str>,
        /// Whether it counts as a failure of the mail (it does not where somebody did not answer).
        counts: bool,
    },
}

/// Why nothing more is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drop {
    /// A mailet said so: `Null` and its like.
    Asked,
    /// What was to be said of it was sent: a bounce, a notice, a redirected mail, a copy in a repository.
    Answered,
    /// The sender's own script said so.
    Discarded,
    /// The rewrite table left nobody in its place, for those it names have the mail already.
    Duplicate,
}

/// Something beside the way of the mail itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Beside {
    /// A new mail.
    Send(Box<NewMail>),
    /// A new mail, unless one of that key was sent for this user not long ago.
    SendOnce {
        /// Who sends it.
        user: Mailbox,
        /// What it is remembered by.
        key: [u8; 32],
        /// For how many days none is sent again.
        days: u64,
        /// The mail.
        new: Box<NewMail>,
    },
    /// A copy for a repository; the recipients go on.
    Copy {
        /// Whose.
        recipients: Vec<Recipient>,
        /// How it looks.
        form: Form,
        /// The repository's URL.
        repository: Rc<str>,
    },
    /// A copy for one more folder of this user, which the recipient names.
    File {
        /// Whose.
        recipient: Recipient,
        /// How it looks.
        form: Form,
    },
    /// A line for the log.
    Log(Box<str>),
    /// One more of that metric.
    Count(Rc<str>),
}

/// A mail that the container makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMail {
    /// Where failures of it are reported to.
    pub reverse_path: ReversePath,
    /// Where it goes.
    pub recipients: Vec<Mailbox>,
    /// What it says.
    pub content: Content,
    /// Its attributes.
    pub attributes: Attributes,
    /// Why there is one.
    pub kind: Kind,
}

/// Why there is a new mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A delivery status notification (RFC 3464).
    Report,
    /// A bounce in words alone.
    Bounce,
    /// A notice to sender or postmaster.
    Notice,
    /// The mail itself, for others.
    Redirect,
}

/// The content of a new mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// That of the mail it comes of.
    Same(Form),
    /// Pieces, one after the other.
    Pieces(Vec<Piece>),
}

/// A piece of a new mail's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// These octets.
    Octets(Vec<u8>),
    /// The whole of the mail it comes of, in this form.
    Whole(Form),
    /// Its body alone.
    BodyOf(Form),
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Mailbox => f.write_str("mailbox"),
            End::Lmtp(settings) => write!(f, "lmtp {settings}"),
            End::Remote(settings) => write!(f, "remote {settings}"),
            End::Repository(url) => write!(f, "repository {url}"),
            End::Drop(why) => write!(f, "drop: {why:?}"),
            End::Again { why, counts } => write!(f, "again{}: {why}", if *counts { "" } else { ", not counted" }),
        }
    }
}
