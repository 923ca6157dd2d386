//! What the operator wrote, as the parts of the process want it.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use super::backoff::Backoff;
use super::core::{Limit, ServerTls};
use super::error::{Error, start_error};
use super::gate::{Gate, PerClient};
use super::holdings::{Listeners, enabled};
use super::kernel_tls::KernelTls;
use super::login::Logins;
use super::outgoing;
use super::pace::Timeouts;
use super::placement::Wish;
use super::requirements;
use super::settings::{chain, lmtp_way, session_settings, spooler_settings};
use super::shard::ServerPlan;
use super::spooler;
use crate::config::ringpost::FAILURE_DELAY_MOST;
use crate::config::{Configuration, ContainerSettings, LogFormat, LogLevel, ServerSettings, TimeoutSettings};
use crate::control::certificates::{Certificates, KeyRing};
use crate::control::journal::Level;
use crate::control::logger::Format;
use crate::control::space;
use crate::io::counts::Counts;
use crate::io::metal::BoundListener;
use crate::spool;

/// Messages that a shard's spool holds at most: about 200 octets of memory each.
const MESSAGES: usize = 2_000_000;

/// The least important events that are written.
pub fn least_level(configuration: &Configuration) -> Level {
    match configuration.ringpost.log.level {
        LogLevel::Debug => Level::Debug,
        LogLevel::Info => Level::Session,
        LogLevel::Warn => Level::Warning,
        LogLevel::Error => Level::Error,
    }
}

/// How the log looks.
pub fn log_format(configuration: &Configuration) -> Format {
    match configuration.ringpost.log.format {
        LogFormat::Text => Format::Text,
        LogFormat::Json => Format::Json,
    }
}

/// How each log is laid out.
pub fn spool_settings(configuration: &Configuration) -> spool::Settings {
    let ringpost = &configuration.ringpost;
    spool::Settings {
        segment_octets: ringpost.spool.segment_octets,
        prepared: ringpost.spool.prepared as u32,
        max_segments: ringpost.spool.max_segments as u32,
        reserve_octets: ringpost.spool.reserve_octets,
        max_messages: MESSAGES,
        longest_delay: longest_delay(configuration),
    }
}

/// What all shards get the same.
pub struct Common<'a> {
    /// What the operator wrote.
    pub configuration: &'a Configuration,
    /// How each log is laid out.
    pub spool: spool::Settings,
    /// How messages are seen through.
    pub spooler: Arc<spooler::Settings>,
    /// How mail leaves.
    pub outgoing: Arc<outgoing::Settings>,
    /// This host's name in the names of files.
    pub host: Box<str>,
    /// Room on the file system that holds the spool, kept up to date.
    pub free_octets: Arc<AtomicU64>,
    /// What servers speak TLS with.
    pub certificates: Certificates,
    /// What part the kernel has in it.
    pub kernel_tls: KernelTls,
    /// The keys of tickets.
    pub ring: KeyRing,
    /// Who is let in by each server, over all shards.
    gates: Vec<Gate>,
    /// How each server speaks TLS at first.
    tls: Vec<Option<ServerTls>>,
    /// Who is believed by all servers.
    logins: Logins,
}

