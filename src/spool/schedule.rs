//! When which message is to be tried next.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::mail::MessageId;

/// Messages that wait for an attempt, in the order in which they are due; among those due since ever, oldest first. Times are
/// of a clock that nobody sets.
#[derive(Debug, Default)]
pub struct Schedule {
    waiting: BTreeSet<(Duration, MessageId)>,
}

impl Schedule {
    /// Adds a message that is not to be tried before `due`.
    pub fn add(&mut self, due: Duration, id: MessageId) {
        self.waiting.insert((due, id));
    }

    /// Takes a message out that was added for this time.
    pub fn remove(&mut self, due: Duration, id: MessageId) {
        self.waiting.remove(&(due, id));
    }

    /// Takes out the next message that is due at `now`.
    pub fn take_due(&mut self, now: Duration) -> Option<MessageId> {
        let first = *self.waiting.first()?;
        (first.0 <= now).then(|| self.waiting.remove(&first)).map(|_| first.1)
    }

    /// When the next message is due.
    pub fn next_due(&self) -> Option<Duration> {
        self.waiting.first().map(|first| first.0)
    }

    /// How many messages wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// None waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_comes_first_and_only_once() {
        let at = Duration::from_micros;
        let mut schedule = Schedule::default();
        schedule.add(at(50), MessageId(1));
        schedule.add(at(0), MessageId(3));
        schedule.add(at(0), MessageId(2));
        schedule.add(at(0), MessageId(4));
        schedule.remove(at(0), MessageId(4));
        assert_eq!((schedule.len(), schedule.next_due()), (3, Some(at(0))));
        assert_eq!(schedule.take_due(at(10)), Some(MessageId(2)));
        assert_eq!(schedule.take_due(at(10)), Some(MessageId(3)));
        assert_eq!(schedule.take_due(at(10)), None);
        assert_eq!(schedule.take_due(at(50)), Some(MessageId(1)));
        assert!(schedule.is_empty());
    }
}
