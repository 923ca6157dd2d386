//! When a delivery that failed is tried again.

use std::time::Duration;

/// Delays between attempts; the last one repeats.
#[derive(Clone, Debug)]
pub struct Retry {
    delays: Vec<Duration>,
}

impl Retry {
    /// With these delays; a minute where there are none.
    pub fn new(delays: Vec<Duration>) -> Retry {
        Retry { delays: if delays.is_empty() { vec![Duration::from_secs(60)] } else { delays } }
    }

    /// How long to wait after `failed` attempts (1 and more).
    pub fn delay(&self, failed: u32) -> Duration {
        let last = self.delays.len() - 1;
        self.delays[(failed.saturating_sub(1) as usize).min(last)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_delay_repeats() {
        let retry = Retry::new(vec![Duration::from_secs(1), Duration::from_secs(5)]);
        let seconds: Vec<_> = (0..5).map(|failed| retry.delay(failed).as_secs()).collect();
        assert_eq!(seconds, [1, 1, 5, 5, 5]);
        assert_eq!(Retry::new(Vec::new()).delay(3), Duration::from_secs(60));
    }
}
