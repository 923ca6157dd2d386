//! `mailetcontainer.xml`: what becomes of a mail once it is taken. Read and checked in full; what is not done yet is named.

use std::collections::HashMap;

use self::mailets::Context;
use self::names::{MAILETS, MATCHERS, Referring};
use super::class::{self, Class};
use super::key::{Key, Standing, key, something};
use super::location::Places;
use super::near::nearest;
use super::problem::Severity;
use super::problems::Problems;
use super::section::{Section, Written};
use super::value;
use super::walk::{Scope, walk};
use super::xml::{Attribute, Element, File};
use crate::delivery::settings::{LmtpSettings, RemoteSettings};
use crate::mail::Mailbox;
use crate::mailet::mailets::Mailet;
use crate::mailet::matchers::Matcher;
use crate::mailet::matchers::composite::Condition;
use crate::mailet::pipeline::{OnMailetException, OnMatchException, Pair, Pipeline, Processor};

mod conditions;
pub mod keys;
mod letters;
mod mailets;
pub mod names;
mod remote;
mod signing;

/// What `mailetcontainer.xml` says, as it was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerSettings {
    /// `context/postmaster`, as it is written.
    pub postmaster: Option<String>,
    /// `spooler/threads`; 0 stops all processing.
    pub threads: Option<u32>,
    /// `spooler/errorRepository`: a repository's URL.
    pub error_repository: Option<String>,
    /// The processors as the pipeline has them. `None` where the file is wrong.
    pub pipeline: Option<Pipeline>,
    /// The settings of every `RemoteDelivery`, in the order of the file.
    pub remotes: Vec<RemoteSettings>,
    /// The settings of every `LmtpDelivery`, in the order of the file.
    pub lmtps: Vec<LmtpSettings>,
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
    key("spooler/errorRepository").default("file://var/mail/error/"),
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
    key("onMailetException").checked(something),
    key("onMatchException").checked(something),
];

/// What a composite matcher has.
const COMPOSITE_KEYS: &[Key] = &[key("@name"), key("@match"), key("@notmatch"), key("matcher").apart()];

/// States that are there without a processor.
const GHOST: &str = "ghost";

/// Reads `mailetcontainer.xml`; `None` where the outermost element is another. `domain` is what an address without one is in,
/// `host` what this host calls itself.
pub fn read(
    file: &File,
    domain: &str,
    host: &str,
    places: Places<'_>,
    problems: &mut Problems,
) -> Option<ContainerSettings> {
    let mut section = Section::root(file, "mailetcontainer", problems)?;
    let scope = Scope { name: "mailetcontainer", keys: &[KEYS], unknown: Severity::Warning };
    walk(file, &file.root, &scope, section.problems);
    let postmaster = section.written("context/postmaster").map(|written| written.text.to_owned());
    let address = section.read("context/postmaster", |text| {
        Mailbox::parse_in(text, domain)
            .map_err(|_| "an address, such as postmaster or postmaster@example.org".to_owned())
    });
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
    let (states, right) = states(&mut section, &elements);
    let mut context = Context { states: &states, remotes: Vec::new(), lmtps: Vec::new(), places };
    let processors = elements.iter().map(|element| processor(&mut section, element, &mut context));
    let processors: Vec<Option<Processor>> = processors.collect();
    let Context { remotes, lmtps, .. } = context;
    let pipeline = || {
        Some(Pipeline {
            processors: processors.into_iter().collect::<Option<Vec<Processor>>>()?,
            root: states.iter().position(|state| state == "root")?,
            error: states.iter().position(|state| state == "error")?,
            error_repository: error_repository.as_deref().unwrap_or(ERROR_REPOSITORY).into(),
            postmaster: address.or_else(|| Mailbox::parse_in("postmaster", domain).ok())?,
            host: host.into(),
        })
    };
    let pipeline = if right { pipeline() } else { None };
    Some(ContainerSettings { postmaster, threads, error_repository, pipeline, remotes, lmtps })
}

/// Where mail is kept that failed for good, if the file does not say.
const ERROR_REPOSITORY: &str = "file://var/mail/error/";

fn repository(text: &str) -> Result<String, value::Expected> {
    let rest = text.split_once("://").filter(|(scheme, rest)| !scheme.is_empty() && !rest.is_empty());
    rest.map(|_| text.to_owned()).ok_or_else(|| "a repository such as file://var/mail/error/".to_owned())
}

