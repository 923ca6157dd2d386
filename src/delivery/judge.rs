//! What follows from what a next hop said of a recipient: pure.

use std::time::Duration;

use super::schedule::{DEFAULT_DELAY, Schedule};
use crate::smtp::client::transaction::{Care, Fate, Why};

/// After so long a sender that wants to hear of a delay hears of it, once.
pub const WARNED_AFTER: Duration = Duration::from_secs(4 * 3600);

/// What was heard of a recipient at one attempt. Texts begin with a reply code or an enhanced status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A server has it now.
    Taken {
        /// What it said.
        said: Box<str>,
        /// What it does of what the sender asked for.
        care: Care,
    },
    /// Not now.
    Later(Box<str>),
    /// Never.
    Never(Box<str>),
    /// There is nobody, says the DNS, which may be wrong a few times.
    Nobody(Box<str>),
}

impl From<Fate> for Heard {
    fn from(fate: Fate) -> Heard {
        match fate {
            Fate::Taken { reply, care } => Heard::Taken { said: reply.to_string().into(), care },
            Fate::Later(why) => Heard::Later(why.to_string().into()),
            Fate::Never(why) => Heard::Never(why.to_string().into()),
        }
    }
}

/// By which it is judged.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// When it is tried again.
    pub schedule: &'a Schedule,
    /// How often, where the DNS says that there is nobody.
    pub dns_retries: u32,
    /// Microseconds since the Unix epoch.
    pub now: u64,
    /// Microseconds since the Unix epoch from which on it is not delivered any more (RFC 2852, `R`).
    pub expires: Option<u64>,
}

/// What becomes of a recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sentence {
    /// It is done, and the server does this of what the sender asked for.
    Sent(Care),
    /// It is tried again.
    Again {
        /// Microseconds since the Unix epoch.
        at: u64,
        /// Attempts that have failed.
        attempts: u32,
    },
    /// It is not tried any more.
    GivenUp(GivenUp),
}

/// Why a recipient is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GivenUp {
    /// It was refused for good.
    Refused,
    /// It was put off as often as it may be.
    TooOften,
    /// Its time is over (RFC 2852).
    Expired,
}

/// Judges a recipient for whom `attempts` have failed before.
pub fn judge(heard: &Heard, attempts: u32, terms: Terms<'_>) -> Sentence {
    let failed = attempts.saturating_add(1);
    let wait = match heard {
        Heard::Taken { care, .. } => return Sentence::Sent(*care),
        Heard::Never(_) => return Sentence::GivenUp(GivenUp::Refused),
        Heard::Nobody(_) if failed > terms.dns_retries => return Sentence::GivenUp(GivenUp::Refused),
        Heard::Nobody(_) => terms.schedule.delay(failed).unwrap_or(DEFAULT_DELAY),
        Heard::Later(_) => match terms.schedule.delay(failed) {
            Some(wait) => wait,
            None => return Sentence::GivenUp(GivenUp::TooOften),
        },
    };
    let at = terms.now.saturating_add(u64::try_from(wait.as_micros()).unwrap_or(u64::MAX));
    match terms.expires {
        Some(expires) if terms.now >= expires => Sentence::GivenUp(GivenUp::Expired),
        Some(expires) => Sentence::Again { at: at.min(expires), attempts: failed },
        None => Sentence::Again { at, attempts: failed },
    }
}

/// Whether a sender is warned `after` so long now that the attempt after `attempts` failures has failed as well: at one attempt
/// alone, the first that comes so late by the schedule.
pub fn warns(schedule: &Schedule, attempts: u32, after: Duration) -> bool {
    let before = attempts.checked_sub(1).is_some_and(|before| schedule.elapsed(before) >= after);
    !before && schedule.elapsed(attempts) >= after
}

