//! What one core does from start to end: opens its spool, accepts, delivers, and comes to rest when asked.

use std::cell::{Cell, RefCell};
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::time::Duration;

use super::accept::{accept, begin};
use super::acceptor::{Arrival, Berth};
use super::buffers::Buffers;
use super::core::{Core, LmtpWay, Server, ServerTls};
use super::errands::Office;
use super::figures::{Figures, Snapshot, SpoolState};
use super::gate::Gate;
use super::login::Logins;
use super::outgoing::{self, Outgoing};
use super::pace::Timeouts;
use super::spooler::{self, Spooler};
use crate::control::admin::errands::Errands;
use crate::control::certificates::News;
use crate::control::client::Client;
use crate::control::desk::Lines;
use crate::control::journal::{Journal, Level};
use crate::control::names::client::NameClient;
use crate::control::space::LogWatch;
use crate::delivery::Names;
use crate::delivery::repository::Repositories;
use crate::directory::Directory;
use crate::hook::Chain;
use crate::io::handover::Handover;
use crate::io::metal::{BoundListener, GlommioMachine};
use crate::io::tls::{TicketKeys, use_ticket_keys};
use crate::io::wait::Bell;
use crate::io::{Class, Machine};
use crate::mail::{IdSource, MessageId};
use crate::smtp::server::settings::Settings;
use crate::spool::{self, Begun, Left, LogEvent, Read, Spool};

/// How often a core looks after time: the patience with its clients and with the control plane.
const PULSE: Duration = Duration::from_millis(250);

/// How often it looks whether it has come to rest while it stops.
const RESTING: Duration = Duration::from_millis(10);

/// A server of the configuration, as every shard gets it.
pub struct ServerPlan {
    /// Its name.
    pub name: Box<str>,
    /// How its sessions behave.
    pub settings: Arc<Settings>,
    /// Its policy.
    pub chain: Chain,
    /// How long it waits for a silent client.
    pub idle_timeout: Duration,
    /// Whether its transactions may go on once it is to stop.
    pub graceful: bool,
    /// Who is let in.
    pub gate: Gate,
    /// How it speaks TLS at first, if it does.
    pub tls: Option<ServerTls>,
    /// Who is believed.
    pub logins: Logins,
    /// Where mail goes that comes by LMTP.
    pub lmtp: LmtpWay,
    /// Where it listens on this shard.
    pub listeners: Vec<BoundListener>,
}

/// All that a shard needs to know.
pub struct Plan {
    /// Its number.
    pub number: usize,
    /// Its log's directory.
    pub log: PathBuf,
    /// Logs of shards that are no more, which it looks after.
    pub adopted: Vec<PathBuf>,
    /// How its log is laid out.
    pub spool: spool::Settings,
    /// How messages are seen through.
    pub spooler: Arc<spooler::Settings>,
    /// How mail leaves.
    pub outgoing: Arc<outgoing::Settings>,
    /// Below this the Maildirs are.
    pub mail: PathBuf,
    /// Below this the repositories are.
    pub repositories: PathBuf,
    /// This host's name.
    pub host: Box<str>,
    /// Accepted mail stays in the spool.
    pub hold: bool,
    /// The servers.
    pub servers: Vec<ServerPlan>,
    /// Where acceptors leave connections for it.
    pub berth: Arc<Berth>,
    /// Where news of certificates come in.
    pub news: Arc<Handover<News>>,
    /// The keys of tickets at first.
    pub ticket_keys: Arc<TicketKeys>,
    /// How long clients may take.
    pub timeouts: Timeouts,
    /// How long transactions may go on once it is to stop.
    pub grace: Duration,
    /// To the control plane.
    pub lines: Arc<Lines>,
    /// Of hosts that have several addresses one alone is tried.
    pub one_address_each: bool,
    /// To the log.
    pub journal: Journal,
    /// Set, and the doorbell rung, when it is to stop.
    pub stop: Arc<AtomicBool>,
    /// What it has done, for whoever asks.
    pub figures: Arc<Figures>,
    /// Who looks after the directory of its log.
    pub watch: Arc<LogWatch>,
    /// What operators ask.
    pub errands: Arc<Errands>,
    /// Told when it accepts, or why it does not; then what it has found.
    pub ready: Sender<io::Result<Ready>>,
}

