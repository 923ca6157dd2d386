//! Starts the server from its configuration, says what it started, and stops it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::thread::JoinHandle;
use std::time::Duration;

use super::core::Limit;
use super::holdings::{Directories, ShardListeners, bind_all, enabled};
use super::placement::{adopted, log_name};
use super::requirements::{self, Missing};
use super::settings::session_settings;
use super::shard::{self, Plan, Ready, ServerPlan};
use super::spooler;
use crate::config::{self, Configuration, LogFormat, LogLevel, ServerSettings};
use crate::control::desk::{self, Lines};
use crate::control::journal::{Journal, Level, Reader, ring};
use crate::control::logger::{Format, Logger};
use crate::control::signals::StopSignals;
use crate::control::space;
use crate::control::watchdog::{Watchdog, Watched};
use crate::delivery::Retry;
use crate::directory::Listed;
use crate::hook::{Chain, Handler};
use crate::io::glommio::{CoreSetup, GlommioMachine};
use crate::io::handover::Doorbell;
use crate::io::vitals::Vitals;
use crate::mail::{Domain, Mailbox};
use crate::mailet::Container;
use crate::spool;

/// Threads of the control plane.
const CONTROL_THREADS: usize = 2;

/// How long a log that nobody reads is waited for at the end.
const LOG_PATIENCE: Duration = Duration::from_secs(2);

/// Messages that a shard's spool holds at most: about 200 octets of memory each.
const MESSAGES: usize = 2_000_000;

/// Why the server did not start or had to end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The machine lacks something.
    #[error(transparent)]
    Missing(#[from] Missing),
    /// A directory or file is not to be had.
    #[error("{what} {path}: {error}")]
    File {
        /// What was tried.
        what: &'static str,
        /// With what.
        path: String,
        /// How it failed.
        error: io::Error,
    },
    /// An address cannot be listened on.
    #[error("{name} cannot listen on {address}: {error}")]
    Bind {
        /// The server.
        name: String,
        /// The address.
        address: SocketAddr,
        /// How it failed.
        error: io::Error,
    },
    /// A part of the process cannot be started.
    #[error("{what} cannot be started: {error}")]
    Start {
        /// The part.
        what: String,
        /// How it failed.
        error: io::Error,
    },
    /// A shard ended by itself.
    #[error("shard {0} has ended unexpectedly; what was acknowledged is in the spool and goes on at the next start")]
    ShardEnded(usize),
}

fn start_error(what: impl Into<String>) -> impl FnOnce(io::Error) -> Error {
    let what = what.into();
    move |error| Error::Start { what, error }
}

/// Serves until it is told to stop; `announce` is given what was started, for people.
pub fn serve(configuration: &Configuration, announce: impl FnOnce(&str)) -> Result<(), Error> {
    requirements::check()?;
    let directories = Directories::prepare(configuration)?;
    let bound = bind_all(configuration)?;
    let control = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(CONTROL_THREADS)
        .thread_name("control")
        .enable_all()
        .build()
        .map_err(start_error("the control plane"))?;
    let mut signals = control.block_on(async { StopSignals::new() }).map_err(start_error("the control plane"))?;
    let mut server = Running::start(configuration, &directories, bound, &control)?;
    announce(&server.announcement(configuration, &directories));
    server.journal.note(Level::Info, now(), "started", &[("shards", &server.shards.len())]);

    let mut ended = server.watch().map_err(start_error("the watchdog"))?;
    let why = control.block_on(async {
        tokio::select! {
            signal = signals.next() => Ok(signal),
            Some(shard) = ended.recv() => Err(Error::ShardEnded(shard)),
        }
    });
    // A second signal ends the process at once: everything acknowledged is on stable storage already.
    control.spawn(async move {
        signals.next().await;
        std::process::exit(EXIT_AT_ONCE);
    });
    match &why {
        Ok(signal) => server.journal.note(Level::Info, now(), "stopping", &[("signal", signal)]),
        Err(error) => server.journal.note(Level::Error, now(), "stopping", &[("text", error)]),
    }
    server.stop(why.is_ok());
    control.shutdown_background();
    why.map(drop)
}

