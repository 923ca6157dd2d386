//! `ringpost.xml`: what James has no words for. Every key is optional.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Surroundings;
use super::host::Host;
use super::key::{Key, key};
use super::near::nearest;
use super::problem::Severity;
use super::problems::{Acceptance, Inactive, Problems};
use super::section::Section;
use super::server::tls::{Credentials, OF_CERTIFICATE, credentials};
use super::tables;
use super::value;
use super::walk::{Scope, walk};
use super::xml::{Element, File};
use crate::mail::limits::RECIPIENTS;

/// What `ringpost.xml` says, every default filled in and every path absolute or below the home.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RingpostSettings {
    /// `directory`: users, domains and the rewrite table.
    pub directory: DirectorySettings,
    /// `mail/directory`: below it every user has a Maildir.
    pub mail_directory: PathBuf,
    /// `repositories/directory`: below it every repository of `mailetcontainer.xml` has a directory.
    pub repositories: PathBuf,
    /// `shards`: the CPUs that serve, one shard each, ascending.
    pub shards: Vec<usize>,
    /// `spool`.
    pub spool: SpoolSettings,
    /// `limits`.
    pub limits: LimitSettings,
    /// `timeouts`.
    pub timeouts: TimeoutSettings,
    /// `tls`.
    pub tls: TlsExtras,
    /// `delivery`.
    pub delivery: DeliverySettings,
    /// `log`.
    pub log: LogSettings,
    /// `steering`: what decides which shard a connection goes to.
    pub steering: Steering,
    /// `control/socket`: where `ringpost status` asks.
    pub control_socket: PathBuf,
    /// `shutdown/grace`: how long transactions under way may go on when the process is told to stop.
    pub shutdown_grace: Duration,
}

/// `directory`: where users, domains and the rewrite table are kept, and how passwords are hashed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectorySettings {
    /// `path`: the database's file.
    pub path: PathBuf,
    /// `rehash`: a password that James has hashed is hashed anew when its user logs in.
    pub rehash: bool,
    /// `hashingThreads`: passwords that are hashed at a time, at idle priority, 19 MiB each.
    pub hashing_threads: usize,
}

/// `spool`: where messages are kept until they are delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpoolSettings {
    /// `directory`.
    pub directory: PathBuf,
    /// `segmentSize`: octets of one segment, a multiple of 4096.
    pub segment_octets: u64,
    /// `prepared`: free segments, already written once, that each shard keeps ready beside the two for outcomes; 1 or more,
    /// or new mail would wait for ever.
    pub prepared: usize,
    /// `maxSegments`: most segments of one shard.
    pub max_segments: usize,
    /// `reserve`: octets of free disk below which no new mail is taken.
    pub reserve_octets: u64,
    /// `volatile`: a spool that does not outlive the machine's next stop is wanted.
    pub volatile: bool,
}

/// `limits`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitSettings {
    /// `recipients`: most recipients of one transaction, 100 (RFC 5321 §4.5.3.1.8) to 3,000 (an envelope must fit a record of the spool).
    pub recipients: usize,
    /// `ipv6Prefix`: leading bits of an IPv6 address that make one client for `connectionLimitPerIP`.
    pub ipv6_prefix: u8,
    /// `withoutHeader`: most connections of one server whose PROXY header has not come yet.
    pub without_header: u32,
    /// `errors`: errors of a client that are let pass before the session ends; 0 for any number.
    pub errors: u32,
    /// `unknownCommands`: commands that are none and are let pass before the session ends; 0 for any number.
    pub unknown_commands: u32,
    /// `authFailures`: AUTHs of a client that fail before the session ends; 0 for any number.
    pub auth_failures: u32,
    /// `authFailureDelay`: how long the answer to a failed AUTH is held back at least.
    pub auth_failure_delay: Duration,
    /// `refuseEarlyTalkers`: a client that speaks before it is greeted is refused.
    pub refuse_early_talkers: bool,
}

