//! One that works on a lane: takes what waits, one message after the other, over one connection.

use std::rc::Rc;
use std::time::Duration;

use futures_lite::future::or;

use super::message::{Message, NotNow};
use super::outcome::Told;
use super::reach::{Reached, Relay, reach};
use super::{CONNECTIONS_MAX, LaneKey, LaneState, State, count_key};
use crate::control::journal::Level;
use crate::delivery::exchange::Delivered;
use crate::delivery::judge::{Heard, too_many};
use crate::delivery::lane::{self, Finding, Kind, Turn};
use crate::io::Machine;
use crate::io::counts::Counted;
use crate::io::deadline::Deadline;
use crate::mail::MessageId;
use crate::smtp::client::transaction::{Fate, Unfit};
use crate::spool::progress::Pending;

/// How long a connection is kept that nothing waits for.
const IDLE: Duration = Duration::from_secs(5);

/// Messages that are sent over one connection; some hosts take no more, and a host with several addresses gets its share.
const MESSAGES_MAX: u32 = 100;

/// How long a message waits that could not be read, or whose attempt ended by a panic.
const UNREADABLE: Duration = Duration::from_secs(300);

/// What is said of recipients that are left when no connection is to be had.
const TOO_MANY: &str = "4.3.2 there are as many connections to the host as there may be";

/// It works until nothing is left to do.
pub(super) struct Worker<M: Machine> {
    state: Rc<State<M>>,
    lane: Rc<LaneState>,
    line: Option<Line<M>>,
    deadline: Deadline,
    /// Why it works no more although something waits.
    end: Option<End>,
}

/// Why one works no more.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// No place for a connection was found: the lane waits for one.
    Starved,
    /// Others are enough, or nobody was reached.
    Enough,
}

/// A connection that counts.
struct Line<M: Machine> {
    reached: Reached<M>,
    /// Messages that went over it.
    used: u32,
    _counted: Counted,
    _open: Open<M>,
    _of_lane: OfLane,
}

/// Counts an open connection of this core while it lasts.
struct Open<M: Machine>(Rc<State<M>>);

impl<M: Machine> Drop for Open<M> {
    fn drop(&mut self) {
        self.0.connections.set(self.0.connections.get() - 1);
    }
}

/// Counts a lane's connection while it lasts.
struct OfLane(Rc<LaneState>);

impl OfLane {
    fn new(lane: &Rc<LaneState>) -> OfLane {
        lane.lane.borrow_mut().is_connected(true);
        OfLane(lane.clone())
    }
}

impl Drop for OfLane {
    fn drop(&mut self) {
        self.0.lane.borrow_mut().is_connected(false);
    }
}

/// Why there is no connection.
enum NoLine {
    /// There are as many as there may be.
    Starved,
    /// There are as many as the host will have.
    Crowded,
    /// Nobody was reached by an attempt that began then.
    NotReached(Duration, Finding),
}

/// A message whose turn it is. Unless it is done it goes back to the schedule, after a panic too.
struct Taken<M: Machine> {
    state: Rc<State<M>>,
    id: MessageId,
    done: bool,
}

impl<M: Machine> Taken<M> {
    fn new(state: &Rc<State<M>>, id: MessageId) -> Taken<M> {
        state.under_way.set(state.under_way.get() + 1);
        Taken { state: state.clone(), id, done: false }
    }
}

impl<M: Machine> Drop for Taken<M> {
    fn drop(&mut self) {
        self.state.under_way.set(self.state.under_way.get() - 1);
        if !self.done {
            self.state.put_off(self.id, UNREADABLE);
        }
    }
}

impl<M: Machine> Drop for Worker<M> {
    fn drop(&mut self) {
        self.lane.lane.borrow_mut().ended();
    }
}

impl<M: Machine> Worker<M> {
    /// On that lane, which counts it already.
    pub fn new(state: Rc<State<M>>, lane: Rc<LaneState>) -> Worker<M> {
        let deadline = state.deadlines.join();
        Worker { state, lane, line: None, deadline, end: None }
    }

    /// Works.
    pub async fn run(mut self) {
        self.join_others().await;
        while self.end.is_none() && !self.state.stopping.get() {
            match self.next() {
                Some(id) => self.work(id).await,
                None if self.line.is_some() && self.something_comes().await => {}
                None => break,
            }
        }
        self.hang_up().await;
        let (state, lane, end) = (self.state.clone(), self.lane.clone(), self.end);
        drop(self);
        if end == Some(End::Starved) {
            state.starve(&lane);
        } else {
            // Something may have come while it said goodbye.
            state.tend(&lane);
            state.feed();
        }
    }

