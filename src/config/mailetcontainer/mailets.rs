//! `mailet` elements read into mailets, parameter by parameter.

use std::sync::Arc;

use super::super::location::Places;
use super::super::problem::Severity;
use super::super::section::Section;
use super::super::value::{self, Expected};
use super::conditions::words;
use super::{letters, remote, signing};
use crate::delivery::settings::{LmtpSettings, RemoteSettings};
use crate::mailet::edit::Edit;
use crate::mailet::mailets::{Mailet, attribute, body, deliver, header, repository, rewrite, told};
use crate::mailet::pattern::Pattern;
use crate::mailet::pipeline::Place;

/// What mailets are read with, and what they leave.
#[derive(Debug)]
pub struct Context<'a> {
    /// The processors' states, in their order.
    pub states: &'a [String],
    /// The settings of every `RemoteDelivery` so far.
    pub remotes: Vec<RemoteSettings>,
    /// The settings of every `LmtpDelivery` so far.
    pub lmtps: Vec<LmtpSettings>,
    /// Where files are.
    pub places: Places<'a>,
}

impl Context<'_> {
    /// The place of a processor.
    pub fn place(&self, state: &str) -> Option<Place> {
        self.states.iter().position(|own| own == state)
    }
}

/// Settings of one kind that a pipeline has at most.
const SETTINGS_MAX: usize = 1000;

/// The mailet of that name; `None` where a parameter is wrong, which is taken down. `section` is its element.
pub fn read(section: &mut Section<'_>, name: &str, context: &mut Context<'_>) -> Option<Mailet> {
    match name {
        "LocalDelivery" => Some(Mailet::Deliver(deliver::Deliver::Local)),
        "Null" => Some(Mailet::Deliver(deliver::Deliver::Null)),
        "RemoteDelivery" => {
            let settings = remote::remote(section)?;
            let place = context.remotes.len();
            (place < SETTINGS_MAX).then(|| context.remotes.push(settings))?;
            Some(Mailet::Deliver(deliver::Deliver::Remote(place as u16)))
        }
        "LmtpDelivery" => {
            let settings = remote::lmtp(section)?;
            let place = context.lmtps.len();
            (place < SETTINGS_MAX).then(|| context.lmtps.push(settings))?;
            Some(Mailet::Deliver(deliver::Deliver::Lmtp(place as u16)))
        }
        "ToProcessor" => to_processor(section, name, context),
        "ToRepository" => keep(section, name, "repositoryPath", false),
        "ToSenderDomainRepository" => keep(section, name, "urlPrefix", true),
        "RecipientRewriteTable" => {
            // That there is one of that name is said elsewhere.
            let error = section.written("errorProcessor").and_then(|written| context.place(written.text));
            Some(Mailet::Rewrite(rewrite::Rewrite::Table { error }))
        }
        "PostmasterAlias" => Some(Mailet::Rewrite(rewrite::Rewrite::Postmaster)),
        "RecipientToLowerCase" => Some(Mailet::Rewrite(rewrite::Rewrite::LowerCase)),
        "DSNBounce" => Some(letters::dsn_bounce(section)),
        "Bounce" | "NotifySender" | "NotifyPostmaster" => Some(letters::notify(section, name)),
        "Redirect" | "Resend" | "Forward" => letters::redirect(section, name),
        "DKIMSign" => signing::dkim_sign(section, context.places),
        "Sieve" => Some(Mailet::Sieve),
        "Identity" | "SplitMail" => Some(Mailet::Identity),
        "MetricsMailet" => Some(Mailet::Told(told::Told::Metric(needed(section, name, "metricName", text)?))),
        "LogMessage" => log_message(section),
        _ => changing(section, name),
    }
}

/// Mailets that change the mail.
fn changing(section: &mut Section<'_>, name: &str) -> Option<Mailet> {
    let edits = |name: &'static str, edits: Vec<Edit>| Some(Mailet::Header(header::Change { name, edits }));
    let attribute = |change| Some(Mailet::Attribute(change));
    match name {
        "SetMimeHeader" => {
            let (field, value) = (needed(section, name, "name", field_name)?, needed(section, name, "value", text)?);
            edits("SetMimeHeader", vec![Edit::Add { name: field.into(), value: Box::from(&*value) }])
        }
        "RemoveMimeHeader" => {
            let list = needed(section, name, "name", field_names)?;
            edits("RemoveMimeHeader", list.into_iter().map(|name| Edit::Replace { name, value: None }).collect())
        }
        "RemoveMimeHeaderByPrefix" => {
            let prefix = needed(section, name, "name", field_name)?;
            edits("RemoveMimeHeaderByPrefix", vec![Edit::RemovePrefix(prefix.into())])
        }
        "AddSubjectPrefix" => {
            let prefix = needed(section, name, "subjectPrefix", text)?;
            edits("AddSubjectPrefix", vec![Edit::SubjectPrefix(Box::from(&*prefix))])
        }
        "AddDeliveredToHeader" => edits("AddDeliveredToHeader", vec![Edit::DeliveredTo]),
        "SetMailAttribute" => attribute(attribute::Change::Set(set_attributes(section))),
        "RemoveMailAttribute" => attribute(attribute::Change::Remove(needed(section, name, "name", list)?)),
        "RemoveAllMailAttributes" => attribute(attribute::Change::RemoveAll),
        "WithPriority" => {
            let priority = needed(section, name, "priority", |text| value::number(text, 0, 9))?;
            attribute(attribute::Change::Priority(priority as i64))
        }
        "SetErrorMessage" => {
            let message = needed(section, name, "errorMessage", text)?;
            attribute(attribute::Change::Error(Box::from(&*message)))
        }
        "WithStorageDirective" => {
            let folder = needed(section, name, "targetFolderName", text)?;
            attribute(attribute::Change::Folder(Box::from(&*folder)))
        }
        "AddFooter" => Some(Mailet::Body(body::Change::Footer(needed(section, name, "text", text)?))),
        "ConvertTo7Bit" => Some(Mailet::Body(body::Change::SevenBit)),
        "StripAttachment" => strip(section),
        _ => None,
    }
}

