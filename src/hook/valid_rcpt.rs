//! `org.apache.james.smtpserver.fastfail.ValidRcptHandler`: refuses recipients of our domains whom nobody knows.

use crate::directory::{Answer, Place, Rewriting, Target};
use crate::mail::{EnhancedStatus, Mailbox, Reply, ReplyCode};
use crate::smtp::server::question::Verdict;

/// What of the rewrite table makes a recipient valid who is no user. What no user would get in the end is refused in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum TableCheck {
    /// `mappingExists`, and `anyMappingValid`, which here is the same: one target that a user gets.
    #[default]
    AnyTarget,
    /// `allMappingsValid`: no target of ours is nobody's.
    EveryTarget,
    /// `enableRecipientRewriteTable` is false: nothing.
    Nothing,
}

/// Says nothing to recipients of other domains.
pub fn recipient(check: TableCheck, mailbox: &Mailbox, answer: &Answer) -> Verdict {
    let is_nobodys = |target: &Target| target.place == Place::Nobody;
    let valid = match answer {
        Answer::User | Answer::OtherDomain | Answer::Refused(_) => true,
        Answer::UnknownUser => false,
        Answer::Rewritten(Rewriting { is_user: true, .. }) => true,
        Answer::Rewritten(Rewriting { targets, .. }) => match check {
            TableCheck::AnyTarget => true,
            TableCheck::EveryTarget => !targets.iter().any(is_nobodys),
            TableCheck::Nothing => false,
        },
    };
    if valid { Verdict::Pass } else { Verdict::Deny(unknown_user(mailbox)) }
}

/// RFC 5321 §4.2.2 550, RFC 3463 X.1.1: bad destination mailbox address.
pub(super) fn unknown_user(mailbox: &Mailbox) -> Reply {
    Reply::new(ReplyCode::UNAVAILABLE, EnhancedStatus::new(1, 1), format!("Unknown user: {mailbox}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rewrite_table_makes_recipients_valid_as_far_as_it_is_told() {
        let mailbox = |text: &str| Mailbox::parse(text).expect("a mailbox");
        let answer = |places: &[Place], is_user| {
            let target = |place: &Place| Target { mailbox: mailbox("target@x"), place: *place };
            Answer::Rewritten(Rewriting { targets: places.iter().map(target).collect(), is_user })
        };
        let valid = |check, answer: &Answer| recipient(check, &mailbox("all@x"), answer) == Verdict::Pass;
        let (some, all) = (answer(&[Place::User, Place::Nobody], false), answer(&[Place::User], false));
        use TableCheck::*;
        assert!(valid(AnyTarget, &some) && valid(AnyTarget, &all));
        assert!(!valid(EveryTarget, &some) && valid(EveryTarget, &all));
        assert!(!valid(Nothing, &some) && !valid(Nothing, &all));
        assert!(valid(Nothing, &answer(&[Place::Nobody], true)), "a user with a forward is a user");
        for check in [AnyTarget, EveryTarget, Nothing] {
            assert!(valid(check, &Answer::User) && valid(check, &Answer::OtherDomain));
            assert!(!valid(check, &Answer::UnknownUser));
        }
    }
}
