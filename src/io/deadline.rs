//! Waits that end at a time: all of a core are looked at by one coarse scan a pulse, there is no timer a wait.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::task::{Poll, Waker};
use std::time::Duration;

/// The waits of one core; clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Deadlines(Rc<State>);

#[derive(Debug, Default)]
struct State {
    now: Cell<Duration>,
    waits: RefCell<Vec<Weak<Wait>>>,
}

#[derive(Debug)]
struct Wait {
    until: Cell<Duration>,
    waker: RefCell<Option<Waker>>,
}

/// For one task: it waits for one thing at a time.
#[derive(Debug)]
pub struct Deadline {
    all: Deadlines,
    wait: Rc<Wait>,
}

impl Deadlines {
    /// Sets the clock and wakes those whose time is up; to be called a few times a second.
    pub fn pulse(&self, now: Duration) {
        self.0.now.set(now);
        let mut wakers = Vec::new();
        self.0.waits.borrow_mut().retain(|wait| {
            let Some(wait) = wait.upgrade() else { return false };
            if wait.until.get() <= now {
                wakers.extend(wait.waker.take());
            }
            true
        });
        wakers.into_iter().for_each(Waker::wake);
    }

    /// For a task that will wait.
    pub fn join(&self) -> Deadline {
        let wait = Rc::new(Wait { until: Cell::new(Duration::MAX), waker: RefCell::default() });
        self.0.waits.borrow_mut().push(Rc::downgrade(&wait));
        Deadline { all: self.clone(), wait }
    }
}

impl Deadline {
    /// What the future ends with; `None` where it has not ended by `until`, of which the core's pulse tells, a moment late.
    pub async fn within<T>(&self, until: Duration, future: impl Future<Output = T>) -> Option<T> {
        self.wait.until.set(until);
        let mut future = pin!(future);
        let result = poll_fn(|context| {
            if let Poll::Ready(value) = future.as_mut().poll(context) {
                return Poll::Ready(Some(value));
            }
            if self.all.0.now.get() >= until {
                return Poll::Ready(None);
            }
            self.wait.waker.replace(Some(context.waker().clone()));
            Poll::Pending
        })
        .await;
        self.wait.until.set(Duration::MAX);
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_lite::future::{block_on, poll_once};
    use std::future::{pending, ready};

    #[test]
    fn a_wait_ends_with_its_future_or_with_its_time() {
        let all = Deadlines::default();
        let (one, other) = (all.join(), all.join());
        let second = Duration::from_secs(1);
        assert_eq!(block_on(one.within(second, ready(7))), Some(7));
        let mut late = Box::pin(one.within(second, pending::<()>()));
        let mut later = Box::pin(other.within(2 * second, pending::<()>()));
        assert!(block_on(poll_once(&mut late)).is_none() && block_on(poll_once(&mut later)).is_none());
        all.pulse(second);
        assert_eq!(block_on(poll_once(&mut late)), Some(None));
        assert!(block_on(poll_once(&mut later)).is_none());
        all.pulse(2 * second);
        assert_eq!(block_on(later), None);
        drop(late);
        drop((one, other));
        all.pulse(second);
        assert!(all.0.waits.borrow().is_empty());
    }
}
