//! The file system as FUSE asks for it. Nothing may be kept by the kernel: names and attributes live for no time, and each open
//! throws away the pages that the one before left.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{
    BsdFileFlags, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, KernelConfig,
    LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry,
    ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};

use crate::disk;
use crate::state::{BLOCK, Shared, State};

/// How long the kernel may believe what it was told.
const LIFE: Duration = Duration::ZERO;

/// Octets of a write that the kernel leaves in one piece.
const PIECE: u32 = 1 << 20;

/// Requests that the kernel has under way on behalf of nobody who waits.
const BACKGROUND: u16 = 64;

type Listing = Arc<Vec<(u64, bool, OsString)>>;

/// The layer.
pub struct Layer {
    shared: Arc<Shared>,
    /// What was in a directory when it was opened.
    listings: Mutex<HashMap<u64, Listing>>,
    opened: AtomicU64,
}

fn code(errno: disk::Errno) -> Errno {
    Errno::from_i32(errno)
}

fn attributes(state: &State, number: u64) -> Result<FileAttr, disk::Errno> {
    let node = state.disk.node(number)?;
    let (kind, nlink) = if node.is_directory() { (FileType::Directory, 2) } else { (FileType::RegularFile, 1) };
    Ok(FileAttr {
        ino: INodeNo(number),
        size: node.length(),
        blocks: node.length().div_ceil(512),
        atime: UNIX_EPOCH,
        mtime: UNIX_EPOCH,
        ctime: UNIX_EPOCH,
        crtime: UNIX_EPOCH,
        kind,
        perm: node.mode as u16,
        nlink,
        uid: node.owner.0,
        gid: node.owner.1,
        rdev: 0,
        blksize: BLOCK as u32,
        flags: 0,
    })
}

impl Layer {
    /// On this state.
    pub fn new(shared: Arc<Shared>) -> Layer {
        Layer { shared, listings: Mutex::default(), opened: AtomicU64::new(1) }
    }

    fn listings(&self) -> MutexGuard<'_, HashMap<u64, Listing>> {
        self.listings.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// As file systems without direct access do.
    fn refuses(&self, flags: i32) -> bool {
        flags & libc::O_DIRECT != 0 && self.shared.lock().faults.no_direct
    }

    fn make(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        is_directory: bool,
    ) -> Result<FileAttr, disk::Errno> {
        let mut state = self.shared.wait()?;
        let owner = (request.uid(), request.gid());
        let number = state.make(parent.0, name, mode & 0o7777, owner, is_directory)?;
        attributes(&state, number)
    }

    /// A sync, at once or after its delay, on a thread of its own: others go on meanwhile.
    fn sync(&self, number: INodeNo, reply: ReplyEmpty) {
        let (delay, up_to, cuts) = match self.shared.wait() {
            Ok(mut guard) => {
                let state = &mut *guard;
                (state.faults.next_delay(&mut state.random), state.disk.last_change(), state.cuts)
            }
            Err(errno) => return reply.error(code(errno)),
        };
        if delay.is_zero() {
            return answer(reply, finish_sync(&self.shared, number.0, up_to, cuts));
        }
        let shared = self.shared.clone();
        std::thread::spawn(move || {
            std::thread::sleep(delay);
            answer(reply, finish_sync(&shared, number.0, up_to, cuts));
        });
    }
}

fn finish_sync(shared: &Shared, number: u64, up_to: u64, cuts: u64) -> Result<(), disk::Errno> {
    let mut state = shared.wait()?;
    if state.cuts != cuts {
        return Err(libc::EIO);
    }
    state.sync(number, up_to)
}

fn answer(reply: ReplyEmpty, result: Result<(), disk::Errno>) {
    match result {
        Ok(()) => reply.ok(),
        Err(errno) => reply.error(code(errno)),
    }
}

impl Filesystem for Layer {
    fn init(&mut self, _request: &Request, config: &mut KernelConfig) -> io::Result<()> {
        // Where the kernel allows less, it says so and takes what it allows.
        let _ = config.set_max_write(PIECE);
        let _ = config.set_max_background(BACKGROUND);
        Ok(())
    }

    fn lookup(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let found = self.shared.wait().and_then(|state| {
            let number = state.disk.find(parent.0, name)?;
            attributes(&state, number)
        });
        match found {
            Ok(attributes) => reply.entry(&LIFE, &attributes, Generation(0)),
            Err(errno) => reply.error(code(errno)),
        }
    }

    fn getattr(&self, _request: &Request, number: INodeNo, _handle: Option<FileHandle>, reply: ReplyAttr) {
        match self.shared.wait().and_then(|state| attributes(&state, number.0)) {
            Ok(attributes) => reply.attr(&LIFE, &attributes),
            Err(errno) => reply.error(code(errno)),
        }
    }