/// `timeouts`: how long a client may take, beside `connectiontimeout`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeoutSettings {
    /// `proxyHeader`: for the PROXY header, from the moment it connected.
    pub proxy_header: Duration,
    /// `tlsHandshake`: for the handshake of TLS, from the moment it may begin.
    pub tls_handshake: Duration,
    /// `commandLine`: for a command line, from its first octet to its last.
    pub command_line: Duration,
    /// `transaction`.
    pub transaction: Duration,
    /// `session`.
    pub session: Duration,
    /// `contentRate`: octets a second that content must bring on the average over `contentWindow`; 0 is no matter.
    pub content_rate: u32,
    /// `contentWindow`.
    pub content_window: Duration,
}

/// `tls`: what James has no words for, for all servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsExtras {
    /// `tickets`: whether clients may resume sessions.
    pub tickets: bool,
    /// `kernel`: whether the kernel is to seal and open records, where it can.
    pub kernel: bool,
    /// `certificate`: more keys and certificates, for clients that ask for one of their names.
    pub certificates: Vec<Credentials>,
}

/// `delivery`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliverySettings {
    /// `hold`: mail is taken and kept in the spool, and not delivered.
    pub hold: bool,
    /// `discard`: mail is taken, kept safely, and then thrown away; for measuring alone.
    pub discard: bool,
    /// `share`: percent of a core that delivery is guaranteed when intake wants all of it.
    pub share: u8,
    /// `concurrency`: deliveries under way at a time in each shard.
    pub concurrency: usize,
    /// `retry`: the waits between attempts, never empty; the last one repeats.
    pub retry: Vec<Duration>,
}

/// `log`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// `format`.
    pub format: LogFormat,
    /// `level`: the least important lines that are written.
    pub level: LogLevel,
}

/// How a line of the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people: `key=value` words.
    Text,
    /// For machines: one JSON object a line.
    Json,
}

/// How important a line of the log is, most important first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Someone must act.
    Error,
    /// Someone should look.
    Warn,
    /// What happened to each session and message.
    Info,
    /// Each command and reply.
    Debug,
}

/// The keys of `ringpost.xml`.
pub const KEYS: &[Key] = &[
    key("home").default("the directory that holds conf"),
    key("users/user").often().gone("users are in the directory: `ringpost user add` adds them; remove <users> here"),
    key("directory/path").default("var/directory.sqlite"),
    key("directory/rehash").default("true"),
    key("directory/hashingThreads").default("2"),
    key("mail/directory").default("var/mail"),
    key("repositories/directory").default("var/repositories"),
    key("shards").default("every CPU that the process may use"),
    key("spool/directory").default("var/spool"),
    key("spool/segmentSize").default("64M"),
    key("spool/prepared").default("1"),
    key("spool/maxSegments").default("256"),
    key("spool/reserve").default("1G"),
    key("spool/volatile").default("false"),
    key("limits/recipients").default("1000"),
    key("limits/ipv6Prefix").default("64"),
    key("limits/withoutHeader").default("256"),
    key("limits/errors").default("20"),
    key("limits/unknownCommands").default("10"),
    key("limits/authFailures").default("3"),
    key("limits/authFailureDelay").default("1s"),
    key("limits/refuseEarlyTalkers").default("true"),
    key("timeouts/proxyHeader").default("5s"),
    key("timeouts/tlsHandshake").default("30s"),
    key("timeouts/commandLine").default("5m"),
    key("timeouts/transaction").default("6h"),
    key("timeouts/session").default("1d"),
    key("timeouts/contentRate").default("100"),
    key("timeouts/contentWindow").default("10m"),
    key("tls/tickets").default("true"),
    key("tls/kernel").default("off"),
    key("tls/certificate").often(),
    key("tls/certificate/keystore"),
    key("tls/certificate/keystoreType").default("JKS"),
    key("tls/certificate/secret"),
    key("tls/certificate/privateKey"),
    key("tls/certificate/certificates"),
    key("delivery/hold").default("false"),
    key("delivery/discard").default("false"),
    key("delivery/share").default("25"),
    key("delivery/concurrency").default("16"),
    key("delivery/retry").default("1m,5m,15m,1h"),
    key("log/format").default("text"),
    key("log/level").default("info"),
    key("steering").default("none"),
    key("control/socket").default("var/control"),
    key("shutdown/grace").default("10s"),
    key("accept-inactive").often(),
    key("accept-inactive/@class"),
    key("accept-inactive/@key"),
];

