//! One `<smtpserver>` or `<lmtpserver>`.

use std::net::SocketAddr;
use std::time::Duration;

use self::auth::AuthSettings;
use self::bind::Taken;
use self::effective::Effective;
use self::tls::TlsSettings;
use super::Surroundings;
use super::handlerchain::{self, CoreHandlers, HandlerChain};
use super::host::Host;
use super::key::{Key, key};
use super::problem::Severity;
use super::problems::Problems;
use super::section::Section;
use super::value;
use super::walk::{Scope, walk};
use super::xml::{Element, File};
use crate::hook::IdentityMode;
use crate::mail::Networks;
use crate::mail::limits::COMMAND_LINE_OCTETS;
use crate::smtp::server::settings::Feature;

pub mod auth;
pub mod bind;
pub mod effective;
pub mod features;
pub mod keys;
mod older;
pub mod relay;
pub mod tls;

/// What a server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// SMTP (RFC 5321).
    Smtp,
    /// LMTP (RFC 2033).
    Lmtp,
}

/// One server as its element says it, every default filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerSettings {
    /// What it speaks.
    pub protocol: Protocol,
    /// `jmxName`: what the log and the figures call it; unique among the enabled servers.
    pub name: String,
    /// `@enabled`: a server that is not is checked and not started.
    pub enabled: bool,
    /// `bind`: where it listens, in the order given; no two enabled servers overlap. Port 0 is any free port.
    pub bind: Vec<SocketAddr>,
    /// `connectionBacklog`: connections that the kernel keeps waiting.
    pub backlog: u32,
    /// `connectiontimeout`: how long a client may say nothing.
    pub idle_timeout: Duration,
    /// `connectionLimit`: most connections at a time; `None` is no limit.
    pub connection_limit: Option<u32>,
    /// `helloName`: what the server calls itself in its greeting and in Received: a domain or an address literal.
    pub hello_name: String,
    /// `smtpGreeting` or `lmtpGreeting`: the text after `220 `, printable ASCII; `None` is the generated one.
    pub greeting: Option<String>,
    /// `maxmessagesize` in octets; `None` is no limit.
    pub max_message_octets: Option<u64>,
    /// `maxLineLength`: octets of a line without its CR LF, from 1000 to 1048576.
    pub max_line_octets: usize,
    /// `heloEhloEnforcement`: MAIL before HELO, EHLO or LHLO is refused.
    pub require_hello: bool,
    /// `addressBracketsEnforcement`: paths must be written in `<` and `>`.
    pub require_brackets: bool,
    /// `disabledFeatures`: what EHLO and LHLO leave out.
    pub disabled_features: Vec<Feature>,
    /// `gracefulShutdown`: transactions may go on when the process is told to stop, for the grace of `ringpost.xml`.
    pub graceful_shutdown: bool,
    /// `connectionLimitPerIP`: most connections of one client at a time; `None` is no limit.
    pub connection_limit_per_ip: Option<u32>,
    /// `proxyRequired` and `proxyFirst`.
    pub proxy: ProxySettings,
    /// `ioWorkerCount`: how many shards serve this server; `None` is all of them.
    pub io_workers: Option<usize>,
    /// `bossWorkerCount`: executors that do nothing but accept; 0 where every shard accepts for itself.
    pub boss_workers: usize,
    /// `maxExecutorCount`: threads of the control plane, 1 or more.
    pub max_executors: usize,
    /// `tls`; `None` where there is none, and while what it says is wrong.
    pub tls: Option<TlsSettings>,
    /// `auth`; LMTP has none.
    pub auth: AuthSettings,
    /// `authorizedAddresses`: who may relay without AUTH.
    pub authorized_addresses: Networks,
    /// `verifyIdentity`; LMTP has it disabled.
    pub identity: IdentityMode,
    /// `handlerchain`.
    pub handlers: HandlerChain,
}

/// The PROXY protocol: a proxy tells who the client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxySettings {
    /// `proxyRequired`: a connection must begin with it.
    pub required: bool,
    /// `proxyFirst`: with `socketTLS` it comes in clear before TLS begins, and else inside.
    pub first: bool,
}

