//! A timer that wakes the poll at the right moment, where the poll's own timeout counts in milliseconds.

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

/// A timer of the kernel (timerfd).
pub struct Timer(OwnedFd);

impl Timer {
    /// One that does not run, registered to wake a poll with `token`.
    pub fn new(registry: &Registry, token: Token) -> io::Result<Timer> {
        // SAFETY: the call takes no pointers; its result is a descriptor that nobody else has, or -1.
        let descriptor = unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_NONBLOCK | libc::TFD_CLOEXEC) };
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: it was just made and is open.
        let timer = Timer(unsafe { OwnedFd::from_raw_fd(descriptor) });
        registry.register(&mut SourceFd(&timer.0.as_raw_fd()), token, Interest::READABLE)?;
        Ok(timer)
    }

    /// Wakes the poll once, after `wait`; replaces an earlier setting.
    pub fn set(&self, wait: Duration) -> io::Result<()> {
        let wait = wait.max(Duration::from_nanos(1));
        let value = libc::timespec { tv_sec: wait.as_secs() as _, tv_nsec: wait.subsec_nanos() as _ };
        let once = libc::itimerspec { it_interval: libc::timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
        // SAFETY: the descriptor is a timer, and the kernel reads the structure during the call alone.
        let status = unsafe { libc::timerfd_settime(self.0.as_raw_fd(), 0, &once, std::ptr::null_mut()) };
        if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}
