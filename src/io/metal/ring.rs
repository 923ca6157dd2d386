//! A ring of our own for disk and sockets, inside the executor's thread.
//!
//! glommio's file operations cannot link a write to its sync, consume their buffers, and do names on one blocking thread; its
//! sockets are polled anew for every read, and each completion interrupts the core. Here all of that is one ring, and a core that
//! has nothing to do sleeps in it ([`Ring::sleep`]). Completions also ring an event, for whoever sleeps elsewhere.

use std::cell::{Cell, RefCell, RefMut};
use std::ffi::CString;
use std::future::Future;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use io_uring::{IoUring, squeue, types};

use super::readiness::{POLL, Polls};
use crate::io::aligned::{Aligned, Part};
use crate::io::vitals::Vitals;

/// Entries of the submission queue. It is handed to the kernel with every operation, so more are not needed.
const ENTRIES: u32 = 256;

/// Entries of the completion queue: a burst of readiness may be as large as the connections are many. What does not fit the kernel
/// keeps back until there is room.
const COMPLETIONS: u32 = 4096;

/// Operations of a core on files and directories that block in the kernel at a time, each in a thread of the kernel's. It would be
/// four for each processor by default, and the sync that a client waits for would stand in line behind those of deliveries.
const WORKERS: u32 = 64;

/// What the kernel uses while an operation runs; it stays until the operation has ended, whether or not anyone waits.
pub enum Keep {
    /// Memory to write from or read into, and the file.
    Buffer(Aligned, Rc<OwnedFd>),
    /// Memory to write from in several parts, and the file.
    Parts {
        /// Some of the parts are in it.
        buffer: Aligned,
        /// Where they are.
        parts: Vec<libc::iovec>,
        /// The others.
        rest: Vec<Part>,
        /// The file.
        file: Rc<OwnedFd>,
    },
    /// The file.
    File(Rc<OwnedFd>),
    /// Paths.
    Paths(CString, Option<CString>),
    /// Memory to write from, paths, and a place in the ring's own table of files.
    Published(Aligned, [CString; 2], FileSlot),
}

impl Keep {
    /// The buffer, if one was kept.
    pub fn into_buffer(self) -> Option<Aligned> {
        match self {
            Keep::Buffer(buffer, _) | Keep::Parts { buffer, .. } | Keep::Published(buffer, ..) => Some(buffer),
            Keep::File(_) | Keep::Paths(..) => None,
        }
    }
}

/// A place in the ring's table of files, until it is dropped: an operation of a chain opens a file there, and those behind it use
/// it, in one submission.
pub struct FileSlot {
    ring: Ring,
    number: u32,
}

impl FileSlot {
    /// Its number.
    pub fn number(&self) -> u32 {
        self.number
    }
}

impl Drop for FileSlot {
    fn drop(&mut self) {
        self.ring.0.file_slots.borrow_mut().push(self.number);
    }
}

/// The ring; clones are the same ring.
#[derive(Clone)]
pub struct Ring(Rc<Inner>);

struct Inner {
    uring: RefCell<IoUring>,
    operations: RefCell<Operations>,
    polls: RefCell<Polls>,
    vitals: Arc<Vitals>,
    /// Somebody looks at the ring whenever the core's tasks have had their turn.
    attended: Cell<bool>,
    /// Places in the ring's table of files that are free; none where the kernel has no such table.
    file_slots: RefCell<Vec<u32>>,
    /// Completions that were taken in at the last look: so many tasks have their turn before the next one, at most.
    taken_in: Cell<u32>,
}

/// Tasks that a write may wait for before it is submitted: their turns take less time than a system call is worth.
const FEW: u32 = 4;

#[derive(Default)]
struct Operations {
    slots: Vec<Slot>,
    vacant: Vec<u32>,
}

struct Slot {
    generation: u32,
    state: Option<Running>,
}

struct Running {
    keep: Keep,
    waker: Option<Waker>,
    result: Option<i32>,
    /// Nobody waits any more.
    abandoned: bool,
}

/// Marks the completion of the last operation of a chain; one of an earlier operation tells that the chain failed there.
const LAST: u64 = 1 << 63;

impl Ring {
    /// Makes the ring; completions become readable at `event`.
    pub fn new(event: &impl AsRawFd, vitals: Arc<Vitals>) -> io::Result<Ring> {
        Ring::sized(event, vitals, ENTRIES, COMPLETIONS)
    }