/// The longest time that the answer to a failed AUTH is held back.
pub const FAILURE_DELAY_MOST: Duration = Duration::from_secs(30);

/// Segments are written in whole blocks, so their size is a multiple of this.
const BLOCK: u64 = 4096;

/// Waits of 1, 5, 15 and 60 minutes.
const RETRY: [Duration; 4] =
    [Duration::from_secs(60), Duration::from_secs(300), Duration::from_secs(900), Duration::from_secs(3600)];

/// What decides which of the shards that listen on an address gets a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Steering {
    /// The kernel's choice: a hash of the addresses.
    #[default]
    None,
    /// The CPU that the connection's first packet arrived on (SO_INCOMING_CPU): right where the network card spreads its
    /// interrupts over the CPUs that serve.
    Cpu,
}

/// The words of `steering`.
const STEERING: [(&str, Steering); 2] = [("none", Steering::None), ("cpu", Steering::Cpu)];

/// The words of `tls/kernel`.
const KERNEL: [(&str, bool); 2] = [("off", false), ("auto", true)];

/// The words of `log/format`.
const FORMATS: [(&str, LogFormat); 2] = [("text", LogFormat::Text), ("json", LogFormat::Json)];

/// The words of `log/level`.
const LEVELS: [(&str, LogLevel); 4] =
    [("error", LogLevel::Error), ("warn", LogLevel::Warn), ("info", LogLevel::Info), ("debug", LogLevel::Debug)];

/// What the file accepts; what is wrong with that is said by [`check_acceptances`].
pub fn acceptances(file: &File) -> Vec<Acceptance> {
    let elements = file.root.children.iter().filter(|child| child.name == ACCEPT);
    elements.map(|element| acceptance(element).unwrap_or_default()).collect()
}

fn acceptance(element: &Element) -> Option<Acceptance> {
    let (attribute, written) = match (element.attribute("class"), element.attribute("key")) {
        (Some(written), None) => ("class", written),
        (None, Some(written)) => ("key", written),
        _ => return None,
    };
    Some(Acceptance { attribute, name: written.value.clone(), used: false })
}

const ACCEPT: &str = "accept-inactive";

/// Takes down what is accepted in vain. To be called when everything else was read.
pub fn check_acceptances(file: &File, problems: &mut Problems) {
    let elements = file.root.children.iter().filter(|child| child.name == ACCEPT);
    for (element, accepted) in elements.zip(problems.accepted().to_vec()) {
        let Some(Acceptance { name, .. }) = acceptance(element) else {
            let advice = "write <accept-inactive class=\"…\"/> or <accept-inactive key=\"…\"/>";
            problems.at(
                file,
                element.position,
                Severity::Error,
                "one thing is to be accepted, by class or by key",
                advice,
            );
            continue;
        };
        let what = if accepted.attribute == "class" { Inactive::Class(&name) } else { Inactive::Key(&name) };
        let known = tables::acceptable(what);
        let (found, advice) = match known.iter().find(|(known, _)| *known == name) {
            Some((_, true)) if accepted.used => continue,
            Some((_, true)) => (format!("nothing that is written needs {name} to be accepted"), "remove it".to_owned()),
            Some((_, false)) => (format!("{name} need not be accepted"), "remove it".to_owned()),
            None => {
                let near = nearest(&name, known.iter().map(|(known, _)| known.as_str()));
                let advice = near.map_or("remove it".to_owned(), |near| format!("did you mean {near}?"));
                (format!("there is no {} {name:?}", accepted.attribute), advice)
            }
        };
        problems.at(file, element.position, Severity::Warning, found, advice);
    }
}

