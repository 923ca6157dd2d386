//! What holds a world together: its clock, what is due when, its tasks, and the operations under way.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::completion::{Completion, completion};
use super::faults::{Edge, Faults, Operation, Verdict};
use super::hosts::Host;
use super::image::Image;
use super::random::Random;
use super::tasks::Tasks;
use super::trace::Trace;

/// Polls without the clock moving after which tasks are said to run in circles.
const CIRCLES: u64 = 1_000_000;

/// When something is due; what is due at the same time comes in random order.
pub(super) type Due = (Duration, u64, u64);

/// Something that will happen.
pub(super) enum Event {
    Wake(Waker),
    Call(Box<dyn FnOnce()>),
    Disk(Job),
}

/// A disk operation under way.
pub(super) struct Job {
    operation: Operation,
    paths: Vec<PathBuf>,
    apply: Apply,
}

/// Takes effect on the disk, and leaves telling so to whoever waits: by then the disk is free again for destructors.
type Apply = Box<dyn FnOnce(&mut Turn<'_>) -> Box<dyn FnOnce()>>;

/// What an operation works with when its time has come.
pub(super) struct Turn<'a> {
    pub(super) image: &'a mut Image,
    pub(super) random: &'a mut Random,
    pub(super) capacity: u64,
    pub(super) verdict: Verdict,
}

/// The world behind all handles to it.
pub(super) struct Kernel {
    pub(super) random: RefCell<Random>,
    pub(super) image: RefCell<Image>,
    pub(super) faults: Faults,
    pub(super) trace: RefCell<Trace>,
    pub(super) tasks: Tasks,
    pub(super) hosts: RefCell<Vec<Host>>,
    events: RefCell<BTreeMap<Due, Event>>,
    scheduled: Cell<u64>,
    now: Cell<Duration>,
    circles: Cell<u64>,
    life: Cell<u64>,
    stopped: Cell<bool>,
}

impl Kernel {
    pub(super) fn new(seed: u64, image: Image) -> Kernel {
        Kernel {
            random: RefCell::new(Random::new(seed)),
            image: RefCell::new(image),
            faults: Faults::new(),
            trace: RefCell::new(Trace::new()),
            tasks: Tasks::default(),
            hosts: RefCell::default(),
            events: RefCell::default(),
            scheduled: Cell::new(0),
            now: Cell::new(Duration::ZERO),
            circles: Cell::new(0),
            life: Cell::new(0),
            stopped: Cell::new(false),
        }
    }

    pub(super) fn now(&self) -> Duration {
        self.now.get()
    }

    pub(super) fn set_now(&self, now: Duration) {
        self.now.set(now);
        self.circles.set(0);
    }

    /// Counts the machine's lives: a handle from an earlier one has no effect any more.
    pub(super) fn life(&self) -> u64 {
        self.life.get()
    }

    pub(super) fn stopped(&self) -> bool {
        self.stopped.get()
    }

    pub(super) fn set_stopped(&self, stopped: bool) {
        self.stopped.set(stopped);
    }

    pub(super) fn note(&self, text: impl FnOnce() -> String) {
        self.trace.borrow_mut().note(self.now(), text);
    }

    /// A random time between two numbers of microseconds.
    pub(super) fn some_time(&self, low: u64, high: u64) -> Duration {
        Duration::from_micros(self.random.borrow_mut().between(low, high))
    }

    pub(super) fn schedule(&self, at: Duration, event: Event) -> Due {
        self.scheduled.set(self.scheduled.get() + 1);
        let due = (at, self.random.borrow_mut().bits(), self.scheduled.get());
        self.events.borrow_mut().insert(due, event);
        due
    }

    pub(super) fn cancel(&self, due: &Due) {
        let event = self.events.borrow_mut().remove(due);
        drop(event);
    }

    pub(super) fn is_idle(&self) -> bool {
        self.events.borrow().is_empty()
    }

    /// Starts a task in the machine's present life; one that comes from an earlier life is dropped.
    pub(super) fn spawn(&self, life: u64, task: impl Future<Output = ()> + 'static) -> Option<u64> {
        (life == self.life()).then(|| self.tasks.spawn(task))
    }

    /// Lets a ready task go on, or where there is none the next thing happen that is due until `limit`. False where there is
    /// neither.
    pub(super) fn step(&self, limit: Duration) -> bool {
        let chosen = self.tasks.choose(&mut self.random.borrow_mut());
        match chosen {
            Some(task) => self.poll(task),
            None => return self.next_event(limit),
        }
        true
    }

