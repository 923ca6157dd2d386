//! A simulated machine: a virtual clock, tasks in random order, a disk that tears and forgets, a network that dribbles, and
//! faults on demand. Everything random comes from one seed, so that a run can be had again exactly.
//!
//! A [`World`] is what a test holds. It gives out machines, runs them, takes their power away and starts them again on what
//! their disk then holds:
//!
//! ```
//! use ringpost::io::{Disk, File, Machine, Open, sim};
//!
//! for seed in sim::seeds(10) {
//!     let world = sim::World::new(seed);
//!     let machine = world.machine();
//!     world.block_on(async move {
//!         let file = machine.disk().open("/mail".as_ref(), Open::Create).await?;
//!         file.sync().await?;
//!         machine.disk().sync_directory("/".as_ref()).await
//!     });
//!     world.crash();
//!     let machine = world.restart();
//!     let names = world.block_on(async move { machine.disk().list("/".as_ref()).await });
//!     assert_eq!(names.and_then(Result::ok), Some(vec!["mail".to_owned()]));
//! }
//! ```

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use super::{Class, Machine, Open, Peer};
use image::Image;
use kernel::{Kernel, Sleep};

mod completion;
mod content;
mod disk;
pub mod errno;
mod faults;
mod hosts;
mod image;
mod kernel;
mod network;
mod random;
mod seeds;
mod tasks;
#[cfg(test)]
mod tests;
mod trace;

pub use disk::{SimDisk, SimFile};
pub use faults::{Edge, Failure, Fault, Faults, Operation};
pub use hosts::{Host, Manner};
pub use network::{ClientEnd, SimStream};
pub use random::Random;
pub use seeds::seeds;

/// The wall clock at a world's start, in microseconds since the Unix epoch: 2026-01-01 00:00:00 UTC.
pub const WALL_CLOCK_AT_START: u64 = 1_767_225_600_000_000;

/// How long, by the virtual clock, a world is run in the hope that something comes about.
const PATIENCE: Duration = Duration::from_secs(10 * 24 * 60 * 60);

/// All there is in one simulation. Dropping it says which seed to use again if the test failed, and fails the test if a task
/// panicked that was not allowed to.
pub struct World {
    kernel: Rc<Kernel>,
    seed: u64,
    wall_clock: Rc<Cell<i64>>,
    panics_allowed: Cell<bool>,
}

impl World {
    /// A world with an empty disk; the same seed and the same doings give the same events.
    pub fn new(seed: u64) -> World {
        World {
            kernel: Rc::new(Kernel::new(seed, Image::new())),
            seed,
            wall_clock: Rc::new(Cell::new(WALL_CLOCK_AT_START as i64)),
            panics_allowed: Cell::new(false),
        }
    }

    /// What the world was made from.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// A generator for the test's own choices, which depends on the world's seed alone.
    pub fn random(&self) -> Random {
        Random::new(self.seed ^ 0x6f77_6e20_6368_6f69)
    }

    /// A handle of the machine. Several of them are several cores with one disk and one clock.
    pub fn machine(&self) -> SimMachine {
        let disk = SimDisk { kernel: self.kernel.clone(), life: self.kernel.life() };
        SimMachine { disk, wall_clock: self.wall_clock.clone() }
    }

    /// A new connection: the client's end, and the end that the server would have accepted.
    pub fn connect(&self) -> (ClientEnd, SimStream) {
        network::connect(&self.kernel)
    }

    /// Another host, which the machine reaches at `peer`. Where there is none, connections are refused.
    ///
    /// # Panics
    /// Where there is one already.
    pub fn host(&self, peer: Peer) -> Host {
        let mut hosts = self.kernel.hosts.borrow_mut();
        assert!(!hosts.iter().any(|host| host.is_at(&peer)), "there is a host at {peer:?}");
        let host = Host::new(peer);
        hosts.push(host.clone());
        host
    }

    // Running.

    /// Runs until the condition holds, which is asked after every step. False where it never will: nothing is left to happen,
    /// the world has stopped at [`Faults::crash_at`], or ten days have passed by the virtual clock.
    pub fn run_until(&self, mut condition: impl FnMut() -> bool) -> bool {
        let limit = self.kernel.now() + PATIENCE;
        loop {
            if condition() {
                return true;
            }
            if self.is_stopped() || !self.kernel.step(limit) {
                return false;
            }
        }
    }

    /// Runs for so long by the virtual clock.
    pub fn run(&self, time: Duration) {
        let end = self.kernel.now() + time;
        while !self.is_stopped() && self.kernel.step(end) {}
        if !self.is_stopped() {
            self.kernel.set_now(end);
        }
    }

