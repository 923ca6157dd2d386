//! All shards, and what watches over them.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::acceptor::{Acceptor, Berth, Door};
use super::announcement::Started;
use super::directory;
use super::error::{Error, start_error};
use super::figures::Figures;
use super::holdings::{Bound, Directories, Listeners};
use super::kernel_tls::KernelTls;
use super::names;
use super::placement::{Placement, adopted, log_name};
use super::report::{Report, ShardReport};
use super::serve::now;
use super::shard::{self, Plan, Ready};
use super::spooler;
use super::translate::{Common, least_level, log_format, timeouts};
use crate::config::Configuration;
use crate::control::admin::errands::{self, Errands};
use crate::control::certificates::{News, WAITING, Watch};
use crate::control::desk::{self, Lines};
use crate::control::directory::Keeper;
use crate::control::journal::{Journal, Level, ring};
use crate::control::logger::Logger;
use crate::control::signals::HangUps;
use crate::control::space::{self, LogWatch, WatchedLog};
use crate::control::watchdog::{Watchdog, Watched};
use crate::io::handover::{Doorbell, Handover};
use crate::io::metal::{CoreSetup, GlommioMachine, Sleeps};
use crate::io::vitals::Vitals;

/// How long a log that nobody reads is waited for at the end.
const LOG_PATIENCE: Duration = Duration::from_secs(2);

/// How long shards may take to come to rest beyond the grace of their transactions, and of their disk.
const RESTLESS: Duration = Duration::from_secs(5);

/// How often it is looked whether all shards have come to rest.
const RESTING: Duration = Duration::from_millis(5);

/// A shard on its thread.
struct Member {
    cpu: usize,
    berth: Arc<Berth>,
    news: Arc<Handover<News>>,
    doorbell: Arc<Doorbell>,
    vitals: Arc<Vitals>,
    stop: Arc<AtomicBool>,
    figures: Arc<Figures>,
    thread: JoinHandle<io::Result<()>>,
    ready: Receiver<io::Result<Ready>>,
}

/// All that runs.
pub struct Fleet {
    /// For events of no shard.
    pub journal: Journal,
    /// What operators ask of the shards.
    pub errands: Arc<Errands>,
    /// Users, domains and the rewrite table.
    pub keeper: Arc<Keeper>,
    /// What part the kernel has in TLS.
    pub kernel_tls: KernelTls,
    /// How messages are seen through.
    spooler: Arc<spooler::Settings>,
    members: Vec<Member>,
    /// Acceptors that are not started yet: the CPU, the listeners and the journal of each.
    waiting: Vec<(usize, Listeners, Journal)>,
    acceptors: Vec<Acceptor>,
    logger: Logger,
    watchdog: Option<Watchdog>,
    ended: tokio::sync::mpsc::Receiver<Error>,
    end: tokio::sync::mpsc::Sender<Error>,
    desk: tokio::task::JoinHandle<io::Result<()>>,
    /// How long shards may take to come to rest.
    patience: Duration,
}

/// What one shard gets of its own.
struct Equipment {
    doorbell: Arc<Doorbell>,
    listeners: Listeners,
    journal: Journal,
    watch: Arc<LogWatch>,
}

