//! Names of hosts and domains, looked up on the control plane: hickory asks, this tells its answers apart and remembers them.
//!
//! Whatever a name server does, an answer comes within [`PATIENCE`]: what is no answer by then, or none that can be used, is
//! [`MailExchange::Unavailable`] and its like, which nobody takes for a domain that is not there.

use std::net::{IpAddr, SocketAddr};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{Name, RecordType};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use self::answer::Told;
use self::memory::Memory;
use crate::delivery::names::Unavailable;
use crate::delivery::route::{Addresses, MailExchange};

pub mod answer;
pub mod client;
pub mod memory;
pub mod system;

/// How long a question may take, with all that has to be asked for it.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// How long name servers are waited for at a time, and how often they are tried after the first time.
pub const TRY: Duration = Duration::from_secs(5);
const RETRIES: usize = 2;

/// Questions that are asked at a time, over all cores; the next one waits, and its patience runs.
const ASKING: usize = 256;

/// Questions that one connection to a name server may have open: one lookup asks for two kinds of address.
const OPEN: usize = 2 * ASKING;

/// The longest an answer is remembered, whatever it says of itself.
pub const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// How long it is remembered that nobody answered (RFC 2308 §7): short, but not asked anew for every message of a batch.
pub const UNANSWERED: Duration = Duration::from_secs(5);

/// How names are looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The name servers.
    pub servers: Vec<SocketAddr>,
    /// Answers that are remembered, over all cores; 0 for none.
    pub remembered: usize,
    /// The longest that it is remembered that there is nothing.
    pub negative: Option<Duration>,
    /// Only what comes from a server that is authoritative for it is remembered.
    pub authoritative: bool,
    /// How long the servers are waited for before they are tried again: [`TRY`].
    pub try_for: Duration,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Question {
    /// Where mail for this domain goes.
    MailExchange(Box<str>),
    /// The addresses of this host.
    Addresses(Box<str>),
    /// Whether the list has the address (RFC 5782).
    Listed(Box<str>, IpAddr),
}

/// What is answered, each to the question of its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// To [`Question::MailExchange`].
    MailExchange(MailExchange),
    /// To [`Question::Addresses`].
    Addresses(Addresses),
    /// To [`Question::Listed`].
    Listed(Result<bool, Unavailable>),
}

impl Question {
    /// That nobody said.
    pub fn unavailable(&self) -> Answer {
        match self {
            Question::MailExchange(_) => Answer::MailExchange(MailExchange::Unavailable),
            Question::Addresses(_) => Answer::Addresses(Addresses::Unavailable),
            Question::Listed(..) => Answer::Listed(Err(Unavailable)),
        }
    }

    /// That there is no such name.
    fn nothing(&self) -> Answer {
        match self {
            Question::MailExchange(_) => Answer::MailExchange(MailExchange::NoDomain),
            Question::Addresses(_) => Answer::Addresses(Addresses::Found(Vec::new())),
            Question::Listed(..) => Answer::Listed(Ok(false)),
        }
    }
}

/// Asks the name servers. Must be used inside a tokio runtime.
pub struct Resolver {
    hickory: Option<TokioResolver>,
    settings: Settings,
    places: Semaphore,
    memory: Mutex<Memory>,
}

impl Resolver {
    /// Of these servers.
    ///
    /// # Errors
    ///
    /// Where the resolver cannot be set up.
    pub fn new(settings: Settings) -> Result<Resolver, NetError> {
        let servers = settings.servers.iter().map(|server| name_server(*server)).collect();
        let config = ResolverConfig::from_parts(None, Vec::new(), servers);
        let mut options = ResolverOpts::default();
        options.timeout = settings.try_for;
        options.attempts = RETRIES;
        options.max_active_requests = OPEN;
        options.try_tcp_on_error = true;
        // What is remembered is remembered here: answers as small as they are used, and no more of them than was said.
        options.cache_size = 0;
        let builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        let hickory = builder.with_options(options).build()?;
        Ok(Resolver { hickory: Some(hickory), ..Resolver::mute(settings) })
    }

    /// One that answers nothing.
    pub fn nobody() -> Resolver {
        let (servers, negative) = (Vec::new(), None);
        Resolver::mute(Settings { servers, remembered: 0, negative, authoritative: false, try_for: TRY })
    }

    fn mute(settings: Settings) -> Resolver {
        let memory = Mutex::new(Memory::new(settings.remembered));
        Resolver { hickory: None, places: Semaphore::new(ASKING), memory, settings }
    }

    /// Answers, and says for how long the answer is good.
    pub async fn answer(&self, question: &Question) -> Told {
        if let Some(told) = self.recall(question, Instant::now()) {
            return told;
        }
        let mut told = match timeout(PATIENCE, self.ask(question)).await {
            Ok(told) => told,
            Err(_) => Told::unanswered(question),
        };
        if self.settings.authoritative && !told.authoritative {
            told.lasts = Duration::ZERO;
        }
        self.remember(question, &told, Instant::now());
        told
    }

    async fn ask(&self, question: &Question) -> Told {
        let (Some(hickory), Ok(_place)) = (&self.hickory, self.places.acquire().await) else {
            return Told::unanswered(question);
        };
        let Some(name) = answer::asked_name(question) else {
            return Told { answer: question.nothing(), lasts: Duration::ZERO, authoritative: true };
        };
        let told = match question {
            Question::MailExchange(_) => answer::mail_exchange(hickory.lookup(name, RecordType::MX).await),
            Question::Listed(..) => answer::listed(hickory.lookup(name, RecordType::A).await),
            Question::Addresses(_) => {
                let look_up = |kind| hickory.lookup(name.clone(), kind);
                let (six, four) = tokio::join!(look_up(RecordType::AAAA), look_up(RecordType::A));
                answer::addresses(six, four)
            }
        };
        told.within(self.settings.negative)
    }

    fn recall(&self, question: &Question, now: Instant) -> Option<Told> {
        let memory = self.memory.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        memory.get(question, now)
    }

    fn remember(&self, question: &Question, told: &Told, now: Instant) {
        if !told.lasts.is_zero() {
            let mut memory = self.memory.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            memory.put(question.clone(), told.clone(), now);
        }
    }
}

fn name_server(server: SocketAddr) -> NameServerConfig {
    let at = |mut connection: ConnectionConfig| {
        connection.port = server.port();
        connection
    };
    let connections = vec![at(ConnectionConfig::udp()), at(ConnectionConfig::tcp())];
    NameServerConfig::new(server.ip(), true, connections)
}

/// A name as it is asked for: whole, so that no search list of the machine makes another one of it.
fn whole(name: &str) -> Option<Name> {
    let name = if name.is_ascii() { name.to_owned() } else { idna::domain_to_ascii(name).ok()? };
    let mut name = Name::from_ascii(name).ok()?;
    name.set_fqdn(true);
    (!name.is_root()).then_some(name)
}