/// The home that the file names, or else `home`.
pub fn home(file: &File, home: &Path) -> PathBuf {
    let named = file.root.child("home").and_then(|element| value::path(&element.text).ok());
    named.map_or_else(|| home.to_owned(), |path| home.join(path))
}

/// Reads `ringpost.xml`. `None` where the outermost element is another.
pub fn read(file: &File, around: Surroundings<'_>, problems: &mut Problems) -> Option<RingpostSettings> {
    let Surroundings { host, places } = around;
    let home = places.home;
    let mut section = Section::root(file, "ringpost", problems)?;
    let scope = Scope { name: "ringpost", keys: &[KEYS], unknown: Severity::Warning };
    walk(file, &file.root, &scope, section.problems);
    section.read("home", value::path);
    Some(RingpostSettings {
        directory: directory(&mut section, home),
        mail_directory: home.join(section.read("mail/directory", value::path).unwrap_or_else(|| "var/mail".into())),
        repositories: home
            .join(section.read("repositories/directory", value::path).unwrap_or_else(|| "var/repositories".into())),
        shards: shards(&mut section, host),
        spool: spool(&mut section, home),
        limits: limits(&mut section),
        timeouts: timeouts(&mut section),
        tls: tls(&mut section, around),
        delivery: delivery(&mut section),
        log: log(&mut section),
        steering: section.read("steering", |text| value::word(text, &STEERING)).unwrap_or_default(),
        control_socket: home.join(section.read("control/socket", value::path).unwrap_or_else(|| "var/control".into())),
        shutdown_grace: section.read("shutdown/grace", value::duration).unwrap_or(Duration::from_secs(10)),
    })
}

fn count(section: &mut Section<'_>, path: &str, least: u64, most: u64) -> Option<usize> {
    small(section, path, least, most)
}

fn small<T: TryFrom<u64>>(section: &mut Section<'_>, path: &str, least: u64, most: u64) -> Option<T> {
    section.read(path, |text| value::number(text, least, most)).and_then(|number| T::try_from(number).ok())
}

fn directory(section: &mut Section<'_>, home: &Path) -> DirectorySettings {
    let path = section.read("directory/path", value::path).unwrap_or_else(|| "var/directory.sqlite".into());
    DirectorySettings {
        path: home.join(path),
        rehash: section.read("directory/rehash", value::boolean).unwrap_or(true),
        hashing_threads: count(section, "directory/hashingThreads", 1, 64).unwrap_or(2),
    }
}

fn shards(section: &mut Section<'_>, host: &Host) -> Vec<usize> {
    let Some(cpus) = section.read("shards", value::cpus) else { return host.cpus.clone() };
    if let (Some(written), Some(cpu)) = (section.written("shards"), cpus.iter().find(|cpu| !host.cpus.contains(cpu))) {
        let usable: Vec<String> = host.cpus.iter().map(usize::to_string).collect();
        let found = format!("shards names CPU {cpu}, which this process may not use");
        section.say(written.position, Severity::Error, found, format!("it may use {}", usable.join(",")));
    }
    cpus
}

fn spool(section: &mut Section<'_>, home: &Path) -> SpoolSettings {
    let max_segments = count(section, "spool/maxSegments", 4, 65_536).unwrap_or(256);
    SpoolSettings {
        directory: home.join(section.read("spool/directory", value::path).unwrap_or_else(|| "var/spool".into())),
        segment_octets: section.read("spool/segmentSize", segment_size).unwrap_or(64 << 20),
        prepared: count(section, "spool/prepared", 1, max_segments as u64 - 3).unwrap_or(1),
        max_segments,
        reserve_octets: section.read("spool/reserve", |text| value::size(text, 1 << 20, 1 << 44)).unwrap_or(1 << 30),
        volatile: section.read("spool/volatile", value::boolean).unwrap_or(false),
    }
}

