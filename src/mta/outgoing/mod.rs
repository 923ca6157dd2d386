//! Mail on its way to other hosts (James: `RemoteDelivery`) and to mailboxes behind LMTP: a lane for each destination.
//!
//! A lane holds the ids of messages that wait for their turn, nothing else of them, and has a few workers with a connection
//! each; how many, and for how long a destination that does not answer is left alone, [`Lane`] decides. Nobody waits for a lane
//! here: a destination that is slow or dead takes neither places of others nor of the spooler.
//!
//! ```text
//!  enqueue ──▶ lane ──▶ worker: reads the message ─ reach ─▶ Connection ─▶ fates ─▶ judge ─▶ outcomes, children, reports
//!                          ▲                                                          │
//!                          └── spooler, when it is due again ◀── schedule ◀───────────┘
//! ```

mod configured;
mod content;
mod destination;
mod message;
mod outcome;
mod reach;
mod report;
mod worker;

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::RandomState;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

pub use super::destination::Destination;
pub use destination::count_key;
use destination::{Element, LaneKey};

use crate::control::journal::{Field, Journal, Level};
use crate::delivery::lane::{Bounds, Lane};
use crate::delivery::names::Names;
use crate::delivery::settings::{LmtpSettings, RemoteSettings, Trust};
use crate::io::counts::Counts;
use crate::io::deadline::Deadlines;
use crate::io::tls::{ClientTls, ClientTlsConfig, RootCertStore, Verification};
use crate::io::wait::{Bell, Places};
use crate::io::{Class, Machine};
use crate::mail::{Domain, Mailbox, MessageId};
use crate::spool::Spool;

/// Connections of one core to all destinations together; a lane that finds no place waits for one.
pub const CONNECTIONS_MAX: usize = 1000;

/// Lanes of one core. Mail for further destinations waits until one of these has nothing more to do.
pub const LANES_MAX: usize = 20_000;

/// How long mail waits for which there is no lane.
const NO_LANE: Duration = Duration::from_secs(30);

/// How mail leaves, the same on all cores.
pub struct Settings {
    /// Every `RemoteDelivery`, in the order of the file.
    pub remotes: Vec<RemoteSettings>,
    /// Every `LmtpDelivery`, in the order of the file.
    pub lmtps: Vec<LmtpSettings>,
    /// What this host calls itself.
    pub hello_name: Box<str>,
    /// Who reports are from.
    pub postmaster: Mailbox,
    /// Names by which this host is a mail server.
    pub own_names: Vec<Domain>,
    /// Addresses at which it is one, on the port of mail servers.
    pub own_addresses: Vec<IpAddr>,
    /// Connections to each destination, counted over all cores.
    pub counts: Counts,
    /// What names destinations in it.
    pub hasher: RandomState,
    /// How TLS is begun.
    pub tls: ClientTlsConfigs,
}

/// How TLS is begun with a server, by whom it must prove to be. There is none where nobody is known who could vouch for anybody:
/// then what must be verified cannot be.
#[derive(Clone, Debug, Default)]
pub struct ClientTlsConfigs {
    /// The server has the name that it was called by.
    pub named: Option<ClientTlsConfig>,
    /// It has any name.
    pub vouched: Option<ClientTlsConfig>,
    /// It is anybody.
    pub anybody: Option<ClientTlsConfig>,
}

impl ClientTlsConfigs {
    /// With these authorities.
    pub fn new(roots: RootCertStore) -> ClientTlsConfigs {
        let roots = Arc::new(roots);
        let config = |verification| ClientTlsConfig::new(&verification).ok();
        ClientTlsConfigs {
            named: config(Verification::Full(roots.clone())),
            vouched: config(Verification::AnyName(roots)),
            anybody: config(Verification::Nothing),
        }
    }

    fn with(&self, trust: Trust, host: &str) -> Option<ClientTls> {
        let config = match trust {
            Trust::Name => &self.named,
            Trust::Authority => &self.vouched,
            Trust::Anybody => &self.anybody,
        };
        ClientTls::new(config.as_ref()?, host).ok()
    }
}

/// All that leaves one spool; clones are the same.
pub struct Outgoing<M: Machine>(Rc<State<M>>);

impl<M: Machine> Clone for Outgoing<M> {
    fn clone(&self) -> Self {
        Outgoing(self.0.clone())
    }
}

