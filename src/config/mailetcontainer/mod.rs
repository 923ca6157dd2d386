//! `mailetcontainer.xml`: what becomes of a mail once it is taken. Read and checked in full.
//!
//! What ringpost does of it so far: every mail that was accepted is for users of its own, and goes into their mailboxes.
//! Whatever else the file asks for is named.

use std::collections::HashSet;

use self::names::{MAILETS, MATCHERS, Referring};
use super::class::{self, Class};
use super::key::{Key, key, something};
use super::near::nearest;
use super::problem::Severity;
use super::problems::Problems;
use super::section::{Section, Written};
use super::value;
use super::walk::{Scope, walk};
use super::xml::{Attribute, Element, File};

pub mod names;

/// What `mailetcontainer.xml` says, as it was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerSettings {
    /// `context/postmaster`, as it is written.
    pub postmaster: Option<String>,
    /// `spooler/threads`; 0 stops all processing.
    pub threads: Option<u32>,
    /// `spooler/errorRepository`: a repository's URL.
    pub error_repository: Option<String>,
    /// The processors in their order.
    pub processors: Vec<ProcessorSettings>,
}

/// `processor`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessorSettings {
    /// `@state`, by which mailets name it.
    pub state: String,
    /// `mailet`, in their order.
    pub mailets: Vec<MailetSettings>,
}

/// `mailet`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailetSettings {
    /// `@match` or `@notmatch`: the matcher and what stands after its `=`.
    pub matcher: (String, Option<String>),
    /// Whether it was `@notmatch`.
    pub negated: bool,
    /// `@class`.
    pub class: String,
    /// The elements in it, in their order.
    pub parameters: Vec<(String, String)>,
}

/// The keys of `mailetcontainer.xml` outside its mailets.
pub const KEYS: &[Key] = &[
    key("@enableJmx").default("true").meaningless("ringpost has no JMX"),
    key("context/postmaster")
        .default("postmaster")
        .differently("it gets the mail for every postmaster who is no user, if it is of a domain that the files name"),
    key("context/mailetPackages/mailetPackage").often().meaningless("ringpost runs no Java"),
    key("context/matcherPackages/matcherPackage").often().meaningless("ringpost runs no Java"),
    key("spooler/threads")
        .default("100")
        .meaningless("deliveries under way have their bound in ringpost.xml, in <delivery>"),
    key("spooler/errorRepository").later("mail that fails stays in the spool and is tried again"),
    key("processors/processor").often(),
    key("processors/processor/@state"),
    key("processors/processor/@enableJmx").default("true").meaningless("ringpost has no JMX"),
    key("processors/processor/mailet").apart(),
    key("processors/processor/matcher").apart(),
];

/// What every mailet may have beside its own parameters.
const MAILET_KEYS: &[Key] = &[
    key("@match"),
    key("@notmatch"),
    key("onMailetException").checked(something).waits("no mailet fails yet but by a delivery that is tried again"),
    key("onMatchException").checked(something).waits("no matcher fails yet"),
];

/// What a composite matcher has.
const COMPOSITE_KEYS: &[Key] = &[key("@name"), key("@match"), key("@notmatch"), key("matcher").apart()];

/// States that are there without a processor.
const GHOST: &str = "ghost";

/// Reads `mailetcontainer.xml`; `None` where the outermost element is another.
pub fn read(file: &File, problems: &mut Problems) -> Option<ContainerSettings> {
    let mut section = Section::root(file, "mailetcontainer", problems)?;
    let scope = Scope { name: "mailetcontainer", keys: &[KEYS], unknown: Severity::Warning };
    walk(file, &file.root, &scope, section.problems);
    let postmaster = section.written("context/postmaster").map(|written| written.text.to_owned());
    let threads = section.read("spooler/threads", |text| value::number(text, 0, 10_000).map(|count| count as u32));
    if let (Some(0), Some(written)) = (threads, section.written("spooler/threads")) {
        let found = "spooler/threads is 0, which in James stops all processing";
        section.say(
            written.position,
            Severity::Warning,
            found,
            "to keep mail in the spool, set delivery/hold in ringpost.xml",
        );
    }
    let error_repository = section.read("spooler/errorRepository", repository);
    if section.written("spooler/errorRepository").is_none() {
        let found = "<spooler> has no <errorRepository>";
        section.say(file.root.position, Severity::Warning, found, "James does not start without one");
    }
    let elements = section.list("processors", "processor");
    let states = states(&mut section, &elements);
    let processors = elements.iter().map(|element| processor(&mut section, element, &states)).collect();
    let settings = ContainerSettings { postmaster, threads, error_repository, processors };
    delivers(&mut section, &settings);
    Some(settings)
}

