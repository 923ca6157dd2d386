//! DATA (RFC 5321 §4.1.1.4), and the end of a message however it came.

use super::question::{Question, Refusal, Step, Transfer};
use super::settings::Service;
use super::{Chunks, Pending, Recipients, Session, Transaction, Turn, replies, say};
use crate::mail::{BodyType, Content, Mailbox, MessageId, Reply};

impl<P> Session<P> {
    pub(super) fn data(&mut self, argument: &str, replies: &mut Vec<u8>) -> Step {
        match self.check_data(argument) {
            Ok(()) => {
                replies::start_mail_input(replies);
                Step::ReceiveData(Transfer::Data)
            }
            Err(reply) => say(reply, replies),
        }
    }

    fn check_data(&self, argument: &str) -> Result<(), Reply> {
        if !argument.is_empty() {
            return Err(replies::unexpected_argument("DATA"));
        }
        let transaction = self.ready_for_content()?;
        if transaction.chunks != Chunks::None {
            return Err(replies::data_after_bdat());
        }
        if transaction.body == BodyType::BinaryMime {
            return Err(replies::data_for_binary());
        }
        Ok(())
    }

    /// The transaction, if content may follow.
    pub(super) fn ready_for_content(&self) -> Result<&Transaction, Reply> {
        let transaction = self.transaction.as_ref().ok_or_else(replies::no_sender)?;
        if transaction.recipients.is_empty() { Err(replies::no_recipients()) } else { Ok(transaction) }
    }

    /// The final dot or the last chunk was received: `content` is what is known of the whole, `size` its size (RFC 1870 §5). The
    /// message is to be stored, or asked about first, or it is refused and the transaction is over.
    pub fn data_ended(&mut self, content: &Content, size: u64, replies: &mut Vec<u8>) -> Step {
        let Turn::Content(Transfer::Data | Transfer::Chunk { last: true, .. }) = self.turn else {
            return self.confused(replies);
        };
        let step = match self.check_content(content, size) {
            Ok(()) if self.settings.asks_about_content => self.ask(Pending::Message, Question::Message),
            Ok(()) => Step::Store,
            Err(reply) => {
                self.refuse_message(&reply, replies);
                Step::Receive
            }
        };
        self.expect_next(step)
    }

    fn check_content(&self, content: &Content, size: u64) -> Result<(), Reply> {
        let binary = self.transaction.as_ref().is_some_and(|transaction| transaction.body == BodyType::BinaryMime);
        if self.too_big(size) {
            Err(replies::too_big())
        } else if !binary && (content.bare_cr || content.bare_lf) {
            Err(replies::bare_line_end())
        } else {
            Ok(())
        }
    }

    /// The message of [`Step::Store`] is durable for all of its recipients, or it is not. Ends the transaction.
    pub fn stored(&mut self, result: Result<P, Refusal>, replies: &mut Vec<u8>) -> Step {
        let Some((recipients, id)) = self.end_message() else {
            return self.confused(replies);
        };
        if result.is_ok() {
            self.forgive();
        }
        match self.settings.protocol {
            Service::Smtp => match result {
                Ok(proof) => replies::message_received(&proof, id, replies),
                Err(refusal) => refused_message(refusal).write(replies),
            },
            Service::Lmtp => {
                for recipient in recipients.named() {
                    answer_for(recipient, id, result.as_ref().map_err(Refusal::clone)).write(replies);
                }
            }
        }
        self.expect_next(Step::Receive)
    }

    /// LMTP: what became of the message of [`Step::Store`] for each recipient of its envelope, in order. A recipient without a
    /// result has no message, and one of the client that goes to several of them has it when all have. Ends the transaction.
    pub fn delivered(&mut self, results: Vec<Result<P, Refusal>>, replies: &mut Vec<u8>) -> Step {
        if self.settings.protocol != Service::Lmtp {
            return self.confused(replies);
        }
        let Some((recipients, id)) = self.end_message() else {
            return self.confused(replies);
        };
        if results.iter().any(Result::is_ok) {
            self.forgive();
        }
        for (recipient, result) in recipients.results(&results) {
            let result = result.map_or(Err(Refusal::Failed), |result| result.as_ref().map_err(Refusal::clone));
            answer_for(recipient, id, result).write(replies);
        }
        self.expect_next(Step::Receive)
    }

    /// Refuses the whole message: once, or for every recipient (RFC 2033 §4.2). Ends the transaction.
    pub(super) fn refuse_message(&mut self, reply: &Reply, replies: &mut Vec<u8>) {
        let times = match self.settings.protocol {
            Service::Smtp => 1,
            Service::Lmtp => self.recipients().len(),
        };
        (0..times).for_each(|_| reply.write(replies));
        self.transaction = None;
    }

    /// Ends the transaction whose message was to be stored: who was to get it, and its name.
    fn end_message(&mut self) -> Option<(Recipients, MessageId)> {
        let (Turn::Store, Some(id)) = (&self.turn, self.message()) else {
            return None;
        };
        self.transaction.take().map(|transaction| (transaction.recipients, id))
    }
}

/// LMTP's answer for one recipient: no 250 without a proof.
fn answer_for<P>(recipient: &Mailbox, id: MessageId, result: Result<&P, Refusal>) -> Reply {
    match result {
        Ok(proof) => replies::message_received_for(proof, recipient, id),
        Err(Refusal::MailboxFailed) => replies::mailbox_failed(recipient),
        Err(Refusal::MailboxFull) => replies::mailbox_full(recipient),
        Err(refusal) => refused_message(refusal),
    }
}

fn refused_message(refusal: Refusal) -> Reply {
    match refusal {
        Refusal::Full => replies::spool_full(),
        Refusal::Closed => replies::spool_closed(),
        Refusal::Busy => replies::spool_busy(),
        // Only LMTP has a mailbox to blame; a whole message that could not be delivered has failed.
        Refusal::Failed | Refusal::MailboxFailed | Refusal::MailboxFull => replies::spool_failed(),
        Refusal::Rejected(reply) if reply.code().refuses() => reply,
        Refusal::Rejected(_) => replies::denied(),
    }
}
