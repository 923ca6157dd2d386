//! STARTTLS (RFC 3207), and what TLS changes of a session.
//!
//! The session only says that TLS is to begin: whether something was pipelined behind the command is for the loop to see, which
//! then calls [`Session::begin_tls`] or [`Session::refuse_tls`], and after the handshake [`Session::secured`].

use super::question::Step;
use super::{Session, Turn, replies, say};
use crate::mail::{EndPoint, Tls};

/// TLS as a session knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Secured {
    /// Version and cipher suite.
    pub tls: Tls,
    /// What binds other proofs to this very connection: tls-exporter (RFC 9266 §2). TLS 1.2 has none that is safe without
    /// more than every client offers.
    pub exporter: Option<[u8; 32]>,
    /// The same by the server's certificate: tls-server-end-point (RFC 5929 §4).
    pub end_point: Option<EndPoint>,
}

impl<P> Session<P> {
    /// Whether what is said now is said inside TLS.
    pub fn is_secure(&self) -> bool {
        self.secured.is_some()
    }

    /// The TLS that the session is in.
    pub fn tls(&self) -> Option<&Secured> {
        self.secured.as_ref()
    }

    /// Says that the connection is in TLS from its start, before the session is opened.
    pub fn start_secured(&mut self, secured: Secured) {
        self.secured = Some(secured);
    }

    /// After [`Step::StartTls`]: nothing came behind the command, and the handshake begins once the reply is sent.
    pub fn begin_tls(&mut self, replies: &mut Vec<u8>) {
        if matches!(self.turn, Turn::Tls) {
            replies::ready_for_tls().write(replies);
        }
    }

    /// After [`Step::StartTls`]: something came behind the command in the clear, which nobody may use (RFC 3207 §5).
    pub fn refuse_tls(&mut self, replies: &mut Vec<u8>) -> Step {
        if !matches!(self.turn, Turn::Tls) {
            return self.confused(replies);
        }
        replies::commands_behind_start_tls(&self.settings).write(replies);
        self.expect_next(Step::Close)
    }

    /// The handshake after [`Step::StartTls`] is done. Nothing that was said before counts any more (RFC 3207 §4.2): neither
    /// the name, nor a transaction, nor who the client proved to be.
    pub fn secured(&mut self, secured: Secured, replies: &mut Vec<u8>) -> Step {
        if !matches!(self.turn, Turn::Tls) {
            return self.confused(replies);
        }
        self.hello = None;
        self.user = None;
        self.transaction = None;
        self.secured = Some(secured);
        self.expect_next(Step::Receive)
    }

    /// Whether STARTTLS can be used now, so that EHLO says so.
    pub(super) fn offers_start_tls(&self) -> bool {
        self.settings.start_tls && !self.is_secure()
    }

    pub(super) fn start_tls(&mut self, argument: &str, replies: &mut Vec<u8>) -> Step {
        if !self.settings.start_tls {
            return self.unrecognized(b"STARTTLS", replies);
        }
        if self.is_secure() {
            return say(replies::tls_already_active(), replies);
        }
        if self.user.is_some() {
            return say(replies::tls_after_auth(), replies);
        }
        if !argument.is_empty() {
            return say(replies::start_tls_argument(), replies);
        }
        Step::StartTls
    }
}
