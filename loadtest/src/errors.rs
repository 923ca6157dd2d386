//! Errors counted by their text, of which a bounded number is told apart.

use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Different error texts that are kept; further ones are counted together.
const TEXTS: usize = 100;

/// What the further ones are counted under.
const FURTHER: &str = "(further texts)";

/// Errors counted by their text.
#[derive(Debug, Default)]
pub struct Errors {
    counts: BTreeMap<String, u64>,
}

impl Errors {
    /// Counts an error.
    pub fn count(&mut self, text: &str) {
        self.add(text, 1);
    }

    /// Counts an error that came so many times.
    pub fn add(&mut self, text: &str, times: u64) {
        if let Some(count) = self.counts.get_mut(text) {
            *count += times;
        } else if self.counts.len() < TEXTS {
            self.counts.insert(text.to_string(), times);
        } else {
            *self.counts.entry(FURTHER.into()).or_insert(0) += times;
        }
    }

    /// The texts, and how often each came.
    pub fn texts(&self) -> impl Iterator<Item = (&str, u64)> {
        self.counts.iter().map(|(text, count)| (text.as_str(), *count))
    }

    /// How many there were.
    pub fn total(&self) -> u64 {
        self.counts.values().sum()
    }

    /// The counts by text.
    pub fn json(&self) -> Value {
        json!(self.counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_a_bounded_number_of_texts() {
        let mut errors = Errors::default();
        (0..3 * TEXTS).for_each(|number| errors.count(&format!("{number}")));
        (0..5).for_each(|_| errors.count("7"));
        assert_eq!(errors.total(), 3 * TEXTS as u64 + 5);
        assert_eq!(errors.counts["7"], 6);
        assert_eq!(errors.counts.len(), TEXTS + 1);
    }
}
