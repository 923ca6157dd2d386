//! The commands that need a line or two: RSET, VRFY and QUIT (RFC 5321 §4.1.1.5, §4.1.1.6, §4.1.1.10).

use super::question::Step;
use super::{Session, replies, say};
use crate::mail::Reply;

impl<P> Session<P> {
    pub(super) fn rset(&mut self, argument: &str) -> Reply {
        if !argument.is_empty() {
            return replies::unexpected_argument("RSET");
        }
        self.transaction = None;
        replies::ok()
    }

    /// A QUIT that is refused leaves the session open: RFC 5321 §3.8 lets no server close on its own without a 421.
    pub(super) fn quit(&mut self, argument: &str, replies: &mut Vec<u8>) -> Step {
        if !argument.is_empty() {
            return say(replies::unexpected_argument("QUIT"), replies);
        }
        replies::closing(&self.settings).write(replies);
        Step::Close
    }
}

pub(super) fn vrfy(argument: &str) -> Reply {
    if argument.trim().is_empty() { replies::vrfy_usage() } else { replies::cannot_verify() }
}