    fn setattr(
        &self,
        _request: &Request,
        number: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        _atime: Option<TimeOrNow>,
        _mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _handle: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let changed = self.shared.wait().and_then(|mut state| {
            if let Some(size) = size {
                state.set_length(number.0, size)?;
            }
            let node = state.disk.node_mut(number.0)?;
            node.mode = mode.map_or(node.mode, |mode| mode & 0o7777);
            node.owner = (uid.unwrap_or(node.owner.0), gid.unwrap_or(node.owner.1));
            attributes(&state, number.0)
        });
        match changed {
            Ok(attributes) => reply.attr(&LIFE, &attributes),
            Err(errno) => reply.error(code(errno)),
        }
    }

    fn mkdir(&self, request: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, reply: ReplyEntry) {
        match self.make(request, parent, name, mode & !umask, true) {
            Ok(attributes) => reply.entry(&LIFE, &attributes, Generation(0)),
            Err(errno) => reply.error(code(errno)),
        }
    }

    fn create(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        if self.refuses(flags) {
            return reply.error(Errno::EINVAL);
        }
        match self.make(request, parent, name, mode & !umask, false) {
            Ok(made) => reply.created(&LIFE, &made, Generation(0), FileHandle(0), FopenFlags::empty()),
            Err(errno) => reply.error(code(errno)),
        }
    }

    fn unlink(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        answer(reply, self.shared.wait().and_then(|mut state| state.remove(parent.0, name, false)));
    }

    fn rmdir(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        answer(reply, self.shared.wait().and_then(|mut state| state.remove(parent.0, name, true)));
    }

    fn rename(
        &self,
        _request: &Request,
        parent: INodeNo,
        name: &OsStr,
        to: INodeNo,
        to_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        if !flags.is_empty() {
            return reply.error(Errno::EINVAL);
        }
        answer(reply, self.shared.wait().and_then(|mut state| state.rename((parent.0, name), (to.0, to_name))));
    }

    fn open(&self, _request: &Request, _number: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        if self.refuses(flags.0) {
            return reply.error(Errno::EINVAL);
        }
        reply.opened(FileHandle(0), FopenFlags::empty());
    }

    fn read(
        &self,
        _request: &Request,
        number: INodeNo,
        _handle: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let mut state = match self.shared.wait() {
            Ok(state) => state,
            Err(errno) => return reply.error(code(errno)),
        };
        match state.read(number.0, offset, size as usize) {
            Ok(octets) => reply.data(octets),
            Err(errno) => reply.error(code(errno)),
        }
    }

    fn write(
        &self,
        _request: &Request,
        number: INodeNo,
        _handle: FileHandle,
        offset: u64,
        octets: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        _owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match self.shared.wait().and_then(|mut state| state.write(number.0, offset, octets)) {
            Ok(()) => reply.written(octets.len() as u32),
            Err(errno) => reply.error(code(errno)),
        }
    }

    fn flush(&self, _request: &Request, _number: INodeNo, _handle: FileHandle, _owner: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsync(&self, _request: &Request, number: INodeNo, _handle: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        self.sync(number, reply);
    }

    fn fsyncdir(&self, _request: &Request, number: INodeNo, _handle: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        self.sync(number, reply);
    }

    fn opendir(&self, _request: &Request, number: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        let listed = self.shared.wait().and_then(|state| {
            let (names, parent) = state.disk.list(number.0)?;
            let mut listing = vec![(number.0, true, OsString::from(".")), (parent, true, OsString::from(".."))];
            for (name, number) in names {
                let is_directory = state.disk.node(number)?.is_directory();
                listing.push((number, is_directory, name));
            }
            Ok(listing)
        });
        match listed {
            Ok(listing) => {
                let handle = self.opened.fetch_add(1, Ordering::Relaxed);
                self.listings().insert(handle, Arc::new(listing));
                reply.opened(FileHandle(handle), FopenFlags::empty());
            }
            Err(errno) => reply.error(code(errno)),
        }
    }

    fn readdir(
        &self,
        _request: &Request,
        _number: INodeNo,
        handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let listing = self.listings().get(&handle.0).cloned();
        let Some(listing) = listing else { return reply.error(Errno::EBADF) };
        for (at, (number, is_directory, name)) in listing.iter().enumerate().skip(offset as usize) {
            let kind = if *is_directory { FileType::Directory } else { FileType::RegularFile };
            if reply.add(INodeNo(*number), at as u64 + 1, kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn releasedir(
        &self,
        _request: &Request,
        _number: INodeNo,
        handle: FileHandle,
        _flags: OpenFlags,
        reply: ReplyEmpty,
    ) {
        self.listings().remove(&handle.0);
        reply.ok();
    }

    fn statfs(&self, _request: &Request, _number: INodeNo, reply: ReplyStatfs) {
        let state = self.shared.lock();
        let (all, free) = (state.faults.capacity / BLOCK, state.room() / BLOCK);
        reply.statfs(all, free, free, 1 << 20, 1 << 20, BLOCK as u32, 255, BLOCK as u32);
    }
}
