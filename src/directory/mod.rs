//! Who is known here: the questions about users and domains, and the answers.
//!
//! Pure. Who answers stands behind [`Directory`]: today the list in the configuration, asked of the control plane.

use std::collections::HashSet;
use std::future::Future;
use std::pin::Pin;

use crate::mail::{Domain, Mailbox};

/// What the directory says of a mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is a user's.
    User,
    /// Its domain is one of ours, but nobody there is called so.
    UnknownUser,
    /// Its domain is not one of ours.
    OtherDomain,
}

/// The directory did not answer: it is down, late, or asked too much. Never a reason to accept or to refuse for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the directory did not answer")]
pub struct Unavailable;

/// An answer on its way.
pub type Pending<'a> = Pin<Box<dyn Future<Output = Result<Answer, Unavailable>> + 'a>>;

/// The directory as one core reaches it.
pub trait Directory {
    /// The answer, if it is known without asking anyone.
    fn known(&self, mailbox: &Mailbox) -> Option<Answer>;

    /// Asks.
    fn look_up<'a>(&'a self, mailbox: &Mailbox) -> Pending<'a>;
}

/// Users and domains as the configuration lists them.
#[derive(Clone, Debug, Default)]
pub struct Listed {
    domains: HashSet<Domain>,
    users: HashSet<Mailbox>,
}

impl Listed {
    /// Of these domains and users. Local parts are compared without regard to case and without `+detail`, as James does.
    pub fn new(domains: impl IntoIterator<Item = Domain>, users: impl IntoIterator<Item = Mailbox>) -> Listed {
        let users = users.into_iter().map(|user| user_of(&user)).collect();
        Listed { domains: domains.into_iter().collect(), users }
    }

    /// What is known of a mailbox.
    pub fn answer(&self, mailbox: &Mailbox) -> Answer {
        if !self.domains.contains(mailbox.domain()) {
            Answer::OtherDomain
        } else if self.users.contains(&user_of(mailbox)) {
            Answer::User
        } else {
            Answer::UnknownUser
        }
    }
}

impl Directory for Listed {
    fn known(&self, mailbox: &Mailbox) -> Option<Answer> {
        Some(self.answer(mailbox))
    }

    fn look_up<'a>(&'a self, mailbox: &Mailbox) -> Pending<'a> {
        let answer = self.answer(mailbox);
        Box::pin(async move { Ok(answer) })
    }
}

/// The user whose mailbox this is: lower case on both sides of the `@`, without `+detail`. However a sender writes a user,
/// this is written one way, for it names a directory.
pub fn user_of(mailbox: &Mailbox) -> Mailbox {
    let local = mailbox.local();
    let user = local.split_once('+').map_or(local, |(user, _)| user);
    let user = if user.is_empty() { local } else { user }.to_lowercase();
    let domain = match mailbox.domain() {
        Domain::Name(name) => Domain::Name(name.to_ascii_lowercase().into()),
        address => address.clone(),
    };
    Mailbox::new(&user, domain).unwrap_or_else(|_| mailbox.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mailbox(text: &str) -> Mailbox {
        Mailbox::parse(text).expect("a mailbox")
    }

    #[test]
    fn users_are_known_whatever_their_case_and_detail() {
        let listed = Listed::new([mailbox("x@localhost").domain().clone()], [mailbox("You@localhost")]);
        assert_eq!(listed.answer(&mailbox("you@LOCALHOST")), Answer::User);
        assert_eq!(listed.answer(&mailbox("YOU+lists@localhost")), Answer::User);
        assert_eq!(listed.answer(&mailbox("\"you\"@localhost")), Answer::User);
        assert_eq!(listed.answer(&mailbox("+you@localhost")), Answer::UnknownUser);
        assert_eq!(listed.answer(&mailbox("you@example.org")), Answer::OtherDomain);
    }

    #[test]
    fn a_user_is_written_one_way() {
        assert_eq!(user_of(&mailbox("You+lists@LocalHost")).to_string(), "you@localhost");
        assert_eq!(user_of(&mailbox("+You@localhost")).to_string(), "+you@localhost");
        assert_eq!(user_of(&mailbox("you@[192.0.2.1]")).to_string(), "you@[192.0.2.1]");
    }
}
