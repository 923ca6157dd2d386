//! AUTH (RFC 4954): who offers it to whom, the exchange, and what comes of it.
//!
//! The session reads what the client says; whether a password is right is asked, by [`Question::Password`] and its like, and
//! told by [`Session::authenticated`]. SCRAM is checked here, with the keys that [`Session::keys`] brings; who is asked then
//! only counts the failure, or says for whom the user may act.

use super::question::{Authentication, Question, Step};
use super::settings::Auth;
use super::{Nonsense, Pending, Session, Turn, replies, say};
use crate::mail::{Reply, ReversePath, ScramCredentials, Username};
use crate::smtp::command::Verb;
use crate::smtp::line::Line;
use crate::smtp::sasl::{ChannelBinding, Exchange, Malformed, Mechanism, Move, RESPONSE_OCTETS, base64};

/// A client as policy sees it.
#[derive(Clone, Copy, Debug)]
pub struct Peer<'a> {
    /// Whom it has proved to be.
    pub user: Option<&'a Username>,
    /// It is in `authorizedAddresses`.
    pub authorized: bool,
    /// AUTH is offered to it where it stands.
    pub offered_auth: bool,
    /// What it said it is called.
    pub hello: Option<&'a str>,
    /// The sender of its transaction, once there is one.
    pub reverse_path: Option<&'a ReversePath>,
}

impl Peer<'_> {
    /// Whether it may send to other domains: it has authenticated, or its address is authorized.
    pub fn may_relay(&self) -> bool {
        self.authorized || self.user.is_some()
    }
}

