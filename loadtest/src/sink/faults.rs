//! What a sink does wrong on purpose, and when: chosen by rules and by dice that fall the same way for the same seed.

use crate::random::{Random, hash};
use std::time::Duration;

/// A moment at which a sink can be told to misbehave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Stage {
    /// When a client connects, in place of the greeting.
    Connect,
    /// At MAIL.
    Mail,
    /// At each RCPT.
    Rcpt,
    /// At DATA, in place of the 354.
    Data,
    /// At the reply to a whole message; with LMTP for each recipient.
    Dot,
}

/// What is done then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A reply of this code, 400 to 599.
    Reply(u16),
    /// The connection is reset without a reply.
    Drop,
}

/// A rule: at this stage, for recipients like this, do that, so often.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    stage: Stage,
    action: Action,
    probability: f64,
    pattern: Option<String>,
}

/// A wait: before the greeting, before each other reply, or before the reply to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delay {
    stage: DelayStage,
    time: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DelayStage {
    Greeting,
    Reply,
    Dot,
}

impl Fault {
    /// Reads `STAGE:ACTION[:PROBABILITY[:PATTERN]]`.
    pub fn parse(text: &str) -> Result<Fault, String> {
        let mut parts = text.splitn(4, ':');
        let stage = match parts.next().unwrap_or_default() {
            "connect" => Stage::Connect,
            "mail" => Stage::Mail,
            "rcpt" => Stage::Rcpt,
            "data" => Stage::Data,
            "dot" => Stage::Dot,
            other => return Err(format!("\"{other}\" is none of connect, mail, rcpt, data and dot")),
        };
        let action = match parts.next().unwrap_or_default() {
            "drop" => Action::Drop,
            code => match code.parse() {
                Ok(code @ 400..=599) => Action::Reply(code),
                _ => return Err(format!("\"{code}\" is neither drop nor a code from 400 to 599")),
            },
        };
        let probability = match parts.next().unwrap_or("1").parse() {
            Ok(number) if (0.0..=1.0).contains(&number) => number,
            _ => return Err("the probability is no number from 0 to 1".into()),
        };
        let pattern = parts.next().map(str::to_ascii_lowercase);
        if pattern.is_some() && !matches!(stage, Stage::Rcpt | Stage::Dot) {
            return Err("only rcpt and dot know recipients".into());
        }
        Ok(Fault { stage, action, probability, pattern })
    }
}

impl Delay {
    /// Reads `STAGE:SECONDS`.
    pub fn parse(text: &str) -> Result<Delay, String> {
        let (stage, time) = text.split_once(':').ok_or("not STAGE:SECONDS")?;
        let stage = match stage {
            "greeting" => DelayStage::Greeting,
            "reply" => DelayStage::Reply,
            "dot" => DelayStage::Dot,
            other => return Err(format!("\"{other}\" is none of greeting, reply and dot")),
        };
        Ok(Delay { stage, time: crate::args::seconds(time)? })
    }
}

/// All rules of a sink.
#[derive(Clone, Debug, Default)]
pub struct Manner {
    faults: Vec<Fault>,
    /// Before the greeting.
    pub greeting: Duration,
    /// Before each reply but those two.
    pub reply: Duration,
    /// Before the reply to a message.
    pub dot: Duration,
}

impl Manner {
    /// These faults, of which the first that is met counts, and these delays, which add up.
    pub fn new(faults: &[Fault], delays: &[Delay]) -> Manner {
        let sum = |stage| delays.iter().filter(|delay| delay.stage == stage).map(|delay| delay.time).sum();
        let (greeting, reply, dot) = (sum(DelayStage::Greeting), sum(DelayStage::Reply), sum(DelayStage::Dot));
        Manner { faults: faults.to_vec(), greeting, reply, dot }
    }

    /// What is done at `stage`, for `recipients` as far as they are known there. Each rule that might be met throws a die.
    pub fn fault(&self, stage: Stage, recipients: &[&str], dice: &mut Dice) -> Option<Action> {
        let rules = self.faults.iter().filter(|fault| fault.stage == stage);
        rules
            .filter(|fault| {
                fault.pattern.as_ref().is_none_or(|pattern| recipients.iter().any(|name| matches(pattern, name)))
            })
            .filter(|fault| dice.0.unit() < fault.probability)
            .map(|fault| fault.action)
            .next()
    }
}

/// The chances of one session.
#[derive(Clone, Debug)]
pub struct Dice(Random);

impl Dice {
    /// Those of the session that was so many-th, from 0, in a run of this seed.
    pub fn new(seed: u64, session: u64) -> Dice {
        Dice(Random::new(hash(seed, session)))
    }
}

/// Whether a name is like a pattern, in which `*` is any number of any characters; without regard to case.
fn matches(pattern: &str, name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let mut pieces = pattern.split('*');
    let Some(mut rest) = name.strip_prefix(pieces.next().unwrap_or_default()) else { return false };
    let mut pieces: Vec<&str> = pieces.collect();
    let Some(last) = pieces.pop() else { return rest.is_empty() };
    for piece in pieces {
        match rest.find(piece) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_a_shell() {
        for (pattern, name, expected) in [
            ("*", "", true),
            ("you@here", "You@Here", true),
            ("you@here", "you@here.too", false),
            ("defer*@*", "defer-1@there", true),
            ("defer*@*", "adefer@there", false),
            ("*@there", "a@there", true),
            ("*@there", "a@there.not", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("ab*ba", "aba", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn rules_say_what_they_mean_or_are_refused() {
        let fault = Fault::parse("rcpt:451:0.25:defer*@*").unwrap();
        let pattern = Some("defer*@*".to_string());
        assert_eq!(fault, Fault { stage: Stage::Rcpt, action: Action::Reply(451), probability: 0.25, pattern });
        assert_eq!(Fault::parse("connect:drop").unwrap().probability, 1.0);
        for text in ["", "rcpt", "rcpt:250", "rcpt:600", "later:451", "rcpt:451:2", "rcpt:451:x", "mail:451:1:a"] {
            assert!(Fault::parse(text).is_err(), "{text:?}");
        }
        for text in ["", "dot", "dot:x", "data:1"] {
            assert!(Delay::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn chances_are_as_often_as_asked_and_the_same_for_a_seed() {
        let manner = Manner::new(&[Fault::parse("dot:451:0.2").unwrap(), Fault::parse("dot:drop:0.5").unwrap()], &[]);
        let outcomes = |seed: u64| -> Vec<Option<Action>> {
            (0..20_000).map(|session| manner.fault(Stage::Dot, &[], &mut Dice::new(seed, session))).collect()
        };
        let first = outcomes(1);
        assert!(first == outcomes(1) && first != outcomes(2));
        let share = |action| first.iter().filter(|outcome| **outcome == action).count() as f64 / first.len() as f64;
        assert!((share(Some(Action::Reply(451))) - 0.2).abs() < 0.02);
        // The second rule is asked where the first was not met.
        assert!((share(Some(Action::Drop)) - 0.4).abs() < 0.02);
        assert_eq!(manner.fault(Stage::Rcpt, &["a@b"], &mut Dice::new(1, 1)), None);
    }

    #[test]
    fn delays_add_up() {
        let delays = ["dot:0.5", "dot:1", "greeting:2"].map(|text| Delay::parse(text).unwrap());
        let manner = Manner::new(&[], &delays);
        assert_eq!((manner.dot, manner.greeting), (Duration::from_millis(1500), Duration::from_secs(2)));
        assert_eq!(manner.reply, Duration::ZERO);
    }
}
