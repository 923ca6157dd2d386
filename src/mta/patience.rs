//! How long sessions of a core are waited for: one coarse scan a pulse, no timer a connection.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::task::Waker;
use std::time::Duration;

use super::channel::Deadline;
use crate::smtp::server::question::Interrupt;

/// The sessions of one core, as far as waiting for them goes.
#[derive(Default)]
pub struct Patience {
    sessions: RefCell<Vec<Weak<Wait>>>,
    /// The core's coarse clock.
    now: Cell<Duration>,
    /// The server is stopping.
    stopping: Cell<bool>,
    /// Even transactions are no longer waited for.
    ended: Cell<bool>,
}

/// One session's wait for its client.
pub struct Wait {
    patience: Rc<Patience>,
    until: Cell<Deadline>,
    waker: Cell<Option<Waker>>,
}

impl Patience {
    /// The time of the last pulse.
    pub fn now(&self) -> Duration {
        self.now.get()
    }

    /// A wait for a new session.
    pub fn join(self: &Rc<Self>) -> Rc<Wait> {
        let until = Cell::new(Deadline { at: Duration::MAX, why: Interrupt::Idle });
        let wait = Rc::new(Wait { patience: self.clone(), until, waker: Cell::default() });
        self.sessions.borrow_mut().push(Rc::downgrade(&wait));
        wait
    }

    /// Sets the clock and wakes the sessions whose time is up.
    pub fn pulse(&self, now: Duration) {
        self.now.set(now);
        self.wake(|wait| wait.until.get().at <= now);
    }

    /// From now on no session is waited for outside a transaction.
    pub fn stop(&self) {
        self.stopping.set(true);
        self.wake(|_| true);
    }

    /// From now on no session is waited for at all.
    pub fn end(&self) {
        self.ended.set(true);
        self.stop();
    }

    /// Sessions that there are.
    pub fn sessions(&self) -> usize {
        self.sessions.borrow_mut().retain(|session| session.strong_count() > 0);
        self.sessions.borrow().len()
    }

    fn wake(&self, which: impl Fn(&Wait) -> bool) {
        let mut wakers = Vec::new();
        self.sessions.borrow_mut().retain(|session| {
            let Some(wait) = session.upgrade() else { return false };
            if which(&wait) {
                wakers.extend(wait.waker.take());
            }
            true
        });
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl Wait {
    /// Begins to wait for the client.
    pub fn until(&self, deadline: Deadline) {
        self.until.set(deadline);
    }

    /// Why not to wait any longer, if so; else `waker` is woken when that changes.
    pub fn poll(&self, in_transaction: bool, waker: &Waker) -> Option<Interrupt> {
        let patience = &self.patience;
        if patience.ended.get() || patience.stopping.get() && !in_transaction {
            return Some(Interrupt::Shutdown);
        }
        let Deadline { at, why } = self.until.get();
        if at <= patience.now.get() {
            return Some(why);
        }
        self.waker.set(Some(waker.clone()));
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_ends_by_time_by_stopping_and_by_force() {
        let patience = Rc::new(Patience::default());
        let wait = patience.join();
        wait.until(Deadline { at: Duration::from_secs(5), why: Interrupt::Slow });
        patience.pulse(Duration::from_secs(4));
        assert_eq!(wait.poll(false, Waker::noop()), None);
        patience.pulse(Duration::from_secs(5));
        assert_eq!(wait.poll(true, Waker::noop()), Some(Interrupt::Slow));
        wait.until(Deadline { at: Duration::from_secs(10), why: Interrupt::Idle });
        patience.stop();
        assert_eq!(wait.poll(true, Waker::noop()), None);
        assert_eq!(wait.poll(false, Waker::noop()), Some(Interrupt::Shutdown));
        patience.end();
        assert_eq!(wait.poll(true, Waker::noop()), Some(Interrupt::Shutdown));
        assert_eq!(patience.sessions(), 1);
        drop(wait);
        assert_eq!(patience.sessions(), 0);
    }
}
