//! One attempt at a message: what became of its recipients so far.

use super::{Fate, State};
use crate::io::Machine;
use crate::spool::{Outcome, OutcomeResult, Stored};

use super::super::journey::Journey;

/// One attempt at a message.
pub(super) struct Attempt<'a, M: Machine> {
    pub spooler: &'a State<M>,
    pub stored: &'a Stored,
    pub journey: &'a Journey,
    pub purpose: Purpose,
    /// What became of recipients, so far as it is not recorded yet.
    pub outcomes: Vec<Outcome>,
    /// The same for a client.
    pub fates: Vec<(u32, Fate)>,
}

impl<M: Machine> Attempt<'_, M> {
    /// A recipient has come to its end.
    pub fn ended(&mut self, place: u32, result: OutcomeResult, fate: Fate) {
        self.outcomes.push(Outcome { recipient: place, result });
        if self.purpose != Purpose::Queue {
            self.fates.push((place, fate));
        }
    }

    /// A recipient is tried again later, or is the client's again.
    pub fn failed(&mut self, place: u32, reason: &str) {
        let result = match self.purpose {
            Purpose::Client { .. } => OutcomeResult::Returned,
            Purpose::Queue => {
                self.spooler.deferred.set(self.spooler.deferred.get() + 1);
                self.spooler.deferral(self.stored.progress.attempts().saturating_add(1), reason)
            }
        };
        self.ended(place, result, Fate::Failed);
    }

    /// The mailet that was to bring it to other hosts is not in the file any more: it waits until there is one again.
    pub fn no_way_out(&mut self, places: &[u32]) {
        for place in places {
            let Some(recipient) = self.stored.message.envelope.recipients.get(*place as usize) else { continue };
            let why = "no mailet brings it to other hosts any more";
            self.note_failed(recipient, &why);
            self.failed(*place, why);
        }
    }

    /// Throws the mail away for these. A client that waits is told that it failed, for it may not be told that it is in a mailbox.
    pub fn discard(&mut self, places: &[u32]) {
        for place in places {
            let Some(recipient) = self.stored.message.envelope.recipients.get(*place as usize) else { continue };
            self.note_dropped(recipient, None);
            let result = match self.purpose {
                Purpose::Queue => OutcomeResult::Removed,
                Purpose::Client { .. } => OutcomeResult::Returned,
            };
            self.ended(*place, result, Fate::Failed);
        }
    }
}

/// For whom a delivery is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// For the queue: what fails is tried again.
    Queue,
    /// For a client that waits: what fails is the client's again.
    Client {
        /// Every recipient goes its way alone.
        split: bool,
    },
}
