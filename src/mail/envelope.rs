//! The envelope of a message (RFC 5321 §2.3.1) and what is known of its content.

use std::net::SocketAddr;
use std::sync::Arc;

use super::{DeliverBy, Dsn, Mailbox, MessageId, Notify, RecipientNote, ReversePath, SessionId, Tls, Username};

/// The protocol a message came in by: what it says after `with` in its Received field (RFC 3848, RFC 6531 §4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HELO was said.
    Smtp,
    /// EHLO was said.
    Esmtp,
    /// LHLO was said (RFC 2033).
    Lmtp,
}

/// The MAIL parameter BODY (RFC 6152, RFC 3030).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BodyType {
    /// `BODY=7BIT`, or the parameter absent.
    #[default]
    SevenBit,
    /// `BODY=8BITMIME`.
    EightBitMime,
    /// `BODY=BINARYMIME`: bare CR and LF are content; only BDAT may carry it.
    BinaryMime,
}

/// Who handed the message over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// The peer's address and port.
    pub address: SocketAddr,
    /// The argument of HELO, EHLO or LHLO, as it was given.
    pub helo: Arc<str>,
    /// How it spoke.
    pub protocol: Protocol,
    /// What it was secured with, if it was.
    pub tls: Option<Tls>,
    /// Whom it has proved to be, if it did (RFC 4954).
    pub user: Option<Username>,
}

/// What travels with a message outside its content (RFC 5321 §2.3.1), and who brought it when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Named in the 250, in Received and in every line of the log.
    pub id: MessageId,
    /// The session that brought it.
    pub session: SessionId,
    /// Microseconds since the Unix epoch at which DATA or the first BDAT was received.
    pub received_at: u64,
    /// Where failures are reported to.
    pub reverse_path: ReversePath,
    /// Where it is to go, after the rewrite table, in the order of the RCPT commands; never empty once content is received.
    pub recipients: Vec<Mailbox>,
    /// The declared kind of content.
    pub body: BodyType,
    /// `SMTPUTF8` was given with MAIL (RFC 6531 §3.4).
    pub smtputf8: bool,
    /// Who brought it.
    pub client: Client,
    /// What the sender said of reports (RFC 3461 §4.3, §4.4).
    pub dsn: Dsn,
    /// What it said of each recipient, in their order; empty where it said nothing of any.
    pub notes: Vec<RecipientNote>,
    /// REQUIRETLS was given with MAIL: it goes no way that is not under TLS and does not keep this (RFC 8689).
    pub require_tls: bool,
    /// Microseconds since the Unix epoch before which it is not to be sent on (RFC 4865).
    pub hold_until: Option<u64>,
    /// By when it is to be delivered (RFC 2852).
    pub deliver_by: Option<DeliverBy>,
    /// MT-PRIORITY, -9 to 9 (RFC 6710); 0 where it was not given.
    pub priority: i8,
}

impl Envelope {
    /// What MAIL and RCPT say where they say no more than from whom and for whom.
    pub fn new(
        id: MessageId,
        session: SessionId,
        received_at: u64,
        reverse_path: ReversePath,
        recipients: Vec<Mailbox>,
        client: Client,
    ) -> Envelope {
        let (smtputf8, dsn, notes, require_tls, hold_until, deliver_by, priority) = Default::default();
        Envelope {
            id,
            session,
            received_at,
            reverse_path,
            recipients,
            body: BodyType::SevenBit,
            smtputf8,
            client,
            dsn,
            notes,
            require_tls,
            hold_until,
            deliver_by,
            priority,
        }
    }

    /// What the sender wants to hear of the recipient at this place.
    pub fn notify(&self, place: usize) -> Notify {
        self.notes.get(place).and_then(|note| note.notify).unwrap_or_default()
    }

    /// What the sender called the recipient at this place: ORCPT as it was given, in xtext.
    pub fn original(&self, place: usize) -> Option<&str> {
        self.notes.get(place)?.original.as_deref()
    }

    /// The same for the recipients at these places alone, in the order of the places.
    pub fn for_places(&self, places: &[u32]) -> Envelope {
        fn chosen<T: Clone>(all: &[T], places: &[u32]) -> Vec<T> {
            places.iter().filter_map(|place| all.get(*place as usize).cloned()).collect()
        }
        Envelope {
            id: self.id,
            session: self.session,
            received_at: self.received_at,
            reverse_path: self.reverse_path.clone(),
            recipients: chosen(&self.recipients, places),
            body: self.body,
            smtputf8: self.smtputf8,
            client: self.client.clone(),
            dsn: self.dsn.clone(),
            notes: chosen(&self.notes, places),
            require_tls: self.require_tls,
            hold_until: self.hold_until,
            deliver_by: self.deliver_by,
            priority: self.priority,
        }
    }
}

/// What the one receive pass learned of a message's content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// Octets as they came over the wire, stuffed dots included, end of data excluded.
    pub octets: u64,
    /// Octets from the start up to and including the CR LF that ends the last header field; equals `octets` where no
    /// empty line was seen.
    pub header_octets: u64,
    /// The longest line, without its CR LF.
    pub longest_line: u64,
    /// An octet above 127 was seen.
    pub eight_bit: bool,
    /// A CR without LF after it was seen.
    pub bare_cr: bool,
    /// An LF without CR before it was seen.
    pub bare_lf: bool,
    /// Lines that begin with a dot carry one more (RFC 5321 §4.5.2): the message came by DATA.
    pub dot_stuffed: bool,
}
