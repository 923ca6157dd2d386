//! One mail for one server: what a client says of it, and what becomes of its recipients.

use std::fmt;

use super::reply::Reply;
use crate::mail::{ByMode, DeliverBy, Mailbox, ReversePath};

/// A recipient of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// The mailbox.
    pub mailbox: Mailbox,
    /// NOTIFY as it was given (RFC 3461 §4.1): `NEVER`, or a list.
    pub notify: Option<Box<str>>,
    /// ORCPT as it was given, in xtext (RFC 3461 §4.2).
    pub original: Option<Box<str>>,
}

/// How the octets of a content are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ContentKind {
    /// ASCII, and no line too long.
    #[default]
    SevenBit,
    /// Octets above 127.
    EightBit,
    /// Lines of any length, or none: `BODY=BINARYMIME`.
    Binary,
}

/// One mail.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transaction {
    /// Where failures are reported to.
    pub reverse_path: ReversePath,
    /// For whom; at least one.
    pub recipients: Vec<Recipient>,
    /// Octets of the content, about.
    pub size: u64,
    /// Octets of the content exactly, as they would be sent in a chunk; `None` where it is not known before it is read.
    pub exact: Option<u64>,
    /// What the content is.
    pub kind: ContentKind,
    /// Whether header or addresses are beyond ASCII (RFC 6531).
    pub smtputf8: bool,
    /// REQUIRETLS was asked for (RFC 8689).
    pub require_tls: bool,
    /// MT-PRIORITY (RFC 6710); 0 is the usual one, of which nothing is said.
    pub priority: i8,
    /// By when it is to be delivered (RFC 2852).
    pub deliver_by: Option<By>,
    /// ENVID as it was given, in xtext (RFC 3461 §4.4).
    pub envelope_id: Option<Box<str>>,
    /// RET as it was given: `FULL` or `HDRS` (RFC 3461 §4.3).
    pub ret: Option<Box<str>>,
}

/// The time that is left for delivery (RFC 2852 §4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct By {
    /// Seconds; past where negative.
    pub seconds: i64,
    /// What happens then.
    pub mode: ByMode,
    /// Whether the sender wants to hear of hosts that do not keep it.
    pub trace: bool,
}

impl By {
    /// What is left at `now`, in microseconds since the Unix epoch.
    pub fn left(by: DeliverBy, now: u64) -> By {
        let micros = i128::from(by.deadline) - i128::from(now);
        // What is begun of a second is not there any more.
        let seconds = i64::try_from(micros.div_euclid(1_000_000)).unwrap_or(i64::MAX);
        By { seconds, mode: by.mode, trace: by.trace }
    }
}

impl fmt::Display for By {
    /// As the value of BY.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = if self.mode == ByMode::Return { "R" } else { "N" };
        write!(f, "{};{mode}{}", self.seconds.clamp(-999_999_999, 999_999_999), if self.trace { "T" } else { "" })
    }
}

/// What a server that has mail does of what its sender asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Care {
    /// It reports as the sender asked (it has DSN); else a success is reported here, as relayed.
    pub reports: bool,
    /// It was told by when the mail is to be there (it has DELIVERBY).
    pub keeps_time: bool,
}

/// What a server said, or what was found without it, of a recipient or of everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The server has it now.
    Taken {
        /// What it said.
        reply: Reply,
        /// What it does of what the sender asked for.
        care: Care,
    },
    /// Not now.
    Later(Why),
    /// Never.
    Never(Why),
}

/// Why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// The server said so.
    Reply(Reply),
    /// Found here: a text that begins with an enhanced status.
    Found(&'static str),
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::Reply(reply) => reply.fmt(f),
            Why::Found(text) => f.write_str(text),
        }
    }
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fate::Taken { reply, care } => write!(f, "taken{}: {reply}", if care.reports { ", reports" } else { "" }),
            Fate::Later(why) => write!(f, "later: {why}"),
            Fate::Never(why) => write!(f, "never: {why}"),
        }
    }
}

/// What a refusal means for a recipient: 5yz never, anything else later. 552 to RCPT is how old servers say that there are too
/// many recipients (RFC 5321 §4.5.3.1.10).
pub fn refused(reply: Reply, to_rcpt: bool) -> Fate {
    match (reply.class(), reply.code, to_rcpt) {
        (5, 552, true) => Fate::Later(Why::Reply(reply)),
        (5, _, _) => Fate::Never(Why::Reply(reply)),
        _ => Fate::Later(Why::Reply(reply)),
    }
}

/// Why a mail cannot go to this server as it is; nothing was said of it yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// It has octets above 127, and the server takes none: it must be converted first.
    #[error("5.6.3 the host takes no octets above 127")]
    NeedsSevenBit,
    /// It is larger than the server takes (RFC 1870 §6.3).
    #[error("5.3.4 the message is larger than the host takes")]
    TooBig,
    /// It needs SMTPUTF8, which the server does not have (RFC 6531 §3.5).
    #[error("5.6.7 the host does not take internationalized mail")]
    NoSmtpUtf8,
    /// It must not go where REQUIRETLS is not kept (RFC 8689 §4.2.1).
    #[error("5.7.30 the host does not keep REQUIRETLS")]
    NoRequireTls,
    /// It must not go where nobody returns it in time (RFC 2852 §4.1.4).
    #[error("5.3.3 the host does not keep the time by which it is to be delivered")]
    NoDeliverBy,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_that_is_left_is_told_in_whole_seconds() {
        let left = |deadline, now| By::left(DeliverBy { deadline, mode: ByMode::Notify, trace: true }, now).to_string();
        assert_eq!(left(10_000_000, 1_000_000), "9;NT");
        assert_eq!(left(10_000_000, 9_000_001), "0;NT");
        assert_eq!(left(10_000_000, 10_000_001), "-1;NT");
        assert_eq!(left(u64::MAX, 0), "999999999;NT");
        assert_eq!(left(0, u64::MAX), "-999999999;NT");
    }
}
