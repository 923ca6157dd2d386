//! `mailrepositorystore.xml`: which store a repository's URL means. Every URL means a local one (`delivery::repository`), so what
//! the file decides here is only which URLs are right.

use super::key::{Key, key};
use super::near::nearest;
use super::problem::Severity;
use super::problems::Problems;
use super::section::{Section, Written};
use super::value::Expected;
use super::walk::{Scope, walk};
use super::xml::{Element, File};

/// What `mailrepositorystore.xml` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RepositorySettings {
    /// `defaultProtocol`: of URLs that name none.
    pub default_protocol: Option<String>,
    /// Every `protocol`: those that URLs may begin with.
    pub protocols: Vec<String>,
}

const LOCAL: &str = "every repository is a local one, a directory below repositories/directory of ringpost.xml";

/// Elements of `mailetcontainer.xml` that hold the URL of a repository, or the beginning of one.
const URLS: [&str; 3] = ["errorRepository", "repositoryPath", "urlPrefix"];

/// The keys of `mailrepositorystore.xml`.
pub const KEYS: &[Key] = &[
    key("defaultProtocol").meaningless(LOCAL),
    key("mailrepositories/mailrepository").often(),
    key("mailrepositories/mailrepository/@class").meaningless(LOCAL),
    key("mailrepositories/mailrepository/protocols/protocol").often().differently(
        "a URL of mailetcontainer.xml that begins otherwise is a warning, and means a local repository as well",
    ),
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

/// Says of every repository that `mailetcontainer.xml` names whether its protocol is one of the store's.
pub fn check_urls(container: &File, settings: &RepositorySettings, problems: &mut Problems) {
    check_below(container, &container.root, settings, problems);
}

fn check_below(file: &File, element: &Element, settings: &RepositorySettings, problems: &mut Problems) {
    for child in &element.children {
        // A URL without a protocol, or none at all, is said to be wrong where it is read.
        let protocol =
            child.text.split_once("://").map(|(protocol, _)| protocol).filter(|protocol| !protocol.is_empty());
        if let Some(protocol) = protocol.filter(|_| URLS.contains(&child.name.as_str()))
            && !settings.protocols.iter().any(|known| known == protocol)
        {
            let known = settings.protocols.iter().map(String::as_str);
            let advice = match nearest(protocol, known) {
                Some(near) => format!("did you mean {near}://?"),
                None => "James does not start so".to_owned(),
            };
            let found = format!(
                "{} begins with {protocol}, which no <mailrepository> of mailrepositorystore.xml has; the repository is a local one all the same",
                child.name
            );
            problems.at(file, child.text_position, Severity::Warning, found, advice);
        }
        check_below(file, child, settings, problems);
    }
}

fn protocol(text: &str) -> Result<String, Expected> {
    let name = text.strip_suffix("://").unwrap_or(text);
    let is_scheme = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    if is_scheme { Ok(name.to_owned()) } else { Err("the beginning of a URL, such as file or memory".to_owned()) }
}