    fn poll(&self, task: u64) {
        self.circles.set(self.circles.get() + 1);
        assert!(self.circles.get() < CIRCLES, "tasks run in circles at {:?}, task {task} among them", self.now());
        self.trace.borrow_mut().mix(task);
        if let Some(message) = self.tasks.poll(task) {
            self.note(|| format!("task {task} panicked: {message}"));
        }
    }

    fn next_event(&self, limit: Duration) -> bool {
        let next = {
            let mut events = self.events.borrow_mut();
            events.first_entry().filter(|first| first.key().0 <= limit).map(|first| first.remove_entry())
        };
        let Some(((at, _, number), event)) = next else { return false };
        self.set_now(self.now().max(at));
        self.trace.borrow_mut().mix(number);
        match event {
            Event::Wake(waker) => waker.wake(),
            Event::Call(call) => call(),
            Event::Disk(job) => self.reach(job),
        }
        true
    }

    /// Starts a disk operation that takes about `time`. It takes effect whether or not anyone waits for it.
    pub(super) fn submit<T: 'static>(
        &self,
        life: u64,
        operation: Operation,
        paths: Vec<PathBuf>,
        apply: impl FnOnce(&mut Turn<'_>) -> T + 'static,
    ) -> Completion<T> {
        let (slot, completion) = completion();
        if life == self.life() {
            let time = self.usual_time(operation);
            let time = self.faults.stretch(operation, &paths, time);
            let apply: Apply = Box::new(move |turn| {
                let result = apply(turn);
                Box::new(move || slot.fill(result))
            });
            self.schedule(self.now().saturating_add(time), Event::Disk(Job { operation, paths, apply }));
        }
        completion
    }

    /// Now and then an operation takes much longer than its like, as on every disk.
    fn usual_time(&self, operation: Operation) -> Duration {
        let time = match operation {
            Operation::Sync | Operation::SyncDirectory => self.some_time(30, 2000),
            _ => self.some_time(5, 400),
        };
        if self.random.borrow_mut().one_in(50) { time * 20 } else { time }
    }

    fn reach(&self, job: Job) {
        let edge = self.faults.reach(job.operation);
        if edge != Some(Edge::Before) {
            let verdict = self.faults.judge(job.operation, &job.paths);
            self.perform(job, verdict);
        }
        if let Some(edge) = edge {
            self.note(|| format!("stopped {edge:?} that operation"));
            self.stopped.set(true);
        }
    }

    fn perform(&self, job: Job, verdict: Verdict) {
        self.note(|| match verdict {
            Verdict::Proceed => format!("{:?} {:?}", job.operation, job.paths),
            _ => format!("{:?} {:?}: {verdict:?}", job.operation, job.paths),
        });
        let capacity = self.faults.capacity();
        let tell = (job.apply)(&mut Turn {
            image: &mut self.image.borrow_mut(),
            random: &mut self.random.borrow_mut(),
            capacity,
            verdict,
        });
        tell();
    }

    /// Ends the machine's life: its tasks are gone, and what was under way took effect or did not.
    pub(super) fn end_life(&self) {
        let mut jobs = self.drop_all();
        self.random.borrow_mut().shuffle(&mut jobs);
        for job in jobs {
            if self.random.borrow_mut().one_in(2) {
                self.perform(job, Verdict::Proceed);
            }
        }
        self.image.borrow_mut().close_all();
    }

    /// Drops all tasks and all that was to happen, and gives what was under way on the disk. Handles have no effect from now
    /// on, those included that the tasks' destructors use.
    pub(super) fn drop_all(&self) -> Vec<Job> {
        self.life.set(self.life() + 1);
        self.stopped.set(true);
        self.tasks.clear();
        let events = std::mem::take(&mut *self.events.borrow_mut());
        let job = |event| if let Event::Disk(job) = event { Some(job) } else { None };
        events.into_values().filter_map(job).collect()
    }
}

/// Ends at a time on the world's clock.
pub(super) struct Sleep {
    kernel: Rc<Kernel>,
    life: u64,
    until: Duration,
    due: Option<Due>,
}

impl Sleep {
    pub(super) fn new(kernel: Rc<Kernel>, life: u64, until: Duration) -> Sleep {
        Sleep { kernel, life, until, due: None }
    }

    fn cancel(&mut self) {
        if let Some(due) = self.due.take() {
            self.kernel.cancel(&due);
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.cancel();
        if self.kernel.now() >= self.until {
            return Poll::Ready(());
        }
        if self.life == self.kernel.life() {
            self.due = Some(self.kernel.schedule(self.until, Event::Wake(context.waker().clone())));
        }
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.cancel();
    }
}
