//! Matchers by the attributes of a mail.

use std::fmt;

use super::{Matched, View};
use crate::mailet::mail::{Attributes, PRIORITY, Value};
use crate::mailet::pattern::Pattern;

/// The priority of a mail that has none (James: normal).
const NORMAL: i64 = 5;

fn count(attributes: &Attributes, name: &str) -> i64 {
    match attributes.get(name) {
        Some(Value::Number(number)) => *number,
        _ => 0,
    }
}

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
    /// `AtMost`: it matched less often than that; each time it does is counted in the attribute.
    AtMost {
        /// The attribute.
        name: Box<str>,
        /// How often it matches.
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
            Condition::AtMost { name, most } => count(view.attributes, name) < *most,
            Condition::HasException => view.failed,
        })
    }

    /// Counts that it matched.
    pub(super) fn mark(&self, attributes: &mut Attributes) {
        if let Condition::AtMost { name, .. } = self {
            let count = count(attributes, name).saturating_add(1);
            attributes.set(name, Value::Number(count));
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Condition::Has(name) => write!(f, "HasMailAttribute={name}"),
            Condition::HasValue(name, value) => write!(f, "HasMailAttributeWithValue={name}, {value}"),
            Condition::HasValueRegex(name, pattern) => write!(f, "HasMailAttributeWithValueRegex={name}, {pattern}"),
            Condition::Priority { least, most } => write!(f, "priority {least} to {most}"),
            Condition::AtMost { name, most } => write!(f, "AtMost={name}:{most}"),
            Condition::HasException => f.write_str("HasException"),
        }
    }
}