/// The exit status after a second signal: that of a process that SIGTERM ended.
const EXIT_AT_ONCE: i32 = 128 + libc::SIGTERM;

fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.unwrap_or_default().as_micros() as u64
}

/// A running shard.
struct RunningShard {
    cpu: usize,
    doorbell: Arc<Doorbell>,
    vitals: Arc<Vitals>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<io::Result<()>>,
    messages: usize,
}

/// All that runs.
struct Running {
    shards: Vec<RunningShard>,
    /// Name, protocol and addresses of each server.
    servers: Vec<(String, config::Protocol, Vec<SocketAddr>)>,
    journal: Journal,
    logger: Logger,
    watchdog: Option<Watchdog>,
}

impl Running {
    fn start(
        configuration: &Configuration,
        directories: &Directories,
        bound: Vec<ShardListeners>,
        control: &tokio::runtime::Runtime,
    ) -> Result<Running, Error> {
        let cpus = &configuration.ringpost.shards;
        let level = least_level(configuration.ringpost.log.level);
        let (journals, readers): (Vec<Journal>, Vec<Reader>) = (0..=cpus.len()).map(|_| ring(level)).unzip();
        let format = match configuration.ringpost.log.format {
            LogFormat::Text => Format::Text,
            LogFormat::Json => Format::Json,
        };
        let logger = Logger::start(readers, format, io::stderr()).map_err(start_error("the log"))?;
        let servers = addresses(configuration, &bound);

        let bells: io::Result<Vec<_>> = cpus.iter().map(|_| Doorbell::new(false).map(Arc::new)).collect();
        let bells = bells.map_err(start_error("the control plane"))?;
        let lines = Arc::new(Lines::new(bells.iter().cloned()).map_err(start_error("the control plane"))?);
        control.spawn(desk::serve(lines.clone(), Arc::new(directory(configuration))));

        let mut running = Running { shards: Vec::new(), servers, journal: own_journal(level), logger, watchdog: None };
        let mut journals = journals.into_iter();
        running.journal = journals.next().unwrap_or_else(|| own_journal(level));
        let common = Common::new(configuration)?;
        control.spawn(space::watch(directories.spool.clone(), common.free_octets.clone()));
        for (number, ((doorbell, listeners), journal)) in bells.into_iter().zip(bound).zip(journals).enumerate() {
            let started =
                running.start_shard(number, doorbell, listeners, journal, &common, directories, lines.clone());
            if let Err(error) = started {
                running.stop(false);
                return Err(error);
            }
        }
        Ok(running)
    }

    #[allow(clippy::too_many_arguments, reason = "each is one thing that a shard gets of its own")]
    fn start_shard(
        &mut self,
        number: usize,
        doorbell: Arc<Doorbell>,
        listeners: ShardListeners,
        journal: Journal,
        common: &Common<'_>,
        directories: &Directories,
        lines: Arc<Lines>,
    ) -> Result<(), Error> {
        let configuration = common.configuration;
        let cpus = &configuration.ringpost.shards;
        let (vitals, stop) = (Arc::new(Vitals::default()), Arc::new(AtomicBool::new(false)));
        let (ready, is_ready) = channel();
        let setup = CoreSetup {
            name: format!("shard-{number}"),
            cpu: cpus[number],
            delivery_share: configuration.ringpost.delivery.share,
            doorbell: doorbell.clone(),
            vitals: vitals.clone(),
            free_octets: common.free_octets.clone(),
        };
        let adopted = adopted(number, cpus.len(), &directories.logs);
        let plan = Plan {
            number,
            log: directories.spool.join(log_name(number)),
            adopted: adopted.into_iter().map(|log| directories.spool.join(log_name(log))).collect(),
            spool: common.spool.clone(),
            spooler: common.spooler.clone(),
            mail: directories.mail.clone(),
            host: common.host.clone(),
            hold: configuration.ringpost.delivery.hold,
            servers: common.servers(listeners),
            grace: configuration.ringpost.shutdown_grace,
            lines,
            journal,
            stop: stop.clone(),
            ready,
        };
        let what = || start_error(format!("shard {number} on CPU {}", cpus[number]));
        let thread = GlommioMachine::start(setup, |machine| shard::run(machine, plan)).map_err(what())?;
        let ready: io::Result<Ready> = match is_ready.recv() {
            Ok(ready) => ready,
            // It ended before it could say anything: its thread's result says why.
            Err(_) => match thread.join() {
                Ok(Err(error)) => return Err(what()(error)),
                _ => return Err(Error::ShardEnded(number)),
            },
        };
        let messages = ready.map_err(what())?.messages;
        self.shards.push(RunningShard { cpu: cpus[number], doorbell, vitals, stop, thread, messages });
        Ok(())
    }