/// What it is made of.
pub struct Parts<M: Machine> {
    /// Network, clock, tasks.
    pub machine: M,
    /// Where the messages are.
    pub spool: Spool<M>,
    /// The DNS.
    pub names: Rc<dyn Names>,
    /// How mail leaves.
    pub settings: Arc<Settings>,
    /// What an operator reads.
    pub journal: Rc<Journal>,
    /// Names for reports.
    pub next_id: Rc<dyn Fn() -> MessageId>,
}

struct State<M: Machine> {
    machine: M,
    spool: Spool<M>,
    names: Rc<dyn Names>,
    settings: Arc<Settings>,
    journal: Rc<Journal>,
    next_id: Rc<dyn Fn() -> MessageId>,
    deadlines: Deadlines,
    lanes: RefCell<HashMap<LaneKey, Rc<LaneState>>>,
    /// Messages that wait in a lane. One that was taken out is passed over when its turn comes.
    waiting: RefCell<HashSet<MessageId>>,
    /// Lanes that want a worker, and found no place for its connection.
    starved: RefCell<VecDeque<Rc<LaneState>>>,
    connections: Cell<usize>,
    /// For a message that is converted, and in memory for that.
    converting: Places,
    under_way: Cell<usize>,
    /// When an operator wanted something to be tried at once, last.
    flushed: Cell<Duration>,
    stopping: Cell<bool>,
    stopped: Bell,
    sent: Cell<u64>,
    deferred: Cell<u64>,
    bounced: Cell<u64>,
}

/// A lane, and what tells its workers that something waits.
struct LaneState {
    key: LaneKey,
    lane: RefCell<Lane<MessageId>>,
    bell: Bell,
    is_starved: Cell<bool>,
}

/// What leaves, for whoever asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Recipients that a next hop has taken, since the start.
    pub sent: u64,
    /// Attempts at recipients that are repeated, since the start.
    pub deferred: u64,
    /// Recipients that were given up, since the start.
    pub bounced: u64,
    /// Open connections.
    pub connections: u64,
    /// Messages that wait for their turn.
    pub waiting: u64,
    /// Destinations that something waits for, or that something is known of.
    pub destinations: u64,
    /// Those that are left alone for now, because they could not be reached.
    pub unreachable: u64,
}

impl Figures {
    /// All of them, in the order they are declared.
    pub fn numbers(&self) -> [u64; 7] {
        let Figures { sent, deferred, bounced, connections, waiting, destinations, unreachable } = *self;
        [sent, deferred, bounced, connections, waiting, destinations, unreachable]
    }

    /// The other way round.
    pub fn of_numbers(numbers: [u64; 7]) -> Figures {
        let [sent, deferred, bounced, connections, waiting, destinations, unreachable] = numbers;
        Figures { sent, deferred, bounced, connections, waiting, destinations, unreachable }
    }
}

impl std::iter::Sum for Figures {
    fn sum<I: Iterator<Item = Figures>>(all: I) -> Figures {
        let mut sum = [0u64; 7];
        for one in all {
            sum.iter_mut().zip(one.numbers()).for_each(|(sum, number)| *sum += number);
        }
        Figures::of_numbers(sum)
    }
}

impl<M: Machine> Outgoing<M> {
    /// Nothing leaves yet.
    pub fn new(parts: Parts<M>) -> Outgoing<M> {
        let Parts { machine, spool, names, settings, journal, next_id } = parts;
        Outgoing(Rc::new(State {
            machine,
            spool,
            names,
            settings,
            journal,
            next_id,
            deadlines: Deadlines::default(),
            lanes: RefCell::default(),
            waiting: RefCell::default(),
            starved: RefCell::default(),
            connections: Cell::default(),
            converting: Places::new(1),
            under_way: Cell::default(),
            flushed: Cell::default(),
            stopping: Cell::default(),
            stopped: Bell::default(),
            sent: Cell::default(),
            deferred: Cell::default(),
            bounced: Cell::default(),
        }))
    }

    /// A message whose recipients that are left all go there waits for its turn from now on. Whoever took it from the spool's
    /// schedule need do nothing more: it is resolved, or scheduled again.
    pub fn enqueue(&self, id: MessageId, destination: Destination) {
        self.0.enter(id, LaneKey { destination, strict: false });
    }

