//! Told by the ring when a socket has something to read or room to write.
//!
//! A socket's polls are one submission for its lifetime (multishot, edge-triggered): from then on it costs completions only. What
//! they say is kept here until a read finds the socket empty, so that an idle connection holds neither buffer nor task.

use std::cell::{Cell, RefCell};
use std::os::fd::RawFd;
use std::rc::Rc;
use std::task::{Poll, Waker};

use io_uring::{cqueue, opcode, squeue, types};

use super::ring::Ring;

/// Marks completions of polls, in the half of the user data where operations have their place.
pub(super) const POLL: u64 = 1 << 31;

/// Marks the poll for room to write.
const ROOM: u64 = 1 << 30;

/// The user data of a cancellation: no place is that high.
const CANCEL: u64 = POLL | (ROOM - 1);

/// What ends reading is asked for by itself as well, so that it can be told from octets that came.
const READ: u32 = (libc::POLLIN | libc::POLLPRI | libc::POLLRDHUP) as u32;
const WRITE: u32 = libc::POLLOUT as u32;

/// After these a read may leave something behind although it was given more room than it used: the end of the stream, an error, or
/// what follows urgent octets.
const BEYOND: i32 = (libc::POLLPRI | libc::POLLRDHUP | libc::POLLHUP | libc::POLLERR) as i32;

/// What is known about one socket.
pub(super) struct Readiness {
    ring: Ring,
    descriptor: RawFd,
    /// Generation and place of the polls' user data.
    key: u64,
    state: Rc<State>,
}

#[derive(Default)]
struct State {
    read: Direction,
    write: Direction,
    /// A read that was given more room than it used does not mean that nothing is left.
    beyond: Cell<bool>,
}

#[derive(Default)]
struct Direction {
    /// The kernel has a poll.
    armed: Cell<bool>,
    /// Its last completion was not yet followed by an attempt that found nothing.
    ready: Cell<bool>,
    /// Why it cannot be polled, as an error number.
    failed: Cell<Option<i32>>,
    waiting: RefCell<Option<Waker>>,
}

impl Direction {
    fn wait(&self, waker: &Waker) {
        let mut waiting = self.waiting.borrow_mut();
        if waiting.as_ref().is_none_or(|known| !known.will_wake(waker)) {
            // Dropped last of all: it may be all that is left of a task.
            let _before = waiting.replace(waker.clone());
            drop(waiting);
        }
    }

    fn complete(&self, result: i32, more: bool) {
        self.armed.set(more);
        self.ready.set(true);
        if result < 0 && result != -libc::ECANCELED {
            self.failed.set(Some(-result));
        }
        let waiting = self.waiting.take();
        if let Some(waker) = waiting {
            waker.wake();
        }
    }
}

impl Readiness {
    /// Of a socket that stays open until this is dropped. Nothing is asked of the kernel before somebody has to wait.
    pub fn new(ring: &Ring, descriptor: RawFd) -> Readiness {
        let state = Rc::<State>::default();
        let key = ring.polls().begin(state.clone());
        Readiness { ring: ring.clone(), descriptor, key, state }
    }

    /// The ring it polls on.
    pub fn ring(&self) -> &Ring {
        &self.ring
    }

    /// Whether trying to read may be of use.
    pub fn may_read(&self) -> bool {
        !self.state.read.armed.get() || self.state.read.ready.get()
    }

    /// A read came back with less than it had room for: the next octets come with a completion, which wakes whoever waits then.
    pub fn is_drained(&self) {
        if self.state.read.armed.get() && !self.state.beyond.get() {
            self.state.read.ready.set(false);
        }
    }

