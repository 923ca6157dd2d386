//! What the log says of mail that is seen through.

use std::fmt::Display;
use std::io;

use super::{Attempt, Purpose, State};
use crate::control::journal::{Field, Level};
use crate::io::Machine;
use crate::mail::{Mailbox, MessageId};
use crate::mailet::effect::{Drop, NewMail};
use crate::mailet::mail::Recipient;

impl<M: Machine> State<M> {
    pub(super) fn note(&self, level: Level, name: &str, fields: &[Field<'_>]) {
        self.journal.note(level, self.machine.wall_clock(), name, fields);
    }
}

impl<M: Machine> Attempt<'_, M> {
    fn id(&self) -> &MessageId {
        &self.stored.message.envelope.id
    }

    /// How long the message has been here, in seconds.
    fn delay(&self) -> String {
        let waited = self.spooler.machine.wall_clock().saturating_sub(self.stored.message.envelope.received_at);
        format!("{}.{:03}", waited / 1_000_000, waited / 1000 % 1000)
    }

    pub(super) fn note_delivery(&self, recipient: &Mailbox, result: Result<(), &io::Error>) {
        let (id, to, delay) = (self.id(), &format_args!("<{recipient}>"), self.delay());
        match (result, self.purpose) {
            (Ok(()), _) => {
                self.spooler.delivered.set(self.spooler.delivered.get() + 1);
                let fields: [Field<'_>; 4] = [("id", id), ("to", to), ("delay", &delay), ("dsn", &"2.0.0")];
                self.spooler.note(Level::Info, "delivered", &fields);
            }
            (Err(error), Purpose::Client { .. }) => {
                let fields: [Field<'_>; 4] = [("id", id), ("to", to), ("dsn", &"4.2.0"), ("text", &error)];
                self.spooler.note(Level::Warning, "returned", &fields);
            }
            (Err(error), Purpose::Queue) => self.note_deferred(recipient, "4.2.0", &error),
        }
    }

    pub(super) fn note_deferred(&self, recipient: &Mailbox, dsn: &str, why: &dyn Display) {
        let attempts = self.stored.progress.attempts().saturating_add(1);
        let again = format!("{}s", self.spooler.settings.retry.delay(attempts).as_secs());
        let (to, delay) = (&format_args!("<{recipient}>"), self.delay());
        let fields: [Field<'_>; 6] =
            [("id", self.id()), ("to", to), ("delay", &delay), ("dsn", &dsn), ("again_in", &again), ("text", why)];
        self.spooler.note(Level::Warning, "deferred", &fields);
    }

    /// The walk, or something it asked for, failed for a recipient.
    pub(super) fn note_failed(&self, recipient: &Mailbox, why: &dyn Display) {
        match self.purpose {
            Purpose::Queue => self.note_deferred(recipient, "4.3.0", why),
            Purpose::Client { .. } => {
                let to = &format_args!("<{recipient}>");
                let fields: [Field<'_>; 4] = [("id", self.id()), ("to", to), ("dsn", &"4.3.0"), ("text", why)];
                self.spooler.note(Level::Warning, "returned", &fields);
            }
        }
    }

    pub(super) fn note_dropped(&self, recipient: &Mailbox, why: Option<Drop>) {
        let to = &format_args!("<{recipient}>");
        let why = match why {
            None => {
                return self.spooler.note(
                    Level::Info,
                    "discarded",
                    &[("id", self.id()), ("to", to), ("dsn", &"2.0.0")],
                );
            }
            Some(Drop::Asked) => "a mailet wants no more of it",
            Some(Drop::Answered) => "it was answered",
            Some(Drop::Discarded) => "the user's script",
            Some(Drop::Duplicate) => "those it goes to have it already",
        };
        let fields: [Field<'_>; 4] = [("id", self.id()), ("to", to), ("dsn", &"2.0.0"), ("why", &why)];
        self.spooler.note(Level::Info, "discarded", &fields);
    }

    pub(super) fn note_kept(&self, recipients: &[Recipient], repository: &str) {
        for recipient in recipients {
            let to = &format_args!("<{}>", recipient.mailbox);
            let fields: [Field<'_>; 3] = [("id", self.id()), ("to", to), ("repository", &repository)];
            self.spooler.note(Level::Info, "kept", &fields);
        }
    }

    pub(super) fn note_child(&self, child: &MessageId, recipients: usize, way: &dyn Display) {
        let fields: [Field<'_>; 4] = [("id", self.id()), ("child", child), ("nrcpt", &recipients), ("way", way)];
        self.spooler.note(Level::Info, "passed-on", &fields);
    }

    pub(super) fn note_sent(&self, id: &MessageId, new: &NewMail) {
        let kind = format!("{:?}", new.kind).to_lowercase();
        let from = &format_args!("<{}>", new.reverse_path);
        for recipient in &new.recipients {
            let to = &format_args!("<{recipient}>");
            let fields: [Field<'_>; 5] = [("id", id), ("of", self.id()), ("kind", &kind), ("from", from), ("to", to)];
            self.spooler.note(Level::Info, "made", &fields);
        }
    }

    pub(super) fn note_mailet(&self, line: &str) {
        self.spooler.note(Level::Info, "mailet", &[("id", self.id()), ("text", &line)]);
    }
}
