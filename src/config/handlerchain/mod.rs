//! The `<handlerchain>` of a server: James' class names, and what they are here.

use super::class::{self, Class};
use super::problem::Severity;
use super::section::{Section, Written};
use super::server::Protocol;
use super::value;
use super::xml::{Attribute, Element, Position};
use crate::hook::TableCheck;
use crate::smtp::server::settings::Extensions;

pub mod classes;

/// The package that the core commands of a server come from (`handlerchain/@coreHandlersPackage`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CoreHandlers {
    /// `org.apache.james.smtpserver.CoreCmdHandlerLoader`.
    Smtp,
    /// `org.apache.james.smtpserver.NoAuthCmdHandlerLoader`: the same without AUTH.
    SmtpNoAuth,
    /// `org.apache.james.lmtpserver.CoreCmdHandlerLoader`: replies after delivery to the mailbox.
    Lmtp,
}

/// One `<handler class="…">`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handler {
    /// Its class: one of those that ringpost knows.
    pub class: &'static str,
    /// Where it was written.
    pub position: Position,
}

/// The handlers of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandlerChain {
    /// The core commands; they come after every handler of the list, wherever a loader is named in it, as in James.
    pub core: CoreHandlers,
    /// The `<handler>` elements in their order.
    pub handlers: Vec<Handler>,
    /// What the strictest `ValidRcptHandler` of them makes of the rewrite table.
    pub table_check: TableCheck,
    /// The extensions that their hooks turn on.
    pub extensions: Extensions,
    /// Mail that comes by LMTP goes through the mailet container; and whether every recipient goes alone (`splitExecution`).
    pub through_container: Option<bool>,
}

/// The loaders of core commands, and who may have them.
const LOADERS: [(&str, Protocol, CoreHandlers); 4] = [
    ("org.apache.james.smtpserver.CoreCmdHandlerLoader", Protocol::Smtp, CoreHandlers::Smtp),
    ("org.apache.james.smtpserver.NoAuthCmdHandlerLoader", Protocol::Smtp, CoreHandlers::SmtpNoAuth),
    ("org.apache.james.lmtpserver.CoreCmdHandlerLoader", Protocol::Lmtp, CoreHandlers::Lmtp),
    (CONTAINER_LOADER, Protocol::Lmtp, CoreHandlers::Lmtp),
];

/// Refuses recipients that do not exist.
pub const VALID_RCPT: &str = "org.apache.james.smtpserver.fastfail.ValidRcptHandler";

/// LMTP that runs the mailet container.
pub const CONTAINER_LOADER: &str = "org.apache.james.lmtpserver.MailetContainerCmdHandlerLoader";

/// The handler of it that does so.
pub const CONTAINER_HANDLER: &str = "org.apache.james.lmtpserver.MailetContainerHandler";

/// Reads the chain of a server.
pub fn read(server: &mut Section<'_>, protocol: Protocol) -> HandlerChain {
    let standard = match protocol {
        Protocol::Smtp => CoreHandlers::Smtp,
        Protocol::Lmtp => CoreHandlers::Lmtp,
    };
    let Some(chain) = server.element.child("handlerchain") else {
        let found = format!("<{}> has no <handlerchain>", server.element.name);
        let advice = "the core handlers are used; James does not start without one";
        server.say(server.element.position, Severity::Warning, found, advice);
        let (table_check, extensions, through_container) = Default::default();
        return HandlerChain { core: standard, handlers: Vec::new(), table_check, extensions, through_container };
    };
    let core = chain.attribute("coreHandlersPackage").and_then(|package| core(server, package, protocol));
    let written: Vec<&Element> = chain.children.iter().filter(|child| child.name == "handler").collect();
    let handlers: Vec<Handler> = written.iter().filter_map(|element| handler(server, element, protocol)).collect();
    // Where a class was refused, that may have been meant to be the one.
    let all_known = handlers.len() == written.len();
    if protocol == Protocol::Smtp && all_known && !handlers.iter().any(|handler| handler.class == VALID_RCPT) {
        let found = "the chain has no ValidRcptHandler";
        let advice = "ringpost refuses unknown recipients all the same; add it to say so";
        server.say(chain.position, Severity::Warning, found, advice);
    }
    let checks = written.iter().filter(|element| class_of(element) == Some(VALID_RCPT));
    let table_check = checks.filter_map(|element| table_check(server, element)).max().unwrap_or_default();
    let extensions = extensions(&handlers);
    let package = chain.attribute("coreHandlersPackage").map(|package| package.value.as_str());
    let through_container = through_container(server, package, &written);
    HandlerChain { core: core.unwrap_or(standard), handlers, table_check, extensions, through_container }
}

