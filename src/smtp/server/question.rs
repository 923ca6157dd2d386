//! What a session wants done, and what it is told.

use crate::mail::{Mailbox, Password, Reply, ReversePath, Username};
use crate::smtp::sasl::Claim;

/// What is to be done next.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Give the session its next line.
    Receive,
    /// Decide, and tell it by `answer`; what AUTH asks by `authenticated` or `keys`.
    Ask(Question),
    /// Receive content.
    ReceiveData(Transfer),
    /// Make the message durable, or deliver it, and tell by `stored` or `delivered`.
    Store,
    /// Begin TLS: `begin_tls`, send, do the handshake, then `secured`; `refuse_tls` where anything came behind the command. If
    /// the handshake fails, close without a word.
    StartTls,
    /// Send what was replied and close the connection.
    Close,
}

/// Content that follows in the stream of octets. Where a message begins by it, `begin` is called before its first octet is
/// received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transfer {
    /// By DATA: up to the final dot, then `data_ended`. A message always begins by it.
    Data,
    /// By BDAT: so many octets, then `chunk_ended`, or `data_ended` where it is the last.
    Chunk {
        /// Its length; may be 0.
        octets: u64,
        /// It ends the message.
        last: bool,
        /// A message begins by it.
        first: bool,
    },
    /// The octets of a refused BDAT: they are dropped, then the next line is due. The reply is among the replies already.
    Discard {
        /// How many there are; may be 0.
        octets: u64,
    },
}

impl Transfer {
    /// Whether a message begins by it.
    pub fn is_first(self) -> bool {
        matches!(self, Transfer::Data | Transfer::Chunk { first: true, .. })
    }
}

/// What the session does not decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// May this sender send?
    Sender {
        /// The argument of MAIL.
        reverse_path: ReversePath,
        /// What it declared as SIZE, in octets (RFC 1870).
        declared_octets: Option<u64>,
    },
    /// May mail be sent to this recipient?
    Recipient(Mailbox),
    /// May a message with the content that has just ended be taken?
    Message,
    /// Is this the user's password, and may it act for whom it wants to? `authenticated` tells.
    Password(Claim, Password),
    /// What is kept of the password of the user of this name? `keys` tells, or `authenticated` that nobody can.
    Keys(Box<str>),
    /// Whoever claims this has proved it and is this user: may it act for whom it wants to? `authenticated` tells.
    Proved(Claim, Username),
    /// Whoever says it is the user of this name has not proved it. It is to be counted, and `authenticated` to be told so.
    Disproved(Box<str>),
}

/// What came of an exchange of AUTH.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authentication {
    /// The client is this user.
    Proved(Username),
    /// It is not whom it says it is, or may not act for whom it wants to.
    Refused,
    /// It failed too often lately, so that it is not tried now.
    TooOften,
    /// It cannot be said now.
    Unavailable,
}

/// The answer to a [`Question`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing speaks against it.
    Pass,
    /// Accepted, and nothing else is to be asked.
    Accept,
    /// Accepted; mail for this recipient goes to these mailboxes, of which there is one or more.
    Rewrite(Vec<Mailbox>),
    /// Refused for ever, with this reply.
    Deny(Reply),
    /// Refused for now, with this reply.
    DenySoft(Reply),
    /// Refused with this reply, and the connection closed.
    Disconnect(Reply),
}

/// Why a message, or a recipient's copy of it, was not made durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no room for it.
    Full,
    /// The spool takes nothing in, because its disk failed or because it is being shut down.
    Closed,
    /// More is under way than can be taken in now.
    Busy,
    /// Writing it failed, or its outcome is not known.
    Failed,
    /// LMTP: the recipient's mailbox could not take it now.
    MailboxFailed,
    /// LMTP: the recipient's mailbox is full.
    MailboxFull,
    /// A rule refused it after its content was seen, with this reply.
    Rejected(Reply),
}

/// Why a session is ended from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupt {
    /// Nothing came from the client for too long.
    Idle,
    /// A command line or content came too slowly.
    Slow,
    /// The transaction or the session lasts too long.
    TooLong,
    /// The server stops.
    Shutdown,
    /// The server cannot serve another client now.
    Overload,
    /// This client has too many connections.
    TooManyConnections,
}
