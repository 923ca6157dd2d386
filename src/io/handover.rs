//! Handing values between a core and the control plane: a bounded lock-free queue and a bell that is rung once for many.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_queue::ArrayQueue;

/// An eventfd that wakes one reader. Ringing neither locks nor blocks, and costs a system call only when the reader has not
/// been rung for already.
#[derive(Debug)]
pub struct Doorbell {
    event: OwnedFd,
    rung: AtomicBool,
}

impl Doorbell {
    /// A bell that nobody has rung. Where `nonblocking`, reading it says so instead of waiting.
    pub fn new(nonblocking: bool) -> io::Result<Doorbell> {
        let flags = libc::EFD_CLOEXEC | if nonblocking { libc::EFD_NONBLOCK } else { 0 };
        // SAFETY: eventfd takes no pointers.
        let descriptor = unsafe { libc::eventfd(0, flags) };
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is new and nobody else's.
        let event = unsafe { OwnedFd::from_raw_fd(descriptor) };
        Ok(Doorbell { event, rung: AtomicBool::new(false) })
    }

    /// Wakes the reader.
    pub fn ring(&self) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            let one = 1u64.to_ne_bytes();
            // SAFETY: the buffer holds the eight octets that an eventfd takes. The counter cannot overflow: it is rung at most
            // once between two answers.
            unsafe { libc::write(self.event.as_raw_fd(), one.as_ptr().cast(), one.len()) };
        }
    }

    /// To be called by the reader after it woke and before it looks at what there is, so that a later ring wakes it again.
    pub fn answer(&self) {
        self.rung.store(false, Ordering::Release);
        std::sync::atomic::fence(Ordering::SeqCst);
    }

    /// Empties a nonblocking bell after it was found readable.
    pub fn drain(&self) {
        let mut count = [0u8; 8];
        // SAFETY: the buffer has room for the eight octets that an eventfd gives. A bell that is empty already says so, which
        // is as good.
        unsafe { libc::read(self.event.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) };
    }

    /// The descriptor to wait for.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        use std::os::fd::AsFd;
        self.event.as_fd()
    }
}

impl AsRawFd for Doorbell {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.event.as_raw_fd()
    }
}

/// A bounded queue to one reader.
#[derive(Debug)]
pub struct Handover<T> {
    queue: ArrayQueue<T>,
    bell: Arc<Doorbell>,
}

impl<T> Handover<T> {
    /// A queue of at most `bound` values whose reader hears `bell`.
    pub fn new(bound: usize, bell: Arc<Doorbell>) -> Handover<T> {
        Handover { queue: ArrayQueue::new(bound), bell }
    }

    /// Hands a value over and wakes the reader; gives the value back where the queue is full.
    pub fn give(&self, value: T) -> Result<(), T> {
        self.queue.push(value)?;
        self.bell.ring();
        Ok(())
    }

    /// Values that wait for the reader.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// The next value, for the reader.
    pub fn take(&self) -> Option<T> {
        self.queue.pop()
    }
}
