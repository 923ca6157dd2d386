//! Sees messages through: reads them from the spool, asks the container what is to be done, does it, notes what became of it.
//!
//! **The container decides, the spooler obeys.** A message whose journey says where it goes is brought there ([`mailbox`], or a
//! lane of its destination); every other enters the container ([`walk`]), and what that says is carried out ([`effects`]): what
//! may be repeated without harm first, then new mail ([`sending`]), then the mailboxes, then children that take over what is
//! left ([`children`]). So a crash repeats at most what was not recorded, and no place is resolved without its child.

mod attempt;
mod children;
mod effects;
mod guards;
mod mailbox;
mod metrics;
mod notes;
mod sending;
mod walk;

use std::cell::Cell;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_lite::future::or;

use attempt::{Attempt, Purpose};
use guards::{UnderWay, Unfinished};
pub use metrics::Metrics;

use super::destination::Destination;
use super::journey::{Journey, Route, SettingsName};
use crate::control::journal::{Journal, Level};
use crate::delivery::repository::Repositories;
use crate::delivery::{Delivered, Maildirs, Names, Retry};
use crate::directory::Directory;
use crate::io::wait::{Bell, Place, Places};
use crate::io::{Class, Machine};
use crate::mail::MessageId;
use crate::mailet::container::Container;
use crate::mailet::pipeline::Pipeline;
use crate::spool::{Outcome, OutcomeResult, Spool, Stored};

/// The longest the spooler sleeps.
const NAP: Duration = Duration::from_secs(60);

/// Messages of one core at a time that are read, or were and wait for their delivery to begin: no delivery waits for the disk to
/// read what comes next.
const READ_AHEAD: usize = 8;

/// Walks of one core at a time that hold the whole content of a message, which may be large.
const CONTENTS_MAX: usize = 2;

/// What became of a recipient that somebody waits for.
pub enum Fate {
    /// It is in the mailbox.
    Delivered(Delivered),
    /// It has come to another end, or is on its way there: durably.
    Resolved(Resolved),
    /// It is not.
    Failed,
}

/// The proof that a recipient has come to an end, or has a message of its own on stable storage. Only the spooler makes one.
#[derive(Debug)]
pub struct Resolved(());

/// What becomes of mail.
#[derive(Clone, Debug)]
pub enum Way {
    /// All of it goes into the mailboxes of its recipients: the pipeline says nothing else, or there is none.
    Mailbox,
    /// All of it is thrown away.
    Discard,
    /// What the pipeline says.
    Pipeline(Pipeline),
}

/// How messages are seen through.
pub struct Settings {
    /// What becomes of them.
    pub way: Way,
    /// Deliveries under way at a time.
    pub concurrency: usize,
    /// When what failed is tried again.
    pub retry: Retry,
    /// Every `RemoteDelivery`, in the order of the file.
    pub remotes: Vec<Remote>,
    /// Every `LmtpDelivery`, in the order of the file.
    pub lmtps: Vec<SettingsName>,
    /// What `MetricsMailet` counts.
    pub metrics: Metrics,
}

/// A `RemoteDelivery`, so far as its mail is sorted by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remote {
    /// Which.
    pub name: SettingsName,
    /// All of its mail goes to gateways.
    pub gateways: bool,
}

/// What a spooler works with.
pub struct Parts<'a, M: Machine> {
    /// Disk, clock, tasks.
    pub machine: M,
    /// Where the messages are.
    pub spool: Spool<M>,
    /// Below this the Maildirs are.
    pub mail: &'a Path,
    /// This host's name in the names of files.
    pub host: &'a str,
    /// How messages are seen through.
    pub settings: Arc<Settings>,
    /// Where mail is kept that goes nowhere else.
    pub repositories: Repositories<M>,
    /// Who is known here.
    pub directory: Rc<dyn Directory>,
    /// Who takes mail elsewhere.
    pub names: Rc<dyn Names>,
    /// Takes a message whose recipients that are left all go there. It resolves or schedules it.
    pub leave: Leave,
    /// What an operator reads.
    pub journal: Rc<Journal>,
    /// Names for messages that are made here.
    pub next_id: Rc<dyn Fn() -> MessageId>,
}

/// Takes a message that leaves this host.
pub type Leave = Rc<dyn Fn(MessageId, Destination)>;

/// The spooler of one spool; clones are the same one.
pub struct Spooler<M: Machine>(Rc<State<M>>);

