//! The parameters of mailets that write mail.

use std::sync::Arc;

use super::super::section::Section;
use super::super::value::{self, Expected};
use super::mailets::{needed, or, text};
use crate::mail::Mailbox;
use crate::mailet::compose::letter::Share;
use crate::mailet::compose::report::Action;
use crate::mailet::compose::status::Status;
use crate::mailet::mailets::notify::{Author, Notify, Who};
use crate::mailet::mailets::redirect::{Address, Redirect};
use crate::mailet::mailets::{Mailet, bounce, notify};

const INLINE: &[(&str, Option<Share>)] = &[
    ("unaltered", None),
    ("heads", Some(Share::Header)),
    ("body", Some(Share::Body)),
    ("all", Some(Share::All)),
    ("none", Some(Share::None)),
];

const ATTACHMENT: &[(&str, Share)] = &[
    ("none", Share::None),
    ("heads", Share::Header),
    ("body", Share::Body),
    ("all", Share::All),
    ("message", Share::Message),
];

/// `DSNBounce`.
pub fn dsn_bounce(section: &mut Section<'_>) -> Mailet {
    use bounce::Attachment;
    let attachment = or(section, "attachment", Attachment::Whole, |text| {
        value::word(
            text,
            &[("message", Attachment::Whole), ("heads", Attachment::Header), ("none", Attachment::Nothing)],
        )
    });
    let action = or(section, "action", Action::Failed, |text| {
        let all = [Action::Failed, Action::Delayed, Action::Delivered, Action::Relayed, Action::Expanded];
        value::word(text, &all.map(|action| (action.word(), action)))
    });
    let default_status = or(section, "defaultStatus", None, |text| match text {
        "unknown" => Ok(None),
        text => Status::parse(text).map(Some).ok_or_else(|| "a status such as 5.0.0, or unknown".to_owned()),
    });
    Mailet::Bounce(Box::new(bounce::Bounce {
        sender: author(section, "sender"),
        prefix: or(section, "prefix", None, |prefix| Ok((!prefix.is_empty()).then(|| Arc::from(prefix)))),
        attachment,
        message: or(section, "messageString", bounce::MESSAGE.into(), text),
        action,
        default_status,
        pass_through: or(section, "passThrough", true, value::boolean),
    }))
}

/// `Bounce`, `NotifySender`, `NotifyPostmaster`.
pub fn notify(section: &mut Section<'_>, name: &str) -> Mailet {
    let who = match name {
        "Bounce" => Who::Bounce,
        "NotifySender" => Who::Sender,
        _ => Who::Postmaster,
    };
    let message = if section.written("message").is_some() { "message" } else { "notice" };
    let sender = if section.written("sender").is_some() { "sender" } else { "sendingAddress" };
    let inline = or(section, "inline", Some(Share::None), |text| match value::word(text, INLINE) {
        Ok(None) | Err(_) => Err("one of heads, body, all, none".to_owned()),
        Ok(share) => Ok(share),
    });
    Mailet::Notify(Box::new(Notify {
        who,
        sender: author(section, sender),
        message: or(section, message, notify::MESSAGE.into(), text),
        prefix: or(section, "prefix", "Re:".into(), |prefix| Ok(Arc::from(prefix))),
        inline: inline.unwrap_or(Share::None),
        attachment: or(section, "attachment", Share::Message, |text| value::word(text, ATTACHMENT)),
        attach_error: or(section, "attachError", false, value::boolean),
        pass_through: or(section, "passThrough", true, value::boolean),
    }))
}

