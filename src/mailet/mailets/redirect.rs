//! `Redirect`, `Resend`, `Forward`: the mail, or a letter about it, goes to others.

use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use super::notify::{next_generation, prefixed};
use super::{Next, Run, pass_through};
use crate::mail::{Mailbox, ReversePath};
use crate::mailet::compose::letter::{Letter, Share};
use crate::mailet::edit::{EDITS_MAX, Edit};
use crate::mailet::effect::{Beside, Content, Kind, NewMail};
use crate::mailet::header::{addresses, decoded, first};
use crate::mailet::matchers::Stop;

/// Recipients of one new mail.
pub const RECIPIENTS_MAX: usize = 1000;

/// An address, or a word that stands for some.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// This one.
    Mailbox(Mailbox),
    /// `sender` and `reversePath`: the reverse-path.
    Sender,
    /// `from`: what From: says.
    From,
    /// `replyTo`: what Reply-To: says, or From:, or the reverse-path.
    ReplyTo,
    /// `postmaster`.
    Postmaster,
    /// `recipients`, `to`, `unaltered`: as they are.
    Unaltered,
    /// `null`: none.
    Null,
}

/// With its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// The mailet's name.
    pub name: &'static str,
    /// `recipients`, or `forwardTo`.
    pub recipients: Vec<Address>,
    /// `to`; `None` leaves the field as it is.
    pub to: Option<Vec<Address>>,
    /// `sender`.
    pub sender: Option<Address>,
    /// `replyTo`.
    pub reply_to: Option<Address>,
    /// `reversePath`.
    pub reverse_path: Option<Address>,
    /// `subject`.
    pub subject: Option<Arc<str>>,
    /// `prefix`.
    pub prefix: Arc<str>,
    /// `message`.
    pub message: Arc<str>,
    /// `inline`; `None` is `unaltered`.
    pub inline: Option<Share>,
    /// `attachment`.
    pub attachment: Share,
    /// `attachError`.
    pub attach_error: bool,
    /// `isReply`.
    pub is_reply: bool,
    /// `passThrough`.
    pub pass_through: bool,
}

impl Redirect {
    pub(super) fn serve(&self, run: &mut Run<'_>) -> Result<Next, Stop> {
        let attributes = next_generation(&run.branch.attributes)?;
        let header = if self.needs_header() { run.view().header()?.into_owned() } else { Vec::new() };
        let mut recipients: Vec<Mailbox> = Vec::new();
        for address in &self.recipients {
            for mailbox in mailboxes(address, run, &header) {
                if !recipients.contains(&mailbox) && recipients.len() < RECIPIENTS_MAX {
                    recipients.push(mailbox);
                }
            }
        }
        if recipients.is_empty() {
            return Ok(pass_through(self.pass_through, false));
        }
        let content = match self.inline {
            None => self.same(run, &header)?,
            Some(inline) => self.letter(run, &header, inline),
        };
        let reverse_path = self.new_reverse_path(run, &header);
        let new = NewMail { reverse_path, recipients, content, attributes, kind: Kind::Redirect };
        run.beside(Beside::Send(Box::new(new)));
        run.branch.answered = true;
        Ok(pass_through(self.pass_through, true))
    }

    fn needs_header(&self) -> bool {
        let looks = |address: &Address| matches!(address, Address::From | Address::ReplyTo);
        let named = self.to.iter().flatten().chain(&self.recipients).chain(&self.sender).chain(&self.reply_to);
        self.inline.is_some() || self.is_reply || self.subject.is_some() || named.chain(&self.reverse_path).any(looks)
    }

    fn new_reverse_path(&self, run: &Run<'_>, header: &[u8]) -> ReversePath {
        match &self.reverse_path {
            None | Some(Address::Unaltered | Address::Sender) => run.facts.reverse_path.clone(),
            Some(address) => {
                mailboxes(address, run, header).into_iter().next().map_or(ReversePath::Null, ReversePath::Mailbox)
            }
        }
    }