/// What a shard says of its start.
#[derive(Clone, Copy, Debug)]
pub enum Ready {
    /// It accepts.
    Accepts,
    /// What it has found in its logs so far.
    Found {
        /// Messages with something left to do.
        messages: usize,
        /// There may be more: not all is read.
        reads_on: bool,
    },
}

/// How long a shard that accepts reads its logs before it says what it has found so far.
const FIRST_LOOK: Duration = Duration::from_secs(3);

/// Runs a shard to its end.
pub async fn run(machine: GlommioMachine, plan: Plan) {
    let ready = plan.ready.clone();
    match Shard::open(machine, plan).await {
        Ok((shard, left)) => shard.serve(left, ready).await,
        Err(error) => drop(ready.send(Err(error))),
    }
}

/// A log that is to be read, and its directory.
type LeftOf = (PathBuf, Left<GlommioMachine>);

/// How much of the logs was read, and what was found.
#[derive(Default)]
struct Looked {
    logs: Cell<usize>,
    messages: Cell<usize>,
    read: Bell,
}

struct Shard {
    number: usize,
    core: Rc<Core<GlommioMachine>>,
    client: Client,
    /// The own spool's first, then those of adopted logs.
    spoolers: Vec<(Spool<GlommioMachine>, Spooler<GlommioMachine>)>,
    /// What leaves each of these spools.
    outgoings: Vec<Outgoing<GlommioMachine>>,
    servers: Vec<ServerPlan>,
    berth: Arc<Berth>,
    news: Arc<Handover<News>>,
    grace: Duration,
    stop: Arc<AtomicBool>,
    stopping: Rc<Bell>,
    figures: Arc<Figures>,
    watch: Arc<LogWatch>,
    errands: Arc<Errands>,
    office: Rc<Office<GlommioMachine>>,
}

impl Shard {
    async fn open(machine: GlommioMachine, plan: Plan) -> io::Result<(Shard, Vec<LeftOf>)> {
        use_ticket_keys(plan.ticket_keys);
        let journal = Rc::new(plan.journal);
        let mut busy = Vec::new();
        let (mut left, mut newest) = (Vec::new(), 0);
        let mut spools = Vec::new();
        for (place, directory) in std::iter::once(&plan.log).chain(&plan.adopted).enumerate() {
            // A log that was adopted takes no mail, so it needs no segment ready for some.
            let prepared = if place == 0 { plan.spool.prepared } else { 0 };
            let settings = spool::Settings { prepared, ..plan.spool.clone() };
            let begun = begin_log(&machine, directory, settings, &journal).await?;
            if place == 0 {
                begun.spool.warm();
            }
            newest = newest.max(begun.newest.map_or(0, |id| id.made_at()));
            spools.push((directory.display().to_string(), begun.spool.clone()));
            if place == 0 || begun.left.segments() > 0 {
                busy.push(begun.spool);
            }
            left.push((directory.clone(), begun.left));
        }
        let client = Client::new(plan.number, plan.lines, machine.vitals().clone());
        let ids = Rc::new(RefCell::new(IdSource::new(plan.number, newest)));
        let (making, clock) = (ids.clone(), machine.clone());
        let next_id: Rc<dyn Fn() -> MessageId> =
            Rc::new(move || MessageId(making.borrow_mut().next(clock.wall_clock())));
        let repositories = Repositories::new(machine.clone(), &plan.repositories);
        let directory: Rc<dyn Directory> = Rc::new(client.clone());
        let names: Rc<dyn Names> = Rc::new(NameClient::new(client.clone(), plan.one_address_each));
        let leaving = |spool: &Spool<GlommioMachine>| {
            Outgoing::new(outgoing::Parts {
                machine: machine.clone(),
                spool: spool.clone(),
                names: names.clone(),
                settings: plan.outgoing.clone(),
                journal: journal.clone(),
                next_id: next_id.clone(),
            })
        };
        let of = |spool: Spool<GlommioMachine>| {
            let outgoing = leaving(&spool);
            let leaves = outgoing.clone();
            let spooler = Spooler::new(spooler::Parts {
                machine: machine.clone(),
                spool: spool.clone(),
                mail: &plan.mail,
                host: &plan.host,
                settings: plan.spooler.clone(),
                repositories: repositories.clone(),
                directory: directory.clone(),
                names: names.clone(),
                leave: Rc::new(move |id, destination| leaves.enqueue(id, destination)),
                journal: journal.clone(),
                next_id: next_id.clone(),
            });
            ((spool, spooler), outgoing)
        };
        let (spoolers, outgoings): (Vec<_>, Vec<_>) = busy.into_iter().map(of).unzip();
        let Some((spool, spooler)) = spoolers.first().cloned() else { return Err(io::ErrorKind::NotFound.into()) };
        let core = Rc::new(Core {
            machine,
            spool,
            spooler,
            directory,
            names,
            journal,
            ids,
            buffers: Buffers::default(),
            patience: Rc::default(),
            timeouts: plan.timeouts,
            hold: plan.hold,
            accepted: Cell::default(),
        });
        let office = Office {
            spools,
            journal: core.journal.clone(),
            machine: core.machine.clone(),
            repositories,
            outgoings: outgoings.clone(),
            next_message: Box::new(move || next_id()),
        };
        let (stopping, office) = (Rc::default(), Rc::new(office));
        let Plan { number, servers, berth, news, grace, stop, figures, watch, errands, .. } = plan;
        let shard = Shard {
            number,
            core,
            client,
            spoolers,
            outgoings,
            servers,
            berth,
            news,
            grace,
            stop,
            stopping,
            figures,
            watch,
            errands,
            office,
        };
        Ok((shard, left))
    }

