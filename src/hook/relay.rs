//! `AuthRequiredToRelayRcptHook`: mail for other domains is taken from clients that may relay, and here none may yet.

use crate::directory::Answer;
use crate::mail::{EnhancedStatus, Reply, ReplyCode};
use crate::smtp::server::question::Verdict;

/// Says nothing to recipients of our domains.
pub fn recipient(answer: &Answer) -> Verdict {
    match answer {
        Answer::User | Answer::UnknownUser | Answer::Rewritten(_) | Answer::Refused(_) => Verdict::Pass,
        Answer::OtherDomain => Verdict::Deny(relaying_denied()),
    }
}

/// RFC 5321 §4.2.2 550, RFC 3463 X.7.1: delivery not authorized.
fn relaying_denied() -> Reply {
    let text = "Requested action not taken: relaying denied";
    Reply::new(ReplyCode::UNAVAILABLE, EnhancedStatus::new(7, 1), text)
}
