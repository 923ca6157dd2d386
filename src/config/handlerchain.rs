//! The `<handlerchain>` of a server: James' class names, and what they are here.

use super::key::{Key, later, nearest, obeyed, walk};
use super::problem::Severity;
use super::section::Section;
use super::server::Protocol;
use super::xml::{Element, Position};

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
}

/// The classes of core commands, and who may have them.
const LOADERS: [(&str, Protocol, CoreHandlers); 3] = [
    ("org.apache.james.smtpserver.CoreCmdHandlerLoader", Protocol::Smtp, CoreHandlers::Smtp),
    ("org.apache.james.smtpserver.NoAuthCmdHandlerLoader", Protocol::Smtp, CoreHandlers::SmtpNoAuth),
    ("org.apache.james.lmtpserver.CoreCmdHandlerLoader", Protocol::Lmtp, CoreHandlers::Lmtp),
];

/// Refuses recipients that do not exist.
pub const VALID_RCPT: &str = "org.apache.james.smtpserver.fastfail.ValidRcptHandler";

/// Classes of James that are not done yet, without [`PREFIX`].
const LATER: [&str; 43] = [
    "lmtpserver.MailetContainerCmdHandlerLoader",
    "lmtpserver.MailetContainerHandler",
    "protocols.smtp.core.AcceptRecipientIfRelayingIsAllowed",
    "protocols.smtp.core.fastfail.SupressDuplicateRcptHandler",
    "smtpserver.AddDefaultAttributesMessageHook",
    "smtpserver.ConfigurationAuthHook",
    "smtpserver.DKIMHook",
    "smtpserver.EnforceHeaderLimitationsMessageHook",
    "smtpserver.MailPriorityHandler",
    "smtpserver.POP3BeforeSMTPHandler",
    "smtpserver.SendMailHandler",
    "smtpserver.SetMailAttributeMessageHook",
    "smtpserver.SetMimeHeaderHandler",
    "smtpserver.UsersRepositoryAuthHook",
    "smtpserver.crowdsec.CrowdsecEhloHook",
    "smtpserver.crowdsec.CrowdsecSMTPConnectHandler",
    "smtpserver.dsn.DSNEhloHook",
    "smtpserver.dsn.DSNMailParameterHook",
    "smtpserver.dsn.DSNMessageHook",
    "smtpserver.dsn.DSNRcptParameterHook",
    "smtpserver.fastfail.AllowedUnauthenticatedSender",
    "smtpserver.fastfail.DNSRBLHandler",
    "smtpserver.fastfail.JDBCGreylistHandler",
    "smtpserver.fastfail.MaxRcptHandler",
    "smtpserver.fastfail.MaxUnknownCmdHandler",
    "smtpserver.fastfail.ResolvableEhloHeloHandler",
    "smtpserver.fastfail.ReverseEqualsEhloHeloHandler",
    "smtpserver.fastfail.SPFHandler",
    "smtpserver.fastfail.SpamTrapHandler",
    "smtpserver.fastfail.URIRBLHandler",
    "smtpserver.fastfail.ValidRcptMX",
    "smtpserver.fastfail.ValidSenderDomainHandler",
    "smtpserver.futurerelease.FutureReleaseEHLOHook",
    "smtpserver.futurerelease.FutureReleaseMailParameterHook",
    "smtpserver.netty.MaxConnectionLifespanHandler",
    "smtpserver.priority.SmtpMtPriorityEhloHook",
    "smtpserver.priority.SmtpMtPriorityMessageHook",
    "smtpserver.priority.SmtpMtPriorityParameterHook",
    "smtpserver.smtputf8.SmtpUtf8MailHook",
    "smtpserver.smtputf8.SmtpUtf8RcptHook",
    "smtpserver.spamassassin.SpamAssassinHandler",
    "smtpserver.tls.EnforceMtaSts",
    "smtpserver.tls.TestMtaSts",
];