impl<'a> Common<'a> {
    /// Out of a configuration that has been checked.
    pub fn new(configuration: &'a Configuration) -> Result<Common<'a>, Error> {
        let ringpost = &configuration.ringpost;
        let spool = spool_settings(configuration);
        let spooler = spooler_settings(configuration);
        let host = enabled(configuration).next().map_or("localhost", |server| &server.hello_name).into();
        let gates = gates(configuration);
        let logins = Logins {
            backoff: Arc::new(Backoff::new(ringpost.limits.ipv6_prefix)),
            failure_delay: failure_delay(configuration),
        };
        let directory = &ringpost.spool.directory;
        let octets = space::free_octets(directory).map_err(start_error("the watch over the spool's disk"))?;
        let free_octets = Arc::new(AtomicU64::new(octets));
        let kernel_tls = KernelTls::find(configuration);
        let certificates = Certificates::of(configuration, kernel_tls.offered());
        let loaded = certificates.load().into_iter().map(Option::transpose).collect::<Result<Vec<_>, _>>()?;
        let start = |server: &ServerSettings| server.tls.as_ref().map(|tls| tls.start);
        let tls = enabled(configuration).zip(loaded);
        let tls = tls.map(|(server, config)| Some(ServerTls::new(start(server)?, config?))).collect();
        let ring = KeyRing::new().map_err(start_error("TLS"))?;
        let spooler = Arc::new(spooler);
        let outgoing = Arc::new(outgoing::Settings::of(configuration));
        Ok(Common {
            configuration,
            spool,
            spooler,
            outgoing,
            host,
            certificates,
            kernel_tls,
            ring,
            gates,
            tls,
            logins,
            free_octets,
        })
    }

    /// The servers as one shard gets them.
    pub fn servers(&self, listeners: Listeners) -> Vec<ServerPlan> {
        let servers = enabled(self.configuration).zip(&self.gates).zip(&self.tls).zip(listeners);
        servers.map(|(((server, gate), tls), listeners)| self.server(server, gate, tls, listeners)).collect()
    }

    fn server(
        &self,
        server: &ServerSettings,
        gate: &Gate,
        tls: &Option<ServerTls>,
        listeners: Vec<BoundListener>,
    ) -> ServerPlan {
        ServerPlan {
            name: server.name.as_str().into(),
            settings: Arc::new(session_settings(self.configuration, server)),
            chain: chain(self.configuration, server),
            idle_timeout: server.idle_timeout,
            graceful: server.graceful_shutdown,
            gate: gate.clone(),
            tls: tls.clone(),
            logins: self.logins.clone(),
            lmtp: lmtp_way(server),
            listeners,
        }
    }
}

/// The longer of James' `verifyFailureDelay` and our own, within bounds.
fn failure_delay(configuration: &Configuration) -> Duration {
    let james = configuration.users.as_ref().map_or(Duration::ZERO, |users| users.verify_failure_delay);
    james.max(configuration.ringpost.limits.auth_failure_delay).min(FAILURE_DELAY_MOST)
}

/// What the servers ask for of cores and threads.
pub fn wishes(configuration: &Configuration) -> Vec<Wish> {
    let wish = |server: &ServerSettings| Wish {
        name: server.name.clone(),
        io_workers: server.io_workers,
        boss_workers: server.boss_workers,
        max_executors: server.max_executors,
    };
    enabled(configuration).map(wish).collect()
}

/// How long clients may take.
pub fn timeouts(settings: &TimeoutSettings) -> Timeouts {
    let TimeoutSettings { proxy_header, tls_handshake, command_line, transaction, .. } = *settings;
    let TimeoutSettings { session, content_rate, content_window, .. } = *settings;
    Timeouts { proxy_header, tls_handshake, command_line, transaction, session, content_rate, content_window }
}

/// The longest that mail waits between two attempts, wherever it goes.
fn longest_delay(configuration: &Configuration) -> Duration {
    let container = configuration.container.as_ref();
    let remotes = container.into_iter().flat_map(|container| &container.remotes).map(|remote| &remote.schedule);
    let lmtps = container.into_iter().flat_map(|container| &container.lmtps).map(|lmtp| &lmtp.schedule);
    let leaving = remotes.chain(lmtps).filter_map(|schedule| schedule.bounds().1);
    leaving.chain(configuration.ringpost.delivery.retry.iter().copied()).max().unwrap_or_default()
}

/// Descriptors that shards may need at any time: for segments, deliveries (a file and a directory each), and what they began with.
fn own_descriptors(configuration: &Configuration) -> usize {
    let ringpost = &configuration.ringpost;
    let leaves = |container: &ContainerSettings| !(container.remotes.is_empty() && container.lmtps.is_empty());
    let leaving = if configuration.container.as_ref().is_some_and(leaves) { outgoing::CONNECTIONS_MAX } else { 0 };
    ringpost.shards.len() * (ringpost.spool.max_segments + 2 * ringpost.delivery.concurrency + leaving + 32) + 64
}

/// Who is let in by each server. The table of clients is there only where a server asks for it.
fn gates(configuration: &Configuration) -> Vec<Gate> {
    let limits = &configuration.ringpost.limits;
    let descriptors = requirements::descriptors_for_connections(own_descriptors(configuration));
    let asked = enabled(configuration).any(|server| server.connection_limit_per_ip.is_some());
    let counts = asked.then(|| Counts::new(requirements::descriptors()));
    let per_client = |place: usize, server: &ServerSettings| {
        let (counts, limit) = (counts.clone()?, server.connection_limit_per_ip?);
        Some(PerClient { counts, server: place as u32, limit, ipv6_prefix: limits.ipv6_prefix })
    };
    let gate = |(place, server): (usize, &ServerSettings)| Gate {
        connections: Arc::new(Limit::new(server.connection_limit.unwrap_or(0))),
        per_client: per_client(place, server),
        unnamed: server.proxy.required.then(|| Arc::new(Limit::new(limits.without_header))),
        proxy_first: server.proxy.first,
        descriptors,
    };
    enabled(configuration).enumerate().map(gate).collect()
}
