//! One `<smtpserver>` or `<lmtpserver>`.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::handlerchain::{self, HandlerChain};
use super::host::Host;
use super::key::{Key, apart, is_false, later, meaningless, misnamed, never, obeyed, protects, walk};
use super::problem::{Problems, Severity};
use super::section::{Section, Written};
use super::value::{self, HostPort};
use super::xml::{File, Position};
use crate::mail::limits::COMMAND_LINE_OCTETS;

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
            Protocol::Smtp => const { &[apart("smtpserver")] },
            Protocol::Lmtp => const { &[apart("lmtpserver")] },
        }
    }

    fn keys(self) -> [&'static [Key]; 2] {
        match self {
            Protocol::Smtp => [COMMON, SMTP],
            Protocol::Lmtp => [COMMON, LMTP],
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

const ONLY_WITH_TLS: &str = "it is used with TLS, and this server has none";
const BUFFERS: &str = "ringpost bounds its buffers itself";
const NO_TLS: &str = "the server would talk in clear: set it to false, or remove the server";
const NO_AUTH: &str = "there is no AUTH: write never, or remove it";
const ONLY_WITH_AUTH: &str = "it is used with AUTH, and ringpost offers none";

/// The keys of both protocols.
const COMMON: &[Key] = &[
    obeyed("@enabled"),
    obeyed("jmxName"),
    obeyed("bind"),
    obeyed("connectionBacklog"),
    obeyed("connectiontimeout"),
    obeyed("connectionLimit"),
    obeyed("helloName"),
    obeyed("helloName/@autodetect"),
    obeyed("maxmessagesize"),
    obeyed("maxLineLength"),
    obeyed("heloEhloEnforcement"),
    obeyed("addressBracketsEnforcement"),
    obeyed("handlerchain"),
    obeyed("handlerchain/@coreHandlersPackage"),
    apart("handlerchain/handler"),
    meaningless("handlerchain/@enableJmx", "ringpost has no JMX"),
    meaningless("handlerchain/@jmxHandlersPackage", "ringpost has no JMX"),
    obeyed("connectionLimitPerIP"),
    obeyed("proxyRequired"),
    obeyed("proxyFirst"),
    protects("tls/@socketTLS", is_false, NO_TLS),
    protects("tls/@startTLS", is_false, NO_TLS),
    protects("tls/clientAuth", never, "nobody's certificate would be looked at: remove it"),
    meaningless("tls/keystore", ONLY_WITH_TLS),
    meaningless("tls/keystoreType", ONLY_WITH_TLS),
    meaningless("tls/secret", ONLY_WITH_TLS),
    meaningless("tls/privateKey", ONLY_WITH_TLS),
    meaningless("tls/certificates", ONLY_WITH_TLS),
    meaningless("tls/supportedProtocols", ONLY_WITH_TLS),
    meaningless("tls/supportedCipherSuites", ONLY_WITH_TLS),
    meaningless("tls/enableOCSPCRLChecks", ONLY_WITH_TLS),
    meaningless("tls/sessionCache", ONLY_WITH_TLS),
    meaningless("tls/provider", "it names a part of Java; James does not read it either"),
    meaningless("tls/algorithm", "it names a part of Java; James does not read it either"),
    obeyed("ioWorkerCount"),
    obeyed("bossWorkerCount"),
    obeyed("maxExecutorCount"),
    meaningless("useEpoll", "ringpost uses io_uring"),
    meaningless("highWriteBufferWaterMark", BUFFERS),
    meaningless("lowWriteBufferWaterMark", BUFFERS),
    meaningless("gracefulShutdown", "see <shutdown> in ringpost.xml"),
    misnamed("handler", "current James does not read it either; move what is in it up by one level"),
    misnamed("connectBacklog", "James does not read it either; the key is connectionBacklog"),
    misnamed("connectionTimeout", "James does not read it either; the key is connectiontimeout"),
];

/// The keys of SMTP alone.
const SMTP: &[Key] = &[
    obeyed("smtpGreeting"),
    protects("auth/announce", |text| text.eq_ignore_ascii_case("never"), NO_AUTH),
    protects("auth/required", is_false, "strangers would be let in: set it to false, or remove the server"),
    meaningless("auth/requireSSL", ONLY_WITH_AUTH),
    meaningless("auth/plainAuthEnabled", ONLY_WITH_AUTH),
    meaningless("auth/saslMechanisms", ONLY_WITH_AUTH),
    meaningless("auth/oidc", ONLY_WITH_AUTH),
    meaningless("auth/gssapi", ONLY_WITH_AUTH),
    protects(
        "authRequired",
        |text| is_false(text) || text.is_empty(),
        "there is no AUTH: set it to false, or remove it",
    ),
    protects(
        "verifyIdentity",
        |text| is_false(text) || text.eq_ignore_ascii_case("disabled"),
        "strangers could use your users' addresses as senders: write disabled where that may be so",
    ),
    later("authorizedAddresses", "ringpost relays for nobody; mail to domains that are not local is refused"),
    later("disabledFeatures", "EHLO announces all that ringpost does"),
];

/// The keys of LMTP alone. James reads none of SMTP's here, so neither does ringpost.
const LMTP: &[Key] = &[
    obeyed("lmtpGreeting"),
    misnamed("smtpGreeting", "the key is lmtpGreeting"),
    misnamed("auth", "LMTP has no AUTH, in James either"),
    misnamed("authorizedAddresses", "LMTP never relays"),
    misnamed("verifyIdentity", "LMTP does not look at the sender, in James either"),
];

/// What servers have taken already, and where that was written: of each there is one in the process.
#[derive(Default)]
pub struct Taken {
    names: Vec<(String, String)>,
    addresses: Vec<(SocketAddr, String)>,
}

impl Taken {
    /// Takes the name and the addresses of an enabled server.
    fn take(&mut self, section: &mut Section<'_>, settings: &ServerSettings) {
        let place = |position: Position| format!("{}:{}", section.file.path, position.line);
        let start = section.element.position;
        let name_at = section.written("jmxName").map_or(start, |written| written.position);
        let bind_at = section.written("bind").map_or(start, |written| written.position);
        let (name_place, bind_place) = (place(name_at), place(bind_at));
        if let Some((name, first)) = self.names.iter().find(|(name, _)| *name == settings.name) {
            let found = format!("the server's name {name:?} is taken already at {first}");
            section.say(name_at, Severity::Error, found, "give every server a <jmxName> of its own");
        }
        self.names.push((settings.name.clone(), name_place));
        for address in &settings.bind {
            if let Some((other, first)) = self.addresses.iter().find(|(other, _)| overlap(*address, *other)) {
                let found = format!("the address {address} is taken already by {other} at {first}");
                section.say(bind_at, Severity::Error, found, "give every server addresses or ports of its own");
            }
            self.addresses.push((*address, bind_place.clone()));
        }
    }
}

/// Whether a client could reach both by one address: the kernel would deal its connections out to either.
fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let same_family = a.is_ipv4() == b.is_ipv4();
    let same_host = a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified();
    same_family && same_host && a.port() == b.port() && a.port() != 0
}

/// Reads `smtpserver.xml` or `lmtpserver.xml`.
pub fn read(
    file: &File,
    protocol: Protocol,
    host: &Host,
    taken: &mut Taken,
    problems: &mut Problems,
) -> Vec<ServerSettings> {
    let root = &file.root;
    if root.name != protocol.root() {
        let found = format!("the outermost element is <{}>", root.name);
        problems.at(file, root.position, Severity::Error, found, format!("expected <{}>", protocol.root()));
        return Vec::new();
    }
    // A server whose element is misspelt would not be there, which somebody relies on.
    walk(file, root, &[protocol.root_keys()], Severity::Error, problems);
    let servers = root.children.iter().filter(|child| child.name == protocol.element());
    let mut read_one = |element| {
        let mut section = Section { file, element, problems: &mut *problems };
        let settings = server(&mut section, protocol, host);
        if settings.enabled {
            taken.take(&mut section, &settings);
        }
        settings
    };
    servers.map(&mut read_one).collect()
}

fn server(section: &mut Section<'_>, protocol: Protocol, host: &Host) -> ServerSettings {
    let enabled = section.read("@enabled", value::boolean).unwrap_or(true);
    if !enabled {
        section.problems.limit(Severity::Warning);
    }
    walk(section.file, section.element, &protocol.keys(), Severity::Warning, section.problems);
    if protocol == Protocol::Smtp {
        identity(section);
    }
    let settings = settings(section, protocol, enabled, host);
    section.problems.limit(Severity::Error);
    settings
}

/// James verifies senders where nothing is said; that this is not done is worth a word.
fn identity(section: &mut Section<'_>) {
    if section.written("verifyIdentity").is_none() {
        let found = "verifyIdentity is not set, and ringpost does not do James' default, strict, yet";
        section.say(section.element.position, Severity::Note, found, "write <verifyIdentity>disabled</verifyIdentity>");
    }
}

fn settings(section: &mut Section<'_>, protocol: Protocol, enabled: bool, host: &Host) -> ServerSettings {
    let smtp = protocol == Protocol::Smtp;
    ServerSettings {
        protocol,
        name: section.read("jmxName", name).unwrap_or_else(|| protocol.element().to_owned()),
        enabled,
        bind: bind(section, protocol, host),
        backlog: section.read("connectionBacklog", |text| small(text, 1, 65_535)).unwrap_or(200),
        idle_timeout: section
            .read("connectiontimeout", |text| value::seconds(text, 1, 86_400))
            .unwrap_or(Duration::from_secs(300)),
        connection_limit: limit(section, "connectionLimit"),
        connection_limit_per_ip: limit(section, "connectionLimitPerIP"),
        proxy: ProxySettings {
            required: section.read("proxyRequired", value::boolean).unwrap_or(false),
            first: section.read("proxyFirst", value::boolean).unwrap_or(true),
        },
        io_workers: threads(section, "ioWorkerCount", 1),
        boss_workers: threads(section, "bossWorkerCount", 0).unwrap_or(0),
        max_executors: threads(section, "maxExecutorCount", 1).unwrap_or(16),
        hello_name: hello_name(section, host),
        greeting: section.read(protocol.greeting(), value::greeting).flatten(),
        max_message_octets: section.read("maxmessagesize", value::message_size).flatten(),
        max_line_octets: section
            .read("maxLineLength", |text| small(text, 1000, 1 << 20))
            .map_or(COMMAND_LINE_OCTETS, |octets| octets as usize),
        require_hello: section.read("heloEhloEnforcement", value::boolean).unwrap_or(smtp),
        require_brackets: section.read("addressBracketsEnforcement", value::boolean).unwrap_or(smtp),
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

fn small(text: &str, least: u32, most: u32) -> Result<u32, String> {
    let number = value::number(text, u64::from(least), u64::from(most))?;
    u32::try_from(number).map_err(|_| format!("a whole number of at most {most}"))
}

fn name(text: &str) -> Result<String, String> {
    let fits = (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    fits.then(|| text.to_owned())
        .ok_or_else(|| "a name of at most 64 printable ASCII characters without blanks".to_owned())
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

fn bind(section: &mut Section<'_>, protocol: Protocol, host: &Host) -> Vec<SocketAddr> {
    let Some(written) = section.written("bind") else {
        let address = SocketAddr::from(([0, 0, 0, 0], protocol.port()));
        section.say(
            section.element.position,
            Severity::Note,
            "bind is not set",
            format!("the server listens on {address}"),
        );
        return vec![address];
    };
    let list = section.parse(written, value::bind).unwrap_or_default();
    list.iter().filter_map(|one| address(section, written, one, host)).collect()
}

/// The address of a name is its first IPv4 one, which is what Java would take, or else its first.
fn address(section: &mut Section<'_>, written: Written<'_>, one: &HostPort, host: &Host) -> Option<SocketAddr> {
    let found = match one.host.parse::<IpAddr>() {
        Ok(address) => Ok(vec![address]),
        Err(_) => (host.resolve)(&one.host),
    };
    match found {
        Ok(list) if !list.is_empty() => {
            let address = list.iter().find(|address| address.is_ipv4()).or(list.first())?;
            Some(SocketAddr::new(*address, one.port))
        }
        unknown => {
            let why = unknown.err().map(|error| format!(" ({error})")).unwrap_or_default();
            let found = format!("bind names the host {:?}, which has no address{why}", one.host);
            section.say(
                written.position,
                Severity::Error,
                found,
                "write an address of this machine, or 0.0.0.0 for all",
            );
            None
        }
    }
}
