//! `domainlist.xml`: the domains whose mail is taken.

use super::host::Host;
use super::key::{Key, is_false, list, meaningless, obeyed, protects, walk};
use super::problem::{Problems, Severity};
use super::section::{Section, Written};
use super::value;
use super::xml::File;

/// The local domains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainSettings {
    /// Every local domain, lower-cased, without duplicates: `domainnames`, `defaultDomain` and, with `autodetect`, the
    /// host's name.
    pub names: Vec<String>,
    /// `defaultDomain`: the domain of addresses without one, such as `Postmaster`; lower-cased.
    pub default: String,
}

const STORED: &str = "the domains are those of this file; none is looked up";

const KEYS: &[Key] = &[
    meaningless("@class", STORED),
    obeyed("autodetect"),
    protects(
        "autodetectIP",
        is_false,
        "mail to addresses such as you@[192.0.2.1] is refused: set it to false, or remove it",
    ),
    obeyed("defaultDomain"),
    list("domainnames/domainname"),
    meaningless("read.cache.enable", STORED),
    meaningless("read.cache.expiracy", STORED),
];

/// The domain that James takes where none is named.
const LOCALHOST: &str = "localhost";

impl Default for DomainSettings {
    /// What James does without the file: `localhost` alone.
    fn default() -> DomainSettings {
        DomainSettings { names: vec![LOCALHOST.to_owned()], default: LOCALHOST.to_owned() }
    }
}

/// Reads `domainlist.xml`.
pub fn read(file: &File, host: &Host, problems: &mut Problems) -> DomainSettings {
    let element = &file.root;
    if element.name != "domainlist" {
        let found = format!("the outermost element is <{}>", element.name);
        problems.at(file, element.position, Severity::Error, found, "expected <domainlist>");
        return DomainSettings::default();
    }
    walk(file, element, &[KEYS], Severity::Warning, problems);
    let mut section = Section { file, element, problems };
    let mut names = named(&mut section);
    if section.read("autodetect", value::boolean).unwrap_or(false) {
        names.extend(value::domain(&host.name));
    }
    let default = section.read("defaultDomain", value::domain).unwrap_or_else(|| LOCALHOST.to_owned());
    names.push(default.clone());
    let mut seen = Vec::new();
    names.retain(|name| {
        !seen.contains(name) && {
            seen.push(name.clone());
            true
        }
    });
    DomainSettings { names, default }
}

fn named(section: &mut Section<'_>) -> Vec<String> {
    let list = section.list("domainnames", "domainname");
    list.iter().filter_map(|element| section.parse(Written::text_of(element), value::domain)).collect()
}
