//! The policy chain of a server: handlers in the order of its `handlerchain`, each of which may decide a question.

mod relay;
mod rewrite;
mod valid_rcpt;

use crate::directory::{Answer, Directory};
use crate::mail::{EnhancedStatus, Mailbox, Reply, ReplyCode};
use crate::smtp::server::question::{Question, Verdict};

/// A handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handler {
    /// `fastfail.ValidRcptHandler`: users of our domains must exist.
    ValidRcpt,
    /// `AuthRequiredToRelayRcptHook`: other domains are nothing we relay to.
    Relay,
}

/// Handlers in order; the first that decides ends the chain.
#[derive(Clone, Debug)]
pub struct Chain {
    handlers: Vec<Handler>,
}

impl Chain {
    /// Of these handlers, in this order.
    pub fn new(handlers: Vec<Handler>) -> Chain {
        Chain { handlers }
    }

    /// What the chain says to a question of a session. A directory that does not answer is a reason to ask again later,
    /// never to accept or to refuse for good.
    pub async fn answer(&self, question: &Question, directory: &dyn Directory) -> Verdict {
        let Question::Recipient(mailbox) = question else { return Verdict::Pass };
        let asked = match directory.known(mailbox) {
            Some(answer) => Ok(answer),
            None => directory.look_up(mailbox).await,
        };
        let Ok(answer) = asked else { return Verdict::DenySoft(unavailable(mailbox)) };
        let opinions = self.handlers.iter().map(|handler| handler.recipient(mailbox, &answer));
        let decided = opinions.into_iter().find(|verdict| *verdict != Verdict::Pass);
        decided.unwrap_or_else(|| rewrite::recipient(mailbox, &answer))
    }
}

impl Handler {
    fn recipient(self, mailbox: &Mailbox, answer: &Answer) -> Verdict {
        match self {
            Handler::ValidRcpt => valid_rcpt::recipient(mailbox, answer),
            Handler::Relay => relay::recipient(answer),
        }
    }
}

/// The directory did not answer (RFC 3463 §3.4: system not accepting network messages would be too much said).
fn unavailable(mailbox: &Mailbox) -> Reply {
    Reply::new(
        ReplyCode::LOCAL_ERROR,
        EnhancedStatus::new(3, 0),
        format!("Unexpected error for <{mailbox}>, try again later"),
    )
}