    /// Runs until nothing is left to happen, or the world has stopped at [`Faults::crash_at`].
    ///
    /// # Panics
    /// Where there is no end of it for ten days by the virtual clock, as with a task that wakes every second.
    pub fn run_until_idle(&self) {
        self.run_until(|| false);
        assert!(self.is_stopped() || self.kernel.is_idle(), "the world does not become idle");
    }

    /// Runs until a future has ended. `None` where it never will, as [`World::run_until`] says. Its panic is the test's.
    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        let mut future = pin!(future);
        let flag = Arc::new(Flag(AtomicBool::new(true)));
        let waker = Waker::from(flag.clone());
        let limit = self.kernel.now() + PATIENCE;
        loop {
            if !self.is_stopped()
                && flag.0.swap(false, Ordering::Relaxed)
                && let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker))
            {
                return Some(value);
            }
            // One that only lets others have their turn goes on where there are none.
            if self.is_stopped() || !self.kernel.step(limit) && !flag.0.load(Ordering::Relaxed) {
                return None;
            }
        }
    }

    /// Whether the world has stopped at [`Faults::crash_at`], or was crashed or killed and not restarted.
    pub fn is_stopped(&self) -> bool {
        self.kernel.stopped()
    }

    /// Time since the world began.
    pub fn now(&self) -> Duration {
        self.kernel.now()
    }

    /// Sets the machine's wall clock, in microseconds since the Unix epoch; back too. It runs on from there.
    pub fn set_wall_clock(&self, microseconds: u64) {
        self.wall_clock.set(microseconds as i64 - self.kernel.now().as_micros() as i64);
    }

    // Failing.

    /// What goes wrong.
    pub fn faults(&self) -> &Faults {
        &self.kernel.faults
    }

    /// Takes the power away. All tasks, connections and open files are gone; of what was not synced the disk keeps any part that
    /// a disk may keep; handles from before have no effect any more.
    pub fn crash(&self) {
        self.kill();
        self.kernel.image.borrow_mut().crash(&mut self.kernel.random.borrow_mut());
        self.kernel.note(|| "the power failed".to_owned());
    }

    /// Kills the process as SIGKILL does. All tasks, connections and open files are gone; what was under way on the disk took
    /// effect or did not; nothing is forgotten.
    pub fn kill(&self) {
        self.kernel.end_life();
        self.kernel.note(|| "the process was killed".to_owned());
    }

    /// Another world, in which the power failed at this moment while this one goes on: its disk holds what a crash may leave of
    /// this one's, which `seed` decides. Of operations under way nothing has taken effect.
    pub fn crashed(&self, seed: u64) -> World {
        let mut image = self.kernel.image.borrow().clone();
        let kernel = {
            image.close_all();
            image.crash(&mut Random::new(seed));
            Kernel::new(seed, image)
        };
        kernel.set_now(self.now());
        kernel.set_stopped(true);
        kernel.note(|| "the power failed".to_owned());
        World {
            kernel: Rc::new(kernel),
            seed: self.seed,
            wall_clock: Rc::new(Cell::new(self.wall_clock.get())),
            panics_allowed: Cell::new(false),
        }
    }

    /// Whether a crash would leave the disk as it is.
    pub fn is_settled(&self) -> bool {
        self.kernel.image.borrow().is_settled()
    }

    /// The machine after [`World::crash`] or [`World::kill`].
    ///
    /// # Panics
    /// Where neither came before.
    pub fn restart(&self) -> SimMachine {
        assert!(self.is_stopped() && self.kernel.tasks.alive() == 0, "a restart comes after a crash");
        self.kernel.set_stopped(false);
        self.machine()
    }

    // Looking on.

    /// The disk as the running system sees it, for the test to prepare and to look at; takes no time and meets no faults.
    pub fn disk(&self) -> DiskView<'_> {
        DiskView(&self.kernel)
    }

    /// Tasks that have not ended.
    pub fn tasks(&self) -> usize {
        self.kernel.tasks.alive()
    }

    /// The messages of all tasks that panicked.
    pub fn panics(&self) -> Vec<String> {
        self.kernel.tasks.panics()
    }

    /// Tasks may panic: the test looks at [`World::panics`] itself.
    pub fn allow_panics(&self) {
        self.panics_allowed.set(true);
    }

    /// Keeps the last `limit` events for the report of a failed test, instead of 64; 0 keeps none.
    pub fn keep_trace(&self, limit: usize) {
        self.kernel.trace.borrow_mut().keep(limit);
    }

    /// Notes an event of the test's own.
    pub fn note(&self, text: impl Into<String>) {
        self.kernel.note(|| text.into());
    }

    /// The last events, oldest first.
    pub fn trace(&self) -> Vec<String> {
        self.kernel.trace.borrow().lines()
    }

    /// A number that two runs share only if the same things happened in the same order.
    pub fn fingerprint(&self) -> u64 {
        self.kernel.trace.borrow().fingerprint()
    }

    fn report(&self) {
        self.trace().iter().for_each(|line| eprintln!("{line}"));
        eprintln!("to see this again: RINGPOST_SEED={}", self.seed);
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let panics = if self.panics_allowed.get() { Vec::new() } else { self.panics() };
        let failed = std::thread::panicking();
        if failed || !panics.is_empty() {
            self.report();
        }
        // Tasks hold the world as the world holds them; neither would ever be freed.
        drop(self.kernel.drop_all());
        drop(self.kernel.hosts.take());
        assert!(failed || panics.is_empty(), "tasks panicked: {panics:?}");
    }
}

