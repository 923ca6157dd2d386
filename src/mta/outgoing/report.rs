//! Reports on recipients (RFC 3464): a new message to the sender, from nobody.

use std::io;

use super::State;
use super::content::{self, FromSpool, Unsendable};
use super::message::Message;
use super::outcome::Judged;
use super::reach::Relay;
use crate::delivery::schedule::Schedule;
use crate::io::Machine;
use crate::mail::{BodyType, Envelope, MessageId, Ret, ReversePath};
use crate::mailet::compose::report::{Action, Fate, Original, Report};
use crate::mailet::compose::status::Status;
use crate::mailet::effect::Piece;
use crate::mailet::mail::{Attributes, Form, SENT_BY_MAILET, Value};
use crate::mailet::mailets::bounce;
use crate::mta::journey::Journey;
use crate::smtp::data::BodyScanner;
use crate::spool::record::{Fields, Origin};
use crate::spool::{Incoming, StoreError};

/// What is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// They are given up.
    Failed,
    /// They are tried further.
    Delayed,
    /// A host has them that will not report.
    Relayed,
    /// A host has them that does not know by when they are to be there (RFC 2852, `N`).
    Untimed,
    /// A host has them, and the sender wants to hear of each (RFC 2852, `T`).
    Traced,
}

impl Kind {
    fn action(self) -> Action {
        match self {
            Kind::Failed => Action::Failed,
            Kind::Delayed => Action::Delayed,
            Kind::Relayed | Kind::Untimed | Kind::Traced => Action::Relayed,
        }
    }

    fn words(self, host: &str) -> String {
        match self {
            Kind::Failed => bounce::MESSAGE.replace("[machine]", host),
            Kind::Delayed => format!(
                "This is the mail system at {host}.\n\nYour message could not be delivered yet to the recipients below. It is \
                 tried further: you need not send it again.\n"
            ),
            Kind::Relayed => format!(
                "This is the mail system at {host}.\n\nYour message was handed to the next host for the recipients below. That \
                 host does not report what becomes of it.\n"
            ),
            Kind::Untimed => format!(
                "This is the mail system at {host}.\n\nYour message was handed to the next host for the recipients below. That \
                 host does not heed the time by which you want it there.\n"
            ),
            Kind::Traced => format!(
                "This is the mail system at {host}.\n\nYour message was handed to the next host for the recipients below. You \
                 asked to hear of that.\n"
            ),
        }
    }
}

/// Sends a report on some recipients. The outcome of `places` is noted with it.
///
/// # Errors
///
/// Where it is not on stable storage; then no outcome is noted either.
pub(super) async fn send<M: Machine>(
    state: &State<M>,
    message: &Message,
    on: &[&Judged],
    relay: Option<&Relay>,
    kind: Kind,
    places: Vec<u32>,
    schedule: &Schedule,
) -> Result<(), StoreError> {
    let envelope = &message.stored.message.envelope;
    let ReversePath::Mailbox(to) = &envelope.reverse_path else { return Ok(()) };
    // Of a delay or a success no more than the header goes back (RFC 3461 §4.3), nor of what is no text.
    let whole = kind == Kind::Failed && envelope.dsn.ret == Some(Ret::Full) && envelope.body != BodyType::BinaryMime;
    let header = match content::header(&state.spool, &message.stored).await {
        Ok(header) => message.journey.edits.apply(&header, None).into_owned(),
        Err(_) => Vec::new(),
    };
    let until = envelope.received_at.saturating_add(schedule.until_given_up().as_micros() as u64);
    let until = until.min(message.expires().unwrap_or(u64::MAX));
    let fates = on.iter().filter_map(|one| {
        Some(Fate {
            recipient: envelope.recipients.get(one.place as usize)?,
            original: envelope.original(one.place as usize),
            action: kind.action(),
            status: Status::of_text(&one.text, kind.action().class()),
            remote: relay.and_then(|relay| relay.that_said(&one.text)),
            diagnostic: Some(&one.text),
            until: (kind == Kind::Delayed).then_some(until),
        })
    });
    let report = Report {
        of: envelope.id,
        seed: state.machine.secret(),
        now: state.machine.wall_clock(),
        arrived: envelope.received_at,
        host: &state.settings.hello_name,
        from: &state.settings.postmaster,
        to,
        envelope_id: envelope.dsn.envelope_id.as_deref(),
        received_from: (!message.journey.made_here).then_some(&*envelope.client.helo),
        subject: None,
        text: &kind.words(&state.settings.hello_name),
        fates: fates.collect(),
        original: if whole { Original::Whole(Form::default()) } else { Original::Header(&header) },
    };
    let id = store(state, message, &report.compose(), to.is_ascii(), places).await?;
    state.spool.schedule(id, 0);
    Ok(())
}

/// A mail of this host's own.
async fn store<M: Machine>(
    state: &State<M>,
    message: &Message,
    pieces: &[Piece],
    ascii: bool,
    places: Vec<u32>,
) -> Result<MessageId, StoreError> {
    let of = &message.stored.message.envelope;
    let to = of.reverse_path.mailbox().cloned();
    let mut attributes = Attributes::default();
    attributes.set(SENT_BY_MAILET, Value::Flag(true));
    let journey = Journey { attributes, made_here: true, ..Journey::default() };
    let notes = journey.encode().map_err(|_| StoreError::TooLarge)?;
    let fields = Fields { origin: Some(Origin { parent: of.id, places }), notes, ..Fields::default() };
    let eight = pieces.iter().any(|piece| match piece {
        Piece::Octets(octets) => !octets.is_ascii(),
        Piece::Whole(_) | Piece::BodyOf(_) => message.stored.message.content.eight_bit,
    });
    let (id, now, to) = ((state.next_id)(), state.machine.wall_clock(), to.into_iter().collect());
    let envelope = Envelope {
        body: if eight { BodyType::EightBitMime } else { BodyType::SevenBit },
        smtputf8: !ascii,
        ..Envelope::new(id, of.session, now, ReversePath::Null, to, of.client.clone())
    };
    let mut keeping =
        Keeping { incoming: state.spool.incoming_with(envelope, fields), scanner: BodyScanner::new(), failed: None };
    for piece in pieces {
        let put = match piece {
            Piece::Octets(octets) => keeping.put(octets).await,
            Piece::Whole(_) | Piece::BodyOf(_) => keeping.whole(state, message).await,
        };
        if put.is_err() {
            // What cannot be read back cannot be given back either; a report without it would say that it is whole.
            return Err(keeping.failed.unwrap_or(StoreError::Closed));
        }
    }
    let content = keeping.scanner.content();
    keeping.incoming.commit(&content).await.map(|committed| committed.id())
}

/// A report on its way into the spool.
struct Keeping<M: Machine> {
    incoming: Incoming<M>,
    scanner: BodyScanner,
    failed: Option<StoreError>,
}

impl<M: Machine> Keeping<M> {
    async fn whole(&mut self, state: &State<M>, message: &Message) -> io::Result<()> {
        let content = FromSpool::new(&state.spool, &message.stored, &message.journey.edits, None).await;
        let content = content.map_err(|error: Unsendable| io::Error::other(error.to_string()))?;
        content.plain(async |octets| self.put(octets).await).await
    }

    async fn put(&mut self, octets: &[u8]) -> io::Result<()> {
        self.scanner.scan(octets);
        let pushed = self.incoming.push(octets).await;
        pushed.map_err(|error| {
            self.failed = Some(error);
            io::Error::other(error)
        })
    }
}
