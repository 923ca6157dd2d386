//! Sees messages through: reads them from the spool, asks the container what is to be done, does it, notes what became of it.
//!
//! **The container decides, the spooler obeys.**

use std::cell::Cell;
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_lite::future::or;

use crate::control::journal::{Journal, Level};
use crate::delivery::maildir::Item;
use crate::delivery::text::WireForm;
use crate::delivery::{Delivered, Maildirs, Retry};
use crate::directory::user_of;
use crate::io::wait::{Bell, Places};
use crate::io::{Class, Machine};
use crate::mail::{BodyType, MessageId};
use crate::mailet::{Container, Effect, Mail, Recipient};
use crate::spool::{Outcome, OutcomeResult, Spool, Stored};

/// The longest the spooler sleeps.
const NAP: Duration = Duration::from_secs(60);

/// What became of a recipient that somebody waits for.
pub enum Fate {
    /// It is in the mailbox.
    Delivered(Delivered),
    /// It is not.
    Failed,
}

/// How messages are seen through.
pub struct Settings {
    /// The pipeline.
    pub container: Container,
    /// Deliveries under way at a time.
    pub concurrency: usize,
    /// When what failed is tried again.
    pub retry: Retry,
}

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
    settings: Arc<Settings>,
    journal: Rc<Journal>,
    places: Places,
    stopping: Cell<bool>,
    stopped: Bell,
    under_way: Cell<usize>,
    delivered: Cell<u64>,
    deferred: Cell<u64>,
}