fn repository(text: &str) -> Result<String, value::Expected> {
    let rest = text.split_once("://").filter(|(scheme, rest)| !scheme.is_empty() && !rest.is_empty());
    rest.map(|_| text.to_owned()).ok_or_else(|| "a repository such as file://var/mail/error/".to_owned())
}

/// The states that there are. Those that James cannot do without must be among them.
fn states(section: &mut Section<'_>, processors: &[&Element]) -> Vec<String> {
    let mut states: Vec<String> = vec![GHOST.to_owned()];
    for element in processors {
        let Some(state) = element.attribute("state") else {
            section.say(element.position, Severity::Error, "<processor> has no state", "write <processor state=\"…\">");
            continue;
        };
        if states.contains(&state.value) {
            let found = format!("there is a processor {:?} already", state.value);
            section.say(state.position, Severity::Error, found, "give every processor a state of its own");
        } else {
            states.push(state.value.clone());
        }
    }
    for needed in ["root", "error"] {
        if !states.iter().any(|state| state == needed) {
            let at = section.element.child("processors").unwrap_or(section.element).position;
            let found = format!("there is no processor {needed:?}");
            section.say(at, Severity::Error, found, format!("write <processor state=\"{needed}\">"));
        }
    }
    states
}

fn processor(section: &mut Section<'_>, element: &Element, states: &[String]) -> ProcessorSettings {
    let mut composites = HashSet::new();
    let mut mailets = Vec::new();
    for child in &element.children {
        match child.name.as_str() {
            "matcher" => composite(section, child, true, &mut composites),
            "mailet" => mailets.extend(mailet(section, child, &composites, states)),
            _ => {}
        }
    }
    let state = element.attribute("state").map(|state| state.value.clone()).unwrap_or_default();
    ProcessorSettings { state, mailets }
}

/// A composite matcher. Only the outermost has a name; inside are matchers and composites.
fn composite(section: &mut Section<'_>, element: &Element, outermost: bool, composites: &mut HashSet<String>) {
    let scope = Scope { name: "matcher", keys: &[COMPOSITE_KEYS], unknown: Severity::Warning };
    walk(section.file, element, &scope, section.problems);
    let Some((written, _)) = matcher_of(section, element) else { return };
    let is_composite = names::COMPOSITES.contains(&simple(written.text));
    match (is_composite, element.children.is_empty()) {
        (true, true) => {
            let found = format!("{} has no <matcher> in it", simple(written.text));
            section.say(element.position, Severity::Error, found, "write those that it joins inside of it");
        }
        (false, false) => {
            let found = format!("{} joins no matchers", simple(written.text));
            section.say(
                element.position,
                Severity::Error,
                found,
                format!("expected one of {}", names::COMPOSITES.join(", ")),
            );
        }
        (false, true) => matcher(section, written, composites),
        (true, false) => {}
    }
    for inner in element.children.iter().filter(|inner| inner.name == "matcher") {
        composite(section, inner, false, composites);
    }
    match (element.attribute("name"), outermost) {
        (Some(name), true) => drop(composites.insert(name.value.clone())),
        (None, true) => {
            section.say(
                element.position,
                Severity::Error,
                "<matcher> has no name",
                "write <matcher name=\"…\" match=\"…\">",
            );
        }
        _ => {}
    }
}

/// The matcher that an element names, and whether it is negated.
fn matcher_of<'a>(section: &mut Section<'_>, element: &'a Element) -> Option<(Written<'a>, bool)> {
    match (element.attribute("match"), element.attribute("notmatch")) {
        (Some(matcher), None) => Some((of(matcher), false)),
        (None, Some(matcher)) => Some((of(matcher), true)),
        (Some(_), Some(matcher)) => {
            let found = "match and notmatch are both there";
            section.say(matcher.position, Severity::Error, found, "write one of them");
            None
        }
        (None, None) => {
            let found = format!("<{}> has no match", element.name);
            section.say(element.position, Severity::Error, found, "write match=\"All\" for all recipients");
            None
        }
    }
}

fn of(attribute: &Attribute) -> Written<'_> {
    Written { name: &attribute.name, text: &attribute.value, position: attribute.position }
}