impl Protocol {
    /// The element of one server.
    pub fn element(self) -> &'static str {
        match self {
            Protocol::Smtp => "smtpserver",
            Protocol::Lmtp => "lmtpserver",
        }
    }

    /// The outermost element of its file.
    fn root(self) -> &'static str {
        match self {
            Protocol::Smtp => "smtpservers",
            Protocol::Lmtp => "lmtpservers",
        }
    }

    /// The outermost element as a file has it.
    fn root_keys(self) -> &'static [Key] {
        match self {
            Protocol::Smtp => const { &[key("smtpserver").apart()] },
            Protocol::Lmtp => const { &[key("lmtpserver").apart()] },
        }
    }

    /// The keys of one server.
    pub fn keys(self) -> [&'static [Key]; 2] {
        match self {
            Protocol::Smtp => [keys::COMMON, keys::SMTP],
            Protocol::Lmtp => [keys::COMMON, keys::LMTP],
        }
    }

    fn greeting(self) -> &'static str {
        match self {
            Protocol::Smtp => "smtpGreeting",
            Protocol::Lmtp => "lmtpGreeting",
        }
    }

    /// The port that James listens on where `bind` is missing.
    fn port(self) -> u16 {
        match self {
            Protocol::Smtp => 25,
            Protocol::Lmtp => 24,
        }
    }
}

/// What came of reading a file of servers.
#[derive(Debug, Default)]
pub struct Servers {
    /// The servers in their order, those that are not enabled too.
    pub settings: Vec<ServerSettings>,
    /// The same for people.
    pub effective: Vec<Effective>,
    taken: Taken,
}

impl Servers {
    /// Reads `smtpserver.xml` or `lmtpserver.xml`.
    pub fn read(&mut self, file: &File, protocol: Protocol, around: Surroundings<'_>, problems: &mut Problems) {
        let Some(section) = Section::root(file, protocol.root(), problems) else { return };
        let (root, problems) = (section.element, section.problems);
        // A server whose element is misspelt would not be there, which somebody relies on.
        let scope = Scope { name: protocol.root(), keys: &[protocol.root_keys()], unknown: Severity::Error };
        walk(file, root, &scope, problems);
        for element in root.children.iter().filter(|child| child.name == protocol.element()) {
            self.read_one(file, element, protocol, around, problems);
        }
    }

    fn read_one(
        &mut self,
        file: &File,
        element: &Element,
        protocol: Protocol,
        around: Surroundings<'_>,
        problems: &mut Problems,
    ) {
        let enabled = Section { file, element, problems }.read("@enabled", value::boolean).unwrap_or(true);
        if !enabled {
            problems.limit(Severity::Warning);
        }
        let keys = protocol.keys();
        let element = &older::modernised(file, element, &keys, problems);
        let scope = Scope { name: protocol.element(), keys: &keys, unknown: Severity::Warning };
        walk(file, element, &scope, problems);
        let mut section = Section { file, element, problems };
        let settings = settings(&mut section, protocol, enabled, around);
        if protocol == Protocol::Smtp {
            auth::check(&mut section, &settings);
        }
        if enabled {
            self.taken.take(&mut section, &settings);
        }
        self.effective.push(effective::effective(&section, &settings, &keys));
        self.settings.push(settings);
        problems.limit(Severity::Error);
    }
}