impl<M: Machine> Clone for Spooler<M> {
    fn clone(&self) -> Self {
        Spooler(self.0.clone())
    }
}

struct State<M: Machine> {
    machine: M,
    spool: Spool<M>,
    maildirs: Maildirs<M>,
    repositories: Repositories<M>,
    directory: Rc<dyn Directory>,
    names: Rc<dyn Names>,
    leave: Leave,
    next_id: Rc<dyn Fn() -> MessageId>,
    /// Where the pipeline decides.
    container: Option<Container>,
    settings: Arc<Settings>,
    /// The journey of a message that says nothing of one.
    beginning: Journey,
    /// What messages of clients say, written once.
    notes: [Vec<u8>; 4],
    journal: Rc<Journal>,
    /// Deliveries under way, and those whose ends are being noted.
    places: Places,
    noting: Places,
    /// Messages that are read, or were and wait for their delivery to begin.
    reading: Places,
    contents: Places,
    stopping: Cell<bool>,
    stopped: Bell,
    under_way: Cell<usize>,
    delivered: Cell<u64>,
    deferred: Cell<u64>,
}

impl<M: Machine> Spooler<M> {
    /// A spooler that has not begun.
    pub fn new(parts: Parts<'_, M>) -> Spooler<M> {
        let Parts { machine, spool, mail, host, settings, repositories, directory, names, .. } = parts;
        let Parts { leave, journal, next_id, .. } = parts;
        let maildirs = Maildirs::new(machine.clone(), mail, host);
        let [places, noting] = [(); 2].map(|()| Places::new(settings.concurrency));
        let container = match &settings.way {
            Way::Pipeline(pipeline) => Some(Container::new(pipeline.clone())),
            Way::Mailbox | Way::Discard => None,
        };
        let (stopping, stopped, under_way, delivered, deferred) = Default::default();
        Spooler(Rc::new(State {
            machine,
            spool,
            maildirs,
            repositories,
            directory,
            names,
            leave,
            next_id,
            container,
            settings,
            beginning: Journey::default(),
            notes: [(false, false), (true, false), (false, true), (true, true)].map(|(straight, authorized)| {
                // So few words are never too long.
                Journey::of_client(straight, authorized).encode().unwrap_or_default()
            }),
            journal,
            places,
            noting,
            reading: Places::new(READ_AHEAD),
            contents: Places::new(CONTENTS_MAX),
            stopping,
            stopped,
            under_way,
            delivered,
            deferred,
        }))
    }

    /// Takes what is due, one message after the other, until it is stopped.
    pub async fn run(&self) {
        while !self.0.stopping.get() {
            // What became of a message could not be noted any more, so nothing is begun.
            if self.0.spool.is_closed() {
                self.0.stopped.heard().await;
                continue;
            }
            match self.0.spool.take_due() {
                Some(id) => self.begin(id).await,
                None => self.wait().await,
            }
        }
    }

    async fn begin(&self, id: MessageId) {
        let place = self.0.reading.take().await;
        let spooler = self.clone();
        self.0.machine.spawn(Class::Delivery, async move {
            spooler.attempt(id, Purpose::Queue, place).await;
        });
    }

    async fn wait(&self) {
        let nap = self.0.spool.next_due().map_or(NAP, |due| due.min(NAP));
        let woken = or(self.0.spool.scheduled(), self.0.stopped.heard());
        or(woken, self.0.machine.sleep(nap)).await;
    }

    /// Begins nothing more.
    pub fn stop(&self) {
        self.0.stopping.set(true);
        self.0.stopped.ring();
    }

    /// Recipients delivered to since the start.
    pub fn delivered(&self) -> u64 {
        self.0.delivered.get()
    }

    /// Attempts at recipients that failed and will be repeated, since the start.
    pub fn deferred(&self) -> u64 {
        self.0.deferred.get()
    }

    /// Messages that are being delivered.
    pub fn under_way(&self) -> usize {
        self.0.under_way.get()
    }

    /// Whether mail goes through the pipeline, so that a message must say with its record what only its session knew.
    pub fn walks(&self) -> bool {
        self.0.container.is_some()
    }

    /// What that is: whether it goes straight into the mailboxes, and whether its client was in an authorized network.
    pub fn notes_of_client(&self, straight: bool, authorized: bool) -> Vec<u8> {
        self.0.notes.get(usize::from(straight) + 2 * usize::from(authorized)).cloned().unwrap_or_default()
    }