    /// With queues of at least these many entries.
    pub(super) fn sized(event: &impl AsRawFd, vitals: Arc<Vitals>, entries: u32, completions: u32) -> io::Result<Ring> {
        let mut builder = IoUring::builder();
        builder.setup_clamp().setup_cqsize(completions);
        // A completion need not interrupt the core: it comes with the next system call, and ends a wait. Before Linux 5.19 it
        // always interrupts.
        let cooperative = builder.clone().setup_coop_taskrun().build(entries);
        let uring = match cooperative {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => builder.build(entries)?,
            made => made?,
        };
        uring.submitter().register_eventfd(event.as_raw_fd())?;
        uring.submitter().register_iowq_max_workers(&mut [WORKERS, 0])?;
        // Before Linux 5.19 there is no table whose places are filled later.
        let has_table = uring.submitter().register_files_sparse(WORKERS).is_ok();
        let file_slots = RefCell::new((0..WORKERS).filter(|_| has_table).collect());
        let (operations, polls) = (RefCell::default(), RefCell::default());
        let (attended, taken_in) = Default::default();
        let uring = RefCell::new(uring);
        Ok(Ring(Rc::new(Inner { uring, operations, polls, vitals, attended, file_slots, taken_in })))
    }

    /// Whether [`Ring::reap`] or [`Ring::sleep`] is called whenever the core's tasks have had their turn. What can wait so long is
    /// submitted then, all of it in one call.
    pub fn attend(&self, attended: bool) {
        self.0.attended.set(attended);
    }

    /// Submits an operation. `entry` must point only into what is kept.
    pub fn submit(&self, keep: Keep, entry: squeue::Entry) -> Operation {
        let key = self.begin(keep);
        self.push(&[entry.user_data(key | LAST)], true);
        Operation { ring: self.clone(), key }
    }

    /// Submits operations of which each runs only if the one before it did all it was asked to do; fails as the one does that
    /// fails. Many may wait for them: they are on their way while others have their turn.
    pub fn submit_linked<const N: usize>(&self, keep: Keep, entries: [squeue::Entry; N]) -> Operation {
        let key = self.begin(keep);
        let mut left = N;
        let entries = entries.map(|entry| {
            left -= 1;
            match left {
                0 => entry.user_data(key | LAST),
                _ => entry.flags(squeue::Flags::IO_LINK | squeue::Flags::SKIP_SUCCESS).user_data(key),
            }
        });
        self.push(&entries, self.0.taken_in.get() <= FEW);
        Operation { ring: self.clone(), key }
    }

    /// A place in the ring's table of files that nobody uses, if there is one.
    pub fn file_slot(&self) -> Option<FileSlot> {
        let number = self.0.file_slots.borrow_mut().pop()?;
        Some(FileSlot { ring: self.clone(), number })
    }

    #[cfg(test)]
    pub(super) fn free_file_slots(&self) -> usize {
        self.0.file_slots.borrow().len()
    }

    fn begin(&self, keep: Keep) -> u64 {
        self.0.vitals.begun();
        self.0.operations.borrow_mut().begin(keep)
    }

    /// Submits a poll or its cancellation, which point to nothing.
    pub(super) fn push_poll(&self, entry: &squeue::Entry) {
        self.push(std::slice::from_ref(entry), true);
    }

