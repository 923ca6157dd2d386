//! The policy chain of a server: handlers in the order of its `handlerchain`, each of which may decide a question.

mod relay;
mod valid_rcpt;

use crate::directory::{Directory, Unavailable};
use crate::mail::{EnhancedStatus, Mailbox, Reply, ReplyCode};
use crate::smtp::server::question::{Question, Verdict};

/// What one handler says to a recipient.
type Opinion = Result<Verdict, Unavailable>;

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
        for handler in &self.handlers {
            match handler.recipient(mailbox, directory).await {
                Ok(Verdict::Pass) => {}
                Ok(verdict) => return verdict,
                Err(Unavailable) => return Verdict::DenySoft(unavailable(mailbox)),
            }
        }
        Verdict::Pass
    }
}

impl Handler {
    async fn recipient(self, mailbox: &Mailbox, directory: &dyn Directory) -> Opinion {
        let answer = match directory.known(mailbox) {
            Some(answer) => answer,
            None => directory.look_up(mailbox).await?,
        };
        Ok(match self {
            Handler::ValidRcpt => valid_rcpt::recipient(mailbox, answer),
            Handler::Relay => relay::recipient(answer),
        })
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