/// Each extension has several hooks in James, of which each alone is of little use: one of them is enough.
fn extensions(handlers: &[Handler]) -> Extensions {
    let has = |hooks: &str| handlers.iter().any(|handler| handler.class.starts_with(hooks));
    Extensions {
        dsn: has(classes::DSN_HOOKS),
        future_release: has(classes::FUTURE_RELEASE_HOOKS),
        mt_priority: has(classes::MT_PRIORITY_HOOKS),
        require_tls: has(classes::REQUIRE_TLS_HOOKS),
    }
}

fn core(server: &mut Section<'_>, package: &Attribute, protocol: Protocol) -> Option<CoreHandlers> {
    let loaders = LOADERS.iter().filter(|(_, whose, _)| *whose == protocol);
    match loaders.clone().find(|(class, ..)| *class == package.value) {
        Some((class, _, core)) => {
            let class = find(class, protocol)?;
            // What may stand in an element of the class is of no account here: the chain has its own keys.
            class::judge(server, &class.with_anything(), of(package), server.element, &[]);
            Some(*core)
        }
        None => {
            refuse(server, of(package), loaders.map(|(class, ..)| *class).collect(), protocol);
            None
        }
    }
}

fn handler(server: &mut Section<'_>, element: &Element, protocol: Protocol) -> Option<Handler> {
    let Some(written) = element.attribute("class").map(of) else {
        server.say(element.position, Severity::Error, "<handler> has no class", "write <handler class=\"…\"/>");
        return None;
    };
    let Some(class) = find(written.text, protocol) else {
        refuse(server, written, tables(protocol).flatten().map(|class| class.name).collect(), protocol);
        return None;
    };
    class::judge(server, &class, written, element, &[]);
    Some(Handler { class: class.name, position: element.position })
}

fn class_of(element: &Element) -> Option<&str> {
    element.attribute("class").map(|class| class.value.as_str())
}

/// Whether a chain leads through the container: by the package of its core, or by a handler.
fn through_container(server: &mut Section<'_>, package: Option<&str>, handlers: &[&Element]) -> Option<bool> {
    let named =
        handlers.iter().filter(|element| matches!(class_of(element), Some(CONTAINER_LOADER | CONTAINER_HANDLER)));
    let mut through = (package == Some(CONTAINER_LOADER)).then_some(false);
    for element in named {
        let mut section = Section { file: server.file, element, problems: server.problems };
        let split = section.read("splitExecution", value::boolean).unwrap_or(false);
        through = Some(split || through.unwrap_or(false));
    }
    through
}

/// What a `ValidRcptHandler` makes of the rewrite table.
fn table_check(server: &mut Section<'_>, element: &Element) -> Option<TableCheck> {
    let mut section = Section { file: server.file, element, problems: server.problems };
    let check = section.read("recipientRewriteTableCheck", |text| value::word(text, &TABLE_CHECKS));
    match section.read("enableRecipientRewriteTable", value::boolean) {
        Some(false) => Some(TableCheck::Nothing),
        _ => check,
    }
}

/// The words of `recipientRewriteTableCheck`.
const TABLE_CHECKS: [(&str, TableCheck); 3] = [
    ("mappingExists", TableCheck::AnyTarget),
    ("anyMappingValid", TableCheck::AnyTarget),
    ("allMappingsValid", TableCheck::EveryTarget),
];

fn of(attribute: &Attribute) -> Written<'_> {
    Written { name: &attribute.name, text: &attribute.value, position: attribute.position }
}

/// The tables of a protocol.
fn tables(protocol: Protocol) -> impl Iterator<Item = &'static [Class]> {
    let own = match protocol {
        Protocol::Smtp => classes::SMTP,
        Protocol::Lmtp => classes::LMTP,
    };
    [own, classes::BOTH].into_iter()
}

fn find(name: &str, protocol: Protocol) -> Option<Class> {
    tables(protocol).flatten().find(|class| class.name == name).copied()
}

/// A class that cannot be had in this chain, or not at all.
fn refuse(server: &mut Section<'_>, written: Written<'_>, known: Vec<&'static str>, protocol: Protocol) {
    let there_are = match known.len() {
        0..=4 => format!("there are {}", known.join(", ")),
        _ => "docs/COMPATIBILITY.md lists those there are; ringpost runs no Java, so one of your own cannot be had"
            .to_owned(),
    };
    let other = match protocol {
        Protocol::Smtp => Protocol::Lmtp,
        Protocol::Lmtp => Protocol::Smtp,
    };
    let advice = match (find(written.text, protocol), find(written.text, other)) {
        (Some(_), _) => there_are.clone(),
        (None, Some(_)) => format!("it belongs to <{}>", other.element()),
        (None, None) => return class::unknown(server, written, known.into_iter(), &there_are),
    };
    server.say(written.position, Severity::Error, format!("{} does not belong here", written.text), advice);
}
