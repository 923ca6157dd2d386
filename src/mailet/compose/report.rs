//! Delivery status notifications: multipart/report (RFC 3462) with message/delivery-status (RFC 3464), internationalised
//! where an address asks for it (RFC 6533).

use super::super::effect::Piece;
use super::super::header::encode_words;
use super::super::mail::Form;
use super::status::Status;
use super::{boundary, bounded, lines, message_id, one_line};
use crate::mail::date::Date;
use crate::mail::dsn::readable;
use crate::mail::{Mailbox, MessageId};

/// What became of a recipient (RFC 3464 §2.3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Given up.
    Failed,
    /// Not yet.
    Delayed,
    /// In the mailbox.
    Delivered,
    /// Handed to a host that will not report.
    Relayed,
    /// Handed to several others.
    Expanded,
}

impl Action {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Action::Failed => "failed",
            Action::Delayed => "delayed",
            Action::Delivered => "delivered",
            Action::Relayed => "relayed",
            Action::Expanded => "expanded",
        }
    }

    /// The class of its status.
    pub fn class(self) -> u8 {
        match self {
            Action::Failed => 5,
            Action::Delayed => 4,
            Action::Delivered | Action::Relayed | Action::Expanded => 2,
        }
    }

    fn subject(self) -> &'static str {
        match self {
            Action::Failed => "Undelivered Mail Returned to Sender",
            Action::Delayed => "Delayed Mail (still being retried)",
            Action::Delivered | Action::Relayed | Action::Expanded => "Successful Mail Delivery Report",
        }
    }
}

/// What is told of one recipient.
#[derive(Clone, Debug)]
pub struct Fate<'a> {
    /// Whom it went to in the end.
    pub recipient: &'a Mailbox,
    /// ORCPT as it was given, in xtext: `rfc822;user@example.org`.
    pub original: Option<&'a str>,
    /// What became of it.
    pub action: Action,
    /// Why.
    pub status: Status,
    /// The host that said so.
    pub remote: Option<&'a str>,
    /// What it said, a reply of SMTP; or what went wrong here.
    pub diagnostic: Option<&'a str>,
    /// Microseconds since the Unix epoch until when it is tried.
    pub until: Option<u64>,
}

/// How much of the mail itself goes with the report.
#[derive(Clone, Debug)]
pub enum Original<'a> {
    /// Nothing.
    Nothing,
    /// Its header.
    Header(&'a [u8]),
    /// All of it.
    Whole(Form),
}

/// A report.
#[derive(Clone, Debug)]
pub struct Report<'a> {
    /// The mail it is of.
    pub of: MessageId,
    /// A number that nobody could foresee.
    pub seed: u64,
    /// Microseconds since the Unix epoch.
    pub now: u64,
    /// Microseconds since the Unix epoch at which the mail was received.
    pub arrived: u64,
    /// This host.
    pub host: &'a str,
    /// Who it is from.
    pub from: &'a Mailbox,
    /// Who it is for.
    pub to: &'a Mailbox,
    /// ENVID as it was given, in xtext (RFC 3461 §4.4).
    pub envelope_id: Option<&'a str>,
    /// Who brought the mail, as it called itself.
    pub received_from: Option<&'a str>,
    /// What the subject is; the usual words where there is none.
    pub subject: Option<&'a str>,
    /// What is said for people, before the recipients are told.
    pub text: &'a str,
    /// The recipients; what became of the first names the report.
    pub fates: Vec<Fate<'a>>,
    /// What of the mail goes with it.
    pub original: Original<'a>,
}

