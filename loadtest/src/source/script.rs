//! What every session of a run says: prepared once, shared by all.

use crate::content::{Content, Framing};

/// How far a session goes ahead of the replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Every command waits for the reply to the one before.
    Stepwise,
    /// MAIL, RCPT and DATA go together; content waits for the 354. With BDAT: MAIL and RCPT together, then BDAT.
    Group,
    /// Content goes together with the commands of the next message (RFC 2920). With BDAT: a whole transaction at once.
    Pipelining,
}

/// The commands and the content of a run.
pub struct Script {
    /// The messages.
    pub content: Content,
    /// EHLO or LHLO.
    pub hello: Vec<u8>,
    /// MAIL, with SIZE left out: a server may not offer it.
    pub mail: Vec<u8>,
    /// A RCPT per recipient.
    pub rcpts: Vec<Vec<u8>>,
    /// `BDAT n LAST`.
    pub bdat: Vec<u8>,
    /// How far to go ahead.
    pub pace: Pace,
    /// DATA or BDAT.
    pub framing: Framing,
    /// Whether the final replies are one per recipient.
    pub lmtp: bool,
    /// Messages after which a session ends; 0 for no limit.
    pub messages_per_connection: u64,
}

impl Script {
    /// Writes out the commands.
    pub fn new(content: Content, from: &str, to: &[String], pace: Pace, framing: Framing, lmtp: bool) -> Script {
        let hello = if lmtp { "LHLO" } else { "EHLO" };
        Script {
            hello: format!("{hello} loadtest.localhost\r\n").into_bytes(),
            mail: format!("MAIL FROM:<{from}>\r\n").into_bytes(),
            rcpts: to.iter().map(|address| format!("RCPT TO:<{address}>\r\n").into_bytes()).collect(),
            bdat: format!("BDAT {} LAST\r\n", content.octets()).into_bytes(),
            content,
            pace,
            framing,
            lmtp,
            messages_per_connection: 0,
        }
    }

    /// The extensions without which a server cannot follow the script.
    pub fn extensions(&self) -> impl Iterator<Item = &'static str> {
        let pipelining = (self.pace != Pace::Stepwise).then_some("PIPELINING");
        let chunking = (self.framing == Framing::Bdat).then_some("CHUNKING");
        pipelining.into_iter().chain(chunking)
    }
}
