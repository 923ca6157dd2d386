//! MAIL (RFC 5321 §4.1.1.2), with SIZE (RFC 1870), BODY (RFC 6152, RFC 3030), SMTPUTF8 (RFC 6531) and AUTH (RFC 4954 §5).

use super::question::{Question, Step};
use super::{Pending, Session, State, Transaction, replies, say};
use crate::mail::dsn::xtext;
use crate::mail::{BodyType, Mailbox, Reply, ReversePath};
use crate::smtp::grammar::{after_keyword, decimal, split_path};
use crate::smtp::parameter::{Parameter, parameters};

impl<P> Session<P> {
    pub(super) fn mail(&mut self, argument: &str, replies: &mut Vec<u8>) -> Step {
        match self.read_mail(argument) {
            Ok((reverse_path, given)) => {
                let question = Question::Sender { reverse_path: reverse_path.clone(), declared_octets: given.size };
                let transaction = Transaction {
                    reverse_path,
                    body: given.body.unwrap_or_default(),
                    smtputf8: given.smtputf8,
                    ..Transaction::default()
                };
                self.ask(Pending::Sender(transaction), question)
            }
            Err(reply) => say(reply, replies),
        }
    }

    pub(super) fn accept_sender(&mut self, transaction: Transaction) -> Reply {
        let reply = replies::sender_ok(&transaction.reverse_path);
        self.transaction = Some(transaction);
        reply
    }

    fn read_mail(&self, argument: &str) -> Result<(ReversePath, MailParameters), Reply> {
        match self.state() {
            State::Ready => {}
            State::Start => return Err(replies::hello_first(self.settings.protocol)),
            _ => return Err(replies::nested_mail()),
        }
        let text = after_keyword(argument, "FROM:").ok_or_else(replies::mail_usage)?;
        let found = split_path(text, self.settings.require_brackets).ok_or_else(replies::mail_syntax)?;
        let reverse_path =
            ReversePath::parse(found.path, &self.settings.default_domain).map_err(|_| replies::bad_sender())?;
        let given = MailParameters::read(found.parameters, self.settings.auth.is_some())?;
        if !given.smtputf8 && !reverse_path.mailbox().is_none_or(Mailbox::is_ascii) {
            return Err(replies::needs_smtputf8());
        }
        if given.size.is_some_and(|octets| self.too_big(octets)) {
            return Err(replies::too_big());
        }
        Ok((reverse_path, given))
    }
}

/// The parameters that were given with MAIL.
#[derive(Debug, Default)]
struct MailParameters {
    size: Option<u64>,
    body: Option<BodyType>,
    smtputf8: bool,
    /// `AUTH` was given.
    auth: Option<()>,
}

impl MailParameters {
    fn read(text: &str, has_auth: bool) -> Result<MailParameters, Reply> {
        let mut given = MailParameters::default();
        for parameter in parameters(text) {
            given.note(parameter.map_err(|_| replies::malformed_parameter())?, has_auth)?;
        }
        Ok(given)
    }

    fn note(&mut self, Parameter { keyword, value }: Parameter<'_>, has_auth: bool) -> Result<(), Reply> {
        let is = |name: &str| keyword.eq_ignore_ascii_case(name);
        if is("SIZE") {
            // RFC 1870 §3 allows 20 digits; what no 64 bits hold is no size.
            set_once(&mut self.size, "SIZE", value.and_then(decimal))
        } else if is("BODY") {
            set_once(&mut self.body, "BODY", value.and_then(body_type))
        } else if is("SMTPUTF8") {
            let mut given = self.smtputf8.then_some(());
            set_once(&mut given, "SMTPUTF8", value.is_none().then_some(()))?;
            self.smtputf8 = true;
            Ok(())
        } else if is("AUTH") && has_auth {
            // Who submitted the message first is worth knowing to whom it is sent on, and to nobody here (RFC 4954 §5).
            set_once(&mut self.auth, "AUTH", value.and_then(submitter))
        } else {
            Err(replies::unknown_parameter(keyword))
        }
    }
}

/// Sets a parameter that has a valid value and was not given before.
fn set_once<T>(place: &mut Option<T>, keyword: &'static str, value: Option<T>) -> Result<(), Reply> {
    if place.is_some() {
        return Err(replies::repeated_parameter(keyword));
    }
    *place = Some(value.ok_or_else(|| replies::bad_value(keyword))?);
    Ok(())
}

/// `AUTH=` names a mailbox in xtext, or nobody (RFC 4954 §5).
fn submitter(value: &str) -> Option<()> {
    let text = xtext(value)?;
    (text == "<>" || Mailbox::parse(&text).is_ok()).then_some(())
}

fn body_type(value: &str) -> Option<BodyType> {
    let is = |name: &str| value.eq_ignore_ascii_case(name);
    match () {
        () if is("7BIT") => Some(BodyType::SevenBit),
        () if is("8BITMIME") => Some(BodyType::EightBitMime),
        () if is("BINARYMIME") => Some(BodyType::BinaryMime),
        () => None,
    }
}