/// Says that the future of [`World::block_on`] can go on.
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The disk from outside the simulation. What is made here is durable at once.
pub struct DiskView<'a>(&'a Kernel);

impl DiskView<'_> {
    /// Makes a directory and those above it, where there are none yet.
    ///
    /// # Errors
    /// Where the path is not one of a directory.
    pub fn make_directory(&self, path: impl AsRef<Path>) -> std::io::Result<()> {
        let path = path.as_ref();
        let Some(parent) = path.parent() else { return Ok(()) };
        self.make_directory(parent)?;
        let mut image = self.0.image.borrow_mut();
        match image.create_directory(path) {
            Err(problem) if problem.kind() == std::io::ErrorKind::AlreadyExists => image.list(path).map(drop),
            Err(problem) => Err(problem),
            Ok(()) => {
                let mark = image.mark();
                image.sync_directory(parent, mark)
            }
        }
    }

    /// Makes a file with this content, replacing one that is there.
    ///
    /// # Errors
    /// Where the directory is not there, or the file too large.
    pub fn write(&self, path: impl AsRef<Path>, content: &[u8]) -> std::io::Result<()> {
        let path = path.as_ref();
        let mut image = self.0.image.borrow_mut();
        let file = image.open(path, Open::Create)?;
        let written = image.write(file, 0, content, u64::MAX);
        let (file_mark, mark) = (image.file_mark(file), image.mark());
        image.sync(file, file_mark);
        image.close(file);
        written.and_then(|()| image.sync_directory(path.parent().unwrap_or(path), mark))
    }

    /// Removes a file.
    ///
    /// # Errors
    /// Where there is no such file.
    pub fn remove(&self, path: impl AsRef<Path>) -> std::io::Result<()> {
        let path = path.as_ref();
        let mut image = self.0.image.borrow_mut();
        image.remove(path)?;
        let mark = image.mark();
        image.sync_directory(path.parent().unwrap_or(path), mark)
    }

    /// All that is in a file.
    ///
    /// # Errors
    /// Where there is no such file.
    pub fn read(&self, path: impl AsRef<Path>) -> std::io::Result<Vec<u8>> {
        self.0.image.borrow().read_all(path.as_ref())
    }

    /// A number that two disks share only if all names and all content on them are the same.
    pub fn fingerprint(&self) -> u64 {
        self.0.image.borrow().fingerprint()
    }

    /// The names in a directory, sorted.
    ///
    /// # Errors
    /// Where there is no such directory.
    pub fn list(&self, path: impl AsRef<Path>) -> std::io::Result<Vec<String>> {
        self.0.image.borrow().list(path.as_ref())
    }
}

/// A simulated machine.
#[derive(Clone)]
pub struct SimMachine {
    disk: SimDisk,
    wall_clock: Rc<Cell<i64>>,
}

impl Machine for SimMachine {
    type Stream = SimStream;
    type Disk = SimDisk;

    fn disk(&self) -> &SimDisk {
        &self.disk
    }

    fn now(&self) -> Duration {
        self.disk.kernel.now()
    }

    fn wall_clock(&self) -> u64 {
        let microseconds = self.wall_clock.get() + self.now().as_micros() as i64;
        u64::try_from(microseconds).unwrap_or(0)
    }

    fn secret(&self) -> u64 {
        self.disk.kernel.random.borrow_mut().bits()
    }

    fn connect(&self, to: &Peer, from: Option<IpAddr>) -> impl Future<Output = io::Result<SimStream>> {
        hosts::connect(self.disk.kernel.clone(), self.disk.life, to.clone(), from)
    }

    fn sleep(&self, time: Duration) -> impl Future<Output = ()> {
        let kernel = self.disk.kernel.clone();
        let until = self.now().saturating_add(time).saturating_add(kernel.some_time(0, 1000));
        Sleep::new(kernel, self.disk.life, until)
    }

    fn spawn_vital(&self, class: Class, task: impl Future<Output = ()> + 'static) {
        self.spawn(class, task);
    }

    fn spawn(&self, class: Class, task: impl Future<Output = ()> + 'static) {
        if let Some(number) = self.disk.kernel.spawn(self.disk.life, task) {
            self.disk.kernel.note(|| format!("task {number} started: {class:?}"));
        }
    }
}
