//! How long sessions of a core are waited for: one coarse scan a pulse, no timer a connection.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::Waker;
use std::time::Duration;

use super::channel::Deadline;
use crate::smtp::server::question::Interrupt;

/// The sessions of one core, as far as waiting for them goes.
#[derive(Default)]
pub struct Patience {
    seats: RefCell<Seats>,
    /// The core's coarse clock.
    now: Cell<Duration>,
    /// The server is stopping.
    stopping: Cell<bool>,
    /// Even transactions are no longer waited for.
    ended: Cell<bool>,
}

/// Side by side, as thousands of them are looked at in each pulse; as many as there ever were sessions at a time.
#[derive(Default)]
struct Seats {
    all: Vec<Seat>,
    vacant: Vec<u32>,
}

/// What is known of one session, or of none.
struct Seat {
    until: Deadline,
    waker: Option<Waker>,
}

/// One session's wait for its client.
pub struct Wait {
    patience: Rc<Patience>,
    seat: u32,
}

/// When a session that waits for nothing, or is none, is waited for no longer.
const NEVER: Deadline = Deadline { at: Duration::MAX, why: Interrupt::Idle };

impl Patience {
    /// The time of the last pulse.
    pub fn now(&self) -> Duration {
        self.now.get()
    }

    /// A wait for a new session.
    pub fn join(self: &Rc<Self>) -> Wait {
        let mut seats = self.seats.borrow_mut();
        let seat = seats.vacant.pop().unwrap_or_else(|| {
            seats.all.push(Seat { until: NEVER, waker: None });
            seats.all.len() as u32 - 1
        });
        Wait { patience: self.clone(), seat }
    }

    /// Sets the clock and wakes the sessions whose time is up.
    pub fn pulse(&self, now: Duration) {
        self.now.set(now);
        self.wake(|seat| seat.until.at <= now);
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
        let seats = self.seats.borrow();
        seats.all.len() - seats.vacant.len()
    }

    fn wake(&self, which: impl Fn(&Seat) -> bool) {
        let mut wakers = Vec::new();
        let mut seats = self.seats.borrow_mut();
        seats.all.iter_mut().filter(|seat| which(seat)).for_each(|seat| wakers.extend(seat.waker.take()));
        drop(seats);
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl Wait {
    /// Begins to wait for the client.
    pub fn until(&self, deadline: Deadline) {
        self.seat(|seat| seat.until = deadline);
    }

    /// Why not to wait any longer, if so; else `waker` is woken when that changes.
    pub fn poll(&self, in_transaction: bool, waker: &Waker) -> Option<Interrupt> {
        let patience = &self.patience;
        if patience.ended.get() || patience.stopping.get() && !in_transaction {
            return Some(Interrupt::Shutdown);
        }
        self.seat(|seat| {
            if seat.until.at <= patience.now.get() {
                return Some(seat.until.why);
            }
            // It is the same task's, if there is one, so letting go of the old one ends nothing.
            if !seat.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
                seat.waker = Some(waker.clone());
            }
            None
        })
    }

    fn seat<T>(&self, look: impl FnOnce(&mut Seat) -> T) -> T {
        look(&mut self.patience.seats.borrow_mut().all[self.seat as usize])
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        let waker = self.seat(|seat| {
            seat.until = NEVER;
            seat.waker.take()
        });
        self.patience.seats.borrow_mut().vacant.push(self.seat);
        drop(waker);
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

    #[test]
    fn a_session_that_has_gone_leaves_its_place_to_the_next() {
        let patience = Rc::new(Patience::default());
        let (early, late) = (patience.join(), patience.join());
        early.until(Deadline { at: Duration::from_secs(1), why: Interrupt::Slow });
        assert_eq!(early.poll(false, Waker::noop()), None);
        drop(early);
        let next = patience.join();
        patience.pulse(Duration::from_secs(2));
        assert_eq!(next.poll(false, Waker::noop()), None, "it waits for nothing yet");
        assert_eq!((patience.sessions(), patience.seats.borrow().all.len()), (2, 2));
        drop((late, next));
        assert_eq!(patience.sessions(), 0);
    }
}
