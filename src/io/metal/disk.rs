//! Files and directories over the ring.

use std::ffi::CString;
use std::io;
use std::ops::Range;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use io_uring::{opcode, types};

use super::ring::{Keep, Ring};
use crate::io::{Aligned, Disk, File, Open, Part};

/// The working directory, which absolute paths leave unused.
const ANYWHERE: types::Fd = types::Fd(libc::AT_FDCWD);

/// The disk as one core reaches it.
#[derive(Clone)]
pub struct RingDisk {
    pub(super) ring: Ring,
    /// What the control plane last saw of the room on the file system that holds the spool.
    pub(super) free: Arc<AtomicU64>,
}

/// A file open on the ring.
#[derive(Clone)]
pub struct RingFile {
    ring: Ring,
    descriptor: Rc<OwnedFd>,
    direct: bool,
}

impl RingDisk {
    async fn open_with(&self, path: &Path, flags: i32) -> io::Result<OwnedFd> {
        let path = c_path(path)?;
        let entry = opcode::OpenAt::new(ANYWHERE, path.as_ptr()).flags(flags | libc::O_CLOEXEC).mode(0o600).build();
        let descriptor = self.ring.submit(Keep::Paths(path, None), entry).await.0?;
        // SAFETY: the kernel has just opened this descriptor for us.
        Ok(unsafe { OwnedFd::from_raw_fd(descriptor as i32) })
    }
}

impl Disk for RingDisk {
    type File = RingFile;

    async fn open(&self, path: &Path, how: Open) -> io::Result<RingFile> {
        let (flags, direct) = match how {
            Open::Read => (libc::O_RDONLY, false),
            Open::Create => (libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC, false),
            Open::New => (libc::O_RDWR | libc::O_CREAT | libc::O_EXCL, false),
            Open::Direct => (libc::O_RDWR | libc::O_CREAT | libc::O_DIRECT, true),
        };
        let (opened, direct) = match self.open_with(path, flags).await {
            // The file system has no direct access: the page cache and fdatasync do, at the price of a copy.
            Err(error) if direct && error.raw_os_error() == Some(libc::EINVAL) => {
                (self.open_with(path, flags & !libc::O_DIRECT).await, false)
            }
            opened => (opened, direct),
        };
        Ok(RingFile { ring: self.ring.clone(), descriptor: Rc::new(opened?), direct })
    }

    async fn create_directory(&self, path: &Path) -> io::Result<()> {
        let path = c_path(path)?;
        let entry = opcode::MkDirAt::new(ANYWHERE, path.as_ptr()).mode(0o700).build();
        self.ring.submit(Keep::Paths(path, None), entry).await.0.map(drop)
    }

    async fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (from, to) = (c_path(from)?, c_path(to)?);
        let entry = opcode::RenameAt::new(ANYWHERE, from.as_ptr(), ANYWHERE, to.as_ptr()).build();
        self.ring.submit(Keep::Paths(from, Some(to)), entry).await.0.map(drop)
    }

    async fn remove(&self, path: &Path) -> io::Result<()> {
        let path = c_path(path)?;
        let entry = opcode::UnlinkAt::new(ANYWHERE, path.as_ptr()).build();
        self.ring.submit(Keep::Paths(path, None), entry).await.0.map(drop)
    }

    async fn sync_directory(&self, path: &Path) -> io::Result<()> {
        let directory = Rc::new(self.open_with(path, libc::O_RDONLY | libc::O_DIRECTORY).await?);
        let entry = opcode::Fsync::new(types::Fd(directory.as_raw_fd())).build();
        self.ring.submit(Keep::File(directory), entry).await.0.map(drop)
    }

    async fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let entries = std::fs::read_dir(path)?;
        let mut names: Vec<_> =
            entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect::<io::Result<_>>()?;
        names.sort();
        Ok(names)
    }

    fn free_octets(&self, _path: &Path) -> io::Result<u64> {
        Ok(self.free.load(Ordering::Relaxed))
    }
}

impl RingFile {
    fn fd(&self) -> types::Fd {
        types::Fd(self.descriptor.as_raw_fd())
    }

    fn write(&self, buffer: &Aligned, range: &Range<usize>, offset: u64) -> opcode::Write {
        let octets = &buffer[range.clone()];
        opcode::Write::new(self.fd(), octets.as_ptr(), octets.len() as u32).offset(offset)
    }

    fn keep(&self, buffer: Aligned) -> Keep {
        Keep::Buffer(buffer, self.descriptor.clone())
    }
}

impl File for RingFile {
    async fn write_at(&self, buffer: Aligned, range: Range<usize>, offset: u64) -> (io::Result<()>, Aligned) {
        let entry = self.write(&buffer, &range, offset).build();
        let (result, keep) = self.ring.submit(self.keep(buffer), entry).await;
        let result = result.and_then(|written| match written as usize == range.len() {
            true => Ok(()),
            // A regular file takes less than it was given only where the disk has run out.
            false => Err(io::ErrorKind::StorageFull.into()),
        });
        (result, kept_buffer(keep))
    }

