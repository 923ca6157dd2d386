//! MAIL (RFC 5321 §4.1.1.2).

use super::parameters::{MailParameters, Standing};
use super::question::{Question, Step};
use super::{Pending, Session, State, Transaction, replies, say};
use crate::mail::{Mailbox, Reply, ReversePath};
use crate::smtp::grammar::{after_keyword, split_path};

impl<P> Session<P> {
    pub(super) fn mail(&mut self, argument: &str, replies: &mut Vec<u8>) -> Step {
        match self.read_mail(argument) {
            Ok((reverse_path, given)) => {
                let question = Question::Sender { reverse_path: reverse_path.clone(), declared_octets: given.size };
                let transaction = Transaction {
                    reverse_path,
                    body: given.body.unwrap_or_default(),
                    smtputf8: given.smtputf8.is_some(),
                    asked: given.asked(&self.standing()),
                    ..Transaction::default()
                };
                self.ask(Pending::Sender(transaction), question)
            }
            Err(reply) => say(reply, replies),
        }
    }

    pub(super) fn accept_sender(&mut self, transaction: Transaction, replies: &mut Vec<u8>) -> Step {
        replies::sender_ok(&transaction.reverse_path, replies);
        self.transaction = Some(transaction);
        Step::Receive
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
        let given = MailParameters::read(found.parameters, &self.standing())?;
        if given.smtputf8.is_none() && !reverse_path.mailbox().is_none_or(Mailbox::is_ascii) {
            return Err(replies::needs_smtputf8());
        }
        if given.size.is_some_and(|octets| self.too_big(octets)) {
            return Err(replies::too_big());
        }
        Ok((reverse_path, given))
    }

    fn standing(&self) -> Standing {
        Standing {
            auth: self.settings.auth.is_some(),
            extensions: self.settings.extensions,
            secure: self.is_secure(),
            proved: self.user.is_some(),
            now: self.now,
        }
    }
}
