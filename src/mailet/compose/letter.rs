//! Letters: what `Bounce`, `NotifySender`, `NotifyPostmaster`, `Redirect` and `Resend` write.

use super::super::edit::field;
use super::super::effect::Piece;
use super::super::mail::Form;
use super::{boundary, bounded, lines, message_id};
use crate::mail::date::Date;
use crate::mail::{Mailbox, MessageId};

/// What of a mail stands in the text of a letter, or goes with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// Nothing.
    None,
    /// `heads`: its header.
    Header,
    /// `body`.
    Body,
    /// `all`: both, as text.
    All,
    /// `message`: the mail, as one (attached alone).
    Message,
}

/// A letter.
#[derive(Clone, Debug)]
pub struct Letter<'a> {
    /// The mail it is about.
    pub of: MessageId,
    /// A number that nobody could foresee.
    pub seed: u64,
    /// Microseconds since the Unix epoch.
    pub now: u64,
    /// This host.
    pub host: &'a str,
    /// From:.
    pub from: &'a Mailbox,
    /// The value of To:.
    pub to: String,
    /// The value of Reply-To:.
    pub reply_to: Option<String>,
    /// The value of Subject:.
    pub subject: String,
    /// The value of In-Reply-To:.
    pub in_reply_to: Option<String>,
    /// Whether a machine wrote it on its own account (RFC 3834 §5).
    pub automatic: bool,
    /// Its text.
    pub text: String,
    /// What stands after the text.
    pub inline: Share,
    /// What is attached.
    pub attachment: Share,
    /// An error that is attached.
    pub error: Option<&'a str>,
    /// The header of the mail it is about.
    pub header: &'a [u8],
    /// How that mail looks.
    pub form: Form,
}

impl Letter<'_> {
    /// The letter, in pieces.
    pub fn compose(&self) -> Vec<Piece> {
        let text = lines(&self.text);
        let attached = self.attachment != Share::None || self.error.is_some();
        let boundary = boundary(self.of, self.seed, &[self.header, text.as_bytes()]);
        let mut pieces = Pieces(vec![Piece::Octets(self.head().into_bytes())]);
        if attached {
            pieces.text(&format!("Content-Type: multipart/mixed;\r\n boundary=\"{boundary}\"\r\nContent-Transfer-Encoding: 8bit\r\n\r\n--{boundary}\r\n"));
        }
        pieces.text("Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n");
        pieces.text(&text);
        if self.inline != Share::None {
            pieces.text("\r\n");
            self.share(self.inline, &mut pieces);
        }
        if let Some(error) = self.error {
            pieces.text(&format!("\r\n--{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\nContent-Disposition: attachment; filename=error.txt\r\n\r\n"));
            pieces.text(&lines(error));
        }
        if self.attachment != Share::None {
            let kind = match self.attachment {
                Share::Message => "message/rfc822",
                _ => "text/plain; charset=utf-8",
            };
            pieces.text(&format!("\r\n--{boundary}\r\nContent-Type: {kind}\r\nContent-Transfer-Encoding: 8bit\r\nContent-Disposition: attachment\r\n\r\n"));
            self.share(self.attachment, &mut pieces);
        }
        if attached {
            pieces.text(&format!("\r\n--{boundary}--\r\n"));
        }
        pieces.0
    }

    fn head(&self) -> String {
        let mut out = format!("From: {}\r\n", self.from);
        if !self.to.is_empty() {
            out.push_str(&field("To", &self.to));
        }
        if let Some(reply_to) = &self.reply_to {
            out.push_str(&field("Reply-To", reply_to));
        }
        out.push_str(&field("Subject", &super::one_line(&self.subject, 900)));
        out.push_str(&format!("Date: {}\r\n", Date::from_micros(self.now).rfc5322()));
        out.push_str(&format!("Message-ID: {}\r\n", message_id(self.of, self.seed, self.host)));
        if let Some(id) = &self.in_reply_to {
            out.push_str(&field("In-Reply-To", id));
        }
        if self.automatic {
            out.push_str("Auto-Submitted: auto-replied\r\n");
        }
        out.push_str("MIME-Version: 1.0\r\n");
        out
    }

    fn share(&self, what: Share, pieces: &mut Pieces) {
        match what {
            Share::None => {}
            Share::Header => pieces.octets(bounded(self.header)),
            Share::Body => pieces.0.push(Piece::BodyOf(self.form.clone())),
            Share::All | Share::Message => pieces.0.push(Piece::Whole(self.form.clone())),
        }
    }
}

/// Pieces that are added to the last one where they can be.
struct Pieces(Vec<Piece>);

impl Pieces {
    fn text(&mut self, text: &str) {
        self.octets(text.as_bytes());
    }

    fn octets(&mut self, octets: &[u8]) {
        match self.0.last_mut() {
            Some(Piece::Octets(last)) => last.extend_from_slice(octets),
            _ => self.0.push(Piece::Octets(octets.to_vec())),
        }
    }
}