/// What every class of James' own begins with.
const PREFIX: &str = "org.apache.james.";

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
        return HandlerChain { core: standard, handlers: Vec::new() };
    };
    let core = core(server, chain, protocol).unwrap_or(standard);
    let written: Vec<&Element> = chain.children.iter().filter(|child| child.name == "handler").collect();
    let handlers: Vec<Handler> = written.iter().filter_map(|element| handler(server, element, protocol)).collect();
    // Where a class was refused, that may have been meant to be the one.
    let all_known = handlers.len() == written.len();
    if protocol == Protocol::Smtp && all_known && !handlers.iter().any(|handler| handler.class == VALID_RCPT) {
        let found = "the chain has no ValidRcptHandler";
        let advice = "ringpost refuses unknown recipients all the same; add it to say so";
        server.say(chain.position, Severity::Warning, found, advice);
    }
    HandlerChain { core, handlers }
}

fn core(server: &mut Section<'_>, chain: &Element, protocol: Protocol) -> Option<CoreHandlers> {
    let package = chain.attribute("coreHandlersPackage")?;
    let loader = LOADERS.iter().find(|(class, whose, _)| *class == package.value && *whose == protocol);
    match loader {
        Some((_, _, core)) => Some(*core),
        None => {
            let known = LOADERS.iter().filter(|(_, whose, _)| *whose == protocol).map(|(class, ..)| *class);
            refuse(server, &package.value, package.position, known.collect());
            None
        }
    }
}

fn handler(server: &mut Section<'_>, element: &Element, protocol: Protocol) -> Option<Handler> {
    let Some(class) = element.attribute("class") else {
        server.say(element.position, Severity::Error, "<handler> has no class", "write <handler class=\"…\"/>");
        return None;
    };
    let known = classes(protocol);
    if let Some(class) = known.iter().copied().find(|known| *known == class.value) {
        walk(server.file, element, &[HANDLER_KEYS], Severity::Warning, server.problems);
        return Some(Handler { class, position: element.position });
    }
    refuse(server, &class.value, class.position, known);
    None
}

/// The classes that a chain of that protocol may name.
fn classes(protocol: Protocol) -> Vec<&'static str> {
    let loaders = LOADERS.iter().filter(|(_, whose, _)| *whose == protocol).map(|(class, ..)| *class);
    loaders.chain((protocol == Protocol::Smtp).then_some(VALID_RCPT)).collect()
}

/// What may stand in a handler that ringpost knows.
const HANDLER_KEYS: &[Key] = &[
    obeyed("@class"),
    later("enableRecipientRewriteTable", "a recipient is valid where ringpost.xml names it as a <user>"),
    later("recipientRewriteTableCheck", "a recipient is valid where ringpost.xml names it as a <user>"),
];

/// A class that cannot be had: not yet, or not in this chain, or not at all.
fn refuse(server: &mut Section<'_>, class: &str, position: Position, known: Vec<&'static str>) {
    let exist = format!("the classes that exist here are {}", known.join(", "));
    let simple = class.rsplit('.').next().unwrap_or(class);
    let same_simple_name = known.iter().copied().find(|known| known.rsplit('.').next() == Some(simple));
    let (found, advice) = match class.strip_prefix(PREFIX) {
        Some(rest) if LATER.contains(&rest) => {
            (format!("ringpost does not have {class} yet"), format!("remove it; {exist}"))
        }
        _ if LOADERS.iter().any(|(loader, ..)| *loader == class) || class == VALID_RCPT => {
            (format!("{class} does not belong here"), exist)
        }
        _ => match same_simple_name.or_else(|| nearest(class, known.iter().copied())) {
            Some(near) => (format!("there is no class {class:?}"), format!("did you mean {near}? {exist}")),
            None => (format!("there is no class {class:?}"), exist),
        },
    };
    server.say(position, Severity::Error, found, advice);
}
