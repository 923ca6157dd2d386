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

use super::ring::{FileSlot, Keep, Ring};
use crate::io::{Aligned, Disk, File, Open, Part, publish_by_steps};

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

impl RingDisk {
    /// Publishes in one submission, which a thread of the kernel's works off from its beginning to its end. The file is open in the
    /// slot alone.
    async fn publish_at_once(
        &self,
        slot: FileSlot,
        buffer: Aligned,
        range: Range<usize>,
        from: &Path,
        to: &Path,
    ) -> (io::Result<()>, Aligned) {
        let place = types::DestinationSlot::try_from_slot_target(slot.number());
        let place = place.map_err(|_| io::Error::from(io::ErrorKind::InvalidInput));
        let (paths, place) = match c_path(from).and_then(|from| Ok(([from, c_path(to)?], place?))) {
            Ok(both) => both,
            Err(error) => return (Err(error), buffer),
        };
        let [from, to] = paths.each_ref().map(|path| path.as_ptr());
        let (file, octets) = (types::Fixed(slot.number()), &buffer[range]);
        let open = opcode::OpenAt::new(ANYWHERE, from).file_index(Some(place)).mode(0o600);
        let close = || opcode::Close::new(file).build();
        let chain = [
            open.flags(libc::O_RDWR | libc::O_CREAT | libc::O_EXCL).build(),
            opcode::Write::new(file, octets.as_ptr(), octets.len() as u32).offset(0).build(),
            opcode::Fsync::new(file).build(),
            close(),
            opcode::RenameAt::new(ANYWHERE, from, ANYWHERE, to).build(),
        ];
        let (result, mut keep) = self.ring.submit_linked(Keep::Published(buffer, paths, slot), chain).await;
        if result.is_err() {
            // A file that is open still would take room when its name is removed. Where none is, this fails, and does no harm.
            keep = self.ring.submit(keep, close()).await.1;
        }
        (result.map(drop), kept_buffer(keep))
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

    async fn publish(&self, buffer: Aligned, range: Range<usize>, from: &Path, to: &Path) -> (io::Result<()>, Aligned) {
        match self.ring.file_slot() {
            Some(slot) => self.publish_at_once(slot, buffer, range, from, to).await,
            // The kernel has no table of files, or all of it is used.
            None => publish_by_steps(self, buffer, range, from, to).await,
        }
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
        let (result, keep) = self.ring.submit_linked(self.keep(buffer), [write, sync]).await;
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
        let (result, keep) = self.ring.submit_linked(keep, [write, sync]).await;
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

    fn disk() -> RingDisk {
        let ring = Ring::new(&Doorbell::new(true).expect("an eventfd"), Arc::new(Vitals::default())).expect("a ring");
        ring.attend(true);
        RingDisk { ring, free: Arc::default() }
    }

    #[test]
    fn parts_are_written_one_behind_the_other() {
        let directory = tempfile::tempdir().expect("a directory");
        let disk = disk();
        let ring = disk.ring.clone();
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

    /// A directory with `tmp` and `new`, and what is published in it.
    struct Maildir(tempfile::TempDir);

    impl Maildir {
        fn new() -> Maildir {
            let maildir = Maildir(tempfile::tempdir().expect("a directory"));
            ["tmp", "new"].iter().for_each(|part| std::fs::create_dir(maildir.path(part)).expect("made"));
            maildir
        }

        fn path(&self, name: &str) -> std::path::PathBuf {
            self.0.path().join(name)
        }

        /// Publishes so many octets, at once or in one operation after the other.
        fn publish(&self, disk: &RingDisk, at_once: bool, octets: usize) -> io::Result<()> {
            let (from, to, buffer) = (self.path("tmp/a"), self.path("new/a"), filled(7, octets.div_ceil(BLOCK)));
            let published = async {
                match at_once {
                    true => disk.publish(buffer, 0..octets, &from, &to).await,
                    false => publish_by_steps(disk, buffer, 0..octets, &from, &to).await,
                }
            };
            run(&disk.ring, published).0
        }

        /// How many octets there are of what is under `tmp` and in `new`.
        fn found(&self) -> [Option<usize>; 2] {
            ["tmp/a", "new/a"].map(|name| {
                let octets = std::fs::read(self.path(name)).ok()?;
                assert!(octets.iter().all(|octet| *octet == 7));
                Some(octets.len())
            })
        }
    }

    #[test]
    fn what_is_published_takes_every_step_or_none_behind_the_one_that_failed() {
        for at_once in [true, false] {
            let (disk, maildir) = (disk(), Maildir::new());
            assert!(disk.ring.file_slot().is_some(), "this kernel has a table of files");
            for octets in [5000, 1, 70_000, 0] {
                maildir.publish(&disk, at_once, octets).expect("published");
                assert_eq!(maildir.found(), [None, Some(octets)], "the one before is replaced");
            }
            std::fs::write(maildir.path("tmp/a"), [7; 3]).expect("written");
            let error = maildir.publish(&disk, at_once, 5000).expect_err("one is there");
            assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
            assert_eq!(maildir.found(), [Some(3), Some(0)], "it is not written over");
            std::fs::remove_file(maildir.path("tmp/a")).expect("removed");
            std::fs::remove_dir_all(maildir.path("new")).expect("removed");
            let error = maildir.publish(&disk, at_once, 5000).expect_err("it has nowhere to go");
            assert_eq!(error.kind(), io::ErrorKind::NotFound);
            assert_eq!(maildir.found(), [Some(5000), None]);
        }
    }

    #[test]
    fn places_in_the_table_of_files_come_back_empty() {
        let (disk, maildir) = (disk(), Maildir::new());
        let free = || disk.ring.free_file_slots();
        let before = free();
        for round in 0..2 * before {
            if round % 2 == 0 {
                maildir.publish(&disk, true, 100).expect("published");
            } else {
                std::fs::remove_dir_all(maildir.path("new")).expect("removed");
                maildir.publish(&disk, true, 100).expect_err("it has nowhere to go");
                std::fs::create_dir(maildir.path("new")).expect("made");
                std::fs::remove_file(maildir.path("tmp/a")).expect("removed");
            }
            assert_eq!(free(), before);
        }
        let all: Vec<_> = std::iter::from_fn(|| disk.ring.file_slot()).collect();
        for slot in &all {
            let close = opcode::Close::new(types::Fixed(slot.number())).build();
            let closed = run(&disk.ring, disk.ring.submit(Keep::Paths(CString::default(), None), close)).0;
            assert_eq!(closed.expect_err("nothing is open there").raw_os_error(), Some(libc::EBADF));
        }
        maildir.publish(&disk, true, 100).expect("one step after the other, where no place is free");
        drop(all);
        assert_eq!(free(), before);
    }

    /// Runs where no file may have more than four KiB: a write then does a part of what it is asked to.
    #[test]
    #[ignore = "run by the test below, in a process of its own"]
    fn a_short_write_ends_it() {
        for at_once in [true, false] {
            let (disk, maildir) = (disk(), Maildir::new());
            assert!(maildir.publish(&disk, at_once, 5000).is_err());
            assert_eq!(maildir.found(), [Some(4096), None]);
        }
    }

    #[test]
    fn what_is_written_in_part_is_not_published() {
        let program = std::env::current_exe().expect("this test");
        let run = "ulimit -f 8; exec \"$0\" --ignored --exact io::metal::disk::tests::a_short_write_ends_it";
        let ended = std::process::Command::new("sh").args(["-c", run]).arg(program).output().expect("a shell");
        let told = String::from_utf8_lossy(&ended.stdout);
        assert!(ended.status.success() && told.contains("1 passed"), "{told}");
    }
}
