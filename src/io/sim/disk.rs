//! The disk and its files, as a machine reaches them.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::completion::{Completion, completion};
use super::errno;
use super::faults::{Operation, Verdict};
use super::image::Id;
use super::kernel::{Kernel, Turn};
use crate::io::{Aligned, Disk, File, Open, Part, aligned, publish_by_steps};

/// The disk of a simulated machine.
#[derive(Clone)]
pub struct SimDisk {
    pub(super) kernel: Rc<Kernel>,
    pub(super) life: u64,
}

impl SimDisk {
    fn submit<T: 'static>(
        &self,
        operation: Operation,
        paths: &[&Path],
        apply: impl FnOnce(&mut Turn<'_>) -> T + 'static,
    ) -> Completion<T> {
        let paths = paths.iter().map(|path| path.to_path_buf()).collect();
        self.kernel.submit(self.life, operation, paths, apply)
    }
}

impl Turn<'_> {
    /// The fault that the operation meets, if any.
    fn allowed(&self) -> io::Result<()> {
        match self.verdict {
            Verdict::Fail(failure) => Err(failure.into()),
            Verdict::Proceed | Verdict::Lose => Ok(()),
        }
    }

    /// A write that fails has written any number of its first sectors.
    fn write(&mut self, file: Id, offset: u64, octets: &[u8]) -> io::Result<()> {
        let allowed = self.allowed();
        let octets = match &allowed {
            Ok(()) => octets,
            Err(_) => &octets[..self.random.index(octets.len() / 512 + 1) * 512],
        };
        let written = self.image.write(file, offset, octets, self.capacity);
        allowed.and(written)
    }

    fn sync(&mut self, file: Id, mark: u64) -> io::Result<()> {
        match self.verdict {
            Verdict::Proceed => self.image.sync(file, mark),
            Verdict::Lose => {}
            Verdict::Fail(_) => self.image.sync_failed(file, mark, self.random),
        }
        self.allowed()
    }
}

impl Disk for SimDisk {
    type File = SimFile;

    async fn open(&self, path: &Path, how: Open) -> io::Result<SimFile> {
        let disk = self.clone();
        let direct = how == Open::Direct && !self.kernel.faults.refuses_direct();
        let name = path.to_path_buf();
        let open = move |turn: &mut Turn<'_>| {
            turn.allowed()?;
            let id = turn.image.open(&name, how)?;
            Ok(SimFile(Rc::new(Handle { disk, id, path: name, how, direct })))
        };
        self.submit(Operation::Open, &[path], open).await
    }

    async fn create_directory(&self, path: &Path) -> io::Result<()> {
        let name = path.to_path_buf();
        let create = move |turn: &mut Turn<'_>| turn.allowed().and_then(|()| turn.image.create_directory(&name));
        self.submit(Operation::CreateDirectory, &[path], create).await
    }

    async fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (old, new) = (from.to_path_buf(), to.to_path_buf());
        let rename = move |turn: &mut Turn<'_>| turn.allowed().and_then(|()| turn.image.rename(&old, &new));
        self.submit(Operation::Rename, &[from, to], rename).await
    }

    async fn remove(&self, path: &Path) -> io::Result<()> {
        let name = path.to_path_buf();
        let remove = move |turn: &mut Turn<'_>| turn.allowed().and_then(|()| turn.image.remove(&name));
        self.submit(Operation::Remove, &[path], remove).await
    }

    async fn sync_directory(&self, path: &Path) -> io::Result<()> {
        let (name, mark) = (path.to_path_buf(), self.kernel.image.borrow().mark());
        let sync = move |turn: &mut Turn<'_>| {
            turn.allowed()?;
            // A lost sync still finds out that there is no such directory.
            let mark = if turn.verdict == Verdict::Lose { 0 } else { mark };
            turn.image.sync_directory(&name, mark)
        };
        self.submit(Operation::SyncDirectory, &[path], sync).await
    }

    /// The steps follow each other even where nobody waits any more, so they run in a task of their own.
    async fn publish(&self, buffer: Aligned, range: Range<usize>, from: &Path, to: &Path) -> (io::Result<()>, Aligned) {
        let (slot, completion) = completion();
        let (disk, from, to) = (self.clone(), from.to_owned(), to.to_owned());
        let steps = async move { slot.fill(publish_by_steps(&disk, buffer, range, &from, &to).await) };
        self.kernel.spawn(self.life, steps);
        completion.await
    }

    async fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let name = path.to_path_buf();
        let list = move |turn: &mut Turn<'_>| turn.allowed().and_then(|()| turn.image.list(&name));
        self.submit(Operation::List, &[path], list).await
    }

    fn free_octets(&self, path: &Path) -> io::Result<u64> {
        let image = self.kernel.image.borrow();
        image.check(path)?;
        Ok(self.kernel.faults.capacity().saturating_sub(image.used()))
    }
}