fn mailet(
    section: &mut Section<'_>,
    element: &Element,
    composites: &HashSet<String>,
    states: &[String],
) -> Option<MailetSettings> {
    let matcher = matcher_of(section, element);
    if let Some((written, _)) = matcher {
        self::matcher(section, written, composites);
    }
    let Some(class) = element.attribute("class") else {
        section.say(
            element.position,
            Severity::Error,
            "<mailet> has no class",
            "write <mailet match=\"…\" class=\"…\"/>",
        );
        return None;
    };
    match find(MAILETS, class.value.as_str(), names::MAILET_PACKAGES) {
        Some(known) => class::judge(section, &known, of(class), element, MAILET_KEYS),
        None => class::unknown(section, of(class), MAILETS.iter().map(|class| class.name), OWN),
    }
    for child in &element.children {
        refers(section, simple(&class.value), child, states);
    }
    let (written, negated) = matcher?;
    let (name, condition) = split(written.text);
    let parameters = element.children.iter().map(|child| (child.name.clone(), child.text.clone())).collect();
    Some(MailetSettings {
        matcher: (name.to_owned(), condition.map(str::to_owned)),
        negated,
        class: class.value.clone(),
        parameters,
    })
}

const OWN: &str =
    "docs/COMPATIBILITY.md lists those there are; ringpost runs no Java, so one of your own cannot be had";

/// A parameter that names a processor must name one that there is.
fn refers(section: &mut Section<'_>, mailet: &str, parameter: &Element, states: &[String]) {
    let Some(Referring { words, .. }) = names::REFERRING.iter().find(|referring| {
        referring.parameter == parameter.name && (referring.mailet.is_empty() || referring.mailet == mailet)
    }) else {
        return;
    };
    let text = parameter.text.as_str();
    if words.contains(&text) || states.iter().any(|state| state == text) {
        return;
    }
    let known = states.iter().map(String::as_str).filter(|state| *state != GHOST);
    let advice = match nearest(text, known.clone()) {
        Some(near) => format!("did you mean {near}?"),
        None => format!("expected one of {}", known.chain(words.iter().copied()).collect::<Vec<_>>().join(", ")),
    };
    let found = format!("{} names the processor {text:?}, which there is not", parameter.name);
    section.say(parameter.text_position, Severity::Error, found, advice);
}

/// A matcher as it is named in `match`: a composite of this processor, or one of James' classes with its condition.
fn matcher(section: &mut Section<'_>, written: Written<'_>, composites: &HashSet<String>) {
    let (name, condition) = split(written.text);
    if composites.contains(written.text) {
        return;
    }
    let Some(class) = find(MATCHERS, name, names::MATCHER_PACKAGES) else {
        let known: Vec<&str> =
            MATCHERS.iter().map(|class| class.name).chain(composites.iter().map(String::as_str)).collect();
        return class::unknown(section, Written { text: name, ..written }, known.into_iter(), OWN);
    };
    if names::WITH_CONDITION.contains(&class.name) && condition.is_none_or(str::is_empty) {
        let found = format!("the matcher {} has no condition", class.name);
        section.say(written.position, Severity::Error, found, format!("write match=\"{}=…\"", class.name));
    }
    // A matcher has no element of its own, so the element that is walked is one without anything in it.
    class::judge(section, &class.with_anything(), written, &section.file.root, &[]);
}

/// `Name=condition`.
fn split(text: &str) -> (&str, Option<&str>) {
    text.split_once('=').map_or((text, None), |(name, condition)| (name.trim(), Some(condition.trim())))
}

fn simple(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

/// A class by its simple name, or by its whole name in one of James' packages.
fn find(table: &[Class], name: &str, packages: &[&str]) -> Option<Class> {
    let known_package = name.rsplit_once('.').is_none_or(|(package, _)| packages.contains(&package));
    table.iter().find(|class| known_package && class.name == simple(name)).copied()
}

/// Where no mailet delivers here, ringpost would deliver what James would not.
fn delivers(section: &mut Section<'_>, settings: &ContainerSettings) {
    let mut mailets = settings.processors.iter().flat_map(|processor| &processor.mailets);
    if !mailets.any(|mailet| simple(&mailet.class) == "LocalDelivery") {
        let at = section.element.child("processors").unwrap_or(section.element).position;
        let found = "no mailet is LocalDelivery";
        section.say(
            at,
            Severity::Warning,
            found,
            "ringpost brings mail for its users into their mailboxes all the same",
        );
    }
}
