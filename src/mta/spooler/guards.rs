//! What holds while an attempt lasts.

use std::cell::Cell;

use super::Spooler;
use crate::io::Machine;
use crate::mail::MessageId;

/// Counts an attempt while it lasts.
pub(super) struct UnderWay<'a>(&'a Cell<usize>);

impl UnderWay<'_> {
    pub fn new(count: &Cell<usize>) -> UnderWay<'_> {
        count.set(count.get() + 1);
        UnderWay(count)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// Puts a message back on the schedule if its attempt ends before its outcome is noted: unreadable, or by a panic.
pub(super) struct Unfinished<'a, M: Machine> {
    pub spooler: &'a Spooler<M>,
    pub id: MessageId,
    pub armed: bool,
}

impl<M: Machine> Drop for Unfinished<'_, M> {
    fn drop(&mut self) {
        if self.armed {
            let state = &self.spooler.0;
            let delay = state.settings.retry.delay(u32::MAX).as_micros() as u64;
            state.spool.schedule(self.id, state.machine.wall_clock() + delay);
        }
    }
}
