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
        let protocol = match verb {
            Verb::Ehlo => Protocol::Esmtp,
            Verb::Lhlo => Protocol::Lmtp,
            _ => Protocol::Smtp,
        };
        self.transaction = None;
        self.hello = Some(Hello { name: name.into(), protocol });
        match protocol {
            Protocol::Smtp => replies::helo(&self.settings, name, self.client.ip()),
            _ => replies::ehlo(&self.settings, name, self.client.ip(), self.announced()),
        }
    }

    /// The extensions that are offered or not, depending on where the session stands.
    fn announced(&self) -> Vec<String> {
        let mut offers = self.auth_announcement();
        if self.offers_start_tls() {
            offers.push(Verb::StartTls.name().to_owned());
        }
        offers
    }
}
