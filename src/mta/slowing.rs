//! Intake is slowed when the backlog outgrows delivery, long before the spool is full: decided here, without I/O.
//!
//! Each client waits for itself, at MAIL. So the many that come with one message wait a little, and one that comes with
//! thousands brings fewer a minute.

use std::time::Duration;

/// How long a message may wait for its first attempt before intake is slowed.
const SPARED: Duration = Duration::from_secs(60);

/// What is added for each minute beyond, and the most that a client waits.
const STEP: Duration = Duration::from_millis(100);
const MOST: Duration = Duration::from_secs(2);

/// How long the reply to MAIL is held back when the message that is due longest has waited for `lag`.
pub fn wait(lag: Duration) -> Duration {
    let minutes = u32::try_from(lag.as_secs() / SPARED.as_secs()).unwrap_or(u32::MAX);
    STEP.saturating_mul(minutes).min(MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_grows_with_the_lag_and_has_an_end() {
        let waits = [0, 59, 60, 119, 600, 3600, u64::MAX].map(|seconds| wait(Duration::from_secs(seconds)).as_millis());
        assert_eq!(waits, [0, 0, 100, 100, 1000, 2000, 2000]);
    }
}
