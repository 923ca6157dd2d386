//! RCPT (RFC 5321 §4.1.1.3).

use super::parameters::recipient_note;
use super::question::{Question, Step};
use super::{Chunks, Pending, Session, Transaction, replies, say};
use crate::mail::{ForwardPath, Mailbox, RecipientNote, Reply};
use crate::smtp::grammar::{after_keyword, split_path};

impl<P> Session<P> {
    pub(super) fn rcpt(&mut self, argument: &str, replies: &mut Vec<u8>) -> Step {
        match self.read_rcpt(argument) {
            Ok((recipient, note)) => {
                self.ask(Pending::Recipient(recipient.clone(), note), Question::Recipient(recipient))
            }
            Err(reply) => say(reply, replies),
        }
    }

    pub(super) fn accept_recipient(&mut self, recipient: Mailbox, note: RecipientNote, replies: &mut Vec<u8>) -> Step {
        let Some(transaction) = &mut self.transaction else {
            return say(replies::mail_first(), replies);
        };
        replies::recipient_ok(&recipient, replies);
        transaction.recipients.push(recipient, note);
        Step::Receive
    }

    /// Accepts a recipient whose mail goes elsewhere, unless that makes too many.
    pub(super) fn rewrite_recipient(
        &mut self,
        recipient: Mailbox,
        note: RecipientNote,
        targets: Vec<Mailbox>,
        replies: &mut Vec<u8>,
    ) -> Step {
        let Some(transaction) = &mut self.transaction else {
            return say(replies::mail_first(), replies);
        };
        match transaction.recipients.push_rewritten(recipient.clone(), note, targets, self.settings.max_recipients) {
            true => replies::recipient_ok(&recipient, replies),
            false => replies::too_many_recipients().write(replies),
        }
        Step::Receive
    }

    fn read_rcpt(&self, argument: &str) -> Result<(Mailbox, RecipientNote), Reply> {
        let transaction = self.transaction.as_ref().ok_or_else(replies::mail_first)?;
        if transaction.chunks != Chunks::None {
            return Err(replies::rcpt_after_bdat());
        }
        let (recipient, note) = self.read_recipient(argument, transaction)?;
        if transaction.recipients.len() >= self.settings.max_recipients || !transaction.recipients.has_room_for(&note) {
            return Err(replies::too_many_recipients());
        }
        Ok((recipient, note))
    }

    fn read_recipient(&self, argument: &str, transaction: &Transaction) -> Result<(Mailbox, RecipientNote), Reply> {
        let domain = &*self.settings.default_domain;
        let text = after_keyword(argument, "TO:").ok_or_else(replies::rcpt_usage)?;
        let found = split_path(text, self.settings.require_brackets).ok_or_else(replies::rcpt_syntax)?;
        let recipient = ForwardPath::parse(found.path, domain)
            .and_then(|path| path.into_mailbox(domain))
            .map_err(|_| replies::bad_recipient())?;
        let note = recipient_note(found.parameters, self.settings.extensions, transaction.smtputf8)?;
        if !transaction.smtputf8 && !recipient.is_ascii() {
            return Err(replies::needs_smtputf8());
        }
        Ok((recipient, note))
    }
}
