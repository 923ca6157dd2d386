//! New mail that a mailet makes: reports, notices, mail for others. It enters the container as every other.

use std::io;

use super::super::content;
use super::super::journey::Journey;
use super::Attempt;
use crate::io::Machine;
use crate::mail::{BodyType, Envelope, ReversePath};
use crate::mailet::edit::Edits;
use crate::mailet::effect::{Content, NewMail, Piece};
use crate::mailet::mail::{Body, Form};
use crate::smtp::data::BodyScanner;
use crate::spool::record::{Fields, Origin};
use crate::spool::{Incoming, Spool, Stored};

impl<M: Machine> Attempt<'_, M> {
    /// Makes a new mail: it is on stable storage when this ends well, and goes its own way from then on.
    pub(super) async fn send(&self, new: &NewMail) -> io::Result<()> {
        let (spooler, parent) = (self.spooler, &self.stored.message.envelope);
        let (edits, own) = match &new.content {
            Content::Same(form) => (Edits::clone(&form.edits), form.body != Body::Original),
            Content::Pieces(_) => (Edits::default(), true),
        };
        let journey = Journey { attributes: new.attributes.clone(), edits, made_here: true, ..Journey::default() };
        let notes = journey.encode().map_err(io::Error::other)?;
        let mut envelope = Envelope {
            id: (spooler.next_id)(),
            received_at: spooler.machine.wall_clock(),
            reverse_path: new.reverse_path.clone(),
            recipients: new.recipients.clone(),
            ..parent.for_places(&[])
        };
        envelope.smtputf8 |= !new.recipients.iter().all(crate::mail::Mailbox::is_ascii);
        if new.reverse_path == ReversePath::Null {
            // What the sender asked for was asked of the mail that this one is about.
            envelope.dsn = Default::default();
        }
        envelope.deliver_by = None;
        envelope.hold_until = None;
        if own {
            self.write(&new.content, &mut envelope, notes).await?;
        } else {
            spooler.spool.derive(self.stored, Vec::new(), &envelope, notes).await.map_err(io::Error::other)?;
        }
        self.note_sent(&envelope.id, new);
        spooler.spool.schedule(envelope.id, 0);
        Ok(())
    }

    /// Writes content of its own.
    async fn write(&self, content: &Content, envelope: &mut Envelope, notes: Vec<u8>) -> io::Result<()> {
        let spool = &self.spooler.spool;
        // What is taken over of a binary mail stays binary; else the text of a report may have letters beyond ASCII.
        if envelope.body == BodyType::SevenBit {
            envelope.body = BodyType::EightBitMime;
        }
        let origin = Some(Origin { parent: self.stored.message.envelope.id, places: Vec::new() });
        let incoming = spool.incoming_with(envelope.clone(), Fields { origin, notes, ..Fields::default() });
        let mut writing = Writing { incoming, scanner: BodyScanner::new() };
        match content {
            // Its edits are in the journey, and made whenever it is read.
            Content::Same(form) => writing.copy(spool, self.stored, &Edits::default(), &form.body).await?,
            Content::Pieces(pieces) => {
                for piece in pieces {
                    match piece {
                        Piece::Octets(octets) => writing.push(octets).await?,
                        Piece::Whole(form) => writing.copy(spool, self.stored, &form.edits, &form.body).await?,
                        Piece::BodyOf(form) => writing.copy_body(spool, self.stored, form).await?,
                    }
                }
            }
        }
        let Writing { incoming, scanner } = writing;
        incoming.commit(&scanner.content()).await.map(drop).map_err(io::Error::other)
    }
}

/// A new content on its way into the spool.
struct Writing<M: Machine> {
    incoming: Incoming<M>,
    scanner: BodyScanner,
}

impl<M: Machine> Writing<M> {
    async fn push(&mut self, octets: &[u8]) -> io::Result<()> {
        self.scanner.scan(octets);
        self.incoming.push(octets).await.map_err(io::Error::other)
    }

    async fn copy(&mut self, spool: &Spool<M>, of: &Stored, edits: &Edits, body: &Body) -> io::Result<()> {
        content::plain(spool, of, edits, body, async |slice: &[u8]| self.push(slice).await).await
    }

    /// All behind the empty line that ends the header.
    async fn copy_body(&mut self, spool: &Spool<M>, of: &Stored, form: &Form) -> io::Result<()> {
        let mut skip = match &form.body {
            Body::Original => content::header(spool, of).await?.len(),
            Body::Changed(changed) => crate::mailet::header::split(changed).0.len(),
        };
        let mut line = b"\r\n".as_slice();
        let push = async |slice: &[u8]| {
            let (_, mut rest) = slice.split_at(skip.min(slice.len()));
            skip -= slice.len() - rest.len();
            while let (Some((first, others)), Some((octet, after))) = (line.split_first(), rest.split_first()) {
                if first != octet {
                    line = &[];
                    break;
                }
                (line, rest) = (others, after);
            }
            self.push(rest).await
        };
        content::plain(spool, of, &Edits::default(), &form.body, push).await
    }
}