    /// An operator wants to do something with a message that waits for its turn: it goes back to the spool's schedule.
    pub fn withdraw(&self, id: MessageId) {
        if self.0.waiting.borrow_mut().remove(&id) {
            self.0.spool.schedule(id, 0);
        }
    }

    /// An operator wants a message to be tried at once, and says so to the spool next: a destination that it waits for is not
    /// left alone because of what was found before. Others are.
    pub fn flush(&self) {
        self.0.flushed.set(self.0.machine.now());
    }

    /// To be called a few times a second.
    pub fn pulse(&self) {
        let now = self.0.machine.now();
        self.0.deadlines.pulse(now);
        self.0.feed();
    }

    /// Begins nothing more; what is under way goes on to its end.
    pub fn stop(&self) {
        self.0.stopping.set(true);
        self.0.stopped.ring();
        self.0.lanes.borrow().values().for_each(|lane| lane.bell.ring());
    }

    /// Messages that are being sent.
    pub fn under_way(&self) -> usize {
        self.0.under_way.get()
    }

    /// What leaves.
    pub fn figures(&self) -> Figures {
        let state = &self.0;
        let (now, lanes) = (state.machine.now(), state.lanes.borrow());
        Figures {
            sent: state.sent.get(),
            deferred: state.deferred.get(),
            bounced: state.bounced.get(),
            connections: state.connections.get() as u64,
            waiting: state.waiting.borrow().len() as u64,
            destinations: lanes.len() as u64,
            unreachable: lanes.values().filter(|lane| lane.lane.borrow().is_shut(now)).count() as u64,
        }
    }
}

impl<M: Machine> State<M> {
    fn enter(self: &Rc<Self>, id: MessageId, key: LaneKey) {
        let Some(lane) = self.lane(key) else {
            self.put_off(id, NO_LANE);
            return;
        };
        self.waiting.borrow_mut().insert(id);
        lane.lane.borrow_mut().enter(id);
        lane.bell.ring();
        self.tend(&lane);
    }

    /// The lane of that key; `None` where there are too many, all of them with something to do.
    fn lane(&self, key: LaneKey) -> Option<Rc<LaneState>> {
        let mut lanes = self.lanes.borrow_mut();
        if let Some(lane) = lanes.get(&key) {
            return Some(lane.clone());
        }
        if lanes.len() >= LANES_MAX {
            let now = self.machine.now();
            lanes.retain(|_, lane| !lane.lane.borrow().is_over(now));
            if lanes.len() >= LANES_MAX {
                return None;
            }
        }
        let bounds = Element::of(&self.settings, &key.destination).map(|element| element.schedule().bounds());
        let (shortest, longest) = bounds.unwrap_or_default();
        let lane = RefCell::new(Lane::new(Bounds::of(shortest, longest)));
        let lane = Rc::new(LaneState { key: key.clone(), lane, bell: Bell::default(), is_starved: Cell::default() });
        lanes.insert(key, lane.clone());
        Some(lane)
    }

    /// Has as many work on a lane as it wants.
    fn tend(self: &Rc<Self>, lane: &Rc<LaneState>) {
        while !self.stopping.get() && !lane.is_starved.get() && lane.lane.borrow().wants_worker(self.machine.now()) {
            lane.lane.borrow_mut().began();
            let worker = worker::Worker::new(self.clone(), lane.clone());
            self.machine.spawn(Class::Delivery, worker.run());
        }
    }

    /// A lane found no place for a connection, and is looked at again when there may be one.
    fn starve(&self, lane: &Rc<LaneState>) {
        if !lane.is_starved.replace(true) {
            self.starved.borrow_mut().push_back(lane.clone());
        }
    }

    /// Looks at the lanes that found no place, those that wait longest first.
    fn feed(self: &Rc<Self>) {
        let starved = std::mem::take(&mut *self.starved.borrow_mut());
        for lane in starved {
            lane.is_starved.set(false);
            self.tend(&lane);
        }
    }

    /// A message is looked at again after so long; nothing is noted of it.
    fn put_off(&self, id: MessageId, time: Duration) {
        self.spool.schedule(id, self.machine.wall_clock().saturating_add(time.as_micros() as u64));
    }

    fn note(&self, level: Level, name: &str, fields: &[Field<'_>]) {
        self.journal.note(level, self.machine.wall_clock(), name, fields);
    }
}