    /// Starts the watchdog; shards that end by themselves come out of what is returned.
    fn watch(&mut self) -> io::Result<tokio::sync::mpsc::Receiver<usize>> {
        let (sender, ended) = tokio::sync::mpsc::channel(self.shards.len().max(1));
        let watched = self.shards.iter().map(|shard| Watched::new(shard.vitals.clone(), &shard.thread)).collect();
        // The first shard that ends takes the process with it: there is room for the news of every one.
        let watchdog = Watchdog::start(watched, move |shard| {
            let _ = sender.try_send(shard);
        })?;
        self.watchdog = Some(watchdog);
        Ok(ended)
    }

    /// Lets all shards come to rest, then ends the rest. After a shard was lost there is nothing to wait for.
    fn stop(self, in_order: bool) {
        for shard in &self.shards {
            shard.stop.store(true, Ordering::Release);
            shard.doorbell.ring();
        }
        while in_order && self.shards.iter().any(|shard| !shard.vitals.has_ended()) {
            std::thread::sleep(Duration::from_millis(5));
        }
        if let Some(watchdog) = self.watchdog {
            watchdog.stop();
        }
        let pokes: u64 = self.shards.iter().map(|shard| shard.vitals.pokes()).sum();
        let panics: u64 = self.shards.iter().map(|shard| shard.vitals.panics()).sum();
        self.journal.note(Level::Info, now(), "stopped", &[("pokes", &pokes), ("panics", &panics)]);
        self.logger.stop(LOG_PATIENCE);
        if in_order {
            // A shard's result was in its vitals already; its thread is at its end.
            self.shards.into_iter().for_each(|shard| drop(shard.thread.join()));
        }
    }

    fn announcement(&self, configuration: &Configuration, directories: &Directories) -> String {
        let mut text = format!("ringpost {} is ready\n", env!("CARGO_PKG_VERSION"));
        let mut line = |name: &str, value: &str| text.push_str(&format!("  {name:<8} {value}\n"));
        for (name, protocol, addresses) in &self.servers {
            let protocol = if *protocol == config::Protocol::Smtp { "SMTP" } else { "LMTP" };
            for address in addresses {
                line(protocol, &format!("{address} ({name})"));
            }
        }
        for (number, shard) in self.shards.iter().enumerate() {
            let waiting = match shard.messages {
                0 => String::new(),
                1 => ", 1 message waiting".to_owned(),
                messages => format!(", {messages} messages waiting"),
            };
            line("shard", &format!("{number} on CPU {}{waiting}", shard.cpu));
        }
        let kind = requirements::describe_file_system(&directories.spool).unwrap_or_else(|error| error.to_string());
        line("spool", &format!("{} ({kind})", directories.spool.display()));
        line("mail", &directories.mail.display().to_string());
        if configuration.ringpost.delivery.hold {
            line("hold", "accepted mail stays in the spool (delivery/hold in ringpost.xml)");
        }
        if let Some(example) = self.example(configuration) {
            text.push_str(&format!("\nSend a first message:\n  {example}\n"));
        }
        text
    }

    /// A command that sends a message to the first user.
    fn example(&self, configuration: &Configuration) -> Option<String> {
        let (_, _, addresses) = self.servers.iter().find(|(_, protocol, _)| *protocol == config::Protocol::Smtp)?;
        let (address, user) = (addresses.first()?, configuration.ringpost.users.last()?);
        Some(format!(
            "printf 'Subject: Hello\\n\\nIt works.\\n' | curl -sS --crlf smtp://{address}/{host} --mail-from {user} --mail-rcpt {user} -T -",
            host = configuration.domains.default,
        ))
    }
}

