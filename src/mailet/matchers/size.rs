//! Matchers by the size of a mail and the number of its recipients.

use std::fmt;

use super::{Matched, Stop, View};
use crate::mailet::header::split;

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// `SizeGreaterThan`, in octets.
    GreaterThan(u64),
    /// `TooManyRecipients` and `RecipientCountExceeds`: more than so many.
    MoreRecipients(usize),
    /// `TooManyLines`: the body has more than so many.
    MoreLines(usize),
}

impl Condition {
    pub(super) fn evaluate(self, view: View<'_>) -> Result<Matched, Stop> {
        Ok(Matched::all_if(match self {
            Condition::GreaterThan(octets) => view.facts.size > octets,
            Condition::MoreRecipients(count) => view.recipients.len() > count,
            // What has no more octets has no more lines.
            Condition::MoreLines(count) if view.facts.size <= count as u64 => false,
            Condition::MoreLines(count) => {
                let content = view.content()?;
                memchr::memchr_iter(b'\n', split(&content).1).take(count + 1).count() > count
            }
        }))
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Condition::GreaterThan(octets) => write!(f, "SizeGreaterThan={octets}"),
            Condition::MoreRecipients(count) => write!(f, "TooManyRecipients={count}"),
            Condition::MoreLines(count) => write!(f, "TooManyLines={count}"),
        }
    }
}
