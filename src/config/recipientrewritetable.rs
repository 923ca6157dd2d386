//! `recipientrewritetable.xml`: aliases, forwards and groups. Read and checked in full; not used yet.

use super::key::{Key, boolean, key};
use super::problem::Severity;
use super::problems::Problems;
use super::section::{Section, Written};
use super::value::{self, Expected};
use super::walk::{Scope, walk};
use super::xml::File;

/// What `recipientrewritetable.xml` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RewriteSettings {
    /// `mappingLimit`: how many mappings in a row are followed; 0 where `recursiveMapping` is false.
    pub mapping_limit: u32,
    /// `mapping`: what is written in the file itself.
    pub mappings: Vec<Mapping>,
}

/// One source and what it becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// `user@domain`, or a domain.
    pub source: String,
    /// What it becomes, in order.
    pub targets: Vec<Target>,
}

/// What an address becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// How.
    pub kind: TargetKind,
    /// What stands after the prefix.
    pub text: String,
}

/// How an address becomes another, by its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetKind {
    /// No prefix: that address.
    Address,
    /// `regex:`
    Regex,
    /// `domain:`
    Domain,
    /// `domainAlias:`
    DomainAlias,
    /// `error:` a refusal.
    Error,
    /// `forward:`
    Forward,
    /// `group:`
    Group,
    /// `alias:`
    Alias,
}

const PREFIXES: [(&str, TargetKind); 7] = [
    ("regex:", TargetKind::Regex),
    ("domain:", TargetKind::Domain),
    ("domainAlias:", TargetKind::DomainAlias),
    ("error:", TargetKind::Error),
    ("forward:", TargetKind::Forward),
    ("group:", TargetKind::Group),
    ("alias:", TargetKind::Alias),
];

/// The keys of `recipientrewritetable.xml`.
pub const KEYS: &[Key] = &[
    key("@class").differently("every back end maps to the local table"),
    key("recursiveMapping").default("true").checked(boolean).waits("no address is rewritten yet"),
    key("mappingLimit").default("10").waits("no address is rewritten yet"),
    key("mapping").often().protects(
        |text| !text.contains("error:"),
        "mail that it refuses would be taken where ringpost.xml names the user: remove the mapping and the user",
    ),
];

/// Reads `recipientrewritetable.xml`; `None` where the outermost element is another.
pub fn read(file: &File, problems: &mut Problems) -> Option<RewriteSettings> {
    let mut section = Section::root(file, "recipientrewritetable", problems)?;
    let scope = Scope { name: "recipientrewritetable", keys: &[KEYS], unknown: Severity::Warning };
    walk(file, &file.root, &scope, section.problems);
    let recursive = section.read("recursiveMapping", value::boolean).unwrap_or(true);
    let limit = section.read("mappingLimit", |text| value::number(text, 0, 1000).map(|limit| limit as u32));
    match (recursive, limit, section.written("mappingLimit")) {
        (false, Some(1..), Some(written)) => {
            let found = format!("mappingLimit is {}, and recursiveMapping is false", written.text);
            section.say(written.position, Severity::Error, found, "write 0, or recursiveMapping true");
        }
        (true, Some(0), Some(written)) => {
            let found = "mappingLimit is 0, and recursiveMapping is true";
            section.say(written.position, Severity::Error, found, "write 1 or more, or recursiveMapping false");
        }
        _ => {}
    }
    Some(RewriteSettings {
        mapping_limit: if recursive { limit.unwrap_or(10) } else { 0 },
        mappings: mappings(&mut section),
    })
}

fn mappings(section: &mut Section<'_>) -> Vec<Mapping> {
    let written = section.element.children.iter().filter(|child| child.name == "mapping");
    let mut mappings = Vec::new();
    for written in written.map(Written::text_of) {
        let Some(mapping) = section.parse(written, mapping) else { continue };
        if mapping.targets.iter().all(|target| target.kind != TargetKind::Error) {
            let found = format!("{} is not rewritten yet", mapping.source);
            let advice = "its mail is taken where ringpost.xml names it as a <user>, and else refused";
            section.say(written.position, Severity::Warning, found, advice);
        }
        mappings.push(mapping);
    }
    mappings
}

fn mapping(text: &str) -> Result<Mapping, Expected> {
    let expected = || "user@domain=target, several targets separated by `;`".to_owned();
    let (source, targets) = text.split_once('=').ok_or_else(expected)?;
    let targets: Vec<Target> = targets.split([';', ',']).map(str::trim).filter(|t| !t.is_empty()).map(target).collect();
    let source = source.trim().to_lowercase();
    let complete = !source.is_empty() && !targets.is_empty() && targets.iter().all(|target| !target.text.is_empty());
    if complete { Ok(Mapping { source, targets }) } else { Err(expected()) }
}

fn target(text: &str) -> Target {
    let found = PREFIXES.iter().find_map(|(prefix, kind)| Some((*kind, text.strip_prefix(prefix)?)));
    let (kind, text) = found.unwrap_or((TargetKind::Address, text));
    Target { kind, text: text.to_owned() }
}
