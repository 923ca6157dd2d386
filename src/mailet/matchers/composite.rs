//! Matchers that join others, recipient by recipient.

use std::fmt;

use super::{Matched, Matcher, Stop, View};

/// How they are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Join {
    /// `Or`: who matches one of them.
    Or,
    /// `And`: who matches all of them.
    And,
    /// `Not`: who matches none of them.
    Not,
    /// `Xor`: who matches an odd number of them.
    Xor,
}

/// Matchers, each of them negated or not, and how they are joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// How.
    pub join: Join,
    /// Which; `true` is `notmatch`.
    pub matchers: Vec<(bool, Matcher)>,
    /// What the operator called it; empty for one inside another.
    pub name: Box<str>,
}

impl Condition {
    pub(super) fn evaluate(&self, view: View<'_>) -> Result<Matched, Stop> {
        let count = view.recipients.len();
        let mut result = Matched::all_if(self.join == Join::And);
        for (negated, matcher) in &self.matchers {
            let one = matcher.evaluate(view)?;
            let one = if *negated { one.negated() } else { one };
            result = match self.join {
                Join::Or | Join::Not => result.joined(one, count, |a, b| a || b),
                Join::And => result.joined(one, count, |a, b| a && b),
                Join::Xor => result.joined(one, count, |a, b| a != b),
            };
            // What those that follow say changes nothing, so nobody is asked for their sake.
            match (self.join, &result) {
                (Join::Or | Join::Not, Matched::All) | (Join::And, Matched::None) => break,
                _ => {}
            }
        }
        Ok(if self.join == Join::Not { result.negated() } else { result })
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.name.is_empty() {
            write!(f, "{}: ", self.name)?;
        }
        let one = |(negated, matcher): &(bool, Matcher)| format!("{}{matcher}", if *negated { "not " } else { "" });
        write!(f, "{:?}({})", self.join, self.matchers.iter().map(one).collect::<Vec<_>>().join(", "))
    }
}
