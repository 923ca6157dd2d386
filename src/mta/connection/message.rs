//! A message of a dialogue: its content received into the record that keeps it, and made durable before the session answers.

use std::rc::Rc;

use super::{Connection, Doing, End, Proof};
use crate::control::journal::Level;
use crate::io::Machine;
use crate::mail::from::FromScanner;
use crate::mail::{Content, Envelope};
use crate::mta::core::LmtpWay;
use crate::mta::spooler::Fate;
use crate::smtp::data::{BodyScanner, DataDecoder};
use crate::smtp::received::write_received;
use crate::smtp::server::question::{Refusal, Step, Transfer};
use crate::smtp::server::replies;
use crate::smtp::server::settings::Service;
use crate::spool::record::Fields;
use crate::spool::{Committed, Incoming, StoreError};

/// What a client is about whose content is being received.
const CONTENT: Doing = Doing { transaction: true, line: false, content: true };

/// A message whose content is being received.
pub(super) struct Receiving<M: Machine> {
    envelope: Rc<Envelope>,
    /// Octets of the Received field before the client's own.
    trace: u64,
    /// Where it is kept; `Err` once that failed or was in vain, while the rest of the content is still to be read.
    incoming: Result<Incoming<M>, Discarded>,
    scanner: Scanner,
    /// Whom it says it is from, where that is asked.
    pub(super) from: Option<Box<FromScanner>>,
}

/// Why content is no longer kept.
#[derive(Clone, Copy)]
enum Discarded {
    /// The spool did not take it.
    NotStored(StoreError),
    /// It is larger than allowed; the session says so at its end.
    TooBig,
}

enum Scanner {
    Data(DataDecoder),
    Body(BodyScanner),
}

/// What came of receiving content where it is to stay.
enum Received {
    /// So many octets came, and the end of content perhaps.
    Content { octets: usize, ended: bool },
    /// There is no place for it to stay.
    Nothing,
}

impl Scanner {
    /// What of the content so far is held back.
    fn held(&self) -> &'static [u8] {
        match self {
            Scanner::Data(decoder) => decoder.held(),
            Scanner::Body(_) => &[],
        }
    }

    fn content(&self) -> Content {
        match self {
            Scanner::Data(decoder) => decoder.content(),
            Scanner::Body(scanner) => scanner.content(),
        }
    }

    fn size(&self) -> u64 {
        match self {
            Scanner::Data(decoder) => decoder.size(),
            Scanner::Body(scanner) => scanner.size(),
        }
    }
}

impl<M: Machine> Connection<M> {
    /// Receives content, and tells the session how it ended.
    pub(super) async fn receive_data(&mut self, transfer: Transfer) -> Result<Step, End> {
        if transfer.is_first() {
            self.begin_message(transfer).await;
        }
        match transfer {
            Transfer::Data => self.receive_until_dot().await?,
            Transfer::Chunk { octets, .. } => self.receive_octets(octets).await?,
            Transfer::Discard { octets } => {
                self.skip(octets).await?;
                return Ok(Step::Receive);
            }
        }
        let scanner = self.message.as_ref().map(|message| &message.scanner);
        let (content, size) = scanner.map(|scanner| (scanner.content(), scanner.size())).unwrap_or_default();
        let more_to_come = matches!(transfer, Transfer::Chunk { last: false, .. });
        let before = self.replies.len();
        let step = match more_to_come {
            true => self.session.chunk_ended(&content, &mut self.replies),
            false => self.session.data_ended(&content, size, &mut self.replies),
        };
        if !more_to_come && !matches!(step, Step::Store | Step::Ask(_)) {
            let reply = String::from_utf8_lossy(self.replies.get(before..).unwrap_or_default()).into_owned();
            // Over LMTP it stands there for each recipient.
            self.note_refused_message(reply.lines().next().unwrap_or_default());
        }
        Ok(step)
    }

    pub(super) fn note_refused_message(&mut self, reply: &str) {
        let Some(message) = self.message.take() else { return };
        let content = message.scanner.content();
        self.core.note(
            Level::Info,
            "refused",
            &[
                ("id", &message.envelope.id),
                ("session", &self.id),
                ("client", &self.shown),
                ("from", &format_args!("<{}>", message.envelope.reverse_path)),
                ("nrcpt", &message.envelope.recipients.len()),
                ("size", &content.octets),
                ("reply", &reply),
            ],
        );
    }

