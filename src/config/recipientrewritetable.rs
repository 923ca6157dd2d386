//! `recipientrewritetable.xml`: how far mappings are followed, and those that stand in the file itself.

use super::key::{Key, key};
use super::problem::Severity;
use super::problems::Problems;
use super::section::{Section, Written};
use super::value::{self, Expected};
use super::walk::{Scope, walk};
use super::xml::File;
use crate::directory::{Mapping, Source};

/// What `recipientrewritetable.xml` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RewriteSettings {
    /// `mappingLimit`: how many mappings in a row are followed; 0 where `recursiveMapping` is false.
    pub mapping_limit: u32,
    /// `mapping`: what is written in the file itself; it counts beside what `ringpost alias` keeps.
    pub mappings: Vec<(Source, Mapping)>,
}

/// The keys of `recipientrewritetable.xml`.
pub const KEYS: &[Key] = &[
    key("@class").differently("every back end maps to the local table"),
    key("recursiveMapping").default("true"),
    key("mappingLimit").default("10"),
    key("mapping").often().differently("read with any class, not with XMLRecipientRewriteTable alone"),
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

fn mappings(section: &mut Section<'_>) -> Vec<(Source, Mapping)> {
    let written = section.element.children.iter().filter(|child| child.name == "mapping");
    let parsed = written.map(Written::text_of).filter_map(|written| section.parse(written, mapping));
    parsed.flatten().collect()
}

/// `source=target;target`; targets may also be parted by commas, but for an expression or a refusal, which may have some.
fn mapping(text: &str) -> Result<Vec<(Source, Mapping)>, Expected> {
    let expected = || "user@domain=target, several targets separated by `;`".to_owned();
    let (source, targets) = text.split_once('=').ok_or_else(expected)?;
    let source = Source::parse(source).map_err(|error| format!("{}: {error}", expected()))?;
    let mut mappings = Vec::new();
    for target in targets.split(';').flat_map(parts).map(str::trim).filter(|target| !target.is_empty()) {
        let mapping = Mapping::parse(target).map_err(|error| format!("{}: {error}", expected()))?;
        source.takes(mapping.kind()).map_err(|error| format!("{}: {error}", expected()))?;
        mappings.push((source.clone(), mapping.in_domain(source.domain())));
    }
    if mappings.is_empty() { Err(expected()) } else { Ok(mappings) }
}

fn parts(target: &str) -> Vec<&str> {
    match target.trim_start().starts_with("regex:") || target.trim_start().starts_with("error:") {
        true => vec![target],
        false => target.split(',').collect(),
    }
}
