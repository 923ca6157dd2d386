//! How much room the spool's file system has, looked at here because looking may block.

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How often it is looked at.
const EVERY: Duration = Duration::from_secs(1);

/// Octets that an ordinary user may still write on the file system that holds `directory`.
pub fn free_octets(directory: &Path) -> io::Result<u64> {
    let path = CString::new(directory.as_os_str().as_bytes()).map_err(io::Error::other)?;
    let mut figures = std::mem::MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: the path ends with a zero and the kernel fills the structure in.
    let figures = unsafe {
        if libc::statvfs(path.as_ptr(), figures.as_mut_ptr()) != 0 {
            return Err(io::Error::last_os_error());
        }
        figures.assume_init()
    };
    Ok(figures.f_bavail.saturating_mul(figures.f_frsize))
}

/// Looks again and again, for ever; a file system that cannot be asked has no room. Must run inside a tokio runtime.
pub async fn watch(directory: PathBuf, free: Arc<AtomicU64>) {
    loop {
        tokio::time::sleep(EVERY).await;
        let looked_at = directory.clone();
        let octets = tokio::task::spawn_blocking(move || free_octets(&looked_at)).await;
        let octets = octets.map_or(0, |octets| octets.unwrap_or(0));
        free.store(octets, Ordering::Relaxed);
    }
}
