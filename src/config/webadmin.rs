//! `webadmin.properties`: the administration over HTTP. Read and checked in full; not done yet.

use super::key::{Key, boolean, is_false, key, something, whole};
use super::problem::Severity;
use super::problems::Problems;
use super::section::Section;
use super::value::{self, Expected};
use super::walk::{Scope, walk};
use super::xml::File;

/// What `webadmin.properties` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebadminSettings {
    /// `enabled`.
    pub enabled: bool,
    /// `host`.
    pub host: String,
    /// `port`; 0 is any free port.
    pub port: u16,
}

const NO_WEBADMIN: &str = "it is used with webadmin, which ringpost does not do yet";

/// The keys of `webadmin.properties`.
pub const KEYS: &[Key] = &[
    key("enabled").default("false").later("nothing listens there").unless(is_false),
    key("port").defaults("8080", "8000", "8000").waits(NO_WEBADMIN),
    key("host").default("localhost").waits(NO_WEBADMIN),
    key("cors.enable").default("false").checked(boolean).waits(NO_WEBADMIN),
    key("cors.origin").waits(NO_WEBADMIN),
    key("password").waits(NO_WEBADMIN),
    key("password.generate").default("true").checked(boolean).waits(NO_WEBADMIN),
    key("password.readonly").waits(NO_WEBADMIN),
    key("jwt.enable").default("false").checked(boolean).waits(NO_WEBADMIN),
    key("jwt.publickeypem.url").waits(NO_WEBADMIN),
    key("https.enable").default("false").checked(boolean).waits(NO_WEBADMIN),
    key("https.keystore").checked(something).waits(NO_WEBADMIN),
    key("https.password").waits(NO_WEBADMIN),
    key("https.trust.keystore").waits(NO_WEBADMIN),
    key("https.trust.password").waits(NO_WEBADMIN),
    key("extensions.routes").often().meaningless("ringpost runs no Java"),
    key("maxThreadCount").checked(whole).meaningless("Jetty's threads are not here"),
    key("minThreadCount").checked(whole).meaningless("Jetty's threads are not here"),
];

/// Reads `webadmin.properties`. Where it is not enabled, what is in it is checked with warnings at most.
pub fn read(file: &File, problems: &mut Problems) -> WebadminSettings {
    let enabled = Section { file, element: &file.root, problems }.read("enabled", value::boolean).unwrap_or(false);
    if !enabled {
        problems.limit(Severity::Warning);
    }
    let scope = Scope { name: "webadmin", keys: &[KEYS], unknown: Severity::Warning };
    walk(file, &file.root, &scope, problems);
    let mut section = Section { file, element: &file.root, problems };
    let port = section.read("port", |text| value::number(text, 0, 65_535));
    let settings = WebadminSettings {
        enabled,
        host: section.read("host", host).unwrap_or_else(|| "localhost".to_owned()),
        port: port.and_then(|port| u16::try_from(port).ok()).unwrap_or(8000),
    };
    problems.limit(Severity::Error);
    settings
}

fn host(text: &str) -> Result<String, Expected> {
    match value::is_domain(text) || text.parse::<std::net::IpAddr>().is_ok() {
        true => Ok(text.to_owned()),
        false => Err("a name or an address".to_owned()),
    }
}