/// A journal that nobody reads, for what cannot be told yet.
fn own_journal(level: Level) -> Journal {
    ring(level).0
}

fn least_level(level: LogLevel) -> Level {
    match level {
        LogLevel::Debug => Level::Debug,
        LogLevel::Info => Level::Session,
        LogLevel::Warn => Level::Warning,
        LogLevel::Error => Level::Error,
    }
}

/// Users and domains as the configuration lists them; it has been checked, so nothing is left out.
fn directory(configuration: &Configuration) -> Listed {
    let domains = configuration.domains.names.iter().filter_map(|name| Domain::parse(name).ok());
    let users = configuration.ringpost.users.iter().filter_map(|user| Mailbox::parse(user).ok());
    Listed::new(domains, users)
}

/// What each server is bound to, ports that were chosen included.
fn addresses(
    configuration: &Configuration,
    bound: &[ShardListeners],
) -> Vec<(String, config::Protocol, Vec<SocketAddr>)> {
    let listeners = bound.first().into_iter().flatten();
    let servers = enabled(configuration).zip(listeners).map(|(server, listeners)| {
        let addresses = listeners.iter().filter_map(|listener| listener.local_address().ok());
        (server.name.clone(), server.protocol, addresses.collect())
    });
    servers.collect()
}

/// What all shards get the same.
struct Common<'a> {
    configuration: &'a Configuration,
    spool: spool::Settings,
    spooler: Arc<spooler::Settings>,
    host: Box<str>,
    limits: Vec<Arc<Limit>>,
    /// Room on the file system that holds the spool, kept up to date.
    free_octets: Arc<AtomicU64>,
}

impl<'a> Common<'a> {
    fn new(configuration: &'a Configuration) -> Result<Common<'a>, Error> {
        let ringpost = &configuration.ringpost;
        let spool = spool::Settings {
            segment_octets: ringpost.spool.segment_octets,
            prepared: ringpost.spool.prepared as u32,
            max_segments: ringpost.spool.max_segments as u32,
            reserve_octets: ringpost.spool.reserve_octets,
            max_messages: MESSAGES,
        };
        let spooler = spooler::Settings {
            container: Container::local_delivery(),
            concurrency: ringpost.delivery.concurrency,
            retry: Retry::new(ringpost.delivery.retry.clone()),
        };
        let limit = |server: &ServerSettings| Arc::new(Limit::new(server.connection_limit.unwrap_or(0)));
        let host = enabled(configuration).next().map_or("localhost", |server| &server.hello_name).into();
        let limits = enabled(configuration).map(limit).collect();
        let directory = &ringpost.spool.directory;
        let octets = space::free_octets(directory).map_err(start_error("the watch over the spool's disk"))?;
        let free_octets = Arc::new(AtomicU64::new(octets));
        Ok(Common { configuration, spool, spooler: Arc::new(spooler), host, limits, free_octets })
    }

    /// The servers as one shard gets them.
    fn servers(&self, listeners: ShardListeners) -> Vec<ServerPlan> {
        let servers = enabled(self.configuration).zip(&self.limits).zip(listeners);
        servers.map(|((server, limit), listeners)| self.server(server, limit, listeners)).collect()
    }

    fn server(
        &self,
        server: &ServerSettings,
        limit: &Arc<Limit>,
        listeners: Vec<crate::io::glommio::BoundListener>,
    ) -> ServerPlan {
        ServerPlan {
            name: server.name.as_str().into(),
            settings: Arc::new(session_settings(self.configuration, server)),
            // Recipients are checked and relaying is refused whether or not the chain names the handlers.
            chain: Chain::new(vec![Handler::ValidRcpt, Handler::Relay]),
            idle_timeout: server.idle_timeout,
            graceful: server.graceful_shutdown,
            connections: limit.clone(),
            listeners,
        }
    }
}