    /// Ready once for each time that something came, of a descriptor that is never read: an event.
    pub fn poll_event(&self, waker: &Waker) -> Poll<std::io::Result<()>> {
        if self.state.read.ready.replace(false) {
            return Poll::Ready(Ok(()));
        }
        match self.wait_to_read(waker) {
            Ok(()) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    /// Wakes when there may be something to read; only right after an attempt has found nothing, or where `may_read` says no.
    pub fn wait_to_read(&self, waker: &Waker) -> std::io::Result<()> {
        self.wait(&self.state.read, waker, self.key, READ, true)
    }

    /// Wakes when there may be room to write; only right after an attempt has found none.
    pub fn wait_to_write(&self, waker: &Waker) -> std::io::Result<()> {
        self.wait(&self.state.write, waker, self.key | ROOM, WRITE, false)
    }

    fn wait(&self, direction: &Direction, waker: &Waker, key: u64, events: u32, multi: bool) -> std::io::Result<()> {
        if let Some(error) = direction.failed.get() {
            return Err(std::io::Error::from_raw_os_error(error));
        }
        direction.ready.set(false);
        direction.wait(waker);
        if !direction.armed.replace(true) {
            let poll = opcode::PollAdd::new(types::Fd(self.descriptor), events).multi(multi);
            #[cfg(test)]
            self.ring.polls().count();
            self.ring.push_poll(&poll.build().user_data(key));
        }
        Ok(())
    }
}

impl Drop for Readiness {
    /// Polls end by cancellation. Their place is given to another socket only when the kernel has said of each that it has ended;
    /// one that is not submitted yet, and meets a stranger under its descriptor, is cancelled in the same breath.
    fn drop(&mut self) {
        let waiting = (self.state.read.waiting.take(), self.state.write.waiting.take());
        drop(waiting);
        let polls = [(self.key, &self.state.read), (self.key | ROOM, &self.state.write)];
        for (key, _) in polls.iter().filter(|(_, direction)| direction.armed.get()) {
            let cancel = opcode::PollRemove::new(*key).build().user_data(CANCEL);
            self.ring.push_poll(&cancel.flags(squeue::Flags::SKIP_SUCCESS));
        }
        self.ring.polls().abandon(self.key);
    }
}

/// The polls of one ring.
#[derive(Default)]
pub(super) struct Polls {
    slots: Vec<Slot>,
    vacant: Vec<u32>,
    #[cfg(test)]
    armed: u32,
}

struct Slot {
    generation: u32,
    state: Option<Rc<State>>,
    abandoned: bool,
}

impl Polls {
    fn begin(&mut self, state: Rc<State>) -> u64 {
        let place = self.vacant.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, state: None, abandoned: false });
            self.slots.len() as u32 - 1
        });
        let slot = &mut self.slots[place as usize];
        slot.state = Some(state);
        u64::from(slot.generation) << 32 | POLL | u64::from(place)
    }

    fn slot(&mut self, key: u64) -> Option<&mut Slot> {
        let slot = self.slots.get_mut((key & (ROOM - 1)) as usize)?;
        (u64::from(slot.generation) == key >> 32).then_some(slot)
    }

    fn abandon(&mut self, key: u64) {
        if let Some(slot) = self.slot(key) {
            slot.abandoned = true;
        }
        self.vacate_if_over(key);
    }

    fn vacate_if_over(&mut self, key: u64) {
        let Some(slot) = self.slot(key) else { return };
        let armed = slot.state.as_ref().is_some_and(|state| state.read.armed.get() || state.write.armed.get());
        if slot.abandoned && !armed {
            *slot = Slot { generation: slot.generation.wrapping_add(1) & 0x7FFF_FFFF, state: None, abandoned: false };
            self.vacant.push((key & (ROOM - 1)) as u32);
        }
    }

    /// Takes in a completion and wakes who waits for it.
    pub fn complete(&mut self, completion: &cqueue::Entry) {
        let (key, result) = (completion.user_data(), completion.result());
        let Some(Slot { state: Some(state), .. }) = self.slot(key) else { return };
        let direction = if key & ROOM == 0 { &state.read } else { &state.write };
        if result >= 0 && result & BEYOND != 0 {
            state.beyond.set(true);
        }
        direction.complete(result, cqueue::more(completion.flags()));
        self.vacate_if_over(key);
    }
}

#[cfg(test)]
impl Polls {
    fn count(&mut self) {
        self.armed += 1;
    }

    /// Polls that were asked for so far.
    pub fn begun(&self) -> u32 {
        self.armed
    }

    /// Places that were ever needed.
    pub fn places(&self) -> usize {
        self.slots.len()
    }

    /// Places that are taken.
    pub fn open(&self) -> usize {
        self.slots.len() - self.vacant.len()
    }
}