impl Fleet {
    /// Starts the control plane's services, then all shards, then the watchdog. Acceptors wait for the shards.
    pub fn start(
        configuration: &Configuration,
        directories: &Directories,
        placement: &Placement,
        bound: Bound,
        control: &tokio::runtime::Runtime,
    ) -> Result<Fleet, Error> {
        let part = || start_error("the control plane");
        let level = least_level(configuration);
        let (journal, reader) = ring(level);
        let mut readers = vec![reader];
        let mut equipment = Vec::new();
        for listeners in bound.shards {
            let (journal, reader) = ring(level);
            readers.push(reader);
            let doorbell = Arc::new(Doorbell::new(false).map_err(part())?);
            equipment.push(Equipment { doorbell, listeners, journal, watch: Arc::default() });
        }
        let mut waiting = Vec::new();
        for (listeners, cpu) in bound.acceptors.into_iter().zip(&placement.acceptors) {
            let (journal, reader) = ring(level);
            readers.push(reader);
            waiting.push((*cpu, listeners, journal));
        }
        let (watch_journal, reader) = ring(level);
        readers.push(reader);
        let bells = equipment.iter().map(|equipment| equipment.doorbell.clone());
        let lines = Arc::new(Lines::new(bells).map_err(part())?);
        let bells = equipment.iter().map(|equipment| equipment.doorbell.clone());
        let errands = Arc::new(Errands::new(bells).map_err(part())?);
        let common = Common::new(configuration)?;
        let logger = Logger::start(readers, log_format(configuration), io::stderr()).map_err(start_error("the log"))?;
        let keeper = directory::open(configuration, lines.clone(), control)?;
        let resolver = control.block_on(async { names::open(configuration) })?;
        let desk = control.spawn(desk::serve(lines.clone(), Arc::new(keeper.clone()), resolver));
        // Where it fails nobody hears an answer, and each question says so after a while.
        control.spawn(errands::serve(errands.clone()));
        let watched = equipment.iter().enumerate().map(|(number, equipment)| {
            WatchedLog::new(directories.spool.join(log_name(number)), equipment.watch.clone())
        });
        let watched = watched.collect();
        control.spawn(space::watch(directories.spool.clone(), common.free_octets.clone(), watched));

        let patience = 2 * configuration.ringpost.shutdown_grace + RESTLESS;
        let (end, ended) = tokio::sync::mpsc::channel(equipment.len() + waiting.len() + 1);
        let (members, acceptors, sender) = (Vec::new(), Vec::new(), end.clone());
        let hang_ups = control.block_on(async { HangUps::new() }).map_err(part())?;
        let mut fleet = Fleet {
            journal,
            errands: errands.clone(),
            keeper,
            kernel_tls: common.kernel_tls.clone(),
            spooler: common.spooler.clone(),
            members,
            waiting,
            acceptors,
            logger,
            watchdog: None,
            ended,
            end,
            desk,
            patience,
        };
        for (number, equipment) in equipment.into_iter().enumerate() {
            match start_shard(number, equipment, placement, &common, directories, (lines.clone(), errands.clone())) {
                Ok(member) => fleet.members.push(member),
                Err(error) => {
                    let _ = fleet.stop(false);
                    return Err(error);
                }
            }
        }
        let Common { certificates, ring, .. } = common;
        let cores = fleet.members.iter().map(|member| member.news.clone()).collect();
        control.spawn(Watch { certificates, ring, cores, journal: watch_journal, hang_ups }.run());
        let watched = fleet.members.iter().map(|member| Watched::new(member.vitals.clone(), &member.thread));
        let watchdog = Watchdog::start(watched.collect(), move |shard| {
            // There is room for the news of every shard, and the first that ends takes the process with it.
            let _ = sender.try_send(Error::ShardEnded(shard));
        });
        fleet.watchdog = Some(watchdog.map_err(start_error("the watchdog"))?);
        Ok(fleet)
    }

    /// Waits until every shard accepts.
    pub fn wait_until_ready(&mut self) -> Result<(), Error> {
        for number in 0..self.members.len() {
            self.hear(number)?;
        }
        Ok(())
    }

    /// What every shard has found in its logs, which they read at the same time; one that has much to read does not wait until
    /// that is done.
    pub fn look(&mut self) -> Result<Vec<Started>, Error> {
        let mut started = Vec::new();
        for number in 0..self.members.len() {
            let cpu = self.members[number].cpu;
            let (messages, reads_on) = match self.hear(number)? {
                Ready::Found { messages, reads_on } => (messages, reads_on),
                Ready::Accepts => (0, true),
            };
            started.push(Started { cpu, messages, reads_on });
        }
        Ok(started)
    }

    /// The next that a shard says of its start.
    fn hear(&mut self, number: usize) -> Result<Ready, Error> {
        let member = &self.members[number];
        let what = format!("shard {number} on CPU {}", member.cpu);
        match member.ready.recv() {
            Ok(Ok(ready)) => Ok(ready),
            Ok(Err(error)) => Err(start_error(what)(error)),
            // It ended before it could say anything: its thread's result says why.
            Err(_) => Err(self.join(number).map_or(Error::ShardEnded(number), start_error(what))),
        }
    }

    /// Starts the acceptors, for shards that accept.
    pub fn open_doors(&mut self, placement: &Placement) -> Result<(), Error> {
        for (number, (cpu, listeners, journal)) in std::mem::take(&mut self.waiting).into_iter().enumerate() {
            let mut doors = Vec::new();
            for (server, (listeners, share)) in listeners.into_iter().zip(&placement.servers).enumerate() {
                let shards = || share.shards.iter().map(|shard| self.members[*shard].berth.clone()).collect();
                doors.extend(listeners.into_iter().map(|listener| Door { server, listener, shards: shards() }));
            }
            let end = self.end.clone();
            let ended = move || drop(end.try_send(Error::AcceptorEnded(number)));
            let acceptor = Acceptor::start(number, cpu, doors, journal, ended);
            self.acceptors.push(acceptor.map_err(start_error(format!("acceptor {number} on CPU {cpu}")))?);
        }
        Ok(())
    }

