//! Keys and certificates of all servers: read at the start, on SIGHUP and when their files change, and handed to every core.
//!
//! A file that cannot be used leaves its server with what it had, and the log says so. Sessions that are there go on as they
//! began. Keys for tickets are made here too, and replaced in good time.

use std::collections::VecDeque;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::{Instant, sleep, sleep_until};

use super::journal::{Field, Journal, Level};
use super::signals::HangUps;
use crate::config::keystore::{KeyProblem, identities, trusted};
use crate::config::server::tls::Credentials;
use crate::config::{Configuration, Protocol, ServerSettings, TlsExtras, TlsSettings};
use crate::io::handover::Handover;
use crate::io::records::Offered;
use crate::io::tls::{self, Identities, ServerConfig, TicketKey, TicketKeys, Tickets};

/// How often it is looked whether files have changed. What has changed is read once it stays as it is from one look to the next.
const LOOK: Duration = Duration::from_secs(2);

/// How long a ticket is good where nothing else is said.
const LIFETIME: Duration = Duration::from_secs(12 * 3600);

/// How long a ticket may be good (RFC 8446 §4.6.1).
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);

/// Keys of tickets in the time that a ticket is good.
const KEYS: u32 = 4;

/// News that may wait for a core.
pub const WAITING: usize = 16;

/// How long is waited before news are tried again on a core with no room for more.
const AGAIN: Duration = Duration::from_millis(100);

/// What a core is told.
#[derive(Clone, Debug)]
pub enum News {
    /// How servers speak TLS from now on, by their places; `None` changes nothing.
    Configs(Vec<Option<Arc<ServerConfig>>>),
    /// The keys of tickets from now on.
    TicketKeys(Arc<TicketKeys>),
}

/// Why a server's TLS cannot be had.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is of no use.
    #[error("TLS of {0}: {1}")]
    Key(String, KeyProblem),
    /// What is asked for does not go together.
    #[error("TLS of {0}: {1}")]
    Settings(String, rustls::Error),
}

/// What servers speak TLS with, as the configuration names it.
#[derive(Clone, Debug)]
pub struct Certificates {
    servers: Vec<Option<Wanted>>,
    extras: TlsExtras,
    /// What the kernel is given the keys for.
    kernel: Offered,
}

#[derive(Clone, Debug)]
struct Wanted {
    name: String,
    protocol: Protocol,
    tls: TlsSettings,
}

impl Certificates {
    /// Those of all servers that are started, in their order; the kernel is given the keys of what it has `kernel` for.
    pub fn of(configuration: &Configuration, kernel: Offered) -> Certificates {
        let wanted = |server: &ServerSettings| {
            let tls = server.tls.clone()?;
            Some(Wanted { name: server.name.clone(), protocol: server.protocol, tls })
        };
        let servers = configuration.servers.iter().filter(|server| server.enabled).map(wanted).collect();
        Certificates { servers, extras: configuration.ringpost.tls.clone(), kernel }
    }

    /// Reads the files of all servers.
    pub fn load(&self) -> Vec<Option<Result<Arc<ServerConfig>, TlsError>>> {
        self.servers.iter().map(|server| server.as_ref().map(|server| server.load(&self.extras, self.kernel))).collect()
    }

    /// How long tickets are good, at most; `None` where there are none.
    fn lifetime(&self) -> Option<Duration> {
        let lifetimes = self.servers.iter().flatten().map(|server| lifetime(&server.tls));
        if self.extras.tickets { lifetimes.max() } else { None }
    }

    fn files(&self) -> Vec<PathBuf> {
        let servers = self.servers.iter().flatten();
        let own = servers.clone().flat_map(|server| files(&server.tls.credentials));
        let extras = self.extras.certificates.iter().flat_map(files);
        let truststores = servers.filter_map(|server| server.tls.client_auth.as_ref()?.truststore.as_ref());
        own.chain(extras).chain(truststores.map(|keystore| keystore.path.clone())).collect()
    }

    /// What the files look like from outside.
    fn look(&self) -> Vec<Option<(u64, i64, i64, u64)>> {
        let one = |path: &PathBuf| {
            let metadata = std::fs::metadata(path).ok()?;
            Some((metadata.ino(), metadata.mtime(), metadata.mtime_nsec(), metadata.len()))
        };
        self.files().iter().map(one).collect()
    }
}

impl Wanted {
    fn load(&self, extras: &TlsExtras, kernel: Offered) -> Result<Arc<ServerConfig>, TlsError> {
        let wrong = |problem| TlsError::Key(self.name.clone(), problem);
        let mut all = identities(&self.tls.credentials).map_err(wrong)?;
        for credentials in &extras.certificates {
            all.extend(identities(credentials).map_err(wrong)?);
        }
        let Some((default, others)) = all.split_first() else {
            return Err(TlsError::Settings(self.name.clone(), rustls::Error::NoCertificatesPresented));
        };
        let clients = self.tls.client_auth.as_ref().map(trusted).transpose().map_err(wrong)?;
        let tickets = Tickets { server: self.name.clone(), lifetime: lifetime(&self.tls) };
        let settings = tls::TlsSettings {
            identities: Identities::new(default, others),
            versions: self.tls.versions.clone(),
            cipher_suites: self.tls.cipher_suites.clone(),
            clients,
            protocol: match self.protocol {
                Protocol::Smtp => "smtp",
                Protocol::Lmtp => "lmtp",
            },
            tickets: extras.tickets.then_some(tickets),
            kernel,
        };
        tls::server_config(settings).map_err(|error| TlsError::Settings(self.name.clone(), error))
    }
}

