//! Matchers by the attributes of a mail.

use std::fmt;

use super::{Matched, View};
use crate::mailet::mail::{PRIORITY, Value};
use crate::mailet::pattern::Pattern;

/// The priority of a mail that has none (James: normal).
const NORMAL: i64 = 5;

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// `HasMailAttribute`.
    Has(Box<str>),
    /// `HasMailAttributeWithValue`.
    HasValue(Box<str>, Box<str>),
    /// `HasMailAttributeWithValueRegex`: the whole value matches.
    HasValueRegex(Box<str>, Pattern),
    /// `HasPriority`, `AtLeastPriority`, `AtMostPriority`: within these bounds, which belong to it.
    Priority {
        /// The least.
        least: i64,
        /// The most.
        most: i64,
    },
    /// `HasException`: something went wrong on the way here.
    HasException,
}

impl Condition {
    pub(super) fn evaluate(&self, view: View<'_>) -> Matched {
        Matched::all_if(match self {
            Condition::Has(name) => view.attributes.get(name).is_some(),
            Condition::HasValue(name, value) => view.attribute(name).is_some_and(|found| found == **value),
            Condition::HasValueRegex(name, pattern) => {
                view.attribute(name).is_some_and(|found| pattern.matches(&found))
            }
            Condition::Priority { least, most } => {
                let priority = match view.attributes.get(PRIORITY) {
                    Some(Value::Number(number)) => *number,
                    _ => NORMAL,
                };
                (*least..=*most).contains(&priority)
            }
            Condition::HasException => view.failed,
        })
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Condition::Has(name) => write!(f, "HasMailAttribute={name}"),
            Condition::HasValue(name, value) => write!(f, "HasMailAttributeWithValue={name}, {value}"),
            Condition::HasValueRegex(name, pattern) => write!(f, "HasMailAttributeWithValueRegex={name}, {pattern}"),
            Condition::Priority { least, most } => write!(f, "priority {least} to {most}"),
            Condition::HasException => f.write_str("HasException"),
        }
    }
}