    /// Where others are at work it takes nothing before it has a connection: they would have sent it meanwhile.
    async fn join_others(&mut self) {
        let now = self.state.machine.now();
        let alone = self.lane.lane.borrow().lines() == 0 || self.lane.lane.borrow().is_shut(now);
        if !alone {
            self.end = match self.connect().await {
                Err(NoLine::Starved) => Some(End::Starved),
                Err(NoLine::Crowded | NoLine::NotReached(..)) => Some(End::Enough),
                Ok(()) => None,
            };
        }
    }

    /// The next message; those that an operator has taken out are passed over.
    fn next(&self) -> Option<MessageId> {
        loop {
            let id = self.lane.lane.borrow_mut().take()?;
            if self.state.waiting.borrow_mut().remove(&id) {
                return Some(id);
            }
        }
    }

    /// Waits a while with the connection open. False where nothing came.
    async fn something_comes(&mut self) -> bool {
        self.lane.lane.borrow_mut().is_idle(true);
        let until = self.state.machine.now() + IDLE;
        let comes = or(self.lane.bell.heard(), self.state.stopped.heard());
        let waiting = self.lane.lane.borrow().waiting();
        let came = waiting > 0 || self.deadline.within(until, comes).await.is_some();
        self.lane.lane.borrow_mut().is_idle(false);
        came
    }

    async fn hang_up(&mut self) {
        if let Some(line) = self.line.take() {
            line.reached.connection.quit().await;
        }
    }

    async fn work(&mut self, id: MessageId) {
        let mut taken = Taken::new(&self.state, id);
        let message = match Message::read(&self.state, id).await {
            Ok(message) => message,
            Err(NotNow::Waits(until)) => {
                taken.done = true;
                return self.state.spool.schedule(id, until);
            }
            Err(NotNow::Unreadable(why)) => {
                return self.state.note(Level::Error, "unreadable", &[("id", &id), ("text", &why)]);
            }
        };
        if message.stored.message.envelope.require_tls && !self.lane.key.strict {
            taken.done = true;
            let destination = self.lane.key.destination.clone();
            return self.state.enter(id, LaneKey { destination, strict: true });
        }
        if message.flushed {
            self.lane.lane.borrow_mut().open(self.state.flushed.get());
        }
        let turn = self.lane.lane.borrow().turn(message.since, self.state.machine.now());
        let (state, lane) = (self.state.clone(), self.lane.clone());
        let mut told = Told::new(&state, &lane.key, &message);
        if told.expired() {
            let text = "5.4.7 the time for its delivery is over".into();
            told.all(&message.due, &Heard::Never(text), None).await;
            told.finish().await;
            taken.done = true;
            return;
        }
        match turn {
            Turn::Try => self.attempt(&message, &mut told, &mut taken).await,
            Turn::Failed(finding) => told.all(&message.due, &heard(&finding), None).await,
            Turn::NotBefore(until, finding) => told.not_before(until, &finding),
        }
        if !taken.done {
            told.finish().await;
            taken.done = true;
        }
    }

    /// Tries a message. Outcomes are noted before a connection is given up.
    async fn attempt(&mut self, message: &Message, told: &mut Told<'_, M>, taken: &mut Taken<M>) {
        let mut rest = message.due.clone();
        let (mut begun, mut again) = (false, true);
        while !rest.is_empty() {
            let part: Vec<Pending> = rest.drain(..rest.len().min(message.at_a_time())).collect();
            match self.connect().await {
                Ok(()) => {}
                Err(why @ (NoLine::Starved | NoLine::Crowded)) if !begun => {
                    // Nothing was done yet: it keeps its turn.
                    taken.done = true;
                    self.state.waiting.borrow_mut().insert(taken.id);
                    self.lane.lane.borrow_mut().put_back(taken.id);
                    self.end = Some(if matches!(why, NoLine::Starved) { End::Starved } else { End::Enough });
                    return;
                }
                Err(why) => {
                    let heard = match why {
                        NoLine::Starved | NoLine::Crowded => Heard::Later(TOO_MANY.into()),
                        NoLine::NotReached(began, finding) => {
                            let heard = heard(&finding);
                            self.lane.lane.borrow_mut().not_reached(began, self.state.machine.now(), finding);
                            heard
                        }
                    };
                    told.all(&part, &heard, None).await;
                    return told.all(&rest, &heard, None).await;
                }
            }
            begun = true;
            let began = self.state.machine.now();
            let (delivered, relay, fresh) = match self.deliver(message, &part).await {
                Ok(delivered) => delivered,
                Err((heard, relay)) => {
                    // The host is there; it is the message that cannot go to it.
                    self.lane.lane.borrow_mut().went_through(self.state.machine.now());
                    told.all(&part, &heard, Some(&relay)).await;
                    told.all(&rest, &heard, Some(&relay)).await;
                    break;
                }
            };
            if delivered.lost && delivered.unheard && !fresh && again {
                // A connection that was kept, and is no more: a new one says whether the host is there.
                again = false;
                self.line = None;
                rest.splice(0..0, part);
                continue;
            }
            self.judge(&delivered, began);
            let progress = delivered.fates.iter().any(|fate| matches!(fate, Fate::Taken { .. }));
            let mut ones = Vec::new();
            for (pending, fate) in part.into_iter().zip(delivered.fates) {
                if progress && delivered.usable && too_many(&fate) {
                    rest.push(pending);
                } else {
                    ones.push((pending, Heard::from(fate)));
                }
            }
            let last = (!delivered.usable).then(|| ones.last().map(|(_, heard)| heard.clone())).flatten();
            told.some(ones, Some(&relay)).await;
            if !delivered.usable {
                self.line = None;
                // The rest would meet the same.
                let why = match last {
                    Some(Heard::Later(why)) => why,
                    _ => "4.4.2 the connection was lost".into(),
                };
                told.all(&rest, &Heard::Later(why), Some(&relay)).await;
                break;
            }
        }
        let line_is_used_up = self.line.as_ref().is_some_and(|line| line.used >= MESSAGES_MAX);
        if line_is_used_up {
            self.hang_up().await;
        }
    }