    /// The mail itself, with another header.
    fn same(&self, run: &Run<'_>, header: &[u8]) -> Result<Content, Stop> {
        let mut form = run.branch.form.clone();
        let mut edits = Vec::new();
        let mut replace = |name: &str, value: Option<String>| {
            edits.push(Edit::Replace { name: name.into(), value: value.map(Into::into) });
        };
        if let Some(to) = self.to.as_ref().filter(|to| !to.contains(&Address::Unaltered)) {
            replace("To", joined(to, run, header));
        }
        if let Some(from) = self.sender.as_ref().filter(|from| !matches!(from, Address::Unaltered | Address::Sender)) {
            replace("From", joined(std::slice::from_ref(from), run, header));
        }
        if let Some(reply_to) = self.reply_to.as_ref().filter(|reply_to| **reply_to != Address::Unaltered) {
            replace("Reply-To", joined(std::slice::from_ref(reply_to), run, header));
        }
        match (&self.subject, self.prefix.is_empty()) {
            (Some(subject), _) => replace("Subject", Some(prefixed(&self.prefix, subject))),
            (None, false) => edits.push(Edit::SubjectPrefix(Box::from(&*self.prefix))),
            (None, true) => {}
        }
        if let (true, Some(id)) = (self.is_reply, first(header, "Message-ID")) {
            edits.push(Edit::Replace { name: "In-Reply-To".into(), value: Some(id.into()) });
        }
        if form.edits.0.len() + edits.len() > EDITS_MAX {
            return Err(Stop::Fail(format!("the header was changed more than {EDITS_MAX} times").into()));
        }
        if !edits.is_empty() {
            Rc::make_mut(&mut form.edits).0.extend(edits);
        }
        Ok(Content::Same(form))
    }

    /// A letter about it.
    fn letter(&self, run: &Run<'_>, header: &[u8], inline: Share) -> Content {
        let subject = match &self.subject {
            Some(subject) => subject.to_string(),
            None => decoded(header, "Subject").unwrap_or_default(),
        };
        let sender = self.sender.as_ref().and_then(|sender| mailboxes(sender, run, header).into_iter().next());
        let from = sender.or_else(|| run.facts.reverse_path.mailbox().cloned());
        let from = from.unwrap_or_else(|| run.pipeline.postmaster.clone());
        let to = match self.to.as_ref().filter(|to| !to.contains(&Address::Unaltered)) {
            Some(to) => joined(to, run, header),
            None => first(header, "To"),
        };
        let reply_to = match &self.reply_to {
            None | Some(Address::Unaltered) => first(header, "Reply-To"),
            Some(reply_to) => joined(std::slice::from_ref(reply_to), run, header),
        };
        let letter = Letter {
            of: run.facts.id,
            seed: run.facts.seed.wrapping_add(run.effects.len() as u64),
            now: run.facts.now,
            host: &run.pipeline.host,
            from: &from,
            to: to.unwrap_or_default(),
            reply_to,
            subject: prefixed(&self.prefix, &subject),
            in_reply_to: first(header, "Message-ID").filter(|_| self.is_reply),
            automatic: false,
            text: self.message.to_string(),
            inline,
            attachment: self.attachment,
            error: run.branch.error.as_deref().filter(|_| self.attach_error),
            header,
            form: run.branch.form.clone(),
        };
        Content::Pieces(letter.compose())
    }
}

/// Whom a word stands for.
fn mailboxes(address: &Address, run: &Run<'_>, header: &[u8]) -> Vec<Mailbox> {
    let sender = || run.facts.reverse_path.mailbox().cloned().into_iter().collect();
    let of = |name: &str| first(header, name).map(|value| addresses(&value)).filter(|list| !list.is_empty());
    match address {
        Address::Mailbox(mailbox) => vec![mailbox.clone()],
        Address::Sender => sender(),
        Address::From => of("From").or_else(|| of("Sender")).unwrap_or_else(sender),
        Address::ReplyTo => of("Reply-To").or_else(|| of("From")).or_else(|| of("Sender")).unwrap_or_else(sender),
        Address::Postmaster => vec![run.pipeline.postmaster.clone()],
        Address::Unaltered => run.branch.recipients.iter().map(|recipient| recipient.mailbox.clone()).collect(),
        Address::Null => Vec::new(),
    }
}

/// They as the value of a field; `None` takes it away.
fn joined(list: &[Address], run: &Run<'_>, header: &[u8]) -> Option<String> {
    let all = list.iter().flat_map(|address| mailboxes(address, run, header));
    let text = all.take(RECIPIENTS_MAX).map(|mailbox| mailbox.to_string()).collect::<Vec<_>>().join(", ");
    (!text.is_empty()).then_some(text)
}

impl fmt::Display for Redirect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        for address in &self.recipients {
            match address {
                Address::Mailbox(mailbox) => write!(f, " {mailbox}")?,
                word => write!(f, " {word:?}")?,
            }
        }
        f.write_str(if self.pass_through { ", and on" } else { "" })
    }
}
