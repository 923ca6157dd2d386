//! What became of a message, gathered from the last to the first that was written of it.

use super::{Outcome, Progress};

/// What is known of a message that was not met yet.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// One for each recipient that something is known of, by their places.
    outcomes: Vec<Outcome>,
    held: Option<bool>,
}

impl Known {
    /// These came before all that is known. What is final stays so; else what came last counts.
    pub(super) fn before(&mut self, outcomes: Vec<Outcome>) {
        // Of one record, too, the last counts.
        for outcome in outcomes.into_iter().rev() {
            match self.outcomes.binary_search_by_key(&outcome.recipient, |known| known.recipient) {
                Ok(place) if outcome.result.is_final() => self.outcomes[place] = outcome,
                Ok(_) => {}
                Err(place) => self.outcomes.insert(place, outcome),
            }
        }
    }

    /// The operator held or released it before all that is known.
    pub(super) fn held_before(&mut self, held: bool) {
        self.held.get_or_insert(held);
    }

    /// Says it of the message.
    pub(super) fn apply(self, progress: &mut Progress) {
        if !self.outcomes.is_empty() {
            progress.apply(&self.outcomes);
        }
        if let Some(held) = self.held {
            progress.hold(held);
        }
    }
}
