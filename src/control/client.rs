//! The control plane as one core reaches it: asks, remembers answers for a while, gives up on late ones.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::desk::{Lines, Request};
use crate::directory::{Answer, Directory, Pending, Unavailable};
use crate::io::vitals::Vitals;
use crate::io::wait::Latch;
use crate::mail::Mailbox;

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long an answer is believed, and how many are remembered.
const BELIEVED: Duration = Duration::from_secs(60);
const REMEMBERED: usize = 10_000;

/// Questions that a core may have open.
const OPEN: usize = 1024;

/// One core's way to the control plane; clones are the same.
#[derive(Clone)]
pub struct Client(Rc<State>);

struct State {
    core: usize,
    lines: Arc<Lines>,
    vitals: Arc<Vitals>,
    /// The core's coarse clock, set by its pulse.
    now: Cell<Duration>,
    ticket: Cell<u64>,
    open: RefCell<HashMap<u64, Open>>,
    remembered: RefCell<HashMap<Mailbox, (Answer, Duration)>>,
}

struct Open {
    until: Duration,
    answer: Latch<Result<Answer, Unavailable>>,
}

impl Client {
    /// Of core number `core`.
    pub fn new(core: usize, lines: Arc<Lines>, vitals: Arc<Vitals>) -> Client {
        Client(Rc::new(State {
            core,
            lines,
            vitals,
            now: Cell::default(),
            ticket: Cell::default(),
            open: RefCell::default(),
            remembered: RefCell::default(),
        }))
    }

    /// Takes in the answers that have come.
    pub fn take_answers(&self) {
        while let Some(response) = self.0.lines.responses[self.0.core].take() {
            self.close(response.ticket, Ok(response.answer));
        }
    }

    /// Sets the clock and gives up on questions that have waited too long.
    pub fn tick(&self, now: Duration) {
        self.0.now.set(now);
        let late: Vec<_> =
            self.0.open.borrow().iter().filter(|(_, open)| open.until <= now).map(|(ticket, _)| *ticket).collect();
        late.into_iter().for_each(|ticket| self.close(ticket, Err(Unavailable)));
    }

    /// Asks the desk; the answer comes as ordinary input of the core.
    pub async fn ask(&self, mailbox: Mailbox) -> Result<Answer, Unavailable> {
        let state = &self.0;
        if state.open.borrow().len() >= OPEN {
            return Err(Unavailable);
        }
        let ticket = state.ticket.get();
        state.ticket.set(ticket + 1);
        let answer = Latch::default();
        let open = Open { until: state.now.get() + PATIENCE, answer: answer.clone() };
        state.open.borrow_mut().insert(ticket, open);
        state.vitals.begun();
        let request = Request { core: state.core, ticket, mailbox };
        if state.lines.requests.give(request).is_err() {
            self.close(ticket, Err(Unavailable));
        }
        answer.get().await
    }

    fn close(&self, ticket: u64, answer: Result<Answer, Unavailable>) {
        if let Some(open) = self.0.open.borrow_mut().remove(&ticket) {
            self.0.vitals.done();
            open.answer.set(answer);
        }
    }

    fn remember(&self, mailbox: Mailbox, answer: Answer) {
        let mut remembered = self.0.remembered.borrow_mut();
        if remembered.len() >= REMEMBERED {
            remembered.clear();
        }
        remembered.insert(mailbox, (answer, self.0.now.get() + BELIEVED));
    }
}

impl Directory for Client {
    fn known(&self, mailbox: &Mailbox) -> Option<Answer> {
        let remembered = self.0.remembered.borrow();
        remembered.get(mailbox).filter(|(_, until)| *until > self.0.now.get()).map(|(answer, _)| *answer)
    }

    fn look_up<'a>(&'a self, mailbox: &Mailbox) -> Pending<'a> {
        let mailbox = mailbox.clone();
        Box::pin(async move {
            let answer = self.ask(mailbox.clone()).await?;
            self.remember(mailbox, answer);
            Ok(answer)
        })
    }
}
