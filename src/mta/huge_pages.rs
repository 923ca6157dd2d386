//! Huge pages are for memory that is used from the start on.
//!
//! The allocator asks for them, and the kernel zeroes each when it is first touched: a core stands still meanwhile with all of its
//! sessions, in a virtual machine for milliseconds. What batches and records of messages are put together in is touched at the
//! start, so it has them; what comes later, as with every message that waits, grows in small steps.

/// From now on the process is given none any more; it keeps those that it has.
pub fn take_no_more() {
    // SAFETY: it takes numbers alone. A kernel that knows nothing of it has none to give.
    unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) };
}