    async fn begin_message(&mut self, transfer: Transfer) {
        let now = self.core.machine.wall_clock();
        let envelope = self.session.begin(self.core.next_message(now), now);
        let mut trace = self.core.buffers.take_text();
        write_received(&envelope, self.session.recipients(), &self.server.settings.hello_name, &mut trace);
        let scanner = match transfer {
            Transfer::Data => Scanner::Data(DataDecoder::new()),
            Transfer::Chunk { .. } | Transfer::Discard { .. } => Scanner::Body(BodyScanner::new()),
        };
        let envelope = Rc::new(envelope);
        let incoming = Ok(self.core.spool.incoming_with(envelope.clone(), self.fields()));
        let from = self.server.chain.asks_about_content(self.session.peer()).then(Box::<FromScanner>::default);
        let mut message = Receiving { envelope, trace: trace.len() as u64, incoming, scanner, from: None };
        message.keep(&trace, false).await;
        self.core.buffers.give_text(trace);
        message.from = from;
        self.message = Some(message);
        self.pace.content_begins();
    }

    /// What the record says of a message beside its envelope: what only its session knows, where the pipeline may ask for it.
    fn fields(&self) -> Fields {
        if !self.core.spooler.walks() {
            return Fields::default();
        }
        let is_lmtp = self.server.settings.protocol == Service::Lmtp;
        let straight = is_lmtp && self.server.lmtp == LmtpWay::Mailbox;
        Fields {
            notes: self.core.spooler.notes_of_client(straight, self.session.peer().authorized),
            ..Fields::default()
        }
    }

    async fn receive_until_dot(&mut self) -> Result<(), End> {
        loop {
            if self.channel.input().is_empty() {
                match self.receive_in_place(u64::MAX).await? {
                    Received::Content { ended: true, .. } => return Ok(()),
                    Received::Content { .. } => continue,
                    Received::Nothing => self.refill(CONTENT).await?,
                }
            }
            let Some(message) = &mut self.message else { return Ok(()) };
            let Scanner::Data(decoder) = &mut message.scanner else { return Ok(()) };
            let received = self.channel.input();
            let scan = decoder.scan(received);
            let too_big = self.session.too_big(decoder.size());
            message.keep(scan.carry, too_big).await;
            message.keep(&received[..scan.content], too_big).await;
            let used = scan.end.unwrap_or(received.len());
            self.channel.consume(used);
            if scan.end.is_some() {
                return Ok(());
            }
        }
    }

    async fn receive_octets(&mut self, mut octets: u64) -> Result<(), End> {
        while octets > 0 {
            if self.channel.input().is_empty() {
                match self.receive_in_place(octets).await? {
                    Received::Content { octets: received, .. } => {
                        octets -= received as u64;
                        continue;
                    }
                    Received::Nothing => self.refill(CONTENT).await?,
                }
            }
            let Some(message) = &mut self.message else { return Ok(()) };
            let Scanner::Body(scanner) = &mut message.scanner else { return Ok(()) };
            let received = self.channel.input();
            let received = &received[..received.len().min(usize::try_from(octets).unwrap_or(usize::MAX))];
            scanner.scan(received);
            let too_big = self.session.too_big(scanner.size());
            message.keep(received, too_big).await;
            let used = received.len();
            octets -= used as u64;
            self.channel.consume(used);
        }
        Ok(())
    }

    /// Receives content, at most so many octets, into the memory that it is written from; only right when no input is left. What
    /// follows its end is input again.
    async fn receive_in_place(&mut self, at_most: u64) -> Result<Received, End> {
        let waiting = self.begin_to_wait(CONTENT).await?;
        let Connection { message: Some(message), channel, session, pace, core, .. } = self else {
            return Ok(Received::Nothing);
        };
        let Receiving { incoming: place, scanner, from, .. } = message;
        let Ok(incoming) = place else { return Ok(Received::Nothing) };
        let room = incoming.room();
        let held = scanner.held();
        let end = room.len().min(held.len().saturating_add(usize::try_from(at_most).unwrap_or(usize::MAX)));
        if end <= held.len() {
            return Ok(Received::Nothing);
        }
        // What was held back stands before what comes now: it is content, or begins the end of it.
        room[..held.len()].copy_from_slice(held);
        let octets = channel.receive_into(&mut room[held.len()..end], waiting.deadline, waiting.graceful).await?;
        pace.content_came(&core.timeouts, core.patience.now() - waiting.began, octets);
        let received = &room[held.len()..held.len() + octets];
        let (content, rest) = match scanner {
            Scanner::Data(decoder) => {
                let scan = decoder.scan(received);
                (scan.carry.len() + scan.content, scan.end.and_then(|end| received.get(end..)))
            }
            Scanner::Body(scanner) => {
                scanner.scan(received);
                (octets, None)
            }
        };
        let ended = rest.is_some();
        channel.unread(rest.unwrap_or_default());
        if let Some(from) = from {
            from.scan(&room[..content]);
        }
        if session.too_big(scanner.size()) {
            *place = Err(Discarded::TooBig);
        } else if let Err(error) = incoming.received(content).await {
            *place = Err(Discarded::NotStored(error));
        }
        Ok(Received::Content { octets, ended })
    }

