//! `org.apache.james.smtpserver.fastfail.ValidRcptHandler`: refuses recipients of our domains whom nobody knows.

use crate::directory::Answer;
use crate::mail::{EnhancedStatus, Mailbox, Reply, ReplyCode};
use crate::smtp::server::question::Verdict;

/// Says nothing to recipients of other domains.
pub fn recipient(mailbox: &Mailbox, answer: &Answer) -> Verdict {
    match answer {
        Answer::User | Answer::OtherDomain | Answer::Rewritten(_) | Answer::Refused(_) => Verdict::Pass,
        Answer::UnknownUser => Verdict::Deny(unknown_user(mailbox)),
    }
}

/// RFC 5321 §4.2.2 550, RFC 3463 X.1.1: bad destination mailbox address.
pub(super) fn unknown_user(mailbox: &Mailbox) -> Reply {
    Reply::new(ReplyCode::UNAVAILABLE, EnhancedStatus::new(1, 1), format!("Unknown user: {mailbox}"))
}