/// An open file of a simulated machine.
#[derive(Clone)]
pub struct SimFile(Rc<Handle>);

struct Handle {
    disk: SimDisk,
    id: Id,
    path: PathBuf,
    how: Open,
    direct: bool,
}

impl Handle {
    /// Whether the machine that opened the file still runs.
    fn is_alive(&self) -> bool {
        self.disk.life == self.disk.kernel.life()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if self.is_alive() {
            self.disk.kernel.image.borrow_mut().close(self.id);
        }
    }
}

impl SimFile {
    /// The operation holds the file open, as a descriptor in the kernel's hands does.
    fn submit<T: 'static>(
        &self,
        operation: Operation,
        apply: impl FnOnce(&mut Turn<'_>, Id) -> T + 'static,
    ) -> Completion<(T, SimFile)> {
        let file = self.clone();
        self.0.disk.submit(operation, &[&self.0.path], move |turn| (apply(turn, file.0.id), file))
    }

    /// # Panics
    /// A direct operation that is not aligned is a mistake of the caller, which the real one would only sometimes show.
    fn check(&self, what: &str, offset: u64, range: &Range<usize>, buffer: &Aligned) {
        assert!(range.start <= range.end && range.end <= buffer.len(), "{what} {range:?} of {buffer:?}");
        let aligned = [offset, range.start as u64, range.end as u64, buffer.as_ptr() as u64]
            .iter()
            .all(|number| number.is_multiple_of(aligned::BLOCK as u64));
        let path = &self.0.path;
        assert!(
            !self.0.direct || aligned,
            "direct {what} of {range:?} of {buffer:?} at {offset} of {path:?}: not aligned"
        );
    }

    async fn write(&self, buffer: Aligned, range: Range<usize>, offset: u64) -> (io::Result<()>, Aligned) {
        if self.0.how == Open::Read {
            return (Err(io::Error::from_raw_os_error(errno::EBADF)), buffer);
        }
        let write = move |turn: &mut Turn<'_>, id| (turn.write(id, offset, &buffer[range]), buffer);
        self.submit(Operation::Write, write).await.0
    }
}

impl File for SimFile {
    async fn write_at(&self, buffer: Aligned, range: Range<usize>, offset: u64) -> (io::Result<()>, Aligned) {
        self.check("write", offset, &range, &buffer);
        self.write(buffer, range, offset).await
    }

    /// The sync follows the write even where nobody waits any more, so both run in a task of their own.
    async fn write_synced(&self, buffer: Aligned, range: Range<usize>, offset: u64) -> (io::Result<()>, Aligned) {
        self.check("write", offset, &range, &buffer);
        let (slot, completion) = completion();
        let file = self.clone();
        let write_and_sync = async move {
            let (written, buffer) = file.write(buffer, range, offset).await;
            let result = if written.is_ok() { file.sync().await } else { written };
            slot.fill((result, buffer));
        };
        self.0.disk.kernel.spawn(self.0.disk.life, write_and_sync);
        completion.await
    }

    /// The parts are one write, which tears as any other.
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
        let mut whole = buffer[range].to_vec();
        rest.iter().for_each(|part| whole.extend_from_slice(part.octets(&buffer)));
        let mut written = Aligned::zeroed(whole.len());
        written[..whole.len()].copy_from_slice(&whole);
        (self.write_synced(written, 0..whole.len(), offset).await.0, buffer)
    }

    async fn read_at(&self, mut buffer: Aligned, length: usize, offset: u64) -> (io::Result<usize>, Aligned) {
        self.check("read", offset, &(0..length), &buffer);
        if matches!(self.0.how, Open::Create | Open::New) {
            return (Err(io::Error::from_raw_os_error(errno::EBADF)), buffer);
        }
        let read = move |turn: &mut Turn<'_>, id| {
            let result = turn.allowed().map(|()| turn.image.read(id, offset, &mut buffer[..length]));
            (result, buffer)
        };
        self.submit(Operation::Read, read).await.0
    }

    async fn sync(&self) -> io::Result<()> {
        let mark = if self.0.is_alive() { self.0.disk.kernel.image.borrow().file_mark(self.0.id) } else { 0 };
        self.submit(Operation::Sync, move |turn, id| turn.sync(id, mark)).await.0
    }

    async fn length(&self) -> io::Result<u64> {
        if !self.0.is_alive() {
            return Err(io::Error::from_raw_os_error(errno::EBADF));
        }
        Ok(self.0.disk.kernel.image.borrow().length(self.0.id))
    }

    fn is_direct(&self) -> bool {
        self.0.direct
    }
}
