//! The result of something under way, filled in once; the other side may have gone.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

struct State<T> {
    value: Option<T>,
    waker: Option<Waker>,
}

/// Where the result is put.
pub(super) struct Slot<T>(Rc<RefCell<State<T>>>);

/// Ends with the result.
pub(super) struct Completion<T>(Rc<RefCell<State<T>>>);

pub(super) fn completion<T>() -> (Slot<T>, Completion<T>) {
    let state = Rc::new(RefCell::new(State { value: None, waker: None }));
    (Slot(state.clone()), Completion(state))
}

impl<T> Slot<T> {
    pub(super) fn fill(self, value: T) {
        let mut state = self.0.borrow_mut();
        state.value = Some(value);
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }
}

impl<T> Future for Completion<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let mut state = self.0.borrow_mut();
        match state.value.take() {
            Some(value) => Poll::Ready(value),
            None => {
                state.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}
