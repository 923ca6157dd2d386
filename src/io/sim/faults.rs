//! What goes wrong in a world, and when.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Octets of a disk that no test has made smaller.
const USUAL_CAPACITY: u64 = 1 << 40;

/// The kinds of disk operation. A `write_synced` is a write and then a sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// Opening or creating a file.
    Open,
    /// Reading from a file.
    Read,
    /// Writing to a file.
    Write,
    /// Bringing a file's data to stable storage.
    Sync,
    /// Creating a directory.
    CreateDirectory,
    /// Renaming a file.
    Rename,
    /// Removing a file's name.
    Remove,
    /// Bringing the names in a directory to stable storage.
    SyncDirectory,
    /// Listing a directory.
    List,
}

impl Operation {
    /// Whether it can change the disk, so that a crash before it differs from a crash after it.
    fn changes_the_disk(self) -> bool {
        !matches!(self, Operation::Read | Operation::List)
    }
}

/// What an operation fails with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// An error number of the system, as in [`super::errno`].
    Number(i32),
    /// An error of the standard library that has no number.
    Kind(io::ErrorKind),
}

impl From<i32> for Failure {
    fn from(number: i32) -> Failure {
        Failure::Number(number)
    }
}

impl From<io::ErrorKind> for Failure {
    fn from(kind: io::ErrorKind) -> Failure {
        Failure::Kind(kind)
    }
}

impl From<Failure> for io::Error {
    fn from(failure: Failure) -> io::Error {
        match failure {
            Failure::Number(number) => io::Error::from_raw_os_error(number),
            Failure::Kind(kind) => kind.into(),
        }
    }
}

/// What a fault does to the operation that meets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    Fail(Failure),
    Lose,
    Delay(Duration),
}

/// What becomes of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Proceed,
    /// Says that it succeeded, and did nothing.
    Lose,
    Fail(Failure),
}

/// Something that goes wrong: with every operation of one kind, unless narrowed down to some paths or some times.
pub struct Fault {
    operation: Operation,
    effect: Effect,
    concerns: Box<dyn Fn(&Path) -> bool>,
    first: u64,
    last: u64,
    met: u64,
}

impl Fault {
    /// The operation fails. A write that fails has written any number of its first sectors; after a sync that fails any part of
    /// the data is on stable storage, and no later sync brings the rest there; the others have no effect.
    pub fn fail(operation: Operation, failure: impl Into<Failure>) -> Fault {
        Fault::new(operation, Effect::Fail(failure.into()))
    }

    /// The sync says that it succeeded, but nothing has become durable. With it a test proves that it would notice.
    ///
    /// # Panics
    /// When the operation is none of the two syncs.
    pub fn lose(operation: Operation) -> Fault {
        assert!(matches!(operation, Operation::Sync | Operation::SyncDirectory), "only a sync can be lost");
        Fault::new(operation, Effect::Lose)
    }

    /// The operation takes so much longer.
    pub fn delay(operation: Operation, time: Duration) -> Fault {
        Fault::new(operation, Effect::Delay(time))
    }

    fn new(operation: Operation, effect: Effect) -> Fault {
        Fault { operation, effect, concerns: Box::new(|_| true), first: 1, last: u64::MAX, met: 0 }
    }

    /// Only for these paths. A file is called here as it was opened; a rename is concerned with either of its names.
    pub fn at(mut self, concerns: impl Fn(&Path) -> bool + 'static) -> Fault {
        self.concerns = Box::new(concerns);
        self
    }

    /// Only for what lies at or below this path.
    pub fn below(self, directory: impl Into<PathBuf>) -> Fault {
        let directory = directory.into();
        self.at(move |path| path.starts_with(&directory))
    }

    /// Only the `n`th operation that matches from now on, counted from 1.
    pub fn nth(mut self, n: u64) -> Fault {
        (self.first, self.last) = (n, n);
        self
    }

    /// From the `n`th operation that matches, counted from 1.
    pub fn from_nth(mut self, n: u64) -> Fault {
        self.first = n;
        self
    }

    /// Whether this operation meets the fault; counts it.
    fn meets(&mut self, operation: Operation, paths: &[PathBuf]) -> bool {
        if self.operation != operation || !paths.iter().any(|path| (self.concerns)(path)) {
            return false;
        }
        self.met += 1;
        (self.first..=self.last).contains(&self.met)
    }
}

