//! The configuration: James' files, and `ringpost.xml` beside them.
//!
//! **Invariants:** files are read in [`Configuration::read`] alone, everything else is pure over text and a [`Host`]; what a
//! file says is either obeyed or named in a [`Problem`] with its line and column; all problems are reported at once.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

pub mod class;
pub mod dnsservice;
pub mod domainlist;
pub mod handlerchain;
pub mod host;
pub mod interpolation;
pub mod jvm;
pub mod key;
pub mod keystore;
pub mod location;
pub mod mailetcontainer;
pub mod mailrepositorystore;
pub mod near;
pub mod problem;
pub mod problems;
pub mod properties;
pub mod recipientrewritetable;
pub mod ringpost;
pub mod section;
pub mod server;
pub mod tables;
pub mod usersrepository;
pub mod value;
pub mod walk;
pub mod webadmin;
pub mod xml;

pub use dnsservice::DnsSettings;
pub use domainlist::DomainSettings;
pub use handlerchain::{CoreHandlers, Handler, HandlerChain};
pub use host::Host;
pub use mailetcontainer::ContainerSettings;
pub use mailrepositorystore::RepositorySettings;
pub use problem::{Problem, Severity};
pub use problems::Problems;
pub use recipientrewritetable::RewriteSettings;
pub use ringpost::{
    DeliverySettings, DirectorySettings, LimitSettings, LogFormat, LogLevel, LogSettings, RingpostSettings,
    SpoolSettings, Steering, TimeoutSettings, TlsExtras,
};
pub use server::auth::AuthSettings;
pub use server::effective::{Effective, Origin, Row};
pub use server::tls::TlsSettings;
pub use server::{Protocol, ProxySettings, ServerSettings};
pub use usersrepository::UsersSettings;
pub use webadmin::WebadminSettings;
pub use xml::{File, Position};

use interpolation::Variables;
use location::Places;

/// All that the process needs to know before it opens its first socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// Where relative paths of the configuration start: `<home>` of `ringpost.xml`, or the directory that holds `conf`.
    pub home: PathBuf,
    /// The servers in the order of `smtpserver.xml`, then `lmtpserver.xml`; those with `enabled="false"` too.
    pub servers: Vec<ServerSettings>,
    /// The domains whose mail is taken (`domainlist.xml`).
    pub domains: DomainSettings,
    /// `usersrepository.xml`, if it is there.
    pub users: Option<UsersSettings>,
    /// `recipientrewritetable.xml`, if it is there.
    pub rewrites: Option<RewriteSettings>,
    /// `dnsservice.xml`, or what counts without it.
    pub dns: DnsSettings,
    /// `mailrepositorystore.xml`, if it is there.
    pub repositories: Option<RepositorySettings>,
    /// `mailetcontainer.xml`, if it is there.
    pub container: Option<ContainerSettings>,
    /// `webadmin.properties`, if it is there.
    pub webadmin: Option<WebadminSettings>,
    /// What James has no words for (`ringpost.xml`).
    pub ringpost: RingpostSettings,
}

/// What came of reading a configuration.
#[derive(Debug)]
pub struct Reading {
    /// The configuration, unless a problem is an error.
    pub configuration: Option<Configuration>,
    /// What each server does in the end, for people; as far as it could be read where there are errors.
    pub servers: Vec<Effective>,
    /// Everything that is wrong, in the order of the files and of their lines.
    pub problems: Vec<Problem>,
}

/// One file, and how it was reached.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// What problems call the file.
    pub path: String,
    /// What is in it.
    pub content: Content,
}

/// What is in a file.
#[derive(Clone, Debug, Default)]
pub enum Content {
    /// There is no such file.
    #[default]
    Missing,
    /// There is one, and it could not be read: why.
    Unreadable(String),
    /// Its octets.
    Octets(Vec<u8>),
}

