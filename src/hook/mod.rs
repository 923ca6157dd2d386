//! The policy chain of a server: handlers in the order of its `handlerchain`, each of which may decide a question.

mod identity;
mod relay;
mod replies;
mod rewrite;
mod valid_rcpt;

pub use self::identity::IdentityMode;
pub use self::valid_rcpt::TableCheck;

use crate::directory::{Directory, Unavailable};
use crate::mail::from::Authors;
use crate::mail::{EnhancedStatus, Mailbox, Reply, ReplyCode, ReversePath};
use crate::smtp::server::Peer;
use crate::smtp::server::question::Verdict;

/// A handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handler {
    /// `fastfail.ValidRcptHandler`: users of our domains must exist.
    ValidRcpt(TableCheck),
    /// `AuthRequiredToRelayRcptHook`: other domains are for clients that may relay.
    Relay,
    /// `SenderAuthIdentifyVerificationHook`: senders are who they say they are.
    Identity(IdentityMode),
    /// `AuthRequiredHook`: nobody sends anything who may not relay.
    AuthRequired,
}

/// What a handler says; nothing where the directory does not answer.
type Opinion = Result<Verdict, Unavailable>;

/// Handlers in order; the first that decides ends the chain.
#[derive(Clone, Debug)]
pub struct Chain {
    handlers: Vec<Handler>,
    onward: Onward,
}

/// What becomes of a recipient's mail once it is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Onward {
    /// Mail for other domains is brought there. Else none is taken, so that nothing is accepted into nowhere.
    pub leads_out: bool,
    /// The rewrite table is applied to it. Else that is done before it is taken.
    pub rewrites: bool,
}

impl Chain {
    /// Of these handlers, in this order.
    pub fn new(handlers: Vec<Handler>) -> Chain {
        Chain { handlers, onward: Onward::default() }
    }

    /// The same where mail goes on so.
    #[must_use]
    pub fn with_onward(self, onward: Onward) -> Chain {
        Chain { onward, ..self }
    }

    /// What the chain says to a sender. A directory that does not answer is a reason to ask again later, never to accept or to
    /// refuse for good: here and everywhere.
    pub async fn sender(&self, path: &ReversePath, peer: Peer<'_>, directory: &dyn Directory) -> Verdict {
        for handler in &self.handlers {
            let opinion = match handler {
                Handler::Identity(mode) => identity::sender(*mode, path, peer, directory).await,
                Handler::AuthRequired if !peer.may_relay() => Ok(Verdict::Deny(replies::authentication_required(0))),
                Handler::AuthRequired | Handler::ValidRcpt(_) | Handler::Relay => Ok(Verdict::Pass),
            };
            match opinion {
                Ok(Verdict::Pass) => {}
                Ok(verdict) => return verdict,
                Err(Unavailable) => return Verdict::DenySoft(unavailable(path)),
            }
        }
        Verdict::Pass
    }

    /// What the chain says to a recipient.
    pub async fn recipient(&self, mailbox: &Mailbox, peer: Peer<'_>, directory: &dyn Directory) -> Verdict {
        let asked = match directory.known(mailbox) {
            Some(answer) => Ok(answer),
            None => directory.look_up(mailbox).await,
        };
        let Ok(answer) = asked else { return Verdict::DenySoft(unavailable(mailbox)) };
        let opinions = self.handlers.iter().map(|handler| match handler {
            Handler::ValidRcpt(check) => valid_rcpt::recipient(*check, mailbox, &answer),
            Handler::Relay => relay::recipient(&answer, peer),
            Handler::Identity(_) | Handler::AuthRequired => Verdict::Pass,
        });
        let decided = opinions.into_iter().find(|verdict| *verdict != Verdict::Pass);
        decided.unwrap_or_else(|| rewrite::recipient(self.onward, mailbox, &answer))
    }

    /// Whether the chain wants to know whom a message of this client claims to be from.
    pub fn asks_about_content(&self, peer: Peer<'_>) -> bool {
        self.handlers.iter().any(|handler| matches!(handler, Handler::Identity(mode) if mode.asks_about_content(peer)))
    }

    /// What the chain says to a message that claims to be from these.
    pub async fn message(&self, authors: &Authors, peer: Peer<'_>, directory: &dyn Directory) -> Verdict {
        for handler in &self.handlers {
            let Handler::Identity(mode) = handler else { continue };
            match identity::authors(*mode, authors, peer, directory).await {
                Ok(Verdict::Pass) => {}
                Ok(verdict) => return verdict,
                Err(Unavailable) => return Verdict::DenySoft(unavailable("the From field")),
            }
        }
        Verdict::Pass
    }
}

/// The directory did not answer (RFC 3463 §3.4: system not accepting network messages would be too much said).
fn unavailable(about: impl std::fmt::Display) -> Reply {
    Reply::new(
        ReplyCode::LOCAL_ERROR,
        EnhancedStatus::new(3, 0),
        format!("Unexpected error for <{about}>, try again later"),
    )
}