/// A parameter that must be there.
pub fn needed<T>(
    section: &mut Section<'_>,
    mailet: &str,
    key: &str,
    parse: impl FnOnce(&str) -> Result<T, Expected>,
) -> Option<T> {
    if section.written(key).is_none() {
        let found = format!("{mailet} has no <{key}>");
        section.say(section.element.position, Severity::Error, found, format!("write <{key}>…</{key}> in it"));
        return None;
    }
    section.read(key, parse)
}

/// A parameter that may be missing. One that is wrong is taken down as an error, so that no configuration comes of it; the
/// default stands in for it, and the other parameters are read still.
pub fn or<T>(section: &mut Section<'_>, key: &str, default: T, parse: impl FnOnce(&str) -> Result<T, Expected>) -> T {
    match section.written(key) {
        None => default,
        Some(written) => section.parse(written, parse).unwrap_or(default),
    }
}

/// Any text but none.
pub fn text(text: &str) -> Result<Arc<str>, Expected> {
    if text.is_empty() { Err("a text".to_owned()) } else { Ok(text.into()) }
}

fn list(text: &str) -> Result<Vec<Box<str>>, Expected> {
    let list = words(text);
    if list.is_empty() { Err("names, separated by commas".to_owned()) } else { Ok(list) }
}

fn field_name(text: &str) -> Result<String, Expected> {
    let text = text.trim();
    let right = !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_graphic() && octet != b':');
    if right { Ok(text.to_owned()) } else { Err("the name of a header field, such as X-Spam-Status".to_owned()) }
}

fn field_names(text: &str) -> Result<Vec<Box<str>>, Expected> {
    text.split(',').map(|name| field_name(name).map(Into::into)).collect()
}

fn to_processor(section: &mut Section<'_>, name: &str, context: &Context<'_>) -> Option<Mailet> {
    let state = needed(section, name, "processor", text)?;
    let notice = section.written("notice").map(|written| Arc::from(written.text));
    if &*state == super::GHOST {
        return Some(Mailet::Deliver(deliver::Deliver::Null));
    }
    // That there is one of that name is said elsewhere.
    let processor = context.place(&state)?;
    Some(Mailet::ToProcessor { processor, notice })
}

fn keep(section: &mut Section<'_>, name: &str, key: &str, by_sender_domain: bool) -> Option<Mailet> {
    let url = needed(section, name, key, super::repository)?;
    let pass_through = or(section, "passThrough", false, value::boolean);
    Some(Mailet::Repository(repository::Keep { url: url.into(), by_sender_domain, pass_through }))
}

fn log_message(section: &mut Section<'_>) -> Option<Mailet> {
    let headers = or(section, "headers", true, value::boolean);
    let body = or(section, "body", true, value::boolean);
    let most = or(section, "maxBody", 0, |text| value::number(text, 0, u64::from(u32::MAX)));
    let comment = section.written("comment").map(|written| Box::from(written.text));
    let pass_through = or(section, "passThrough", true, value::boolean);
    // 0 is no limit in James.
    let most = if most == 0 { told::LOGGED_MAX } else { most as usize };
    Some(Mailet::Told(told::Told::Log { headers, body, most, comment, pass_through }))
}

/// Every element is an attribute, but for those that every mailet has.
fn set_attributes(section: &Section<'_>) -> Vec<(Box<str>, Box<str>)> {
    let own = |name: &str| ["onMailetException", "onMatchException"].contains(&name);
    let elements = section.element.children.iter().filter(|element| !own(&element.name));
    elements.map(|element| (element.name.as_str().into(), element.text.as_str().into())).collect()
}

fn strip(section: &mut Section<'_>) -> Option<Mailet> {
    let pattern = or(section, "pattern", None, |text| Pattern::new(text).map(Some));
    let not_pattern = or(section, "notpattern", None, |text| Pattern::new(text).map(Some));
    if pattern.is_none() && not_pattern.is_none() {
        let found = "StripAttachment has neither <pattern> nor <notpattern>";
        section.say(section.element.position, Severity::Error, found, "write <pattern>…</pattern> in it");
        return None;
    }
    let remove = or(section, "remove", None, |text| {
        value::word(text, &[("no", None), ("matched", Some(false)), ("all", Some(true))])
    });
    Some(match remove {
        None => Mailet::Identity,
        Some(all) => Mailet::Body(body::Change::Strip { pattern, not_pattern, all }),
    })
}
