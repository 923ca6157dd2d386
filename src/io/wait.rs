//! Waiting for something else on the same core: no lock, no atomic, no thread.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

/// A value that comes once and is then there for everyone who waits; clones share it.
#[derive(Debug)]
pub struct Latch<T>(Rc<LatchState<T>>);

#[derive(Debug)]
struct LatchState<T> {
    value: RefCell<Option<T>>,
    waiting: RefCell<Vec<Waker>>,
}

impl<T> Clone for Latch<T> {
    fn clone(&self) -> Self {
        Latch(self.0.clone())
    }
}

impl<T: Clone> Default for Latch<T> {
    fn default() -> Self {
        Latch(Rc::new(LatchState { value: RefCell::new(None), waiting: RefCell::default() }))
    }
}

impl<T: Clone> Latch<T> {
    /// Sets the value, unless it is set, and wakes all who wait.
    pub fn set(&self, value: T) {
        self.0.value.borrow_mut().get_or_insert(value);
        self.0.waiting.take().into_iter().for_each(Waker::wake);
    }

    /// The value, once it is there.
    pub async fn get(&self) -> T {
        poll_fn(|context| match &*self.0.value.borrow() {
            Some(value) => Poll::Ready(value.clone()),
            None => {
                remember(&mut self.0.waiting.borrow_mut(), context.waker());
                Poll::Pending
            }
        })
        .await
    }
}

/// Wakes tasks that wait for a condition to be looked at again; rings heard by nobody are not kept.
#[derive(Debug, Default)]
pub struct Bell {
    rings: Cell<u64>,
    waiting: RefCell<Vec<Waker>>,
}

impl Bell {
    /// Wakes everyone who waits.
    pub fn ring(&self) {
        self.rings.set(self.rings.get().wrapping_add(1));
        self.waiting.take().into_iter().for_each(Waker::wake);
    }

    /// Ends at the first ring after this call, even if it rings before the future is polled.
    pub fn heard(&self) -> impl Future<Output = ()> {
        self.heard_since(self.rings.get())
    }

    /// How often it has rung.
    pub fn rings(&self) -> u64 {
        self.rings.get()
    }

    /// Ends once it has rung more often than `before` times.
    pub fn heard_since(&self, before: u64) -> impl Future<Output = ()> {
        poll_fn(move |context| {
            if self.rings.get() != before {
                return Poll::Ready(());
            }
            remember(&mut self.waiting.borrow_mut(), context.waker());
            Poll::Pending
        })
    }
}

/// Adds a waker once: a task that is polled again for another reason is not remembered twice.
fn remember(waiting: &mut Vec<Waker>, waker: &Waker) {
    if !waiting.iter().any(|known| known.will_wake(waker)) {
        waiting.push(waker.clone());
    }
}

/// A bounded number of places, handed out in no particular order; clones share them.
#[derive(Clone, Debug)]
pub struct Places(Rc<PlacesState>);

#[derive(Debug)]
struct PlacesState {
    free: Cell<usize>,
    freed: Bell,
}

impl Places {
    /// `count` places.
    pub fn new(count: usize) -> Places {
        Places(Rc::new(PlacesState { free: Cell::new(count), freed: Bell::default() }))
    }

    /// A place, once one is free; dropping it gives it back.
    pub async fn take(&self) -> Place {
        loop {
            if let Some(place) = self.try_take() {
                return place;
            }
            self.0.freed.heard().await;
        }
    }

    /// A place if one is free now.
    pub fn try_take(&self) -> Option<Place> {
        let left = self.0.free.get().checked_sub(1)?;
        self.0.free.set(left);
        Some(Place(self.clone()))
    }
}

/// One of [`Places`].
#[derive(Debug)]
pub struct Place(Places);

impl Drop for Place {
    fn drop(&mut self) {
        let state = &self.0.0;
        state.free.set(state.free.get() + 1);
        state.freed.ring();
    }
}
