//! Clients that do not speak the protocol: they are told once, and let go.
//!
//! Counted are the client's own errors: commands that are answered 5yz before anybody was asked. What policy refuses, and what
//! is refused for now, is no error of a client that follows the protocol, and a message that was taken makes up for all before.

use super::question::Step;
use super::settings::Settings;
use super::{Session, Turn, replies};

/// Methods of HTTP (RFC 9110 §9, RFC 5789).
const HTTP: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];

/// Why a session was ended on a client that did not speak the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nonsense {
    /// It spoke before it was greeted.
    Early,
    /// It spoke another protocol.
    OtherProtocol,
    /// It made too many errors.
    Errors,
    /// It gave too many commands that are none.
    UnknownCommands,
    /// It gave too many wrong passwords.
    Passwords,
}

/// A client's errors since it last sent a message that was taken.
#[derive(Debug, Default)]
pub(super) struct Errors {
    all: u32,
    unknown: u32,
}

impl Errors {
    fn too_many(&self, settings: &Settings) -> Option<Nonsense> {
        let over = |count: u32, most: u32| most != 0 && count > most;
        if over(self.unknown, settings.max_unknown_commands) {
            Some(Nonsense::UnknownCommands)
        } else {
            over(self.all, settings.max_errors).then_some(Nonsense::Errors)
        }
    }
}

/// Whether a line, or what there is of one, is of no command of any client: no letter has such an octet.
pub(super) fn is_binary(line: &[u8]) -> bool {
    line.first().is_some_and(|octet| !octet.is_ascii_graphic() && !octet.is_ascii_whitespace())
}

/// Whether it is the first line of a request by HTTP.
pub(super) fn is_http(line: &[u8]) -> bool {
    let word = line.split(u8::is_ascii_whitespace).next().unwrap_or_default();
    HTTP.iter().any(|method| word.eq_ignore_ascii_case(method.as_bytes()))
}

impl<P> Session<P> {
    /// In place of `open` where the client has spoken already (RFC 5321 §3.1 lets a server refuse so).
    pub fn open_to_early_talker(&mut self, replies: &mut Vec<u8>) -> Step {
        self.give_up(Nonsense::Early, replies)
    }

    /// Takes a look at a line that has not ended: one that will never be a command need not be waited for.
    pub fn glance(&mut self, begun: &[u8], replies: &mut Vec<u8>) -> Option<Step> {
        let is_nonsense = is_binary(begun) && !matches!(self.turn, Turn::Exchange(_));
        is_nonsense.then(|| self.give_up(Nonsense::OtherProtocol, replies))
    }

    /// Why the session was ended, if it was for want of sense.
    pub fn nonsense(&self) -> Option<Nonsense> {
        self.nonsense
    }

    pub(super) fn count_unknown(&mut self) {
        self.errors.unknown = self.errors.unknown.saturating_add(1);
    }

    pub(super) fn forgive(&mut self) {
        self.errors = Errors::default();
    }

    /// Looks at what was replied to a line from `before` on: one error too many has another reply, and is the last.
    pub(super) fn judge(&mut self, step: Step, before: usize, replies: &mut Vec<u8>) -> Step {
        if replies.get(before) != Some(&b'5') {
            return step;
        }
        self.errors.all = self.errors.all.saturating_add(1);
        match self.errors.too_many(&self.settings) {
            Some(why) => {
                replies.truncate(before);
                self.give_up(why, replies)
            }
            None => step,
        }
    }

    pub(super) fn give_up(&mut self, why: Nonsense, replies: &mut Vec<u8>) -> Step {
        let reply = match why {
            Nonsense::Early => replies::early_talker(&self.settings),
            Nonsense::OtherProtocol => replies::other_protocol(&self.settings),
            Nonsense::Errors | Nonsense::UnknownCommands => replies::too_many_errors(&self.settings),
            Nonsense::Passwords => replies::too_many_failures(&self.settings),
        };
        reply.write(replies);
        self.nonsense = Some(why);
        self.expect_next(Step::Close)
    }
}