    /// Accepts and delivers until it is told to stop, then comes to rest.
    async fn serve(mut self, left: Vec<LeftOf>, ready: Sender<io::Result<Ready>>) {
        let servers = self.accept();
        self.answer_doorbell(servers);
        // Whoever started the shard may have given up on it meanwhile; then it is told to stop as well.
        let _ = ready.send(Ok(Ready::Accepts));
        self.read_logs(left, ready);
        self.spawn_pulse();
        if !self.core.hold {
            for (_, spooler) in &self.spoolers {
                let spooler = spooler.clone();
                self.core.machine.spawn_vital(Class::Delivery, async move { spooler.run().await });
            }
        }
        let stopping = self.stopping.heard();
        if !self.stop.load(Ordering::Acquire) {
            stopping.await;
        }
        self.come_to_rest().await;
    }

    /// Reads what the last run left, behind all that is new, and says what was found.
    fn read_logs(&self, left: Vec<LeftOf>, ready: Sender<io::Result<Ready>>) {
        let (machine, journal) = (&self.core.machine, &self.core.journal);
        let (looked, logs) = (Rc::<Looked>::default(), left.len());
        for (directory, left) in left {
            let (looked, machine, journal) = (looked.clone(), machine.clone(), journal.clone());
            self.core.machine.spawn(Class::Delivery, async move {
                let read = left.read().await;
                note_read(&journal, machine.wall_clock(), &directory, &read);
                looked.messages.set(looked.messages.get() + read.messages);
                looked.logs.set(looked.logs.get() + 1);
                looked.read.ring();
            });
        }
        let clock = machine.clone();
        machine.spawn(Class::Delivery, async move {
            let all = async {
                while looked.logs.get() < logs {
                    looked.read.heard().await;
                }
            };
            futures_lite::future::or(all, clock.sleep(FIRST_LOOK)).await;
            let (messages, reads_on) = (looked.messages.get(), looked.logs.get() < logs);
            let _ = ready.send(Ok(Ready::Found { messages, reads_on }));
        });
    }