/// Whether a server said no to a recipient because there were enough of them already (RFC 5321 §4.5.3.1.10): it may be asked
/// again at once, in another transaction.
pub fn too_many(fate: &Fate) -> bool {
    match fate {
        Fate::Later(Why::Reply(reply)) if matches!(reply.code, 452 | 552) => {
            let status = reply.lines.first().and_then(|line| line.split(' ').next()).unwrap_or_default();
            let enhanced = status.split('.').count() == 3 && status.bytes().all(|b| b == b'.' || b.is_ascii_digit());
            !enhanced || status.ends_with(".5.3")
        }
        Fate::Later(Why::Found(text)) => text.starts_with("4.5.3"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::schedule::Delay;
    use crate::smtp::client::reply::Reply;
    use proptest::prelude::*;

    fn schedule(waits: &[u64]) -> Schedule {
        let delay = |wait: &u64| Delay { attempts: 1, wait: Duration::from_secs(*wait) };
        Schedule::new(waits.iter().map(delay).collect(), 0).expect("no more retries than delays")
    }

    fn told(heard: Heard, attempts: u32, expires: Option<u64>) -> String {
        let schedule = schedule(&[5, 60]);
        let now = 1_000_000_000;
        match judge(&heard, attempts, Terms { schedule: &schedule, dns_retries: 3, now, expires }) {
            Sentence::Sent(care) => format!("sent, {}", care.reports),
            Sentence::Again { at, attempts } => format!("in {} s, {attempts}", (at - now) / 1_000_000),
            Sentence::GivenUp(why) => format!("{why:?}"),
        }
    }

    #[test]
    fn attempts_follow_the_schedule_and_come_to_an_end() {
        let later = || Heard::Later("451 later".into());
        let nobody = || Heard::Nobody("5.1.2 nobody".into());
        for (heard, attempts, expires, expected) in [
            (
                Heard::Taken { said: "250 ok".into(), care: Care { reports: true, keeps_time: true } },
                7,
                None,
                "sent, true",
            ),
            (Heard::Never("550 no".into()), 0, None, "Refused"),
            (later(), 0, None, "in 5 s, 1"),
            (later(), 1, None, "in 60 s, 2"),
            (later(), 2, None, "TooOften"),
            (later(), u32::MAX, None, "TooOften"),
            (nobody(), 0, None, "in 5 s, 1"),
            (nobody(), 2, None, "in 21600 s, 3"),
            (nobody(), 3, None, "Refused"),
            (later(), 1, Some(1_020_000_000), "in 20 s, 2"),
            (later(), 1, Some(1_000_000_000), "Expired"),
            (
                Heard::Taken { said: "250 ok".into(), care: Care { reports: false, keeps_time: true } },
                7,
                Some(0),
                "sent, false",
            ),
        ] {
            assert_eq!(told(heard.clone(), attempts, expires), expected, "{heard:?} {attempts}");
        }
    }

    #[test]
    fn enough_recipients_are_told_from_a_mailbox_that_is_full() {
        let said = |code, text: &str| Fate::Later(Why::Reply(Reply { code, lines: vec![text.to_owned()] }));
        assert!(too_many(&said(452, "too many recipients")));
        assert!(too_many(&said(452, "4.5.3 too many recipients")));
        assert!(too_many(&said(552, "5.5.3 too many recipients")));
        assert!(too_many(&Fate::Later(Why::Found("4.5.3 no more at a time"))));
        assert!(!too_many(&said(452, "4.2.2 the mailbox is full")));
        assert!(!too_many(&said(451, "later")));
        assert!(!too_many(&Fate::Later(Why::Found("4.4.2 lost"))));
    }

    proptest! {
        /// However it is put off: it ends, it is never put off into the past, and the sender is warned at most once.
        #[test]
        fn every_mail_comes_to_an_end(waits in prop::collection::vec(0u64..20_000, 0..10)) {
            let schedule = schedule(&waits);
            let (mut now, mut attempts, mut warnings) = (0, 0, 0);
            loop {
                warnings += u32::from(warns(&schedule, attempts, WARNED_AFTER));
                let terms = Terms { schedule: &schedule, dns_retries: 0, now, expires: None };
                match judge(&Heard::Later("451".into()), attempts, terms) {
                    Sentence::Again { at, attempts: failed } => {
                        prop_assert!(at >= now && failed == attempts + 1);
                        (now, attempts) = (at, failed);
                    }
                    sentence => {
                        prop_assert_eq!(sentence, Sentence::GivenUp(GivenUp::TooOften));
                        break;
                    }
                }
            }
            prop_assert_eq!(attempts as usize, waits.len());
            let late = waits.iter().sum::<u64>() >= WARNED_AFTER.as_secs();
            prop_assert_eq!(warnings, u32::from(late));
        }
    }
}
