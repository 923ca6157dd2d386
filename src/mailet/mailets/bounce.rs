//! `DSNBounce`: the sender gets a report (RFC 3464). To the null reverse-path nothing is ever sent.

use std::fmt;
use std::sync::Arc;

use super::{Next, Run, pass_through};
use crate::mail::{Mailbox, Ret, ReversePath};
use crate::mailet::compose::report::{Action, Fate, Original, Report};
use crate::mailet::compose::status::Status;
use crate::mailet::effect::{Beside, Content, Kind, NewMail};
use crate::mailet::header::decoded;
use crate::mailet::mail::{DELIVERY_ERROR, DELIVERY_HOST, Recipient};
use crate::mailet::matchers::Stop;

use super::notify::{Author, attributes_of_new, prefixed};

/// What a bounce says unless `messageString` says otherwise; `[machine]` is what this host calls itself.
pub const MESSAGE: &str = "This is the mail system at [machine].\n\n\
    Your message could not be delivered to the recipients below. This is a permanent error: it is not tried again.\n";

/// With its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounce {
    /// `sender`.
    pub sender: Author,
    /// `prefix` of the mail's own subject; without it the report has a subject of its own.
    pub prefix: Option<Arc<str>>,
    /// `attachment`.
    pub attachment: Attachment,
    /// `messageString`.
    pub message: Arc<str>,
    /// `action`.
    pub action: Action,
    /// `defaultStatus`: where nothing says another.
    pub default_status: Option<Status>,
    /// `passThrough`.
    pub pass_through: bool,
}

/// What of the mail goes with the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attachment {
    /// `none`.
    Nothing,
    /// `heads`.
    Header,
    /// `message`.
    Whole,
}

impl Bounce {
    pub(super) fn serve(&self, run: &mut Run<'_>) -> Result<Next, Stop> {
        let ReversePath::Mailbox(to) = &run.facts.reverse_path else {
            return Ok(pass_through(self.pass_through, false));
        };
        let attachment = match (self.attachment, run.facts.ret) {
            (Attachment::Whole, Some(Ret::Headers)) => Attachment::Header,
            (configured, _) => configured,
        };
        let needs_header = attachment == Attachment::Header || self.prefix.is_some();
        let header = if needs_header { run.view().header()?.into_owned() } else { Vec::new() };
        let wants = |recipient: &&Recipient| match self.action {
            Action::Failed => recipient.notify.failure,
            Action::Delayed => recipient.notify.delay,
            Action::Delivered | Action::Relayed | Action::Expanded => recipient.notify.success,
        };
        let told: Vec<&Recipient> = run.branch.recipients.iter().filter(wants).collect();
        if told.is_empty() {
            return Ok(pass_through(self.pass_through, false));
        }
        let own = run.view().attribute(DELIVERY_ERROR);
        let diagnostic = own.as_deref().or(run.branch.error.as_deref());
        let host = own.as_ref().and_then(|_| run.view().attribute(DELIVERY_HOST));
        let class = self.action.class();
        let told_by = diagnostic.filter(|text| Status::of_reply(text).is_some());
        let status = told_by.map(|text| Status::of_text(text, class)).or(self.default_status);
        let status = status.unwrap_or(Status::undefined(class));
        let fate = |recipient| fate(recipient, self.action, status, diagnostic, host.as_deref());
        let subject =
            self.prefix.as_ref().map(|prefix| prefixed(prefix, &decoded(&header, "Subject").unwrap_or_default()));
        let report = Report {
            of: run.facts.id,
            seed: run.facts.seed.wrapping_add(run.effects.len() as u64),
            now: run.facts.now,
            arrived: run.facts.received_at,
            host: &run.pipeline.host,
            from: self.sender.of(run),
            to,
            envelope_id: run.facts.envelope_id.as_deref(),
            received_from: run.facts.client.map(|_| &*run.facts.helo),
            subject: subject.as_deref(),
            text: &self.message.replace("[machine]", &run.pipeline.host),
            fates: told.iter().copied().map(fate).collect(),
            original: match attachment {
                Attachment::Nothing => Original::Nothing,
                Attachment::Header => Original::Header(&header),
                Attachment::Whole => Original::Whole(run.branch.form.clone()),
            },
        };
        let new = new_report(&report, to, run);
        run.beside(Beside::Send(Box::new(new)));
        run.branch.answered = true;
        Ok(pass_through(self.pass_through, true))
    }
}

fn fate<'a>(
    recipient: &'a Recipient,
    action: Action,
    status: Status,
    diagnostic: Option<&'a str>,
    remote: Option<&'a str>,
) -> Fate<'a> {
    Fate {
        recipient: &recipient.mailbox,
        original: recipient.original.as_deref(),
        action,
        status,
        remote,
        diagnostic,
        until: None,
    }
}

fn new_report(report: &Report<'_>, to: &Mailbox, run: &Run<'_>) -> NewMail {
    NewMail {
        reverse_path: ReversePath::Null,
        recipients: vec![to.clone()],
        content: Content::Pieces(report.compose()),
        attributes: attributes_of_new(&run.branch.attributes),
        kind: Kind::Report,
    }
}

/// Reports that the mail goes in circles; `false` where there is nobody to report to.
pub(in crate::mailet) fn looped(run: &mut Run<'_>) -> bool {
    let ReversePath::Mailbox(to) = &run.facts.reverse_path else { return false };
    let status = Status { class: 5, subject: 4, detail: 6 };
    let report = Report {
        of: run.facts.id,
        seed: run.facts.seed.wrapping_add(run.effects.len() as u64),
        now: run.facts.now,
        arrived: run.facts.received_at,
        host: &run.pipeline.host,
        from: &run.pipeline.postmaster,
        to,
        envelope_id: run.facts.envelope_id.as_deref(),
        received_from: run.facts.client.map(|_| &*run.facts.helo),
        subject: None,
        text: &MESSAGE.replace("[machine]", &run.pipeline.host),
        fates: run
            .branch
            .recipients
            .iter()
            .map(|one| fate(one, Action::Failed, status, run.branch.error.as_deref(), None))
            .collect(),
        original: match &run.known.header {
            Some(header) => Original::Header(header),
            None => Original::Nothing,
        },
    };
    let new = new_report(&report, to, run);
    run.beside(Beside::Send(Box::new(new)));
    true
}

impl fmt::Display for Bounce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DSNBounce{}", if self.pass_through { ", and on" } else { "" })
    }
}