fn segment_size(text: &str) -> Result<u64, value::Expected> {
    let octets = value::size(text, 1 << 20, 1 << 30)?;
    if octets.is_multiple_of(BLOCK) { Ok(octets) } else { Err(format!("a multiple of {BLOCK} octets")) }
}

fn limits(section: &mut Section<'_>) -> LimitSettings {
    LimitSettings {
        recipients: count(section, "limits/recipients", 100, 3000).unwrap_or(RECIPIENTS),
        ipv6_prefix: small(section, "limits/ipv6Prefix", 1, 128).unwrap_or(64),
        without_header: small(section, "limits/withoutHeader", 1, 1_000_000).unwrap_or(256),
        errors: small(section, "limits/errors", 0, 1_000_000).unwrap_or(20),
        unknown_commands: small(section, "limits/unknownCommands", 0, 1_000_000).unwrap_or(10),
        auth_failures: small(section, "limits/authFailures", 0, 1_000_000).unwrap_or(3),
        auth_failure_delay: section.read("limits/authFailureDelay", failure_delay).unwrap_or(Duration::from_secs(1)),
        refuse_early_talkers: section.read("limits/refuseEarlyTalkers", value::boolean).unwrap_or(true),
    }
}

/// A client waits for it with its connection open.
fn failure_delay(text: &str) -> Result<Duration, value::Expected> {
    match value::duration(text)? {
        delay if delay <= FAILURE_DELAY_MOST => Ok(delay),
        _ => Err(format!("at most {} seconds", FAILURE_DELAY_MOST.as_secs())),
    }
}

fn timeouts(section: &mut Section<'_>) -> TimeoutSettings {
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    let mut time = |path, default| section.read(path, value::duration).unwrap_or(default);
    TimeoutSettings {
        proxy_header: time("timeouts/proxyHeader", Duration::from_secs(5)),
        tls_handshake: time("timeouts/tlsHandshake", Duration::from_secs(30)),
        command_line: time("timeouts/commandLine", minutes(5)),
        transaction: time("timeouts/transaction", minutes(6 * 60)),
        session: time("timeouts/session", minutes(24 * 60)),
        content_window: time("timeouts/contentWindow", minutes(10)),
        content_rate: small(section, "timeouts/contentRate", 0, 1_000_000).unwrap_or(100),
    }
}

fn tls(section: &mut Section<'_>, Surroundings { host, places }: Surroundings<'_>) -> TlsExtras {
    let tickets = section.read("tls/tickets", value::boolean).unwrap_or(true);
    let kernel = section.read("tls/kernel", |text| value::word(text, &KERNEL)).unwrap_or(false);
    let elements = section.list("tls", "certificate");
    let certificates = elements.into_iter().filter_map(|element| {
        let mut section = Section { file: section.file, element, problems: section.problems };
        credentials(&mut section, OF_CERTIFICATE, places, host)
    });
    TlsExtras { tickets, kernel, certificates: certificates.collect() }
}

fn delivery(section: &mut Section<'_>) -> DeliverySettings {
    DeliverySettings {
        hold: section.read("delivery/hold", value::boolean).unwrap_or(false),
        discard: section.read("delivery/discard", value::boolean).unwrap_or(false),
        share: section
            .read("delivery/share", |text| value::number(text, 1, 90))
            .and_then(|percent| u8::try_from(percent).ok())
            .unwrap_or(25),
        concurrency: count(section, "delivery/concurrency", 1, 10_000).unwrap_or(16),
        retry: section.read("delivery/retry", value::durations).unwrap_or_else(|| RETRY.to_vec()),
    }
}

fn log(section: &mut Section<'_>) -> LogSettings {
    LogSettings {
        format: section.read("log/format", |text| value::word(text, &FORMATS)).unwrap_or(LogFormat::Text),
        level: section.read("log/level", |text| value::word(text, &LEVELS)).unwrap_or(LogLevel::Info),
    }
}