    fn answer_doorbell(&self, servers: Vec<Rc<Server>>) {
        let (core, berth, news) = (self.core.clone(), self.berth.clone(), self.news.clone());
        let (client, stop, stopping) = (self.client.clone(), self.stop.clone(), self.stopping.clone());
        let (number, errands, office) = (self.number, self.errands.clone(), self.office.clone());
        self.core.machine.on_doorbell(move || {
            client.take_answers();
            while let Some((ticket, query)) = errands.take(number) {
                let (errands, office) = (errands.clone(), office.clone());
                core.machine.spawn(Class::Delivery, async move { errands.reply(ticket, office.answer(query).await) });
            }
            while let Some(news) = news.take() {
                hear(news, &servers);
            }
            while let Some(Arrival { server, connection, peer }) = berth.take() {
                if let Some(server) = servers.get(server) {
                    begin(&core, server, connection.into_stream(&core.machine), peer);
                }
            }
            if stop.load(Ordering::Acquire) {
                stopping.ring();
            }
        });
    }

    fn spawn_pulse(&self) {
        let (core, client) = (self.core.clone(), self.client.clone());
        let (spoolers, figures, watch) = (self.spoolers.clone(), self.figures.clone(), self.watch.clone());
        let outgoings = self.outgoings.clone();
        let machine = core.machine.clone();
        machine.spawn_vital(Class::Intake, async move {
            loop {
                core.machine.reap();
                core.patience.pulse(core.machine.now());
                client.tick(core.machine.now());
                spoolers.iter().for_each(|(spool, _)| spool.pulse());
                outgoings.iter().for_each(Outgoing::pulse);
                let spool = core.spool.figures();
                figures.set(Snapshot {
                    accepted: core.accepted.get(),
                    delivered: spoolers.iter().map(|(_, spooler)| spooler.delivered()).sum(),
                    deferred: spoolers.iter().map(|(_, spooler)| spooler.deferred()).sum(),
                    waiting: spoolers.iter().map(|(spool, _)| spool.len() as u64).sum(),
                    segments: spool.segments,
                    free_segments: spool.free,
                    octets: spool.octets,
                    unread_segments: spoolers.iter().map(|(spool, _)| spool.figures().unread).sum(),
                    slowest_write: spool.slowest.as_micros() as u64,
                    batches: spool.batches,
                    spool: SpoolState::from(&spool),
                    outgoing: outgoings.iter().map(Outgoing::figures).sum(),
                });
                watch.has_segments(spool.segments + spool.free);
                if let Some(trouble) = watch.trouble().filter(|_| !spool.closed) {
                    core.spool.close(io::Error::other(trouble.text()));
                }
                core.machine.sleep(PULSE).await;
            }
        });
    }

    /// Accepts wherever this shard listens; the servers, by their places, for what comes otherwise.
    fn accept(&mut self) -> Vec<Rc<Server>> {
        let servers = std::mem::take(&mut self.servers).into_iter().map(|plan| {
            let ServerPlan { name, settings, chain, idle_timeout, graceful, gate, tls, logins, lmtp, listeners } = plan;
            let server = Rc::new(Server { name, settings, chain, idle_timeout, graceful, gate, tls, logins, lmtp });
            for listener in listeners {
                let accepting = accept(
                    self.core.clone(),
                    server.clone(),
                    listener.into_listener(&self.core.machine),
                    self.stopping.clone(),
                );
                self.core.machine.spawn_vital(Class::Intake, accepting);
            }
            server
        });
        servers.collect()
    }

    /// Lets transactions and deliveries that are under way end, within the grace, and brings all that was noted to the disk.
    async fn come_to_rest(&self) {
        let core = &self.core;
        self.spoolers.iter().for_each(|(_, spooler)| spooler.stop());
        self.outgoings.iter().for_each(Outgoing::stop);
        core.patience.stop();
        let until = core.machine.now() + self.grace;
        while self.is_busy() && core.machine.now() < until {
            core.machine.sleep(RESTING).await;
        }
        core.patience.end();
        let until = core.machine.now() + RESTING * 20;
        while self.is_busy() && core.machine.now() < until {
            core.machine.sleep(RESTING).await;
        }
        for (spool, _) in &self.spoolers {
            // A disk that does not answer is not waited for longer than transactions are.
            futures_lite::future::or(spool.settled(), core.machine.sleep(self.grace)).await;
        }
    }

