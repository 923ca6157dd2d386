//! `Bounce`, `NotifySender`, `NotifyPostmaster`: sender or postmaster are told in words, with the mail attached.

use std::fmt;
use std::fmt::Write as _;
use std::sync::Arc;

use super::{Next, Run, pass_through};
use crate::mail::{Mailbox, ReversePath};
use crate::mailet::compose::letter::{Letter, Share};
use crate::mailet::compose::one_line;
use crate::mailet::effect::{Beside, Content, Kind, NewMail};
use crate::mailet::header::{decoded, first};
use crate::mailet::mail::{Attributes, SENT_BY_MAILET, Value};
use crate::mailet::matchers::Stop;

/// What a notice says unless `message` says otherwise.
pub const MESSAGE: &str = "We were unable to deliver the attached message because of an error in the mail server.";

/// How many mails of ours one may come of another, and that of a third. Beyond, a mailet that would make one fails.
pub const GENERATIONS_MAX: i64 = 10;

/// The attribute that counts them.
const GENERATION: &str = "ringpost.generation";

/// Who is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// `Bounce`: the sender, with the null reverse-path.
    Bounce,
    /// `NotifySender`: the sender.
    Sender,
    /// `NotifyPostmaster`.
    Postmaster,
}

/// Whom a notice or a report is from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Author {
    /// `postmaster`.
    #[default]
    Postmaster,
    /// `sender` and `unaltered`: who sent the mail; the postmaster where nobody did.
    Sender,
    /// This one.
    Mailbox(Mailbox),
}

impl Author {
    pub(super) fn of<'a>(&'a self, run: &'a Run<'_>) -> &'a Mailbox {
        match self {
            Author::Postmaster => &run.pipeline.postmaster,
            Author::Sender => run.facts.reverse_path.mailbox().unwrap_or(&run.pipeline.postmaster),
            Author::Mailbox(mailbox) => mailbox,
        }
    }
}

/// With its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notify {
    /// Who is told.
    pub who: Who,
    /// `sender`.
    pub sender: Author,
    /// `message`, or `notice`.
    pub message: Arc<str>,
    /// `prefix` of the subject.
    pub prefix: Arc<str>,
    /// `inline`.
    pub inline: Share,
    /// `attachment`.
    pub attachment: Share,
    /// `attachError`.
    pub attach_error: bool,
    /// `passThrough`.
    pub pass_through: bool,
}

impl Notify {
    pub(super) fn serve(&self, run: &mut Run<'_>) -> Result<Next, Stop> {
        let to = match (self.who, run.facts.reverse_path.mailbox()) {
            (Who::Postmaster, _) => run.pipeline.postmaster.clone(),
            (_, Some(sender)) => sender.clone(),
            (_, None) => return Ok(pass_through(self.pass_through, false)),
        };
        let attributes = next_generation(&run.branch.attributes)?;
        let header = run.view().header()?.into_owned();
        let letter = Letter {
            of: run.facts.id,
            seed: run.facts.seed.wrapping_add(run.effects.len() as u64),
            now: run.facts.now,
            host: &run.pipeline.host,
            from: self.sender.of(run),
            to: to.to_string(),
            reply_to: None,
            subject: prefixed(&self.prefix, &decoded(&header, "Subject").unwrap_or_default()),
            in_reply_to: first(&header, "Message-ID"),
            automatic: true,
            text: self.words(run, &header),
            inline: self.inline,
            attachment: self.attachment,
            error: run.branch.error.as_deref().filter(|_| self.attach_error),
            header: &header,
            form: run.branch.form.clone(),
        };
        // Who notifies of a notice would never come to an end: the null reverse-path, as RFC 3834 §3.3 asks of such mail.
        let kind = if self.who == Who::Bounce { Kind::Bounce } else { Kind::Notice };
        let reverse_path = ReversePath::Null;
        let content = Content::Pieces(letter.compose());
        run.beside(Beside::Send(Box::new(NewMail { reverse_path, recipients: vec![to], content, attributes, kind })));
        run.branch.answered = true;
        Ok(pass_through(self.pass_through, true))
    }

    /// The words of the notice, and what is to be known of the mail.
    fn words(&self, run: &Run<'_>, header: &[u8]) -> String {
        let mut text = format!("{}\n", self.message);
        if let Some(error) = &run.branch.error {
            let _ = write!(text, "\nError message below:\n{error}\n");
        }
        text.push_str("\nMessage details:\n");
        let mut detail = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                let _ = writeln!(text, "  {name}: {}", one_line(&value, 500));
            }
        };
        detail("Subject", decoded(header, "Subject"));
        detail("Sent date", first(header, "Date"));
        detail("MAIL FROM", Some(run.facts.reverse_path.to_string()));
        for recipient in run.branch.recipients.iter().take(TOLD_MAX) {
            detail("RCPT TO", Some(recipient.mailbox.to_string()));
        }
        detail("From", decoded(header, "From"));
        detail("To", decoded(header, "To"));
        detail("CC", decoded(header, "Cc"));
        detail("Size (in bytes)", Some(run.facts.size.to_string()));
        text
    }
}

/// Recipients that a notice tells.
const TOLD_MAX: usize = 100;

/// A subject with its prefix, unless it has it already.
pub fn prefixed(prefix: &str, subject: &str) -> String {
    match prefix.is_empty() || subject.starts_with(prefix) {
        true => subject.to_owned(),
        false => format!("{prefix} {subject}").trim_end().to_owned(),
    }
}

/// The attributes of a mail that a mailet makes, and that is never answered.
pub fn attributes_of_new(of: &Attributes) -> Attributes {
    let mut attributes = Attributes::default();
    attributes.set(SENT_BY_MAILET, Value::Flag(true));
    attributes.set(GENERATION, Value::Number(generation(of).saturating_add(1)));
    attributes
}

/// The same for one that may come back.
///
/// # Errors
///
/// A failure where mails of mails would go on for ever.
pub fn next_generation(of: &Attributes) -> Result<Attributes, Stop> {
    match generation(of) < GENERATIONS_MAX {
        true => Ok(attributes_of_new(of)),
        false => Err(Stop::Fail("554 5.4.6 Mails that mailets made have led to one another too often".into())),
    }
}

fn generation(of: &Attributes) -> i64 {
    match of.get(GENERATION) {
        Some(Value::Number(number)) => *number,
        _ => 0,
    }
}

impl fmt::Display for Notify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.who {
            Who::Bounce => "Bounce",
            Who::Sender => "NotifySender",
            Who::Postmaster => "NotifyPostmaster",
        };
        write!(f, "{name}{}", if self.pass_through { ", and on" } else { "" })
    }
}
