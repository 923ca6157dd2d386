//! Matchers by who the sender is. Who has the null reverse-path is none of them but [`Condition::IsNull`].

use std::fmt;

use super::recipient::same;
use super::{Matched, Stop, View, listed};
use crate::directory::Place as Whose;
use crate::mail::{Domain, Mailbox};
use crate::mailet::pattern::Pattern;
use crate::mailet::question::{Question, Rewritten, Whom};

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// `SenderIs`: one of these, whatever the case.
    Is(Vec<Mailbox>),
    /// `SenderHostIs` and `SenderDomainIs`: in one of these domains.
    DomainIs(Vec<Domain>),
    /// `SenderHostIsLocal`: in a domain of this host.
    HostIsLocal,
    /// `SenderIsLocal`: a user of this host.
    IsLocal,
    /// `SenderIsNull`.
    IsNull,
    /// `SenderIsRegex`: the whole address matches.
    IsRegex(Pattern),
    /// `IsSenderInRRTLoop`: the rewrite table leads the sender in circles.
    InRewriteLoop,
}

impl Condition {
    pub(super) fn evaluate(&self, view: View<'_>) -> Result<Matched, Stop> {
        let Some(sender) = view.facts.reverse_path.mailbox() else {
            return Ok(Matched::all_if(*self == Condition::IsNull));
        };
        let matches = match self {
            Condition::Is(mailboxes) => mailboxes.iter().any(|one| same(one, sender)),
            Condition::DomainIs(domains) => domains.contains(sender.domain()),
            Condition::IsNull => false,
            Condition::IsRegex(pattern) => pattern.matches(&sender.to_string()),
            Condition::HostIsLocal | Condition::IsLocal => match (view.known.sender, self) {
                (None, _) => return Err(Stop::Ask(Question::Directory(Whom::Sender))),
                (Some(Whose::User), _) | (Some(Whose::Nobody), Condition::HostIsLocal) => true,
                _ => false,
            },
            Condition::InRewriteLoop => match &view.known.sender_rewritten {
                None => return Err(Stop::Ask(Question::Rewrite(Whom::Sender))),
                Some(rewritten) => *rewritten == Rewritten::Loop,
            },
        };
        Ok(Matched::all_if(matches))
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Condition::Is(mailboxes) => write!(f, "SenderIs={}", listed(mailboxes)),
            Condition::DomainIs(domains) => write!(f, "SenderHostIs={}", listed(domains)),
            Condition::HostIsLocal => f.write_str("SenderHostIsLocal"),
            Condition::IsLocal => f.write_str("SenderIsLocal"),
            Condition::IsNull => f.write_str("SenderIsNull"),
            Condition::IsRegex(pattern) => write!(f, "SenderIsRegex={pattern}"),
            Condition::InRewriteLoop => f.write_str("IsSenderInRRTLoop"),
        }
    }
}