/// The files of a configuration as they were read.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The directory that they are in.
    pub directory: PathBuf,
    /// `smtpserver.xml`.
    pub smtpserver: Source,
    /// `lmtpserver.xml`.
    pub lmtpserver: Source,
    /// `domainlist.xml`.
    pub domainlist: Source,
    /// `usersrepository.xml`.
    pub usersrepository: Source,
    /// `recipientrewritetable.xml`.
    pub recipientrewritetable: Source,
    /// `dnsservice.xml`.
    pub dnsservice: Source,
    /// `mailrepositorystore.xml`.
    pub mailrepositorystore: Source,
    /// `mailetcontainer.xml`.
    pub mailetcontainer: Source,
    /// `webadmin.properties`.
    pub webadmin: Source,
    /// `jvm.properties`.
    pub jvm: Source,
    /// `ringpost.xml`.
    pub ringpost: Source,
    /// The names of the other `.xml` and `.properties` files in the directory, sorted.
    pub others: Vec<String>,
}

/// What surrounds the files: the machine, and the directories that paths start at.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    /// The machine.
    pub host: &'a Host,
    /// The directories.
    pub places: Places<'a>,
}

impl Configuration {
    /// Reads the files of the directory `dir`, for the machine that this runs on.
    pub fn read(dir: &Path) -> Reading {
        let source = |name: &str| read_file(&dir.join(name));
        let absolute = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
        let sources = Sources {
            smtpserver: source("smtpserver.xml"),
            lmtpserver: source("lmtpserver.xml"),
            domainlist: source("domainlist.xml"),
            usersrepository: source("usersrepository.xml"),
            recipientrewritetable: source("recipientrewritetable.xml"),
            dnsservice: source("dnsservice.xml"),
            mailrepositorystore: source("mailrepositorystore.xml"),
            mailetcontainer: source("mailetcontainer.xml"),
            webadmin: source("webadmin.properties"),
            jvm: source("jvm.properties"),
            ringpost: source("ringpost.xml"),
            others: Vec::new(),
            directory: absolute.clone(),
        };
        let sources = Sources { others: other_files(dir, &sources), ..sources };
        Configuration::from_sources(&sources, absolute.parent().unwrap_or(&absolute), &Host::this())
    }

    /// The same over text: `home` is the directory that holds `conf`.
    pub fn from_sources(sources: &Sources, home: &Path, host: &Host) -> Reading {
        let mut problems = Problems::in_order(sources.in_order().map(|source| source.path.clone()));
        let mut servers = Vec::new();
        let configuration = configuration(sources, home, host, &mut servers, &mut problems);
        let configuration = configuration.filter(|_| !problems.has_errors());
        if !sources.others.is_empty() {
            let found = format!("ringpost does not read {}", sources.others.join(", "));
            let advice = "James has them for parts that ringpost does not have";
            problems.about(&sources.directory.display().to_string(), Severity::Note, found, advice);
        }
        Reading { configuration, servers, problems: problems.into_vec() }
    }
}

impl Sources {
    /// The order in which problems are told.
    fn in_order(&self) -> impl Iterator<Item = &Source> {
        let servers = [&self.smtpserver, &self.lmtpserver, &self.domainlist, &self.usersrepository];
        let mail = [&self.recipientrewritetable, &self.dnsservice, &self.mailrepositorystore, &self.mailetcontainer];
        servers.into_iter().chain(mail).chain([&self.webadmin, &self.jvm, &self.ringpost])
    }
}

