//! The tasks of a world: who is ready, and polling one of them.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Wake, Waker};

use super::random::Random;

struct Task {
    future: Pin<Box<dyn Future<Output = ()>>>,
    waker: Arc<TaskWaker>,
}

/// The numbers of the tasks that can go on. A waker has to be `Send`, which is the only reason for the lock.
#[derive(Default)]
struct Ready(Mutex<Vec<u64>>);

impl Ready {
    fn lock(&self) -> MutexGuard<'_, Vec<u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct TaskWaker {
    number: u64,
    queued: AtomicBool,
    ready: Arc<Ready>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        if !self.queued.swap(true, Ordering::Relaxed) {
            self.ready.lock().push(self.number);
        }
    }
}

/// All tasks of a world.
#[derive(Default)]
pub(super) struct Tasks {
    alive: RefCell<BTreeMap<u64, Task>>,
    ready: Arc<Ready>,
    started: Cell<u64>,
    panics: RefCell<Vec<String>>,
}

impl Tasks {
    /// Starts a task and gives its number.
    pub(super) fn spawn(&self, future: impl Future<Output = ()> + 'static) -> u64 {
        let number = self.started.get() + 1;
        self.started.set(number);
        let waker = Arc::new(TaskWaker { number, queued: AtomicBool::new(false), ready: self.ready.clone() });
        waker.clone().wake();
        self.alive.borrow_mut().insert(number, Task { future: Box::pin(future), waker });
        number
    }

    /// Takes one of the ready tasks, any of them, out of the ready set.
    pub(super) fn choose(&self, random: &mut Random) -> Option<u64> {
        let mut ready = self.ready.lock();
        match ready.len() {
            0 => None,
            length => Some(ready.swap_remove(random.index(length))),
        }
    }

    /// Polls a task. The panic of one ends it alone; its message comes back and is kept.
    pub(super) fn poll(&self, number: u64) -> Option<String> {
        let mut task = self.alive.borrow_mut().remove(&number)?;
        task.waker.queued.store(false, Ordering::Relaxed);
        let waker = Waker::from(task.waker.clone());
        let poll = AssertUnwindSafe(|| task.future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
        match catch_unwind(poll) {
            Ok(true) => None,
            Ok(false) => {
                self.alive.borrow_mut().insert(number, task);
                None
            }
            Err(payload) => {
                let message = describe(payload.as_ref());
                self.panics.borrow_mut().push(message.clone());
                Some(message)
            }
        }
    }

    /// Drops every task. What their destructors start is dropped too.
    pub(super) fn clear(&self) {
        loop {
            let tasks = std::mem::take(&mut *self.alive.borrow_mut());
            if tasks.is_empty() {
                break;
            }
            drop(tasks);
        }
        self.ready.lock().clear();
    }

    pub(super) fn alive(&self) -> usize {
        self.alive.borrow().len()
    }

    pub(super) fn panics(&self) -> Vec<String> {
        self.panics.borrow().clone()
    }
}

fn describe(payload: &(dyn std::any::Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("a panic without a text").to_owned()
}
