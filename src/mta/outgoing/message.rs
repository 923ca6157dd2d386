//! A message as one attempt at it sees it.

use std::time::Duration;

use super::State;
use super::content::{self, FromSpool, Unsendable};
use crate::io::Machine;
use crate::mail::{BodyType, ByMode, MessageId, ReversePath};
use crate::mailet::edit::Edit;
use crate::mta::journey::Journey;
use crate::smtp::client::transaction::{By, ContentKind, Recipient, Transaction};
use crate::spool::Stored;
use crate::spool::progress::Pending;

/// Recipients of one transaction: every server takes so many (RFC 5321 §4.5.3.1.8).
const RECIPIENTS_MAX: usize = 100;

/// Recipients that become due so soon are tried with those that are due.
const SOON: Duration = Duration::from_secs(1);

/// What was read of a message.
pub(super) struct Message {
    pub stored: Stored,
    pub journey: Journey,
    /// The recipients that are due.
    pub due: Vec<Pending>,
    /// Since when the first of them is, by the core's clock.
    pub since: Duration,
    /// It was put off, and an operator wants it to be tried all the same.
    pub flushed: bool,
    /// Header or addresses are beyond ASCII.
    smtputf8: bool,
}

/// Why nothing is tried.
pub(super) enum NotNow {
    /// It cannot be read: why.
    Unreadable(String),
    /// The operator holds it, or it is not due before then, in microseconds since the Unix epoch.
    Waits(u64),
}

impl Message {
    /// Reads it.
    pub async fn read<M: Machine>(state: &State<M>, id: MessageId) -> Result<Message, NotNow> {
        let stored = state.spool.read(id).await.map_err(|error| NotNow::Unreadable(error.to_string()))?;
        let journey = Journey::decode(&stored.message.fields.notes);
        let journey = journey.map_err(|error| NotNow::Unreadable(error.to_string()))?;
        let now = state.machine.wall_clock();
        if stored.progress.is_held() {
            return Err(NotNow::Waits(now));
        }
        let envelope = &stored.message.envelope;
        if let Some(until) = envelope.hold_until.filter(|until| *until > now) {
            return Err(NotNow::Waits(until));
        }
        let pending = stored.progress.pending();
        let soon = now.saturating_add(SOON.as_micros() as u64);
        let due: Vec<Pending> = pending.iter().filter(|one| one.not_before <= soon).cloned().collect();
        let Some(first) = due.iter().map(|one| one.not_before).min() else {
            return Err(NotNow::Waits(stored.progress.due()));
        };
        let flushed = due.iter().any(|one| one.not_before == 0 && one.reason.is_some());
        let since = first.max(envelope.received_at).max(envelope.hold_until.unwrap_or(0));
        let waited = Duration::from_micros(now.saturating_sub(since));
        let since = state.machine.now().saturating_sub(waited);
        let smtputf8 = envelope.smtputf8 && is_beyond_ascii(state, &stored, &journey).await;
        Ok(Message { stored, journey, due, since, flushed, smtputf8 })
    }

    /// Microseconds since the Unix epoch from which on it is not delivered any more (RFC 2852 §4.1.4).
    pub fn expires(&self) -> Option<u64> {
        let by = self.stored.message.envelope.deliver_by.as_ref()?;
        (by.mode == ByMode::Return).then_some(by.deadline)
    }

    /// Nothing is ever sent back to the null reverse-path.
    pub fn has_sender(&self) -> bool {
        self.stored.message.envelope.reverse_path != ReversePath::Null
    }

    /// Recipients that one transaction may have.
    pub fn at_a_time(&self) -> usize {
        // A copy that names its recipient is that one's alone.
        if self.journey.edits.0.contains(&Edit::DeliveredTo) { 1 } else { RECIPIENTS_MAX }
    }

    /// The content as it goes to these recipients.
    pub async fn content<'a, M: Machine>(
        &'a self,
        state: &'a State<M>,
        part: &[Pending],
    ) -> Result<FromSpool<'a, M>, Unsendable> {
        let recipients = &self.stored.message.envelope.recipients;
        let alone = match part {
            [one] => recipients.get(one.place as usize),
            _ => None,
        };
        FromSpool::new(&state.spool, &self.stored, &self.journey.edits, alone).await
    }

    /// The transaction for these recipients.
    pub fn transaction<M: Machine>(&self, now: u64, part: &[Pending], content: &FromSpool<'_, M>) -> Transaction {
        let envelope = &self.stored.message.envelope;
        let recipient = |pending: &Pending| {
            let (place, note) = (pending.place as usize, envelope.notes.get(pending.place as usize));
            Some(Recipient {
                mailbox: envelope.recipients.get(place)?.clone(),
                notify: note.and_then(|note| note.notify).map(|notify| notify.to_string().into()),
                original: envelope.original(place).map(Into::into),
            })
        };
        let kind = match envelope.body {
            BodyType::BinaryMime => ContentKind::Binary,
            _ if self.stored.message.content.eight_bit => ContentKind::EightBit,
            _ => ContentKind::SevenBit,
        };
        Transaction {
            reverse_path: envelope.reverse_path.clone(),
            recipients: part.iter().filter_map(recipient).collect(),
            size: content.size(),
            exact: content.exact(),
            kind,
            smtputf8: self.smtputf8,
            require_tls: envelope.require_tls,
            priority: envelope.priority,
            deliver_by: envelope.deliver_by.map(|by| By::left(by, now)),
            envelope_id: envelope.dsn.envelope_id.clone(),
            ret: envelope.dsn.ret.map(|ret| ret.as_str().into()),
        }
    }

    /// The same for a content that was converted.
    pub fn transaction_of<M: Machine>(
        &self,
        now: u64,
        part: &[Pending],
        content: &FromSpool<'_, M>,
        converted: &[u8],
    ) -> Transaction {
        let octets = converted.len() as u64;
        Transaction {
            size: octets,
            exact: Some(octets),
            kind: ContentKind::SevenBit,
            ..self.transaction(now, part, content)
        }
    }
}

/// Whether what was given with SMTPUTF8 needs it (RFC 6531 §3.4): many a client says so of everything.
async fn is_beyond_ascii<M: Machine>(state: &State<M>, stored: &Stored, journey: &Journey) -> bool {
    let envelope = &stored.message.envelope;
    let sender = envelope.reverse_path.mailbox();
    if !sender.into_iter().chain(&envelope.recipients).all(|mailbox| mailbox.is_ascii()) {
        return true;
    }
    if !stored.message.content.eight_bit {
        return false;
    }
    match content::header(&state.spool, stored).await {
        Ok(header) => !journey.edits.apply(&header, None).is_ascii(),
        Err(_) => true,
    }
}
