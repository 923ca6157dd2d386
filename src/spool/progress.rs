//! How far a message has come: which recipients are left, what is known of each, and whether it is held.

use std::rc::Rc;

use super::envelope_codec::{Cursor, Malformed};
use super::outcome::{DEFERRED, OUTCOMES, Outcome, OutcomeResult, decode_outcomes, encode_outcomes};

/// A recipient with something left to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// Its place in the envelope.
    pub place: u32,
    /// Attempts that have failed.
    pub attempts: u32,
    /// Microseconds since the Unix epoch before which it is not to be tried.
    pub not_before: u64,
    /// Why the last attempt failed; absent before the first.
    pub reason: Option<Rc<str>>,
}

/// What is left to do for a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    recipients: u32,
    /// Those left, by their places; all of them, untried, where absent: so it is for most messages for most of their time.
    pending: Option<Box<[Pending]>>,
    held: bool,
}

impl Progress {
    /// Of a message with so many recipients of whom none was tried yet.
    pub fn new(recipients: u32) -> Progress {
        Progress { recipients, pending: None, held: false }
    }

    fn untried(recipients: u32) -> impl Iterator<Item = Pending> {
        (0..recipients).map(|place| Pending { place, attempts: 0, not_before: 0, reason: None })
    }

    /// Recipients that the envelope names.
    pub fn recipients(&self) -> u32 {
        self.recipients
    }

    /// Those with something left to do, in the order of the envelope.
    pub fn pending(&self) -> Vec<Pending> {
        match &self.pending {
            Some(pending) => pending.to_vec(),
            None => Progress::untried(self.recipients).collect(),
        }
    }

    /// Nothing is left to do.
    pub fn is_finished(&self) -> bool {
        self.pending.as_ref().map_or(self.recipients == 0, |pending| pending.is_empty())
    }

    /// The operator holds it: nothing is tried until it is released.
    pub fn is_held(&self) -> bool {
        self.held
    }

    /// Holds or releases it.
    pub fn hold(&mut self, held: bool) {
        self.held = held;
    }

    /// When the first recipient may be tried, in microseconds since the Unix epoch.
    pub fn due(&self) -> u64 {
        self.pending.iter().flatten().map(|pending| pending.not_before).min().unwrap_or(0)
    }

    /// The most attempts that failed for one recipient.
    pub fn attempts(&self) -> u32 {
        self.pending.iter().flatten().map(|pending| pending.attempts).max().unwrap_or(0)
    }

    /// Takes in what became of recipients; outcomes for places that the envelope does not have say nothing.
    pub fn apply(&mut self, outcomes: &[Outcome]) {
        let mut pending = self.pending();
        for outcome in outcomes {
            let Ok(at) = pending.binary_search_by_key(&outcome.recipient, |pending| pending.place) else { continue };
            match &outcome.result {
                OutcomeResult::Deferred { not_before, attempts, reason } => {
                    let known =
                        pending.iter().find_map(|other| other.reason.clone().filter(|known| **known == **reason));
                    let reason = known.unwrap_or_else(|| reason.as_ref().into());
                    pending[at] = Pending {
                        place: outcome.recipient,
                        attempts: *attempts,
                        not_before: *not_before,
                        reason: Some(reason),
                    };
                }
                OutcomeResult::Delivered | OutcomeResult::Returned | OutcomeResult::Removed => {
                    pending.remove(at);
                }
            }
        }
        self.pending = Some(pending.into());
    }

    /// Lets everything that was put off be tried at once.
    pub fn flush(&mut self) {
        self.pending.iter_mut().flatten().for_each(|pending| pending.not_before = 0);
    }

    /// Appends what [`Progress::decode`] reads: for the copy of a message that is moved on, whose outcomes stay behind.
    pub fn encode(&self, to: &mut Vec<u8>) {
        to.push(u8::from(self.held));
        let pending = self.pending();
        let left = |place: u32| pending.binary_search_by_key(&place, |pending| pending.place).is_ok();
        let finished = (0..self.recipients).filter(|place| !left(*place));
        let mut outcomes: Vec<_> =
            finished.map(|recipient| Outcome { recipient, result: OutcomeResult::Delivered }).collect();
        let most = if pending.len() > MANY { SHORT_REASON } else { usize::MAX };
        outcomes.extend(pending.iter().filter_map(|pending| {
            let reason = pending.reason.as_deref()?;
            let reason = reason[..reason.floor_char_boundary(most)].into();
            let (not_before, attempts) = (pending.not_before, pending.attempts);
            Some(Outcome { recipient: pending.place, result: OutcomeResult::Deferred { not_before, attempts, reason } })
        }));
        encode_outcomes(&outcomes, to);
    }