impl<P> Session<P> {
    /// The client as policy sees it.
    pub fn peer(&self) -> Peer<'_> {
        Peer {
            user: self.user.as_ref(),
            authorized: self.authorized,
            offered_auth: self.offers_auth(),
            hello: self.hello(),
            reverse_path: self.reverse_path(),
        }
    }

    /// Whom the client has proved to be.
    pub fn user(&self) -> Option<&Username> {
        self.user.as_ref()
    }

    /// The mechanism and the name that the client is authenticating with, or last tried to.
    pub fn attempt(&self) -> Option<(Mechanism, &str)> {
        self.attempt.as_ref().map(|(mechanism, name)| (*mechanism, &**name))
    }

    /// Takes the answer to [`Question::Keys`]: `None` where the name is no name at all. The nonce is printable ASCII without
    /// commas that nobody can guess.
    pub fn keys(&mut self, keys: Option<(Username, ScramCredentials)>, nonce: &str, replies: &mut Vec<u8>) -> Step {
        let Turn::Policy(Pending::Keys(mut exchange)) = std::mem::replace(&mut self.turn, Turn::Client) else {
            return self.confused(replies);
        };
        let next = match keys {
            Some((user, credentials)) => exchange.keys(user, credentials, nonce),
            None => Ok(Move::Disproved { name: exchange.name().unwrap_or_default().into() }),
        };
        let step = self.go_on(exchange, next, replies);
        self.expect_next(step)
    }

    /// Takes the answer to [`Question::Password`], [`Question::Proved`] or [`Question::Disproved`], and what there is instead of
    /// one to [`Question::Keys`].
    pub fn authenticated(&mut self, result: Authentication, replies: &mut Vec<u8>) -> Step {
        let Turn::Policy(Pending::Login | Pending::Keys(_)) = std::mem::replace(&mut self.turn, Turn::Client) else {
            return self.confused(replies);
        };
        let step = match result {
            Authentication::Proved(user) => {
                self.user = Some(user);
                say(replies::authenticated(), replies)
            }
            Authentication::Refused => self.failed(replies::authentication_failed(), replies),
            Authentication::TooOften => self.failed(replies::authentication_too_often(), replies),
            Authentication::Unavailable => say(replies::authentication_unavailable(), replies),
        };
        self.expect_next(step)
    }

    /// One failure too many ends the session.
    fn failed(&mut self, reply: Reply, replies: &mut Vec<u8>) -> Step {
        self.failures = self.failures.saturating_add(1);
        match self.settings.auth.as_ref().map_or(0, |auth| auth.max_failures) {
            0 => say(reply, replies),
            most if self.failures <= most => say(reply, replies),
            _ => self.give_up(Nonsense::Passwords, replies),
        }
    }

    pub(super) fn auth(&mut self, argument: &str, replies: &mut Vec<u8>) -> Step {
        if self.settings.auth.is_none() {
            return self.unrecognized(Verb::Auth.name().as_bytes(), replies);
        }
        match self.read_auth(argument) {
            Ok((mut exchange, initial)) => {
                self.attempt = Some((exchange.mechanism(), Box::default()));
                let next = exchange.begin(initial.as_deref());
                self.go_on(exchange, next, replies)
            }
            Err(reply) => say(reply, replies),
        }
    }

    fn read_auth(&self, argument: &str) -> Result<(Exchange, Option<Vec<u8>>), Reply> {
        if self.hello.is_none() {
            return Err(replies::hello_before_auth());
        }
        if self.user.is_some() {
            return Err(replies::authenticated_already());
        }
        if self.in_transaction() {
            return Err(replies::auth_in_transaction());
        }
        let mut words = argument.split(' ').filter(|word| !word.is_empty());
        let mechanism = words.next().ok_or_else(replies::auth_usage)?;
        let mechanism = self.mechanism(mechanism)?;
        let initial = match words.next() {
            None => None,
            Some(text) if text.len() > RESPONSE_OCTETS => return Err(replies::auth_line_too_long()),
            // RFC 4954 §4: an initial response of no octets.
            Some("=") => Some(Vec::new()),
            Some(text) => Some(base64::decode(text.as_bytes()).map_err(|_| replies::auth_not_decoded(mechanism))?),
        };
        if words.next().is_some() {
            return Err(replies::auth_not_decoded(mechanism));
        }
        Ok((Exchange::new(mechanism, self.binding(), self.offers(Mechanism::ScramSha256Plus)), initial))
    }

    /// The mechanism of that name, if it can be used now.
    fn mechanism(&self, name: &str) -> Result<Mechanism, Reply> {
        let auth = self.settings.auth.as_ref().ok_or_else(replies::unknown_mechanism)?;
        let mechanism = Mechanism::named(name)
            .filter(|mechanism| auth.mechanisms.contains(mechanism))
            .ok_or_else(replies::unknown_mechanism)?;
        let needs_tls = auth.require_tls || mechanism == Mechanism::ScramSha256Plus;
        if needs_tls && !self.is_secure() {
            return Err(replies::encryption_required());
        }
        if mechanism == Mechanism::ScramSha256Plus && self.binding().is_none() {
            return Err(replies::unknown_mechanism());
        }
        Ok(mechanism)
    }

    /// Takes a line of an exchange.
    pub(super) fn respond(&mut self, line: Line<'_>, replies: &mut Vec<u8>) -> Step {
        let Turn::Exchange(mut exchange) = std::mem::replace(&mut self.turn, Turn::Client) else {
            return self.confused(replies);
        };
        let before = replies.len();
        let step = match line {
            Line::TooLong => say(replies::auth_line_too_long(), replies),
            Line::Command(line) => match line.trim_ascii() {
                b"*" => say(replies::auth_aborted(), replies),
                line if line.len() > RESPONSE_OCTETS => say(replies::auth_line_too_long(), replies),
                line => {
                    let next = base64::decode(line).and_then(|response| exchange.respond(&response));
                    self.go_on(exchange, next, replies)
                }
            },
        };
        let step = self.expect_next(step);
        self.judge(step, before, replies)
    }

    /// Does what the exchange wants.
    fn go_on(&mut self, exchange: Exchange, next: Result<Move, Malformed>, replies: &mut Vec<u8>) -> Step {
        let mechanism = exchange.mechanism();
        let mut named = |name: &str| self.attempt = Some((mechanism, name.into()));
        match next {
            Ok(Move::Challenge(octets)) => {
                self.turn = Turn::Exchange(exchange);
                say(replies::challenge(base64::encode(&octets)), replies)
            }
            Ok(Move::Keys(name)) => {
                named(&name);
                self.ask(Pending::Keys(exchange), Question::Keys(name))
            }
            Ok(Move::Password(claim, password)) => {
                named(&claim.name);
                self.ask(Pending::Login, Question::Password(claim, password))
            }
            Ok(Move::Proved(claim, user)) => {
                named(&claim.name);
                self.ask(Pending::Login, Question::Proved(claim, user))
            }
            Ok(Move::Disproved { name }) => {
                named(&name);
                self.ask(Pending::Login, Question::Disproved(name))
            }
            Err(Malformed) => say(replies::auth_not_decoded(mechanism), replies),
        }
    }

    /// What SCRAM can be bound to.
    fn binding(&self) -> Option<ChannelBinding> {
        let secured = self.tls()?;
        let exporter = secured.exporter.map(Into::into);
        let server_end_point = secured.end_point.map(|end_point| end_point.octets().into());
        let binding = ChannelBinding { exporter, server_end_point };
        (binding != ChannelBinding::default()).then_some(binding)
    }

    /// Whether EHLO announces AUTH (James: `isAuthAnnounced`).
    fn offers_auth(&self) -> bool {
        self.settings.auth.as_ref().is_some_and(|auth| {
            let Auth { always, require_tls, mechanisms, .. } = auth;
            (*always || !self.authorized) && (self.is_secure() || !require_tls) && !mechanisms.is_empty()
        })
    }

    fn offers(&self, mechanism: Mechanism) -> bool {
        let bound = mechanism != Mechanism::ScramSha256Plus || self.binding().is_some();
        bound && self.settings.auth.as_ref().is_some_and(|auth| auth.mechanisms.contains(&mechanism))
    }

    /// The lines of EHLO that announce AUTH; the second is for clients older than the RFC, as James has it.
    pub(super) fn auth_announcement(&self) -> Vec<String> {
        let Some(auth) = self.settings.auth.as_ref().filter(|_| self.offers_auth()) else { return Vec::new() };
        let offered = auth.mechanisms.iter().copied().filter(|mechanism| self.offers(*mechanism));
        let names = offered.map(Mechanism::name).collect::<Vec<_>>().join(" ");
        if names.is_empty() { Vec::new() } else { vec![format!("AUTH {names}"), format!("AUTH={names}")] }
    }
}
