//! `domainlist.xml`: the domains whose mail is taken.

use std::collections::HashSet;
use std::net::IpAddr;

use super::host::Host;
use super::key::{Key, key};
use super::problem::Severity;
use super::problems::Problems;
use super::section::{Section, Written};
use super::value;
use super::walk::{Scope, walk};
use super::xml::File;
use crate::mail::Domain;

/// The local domains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainSettings {
    /// Every local domain, lower-cased, without duplicates: `domainnames`, `defaultDomain` and, with `autodetect`, the
    /// host's name.
    pub names: Vec<String>,
    /// Those of them that `autodetect` and `autodetectIP` found and nobody named.
    pub detected: Vec<String>,
    /// `defaultDomain`: the domain of addresses without one, such as `Postmaster`; lower-cased.
    pub default: String,
}

const STORED: &str = "the domains are in ringpost's own database; those of this file are put there at each start";

/// The keys of `domainlist.xml`.
pub const KEYS: &[Key] = &[
    key("@class").meaningless(STORED),
    key("autodetect").defaults("true", "false", "false").differently("a host's name that is localhost counts; it is the default domain anyway"),
    key("autodetectIP").defaults("true", "false", "false").differently(
        "as in James the addresses of every domain become domains, so that you@[192.0.2.1] is local; its user has that name",
    ),
    key("defaultDomain").default("localhost"),
    key("domainnames/domainname").often(),
    key("read.cache.enable").default("false").meaningless(STORED),
    key("read.cache.expiracy").default("10s").meaningless(STORED),
    key("servernames/servername").often().older("domainnames/domainname"),
    key("servernames/@autodetect").older("autodetect"),
    key("servernames/@autodetectIP").older("autodetectIP"),
];

/// The domain that James takes where none is named.
const LOCALHOST: &str = "localhost";

impl Default for DomainSettings {
    /// What James does without the file: `localhost` alone.
    fn default() -> DomainSettings {
        DomainSettings { names: vec![LOCALHOST.to_owned()], detected: Vec::new(), default: LOCALHOST.to_owned() }
    }
}

/// Reads `domainlist.xml`.
pub fn read(file: &File, host: &Host, problems: &mut Problems) -> DomainSettings {
    let Some(mut section) = Section::root(file, "domainlist", problems) else { return DomainSettings::default() };
    let scope = Scope { name: "domainlist", keys: &[KEYS], unknown: Severity::Warning };
    walk(file, &file.root, &scope, section.problems);
    let mut names = named(&mut section);
    let written = names.clone();
    if switched_on(&mut section, "autodetect") {
        names.extend(value::domain(&host.name));
    }
    let default = section.read("defaultDomain", value::domain).unwrap_or_else(|| LOCALHOST.to_owned());
    names.push(default.clone());
    if switched_on(&mut section, "autodetectIP") {
        let addresses: Vec<IpAddr> = names.iter().flat_map(|name| (host.resolve)(name).unwrap_or_default()).collect();
        names.extend(addresses.into_iter().map(|address| Domain::Address(address.to_canonical()).to_string()));
    }
    let mut seen = HashSet::new();
    names.retain(|name| seen.insert(name.clone()));
    let detected = names.iter().filter(|name| **name != default && !written.contains(name)).cloned().collect();
    DomainSettings { names, detected, default }
}

/// A switch, in today's place or, as James 2.3 had it, as an attribute of `servernames`.
fn switched_on(section: &mut Section<'_>, key: &str) -> bool {
    let older = format!("servernames/@{key}");
    if let Some(written) = section.written(&older) {
        let found = format!("the attribute {key} of <servernames> is the spelling of James 2.3");
        section.say(written.position, Severity::Warning, found, format!("write <{key}>{}</{key}>", written.text));
    }
    let path = if section.written(key).is_some() { key } else { &older };
    section.read(path, value::boolean).unwrap_or(false)
}

fn named(section: &mut Section<'_>) -> Vec<String> {
    let older = section.list("servernames", "servername");
    for element in &older {
        let found = "<servername> is the spelling of James 2.3";
        let advice = format!("write <domainname>{}</domainname> in <domainnames>", element.text);
        section.say(element.position, Severity::Warning, found, advice);
    }
    let list = section.list("domainnames", "domainname").into_iter().chain(older);
    list.filter_map(|element| section.parse(Written::text_of(element), value::domain)).collect()
}