fn settings(section: &mut Section<'_>, protocol: Protocol, enabled: bool, around: Surroundings<'_>) -> ServerSettings {
    let smtp = protocol == Protocol::Smtp;
    let Surroundings { host, places } = around;
    ServerSettings {
        protocol,
        name: section.read("jmxName", name).unwrap_or_else(|| protocol.element().to_owned()),
        enabled,
        bind: bind::bind(section, protocol, host),
        backlog: section.read("connectionBacklog", |text| small(text, 1, 65_535)).unwrap_or(200),
        idle_timeout: section.read("connectiontimeout", idle_timeout).unwrap_or(Duration::from_secs(300)),
        connection_limit: limit(section, "connectionLimit"),
        connection_limit_per_ip: limit(section, "connectionLimitPerIP"),
        hello_name: hello_name(section, host),
        greeting: section.read(protocol.greeting(), value::greeting).flatten(),
        max_message_octets: section.read("maxmessagesize", value::message_size).flatten(),
        max_line_octets: section
            .read("maxLineLength", |text| small(text, 1000, 1 << 20))
            .map_or(COMMAND_LINE_OCTETS, |octets| octets as usize),
        require_hello: section.read("heloEhloEnforcement", value::boolean).unwrap_or(smtp),
        require_brackets: section.read("addressBracketsEnforcement", value::boolean).unwrap_or(smtp),
        disabled_features: features::disabled(section),
        graceful_shutdown: section.read("gracefulShutdown", value::boolean).unwrap_or(true),
        proxy: ProxySettings {
            required: section.read("proxyRequired", value::boolean).unwrap_or(false),
            first: section.read("proxyFirst", value::boolean).unwrap_or(true),
        },
        io_workers: threads(section, "ioWorkerCount", 1),
        boss_workers: threads(section, "bossWorkerCount", 0).unwrap_or(0),
        max_executors: threads(section, "maxExecutorCount", 1).unwrap_or(16),
        tls: tls::read(section, places, host),
        auth: if smtp { auth::read(section) } else { AuthSettings::default() },
        authorized_addresses: if smtp { relay::authorized(section, host) } else { Networks::default() },
        identity: if smtp { relay::identity(section) } else { IdentityMode::Disabled },
        handlers: handlerchain::read(section, protocol),
    }
}

/// A limit; 0 is none.
fn limit(section: &mut Section<'_>, path: &str) -> Option<u32> {
    section.read(path, |text| small(text, 0, 10_000_000)).filter(|limit| *limit > 0)
}

/// A number of threads, of which more than a machine has CPUs are no mistake: James' default is twice as many.
fn threads(section: &mut Section<'_>, path: &str, least: u32) -> Option<usize> {
    section.read(path, |text| small(text, least, 100_000)).map(|count| count as usize)
}

/// James 2.3 counted milliseconds, so what is far too long was probably one of its.
fn idle_timeout(text: &str) -> Result<Duration, value::Expected> {
    value::seconds(text, 1, 86_400).map_err(|expected| match value::number(text, 86_401, 86_400_000) {
        Ok(millis) => format!("{expected} (James 2.3 had milliseconds; these would be {})", millis.div_ceil(1000)),
        Err(_) => expected,
    })
}

fn small(text: &str, least: u32, most: u32) -> Result<u32, value::Expected> {
    let number = value::number(text, u64::from(least), u64::from(most))?;
    u32::try_from(number).map_err(|_| format!("a whole number of at most {most}"))
}

fn name(text: &str) -> Result<String, value::Expected> {
    let fits = (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    fits.then(|| text.to_owned())
        .ok_or_else(|| "a name of at most 64 printable ASCII characters without blanks".to_owned())
}

/// What this host calls itself in what it writes: the name of the first server that is enabled, as it stands in Received and in
/// the greeting, so that a report and a trace field can be told to be of one host. What one RemoteDelivery says with EHLO
/// (`heloName`) is for its next hops alone: another one may say otherwise, and mail that failed may have met neither.
pub fn own_name(servers: &[ServerSettings]) -> Option<&str> {
    servers.iter().find(|server| server.enabled).map(|server| &*server.hello_name)
}

fn hello_name(section: &mut Section<'_>, host: &Host) -> String {
    let autodetect = match section.written("helloName/@autodetect") {
        None => Some(true),
        Some(written) => section.parse(written, value::boolean),
    };
    let (Some(written), Some(autodetect)) = (section.written("helloName"), autodetect) else {
        return host.name.clone();
    };
    match (autodetect, written.text) {
        (true, "") => host.name.clone(),
        (true, text) => {
            let found = format!("helloName is {text:?}, and is not used while autodetect is not false");
            let advice = format!("write autodetect=\"false\"; now the host's name is said, {}", host.name);
            section.say(written.position, Severity::Warning, found, advice);
            host.name.clone()
        }
        (false, "") => {
            let found = "helloName is empty, and autodetect is false";
            section.say(written.position, Severity::Warning, found, "localhost is said; write the host's full name");
            "localhost".to_owned()
        }
        (false, _) => section.parse(written, value::hello_name).unwrap_or_else(|| host.name.clone()),
    }
}
