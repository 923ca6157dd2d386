//! Waiting for something else on the same core: no lock, no atomic, no thread.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

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
        wake_all(&self.0.waiting);
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
        wake_all(&self.waiting);
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

/// Wakes everyone who waits. The list keeps its memory for those who come next.
fn wake_all(waiting: &RefCell<Vec<Waker>>) {
    let mut woken = waiting.take();
    woken.drain(..).for_each(Waker::wake);
    let mut since = waiting.borrow_mut();
    if since.is_empty() {
        *since = woken;
    }
}

/// Adds a waker once: a task that is polled again for another reason is not remembered twice.
fn remember(waiting: &mut Vec<Waker>, waker: &Waker) {
    if !waiting.iter().any(|known| known.will_wake(waker)) {
        waiting.push(waker.clone());
    }
}

/// A bounded number of places, handed out in the order in which they were asked for; clones share them.
#[derive(Clone, Debug)]
pub struct Places(Rc<PlacesState>);

#[derive(Debug)]
struct PlacesState {
    free: Cell<usize>,
    /// Those who wait, the longest first; what one gets is put into its ticket.
    waiting: RefCell<VecDeque<Rc<Ticket>>>,
}

#[derive(Debug, Default)]
struct Ticket {
    served: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Places {
    /// `count` places.
    pub fn new(count: usize) -> Places {
        Places(Rc::new(PlacesState { free: Cell::new(count), waiting: RefCell::default() }))
    }

    /// A place, once one is free and all who asked before have theirs; dropping it gives it back.
    pub async fn take(&self) -> Place {
        match self.try_take() {
            Some(place) => place,
            None => {
                let ticket = Rc::<Ticket>::default();
                self.0.waiting.borrow_mut().push_back(ticket.clone());
                Turn { places: self, ticket }.await
            }
        }
    }

    /// A place if one is free now and nobody waits for it.
    pub fn try_take(&self) -> Option<Place> {
        let left = self.0.free.get().checked_sub(1)?;
        self.0.free.set(left);
        Some(Place(self.clone()))
    }

    /// Hands a place to whoever waits longest, and wakes nobody else.
    fn give_back(&self) {
        match self.0.waiting.borrow_mut().pop_front() {
            Some(ticket) => {
                ticket.served.set(true);
                ticket.waker.take().into_iter().for_each(Waker::wake);
            }
            None => self.0.free.set(self.0.free.get() + 1),
        }
    }
}

/// A wait for a place.
struct Turn<'a> {
    places: &'a Places,
    ticket: Rc<Ticket>,
}

impl Future for Turn<'_> {
    type Output = Place;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Place> {
        if self.ticket.served.replace(false) {
            return Poll::Ready(Place(self.places.clone()));
        }
        self.ticket.waker.replace(Some(context.waker().clone()));
        Poll::Pending
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if self.ticket.served.get() {
            // It was served and does not want it any more.
            self.places.give_back();
        } else {
            self.places.0.waiting.borrow_mut().retain(|waiting| !Rc::ptr_eq(waiting, &self.ticket));
        }
    }
}

/// One of [`Places`].
#[derive(Debug)]
pub struct Place(Places);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.give_back();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_lite::future::{block_on, poll_once};

    #[test]
    fn places_are_handed_out_in_order_and_none_is_lost() {
        block_on(async {
            let places = Places::new(1);
            let first = places.take().await;
            let mut waiting: Vec<_> = (0..3).map(|_| Box::pin(places.take())).collect();
            for wait in &mut waiting {
                assert!(poll_once(wait).await.is_none());
            }
            drop(first);
            assert!(places.try_take().is_none(), "it is promised");
            assert!(poll_once(&mut waiting[1]).await.is_none(), "not its turn");
            let second = poll_once(&mut waiting[0]).await.expect("its turn");
            // The next one gives up while it waits, the last one after it was served.
            drop(waiting.remove(1));
            drop(second);
            drop(waiting);
            assert!(places.try_take().is_some());
        });
    }
}
