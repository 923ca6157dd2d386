//! Answers that are remembered for as long as they are good, and no more of them than was said.

use std::collections::HashMap;
use std::time::Instant;

use super::Question;
use super::answer::Told;

/// At most so many answers.
#[derive(Debug)]
pub struct Memory {
    most: usize,
    answers: HashMap<Question, (Told, Instant)>,
}

impl Memory {
    /// Of so many.
    pub fn new(most: usize) -> Memory {
        Memory { most, answers: HashMap::new() }
    }

    /// What is remembered, with the time that is left of it.
    pub fn get(&self, question: &Question, now: Instant) -> Option<Told> {
        let (told, until) = self.answers.get(question)?;
        let lasts = until.saturating_duration_since(now);
        (!lasts.is_zero()).then(|| Told { lasts, ..told.clone() })
    }

    /// Remembers an answer. Where there is no room, what is past goes; where that is little, everything does.
    pub fn put(&mut self, question: Question, told: Told, now: Instant) {
        if self.most == 0 {
            return;
        }
        if self.answers.len() >= self.most && !self.answers.contains_key(&question) {
            self.answers.retain(|_, (_, until)| *until > now);
            if self.answers.len() > self.most - self.most.div_ceil(8) {
                self.answers.clear();
            }
        }
        let until = now + told.lasts;
        self.answers.insert(question, (told, until));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::names::Answer;
    use std::time::Duration;

    fn question(number: usize) -> Question {
        Question::MailExchange(format!("{number}.example").into())
    }

    fn told(seconds: u64) -> Told {
        Told { answer: Answer::Listed(Ok(true)), lasts: Duration::from_secs(seconds), authoritative: true }
    }

    #[test]
    fn answers_are_good_for_as_long_as_they_say() {
        let (mut memory, now) = (Memory::new(10), Instant::now());
        memory.put(question(1), told(10), now);
        let after = |seconds| memory.get(&question(1), now + Duration::from_secs(seconds)).map(|told| told.lasts);
        assert_eq!(after(4), Some(Duration::from_secs(6)));
        assert_eq!(after(10), None);
        assert_eq!(memory.get(&question(2), now), None);
    }

    #[test]
    fn there_are_never_more_than_was_said() {
        for most in [0, 1, 2, 9, 100] {
            let (mut memory, mut now) = (Memory::new(most), Instant::now());
            for number in 0..500 {
                now += Duration::from_secs(1);
                memory.put(question(number), told(if number % 3 == 0 { 1 } else { 1000 }), now);
                assert!(memory.answers.len() <= most, "{most}");
                assert_eq!(memory.get(&question(number), now).is_some(), most > 0);
            }
        }
    }
}