fn configuration(
    sources: &Sources,
    home: &Path,
    host: &Host,
    effective: &mut Vec<Effective>,
    problems: &mut Problems,
) -> Option<Configuration> {
    let jvm = open(&sources.jvm, properties::parse, None, problems);
    let home_text = home.display().to_string();
    let variables = Variables { environment: host.variable, system: jvm.as_ref(), home: &home_text };
    let mut optional = |source: &Source| parse(source, &variables, None, problems);
    let (users, rewrites) = (optional(&sources.usersrepository), optional(&sources.recipientrewritetable));
    let (dns, repositories) = (optional(&sources.dnsservice), optional(&sources.mailrepositorystore));
    let container = optional(&sources.mailetcontainer);
    let mut webadmin = open(&sources.webadmin, properties::parse, None, problems);
    if let Some(file) = &mut webadmin {
        interpolation::fill_in(file, &variables, problems);
    }
    // Without the file every key has its default, as with one that says nothing.
    let own = parse(&sources.ringpost, &variables, Some("every setting has its default"), problems).or_else(|| {
        Some(File { source: String::new(), ..File::parse(&sources.ringpost.path, b"<ringpost/>").ok()? })
    })?;
    problems.accept(ringpost::acceptances(&own));
    let home = ringpost::home(&own, home);

    let around = Surroundings { host, places: Places { home: &home, conf: &sources.directory } };
    let servers = servers(sources, &variables, around, effective, problems);
    let domains = parse(&sources.domainlist, &variables, Some("only localhost is local"), problems)
        .map_or_else(DomainSettings::default, |file| domainlist::read(&file, host, problems));
    if let Some(file) = &jvm {
        jvm::read(file, problems);
    }
    let repositories = repositories.and_then(|file| mailrepositorystore::read(&file, problems));
    if let (Some(file), Some(settings)) = (&container, &repositories) {
        mailrepositorystore::check_urls(file, settings, problems);
    }
    let own_name = server::own_name(&servers).unwrap_or(&host.name).to_owned();
    let configuration = Configuration {
        servers,
        users: users.and_then(|file| usersrepository::read(&file, problems)),
        rewrites: rewrites.and_then(|file| recipientrewritetable::read(&file, problems)),
        dns: dns.and_then(|file| dnsservice::read(&file, problems)).unwrap_or_default(),
        repositories,
        container: container
            .and_then(|file| mailetcontainer::read(&file, &domains.default, &own_name, around.places, problems)),
        webadmin: webadmin.map(|file| webadmin::read(&file, problems)),
        ringpost: ringpost::read(&own, around, problems)?,
        domains,
        home,
    };
    ringpost::check_acceptances(&own, problems);
    Some(configuration)
}

fn servers(
    sources: &Sources,
    variables: &Variables<'_>,
    around: Surroundings<'_>,
    effective: &mut Vec<Effective>,
    problems: &mut Problems,
) -> Vec<ServerSettings> {
    let mut servers = server::Servers::default();
    for (source, protocol) in [(&sources.smtpserver, Protocol::Smtp), (&sources.lmtpserver, Protocol::Lmtp)] {
        if let Some(file) = parse(source, variables, Some("it has no server"), problems) {
            servers.read(&file, protocol, around, problems);
        }
    }
    if !problems.has_errors() && !servers.settings.iter().any(|server| server.enabled) {
        let found = "no server is enabled, neither here nor in lmtpserver.xml";
        problems.about(&sources.smtpserver.path, Severity::Error, found, "there is nothing to start; enable one");
    }
    *effective = servers.effective;
    servers.settings
}

/// The tree of an XML file with its values filled in; `None` as for [`open`].
fn parse(source: &Source, variables: &Variables<'_>, without: Option<&str>, problems: &mut Problems) -> Option<File> {
    let mut file = open(source, File::parse, without, problems)?;
    interpolation::fill_in(&mut file, variables, problems);
    Some(file)
}

/// The tree of a file; `None` where it is missing, which is a note if that says something, or unreadable or broken, which
/// is an error.
fn open(
    source: &Source,
    parse: impl FnOnce(&str, &[u8]) -> Result<File, Box<Problem>>,
    without: Option<&str>,
    problems: &mut Problems,
) -> Option<File> {
    match (&source.content, without) {
        (Content::Octets(octets), _) => parse(&source.path, octets).map_err(|problem| problems.push(*problem)).ok(),
        (Content::Missing, None) => None,
        (Content::Missing, Some(without)) => {
            problems.about(&source.path, Severity::Note, "there is no such file", without);
            None
        }
        (Content::Unreadable(why), _) => {
            let found = format!("the file cannot be read ({why})");
            problems.about(&source.path, Severity::Error, found, "check what it is and whose it is");
            None
        }
    }
}

/// The files of a directory that look like James' and are none of those that are read.
fn other_files(dir: &Path, sources: &Sources) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut others: Vec<String> =
        names.filter(|name| name.ends_with(".xml") || name.ends_with(".properties")).collect();
    others.retain(|name| !sources.in_order().any(|source| Path::new(&source.path) == dir.join(name)));
    others.sort();
    others
}

/// Reads no more than one octet above what a file may have, so that a device or a huge file cannot fill the memory.
fn read_file(path: &Path) -> Source {
    let limit = xml::OCTETS_MAX as u64 + 1;
    let mut octets = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(limit).read_to_end(&mut octets));
    let content = match read {
        Ok(_) => Content::Octets(octets),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Content::Missing,
        Err(error) => Content::Unreadable(error.to_string()),
    };
    Source { path: path.display().to_string(), content }
}