impl Report<'_> {
    /// The report, in pieces.
    pub fn compose(&self) -> Vec<Piece> {
        let header = match self.original {
            Original::Header(header) => bounded(header),
            _ => b"",
        };
        let (text, status) = (self.words(), self.status());
        let boundary = boundary(self.of, self.seed, &[header, text.as_bytes(), status.as_bytes()]);
        let global = self.is_global();
        let eight = global || !header.is_ascii() || !text.is_ascii() || matches!(self.original, Original::Whole(_));
        let mut out = self.head(&boundary, eight);
        out.push_str(&format!(
            "--{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\n{}\r\n",
            encoding(!text.is_ascii())
        ));
        out.push_str(&text);
        let kind = if global { "message/global-delivery-status" } else { "message/delivery-status" };
        out.push_str(&format!("\r\n--{boundary}\r\nContent-Type: {kind}\r\n{}\r\n", encoding(global)));
        out.push_str(&status);
        match &self.original {
            Original::Nothing => finish(out, &boundary),
            Original::Header(_) => {
                let eight = !header.is_ascii();
                let kind = if eight { "message/global-headers" } else { "text/rfc822-headers" };
                out.push_str(&format!("\r\n--{boundary}\r\nContent-Type: {kind}\r\n{}\r\n", encoding(eight)));
                let mut octets = out.into_bytes();
                octets.extend_from_slice(header);
                octets.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
                vec![Piece::Octets(octets)]
            }
            Original::Whole(form) => {
                out.push_str(&format!("\r\n--{boundary}\r\nContent-Type: message/rfc822\r\n{}\r\n", encoding(true)));
                let end = format!("\r\n--{boundary}--\r\n").into_bytes();
                vec![Piece::Octets(out.into_bytes()), Piece::Whole(form.clone()), Piece::Octets(end)]
            }
        }
    }

    fn action(&self) -> Action {
        self.fates.first().map_or(Action::Failed, |fate| fate.action)
    }

    fn is_global(&self) -> bool {
        self.fates
            .iter()
            .any(|fate| !fate.recipient.is_ascii() || fate.original.is_some_and(|text| !readable(text).is_ascii()))
    }

    fn head(&self, boundary: &str, eight: bool) -> String {
        let subject = self.subject.unwrap_or(self.action().subject());
        format!(
            "From: Mail Delivery System <{}>\r\nTo: {}\r\nSubject: {}\r\nDate: {}\r\nMessage-ID: {}\r\nAuto-Submitted: auto-replied\r\n\
             MIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=delivery-status;\r\n boundary=\"{boundary}\"\r\n{}\r\n\
             This is a delivery status notification in MIME format.\r\n\r\n",
            self.from,
            self.to,
            encode_words(&one_line(subject, 900)),
            Date::from_micros(self.now).rfc5322(),
            message_id(self.of, self.seed, self.host),
            encoding(eight),
        )
    }

    /// What is said for people.
    fn words(&self) -> String {
        let mut out = lines(self.text);
        for fate in &self.fates {
            out.push_str(&format!("\r\n<{}>: {}\r\n", fate.recipient, fate.action.word()));
            if let Some(remote) = fate.remote {
                out.push_str(&format!("    by {}\r\n", one_line(remote, 300)));
            }
            if let Some(diagnostic) = fate.diagnostic {
                out.push_str(&format!("    {}\r\n", one_line(diagnostic, 800)));
            }
        }
        out
    }

    /// The fields that machines read (RFC 3464 §2.1).
    fn status(&self) -> String {
        let mut out = format!("Reporting-MTA: dns; {}\r\n", self.host);
        if let Some(id) = self.envelope_id {
            out.push_str(&format!("Original-Envelope-Id: {}\r\n", one_line(&readable(id), 100)));
        }
        if let Some(name) = self.received_from.filter(|name| !name.is_empty()) {
            out.push_str(&format!("Received-From-MTA: dns; {}\r\n", one_line(name, 255)));
        }
        out.push_str(&format!("Arrival-Date: {}\r\n", Date::from_micros(self.arrived).rfc5322()));
        for fate in &self.fates {
            out.push_str("\r\n");
            if let Some(original) = fate.original {
                let (kind, address) = original.split_once(';').unwrap_or(("rfc822", original));
                out.push_str(&format!(
                    "Original-Recipient: {}; {}\r\n",
                    one_line(kind, 50),
                    one_line(&readable(address), 500)
                ));
            }
            let kind = if fate.recipient.is_ascii() { "rfc822" } else { "utf-8" };
            out.push_str(&format!("Final-Recipient: {kind}; {}\r\n", fate.recipient));
            out.push_str(&format!("Action: {}\r\nStatus: {}\r\n", fate.action.word(), fate.status));
            if let Some(remote) = fate.remote {
                out.push_str(&format!("Remote-MTA: dns; {}\r\n", one_line(remote, 255)));
            }
            if let Some(diagnostic) = fate.diagnostic {
                let kind = if fate.remote.is_some() || starts_with_code(diagnostic) { "smtp" } else { "x-ringpost" };
                // Letters beyond ASCII in a status that is not international would be no status at all.
                let text: String = match self.is_global() {
                    true => one_line(diagnostic, 800),
                    false => one_line(diagnostic, 800).chars().map(|c| if c.is_ascii() { c } else { '?' }).collect(),
                };
                out.push_str(&format!("Diagnostic-Code: {kind}; {text}\r\n"));
            }
            if let Some(until) = fate.until {
                out.push_str(&format!("Will-Retry-Until: {}\r\n", Date::from_micros(until).rfc5322()));
            }
        }
        out
    }
}

fn starts_with_code(text: &str) -> bool {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    digits == 3 && text.as_bytes().get(3).is_none_or(|octet| b" -".contains(octet))
}

fn encoding(eight: bool) -> &'static str {
    if eight { "Content-Transfer-Encoding: 8bit\r\n" } else { "" }
}

fn finish(mut out: String, boundary: &str) -> Vec<Piece> {
    out.push_str(&format!("\r\n--{boundary}--\r\n"));
    vec![Piece::Octets(out.into_bytes())]
}