    /// What the lane learns of a transaction.
    fn judge(&self, delivered: &Delivered, began: Duration) {
        let mut lane = self.lane.lane.borrow_mut();
        if delivered.lost {
            let why = delivered.fates.first().map(ToString::to_string).unwrap_or_default();
            let why = why.trim_start_matches("later: ").into();
            lane.was_lost(began, self.state.machine.now(), Finding { why, kind: Kind::Later });
        } else {
            lane.went_through(self.state.machine.now());
            drop(lane);
            self.state.tend(&self.lane);
        }
    }

    /// One transaction, over the connection that is there. The content is converted where it must be and can be.
    async fn deliver(
        &mut self,
        message: &Message,
        part: &[Pending],
    ) -> Result<(Delivered, Relay, bool), (Heard, Relay)> {
        let state = self.state.clone();
        let Some(line) = &mut self.line else {
            return Err((Heard::Later("4.4.2 the connection was lost".into()), Relay::default()));
        };
        let relay = line.reached.relay.clone();
        let fresh = line.used == 0;
        line.used += 1;
        let connection = &mut line.reached.connection;
        let unsendable = |why: super::content::Unsendable| match why {
            super::content::Unsendable::Unreadable(_) => Heard::Later(why.to_string().into()),
            _ => Heard::Never(why.to_string().into()),
        };
        let mut content = message.content(&state, part).await.map_err(|why| (unsendable(why), relay.clone()))?;
        let transaction = message.transaction(state.machine.wall_clock(), part, &content);
        match connection.deliver(transaction, &mut content).await {
            Ok(delivered) => Ok((delivered, relay, fresh)),
            Err(Unfit::NeedsSevenBit) => {
                // One at a time: it is in memory as a whole.
                let _place = state.converting.take().await;
                let converted = content.converted().await.map_err(|why| (unsendable(why), relay.clone()))?;
                let transaction = message.transaction_of(state.machine.wall_clock(), part, &content, &converted);
                let delivered = connection.deliver(transaction, &mut converted.as_slice()).await;
                delivered.map(|delivered| (delivered, relay.clone(), fresh)).map_err(|unfit| (never(unfit), relay))
            }
            Err(unfit) => Err((never(unfit), relay)),
        }
    }

    /// Sees to it that there is a connection.
    async fn connect(&mut self) -> Result<(), NoLine> {
        if let Some(line) = &mut self.line {
            if !line.reached.connection.is_over().await {
                return Ok(());
            }
            self.line = None;
        }
        let state = self.state.clone();
        let key = count_key(&self.lane.key.destination, &state.settings.hasher);
        let counted = state.settings.counts.take(&key, lane::CONNECTIONS_MAX);
        let Some(counted) = counted.filter(|_| state.connections.get() < CONNECTIONS_MAX) else {
            return Err(NoLine::Starved);
        };
        state.connections.set(state.connections.get() + 1);
        let open = Open(state.clone());
        let began = state.machine.now();
        match reach(&state, &self.lane.key).await {
            Ok(reached) => {
                let of_lane = OfLane::new(&self.lane);
                self.line = Some(Line { reached, used: 0, _counted: counted, _open: open, _of_lane: of_lane });
                Ok(())
            }
            Err(_) if self.lane.lane.borrow().lines() > 0 => {
                self.lane.lane.borrow_mut().has_enough(state.machine.now());
                Err(NoLine::Crowded)
            }
            Err(finding) => Err(NoLine::NotReached(began, finding)),
        }
    }
}

fn heard(finding: &Finding) -> Heard {
    let why = Box::from(&*finding.why);
    match finding.kind {
        Kind::Later => Heard::Later(why),
        Kind::Nobody => Heard::Nobody(why),
        Kind::Never => Heard::Never(why),
    }
}

fn never(unfit: Unfit) -> Heard {
    Heard::Never(unfit.to_string().into())
}
