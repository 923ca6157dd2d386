//! A ring, driven by hand.

use io_uring::{IoUring, squeue};
use std::io;

/// A completion: whose it is, its result, and its flags.
pub type Completion = (u64, i32, u32);

/// Operations that block in the kernel at a time. With the four for each processor that are the default, the disk would be asked for
/// less than is wanted of it.
const WORKERS: u32 = 64;

/// A ring of one thread.
pub struct Driver {
    ring: IoUring,
}

impl Driver {
    /// With room for `entries` submissions at a time.
    pub fn new(entries: u32) -> io::Result<Driver> {
        let mut builder = IoUring::builder();
        builder.setup_clamp().setup_single_issuer().setup_coop_taskrun().setup_cqsize(entries * 2);
        let ring = builder.build(entries)?;
        ring.submitter().register_iowq_max_workers(&mut [WORKERS, 0])?;
        Ok(Driver { ring })
    }

    /// The same, with completions worked off only while it waits, which is the leanest there is; as [`Driver::new`] where the
    /// kernel is too old for it.
    pub fn lean(entries: u32) -> io::Result<Driver> {
        let mut builder = IoUring::builder();
        builder.setup_clamp().setup_single_issuer().setup_defer_taskrun().setup_cqsize(entries * 4);
        match builder.build(entries) {
            Ok(ring) => Ok(Driver { ring }),
            Err(_) => Driver::new(entries),
        }
    }

    /// Puts an operation into the queue.
    ///
    /// # Safety
    ///
    /// What it points to must stay, untouched where the kernel uses it, until it has completed.
    pub unsafe fn push(&mut self, entry: &squeue::Entry) -> io::Result<()> {
        // SAFETY: the caller promises the same for the entry.
        while unsafe { self.ring.submission().push(entry) }.is_err() {
            self.ring.submit()?;
        }
        Ok(())
    }

    /// Submits what is in the queue and waits for at least `count` completions.
    pub fn wait(&mut self, count: usize) -> io::Result<()> {
        match self.ring.submit_and_wait(count) {
            // Completions must be taken in first, or a signal came: the caller looks at what there is and comes again.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EBUSY | libc::EINTR)) => Ok(()),
            other => other.map(drop),
        }
    }

    /// Takes one completion in, if there is one.
    pub fn taken(&mut self) -> Option<Completion> {
        self.ring.completion().next().map(|entry| (entry.user_data(), entry.result(), entry.flags()))
    }

    /// Does one operation and waits for its end.
    ///
    /// # Safety
    ///
    /// As for [`Driver::push`], until this returns. No other operation may be under way.
    pub unsafe fn one(&mut self, entry: &squeue::Entry) -> io::Result<u32> {
        // SAFETY: the caller promises the same for the entry.
        unsafe { self.push(entry) }?;
        loop {
            self.wait(1)?;
            if let Some((_, result, _)) = self.taken() {
                return outcome(result);
            }
        }
    }

    /// Does two operations, the second only after the first did all that it should; the result is the second one's.
    ///
    /// # Safety
    ///
    /// As for [`Driver::one`].
    pub unsafe fn linked(&mut self, first: squeue::Entry, second: squeue::Entry) -> io::Result<u32> {
        let first = first.flags(squeue::Flags::IO_LINK | squeue::Flags::SKIP_SUCCESS).user_data(1);
        // SAFETY: the caller promises the same for the entries.
        unsafe {
            self.push(&first)?;
            self.push(&second.user_data(2))?;
        }
        let mut failed = None;
        loop {
            self.wait(1)?;
            while let Some((whose, result, _)) = self.taken() {
                match whose {
                    // It completes only when it failed or fell short; the other is then cancelled, and completes too.
                    1 => failed = Some(if result < 0 { result } else { -libc::EIO }),
                    _ => return outcome(failed.unwrap_or(result)),
                }
            }
        }
    }
}

/// The result of an operation.
pub fn outcome(result: i32) -> io::Result<u32> {
    u32::try_from(result).map_err(|_| io::Error::from_raw_os_error(-result))
}