    /// The polls on this ring.
    pub(super) fn polls(&self) -> RefMut<'_, Polls> {
        self.0.polls.borrow_mut()
    }

    fn push(&self, entries: &[squeue::Entry], can_wait: bool) {
        let mut uring = self.0.uring.borrow_mut();
        loop {
            // SAFETY: what the entries point to is kept in the operation's slot until the kernel has answered.
            if unsafe { uring.submission().push_multiple(entries) }.is_ok() {
                break;
            }
            // The queue is full because the kernel did not take what is in it, and that is because completions wait to be
            // taken in first; or it was interrupted.
            let _ = uring.submit();
            self.take_in(&mut uring);
        }
        // An interruption or a busy kernel leaves entries in the queue: the next submission takes them along, or the next look
        // at the ring, which the core's pulse brings in any case.
        if !(can_wait && self.0.attended.get()) {
            let _ = uring.submit();
        }
    }

    /// Takes in all completions and wakes who waits for them; whether there were any.
    pub fn reap(&self) -> bool {
        let mut uring = self.0.uring.borrow_mut();
        let mut some = false;
        loop {
            let submission = uring.submission();
            let (waiting, overflown) = (!submission.is_empty(), submission.cq_overflow());
            drop(submission);
            if waiting || overflown {
                // What the kernel kept back because the completion queue was full comes with the next call.
                let _ = uring.submit();
            }
            some |= self.take_in(&mut uring);
            if !overflown {
                return some;
            }
        }
    }

    /// Submits what there is, sleeps until something completes, but no longer than `at_most`, and takes in what has; whether anything
    /// has. An error says that a signal came first.
    pub fn sleep(&self, at_most: Option<Duration>) -> io::Result<bool> {
        let mut uring = self.0.uring.borrow_mut();
        let slept = match at_most.map(types::Timespec::from) {
            Some(time) => uring.submitter().submit_with_args(1, &types::SubmitArgs::new().timespec(&time)),
            None => uring.submit_and_wait(1),
        };
        let some = self.take_in(&mut uring);
        match slept {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            // The time is over, or the kernel wants completions to be taken in first.
            _ => Ok(some),
        }
    }

    fn take_in(&self, uring: &mut IoUring) -> bool {
        let (mut operations, mut polls) = (self.0.operations.borrow_mut(), self.0.polls.borrow_mut());
        let mut count = 0;
        for completion in uring.completion() {
            count += 1;
            if completion.user_data() & POLL != 0 {
                polls.complete(&completion);
            } else if operations.complete(completion.user_data(), completion.result()) {
                self.0.vitals.done();
            }
        }
        self.0.taken_in.set(count);
        count > 0
    }
}

impl Operations {
    fn begin(&mut self, keep: Keep) -> u64 {
        let state = Some(Running { keep, waker: None, result: None, abandoned: false });
        let index = match self.vacant.pop() {
            Some(index) => {
                self.slots[index as usize].state = state;
                index
            }
            None => {
                self.slots.push(Slot { generation: 0, state });
                self.slots.len() as u32 - 1
            }
        };
        let generation = self.slots[index as usize].generation;
        u64::from(generation) << 32 | u64::from(index)
    }

    /// The slot of an operation, unless that has ended long since.
    fn slot(&mut self, key: u64) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(key as u32 as usize)?;
        (u64::from(slot.generation) == (key & !LAST) >> 32).then_some(slot)
    }

    fn vacate(&mut self, key: u64) -> Option<Running> {
        let slot = self.slot(key)?;
        // A generation stays below the bit that marks the last operation of a chain.
        slot.generation = (slot.generation + 1) & 0x7FFF_FFFF;
        let state = slot.state.take();
        self.vacant.push(key as u32);
        state
    }

    /// Takes in one completion; true if it was an abandoned operation, which has ended with it.
    fn complete(&mut self, user_data: u64, result: i32) -> bool {
        let Some(Slot { state: Some(running), .. }) = self.slot(user_data) else { return false };
        if running.result.is_some() {
            return false;
        }
        // The first of a chain answers only when it failed or did less than it should, and then the rest never runs.
        let cut_short = user_data & LAST == 0 && result >= 0;
        running.result = Some(if cut_short { -libc::EIO } else { result });
        if let Some(waker) = running.waker.take() {
            waker.wake();
        }
        running.abandoned && self.vacate(user_data).is_some()
    }
}

/// An operation that the kernel works on. Dropped, it still runs to its end.
pub struct Operation {
    ring: Ring,
    key: u64,
}

impl Future for Operation {
    type Output = (io::Result<u32>, Keep);

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut operations = self.ring.0.operations.borrow_mut();
        let running = operations.slot(self.key).and_then(|slot| slot.state.as_mut());
        let Some(running) = running else { panic!("an operation is polled again after it ended") };
        let Some(result) = running.result else {
            running.waker = Some(context.waker().clone());
            return Poll::Pending;
        };
        let Some(Running { keep, .. }) = operations.vacate(self.key) else { return Poll::Pending };
        self.ring.0.vitals.done();
        let result = u32::try_from(result).map_err(|_| io::Error::from_raw_os_error(-result));
        Poll::Ready((result, keep))
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        let mut operations = self.ring.0.operations.borrow_mut();
        let Some(Slot { state: Some(running), .. }) = operations.slot(self.key) else { return };
        if running.result.is_none() {
            running.abandoned = true;
            return;
        }
        operations.vacate(self.key);
        self.ring.0.vitals.done();
    }
}