    /// Why a shard that has ended did so, if it says; nothing is watched any more.
    fn join(&mut self, number: usize) -> Option<io::Error> {
        if let Some(watchdog) = self.watchdog.take() {
            watchdog.stop();
        }
        self.members.swap_remove(number).thread.join().ok()?.err()
    }

    /// What `ringpost status` is told; `announcement` says where it listens and what runs where.
    pub fn report(&self, announcement: String) -> Report {
        let shards = self.members.iter().map(|member| ShardReport {
            cpu: member.cpu,
            vitals: member.vitals.clone(),
            figures: member.figures.clone(),
        });
        Report { announcement, started: Instant::now(), shards: shards.collect(), spooler: self.spooler.clone() }
    }

    /// The first part without which the server is none that ends by itself.
    pub async fn failed(&mut self) -> Error {
        tokio::select! {
            Some(error) = self.ended.recv() => error,
            ended = &mut self.desk => {
                let error = ended.map_err(io::Error::other).and_then(|result| result).err();
                Error::Failed { what: "the directory's desk", error: error.unwrap_or_else(|| io::Error::other("it ended")) }
            }
        }
    }

    /// Lets all shards come to rest, then ends the rest. After a shard was lost there is nothing to wait for.
    pub fn stop(self, in_order: bool) -> Result<(), Error> {
        self.acceptors.into_iter().for_each(Acceptor::stop);
        for member in &self.members {
            member.stop.store(true, Ordering::Release);
            member.doorbell.ring();
        }
        let begun = Instant::now();
        let restless = || self.members.iter().position(|member| !member.vitals.has_ended());
        while in_order && restless().is_some() && begun.elapsed() < self.patience {
            std::thread::sleep(RESTING);
        }
        let restless = restless().filter(|_| in_order);
        if let Some(watchdog) = self.watchdog {
            watchdog.stop();
        }
        let pokes: u64 = self.members.iter().map(|member| member.vitals.pokes()).sum();
        let panics: u64 = self.members.iter().map(|member| member.vitals.panics()).sum();
        self.journal.note(Level::Info, now(), "stopped", &[("pokes", &pokes), ("panics", &panics)]);
        self.logger.stop(LOG_PATIENCE);
        if in_order && restless.is_none() {
            // Each has ended; its result came through its vitals.
            self.members.into_iter().for_each(|member| drop(member.thread.join()));
        }
        restless.map_or(Ok(()), |shard| Err(Error::Restless(shard)))
    }
}

fn start_shard(
    number: usize,
    equipment: Equipment,
    placement: &Placement,
    common: &Common<'_>,
    directories: &Directories,
    (lines, errands): (Arc<Lines>, Arc<Errands>),
) -> Result<Member, Error> {
    let ringpost = &common.configuration.ringpost;
    let Equipment { doorbell, listeners, journal, watch } = equipment;
    let cpu = placement.shards[number];
    let (vitals, stop) = (Arc::new(Vitals::default()), Arc::new(AtomicBool::new(false)));
    let berth = Arc::new(Berth::new(doorbell.clone(), vitals.clone()));
    let news = Arc::new(Handover::new(WAITING, doorbell.clone()));
    let figures = Arc::new(Figures::default());
    let (sender, ready) = channel();
    let adopted = adopted(number, placement.shards.len(), &directories.logs);
    let plan = Plan {
        number,
        log: directories.spool.join(log_name(number)),
        adopted: adopted.into_iter().map(|log| directories.spool.join(log_name(log))).collect(),
        spool: common.spool.clone(),
        spooler: common.spooler.clone(),
        outgoing: common.outgoing.clone(),
        mail: directories.mail.clone(),
        repositories: ringpost.repositories.clone(),
        host: common.host.clone(),
        hold: ringpost.delivery.hold,
        servers: common.servers(listeners),
        berth: berth.clone(),
        news: news.clone(),
        ticket_keys: common.ring.keys(),
        timeouts: timeouts(&ringpost.timeouts),
        grace: ringpost.shutdown_grace,
        lines,
        one_address_each: common.configuration.dns.single_ip_per_mx,
        journal,
        stop: stop.clone(),
        figures: figures.clone(),
        watch,
        errands,
        ready: sender,
    };
    let setup = CoreSetup {
        name: format!("shard-{number}"),
        cpu,
        delivery_share: ringpost.delivery.share,
        doorbell: doorbell.clone(),
        vitals: vitals.clone(),
        free_octets: common.free_octets.clone(),
        sleeps: Sleeps::InOwnRing,
    };
    let thread = GlommioMachine::start(setup, |machine| shard::run(machine, plan));
    let thread = thread.map_err(start_error(format!("shard {number} on CPU {cpu}")))?;
    Ok(Member { cpu, berth, news, doorbell, vitals, stop, figures, thread, ready })
}
