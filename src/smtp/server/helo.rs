//! HELO, EHLO (RFC 5321 §4.1.1.1) and LHLO (RFC 2033 §4.1).

use super::{Hello, Session, replies};
use crate::mail::{Protocol, Reply};
use crate::smtp::{command::Verb, grammar::is_hello_argument};

impl<P> Session<P> {
    /// Opens the session, or opens it anew, which ends a transaction. A refused one changes nothing (RFC 5321 §4.1.4).
    pub(super) fn helo(&mut self, verb: Verb, argument: &str) -> Reply {
        let name = argument.trim();
        if name.is_empty() {
            return replies::hello_without_name(verb.name());
        }
        if !is_hello_argument(name) {
            return replies::hello_bad_name(verb.name());
        }
        let (protocol, reply): (_, fn(&_, &_, _) -> Reply) = match verb {
            Verb::Ehlo => (Protocol::Esmtp, replies::ehlo),
            Verb::Lhlo => (Protocol::Lmtp, replies::ehlo),
            _ => (Protocol::Smtp, replies::helo),
        };
        self.transaction = None;
        self.hello = Some(Hello { name: name.into(), protocol });
        reply(&self.settings, name, self.client.ip())
    }
}
