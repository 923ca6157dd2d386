//! Mailets that keep a mail in a repository.

use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use super::{Next, Run};
use crate::mailet::effect::{Beside, End};

/// Where, and whether the mail goes on as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keep {
    /// `repositoryPath` of `ToRepository`, `urlPrefix` of `ToSenderDomainRepository`.
    pub url: Arc<str>,
    /// Whether the sender's domain comes after it (`ToSenderDomainRepository`).
    pub by_sender_domain: bool,
    /// `passThrough`.
    pub pass_through: bool,
}

impl Keep {
    pub(super) fn serve(&self, run: &mut Run<'_>) -> Next {
        let repository: Rc<str> = match (self.by_sender_domain, run.facts.reverse_path.mailbox()) {
            (false, _) => Rc::from(&*self.url),
            // A domain has no character that would leave the directory.
            (true, Some(sender)) => format!("{}{}/", self.url, sender.domain().to_string().to_lowercase()).into(),
            (true, None) => {
                return if self.pass_through { Next::On } else { Next::End(End::Repository(Rc::from(&*self.url))) };
            }
        };
        if !self.pass_through {
            return Next::End(End::Repository(repository));
        }
        let (recipients, form) = (run.branch.recipients.clone(), run.branch.form.clone());
        run.beside(Beside::Copy { recipients, form, repository });
        run.branch.answered = true;
        Next::On
    }
}

impl fmt::Display for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = if self.by_sender_domain { "ToSenderDomainRepository" } else { "ToRepository" };
        write!(f, "{name} {}{}", self.url, if self.pass_through { ", and on" } else { "" })
    }
}