    async fn skip(&mut self, mut octets: u64) -> Result<(), End> {
        while octets > 0 {
            if self.channel.input().is_empty() {
                self.refill(CONTENT).await?;
            }
            let used = self.channel.input().len().min(usize::try_from(octets).unwrap_or(usize::MAX));
            self.channel.consume(used);
            octets -= used as u64;
        }
        Ok(())
    }

    /// Makes the message durable, and over LMTP delivers it, before the session answers.
    pub(super) async fn store(&mut self) -> Step {
        let Some(message) = self.message.take() else {
            return self.session.stored(Err(Refusal::Failed), &mut self.replies);
        };
        let mut content = message.scanner.content();
        content.octets += message.trace;
        content.header_octets += message.trace;
        let envelope = message.envelope;
        let committed = match message.incoming {
            Ok(incoming) => incoming.commit(&content).await,
            Err(Discarded::NotStored(error)) => Err(error),
            Err(Discarded::TooBig) => Err(StoreError::Full),
        };
        self.make_room_for_replies();
        match committed {
            Ok(committed) => self.committed(&envelope, &content, committed).await,
            Err(error) => {
                let why = format!("not stored: {error}");
                let (id, session) = (&envelope.id, &self.id);
                self.core.note(Level::Error, "refused", &[("id", id), ("session", session), ("text", &why)]);
                let refusal = match error {
                    StoreError::Full => Refusal::Full,
                    StoreError::TooLarge => Refusal::Rejected(replies::too_big()),
                    StoreError::Closed => Refusal::Closed,
                };
                self.session.stored(Err(refusal), &mut self.replies)
            }
        }
    }

    async fn committed(&mut self, envelope: &Envelope, content: &Content, committed: Committed) -> Step {
        self.note_accepted(envelope, content);
        self.accepted += 1;
        self.core.accepted.set(self.core.accepted.get() + 1);
        let id = committed.id();
        if self.server.settings.protocol == Service::Lmtp && !self.core.hold {
            // Boxed, so that sessions which never deliver themselves need not have room for it.
            let split = self.server.lmtp == LmtpWay::Container { split: true };
            let fates = Box::pin(self.core.spooler.deliver_now(id, envelope.recipients.len(), split)).await;
            let results = fates.into_iter().map(|fate| match fate {
                Fate::Delivered(delivered) => Ok(Proof::Delivered(delivered)),
                Fate::Resolved(resolved) => Ok(Proof::Resolved(resolved)),
                Fate::Failed => Err(Refusal::MailboxFailed),
            });
            return self.session.delivered(results.collect(), &mut self.replies);
        }
        self.core.spool.schedule(id, envelope.hold_until.unwrap_or(0));
        self.session.stored(Ok(Proof::Spooled(committed)), &mut self.replies)
    }

    fn note_accepted(&self, envelope: &Envelope, content: &Content) {
        self.core.note_with(Level::Info, "accepted", |note| {
            note.message("id", envelope.id);
            note.session("session", self.id);
            note.text("client", |to| to.extend_from_slice(self.shown.as_bytes()));
            note.text("from", |to| {
                to.push(b'<');
                envelope.reverse_path.write(to);
                to.push(b'>');
            });
            note.number("nrcpt", envelope.recipients.len() as u64);
            note.number("size", content.octets);
            if content.longest_line > crate::mail::limits::TEXT_LINE_OCTETS {
                note.number("longest_line", content.longest_line);
            }
        });
    }
}

impl<M: Machine> Receiving<M> {
    /// Keeps content, unless it is not kept any more. The rest of it is read in any case, so that the dialogue stays in step.
    async fn keep(&mut self, octets: &[u8], too_big: bool) {
        if let Some(from) = &mut self.from {
            from.scan(octets);
        }
        let Ok(incoming) = &mut self.incoming else { return };
        if too_big {
            self.incoming = Err(Discarded::TooBig);
        } else if let Err(error) = incoming.push(octets).await {
            self.incoming = Err(Discarded::NotStored(error));
        }
    }
}