/// `Redirect`, `Resend`, `Forward`.
pub fn redirect(section: &mut Section<'_>, name: &str) -> Option<Mailet> {
    let forward = name == "Forward";
    let recipients = match (forward, section.written("forwardTo"), section.written("recipients")) {
        (true, None, _) if section.written("forwardto").is_some() => section.read("forwardto", addresses)?,
        (true, _, _) => needed(section, name, "forwardTo", addresses)?,
        (false, _, Some(written)) => section.parse(written, addresses)?,
        // Redirect takes the one list for the other, where one alone is there.
        (false, _, None) if name == "Redirect" => or(section, "to", vec![Address::Unaltered], addresses),
        (false, _, None) => vec![Address::Unaltered],
    };
    if forward {
        return Some(Mailet::Redirect(Box::new(Redirect {
            recipients,
            pass_through: or(section, "passThrough", false, value::boolean),
            ..unaltered("Forward")
        })));
    }
    let to = match (name, section.written("to")) {
        ("Redirect", None) => or(section, "recipients", None, |text| addresses(text).map(Some)),
        _ => or(section, "to", None, |text| addresses(text).map(Some)),
    };
    let sender = or(section, "sender", None, |text| address(text).map(Some));
    let inline = if name == "Redirect" { Some(Share::Body) } else { None };
    let reverse_path = or(section, "reversePath", None, |text| address(text).map(Some));
    let reply_to = if section.written("replyTo").is_some() { "replyTo" } else { "replyto" };
    Some(Mailet::Redirect(Box::new(Redirect {
        recipients,
        to,
        reply_to: or(section, reply_to, None, |text| address(text).map(Some)),
        // Redirect reports to whom the mail is said to come from; Resend leaves that as it is.
        reverse_path: reverse_path.or_else(|| sender.clone().filter(|_| name == "Redirect")),
        sender,
        subject: or(section, "subject", None, |subject| Ok((!subject.is_empty()).then(|| Arc::from(subject)))),
        prefix: or(section, "prefix", "".into(), |prefix| Ok(Arc::from(prefix))),
        message: or(section, "message", "".into(), |message| Ok(Arc::from(message))),
        inline: or(section, "inline", inline, |text| value::word(text, INLINE)),
        attachment: or(section, "attachment", Share::None, |text| value::word(text, ATTACHMENT)),
        attach_error: or(section, "attachError", false, value::boolean),
        is_reply: or(section, "isReply", false, value::boolean),
        pass_through: or(section, "passThrough", false, value::boolean),
        ..unaltered(if name == "Redirect" { "Redirect" } else { "Resend" })
    })))
}

/// A redirection that changes nothing.
fn unaltered(name: &'static str) -> Redirect {
    Redirect {
        name,
        recipients: Vec::new(),
        to: None,
        sender: None,
        reply_to: None,
        reverse_path: None,
        subject: None,
        prefix: "".into(),
        message: "".into(),
        inline: None,
        attachment: Share::None,
        attach_error: false,
        is_reply: false,
        pass_through: false,
    }
}

fn author(section: &mut Section<'_>, key: &str) -> Author {
    or(section, key, Author::Postmaster, |text| match address(text) {
        Ok(Address::Postmaster) => Ok(Author::Postmaster),
        Ok(Address::Sender | Address::Unaltered) => Ok(Author::Sender),
        Ok(Address::Mailbox(mailbox)) => Ok(Author::Mailbox(mailbox)),
        _ => Err("an address, or postmaster, sender or unaltered".to_owned()),
    })
}

/// Addresses and words that stand for some, separated by commas; at most 1000.
fn addresses(text: &str) -> Result<Vec<Address>, Expected> {
    let list: Result<Vec<Address>, Expected> =
        text.split(',').map(str::trim).filter(|one| !one.is_empty()).map(address).collect();
    let list = list?;
    match list.is_empty() || list.len() > 1000 {
        true => Err("1 to 1000 addresses, separated by commas".to_owned()),
        false => Ok(list),
    }
}

fn address(text: &str) -> Result<Address, Expected> {
    let text = text.trim();
    let inner = match (text.rfind('<'), text.strip_suffix('>')) {
        (Some(open), Some(before)) => before.get(open + 1..).unwrap_or_default(),
        _ => text,
    };
    Ok(match inner.to_ascii_lowercase().as_str() {
        "sender" | "reversepath" => Address::Sender,
        "from" => Address::From,
        "replyto" => Address::ReplyTo,
        "postmaster" => Address::Postmaster,
        "recipients" | "to" | "unaltered" => Address::Unaltered,
        "null" => Address::Null,
        _ => match Mailbox::parse(inner) {
            Ok(mailbox) => Address::Mailbox(mailbox),
            Err(_) => {
                let words = "sender, from, replyTo, postmaster, reversePath, recipients, to, unaltered, null";
                return Err(format!("an address such as you@example.org, or one of {words}"));
            }
        },
    })
}