fn lifetime(tls: &TlsSettings) -> Duration {
    match tls.session_cache_timeout {
        None => LIFETIME,
        // In Java no limit; the protocol has one.
        Some(Duration::ZERO) => LONGEST,
        Some(timeout) => timeout.min(LONGEST),
    }
}

fn files(credentials: &Credentials) -> Vec<PathBuf> {
    match credentials {
        Credentials::Keystore(keystore) => vec![keystore.path.clone()],
        Credentials::Pem { private_key, certificates, .. } => vec![private_key.clone(), certificates.clone()],
    }
}

/// The keys of tickets, the newest first, as many as a ticket can still be under.
pub struct KeyRing(VecDeque<Arc<TicketKey>>);

impl KeyRing {
    /// With one key.
    pub fn new() -> io::Result<KeyRing> {
        Ok(KeyRing(VecDeque::from([Arc::new(TicketKey::random()?)])))
    }

    /// Puts a new key before the others, and drops one that no ticket can be under any more.
    pub fn rotate(&mut self) -> io::Result<()> {
        self.0.push_front(Arc::new(TicketKey::random()?));
        // The newest, and those that were the newest while a ticket that is still good was made.
        self.0.truncate(KEYS as usize + 2);
        Ok(())
    }

    /// The keys, for cores.
    pub fn keys(&self) -> Arc<TicketKeys> {
        Arc::new(TicketKeys::new(self.0.iter().cloned().collect()))
    }
}

/// Who hears news, and where it is written down.
pub struct Watch {
    /// What is watched.
    pub certificates: Certificates,
    /// The keys that the cores have now.
    pub ring: KeyRing,
    /// Every core.
    pub cores: Vec<Arc<Handover<News>>>,
    /// The log.
    pub journal: Journal,
    /// SIGHUP.
    pub hang_ups: HangUps,
}

impl Watch {
    /// Watches for ever. Must run inside a tokio runtime.
    pub async fn run(mut self) {
        let period = self.certificates.lifetime().map(|lifetime| (lifetime / KEYS).max(Duration::from_secs(1)));
        let mut rotation = period.map(|period| Instant::now() + period);
        let mut known = self.certificates.look();
        let mut seen = known.clone();
        loop {
            let due = async {
                match rotation {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.hang_ups.next() => {
                    known = self.certificates.look();
                    self.reload("SIGHUP").await;
                }
                () = due => {
                    rotation = period.map(|period| Instant::now() + period);
                    self.rotate().await;
                }
                () = sleep(LOOK) => {
                    let now = self.certificates.look();
                    if now != known && now == seen {
                        known.clone_from(&now);
                        self.reload("changed").await;
                    }
                    seen = now;
                }
            }
        }
    }

    async fn rotate(&mut self) {
        match self.ring.rotate() {
            Ok(()) => {
                self.tell(&News::TicketKeys(self.ring.keys())).await;
                self.note(Level::Debug, "ticket-keys-rotated", &[]);
            }
            Err(error) => self.note(Level::Error, "ticket-keys-kept", &[("text", &error)]),
        }
    }

    async fn reload(&mut self, why: &str) {
        let certificates = self.certificates.clone();
        // Opening a keystore takes a while on purpose.
        let Ok(loaded) = tokio::task::spawn_blocking(move || certificates.load()).await else { return };
        let mut configs = Vec::new();
        for (wanted, loaded) in self.certificates.servers.iter().zip(loaded) {
            let name = wanted.as_ref().map_or("", |wanted| wanted.name.as_str());
            configs.push(match loaded {
                Some(Ok(config)) => {
                    self.note(Level::Info, "certificates-reloaded", &[("server", &name), ("why", &why)]);
                    Some(config)
                }
                Some(Err(error)) => {
                    let text = format!("{error}; the certificates from before stay in use");
                    self.note(Level::Error, "certificates-kept", &[("server", &name), ("text", &text)]);
                    None
                }
                None => None,
            });
        }
        self.tell(&News::Configs(configs)).await;
    }

    async fn tell(&mut self, news: &News) {
        for core in &self.cores {
            let mut news = news.clone();
            // A core that is stuck is the watchdog's business; until it is settled, there is nothing newer to say.
            while let Err(back) = core.give(news) {
                news = back;
                sleep(AGAIN).await;
            }
        }
    }

    fn note(&self, level: Level, name: &str, fields: &[Field<'_>]) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros() as u64;
        self.journal.note(level, now, name, fields);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_kept_as_long_as_a_ticket_can_be_under_it() {
        let mut ring = KeyRing::new().unwrap();
        let first = ring.0[0].clone();
        let is_kept = |ring: &KeyRing| ring.0.iter().any(|key| Arc::ptr_eq(key, &first));
        for rotation in 0..=KEYS {
            ring.rotate().unwrap();
            assert!(is_kept(&ring), "after {rotation}");
            assert!(!Arc::ptr_eq(&ring.0[0], &first), "new tickets are under a new key");
        }
        ring.rotate().unwrap();
        assert!(!is_kept(&ring));
        assert_eq!(ring.0.len(), KEYS as usize + 2);
    }
}
