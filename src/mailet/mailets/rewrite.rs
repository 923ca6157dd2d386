//! Mailets that make other recipients of those there are.

use std::fmt;
use std::rc::Rc;

use super::{Next, Run};
use crate::directory::{Place as Whose, Target};
use crate::mail::Mailbox;
use crate::mailet::container::RECIPIENTS_MAX;
use crate::mailet::effect::{Drop, End};
use crate::mailet::mail::Recipient;
use crate::mailet::matchers::Stop;
use crate::mailet::pipeline::Place;
use crate::mailet::question::{Question, Rewritten, Whom};

/// How.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rewrite {
    /// `RecipientRewriteTable`.
    Table {
        /// `errorProcessor`: where those go whose mappings refuse them or lead in circles; `error` where none is named.
        error: Option<Place>,
    },
    /// `PostmasterAlias`: postmaster of a domain of this host is the one that the configuration names.
    Postmaster,
    /// `RecipientToLowerCase`: local parts in lower case.
    LowerCase,
}

impl Rewrite {
    pub(super) fn serve(self, run: &mut Run<'_>) -> Result<Next, Stop> {
        match self {
            Rewrite::Table { error } => table(run, error)?,
            Rewrite::Postmaster => postmaster(run)?,
            Rewrite::LowerCase => {
                for recipient in &mut run.branch.recipients {
                    let mailbox = &recipient.mailbox;
                    if mailbox.local().chars().any(char::is_uppercase) {
                        let lower = Mailbox::new(&mailbox.local().to_lowercase(), mailbox.domain().clone());
                        // A letter may be longer in lower case; what would be too long then stays.
                        recipient.mailbox = lower.unwrap_or_else(|_| mailbox.clone());
                    }
                }
                without_duplicates(run);
            }
        }
        Ok(Next::On)
    }
}

fn table(run: &mut Run<'_>, error: Option<Place>) -> Result<(), Stop> {
    let Some(answers) = run.branch.rewritten.take() else {
        return Err(Stop::Ask(Question::Rewrite(Whom::Recipients)));
    };
    if answers.iter().all(|answer| *answer == Rewritten::Unchanged) {
        return Ok(());
    }
    let error = error.unwrap_or(run.pipeline.error);
    let old = std::mem::take(&mut run.branch.recipients);
    let mut answers = answers.into_iter();
    for recipient in old {
        let mut refuse = |recipient, why: &str| run.parted.push((vec![recipient], error, Rc::from(why)));
        match answers.next().unwrap_or(Rewritten::Unchanged) {
            Rewritten::Unchanged => run.branch.recipients.push(recipient),
            Rewritten::To(to)
                if !to.is_empty() && run.branch.recipients.len() + run.sent_on.len() + to.len() <= RECIPIENTS_MAX =>
            {
                for Target { mailbox, place } in to {
                    if mailbox == recipient.mailbox {
                        run.branch.recipients.push(recipient.clone());
                        continue;
                    }
                    let new = Recipient { mailbox, known: Some(place), ..recipient.clone() };
                    // James sends these on as mail of its own: whoever wrote to the list has no right to relay, the list has.
                    if place == Whose::OtherDomain { run.sent_on.push(new) } else { run.branch.recipients.push(new) }
                }
            }
            Rewritten::To(_) => {
                refuse(recipient, "554 5.4.0 Mail for this address goes to too many others, or to nobody")
            }
            Rewritten::Refused(text) => refuse(recipient, &text),
            Rewritten::Loop => refuse(recipient, "554 5.4.6 Too many mappings to process"),
        }
    }
    without_duplicates(run);
    Ok(())
}

/// Nobody gets a mail twice because two addresses lead to one mailbox; a place that nobody is left in comes to its end.
fn without_duplicates(run: &mut Run<'_>) {
    let mut seen: std::collections::HashSet<Mailbox> = std::collections::HashSet::new();
    let mut doubles = Vec::new();
    for list in [&mut run.branch.recipients, &mut run.sent_on] {
        for recipient in std::mem::take(list) {
            if seen.insert(recipient.mailbox.clone()) { list.push(recipient) } else { doubles.push(recipient) }
        }
    }
    if !doubles.is_empty() {
        run.ended.push((doubles, End::Drop(Drop::Duplicate)));
    }
}

fn postmaster(run: &mut Run<'_>) -> Result<(), Stop> {
    let is_postmaster = |recipient: &Recipient| recipient.mailbox.local().eq_ignore_ascii_case("postmaster");
    let own = &run.pipeline.postmaster;
    let mut unknown = run.branch.recipients.iter().filter(|one| is_postmaster(one) && one.mailbox != *own);
    if unknown.clone().next().is_none() {
        return Ok(());
    }
    if unknown.any(|recipient| recipient.known.is_none()) {
        return Err(Stop::Ask(Question::Directory(Whom::Recipients)));
    }
    for recipient in run.branch.recipients.iter_mut().filter(|one| is_postmaster(one)) {
        // A postmaster who has a mailbox of that name keeps getting it there, as in James.
        if recipient.known == Some(Whose::Nobody) {
            recipient.mailbox = own.clone();
            recipient.known = None;
        }
    }
    without_duplicates(run);
    Ok(())
}

impl fmt::Display for Rewrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Rewrite::Table { .. } => "RecipientRewriteTable",
            Rewrite::Postmaster => "PostmasterAlias",
            Rewrite::LowerCase => "RecipientToLowerCase",
        })
    }
}
