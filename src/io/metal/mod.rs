//! The real machine: one glommio executor a core, with a ring of our own for disk and sockets.
//!
//! This folder alone names glommio. Fences against its known defects stand here: every task is caught when it panics; an
//! executor that ends is noticed by its vitals; what other threads bring comes as ordinary I/O through one doorbell; the
//! watchdog of the control plane interrupts a wait that should not be.

mod connect;
mod disk;
mod readiness;
mod ring;
mod stream;

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::os::fd::{FromRawFd, IntoRawFd};
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_lite::FutureExt;
use glommio::io::BufferedFile;
use glommio::{Latency, LocalExecutorBuilder, Placement, Shares, TaskQueueHandle};

pub use disk::{RingDisk, RingFile};
pub use ring::Ring;
pub use stream::{BoundListener, Listener, TakenConnection, TcpStream};

use super::handover::Doorbell;
use super::vitals::Vitals;
use super::{Class, Machine, Peer};

/// Memory that glommio registers with the kernel for its own file buffers, which nothing here uses.
const IO_MEMORY: usize = 64 * 1024;

/// How a core is set up.
#[derive(Clone, Debug)]
pub struct CoreSetup {
    /// The thread's name.
    pub name: String,
    /// The CPU it is pinned to.
    pub cpu: usize,
    /// Percent of the core that delivery is guaranteed.
    pub delivery_share: u8,
    /// Rung by whoever has something for the core.
    pub doorbell: Arc<Doorbell>,
    /// Where it shows that it lives.
    pub vitals: Arc<Vitals>,
    /// Octets of room on the file system that holds the spool, kept up to date by the control plane: asking may block.
    pub free_octets: Arc<AtomicU64>,
}

/// One core; clones are the same core.
#[derive(Clone)]
pub struct GlommioMachine(Rc<Inner>);

struct Inner {
    disk: RingDisk,
    intake: TaskQueueHandle,
    delivery: TaskQueueHandle,
    started: Instant,
    setup: CoreSetup,
    visitors: RefCell<Vec<Box<dyn Fn()>>>,
}

impl GlommioMachine {
    /// Starts a core on a thread of its own; it ends when the future that `work` makes has ended. The result comes through
    /// `join` of the handle.
    pub fn start<F: Future<Output = ()> + 'static>(
        setup: CoreSetup,
        work: impl FnOnce(GlommioMachine) -> F + Send + 'static,
    ) -> io::Result<std::thread::JoinHandle<io::Result<()>>> {
        std::thread::Builder::new().name(setup.name.clone()).spawn(move || {
            let vitals = EndOnDrop(setup.vitals.clone());
            let executor =
                LocalExecutorBuilder::new(Placement::Fixed(setup.cpu)).name(&setup.name).io_memory(IO_MEMORY).make()?;
            let done = executor.run(async move {
                let machine = GlommioMachine::new(setup)?;
                machine.clone().answer_doorbell()?;
                work(machine).await;
                Ok(())
            });
            drop(vitals);
            done
        })
    }

    fn new(setup: CoreSetup) -> io::Result<GlommioMachine> {
        let ring = Ring::new(&*setup.doorbell, setup.vitals.clone())?;
        let queue = |share: u8, name| {
            let shares = Shares::Static(usize::from(share.clamp(1, 99)) * 10);
            glommio::executor().create_task_queue(shares, Latency::NotImportant, name)
        };
        let intake = queue(100 - setup.delivery_share.min(99), "intake");
        let delivery = queue(setup.delivery_share, "delivery");
        let disk = RingDisk { ring, free: setup.free_octets.clone() };
        let visitors = RefCell::default();
        Ok(GlommioMachine(Rc::new(Inner { disk, intake, delivery, started: Instant::now(), setup, visitors })))
    }

    /// Calls `visit` whenever the doorbell was rung.
    pub fn on_doorbell(&self, visit: impl Fn() + 'static) {
        self.0.visitors.borrow_mut().push(Box::new(visit));
    }

    /// Signs of life of this core.
    pub fn vitals(&self) -> &Arc<Vitals> {
        &self.0.setup.vitals
    }

    /// The ring of this core.
    pub(super) fn ring(&self) -> &Ring {
        &self.0.disk.ring
    }

    /// Takes in completions that nobody rang for, if there are any.
    pub fn reap(&self) {
        self.0.disk.ring.reap();
    }

    /// Reads the doorbell for ever and sees who rang: the ring with completions, or another thread with an answer.
    fn answer_doorbell(self) -> io::Result<()> {
        let doorbell = self.0.setup.doorbell.clone();
        // A copy of the descriptor of its own, which the file may close.
        let copy = doorbell.descriptor().try_clone_to_owned()?;
        self.clone().spawn_vital(Class::Intake, async move {
            // SAFETY: the descriptor is open, and given away to the file alone.
            let event = unsafe { BufferedFile::from_raw_fd(copy.into_raw_fd()) };
            loop {
                if let Err(error) = event.read_at(0, 8).await {
                    panic!("a core cannot hear its doorbell: {error}");
                }
                doorbell.answer();
                self.0.setup.vitals.progressed();
                self.0.disk.ring.reap();
                self.0.visitors.borrow().iter().for_each(|visit| visit());
            }
        });
        Ok(())
    }
}

impl Machine for GlommioMachine {
    type Stream = TcpStream;
    type Disk = RingDisk;

    fn disk(&self) -> &RingDisk {
        &self.0.disk
    }

    fn now(&self) -> Duration {
        self.0.started.elapsed()
    }

    fn wall_clock(&self) -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros() as u64
    }

    fn secret(&self) -> u64 {
        let mut octets = [0u8; 8];
        // SAFETY: the buffer has room for what is asked. The kernel gives so few octets whole, once it has started.
        let given = unsafe { libc::getrandom(octets.as_mut_ptr().cast(), octets.len(), 0) };
        assert_eq!(given, octets.len() as isize, "the kernel gives no random octets");
        u64::from_ne_bytes(octets)
    }

    async fn connect(&self, to: &Peer, from: Option<IpAddr>) -> io::Result<TcpStream> {
        connect::connect(self.ring(), to, from).await
    }

    async fn sleep(&self, time: Duration) {
        glommio::timer::sleep(time).await;
    }

    fn spawn(&self, class: Class, task: impl Future<Output = ()> + 'static) {
        self.spawn_caught(class, task, Vitals::panicked);
    }

    fn spawn_vital(&self, class: Class, task: impl Future<Output = ()> + 'static) {
        self.spawn_caught(class, task, |vitals| {
            vitals.panicked();
            vitals.end();
        });
    }
}

impl GlommioMachine {
    fn spawn_caught(&self, class: Class, task: impl Future<Output = ()> + 'static, on_panic: fn(&Vitals)) {
        let queue = match class {
            Class::Intake => self.0.intake,
            Class::Delivery => self.0.delivery,
        };
        let vitals = self.0.setup.vitals.clone();
        // Boxed, because an async block keeps what it captures beside what it awaits: the task would be there twice.
        let task = Box::pin(AssertUnwindSafe(task).catch_unwind());
        let caught = async move {
            if task.await.is_err() {
                on_panic(&vitals);
            }
        };
        match glommio::spawn_local_into(caught, queue) {
            Ok(task) => drop(task.detach()),
            Err(error) => panic!("a core has lost its task queue: {error}"),
        }
    }
}

/// Says that the core is no more, however its thread ends.
struct EndOnDrop(Arc<Vitals>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.end();
    }
}
