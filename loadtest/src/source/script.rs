//! What every session of a run says: prepared once, shared by all.

use crate::content::{Content, Framing};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

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

/// How a client says who it is (RFC 4954).
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Mechanism {
    /// With its initial response (RFC 4616)
    Plain,
    /// User and password, each when asked for
    Login,
}

/// The lines of an AUTH exchange; each is said after the reply to the one before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The mechanism's name, in capitals.
    pub mechanism: &'static str,
    /// The lines with their CR LF.
    pub lines: Vec<Vec<u8>>,
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
    /// How far to go ahead.
    pub pace: Pace,
    /// DATA or BDAT.
    pub framing: Framing,
    /// Whether the final replies are one per recipient.
    pub lmtp: bool,
    /// Whether STARTTLS is said after the first EHLO.
    pub starttls: bool,
    /// Who the client says it is.
    pub credentials: Option<Credentials>,
    /// Messages after which a session ends; 0 for no limit.
    pub messages_per_connection: u64,
}

impl Credentials {
    /// For `user` with `password`.
    pub fn new(mechanism: Mechanism, user: &str, password: &str) -> Credentials {
        let coded = |text: &str| format!("{}\r\n", STANDARD.encode(text)).into_bytes();
        match mechanism {
            Mechanism::Plain => {
                let response = STANDARD.encode(format!("\0{user}\0{password}"));
                Credentials { mechanism: "PLAIN", lines: vec![format!("AUTH PLAIN {response}\r\n").into_bytes()] }
            }
            Mechanism::Login => {
                let lines = vec![b"AUTH LOGIN\r\n".to_vec(), coded(user), coded(password)];
                Credentials { mechanism: "LOGIN", lines }
            }
        }
    }
}

impl Script {
    /// Writes out the commands.
    pub fn new(content: Content, from: &str, to: &[String], pace: Pace, framing: Framing, lmtp: bool) -> Script {
        let hello = if lmtp { "LHLO" } else { "EHLO" };
        Script {
            hello: format!("{hello} loadtest.localhost\r\n").into_bytes(),
            mail: format!("MAIL FROM:<{from}>\r\n").into_bytes(),
            rcpts: to.iter().map(|address| format!("RCPT TO:<{address}>\r\n").into_bytes()).collect(),
            content,
            pace,
            framing,
            lmtp,
            starttls: false,
            credentials: None,
            messages_per_connection: 0,
        }
    }

    /// The extensions without which a server cannot follow the script once the session is as it is to be.
    pub fn extensions(&self) -> impl Iterator<Item = &'static str> {
        let pipelining = (self.pace != Pace::Stepwise).then_some("PIPELINING");
        let chunking = (self.framing == Framing::Bdat).then_some("CHUNKING");
        pipelining.into_iter().chain(chunking)
    }
}
