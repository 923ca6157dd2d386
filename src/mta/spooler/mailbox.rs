//! Into the mailboxes of this host.

use std::io;

use super::super::content;
use super::{Attempt, Fate};
use crate::delivery::Delivered;
use crate::delivery::maildir::Item;
use crate::delivery::text::WireForm;
use crate::directory::user_of;
use crate::io::Machine;
use crate::mail::{BodyType, Mailbox};
use crate::mailet::edit::Edits;
use crate::mailet::header;
use crate::mailet::mail::{Body, Form, Recipient};
use crate::spool::OutcomeResult;

/// A copy for a mailbox.
pub(super) struct Copy<'a> {
    /// The recipient's place in the envelope.
    pub place: u32,
    /// Whose it is.
    pub recipient: &'a Mailbox,
    /// The folder; the inbox where there is none.
    pub folder: Option<&'a str>,
    /// Changes to the header.
    pub edits: &'a Edits,
    /// What they are made to.
    pub body: &'a Body,
}

impl<'a> Copy<'a> {
    /// For a recipient of a walk.
    pub fn of(recipient: &'a Recipient, form: &'a Form) -> Copy<'a> {
        Copy {
            place: recipient.place,
            recipient: &recipient.mailbox,
            folder: recipient.folder.as_deref(),
            edits: &form.edits,
            body: &form.body,
        }
    }
}

impl<M: Machine> Attempt<'_, M> {
    /// Brings the mail into the mailboxes of the recipients at these places, as its journey says.
    pub(super) async fn fill_mailboxes(&mut self, places: &[u32]) {
        let (stored, journey) = (self.stored, self.journey);
        for place in places {
            let Some(recipient) = stored.message.envelope.recipients.get(*place as usize) else { continue };
            let (folder, edits, body) = (journey.folder(*place), &journey.edits, &Body::Original);
            let result = self.put(&Copy { place: *place, recipient, folder, edits, body }).await;
            self.note_delivery(recipient, result.as_ref().map(drop));
            match result {
                Ok(delivered) => self.ended(*place, OutcomeResult::Delivered, Fate::Delivered(delivered)),
                Err(error) => self.failed(*place, &error.to_string()),
            }
        }
    }

    /// Writes one copy. `Delivered-To` is not among the changes that are made to it: a Maildir has it in any case.
    pub(super) async fn put(&self, copy: &Copy<'_>) -> io::Result<Delivered> {
        let (spooler, envelope) = (self.spooler, &self.stored.message.envelope);
        let form = match (envelope.body, copy.body, self.stored.message.content.dot_stuffed) {
            (BodyType::BinaryMime, ..) => WireForm::Binary,
            (_, Body::Original, true) => WireForm::DotStuffed,
            _ => WireForm::Plain,
        };
        let item = Item {
            id: envelope.id,
            received_at: envelope.received_at,
            place: copy.place,
            recipient: copy.recipient,
            user: &user_of(copy.recipient),
            folder: copy.folder,
            reverse_path: &envelope.reverse_path,
            form,
        };
        let mut file = spooler.maildirs.begin(&item).await?;
        let pushed = match copy.body {
            Body::Original => {
                let push = async |slice: &[u8]| file.push(slice).await;
                content::edited(&spooler.spool, self.stored, copy.edits, None, push).await
            }
            Body::Changed(changed) => {
                let (head, _) = header::split(changed);
                let (edited, rest) = (copy.edits.apply(head, None), changed.get(head.len()..).unwrap_or_default());
                match file.push(&edited).await {
                    Ok(()) => file.push(rest).await,
                    Err(error) => Err(error),
                }
            }
        };
        match pushed {
            Ok(()) => file.finish().await,
            Err(error) => {
                file.abandon().await;
                Err(error)
            }
        }
    }
}
