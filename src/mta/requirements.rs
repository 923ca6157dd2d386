//! What the machine must offer before anything is started, and how to mend it where it does not.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Locked memory that an executor insists on, in octets.
const LOCKED_MEMORY: u64 = 512 * 1024;

/// Something that the machine does not offer.
#[derive(Debug, thiserror::Error)]
pub enum Missing {
    /// The kernel has no io_uring.
    #[error("this kernel has no io_uring; ringpost needs Linux 5.17 or newer, built with CONFIG_IO_URING")]
    NoIoUring,
    /// It is there, but lacks what linked writes need.
    #[error("the io_uring of this kernel is too old (no IOSQE_CQE_SKIP_SUCCESS); ringpost needs Linux 5.17 or newer")]
    OldIoUring,
    /// It is there, but not for us.
    #[error(
        "the kernel refuses io_uring to this process ({0}); if `sysctl kernel.io_uring_disabled` says 1 or 2, set it to 0, \
         and in a container allow io_uring_setup, io_uring_enter and io_uring_register in its seccomp profile"
    )]
    Forbidden(io::Error),
    /// No memory for a ring.
    #[error(
        "the kernel has no memory for an io_uring ({0}); raise the limit of locked memory: `ulimit -l 65536`, or LimitMEMLOCK=64M in the systemd unit"
    )]
    NoMemory(io::Error),
    /// Anything else.
    #[error("io_uring does not work here: {0}")]
    Other(io::Error),
    /// Too little memory may be locked.
    #[error(
        "this process may lock {have} KiB of memory and needs {need} KiB; raise the limit: `ulimit -l {need}`, LimitMEMLOCK={need}K \
         in the systemd unit, or `memlock` in /etc/security/limits.conf"
    )]
    LockedMemory {
        /// The limit, in KiB.
        have: u64,
        /// What is needed, in KiB.
        need: u64,
    },
    /// Another process uses this spool.
    #[error("another ringpost uses the spool {0}; stop it first, or give this one a <home> of its own in ringpost.xml")]
    SpoolInUse(String),
    /// What is synced there is lost all the same.
    #[error(
        "the spool {directory} is on {kind}, which forgets what it has synced: a 250 would promise nothing; name a <directory> on a \
         disk in <spool> of ringpost.xml, or write <volatile>true</volatile> there for a trial"
    )]
    Forgetful {
        /// The spool.
        directory: String,
        /// What it is on.
        kind: String,
    },
}

/// Descriptors that the process has at most, whatever it may have: connections are counted in a table made for so many.
const DESCRIPTORS: u64 = 4 << 20;

/// Raises the limits that the process may raise itself, then checks that executors can be started.
pub fn check() -> Result<(), Missing> {
    raise(libc::RLIMIT_NOFILE, DESCRIPTORS);
    let locked = raise(libc::RLIMIT_MEMLOCK, u64::MAX);
    if locked < LOCKED_MEMORY {
        return Err(Missing::LockedMemory { have: locked / 1024, need: LOCKED_MEMORY / 1024 });
    }
    match io_uring::IoUring::new(8) {
        Ok(ring) if !ring.params().is_feature_skip_cqe_on_success() => Err(Missing::OldIoUring),
        Ok(_) => Ok(()),
        Err(error) => Err(match error.raw_os_error() {
            Some(libc::ENOSYS) => Missing::NoIoUring,
            Some(libc::EPERM | libc::EACCES) => Missing::Forbidden(error),
            Some(libc::ENOMEM) => Missing::NoMemory(error),
            _ => Missing::Other(error),
        }),
    }
}

/// Descriptors that the process can have, once [`check`] has raised their number.
pub fn descriptors() -> usize {
    let limit = limit(libc::RLIMIT_NOFILE).map_or(DESCRIPTORS, |limit| limit.rlim_cur.min(DESCRIPTORS));
    usize::try_from(limit).unwrap_or(usize::MAX)
}

/// How many of them connections may have where the process wants so many for itself: it gets them, but at most half of all.
pub fn descriptors_for_connections(own: usize) -> usize {
    let all = descriptors();
    all.saturating_sub(own).max(all / 2)
}

/// Sets a soft limit to its hard one, but no higher than `most`; returns what holds then.
fn raise(resource: libc::__rlimit_resource_t, most: u64) -> u64 {
    let Some(now) = limit(resource) else { return u64::MAX };
    let wanted = libc::rlimit { rlim_cur: now.rlim_max.min(most), ..now };
    // SAFETY: the structure is ours, and the kernel only reads it.
    let set = wanted.rlim_cur != now.rlim_cur && unsafe { libc::setrlimit(resource, &wanted) } == 0;
    if set { wanted.rlim_cur } else { now.rlim_cur }
}

/// The limits that hold now.
fn limit(resource: libc::__rlimit_resource_t) -> Option<libc::rlimit> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the structure is ours, and the kernel writes nothing else.
    let known = unsafe { libc::getrlimit(resource, &mut limit) } == 0;
    known.then_some(limit)
}

/// Holds the spool for this process until the file is dropped.
pub fn lock_spool(spool: &Path) -> io::Result<Result<File, Missing>> {
    let file = File::options().create(true).truncate(false).write(true).mode(0o600).open(spool.join("lock"))?;
    // SAFETY: flock takes no pointers.
    if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } == 0 {
        return Ok(Ok(file));
    }
    match io::Error::last_os_error() {
        error if error.kind() == io::ErrorKind::WouldBlock => Ok(Err(Missing::SpoolInUse(spool.display().to_string()))),
        error => Err(error),
    }
}