/// The side of an operation on which the world stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// The operation has no effect any more.
    Before,
    /// The operation took effect, but whoever waits for it does not hear of it.
    After,
}

/// What goes wrong in a world. Faults stay over a crash until they are cleared.
pub struct Faults {
    faults: RefCell<Vec<Fault>>,
    capacity: Cell<u64>,
    slowness: Cell<u32>,
    refuses_direct: Cell<bool>,
    crash_at: Cell<Option<(u64, Edge)>>,
    counts: RefCell<BTreeMap<Operation, u64>>,
    boundaries: Cell<u64>,
}

impl Faults {
    pub(super) fn new() -> Faults {
        Faults {
            faults: RefCell::default(),
            capacity: Cell::new(USUAL_CAPACITY),
            slowness: Cell::new(1),
            refuses_direct: Cell::new(false),
            crash_at: Cell::new(None),
            counts: RefCell::default(),
            boundaries: Cell::new(0),
        }
    }

    /// Adds a fault. Where an operation meets several, the earliest added decides, and all delays add up.
    pub fn add(&self, fault: Fault) {
        self.faults.borrow_mut().push(fault);
    }

    /// Takes back all faults, the crash, the slowness and the lack of room. The counts go on.
    pub fn clear(&self) {
        self.faults.borrow_mut().clear();
        self.capacity.set(USUAL_CAPACITY);
        self.slowness.set(1);
        self.refuses_direct.set(false);
        self.crash_at.set(None);
    }

    /// Octets that all files together may have; what would grow beyond fails with ENOSPC. One TiB unless set.
    pub fn set_capacity(&self, octets: u64) {
        self.capacity.set(octets);
    }

    pub(super) fn capacity(&self) -> u64 {
        self.capacity.get()
    }

    /// Every disk operation takes so many times as long.
    pub fn set_slowness(&self, factor: u32) {
        self.slowness.set(factor);
    }

    /// Whether files opened from now on go through the page cache although `Open::Direct` was asked for, as on tmpfs.
    pub fn refuse_direct(&self, refuses: bool) {
        self.refuses_direct.set(refuses);
    }

    pub(super) fn refuses_direct(&self) -> bool {
        self.refuses_direct.get()
    }

    /// Stops the world at the `n`th operation from now, counted from 1, that can change the disk (all but reads and lists).
    /// Then nothing more happens until [`super::World::crash`] and [`super::World::restart`].
    pub fn crash_at(&self, n: u64, edge: Edge) {
        self.crash_at.set(Some((self.boundaries.get() + n, edge)));
    }

    /// How many operations of a kind took place so far.
    pub fn count(&self, operation: Operation) -> u64 {
        self.counts.borrow().get(&operation).copied().unwrap_or(0)
    }

    /// How many operations that can change the disk took place so far: as many places to crash at.
    pub fn boundaries(&self) -> u64 {
        self.boundaries.get()
    }

    /// Counts an operation that is about to take place, and says whether the world stops there.
    pub(super) fn reach(&self, operation: Operation) -> Option<Edge> {
        *self.counts.borrow_mut().entry(operation).or_default() += 1;
        if !operation.changes_the_disk() {
            return None;
        }
        self.boundaries.set(self.boundaries.get() + 1);
        let (_, edge) = self.crash_at.get().filter(|(at, _)| *at == self.boundaries.get())?;
        self.crash_at.set(None);
        Some(edge)
    }

    /// What becomes of an operation that is about to take place.
    pub(super) fn judge(&self, operation: Operation, paths: &[PathBuf]) -> Verdict {
        let mut verdict = Verdict::Proceed;
        for fault in self.faults.borrow_mut().iter_mut() {
            let effect = match fault.effect {
                Effect::Fail(failure) => Verdict::Fail(failure),
                Effect::Lose => Verdict::Lose,
                Effect::Delay(_) => continue,
            };
            if fault.meets(operation, paths) && verdict == Verdict::Proceed {
                verdict = effect;
            }
        }
        verdict
    }

    /// How long an operation takes that would usually take `time`.
    pub(super) fn stretch(&self, operation: Operation, paths: &[PathBuf], time: Duration) -> Duration {
        let mut total = time.saturating_mul(self.slowness.get());
        for fault in self.faults.borrow_mut().iter_mut() {
            if let Effect::Delay(more) = fault.effect
                && fault.meets(operation, paths)
            {
                total = total.saturating_add(more);
            }
        }
        total
    }
}
