//! Where the mail of a recipient goes that the rewrite table knows (James: the mailet `RecipientRewriteTable`, asked here
//! before anything is accepted).

use super::Onward;
use crate::directory::{Answer, Place, Rewriting, Target};
use crate::mail::{Mailbox, Reply};
use crate::smtp::server::question::Verdict;

/// Says nothing to recipients that nobody rewrote, or that the container will. Where a target of another domain could not be
/// reached such a recipient is refused for now: nothing is accepted into nowhere. A target that is nobody's is left out while
/// others remain.
pub fn recipient(onward: Onward, mailbox: &Mailbox, answer: &Answer) -> Verdict {
    match answer {
        Answer::User | Answer::UnknownUser => Verdict::Pass,
        Answer::OtherDomain if onward.leads_out => Verdict::Pass,
        Answer::OtherDomain => super::relay::no_way_out(mailbox),
        Answer::Refused(reply) if reply.code().class() == 4 => Verdict::DenySoft(Reply::clone(reply)),
        Answer::Refused(reply) => Verdict::Deny(Reply::clone(reply)),
        Answer::Rewritten(Rewriting { targets, .. })
            if targets.iter().any(|target| target.place == Place::OtherDomain) =>
        {
            let passed_on = onward.leads_out && onward.rewrites;
            if passed_on { Verdict::Pass } else { super::relay::no_way_out(mailbox) }
        }
        Answer::Rewritten(Rewriting { targets, .. }) => {
            let users: Vec<Mailbox> = targets.iter().filter(is_user).map(|target| target.mailbox.clone()).collect();
            if users.is_empty() {
                Verdict::Deny(super::valid_rcpt::unknown_user(mailbox))
            } else if onward.rewrites {
                Verdict::Pass
            } else {
                Verdict::Rewrite(users)
            }
        }
    }
}

fn is_user(target: &&Target) -> bool {
    target.place == Place::User
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::refusal_of;
    use std::sync::Arc;

    fn said(onward: Onward, places: &[Place]) -> String {
        let mailbox = |text: &str| Mailbox::parse(text).expect("a mailbox");
        let target =
            |(number, place): (usize, &Place)| Target { mailbox: mailbox(&format!("t{number}@x")), place: *place };
        let targets = places.iter().enumerate().map(target).collect();
        let answer = Answer::Rewritten(Rewriting { targets, is_user: false });
        match recipient(onward, &mailbox("all@x"), &answer) {
            Verdict::Rewrite(to) => to.iter().map(|mailbox| format!("{mailbox} ")).collect(),
            Verdict::Deny(reply) => format!("deny {reply}"),
            Verdict::DenySoft(reply) => format!("deny softly {reply}"),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn mail_goes_to_the_users_among_the_targets() {
        use Place::{Nobody, OtherDomain, User};
        let none = Onward::default();
        assert_eq!(said(none, &[User, Nobody, User]), "t0@x t2@x ");
        assert_eq!(said(none, &[Nobody]), "deny 550 5.1.1 Unknown user: all@x");
        let refused =
            "deny softly 451 4.4.0 Mail for <all@x> goes to another domain, and no mailet here brings it there";
        assert_eq!(said(none, &[User, OtherDomain]), refused);
        assert_eq!(said(Onward { leads_out: true, rewrites: false }, &[User, OtherDomain]), refused);
        assert_eq!(said(Onward { leads_out: false, rewrites: true }, &[User, OtherDomain]), refused);
        let both = Onward { leads_out: true, rewrites: true };
        assert_eq!(said(both, &[User, OtherDomain]), "Pass");
        assert_eq!(said(both, &[User, Nobody]), "Pass");
        assert_eq!(said(both, &[Nobody]), "deny 550 5.1.1 Unknown user: all@x");
    }

    #[test]
    fn an_error_mapping_refuses_as_it_says() {
        let mailbox = Mailbox::parse("gone@x").expect("a mailbox");
        let said = |text| recipient(Onward::default(), &mailbox, &Answer::Refused(Arc::new(refusal_of(text))));
        assert_eq!(said("551 5.1.6 Gone"), Verdict::Deny(refusal_of("551 5.1.6 Gone")));
        assert_eq!(said("450 4.2.1 Later"), Verdict::DenySoft(refusal_of("450 4.2.1 Later")));
    }
}
