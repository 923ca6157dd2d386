//! Whether a core has anything to do, so that it may sleep in our own ring.
//!
//! Before glommio's executor sleeps it cancels and sets timers on two rings and links them: half a dozen system calls. So a core
//! with nothing to do sleeps inside of a task instead, in the one call that also submits what there is to be submitted. For that it
//! has to know that no other task can run, which glommio does not tell. A *token* finds it out. It is put at the end of one queue
//! of tasks, and comes to its front when all has run that stood before it; then it is put at the end of the next one. When it has
//! come through every queue and no task was polled meanwhile, nothing was there that could be: tasks are woken by tasks, or by
//! what completes, which is looked at where the token is.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::task::{Context, Poll, Waker};

/// Queues of tasks that the token goes through.
const QUEUES: usize = 2;

/// Where the token may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Station {
    /// In the queue of intake.
    Intake = 0,
    /// In the queue of delivery.
    Delivery = 1,
    /// In a queue of its own, where the core sleeps: the time that it sleeps is no queue's share of the core.
    Asleep = 2,
}

/// The token, and what it has found out.
#[derive(Default)]
pub(super) struct Rest {
    /// Polls of tasks so far.
    polls: Cell<u64>,
    /// How many there had been when the token was put where it is.
    polls_before: Cell<u64>,
    /// The queues that it came through since a task was last polled or woken.
    quiet: Cell<[bool; QUEUES]>,
    /// Where it was put and has not arrived yet.
    at: Cell<Option<Station>>,
    waiting: [RefCell<Option<Waker>>; QUEUES + 1],
    ended: Cell<bool>,
}

impl Rest {
    /// A task is polled.
    pub fn polled(&self) {
        self.polls.set(self.polls.get().wrapping_add(1));
    }

    /// Puts the token at the end of a station's queue.
    pub fn put(&self, station: Station) {
        self.polls_before.set(self.polls.get());
        self.at.set(Some(station));
        let waiting = self.waiting[station as usize].take();
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Ends when the token has arrived at this station; false once there is none any more.
    pub async fn arrived(&self, station: Station) -> bool {
        poll_fn(|context| self.poll_arrived(station, context)).await
    }

    fn poll_arrived(&self, station: Station, context: &Context<'_>) -> Poll<bool> {
        if self.ended.get() {
            return Poll::Ready(false);
        }
        if self.at.get() == Some(station) {
            self.at.set(None);
            return Poll::Ready(true);
        }
        let _before = self.waiting[station as usize].replace(Some(context.waker().clone()));
        Poll::Pending
    }

    /// Where the token goes from the queue of this station; `woken` says that a task was woken just now, by what completed.
    pub fn next(&self, station: Station, woken: bool) -> Station {
        let mut quiet = self.quiet.get();
        match quiet.get_mut(station as usize) {
            Some(quiet) if !woken && self.polls_before.get() == self.polls.get() => *quiet = true,
            _ => quiet = [false; QUEUES],
        }
        let all = quiet == [true; QUEUES];
        // Whatever is known is not known any more after the core has slept.
        self.quiet.set(if all { [false; QUEUES] } else { quiet });
        match station {
            _ if all => Station::Asleep,
            Station::Intake => Station::Delivery,
            Station::Delivery | Station::Asleep => Station::Intake,
        }
    }

    /// The core ends, and nothing is waited for any more.
    pub fn end(&self) {
        self.ended.set(true);
        self.waiting.iter().filter_map(RefCell::take).for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    /// What stands in a queue.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Entry {
        Token,
        /// A task that, polled, wakes a task in each of these queues and has so many lives left to do the same.
        Task {
            wakes: u8,
            lives: u8,
        },
    }

    /// An executor reduced to its queues, of which `choices` picks the one that is run next, as shares would.
    fn run(tasks: &[(bool, u8, u8)], choices: &[bool]) -> (u32, bool) {
        let rest = Rest::default();
        let mut queues = [VecDeque::new(), VecDeque::new()];
        for (delivery, wakes, lives) in tasks {
            queues[usize::from(*delivery)].push_back(Entry::Task { wakes: wakes % 4, lives: lives % 3 });
        }
        let mut choices = choices.iter().cycle();
        queues[0].push_back(Entry::Token);
        rest.put(Station::Intake);
        for turns in 0..10_000 {
            let chosen = usize::from(*choices.next().unwrap_or(&false));
            let place = if queues[chosen].is_empty() { 1 - chosen } else { chosen };
            match queues[place].pop_front() {
                Some(Entry::Token) => {
                    let station = if place == 0 { Station::Intake } else { Station::Delivery };
                    match rest.next(station, false) {
                        Station::Asleep => return (turns, queues.iter().all(VecDeque::is_empty)),
                        next => {
                            queues[next as usize].push_back(Entry::Token);
                            rest.put(next);
                        }
                    }
                }
                Some(Entry::Task { wakes, lives }) => {
                    rest.polled();
                    let lives_left = lives.checked_sub(1);
                    for (place, queue) in queues.iter_mut().enumerate() {
                        if wakes >> place & 1 == 1 {
                            queue.extend(lives_left.map(|lives| Entry::Task { wakes, lives }));
                        }
                    }
                }
                None => return (turns, false),
            }
        }
        (u32::MAX, false)
    }

    proptest! {
        #[test]
        fn a_core_sleeps_when_nothing_can_run_and_never_before(
            tasks in proptest::collection::vec(any::<(bool, u8, u8)>(), 0..12),
            choices in proptest::collection::vec(any::<bool>(), 1..12),
        ) {
            let (turns, at_rest) = run(&tasks, &choices);
            prop_assert!(at_rest, "asleep after {turns} turns although a task could run, or never");
        }
    }

    #[test]
    fn what_completed_makes_it_go_round_again() {
        let rest = Rest::default();
        rest.put(Station::Intake);
        assert_eq!(rest.next(Station::Intake, false), Station::Delivery);
        rest.put(Station::Delivery);
        assert_eq!(rest.next(Station::Delivery, true), Station::Intake);
        rest.put(Station::Intake);
        assert_eq!(rest.next(Station::Intake, false), Station::Delivery);
        rest.put(Station::Delivery);
        assert_eq!(rest.next(Station::Delivery, false), Station::Asleep);
    }
}
