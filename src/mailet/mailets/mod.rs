//! Mailets: what is done with a mail. A file a family.
//!
//! A mailet that must know something says so before it changes anything: it is served again once it is known.

pub mod attribute;
pub mod body;
pub mod bounce;
pub mod deliver;
pub mod header;
pub mod notify;
pub mod redirect;
pub mod repository;
pub mod rewrite;
pub mod sieve;
pub mod sign;
pub mod told;

use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use super::container::Branch;
use super::effect::{Beside, Effect, End};
use super::mail::{Facts, Recipient};
use super::matchers::{Known, Stop, View};
use super::pipeline::{Pipeline, Place};

/// What comes after a mailet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// The next pair.
    On,
    /// Another processor.
    To(Place),
    /// Nothing: this is the end of their way.
    End(End),
}

/// What a mailet works with.
#[derive(Debug)]
pub struct Run<'a> {
    /// The pipeline it is in.
    pub pipeline: &'a Pipeline,
    /// What does not change.
    pub facts: &'a Facts,
    /// What is known so far.
    pub known: &'a Known,
    /// For whom it works.
    pub branch: &'a mut Branch,
    /// What is to be done beside.
    pub effects: &'a mut Vec<Effect>,
    /// Recipients it took off the branch, whose way ends.
    pub ended: Vec<(Vec<Recipient>, End)>,
    /// Recipients it took off the branch, the processor they go to, and why.
    pub parted: Vec<(Vec<Recipient>, Place, Rc<str>)>,
    /// Recipients it took off the branch, who go on as those of a mail that a mailet made.
    pub sent_on: Vec<Recipient>,
}

/// What came of a mailet's work.
#[derive(Debug)]
pub(super) struct Served {
    /// What comes after it.
    pub result: Result<Next, Stop>,
    /// As in [`Run`].
    pub ended: Vec<(Vec<Recipient>, End)>,
    /// As in [`Run`].
    pub parted: Vec<(Vec<Recipient>, Place, Rc<str>)>,
    /// As in [`Run`].
    pub sent_on: Vec<Recipient>,
}

impl Run<'_> {
    /// The mail as a matcher would see it.
    pub fn view(&self) -> View<'_> {
        View {
            facts: self.facts,
            known: self.known,
            recipients: &self.branch.recipients,
            attributes: &self.branch.attributes,
            form: &self.branch.form,
            failed: self.branch.failed,
        }
    }

    /// Has something done beside.
    pub fn beside(&mut self, what: Beside) {
        self.effects.push(Effect::Beside(what));
    }
}

/// A mailet with its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mailet {
    /// The end of the way: a mailbox, another host, nothing.
    Deliver(deliver::Deliver),
    /// `ToProcessor`.
    ToProcessor {
        /// The processor.
        processor: Place,
        /// What is said of why; `None` where nothing is.
        notice: Option<Arc<str>>,
    },
    /// Kept in a repository.
    Repository(repository::Keep),
    /// Other recipients.
    Rewrite(rewrite::Rewrite),
    /// Another header.
    Header(header::Change),
    /// Other attributes.
    Attribute(attribute::Change),
    /// Another body.
    Body(body::Change),
    /// The sender is told, by a report or in words.
    Bounce(Box<bounce::Bounce>),
    /// Sender or postmaster are told.
    Notify(Box<notify::Notify>),
    /// The mail goes to others.
    Redirect(Box<redirect::Redirect>),
    /// A signature.
    Sign(sign::Sign),
    /// The users' own scripts.
    Sieve,
    /// The log or the figures are told.
    Told(told::Told),
    /// `Identity`: nothing.
    Identity,
    /// Nothing, since this mailet, or the matcher before it, is not done yet.
    NotYet(Box<str>),
}

impl Mailet {
    /// Does its work.
    pub(super) fn serve(&self, mut run: Run<'_>) -> Served {
        let result = match self {
            Mailet::Deliver(deliver) => Ok(deliver.serve()),
            Mailet::ToProcessor { processor, notice } => {
                if let Some(notice) = notice {
                    run.branch.error = Some(Rc::from(&**notice));
                }
                Ok(Next::To(*processor))
            }
            Mailet::Repository(keep) => Ok(keep.serve(&mut run)),
            Mailet::Rewrite(rewrite) => rewrite.serve(&mut run),
            Mailet::Header(change) => change.serve(&mut run),
            Mailet::Attribute(change) => change.serve(&mut run),
            Mailet::Body(change) => change.serve(&mut run),
            Mailet::Bounce(bounce) => bounce.serve(&mut run),
            Mailet::Notify(notify) => notify.serve(&mut run),
            Mailet::Redirect(redirect) => redirect.serve(&mut run),
            Mailet::Sign(sign) => sign.serve(&mut run),
            Mailet::Sieve => sieve::serve(&mut run),
            Mailet::Told(told) => told.serve(&mut run),
            Mailet::Identity | Mailet::NotYet(_) => Ok(Next::On),
        };
        Served { result, ended: run.ended, parted: run.parted, sent_on: run.sent_on }
    }

    /// The processor that mail goes to, where it is that which the mailet does.
    pub fn processor(&self) -> Option<Place> {
        match self {
            Mailet::ToProcessor { processor, .. } => Some(*processor),
            _ => None,
        }
    }
}

impl fmt::Display for Mailet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mailet::Deliver(deliver) => deliver.fmt(f),
            Mailet::ToProcessor { .. } => f.write_str("ToProcessor"),
            Mailet::Repository(keep) => keep.fmt(f),
            Mailet::Rewrite(rewrite) => rewrite.fmt(f),
            Mailet::Header(change) => change.fmt(f),
            Mailet::Attribute(change) => change.fmt(f),
            Mailet::Body(change) => change.fmt(f),
            Mailet::Bounce(bounce) => bounce.fmt(f),
            Mailet::Notify(notify) => notify.fmt(f),
            Mailet::Redirect(redirect) => redirect.fmt(f),
            Mailet::Sign(sign) => sign.fmt(f),
            Mailet::Sieve => f.write_str("Sieve"),
            Mailet::Told(told) => told.fmt(f),
            Mailet::Identity => f.write_str("Identity"),
            Mailet::NotYet(name) => write!(f, "nothing ({name} is not done yet)"),
        }
    }
}

/// On with the next pair, or an end because the operator wants no more of it.
fn pass_through(pass_through: bool, answered: bool) -> Next {
    use super::effect::Drop;
    match (pass_through, answered) {
        (true, _) => Next::On,
        (false, true) => Next::End(End::Drop(Drop::Answered)),
        (false, false) => Next::End(End::Drop(Drop::Asked)),
    }
}
