//! The configuration: James' `smtpserver.xml`, `lmtpserver.xml` and `domainlist.xml`, and `ringpost.xml` beside them.
//!
//! **Invariants:** files are read in [`Configuration::read`] alone, everything else is pure over text; what a file says is
//! either obeyed or named in a [`Problem`] with its line and column; all problems are reported at once.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

pub mod domainlist;
pub mod handlerchain;
pub mod host;
pub mod key;
pub mod problem;
pub mod ringpost;
pub mod section;
pub mod server;
pub mod value;
pub mod xml;

pub use domainlist::DomainSettings;
pub use handlerchain::{CoreHandlers, Handler, HandlerChain};
pub use host::Host;
pub use problem::{Problem, Problems, Severity};
pub use ringpost::{
    DeliverySettings, LimitSettings, LogFormat, LogLevel, LogSettings, RingpostSettings, SpoolSettings, TimeoutSettings,
};
pub use server::{Protocol, ServerSettings};
pub use xml::{File, Position};

/// All that the process needs to know before it opens its first socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// Where relative paths of the configuration start: `<home>` of `ringpost.xml`, or the directory that holds `conf`.
    pub home: PathBuf,
    /// The servers in the order of `smtpserver.xml`, then `lmtpserver.xml`; those with `enabled="false"` too.
    pub servers: Vec<ServerSettings>,
    /// The domains whose mail is taken (`domainlist.xml`).
    pub domains: DomainSettings,
    /// What James has no words for (`ringpost.xml`).
    pub ringpost: RingpostSettings,
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
    /// `smtpserver.xml`.
    pub smtpserver: Source,
    /// `lmtpserver.xml`.
    pub lmtpserver: Source,
    /// `domainlist.xml`.
    pub domainlist: Source,
    /// `ringpost.xml`.
    pub ringpost: Source,
}

impl Configuration {
    /// Reads the files of the directory `dir`, for the machine that this runs on. The configuration is there unless a
    /// problem is an error; the problems come in the order of the files and their lines.
    pub fn read(dir: &Path) -> (Option<Configuration>, Vec<Problem>) {
        let mut problems = Problems::default();
        let source = |name: &str| read_file(&dir.join(name));
        let sources = Sources {
            smtpserver: source("smtpserver.xml"),
            lmtpserver: source("lmtpserver.xml"),
            domainlist: source("domainlist.xml"),
            ringpost: source("ringpost.xml"),
        };
        let absolute = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
        let home = absolute.parent().unwrap_or(&absolute);
        let configuration = Configuration::from_sources(&sources, home, &Host::this(), &mut problems);
        (configuration, problems.into_vec())
    }

    /// The same over text: `home` is the directory that holds `conf`.
    pub fn from_sources(sources: &Sources, home: &Path, host: &Host, problems: &mut Problems) -> Option<Configuration> {
        let servers = servers(sources, host, problems);
        let domains = parse(&sources.domainlist, problems, "only localhost is local")
            .map_or_else(DomainSettings::default, |file| domainlist::read(&file, host, problems));
        // Without the file every key has its default, as with one that says nothing.
        let ringpost = parse(&sources.ringpost, problems, "every setting has its default")
            .or_else(|| File::parse(&sources.ringpost.path, b"<ringpost/>").ok())
            .and_then(|file| ringpost::read(&file, home, &domains, host, problems));
        let (home, ringpost) = ringpost?;
        (!problems.has_errors()).then_some(Configuration { home, servers, domains, ringpost })
    }
}

fn servers(sources: &Sources, host: &Host, problems: &mut Problems) -> Vec<ServerSettings> {
    let mut taken = server::Taken::default();
    let mut servers = Vec::new();
    for (source, protocol) in [(&sources.smtpserver, Protocol::Smtp), (&sources.lmtpserver, Protocol::Lmtp)] {
        if let Some(file) = parse(source, problems, "it has no server") {
            servers.extend(server::read(&file, protocol, host, &mut taken, problems));
        }
    }
    if !problems.has_errors() && !servers.iter().any(|server| server.enabled) {
        let found = "no server is enabled, neither here nor in lmtpserver.xml";
        problems.about(&sources.smtpserver.path, Severity::Error, found, "there is nothing to start; enable one");
    }
    servers
}

/// The tree of a file; `None` where it is missing, which is a note, or unreadable or broken, which is an error.
fn parse(source: &Source, problems: &mut Problems, without: &str) -> Option<File> {
    match &source.content {
        Content::Octets(octets) => File::parse(&source.path, octets).map_err(|problem| problems.push(*problem)).ok(),
        Content::Missing => {
            problems.about(&source.path, Severity::Note, "there is no such file", without);
            None
        }
        Content::Unreadable(why) => {
            let found = format!("the file cannot be read ({why})");
            problems.about(&source.path, Severity::Error, found, "check what it is and whose it is");
            None
        }
    }
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