    /// Octets of what [`Progress::encode`] appends.
    pub fn octets(&self) -> usize {
        let mut payload = Vec::new();
        self.encode(&mut payload);
        payload.len()
    }

    /// Lets no reason be longer than [`Progress::octets_at_most`] counts.
    pub fn shorten(&mut self) {
        for pending in self.pending.iter_mut().flatten() {
            if let Some(reason) = pending.reason.take() {
                pending.reason = Some(reason[..reason.floor_char_boundary(SHORT_REASON)].into());
            }
        }
    }

    /// Octets that the progress of a message with so many recipients takes at most, with short reasons.
    pub const fn octets_at_most(recipients: u32) -> usize {
        1 + OUTCOMES + recipients as usize * (DEFERRED + SHORT_REASON)
    }

    /// Reads the progress of a message with so many recipients.
    pub fn decode(recipients: u32, payload: &[u8]) -> Result<Progress, Malformed> {
        let mut cursor = Cursor::new(payload);
        let held = cursor.u8()? != 0;
        let mut progress = Progress { held, ..Progress::new(recipients) };
        let outcomes = decode_outcomes(payload.get(1..).ok_or(Malformed)?)?;
        if !outcomes.is_empty() {
            progress.apply(&outcomes);
        }
        Ok(progress)
    }
}

/// Recipients above which their reasons are shortened in the copy of a message, so that it stays within a record, and to what; so
/// are those of any message where room is short.
const MANY: usize = 1000;
const SHORT_REASON: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn deferred(recipient: u32, not_before: u64, attempts: u32) -> Outcome {
        let reason = if attempts > 9 { "locked ".repeat(attempts as usize % 35) } else { "locked".into() };
        Outcome { recipient, result: OutcomeResult::Deferred { not_before, attempts, reason: reason.into() } }
    }

    fn delivered(recipient: u32) -> Outcome {
        Outcome { recipient, result: OutcomeResult::Delivered }
    }

    #[test]
    fn outcomes_say_what_is_left() {
        let mut progress = Progress::new(3);
        assert!(!progress.is_finished());
        progress.apply(&[delivered(1), deferred(2, 70, 4), delivered(7)]);
        let left: Vec<_> = progress.pending().iter().map(|pending| (pending.place, pending.attempts)).collect();
        assert_eq!((left, progress.due(), progress.attempts()), (vec![(0, 0), (2, 4)], 0, 4));
        progress.apply(&[deferred(0, 90, 1)]);
        assert_eq!(progress.due(), 70);
        progress.flush();
        assert_eq!((progress.due(), progress.attempts()), (0, 4));
        progress.apply(&[delivered(0), Outcome { recipient: 2, result: OutcomeResult::Removed }]);
        assert!(progress.is_finished());
    }

    proptest! {
        #[test]
        fn it_reads_back(
            recipients in 1u32..20,
            fates in proptest::collection::vec((0u32..20, 0u64..3, any::<u32>()), 0..30),
            held: bool,
        ) {
            let mut progress = Progress::new(recipients);
            progress.hold(held);
            for (place, kind, attempts) in fates {
                progress.apply(&[if kind == 0 { delivered(place) } else { deferred(place, kind, attempts) }]);
            }
            let mut payload = Vec::new();
            progress.encode(&mut payload);
            let read = Progress::decode(recipients, &payload).expect("it was written");
            prop_assert_eq!(read.pending(), progress.pending());
            prop_assert_eq!((read.is_held(), read.is_finished()), (held, progress.is_finished()));
            prop_assert_eq!(Progress::decode(recipients, &payload[..payload.len() - 1]), Err(Malformed));
            prop_assert_eq!(progress.octets(), payload.len());
            progress.shorten();
            prop_assert!(progress.octets() <= Progress::octets_at_most(recipients));
        }
    }
}
