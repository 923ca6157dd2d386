//! When a delivery that was not taken yet is tried again, and when it is given up (James: `delayTime`, `maxRetries`).

use std::time::Duration;

/// Delays that a schedule has at most.
pub const DELAYS_MAX: usize = 1000;

/// So many attempts, each so long after the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Delay {
    /// How many.
    pub attempts: u32,
    /// How long.
    pub wait: Duration,
}

/// The attempts after the first.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Schedule {
    delays: Vec<Delay>,
}

/// There is nothing to wait for between attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there are attempts, and no delay before them")]
pub struct NoDelays;

/// The delay where none is named.
pub const DEFAULT_DELAY: Duration = Duration::from_secs(6 * 3600);
/// The attempts where they are not numbered.
pub const DEFAULT_RETRIES: u32 = 5;

impl Default for Schedule {
    fn default() -> Schedule {
        Schedule { delays: vec![Delay { attempts: DEFAULT_RETRIES, wait: DEFAULT_DELAY }] }
    }
}

impl Schedule {
    /// As James has it: there are as many attempts as the delays say, or `retries` where that is more; the last delay is then
    /// repeated.
    ///
    /// # Errors
    ///
    /// Where there is no delay to repeat.
    pub fn new(mut delays: Vec<Delay>, retries: u32) -> Result<Schedule, NoDelays> {
        delays.truncate(DELAYS_MAX);
        delays.retain(|delay| delay.attempts > 0);
        let listed = delays.iter().fold(0u32, |sum, delay| sum.saturating_add(delay.attempts));
        if let Some(missing) = retries.checked_sub(listed).filter(|missing| *missing > 0) {
            let last = delays.last_mut().ok_or(NoDelays)?;
            last.attempts = last.attempts.saturating_add(missing);
        }
        Ok(Schedule { delays })
    }

    /// How long to wait after `failed` attempts (1 and more); `None` where it is given up.
    pub fn delay(&self, failed: u32) -> Option<Duration> {
        let mut left = failed.checked_sub(1)?;
        for delay in &self.delays {
            match left.checked_sub(delay.attempts) {
                None => return Some(delay.wait),
                Some(rest) => left = rest,
            }
        }
        None
    }

    /// The shortest and the longest of the delays.
    pub fn bounds(&self) -> (Option<Duration>, Option<Duration>) {
        let waits = || self.delays.iter().map(|delay| delay.wait);
        (waits().min(), waits().max())
    }

    /// How long after the first attempt the one after `failed` failures comes at the earliest.
    pub fn elapsed(&self, failed: u32) -> Duration {
        let (mut left, mut time) = (failed, Duration::ZERO);
        for delay in &self.delays {
            let count = delay.attempts.min(left);
            time = time.saturating_add(delay.wait.saturating_mul(count));
            left -= count;
        }
        time
    }

    /// Attempts after the first.
    pub fn retries(&self) -> u32 {
        self.delays.iter().fold(0u32, |sum, delay| sum.saturating_add(delay.attempts))
    }

    /// How long it takes until a delivery is given up, attempts counted as if they took no time.
    pub fn until_given_up(&self) -> Duration {
        let add = |sum: Duration, delay: &Delay| sum.saturating_add(delay.wait.saturating_mul(delay.attempts));
        self.delays.iter().fold(Duration::ZERO, add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn delays(list: &[(u32, u64)]) -> Vec<Delay> {
        list.iter().map(|(attempts, wait)| Delay { attempts: *attempts, wait: Duration::from_secs(*wait) }).collect()
    }

    fn seconds(schedule: &Schedule) -> Vec<u64> {
        (1..).map_while(|failed| schedule.delay(failed)).map(|wait| wait.as_secs()).collect()
    }

    #[test]
    fn delays_follow_one_another_and_the_last_is_repeated() {
        let of = |list: &[(u32, u64)], retries| Schedule::new(delays(list), retries).map(|schedule| seconds(&schedule));
        assert_eq!(of(&[(1, 5), (2, 60), (1, 3600)], 0), Ok(vec![5, 60, 60, 3600]));
        assert_eq!(of(&[(1, 5), (1, 60)], 4), Ok(vec![5, 60, 60, 60]));
        assert_eq!(of(&[(0, 7), (3, 5)], 1), Ok(vec![5, 5, 5]));
        assert_eq!(of(&[], 0), Ok(vec![]));
        assert_eq!(of(&[], 1), Err(NoDelays));
        assert_eq!(seconds(&Schedule::default()), [21_600; 5]);
        assert_eq!(Schedule::default().delay(0), None);
    }

    proptest! {
        #[test]
        fn there_are_as_many_attempts_as_either_says(list in prop::collection::vec((0u32..4, 0u64..9), 0..5), retries in 0u32..20) {
            let listed: u32 = list.iter().map(|(attempts, _)| attempts).sum();
            if let Ok(schedule) = Schedule::new(delays(&list), retries) {
                prop_assert_eq!(schedule.retries(), listed.max(retries));
                prop_assert_eq!(seconds(&schedule).len() as u32, schedule.retries());
                prop_assert_eq!(seconds(&schedule).iter().sum::<u64>(), schedule.until_given_up().as_secs());
                for failed in 0..=schedule.retries() {
                    let sum: u64 = seconds(&schedule).iter().take(failed as usize).sum();
                    prop_assert_eq!(schedule.elapsed(failed).as_secs(), sum);
                }
                let of = |time: Option<&u64>| time.map(|time| Duration::from_secs(*time));
                prop_assert_eq!(schedule.bounds(), (of(seconds(&schedule).iter().min()), of(seconds(&schedule).iter().max())));
            } else {
                prop_assert!(listed == 0 && retries > 0);
            }
        }
    }
}