impl<M: Machine> Spooler<M> {
    /// Over `spool`, delivering below `mail`.
    pub fn new(
        machine: M,
        spool: Spool<M>,
        mail: &Path,
        host: &str,
        settings: Arc<Settings>,
        journal: Rc<Journal>,
    ) -> Spooler<M> {
        let maildirs = Maildirs::new(machine.clone(), mail, host);
        let places = Places::new(settings.concurrency);
        let (stopping, stopped, under_way, delivered, deferred) = Default::default();
        Spooler(Rc::new(State {
            machine,
            spool,
            maildirs,
            settings,
            journal,
            places,
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
        let place = self.0.places.take().await;
        let spooler = self.clone();
        self.0.machine.spawn(Class::Delivery, async move {
            spooler.attempt(id, Purpose::Queue).await;
            drop(place);
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

    /// Delivers a message that was just committed, for a client that waits for what becomes of each recipient; where it failed
    /// the client keeps it.
    pub async fn deliver_now(&self, id: MessageId, recipients: usize) -> Vec<Fate> {
        let _place = self.0.places.take().await;
        let mut fates = self.attempt(id, Purpose::Client).await;
        if fates.is_empty() {
            // It cannot be read back: the client keeps it for every recipient, so nothing is left to do here.
            let returned = |recipient| Outcome { recipient, result: OutcomeResult::Returned };
            self.resolve(id, &(0..recipients as u32).map(returned).collect::<Vec<_>>()).await;
        }
        fates.resize_with(recipients, || Fate::Failed);
        fates
    }

    /// Tries to deliver to every recipient with something left to do, and notes what became of each. The fates come in the order
    /// of the recipients.
    async fn attempt(&self, id: MessageId, purpose: Purpose) -> Vec<Fate> {
        let _under_way = UnderWay::new(&self.0.under_way);
        let mut guard = Unfinished { spooler: self, id, armed: purpose == Purpose::Queue };
        let stored = match self.0.spool.read(id).await {
            Ok(stored) => stored,
            Err(error) => {
                self.note(Level::Error, "unreadable", &[("id", &id), ("text", &error)]);
                return Vec::new();
            }
        };
        if let Some(until) = self.held_until(&stored).filter(|_| purpose == Purpose::Queue) {
            guard.armed = false;
            self.0.spool.schedule(id, until);
            return Vec::new();
        }
        let recipients = &stored.message.envelope.recipients;
        let pending = stored.progress.pending();
        let places = pending.iter().map(|pending| pending.place);
        let recipients =
            places.filter_map(|place| Some(Recipient { place, mailbox: recipients.get(place as usize)?.clone() }));
        let mail = Mail { recipients: recipients.collect() };
        let (mut fates, mut outcomes) = (Vec::new(), Vec::new());
        for effect in self.0.settings.container.process(mail) {
            let recipient = match effect {
                Effect::DeliverLocally(recipient) => recipient,
                Effect::Discard(recipient) => {
                    outcomes.push(self.discard(&stored, &recipient, purpose));
                    fates.push((recipient.place, Fate::Failed));
                    continue;
                }
            };
            let result = self.deliver(&stored, &recipient).await;
            self.note_result(&stored, &recipient, &result, purpose);
            outcomes.push(Outcome {
                recipient: recipient.place,
                result: self.outcome(&result, purpose, stored.progress.attempts()),
            });
            fates.push((recipient.place, result.map_or(Fate::Failed, Fate::Delivered)));
        }
        guard.armed = false;
        self.resolve(id, &outcomes).await;
        fates.sort_by_key(|(place, _)| *place);
        fates.into_iter().map(|(_, fate)| fate).collect()
    }

    /// Until when its sender wants a message held, if that is not past (RFC 4865 §4.3): not even the operator who flushes the
    /// queue lets it go before.
    fn held_until(&self, stored: &Stored) -> Option<u64> {
        stored.message.envelope.hold_until.filter(|until| *until > self.0.machine.wall_clock())
    }

    /// Throws the mail away for one recipient. A client that waits is told that it failed, for it may not be told that it is in a
    /// mailbox.
    fn discard(&self, stored: &Stored, recipient: &Recipient, purpose: Purpose) -> Outcome {
        let (id, to) = (&stored.message.envelope.id, &format_args!("<{}>", recipient.mailbox));
        self.note(Level::Info, "discarded", &[("id", id), ("to", to), ("dsn", &"2.0.0")]);
        let result = match purpose {
            Purpose::Queue => OutcomeResult::Removed,
            Purpose::Client => OutcomeResult::Returned,
        };
        Outcome { recipient: recipient.place, result }
    }

    async fn resolve(&self, id: MessageId, outcomes: &[Outcome]) {
        if let Err(error) = self.0.spool.resolve(id, outcomes).await {
            let text = format!("{error}; it may be delivered again after the next start");
            self.note(Level::Error, "outcome-not-noted", &[("id", &id), ("text", &text)]);
        }
    }

    async fn deliver(&self, stored: &Stored, recipient: &Recipient) -> io::Result<Delivered> {
        let envelope = &stored.message.envelope;
        let form = match (envelope.body, stored.message.content.dot_stuffed) {
            (BodyType::BinaryMime, _) => WireForm::Binary,
            (_, true) => WireForm::DotStuffed,
            (_, false) => WireForm::Plain,
        };
        let item = Item {
            id: envelope.id,
            received_at: envelope.received_at,
            place: recipient.place,
            recipient: &recipient.mailbox,
            user: &user_of(&recipient.mailbox),
            reverse_path: &envelope.reverse_path,
            form,
        };
        let mut file = self.0.maildirs.begin(&item).await?;
        if let Err(error) = self.0.spool.read_content(stored, async |content| file.push(content).await).await {
            file.abandon().await;
            return Err(error);
        }
        file.finish().await
    }

    fn outcome(&self, result: &io::Result<Delivered>, purpose: Purpose, failed_before: u32) -> OutcomeResult {
        match (result, purpose) {
            (Ok(_), _) => OutcomeResult::Delivered,
            (Err(_), Purpose::Client) => OutcomeResult::Returned,
            (Err(error), Purpose::Queue) => {
                let attempts = failed_before.saturating_add(1);
                let delay = self.0.settings.retry.delay(attempts);
                OutcomeResult::Deferred {
                    not_before: self.0.machine.wall_clock() + delay.as_micros() as u64,
                    attempts,
                    reason: error.to_string().into(),
                }
            }
        }
    }

    fn note_result(&self, stored: &Stored, recipient: &Recipient, result: &io::Result<Delivered>, purpose: Purpose) {
        let envelope = &stored.message.envelope;
        let waited = self.0.machine.wall_clock().saturating_sub(envelope.received_at);
        let delay = format!("{}.{:03}", waited / 1_000_000, waited / 1000 % 1000);
        let (id, to) = (&envelope.id, &format_args!("<{}>", recipient.mailbox));
        let count = match (result, purpose) {
            (Ok(_), _) => Some(&self.0.delivered),
            (Err(_), Purpose::Queue) => Some(&self.0.deferred),
            (Err(_), Purpose::Client) => None,
        };
        count.into_iter().for_each(|count| count.set(count.get() + 1));
        match (result, purpose) {
            (Ok(_), _) => {
                self.note(Level::Info, "delivered", &[("id", id), ("to", to), ("delay", &delay), ("dsn", &"2.0.0")])
            }
            (Err(error), Purpose::Client) => {
                self.note(Level::Warning, "returned", &[("id", id), ("to", to), ("dsn", &"4.2.0"), ("text", error)]);
            }
            (Err(error), Purpose::Queue) => {
                let again =
                    format!("{}s", self.0.settings.retry.delay(stored.progress.attempts().saturating_add(1)).as_secs());
                let fields: [(&'static str, &dyn std::fmt::Display); 6] = [
                    ("id", id),
                    ("to", to),
                    ("delay", &delay),
                    ("dsn", &"4.2.0"),
                    ("again_in", &again),
                    ("text", error),
                ];
                self.note(Level::Warning, "deferred", &fields);
            }
        }
    }

    fn note(&self, level: Level, name: &str, fields: &[(&'static str, &dyn std::fmt::Display)]) {
        self.0.journal.note(level, self.0.machine.wall_clock(), name, fields);
    }
}

/// For whom a delivery is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// For the queue: what fails is tried again.
    Queue,
    /// For a client that waits: what fails is the client's again.
    Client,
}

/// Counts an attempt while it lasts.
struct UnderWay<'a>(&'a Cell<usize>);

impl UnderWay<'_> {
    fn new(count: &Cell<usize>) -> UnderWay<'_> {
        count.set(count.get() + 1);
        UnderWay(count)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// Puts a message back on the schedule if its attempt ends before its outcome is noted: unreadable, or by a panic.
struct Unfinished<'a, M: Machine> {
    spooler: &'a Spooler<M>,
    id: MessageId,
    armed: bool,
}

impl<M: Machine> Drop for Unfinished<'_, M> {
    fn drop(&mut self) {
        if self.armed {
            let state = &self.spooler.0;
            let delay = state.settings.retry.delay(u32::MAX).as_micros() as u64;
            state.spool.schedule(self.id, state.machine.wall_clock() + delay);
        }
    }
}
