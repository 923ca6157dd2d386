//! The real machine: one glommio executor a core, with a ring of our own for disk and sockets.
//!
//! This folder alone names glommio. Fences against its known defects stand here: every task is caught when it panics; an
//! executor that ends is noticed by its vitals; what other threads bring comes as ordinary I/O through one doorbell; a core with
//! nothing to do sleeps in our own ring; the watchdog of the control plane interrupts a wait that should not be.

mod connect;
mod disk;
mod readiness;
mod records;
mod rest;
mod ring;
mod stream;
mod timers;

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_lite::FutureExt;
use glommio::io::BufferedFile;
use glommio::{Latency, LocalExecutorBuilder, Placement, Shares, TaskQueueHandle};

pub use disk::{RingDisk, RingFile};
pub use records::{KernelTls, kernel_tls};
pub use ring::Ring;
pub use stream::{BoundListener, Listener, TakenConnection, TcpStream};

use super::handover::Doorbell;
use super::vitals::Vitals;
use super::{Class, Machine, Peer};
use readiness::Readiness;
use rest::{Rest, Station};
use timers::Timers;

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
    /// Where it sleeps.
    pub sleeps: Sleeps,
}

/// Where a core sleeps that has nothing to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sleeps {
    /// In our own ring: whatever it waits for must come there.
    #[default]
    InOwnRing,
    /// In glommio's executor, so that what is glommio's own (its sockets, its files, wakes from other threads) is heard as well.
    InExecutor,
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
    /// Rung by the ring with each completion, and heard by glommio alone.
    event: Doorbell,
    rest: Rest,
    timers: Timers,
    /// The executor is to turn before the core sleeps again.
    executor_turns: Cell<bool>,
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
                machine.hear_completions()?;
                machine.answer_doorbell();
                machine.clone().see_through(work(machine)).await
            });
            drop(vitals);
            done
        })
    }

    fn new(setup: CoreSetup) -> io::Result<GlommioMachine> {
        let event = Doorbell::new(false)?;
        let ring = Ring::new(&event, setup.vitals.clone())?;
        let queue = |share: u8, name| {
            let shares = Shares::Static(usize::from(share.clamp(1, 99)) * 10);
            glommio::executor().create_task_queue(shares, Latency::NotImportant, name)
        };
        let intake = queue(100 - setup.delivery_share.min(99), "intake");
        let delivery = queue(setup.delivery_share, "delivery");
        let disk = RingDisk { ring, free: setup.free_octets.clone() };
        Ok(GlommioMachine(Rc::new(Inner {
            disk,
            intake,
            delivery,
            started: Instant::now(),
            setup,
            visitors: RefCell::default(),
            event,
            rest: Rest::default(),
            timers: Timers::default(),
            executor_turns: Cell::new(false),
        })))
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

    /// Runs the core's work among its other tasks, to its end.
    async fn see_through(self, work: impl Future<Output = ()> + 'static) -> io::Result<()> {
        let machine = self.clone();
        let work = async move {
            machine.counted(work).await;
            machine.ring().attend(false);
            machine.0.rest.end();
        };
        let work = spawn(work, self.0.intake)?;
        // Behind all that can run by now.
        self.take_rest()?;
        work.await;
        Ok(())
    }

    /// Lets the token of [`rest`] see each poll of a task.
    async fn counted<F: Future>(&self, task: F) -> F::Output {
        let mut task = pin!(task);
        poll_fn(|context| {
            self.0.rest.polled();
            task.as_mut().poll(context)
        })
        .await
    }

    /// Answers the doorbell for ever: another thread has something for this core.
    fn answer_doorbell(&self) {
        let machine = self.clone();
        self.spawn_vital(Class::Intake, async move {
            let Inner { setup, visitors, .. } = &*machine.0;
            let bell = Readiness::new(machine.ring(), setup.doorbell.as_raw_fd());
            loop {
                if let Err(error) = poll_fn(|context| bell.poll_event(context.waker())).await {
                    panic!("a core cannot hear its doorbell: {error}");
                }
                setup.doorbell.answer();
                setup.vitals.progressed();
                visitors.borrow().iter().for_each(|visit| visit());
            }
        });
    }

    /// Hears of completions while the executor sleeps, for ever. A core that sleeps in its ring hears of them by itself, but for
    /// once in a while the executor sleeps although it should not.
    fn hear_completions(&self) -> io::Result<()> {
        // A copy of the descriptor of its own, which the file may close.
        let copy = self.0.event.descriptor().try_clone_to_owned()?;
        let machine = self.clone();
        self.spawn_vital(Class::Intake, async move {
            // SAFETY: the descriptor is open, and given away to the file alone.
            let event = unsafe { BufferedFile::from_raw_fd(copy.into_raw_fd()) };
            loop {
                if let Err(error) = event.read_at(0, 8).await {
                    panic!("a core cannot hear its ring: {error}");
                }
                machine.0.event.answer();
                if machine.ring().reap() {
                    machine.0.setup.vitals.progressed();
                }
                if machine.0.executor_turns.take() {
                    machine.0.rest.put(Station::Intake);
                }
            }
        });
        Ok(())
    }

    /// Lets the core sleep in its ring whenever no task can run.
    fn take_rest(&self) -> io::Result<()> {
        if self.0.setup.sleeps == Sleeps::InExecutor {
            return Ok(());
        }
        let asleep = glommio::executor().create_task_queue(Shares::Static(1), Latency::NotImportant, "asleep");
        let stations =
            [(Station::Intake, self.0.intake), (Station::Delivery, self.0.delivery), (Station::Asleep, asleep)];
        for (station, queue) in stations {
            let machine = self.clone();
            let watch = async move {
                while machine.0.rest.arrived(station).await {
                    machine.watch(station);
                }
            };
            drop(spawn(watch, queue)?.detach());
        }
        self.ring().attend(true);
        self.0.rest.put(Station::Intake);
        Ok(())
    }

    /// Does what is to be done where the token is.
    fn watch(&self, station: Station) {
        let Inner { rest, timers, setup, event, executor_turns, .. } = &*self.0;
        if station != Station::Asleep {
            let woken = self.ring().reap() | timers.expire(self.now());
            return rest.put(rest.next(station, woken));
        }
        match self.ring().sleep(timers.first(self.now())) {
            Ok(woken) => {
                // A pulse is no sign that there is work, nor is what wakes a core to see whether it has any.
                if woken {
                    setup.vitals.progressed();
                }
                rest.put(Station::Intake);
            }
            // Somebody wants the loop to turn: the executor's with it, which hears what does not come by the ring.
            Err(_) => {
                executor_turns.set(true);
                event.ring();
            }
        }
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
        match self.0.setup.sleeps {
            Sleeps::InOwnRing => self.0.timers.until(self.now() + time).await,
            Sleeps::InExecutor => glommio::timer::sleep(time).await,
        }
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
        let machine = self.clone();
        // Boxed, because an async block keeps what it captures beside what it awaits: the task would be there twice.
        let mut task = Box::pin(AssertUnwindSafe(task).catch_unwind());
        let caught = poll_fn(move |context| {
            machine.0.rest.polled();
            task.poll(context).map(|ended| {
                if ended.is_err() {
                    on_panic(&machine.0.setup.vitals);
                }
            })
        });
        match glommio::spawn_local_into(caught, queue) {
            Ok(task) => drop(task.detach()),
            Err(error) => panic!("a core has lost its task queue: {error}"),
        }
    }
}

fn spawn<T: 'static>(task: impl Future<Output = T> + 'static, queue: TaskQueueHandle) -> io::Result<glommio::Task<T>> {
    glommio::spawn_local_into(task, queue).map_err(|error| io::Error::other(error.to_string()))
}

/// Says that the core is no more, however its thread ends.
struct EndOnDrop(Arc<Vitals>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.end();
    }
}
