//! What became of a recipient, as it is recorded.

use super::envelope_codec::{Cursor, Malformed, put_text};

/// What became of one recipient of a message at one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The recipient's place in the envelope, from 0.
    pub recipient: u32,
    /// What became of it.
    pub result: OutcomeResult,
}

/// The three things that can become of a recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutcomeResult {
    /// Somebody else is responsible now: final.
    Delivered,
    /// To be tried again.
    Deferred {
        /// Microseconds since the Unix epoch before which it is not tried again.
        not_before: u64,
        /// How many attempts have failed so far.
        attempts: u32,
        /// Why, for people.
        reason: Box<str>,
    },
    /// The one who handed the message over was told that it failed and kept it: final.
    Returned,
    /// The operator took it out of the queue: final.
    Removed,
}

impl OutcomeResult {
    /// Nothing more is to be done for this recipient.
    pub fn is_final(&self) -> bool {
        !matches!(self, OutcomeResult::Deferred { .. })
    }
}

/// Appends the payload of an outcomes record.
pub fn encode_outcomes(outcomes: &[Outcome], to: &mut Vec<u8>) {
    to.extend_from_slice(&(outcomes.len() as u32).to_le_bytes());
    for outcome in outcomes {
        to.extend_from_slice(&outcome.recipient.to_le_bytes());
        match &outcome.result {
            OutcomeResult::Delivered => to.push(1),
            OutcomeResult::Returned => to.push(3),
            OutcomeResult::Removed => to.push(4),
            OutcomeResult::Deferred { not_before, attempts, reason } => {
                to.push(2);
                to.extend_from_slice(&not_before.to_le_bytes());
                to.extend_from_slice(&attempts.to_le_bytes());
                put_text(&reason[..reason.floor_char_boundary(REASON_MAX)], to);
            }
        }
    }
}

/// Octets of a list of outcomes before the first, and of one that was deferred before its reason.
pub(super) const OUTCOMES: usize = 4;
pub(super) const DEFERRED: usize = 4 + 1 + 8 + 4 + 2;

/// Octets of a reason that are kept: with the most recipients a record stays within its bound.
const REASON_MAX: usize = 256;

/// Reads what [`encode_outcomes`] wrote.
pub fn decode_outcomes(payload: &[u8]) -> Result<Vec<Outcome>, Malformed> {
    let mut cursor = Cursor::new(payload);
    let count = cursor.u32()?;
    let mut outcomes = Vec::new();
    for _ in 0..count {
        let recipient = cursor.u32()?;
        let result = match cursor.u8()? {
            1 => OutcomeResult::Delivered,
            2 => OutcomeResult::Deferred {
                not_before: cursor.u64()?,
                attempts: cursor.u32()?,
                reason: cursor.text()?.into(),
            },
            3 => OutcomeResult::Returned,
            4 => OutcomeResult::Removed,
            _ => return Err(Malformed),
        };
        outcomes.push(Outcome { recipient, result });
    }
    Ok(outcomes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_read_back() {
        let outcomes = vec![
            Outcome { recipient: 0, result: OutcomeResult::Delivered },
            Outcome {
                recipient: 7,
                result: OutcomeResult::Deferred { not_before: 99, attempts: 3, reason: "mailbox is locked".into() },
            },
            Outcome { recipient: 8, result: OutcomeResult::Returned },
            Outcome { recipient: 9, result: OutcomeResult::Removed },
        ];
        let mut payload = Vec::new();
        encode_outcomes(&outcomes, &mut payload);
        assert_eq!(decode_outcomes(&payload), Ok(outcomes));
        assert_eq!(decode_outcomes(&payload[..payload.len() - 1]), Err(Malformed));
    }
}
