//! `AuthRequiredToRelayRcptHook`: mail for other domains is taken from clients that may relay; and, where no mailet brings it
//! there, is refused for now even to them.

use super::replies;
use crate::directory::Answer;
use crate::mail::{EnhancedStatus, Mailbox, Reply, ReplyCode};
use crate::smtp::server::Peer;
use crate::smtp::server::question::Verdict;

/// Says nothing to recipients of our domains, nor to clients that may relay.
pub fn recipient(answer: &Answer, peer: Peer<'_>) -> Verdict {
    match answer {
        Answer::User | Answer::UnknownUser | Answer::Rewritten(_) | Answer::Refused(_) => Verdict::Pass,
        Answer::OtherDomain if peer.may_relay() => Verdict::Pass,
        Answer::OtherDomain if peer.offered_auth => Verdict::Deny(replies::authentication_required(1)),
        Answer::OtherDomain => Verdict::Deny(replies::relaying_denied()),
    }
}

/// The last word on a recipient of another domain.
pub fn no_way_out(mailbox: &Mailbox) -> Verdict {
    let text = format!("Mail for <{mailbox}> goes to another domain, and no mailet here brings it there");
    // RFC 3463 X.4.0: other or undefined network or routing status.
    Verdict::DenySoft(Reply::new(ReplyCode::LOCAL_ERROR, EnhancedStatus::new(4, 0), text))
}
