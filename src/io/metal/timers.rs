//! Tasks that wait for a time: few a core, for sessions have the pulse.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::task::{Poll, Waker};
use std::time::Duration;

/// The timers of one core. Its clock is an argument.
#[derive(Debug, Default)]
pub(super) struct Timers {
    waiting: RefCell<BTreeMap<Key, Option<Waker>>>,
    next: Cell<u64>,
}

/// When a timer is due, and its number.
type Key = (Duration, u64);

impl Timers {
    /// How long until the first of them is due.
    pub fn first(&self, now: Duration) -> Option<Duration> {
        self.waiting.borrow().first_key_value().map(|((due, _), _)| due.saturating_sub(now))
    }

    /// Wakes whoever is due; whether there was one.
    pub fn expire(&self, now: Duration) -> bool {
        let mut woken = false;
        while let Some(waker) = self.take_due(now) {
            woken = true;
            waker.into_iter().for_each(Waker::wake);
        }
        woken
    }

    fn take_due(&self, now: Duration) -> Option<Option<Waker>> {
        let mut waiting = self.waiting.borrow_mut();
        waiting.first_entry().filter(|first| first.key().0 <= now).map(|first| first.remove())
    }

    /// Ends when `due` has come.
    pub async fn until(&self, due: Duration) {
        let key = (due, self.next.get());
        self.next.set(key.1.wrapping_add(1));
        self.waiting.borrow_mut().insert(key, None);
        let timer = Timer { timers: self, key };
        poll_fn(|context| match timer.timers.waiting.borrow_mut().get_mut(&key) {
            Some(waker) => {
                waker.replace(context.waker().clone());
                Poll::Pending
            }
            None => Poll::Ready(()),
        })
        .await;
    }
}

/// A timer that somebody waits for.
struct Timer<'a> {
    timers: &'a Timers,
    key: Key,
}

impl Drop for Timer<'_> {
    fn drop(&mut self) {
        let waker = self.timers.waiting.borrow_mut().remove(&self.key);
        drop(waker);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_lite::future::{block_on, poll_once};

    #[test]
    fn timers_end_in_their_order_and_dropped_ones_leave_nothing() {
        let timers = Timers::default();
        let seconds = Duration::from_secs;
        block_on(async {
            let mut late = Box::pin(timers.until(seconds(9)));
            let mut early = Box::pin(timers.until(seconds(5)));
            let mut same = Box::pin(timers.until(seconds(5)));
            for timer in [&mut late, &mut early, &mut same] {
                assert!(poll_once(timer).await.is_none());
            }
            assert_eq!(timers.first(seconds(2)), Some(seconds(3)));
            drop(same);
            assert!(!timers.expire(seconds(4)) && timers.expire(seconds(6)) && !timers.expire(seconds(6)));
            assert!(poll_once(&mut early).await.is_some() && poll_once(&mut late).await.is_none());
            assert_eq!(timers.first(seconds(10)), Some(seconds(0)));
            drop(late);
            assert_eq!(timers.first(seconds(0)), None);
        });
    }
}