    /// Sees a message through that was just committed, for a client that waits for what becomes of each recipient; where it
    /// failed the client keeps it. With `split` every recipient goes its way alone.
    pub async fn deliver_now(&self, id: MessageId, recipients: usize, split: bool) -> Vec<Fate> {
        let place = self.0.reading.take().await;
        let known = self.attempt(id, Purpose::Client { split }, place).await;
        if known.is_empty() {
            // It cannot be read back: the client keeps it for every recipient, so nothing is left to do here.
            let returned = |recipient| Outcome { recipient, result: OutcomeResult::Returned };
            self.0.resolve(id, &(0..recipients as u32).map(returned).collect::<Vec<_>>()).await;
        }
        let mut fates: Vec<Fate> = Vec::with_capacity(recipients);
        fates.resize_with(recipients, || Fate::Failed);
        for (place, fate) in known {
            if let Some(own) = fates.get_mut(place as usize) {
                *own = fate;
            }
        }
        fates
    }

    /// Until when its sender wants a message held, if that is not past (RFC 4865 §4.3): not even the operator who flushes the
    /// queue lets it go before.
    fn held_until(&self, stored: &Stored) -> Option<u64> {
        stored.message.envelope.hold_until.filter(|until| *until > self.0.machine.wall_clock())
    }

    /// Does what is to be done for every recipient with something left to do, and notes what became of each. The fates are there
    /// for a client alone, with the places of the recipients. It has a place among deliveries from when it is read until it is
    /// noted: while that is done another one has it.
    async fn attempt(&self, id: MessageId, purpose: Purpose, reading: Place) -> Vec<(u32, Fate)> {
        let _under_way = UnderWay::new(&self.0.under_way);
        let mut guard = Unfinished { spooler: self, id, armed: purpose == Purpose::Queue };
        let unreadable = |error: &dyn std::fmt::Display| {
            self.0.note(Level::Error, "unreadable", &[("id", &id), ("text", error)]);
            Vec::new()
        };
        let stored = match self.0.spool.read(id).await {
            Ok(stored) => stored,
            Err(error) => return unreadable(&error),
        };
        if let Some(until) = self.held_until(&stored).filter(|_| purpose == Purpose::Queue) {
            guard.armed = false;
            self.0.spool.schedule(id, until);
            return Vec::new();
        }
        let told;
        let journey = match stored.message.fields.notes.as_slice() {
            [] => &self.0.beginning,
            notes => match Journey::decode(notes) {
                Ok(journey) => {
                    told = journey;
                    &told
                }
                Err(error) => return unreadable(&error),
            },
        };
        let place = self.0.places.take().await;
        drop(reading);
        let (outcomes, fates) = Default::default();
        let mut attempt = Attempt { spooler: &self.0, stored: &stored, journey, purpose, outcomes, fates };
        let places: Vec<u32> = stored.progress.pending().iter().map(|pending| pending.place).collect();
        match (journey.route, &self.0.container, &self.0.settings.way) {
            (Some(Route::Mailbox), ..) => attempt.fill_mailboxes(&places).await,
            (Some(route), ..) if attempt.leads_out(route) => {
                if attempt.hand_over(&places, route).await {
                    guard.armed = false;
                    return attempt.fates;
                }
            }
            (_, Some(container), _) => attempt.through(container, &places).await,
            (_, None, Way::Discard) => attempt.discard(&places),
            (Some(_), None, _) => attempt.no_way_out(&places),
            (None, None, _) => attempt.fill_mailboxes(&places).await,
        }
        guard.armed = false;
        let Attempt { outcomes, fates, .. } = attempt;
        if !outcomes.is_empty() {
            let _noting = self.0.noting.take().await;
            drop(place);
            self.0.resolve(id, &outcomes).await;
        }
        fates
    }
}

impl<M: Machine> State<M> {
    async fn resolve(&self, id: MessageId, outcomes: &[Outcome]) {
        if let Err(error) = self.spool.resolve(id, outcomes).await {
            let text = format!("{error}; it may be delivered again after the next start");
            self.note(Level::Error, "outcome-not-noted", &[("id", &id), ("text", &text)]);
        }
    }

    /// What is noted of a recipient that is tried again after so many attempts.
    fn deferral(&self, attempts: u32, reason: &str) -> OutcomeResult {
        let delay = self.settings.retry.delay(attempts);
        let not_before = self.machine.wall_clock() + delay.as_micros() as u64;
        OutcomeResult::Deferred { not_before, attempts, reason: reason.into() }
    }
}