    fn is_busy(&self) -> bool {
        self.core.patience.sessions() > 0
            || self.spoolers.iter().any(|(_, spooler)| spooler.under_way() > 0)
            || self.outgoings.iter().any(|outgoing| outgoing.under_way() > 0)
    }
}

/// Does as the news of certificates say, for connections that begin from now on.
fn hear(news: News, servers: &[Rc<Server>]) {
    match news {
        News::TicketKeys(keys) => use_ticket_keys(keys),
        News::Configs(configs) => {
            for (server, config) in servers.iter().zip(configs) {
                if let (Some(tls), Some(config)) = (&server.tls, config) {
                    tls.replace(config);
                }
            }
        }
    }
}

/// Opens a log, and reads no more of it than is needed to take mail.
async fn begin_log(
    machine: &GlommioMachine,
    directory: &Path,
    settings: spool::Settings,
    journal: &Rc<Journal>,
) -> io::Result<Begun<GlommioMachine>> {
    let (notes, clock, place) = (journal.clone(), machine.clone(), directory.display().to_string());
    let report = Box::new(move |event| note_spool(&notes, clock.wall_clock(), &place, &event));
    let begun = Spool::begin(machine.clone(), directory, settings, report).await;
    begun.map_err(|error| io::Error::new(error.kind(), format!("its spool {}: {error}", directory.display())))
}

/// Says what the last run left.
fn note_read(journal: &Journal, now: u64, directory: &Path, read: &Read) {
    let shown = directory.display();
    if read.records > 0 {
        let fields: [(&'static str, &dyn std::fmt::Display); 3] =
            [("spool", &shown), ("messages", &read.messages), ("records", &read.records)];
        journal.note(Level::Info, now, "recovered", &fields);
    }
    for (file, error) in &read.unreadable {
        let fields: [(&'static str, &dyn std::fmt::Display); 3] =
            [("spool", &shown), ("segment", &file.display()), ("text", error)];
        journal.note(Level::Error, now, "segment-unreadable", &fields);
    }
    for file in &read.quarantined {
        let fields: [(&'static str, &dyn std::fmt::Display); 2] = [("spool", &shown), ("kept_in", &file.display())];
        journal.note(Level::Error, now, "damage-set-aside", &fields);
    }
}

fn note_spool(journal: &Journal, now: u64, spool: &str, event: &LogEvent) {
    match event {
        LogEvent::Closed(error) => {
            let text = format!("{error}; this shard takes no mail until ringpost is started again");
            journal.note(Level::Error, now, "spool-closed", &[("spool", &spool), ("text", &text)]);
        }
        LogEvent::Slow(time) => {
            let text =
                format!("a write and its sync have taken {:.1} s; clients wait for the disk", time.as_secs_f64());
            journal.note(Level::Warning, now, "spool-slow", &[("spool", &spool), ("text", &text)]);
        }
        LogEvent::Recovering { segments, of } => {
            let fields: [(&'static str, &dyn std::fmt::Display); 3] =
                [("spool", &spool), ("segments", segments), ("of", of)];
            journal.note(Level::Info, now, "recovering", &fields);
        }
        LogEvent::NoSegment(error) => {
            journal.note(Level::Warning, now, "spool-full", &[("spool", &spool), ("text", error)]);
        }
        LogEvent::NotRemoved(segment, error) => {
            let fields: [(&'static str, &dyn std::fmt::Display); 3] =
                [("spool", &spool), ("segment", &segment.display()), ("text", error)];
            journal.note(Level::Warning, now, "segment-not-removed", &fields);
        }
        LogEvent::Prepared { segments, direct } => {
            let fields: [(&'static str, &dyn std::fmt::Display); 3] =
                [("spool", &spool), ("free_segments", segments), ("direct", direct)];
            journal.note(Level::Info, now, "spool-prepared", &fields);
        }
    }
}