/// The states in the order of their processors, and whether they are right. Those that James cannot do without must be among
/// them.
fn states(section: &mut Section<'_>, processors: &[&Element]) -> (Vec<String>, bool) {
    let mut states: Vec<String> = Vec::new();
    let mut right = true;
    for element in processors {
        let Some(state) = element.attribute("state") else {
            section.say(element.position, Severity::Error, "<processor> has no state", "write <processor state=\"…\">");
            right = false;
            continue;
        };
        if state.value == GHOST || states.contains(&state.value) {
            let found = format!("there is a processor {:?} already", state.value);
            section.say(state.position, Severity::Error, found, "give every processor a state of its own");
            right = false;
        } else {
            states.push(state.value.clone());
        }
    }
    for needed in ["root", "error"] {
        if !states.iter().any(|state| state == needed) {
            let at = section.element.child("processors").unwrap_or(section.element).position;
            let found = format!("there is no processor {needed:?}");
            section.say(at, Severity::Error, found, format!("write <processor state=\"{needed}\">"));
            right = false;
        }
    }
    (states, right)
}

/// The composite matchers of a processor by their names; what is wrong has no matcher.
type Composites = HashMap<String, Option<Matching>>;

fn processor(section: &mut Section<'_>, element: &Element, context: &mut Context<'_>) -> Option<Processor> {
    let mut composites = Composites::new();
    let mut pairs = Some(Vec::new());
    for child in &element.children {
        match child.name.as_str() {
            "matcher" => drop(composite(section, child, true, &mut composites)),
            "mailet" => match (mailet(section, child, &composites, context), &mut pairs) {
                (Some(pair), Some(pairs)) => pairs.push(pair),
                _ => pairs = None,
            },
            _ => {}
        }
    }
    let state = element.attribute("state")?.value.as_str().into();
    Some(Processor { state, pairs: pairs? })
}

