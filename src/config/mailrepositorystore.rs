//! `mailrepositorystore.xml`: which store a repository's URL means. Read and checked in full; ringpost has no repositories
//! yet, and every URL will mean a local one.

use super::key::{Key, key};
use super::problem::Severity;
use super::problems::Problems;
use super::section::{Section, Written};
use super::value::Expected;
use super::walk::{Scope, walk};
use super::xml::File;

/// What `mailrepositorystore.xml` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RepositorySettings {
    /// `defaultProtocol`: of URLs that name none.
    pub default_protocol: Option<String>,
    /// Every `protocol`: those that URLs may begin with.
    pub protocols: Vec<String>,
}

const LOCAL: &str = "every repository is a local one";

/// The keys of `mailrepositorystore.xml`.
pub const KEYS: &[Key] = &[
    key("defaultProtocol").waits("there are no repositories yet"),
    key("mailrepositories/mailrepository").often(),
    key("mailrepositories/mailrepository/@class").meaningless(LOCAL),
    key("mailrepositories/mailrepository/protocols/protocol").often().waits("there are no repositories yet"),
    key("mailrepositories/mailrepository/config").meaningless(LOCAL),
];

/// Reads `mailrepositorystore.xml`; `None` where the outermost element is another.
pub fn read(file: &File, problems: &mut Problems) -> Option<RepositorySettings> {
    let mut section = Section::root(file, "mailrepositorystore", problems)?;
    let scope = Scope { name: "mailrepositorystore", keys: &[KEYS], unknown: Severity::Warning };
    walk(file, &file.root, &scope, section.problems);
    let default_protocol = section.read("defaultProtocol", protocol);
    let mut protocols: Vec<String> = Vec::new();
    for element in section.list("mailrepositories", "mailrepository") {
        if element.attribute("class").is_none() {
            section.say(
                element.position,
                Severity::Error,
                "<mailrepository> has no class",
                "write <mailrepository class=\"…\">",
            );
        }
        for written in element.child("protocols").into_iter().flat_map(|list| &list.children).map(Written::text_of) {
            let Some(one) = section.parse(written, protocol) else { continue };
            if protocols.contains(&one) {
                let found = format!("the protocol {one} is given again");
                section.say(written.position, Severity::Error, found, "a protocol belongs to one <mailrepository>");
            } else {
                protocols.push(one);
            }
        }
    }
    if let (Some(default), Some(written)) = (&default_protocol, section.written("defaultProtocol"))
        && !protocols.contains(default)
    {
        let found = format!("defaultProtocol is {default}, which no <mailrepository> has");
        section.say(written.position, Severity::Error, found, format!("expected one of {}", protocols.join(", ")));
    }
    Some(RepositorySettings { default_protocol, protocols })
}

fn protocol(text: &str) -> Result<String, Expected> {
    let name = text.strip_suffix("://").unwrap_or(text);
    let is_scheme = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    if is_scheme { Ok(name.to_owned()) } else { Err("the beginning of a URL, such as file or memory".to_owned()) }
}