    async fn write_synced(&self, buffer: Aligned, range: Range<usize>, offset: u64) -> (io::Result<()>, Aligned) {
        let write = self.write(&buffer, &range, offset).build();
        let sync = opcode::Fsync::new(self.fd()).flags(types::FsyncFlags::DATASYNC).build();
        let (result, keep) = self.ring.submit_linked(self.keep(buffer), write, sync).await;
        (result.map(drop), kept_buffer(keep))
    }

    async fn write_all_synced(
        &self,
        buffer: Aligned,
        range: Range<usize>,
        rest: Vec<Part>,
        offset: u64,
    ) -> (io::Result<()>, Aligned) {
        if rest.is_empty() {
            return self.write_synced(buffer, range, offset).await;
        }
        let parts = std::iter::once(&buffer[range]).chain(rest.iter().map(|part| part.octets(&buffer)));
        let parts: Vec<_> =
            parts.map(|octets| libc::iovec { iov_base: octets.as_ptr() as *mut _, iov_len: octets.len() }).collect();
        let write = opcode::Writev::new(self.fd(), parts.as_ptr(), parts.len() as u32).offset(offset).build();
        let sync = opcode::Fsync::new(self.fd()).flags(types::FsyncFlags::DATASYNC).build();
        let keep = Keep::Parts { buffer, parts, rest, file: self.descriptor.clone() };
        let (result, keep) = self.ring.submit_linked(keep, write, sync).await;
        (result.map(drop), kept_buffer(keep))
    }

    async fn read_at(&self, mut buffer: Aligned, length: usize, offset: u64) -> (io::Result<usize>, Aligned) {
        let mut done = 0;
        while done < length {
            let rest = &mut buffer[done..length];
            let entry = opcode::Read::new(self.fd(), rest.as_mut_ptr(), rest.len() as u32);
            let entry = entry.offset(offset + done as u64).build();
            let (result, keep) = self.ring.submit(self.keep(buffer), entry).await;
            buffer = kept_buffer(keep);
            match result {
                Ok(0) => break,
                Ok(octets) => done += octets as usize,
                Err(error) => return (Err(error), buffer),
            }
        }
        (Ok(done), buffer)
    }

    async fn sync(&self) -> io::Result<()> {
        let entry = opcode::Fsync::new(self.fd()).build();
        self.ring.submit(Keep::File(self.descriptor.clone()), entry).await.0.map(drop)
    }

    async fn length(&self) -> io::Result<u64> {
        let mut figures = std::mem::MaybeUninit::<libc::stat>::uninit();
        // SAFETY: the descriptor is open and the kernel fills the structure in.
        let figures = unsafe {
            if libc::fstat(self.descriptor.as_raw_fd(), figures.as_mut_ptr()) != 0 {
                return Err(io::Error::last_os_error());
            }
            figures.assume_init()
        };
        Ok(figures.st_size as u64)
    }

    fn is_direct(&self) -> bool {
        self.direct
    }
}

/// The buffer that an operation was started with.
fn kept_buffer(keep: Keep) -> Aligned {
    keep.into_buffer().expect("an operation on a buffer keeps that buffer")
}

fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| io::ErrorKind::InvalidInput.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::aligned::BLOCK;
    use crate::io::handover::Doorbell;
    use crate::io::vitals::Vitals;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};
    use std::time::{Duration, Instant};

    /// Runs a future that only the ring wakes.
    fn run<T>(ring: &Ring, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                return value;
            }
            assert!(Instant::now() < end, "waited in vain");
            ring.sleep(Some(Duration::from_millis(50))).unwrap_or_default();
        }
    }

    fn filled(octet: u8, blocks: usize) -> Aligned {
        let mut buffer = Aligned::zeroed(blocks * BLOCK);
        buffer.fill(octet);
        buffer
    }

    #[test]
    fn parts_are_written_one_behind_the_other() {
        let directory = tempfile::tempdir().expect("a directory");
        let ring = Ring::new(&Doorbell::new(true).expect("an eventfd"), Arc::new(Vitals::default())).expect("a ring");
        ring.attend(true);
        let disk = RingDisk { ring: ring.clone(), free: Arc::default() };
        let file = run(&ring, disk.open(&directory.path().join("file"), Open::Direct)).expect("a file");
        let mut buffer = filled(1, 4);
        buffer[3 * BLOCK..].fill(3);
        let rest = vec![Part::Piece(Rc::new(filled(2, 3)), 2 * BLOCK), Part::Buffer(3 * BLOCK..4 * BLOCK)];
        let written = run(&ring, file.write_all_synced(buffer, BLOCK..2 * BLOCK, rest, BLOCK as u64));
        written.0.expect("it is written");
        let (read, buffer) = run(&ring, file.read_at(filled(9, 8), 8 * BLOCK, 0));
        assert_eq!(read.expect("it is read"), 5 * BLOCK);
        let blocks: Vec<u8> = buffer.chunks(BLOCK).take(5).map(|block| block[BLOCK - 1]).collect();
        assert_eq!(blocks, [0, 1, 2, 2, 3]);
    }
}