/// A composite matcher. Only the outermost has a name; inside are matchers and composites.
fn composite(
    section: &mut Section<'_>,
    element: &Element,
    outermost: bool,
    composites: &mut Composites,
) -> Option<(bool, Matching)> {
    let scope = Scope { name: "matcher", keys: &[COMPOSITE_KEYS], unknown: Severity::Warning };
    walk(section.file, element, &scope, section.problems);
    let (written, negated) = matcher_of(section, element)?;
    let join = names::COMPOSITES.iter().find(|(name, _)| *name == simple(written.text)).map(|(_, join)| *join);
    let mut own = None;
    match (join, element.children.is_empty()) {
        (Some(_), true) => {
            let found = format!("{} has no <matcher> in it", simple(written.text));
            section.say(element.position, Severity::Error, found, "write those that it joins inside of it");
        }
        (None, false) => {
            let found = format!("{} joins no matchers", simple(written.text));
            let names: Vec<&str> = names::COMPOSITES.iter().map(|(name, _)| *name).collect();
            section.say(element.position, Severity::Error, found, format!("expected one of {}", names.join(", ")));
        }
        (None, true) => own = matcher(section, written, composites),
        (Some(_), false) => {}
    }
    let (mut matchers, mut not_yet) = (Some(Vec::new()), false);
    for inner in element.children.iter().filter(|inner| inner.name == "matcher") {
        match (composite(section, inner, false, composites), &mut matchers) {
            (Some((negated, Matching::As(matcher))), Some(list)) => list.push((negated, matcher)),
            (Some((_, Matching::NotYet)), _) => not_yet = true,
            _ => matchers = None,
        }
    }
    let name = element.attribute("name");
    if let Some(join) = join {
        let name = name.filter(|_| outermost).map(|name| name.value.as_str()).unwrap_or_default().into();
        own = matchers.map(|matchers| match not_yet {
            true => Matching::NotYet,
            false => Matching::As(Matcher::Composite(Condition { join, matchers, name })),
        });
    }
    match (name, outermost) {
        (Some(name), true) => drop(composites.insert(name.value.clone(), own.clone())),
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
    own.map(|own| (negated, own))
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
    composites: &Composites,
    context: &mut Context<'_>,
) -> Option<Pair> {
    let written = matcher_of(section, element);
    let matcher = written.and_then(|(written, _)| matcher(section, written, composites));
    let Some(class) = element.attribute("class") else {
        section.say(
            element.position,
            Severity::Error,
            "<mailet> has no class",
            "write <mailet match=\"…\" class=\"…\"/>",
        );
        return None;
    };
    let known = find(MAILETS, class.value.as_str(), names::MAILET_PACKAGES);
    match known {
        Some(known) => class::judge(section, &known, of(class), element, MAILET_KEYS),
        None => class::unknown(section, of(class), MAILETS.iter().map(|class| class.name), OWN),
    }
    for child in &element.children {
        refers(section, simple(&class.value), child, context.states);
    }
    let known = known?;
    let mailet = match known.standing {
        _ if known.is_done() => {
            let mut own = Section { file: section.file, element, problems: section.problems };
            mailets::read(&mut own, known.name, context)
        }
        Standing::Meaningless(_) => Some(Mailet::Identity),
        _ => Some(Mailet::NotYet(known.name.into())),
    };
    let (mailet, matcher, (written, negated)) = (mailet?, matcher?, written?);
    let (mailet, matcher) = match matcher {
        Matching::As(matcher) => (mailet, matcher),
        // Whom the matcher would choose is not known, so nothing is done for anybody.
        Matching::NotYet => (Mailet::NotYet(split(written.text).0.into()), Matcher::All),
    };
    let text = |name: &str| element.child(name).map(|child| child.text.as_str());
    Some(Pair {
        matcher,
        negated,
        mailet,
        on_match_exception: match text("onMatchException") {
            None => OnMatchException::Error,
            Some("nomatch") => OnMatchException::NoMatch,
            Some("matchall") => OnMatchException::MatchAll,
            Some(state) => OnMatchException::Processor(context.place(state)?),
        },
        on_mailet_exception: match text("onMailetException") {
            None => OnMailetException::Error,
            Some("ignore") => OnMailetException::Ignore,
            Some("propagate") => OnMailetException::Propagate,
            Some(state) => OnMailetException::Processor(context.place(state)?),
        },
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
    let ghost = text == GHOST && parameter.name == "processor";
    if words.contains(&text) || ghost || states.iter().any(|state| state == text) {
        return;
    }
    let known = states.iter().map(String::as_str);
    let advice = match nearest(text, known.clone()) {
        Some(near) => format!("did you mean {near}?"),
        None => format!("expected one of {}", known.chain(words.iter().copied()).collect::<Vec<_>>().join(", ")),
    };
    let found = format!("{} names the processor {text:?}, which there is not", parameter.name);
    section.say(parameter.text_position, Severity::Error, found, advice);
}

/// What a matcher is in the pipeline.
#[derive(Clone, Debug)]
enum Matching {
    /// This.
    As(Matcher),
    /// Not done yet.
    NotYet,
}

/// A matcher as it is named in `match`: a composite of this processor, or one of James' classes with its condition. `None` where
/// it is wrong, which is taken down.
fn matcher(section: &mut Section<'_>, written: Written<'_>, composites: &Composites) -> Option<Matching> {
    let (name, condition) = split(written.text);
    if let Some(composite) = composites.get(written.text) {
        return composite.clone();
    }
    let Some(class) = find(MATCHERS, name, names::MATCHER_PACKAGES) else {
        let known: Vec<&str> =
            MATCHERS.iter().map(|class| class.name).chain(composites.keys().map(String::as_str)).collect();
        class::unknown(section, Written { text: name, ..written }, known.into_iter(), OWN);
        return None;
    };
    let missing = names::WITH_CONDITION.contains(&class.name) && condition.is_none_or(str::is_empty);
    if missing {
        let found = format!("the matcher {} has no condition", class.name);
        section.say(written.position, Severity::Error, found, format!("write match=\"{}=…\"", class.name));
    }
    // A matcher has no element of its own, so the element that is walked is one without anything in it.
    class::judge(section, &class.with_anything(), written, &section.file.root, &[]);
    match conditions::read(class.name, condition) {
        _ if missing => None,
        conditions::Read::Matcher(matcher) => Some(Matching::As(matcher)),
        conditions::Read::NotYet => Some(Matching::NotYet),
        conditions::Read::Wrong(expected) => {
            let found = format!("the condition of {} is {:?}", class.name, condition.unwrap_or_default());
            section.say(written.position, Severity::Error, found, format!("expected {expected}"));
            None
        }
    }
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
