//! Matchers by who the recipient is.

use std::fmt;

use super::{Matched, Stop, View, listed};
use crate::directory::Place as Whose;
use crate::mail::{Domain, Mailbox};
use crate::mailet::pattern::Pattern;
use crate::mailet::question::{Question, Whom};

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// `RecipientIsLocal`: a user of this host.
    IsLocal,
    /// `HostIsLocal`: in a domain of this host.
    HostIsLocal,
    /// `HostIs` and `RecipientDomainIs`: in one of these domains.
    DomainIs(Vec<Domain>),
    /// `RecipientIs`: one of these, whatever the case.
    Is(Vec<Mailbox>),
    /// `UserIs`: one of these local parts, whatever the case.
    UserIs(Vec<Box<str>>),
    /// `RecipientIsRegex`: the whole address matches.
    IsRegex(Pattern),
    /// `IsSingleRecipient`: there is one alone.
    IsSingle,
}

impl Condition {
    pub(super) fn evaluate(&self, view: View<'_>) -> Result<Matched, Stop> {
        let each = |matches: &dyn Fn(&Mailbox) -> bool| {
            Ok(Matched::each(view.recipients, |recipient| matches(&recipient.mailbox)))
        };
        match self {
            Condition::IsLocal | Condition::HostIsLocal => {
                if view.recipients.iter().any(|recipient| recipient.known.is_none()) {
                    return Err(Stop::Ask(Question::Directory(Whom::Recipients)));
                }
                let host = *self == Condition::HostIsLocal;
                Ok(Matched::each(view.recipients, |recipient| match recipient.known {
                    Some(Whose::User) => true,
                    Some(Whose::Nobody) => host,
                    Some(Whose::OtherDomain) | None => false,
                }))
            }
            Condition::DomainIs(domains) => each(&|mailbox| domains.contains(mailbox.domain())),
            Condition::Is(mailboxes) => each(&|mailbox| mailboxes.iter().any(|one| same(one, mailbox))),
            Condition::UserIs(users) => {
                each(&|mailbox| users.iter().any(|user| user.to_lowercase() == mailbox.local().to_lowercase()))
            }
            Condition::IsRegex(pattern) => each(&|mailbox| pattern.matches(&mailbox.to_string())),
            Condition::IsSingle => Ok(Matched::all_if(view.recipients.len() == 1)),
        }
    }
}

/// Whether two mailboxes are the same whatever the case of their local parts, as James compares them.
pub fn same(one: &Mailbox, other: &Mailbox) -> bool {
    one.domain() == other.domain() && one.local().to_lowercase() == other.local().to_lowercase()
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Condition::IsLocal => f.write_str("RecipientIsLocal"),
            Condition::HostIsLocal => f.write_str("HostIsLocal"),
            Condition::DomainIs(domains) => write!(f, "HostIs={}", listed(domains)),
            Condition::Is(mailboxes) => write!(f, "RecipientIs={}", listed(mailboxes)),
            Condition::UserIs(users) => write!(f, "UserIs={}", listed(users)),
            Condition::IsRegex(pattern) => write!(f, "RecipientIsRegex={pattern}"),
            Condition::IsSingle => f.write_str("IsSingleRecipient"),
        }
    }
}
