//! What becomes of a message's recipients at one attempt: judged, written down, and followed by what follows from it.
//!
//! What is final is noted at once, before anything else is done with the connection; what is put off is noted at the end, for it
//! lets the message go. A child or a report is on stable storage together with the outcome that it stands for.

use std::fmt::Display;
use std::time::Duration;

use super::State;
use super::destination::{Element, LaneKey};
use super::message::Message;
use super::reach::{Relay, reply_code};
use super::report::{self, Kind};
use crate::control::journal::Level;
use crate::delivery::judge::{GivenUp, Heard, Sentence, Terms, WARNED_AFTER, judge, warns};
use crate::delivery::lane::Finding;
use crate::delivery::schedule::Schedule;
use crate::io::Machine;
use crate::mail::{ByMode, Notify};
use crate::mailet::compose::status::Status;
use crate::mailet::mail::{DELIVERY_ERROR, DELIVERY_ERROR_CODE, DELIVERY_HOST, DELIVERY_PERMANENT, Value};
use crate::mta::journey::Journey;
use crate::smtp::client::transaction::Care;
use crate::spool::progress::Pending;
use crate::spool::{Outcome, OutcomeResult, StoreError};

/// How long a recipient waits whose report could not be stored.
const NOT_STORED: Duration = Duration::from_secs(300);

/// Octets of a reason that are kept.
const REASON_MAX: usize = 250;

/// What was heard of a recipient, and what follows.
#[derive(Clone, Debug)]
pub(super) struct Judged {
    pub place: u32,
    pub attempts: u32,
    pub text: Box<str>,
    pub sentence: Sentence,
}

/// All that is told of a message at one attempt.
pub(super) struct Told<'a, M: Machine> {
    state: &'a State<M>,
    element: Option<Element<'a>>,
    message: &'a Message,
    /// What is put off.
    later: Vec<Outcome>,
}

/// For mail whose settings are not in the file any more: it waits for them.
fn no_schedule() -> &'static Schedule {
    static NONE: std::sync::LazyLock<Schedule> = std::sync::LazyLock::new(Schedule::default);
    &NONE
}

impl<'a, M: Machine> Told<'a, M> {
    /// Nothing was told yet.
    pub fn new(state: &'a State<M>, key: &LaneKey, message: &'a Message) -> Told<'a, M> {
        Told { state, element: Element::of(&state.settings, &key.destination), message, later: Vec::new() }
    }

    fn schedule(&self) -> &'a Schedule {
        match self.element {
            Some(element) => element.schedule(),
            None => no_schedule(),
        }
    }

    /// Whether it is too late for the message.
    pub fn expired(&self) -> bool {
        self.message.expires().is_some_and(|expires| expires <= self.state.machine.wall_clock())
    }

    /// The recipients were not tried, and wait until then; that does not count.
    pub fn not_before(&mut self, until: Duration, finding: &Finding) {
        let wait = until.saturating_sub(self.state.machine.now());
        let not_before = self.state.machine.wall_clock().saturating_add(wait.as_micros() as u64);
        for pending in &self.message.due {
            let again = Again { wait, attempts: pending.attempts };
            self.note_deferred(pending.place, &finding.why, None, again);
            self.later.push(deferred(pending.place, not_before, pending.attempts, &finding.why));
        }
    }

    /// The same was heard of all of these.
    pub async fn all(&mut self, recipients: &[Pending], heard: &Heard, relay: Option<&Relay>) {
        let ones = recipients.iter().map(|pending| (pending.clone(), heard.clone()));
        self.some(ones.collect(), relay).await;
    }

    /// That was heard of these.
    pub async fn some(&mut self, ones: Vec<(Pending, Heard)>, relay: Option<&Relay>) {
        let terms = Terms {
            schedule: self.schedule(),
            dns_retries: self.element.map_or(u32::MAX, Element::dns_retries),
            now: self.state.machine.wall_clock(),
            expires: self.message.expires(),
        };
        let (mut sent, mut given_up, mut again) = (Vec::new(), Vec::new(), Vec::new());
        for (pending, heard) in ones {
            let sentence = judge(&heard, pending.attempts, terms);
            let (Heard::Taken { said: text, .. } | Heard::Later(text) | Heard::Never(text) | Heard::Nobody(text)) =
                heard;
            let one = Judged { place: pending.place, attempts: pending.attempts, text, sentence };
            match one.sentence {
                Sentence::Sent(_) => sent.push(one),
                Sentence::Again { .. } => again.push(one),
                Sentence::GivenUp(_) => given_up.push(one),
            }
        }
        if !sent.is_empty() {
            self.sent(&sent, relay).await;
        }
        if !given_up.is_empty() {
            self.given_up(given_up, relay).await;
        }
        if !again.is_empty() {
            self.again(&again, relay).await;
        }
    }

    async fn sent(&mut self, sent: &[Judged], relay: Option<&Relay>) {
        for one in sent {
            self.note("sent", Level::Info, one.place, &one.text, relay, None);
        }
        self.state.sent.set(self.state.sent.get() + sent.len() as u64);
        let places: Vec<u32> = sent.iter().map(|one| one.place).collect();
        let envelope = &self.message.stored.message.envelope;
        let (traced, timed) = envelope.deliver_by.map_or((false, false), |by| (by.trace, by.mode == ByMode::Notify));
        let cares = |asked: fn(Care) -> bool| {
            sent.iter().all(|one| matches!(one.sentence, Sentence::Sent(care) if asked(care)))
        };
        // All of them were handed over in one session.
        let (reports, untimed) = (cares(|care| care.reports), timed && !cares(|care| care.keeps_time));
        let told = |one: &&Judged| {
            let notify = envelope.notify(one.place as usize);
            notify.success && !reports || (traced || untimed) && notify != Notify::NEVER
        };
        let told: Vec<&Judged> = sent.iter().filter(told).collect();
        let kind = match reports {
            false => Kind::Relayed,
            true if untimed => Kind::Untimed,
            true => Kind::Traced,
        };
        let on_success = self.element.and_then(Element::on_success);
        let noted = match on_success {
            Some(processor) => self.child(&places, self.journey(processor)).await.is_ok(),
            None => self.report_beside(&told, relay, kind, places.clone()).await,
        };
        if !noted {
            // It was taken, whatever else cannot be done: sent again, it would be there twice.
            self.resolve(&places.iter().map(|place| done(*place)).collect::<Vec<_>>()).await;
        }
        if on_success.is_some() {
            // The outcome is in the child's record already: a crash before this costs the report.
            self.report_beside(&told, relay, kind, Vec::new()).await;
        }
    }

    async fn given_up(&mut self, mut given_up: Vec<Judged>, relay: Option<&Relay>) {
        for one in &mut given_up {
            if matches!(one.sentence, Sentence::GivenUp(GivenUp::TooOften)) {
                one.text = format!("{} (given up after {} attempts)", one.text, one.attempts.saturating_add(1)).into();
            }
        }
        let stored = match self.element.and_then(Element::bounce_processor) {
            _ if !self.message.has_sender() => self.without_report(&given_up).await,
            Some(processor) => self.to_processor(&given_up, relay, processor).await,
            None => self.reported(&given_up, relay).await,
        };
        match stored {
            Ok(()) => {
                for one in &given_up {
                    self.note("bounced", Level::Info, one.place, &one.text, relay, None);
                }
                self.state.bounced.set(self.state.bounced.get() + given_up.len() as u64);
            }
            Err(error) => {
                let text = format!("4.3.0 the report could not be stored: {error} (it says: {})", given_up[0].text);
                let not_before = self.state.machine.wall_clock().saturating_add(NOT_STORED.as_micros() as u64);
                for one in &given_up {
                    let again = Again { wait: NOT_STORED, attempts: one.attempts };
                    self.note_deferred(one.place, &text, relay, again);
                    self.later.push(deferred(one.place, not_before, one.attempts, &text));
                }
            }
        }
    }

    /// There is nobody to report to.
    async fn without_report(&self, given_up: &[Judged]) -> Result<(), StoreError> {
        self.resolve(&given_up.iter().map(|one| done(one.place)).collect::<Vec<_>>()).await;
        Ok(())
    }

    /// They go on in a processor, those together of whom the same was said.
    async fn to_processor(
        &self,
        given_up: &[Judged],
        relay: Option<&Relay>,
        processor: &str,
    ) -> Result<(), StoreError> {
        let mut rest: Vec<&Judged> = given_up.iter().collect();
        while let Some(first) = rest.first().copied() {
            let same: Vec<&Judged>;
            (same, rest) = rest.into_iter().partition(|one| one.text == first.text);
            let mut journey = self.journey(processor);
            journey.error = Some(first.text.clone());
            let permanent = matches!(first.sentence, Sentence::GivenUp(GivenUp::Refused));
            let attributes = &mut journey.attributes;
            attributes.set(DELIVERY_ERROR, Value::Text(first.text.clone()));
            attributes.set(DELIVERY_PERMANENT, Value::Flag(permanent));
            match relay.and_then(|relay| relay.that_said(&first.text)) {
                Some(host) => attributes.set(DELIVERY_HOST, Value::Text(host.into())),
                None => attributes.remove(DELIVERY_HOST),
            }
            match reply_code(&first.text) {
                Some(code) => attributes.set(DELIVERY_ERROR_CODE, Value::Number(i64::from(code))),
                None => attributes.remove(DELIVERY_ERROR_CODE),
            }
            let places: Vec<u32> = same.iter().map(|one| one.place).collect();
            self.child(&places, journey).await?;
        }
        Ok(())
    }

    /// The sender is told of those that it wants to hear of.
    async fn reported(&self, given_up: &[Judged], relay: Option<&Relay>) -> Result<(), StoreError> {
        let envelope = &self.message.stored.message.envelope;
        let wanted: Vec<&Judged> = given_up.iter().filter(|one| envelope.notify(one.place as usize).failure).collect();
        let places: Vec<u32> = given_up.iter().map(|one| one.place).collect();
        match self.report(&wanted, relay, Kind::Failed, places).await? {
            true => Ok(()),
            false => self.without_report(given_up).await,
        }
    }

    async fn again(&mut self, again: &[Judged], relay: Option<&Relay>) {
        let now = self.state.machine.wall_clock();
        for one in again {
            let Sentence::Again { at, attempts } = one.sentence else { continue };
            let wait = Duration::from_micros(at.saturating_sub(now));
            self.note_deferred(one.place, &one.text, relay, Again { wait, attempts });
            self.later.push(deferred(one.place, at, attempts, &one.text));
        }
        let envelope = &self.message.stored.message.envelope;
        let by = envelope.deliver_by.as_ref().filter(|by| by.mode == ByMode::Notify);
        let by = by.map(|by| Duration::from_micros(by.deadline.saturating_sub(envelope.received_at)));
        let warned = |one: &&Judged| {
            let notify = envelope.notify(one.place as usize);
            let late = |after: Duration| warns(self.schedule(), one.attempts, after);
            notify.delay && late(WARNED_AFTER) || notify != Notify::NEVER && by.is_some_and(late)
        };
        let warned: Vec<&Judged> = again.iter().filter(warned).collect();
        self.report_beside(&warned, relay, Kind::Delayed, Vec::new()).await;
    }

    /// Notes what is put off, and lets the message go.
    pub async fn finish(&mut self) {
        let stored = &self.message.stored;
        let id = stored.message.envelope.id;
        let due = |pending: &Pending| self.message.due.iter().any(|one| one.place == pending.place);
        let others = stored.progress.pending().into_iter().filter(|pending| !due(pending));
        let others = others.map(|pending| pending.not_before).min();
        let later = std::mem::take(&mut self.later);
        let put_off = later.iter().filter_map(|outcome| match outcome.result {
            OutcomeResult::Deferred { not_before, .. } => Some(not_before),
            _ => None,
        });
        let first = put_off.chain(others).min();
        if !later.is_empty() {
            self.resolve(&later).await;
        }
        if let (Some(first), Some(_)) = (first, others) {
            self.state.spool.schedule(id, first);
        }
    }

    async fn resolve(&self, outcomes: &[Outcome]) {
        let id = self.message.stored.message.envelope.id;
        if let Err(error) = self.state.spool.resolve(id, outcomes).await {
            let text = format!("{error}; it may be sent again after the next start");
            self.state.note(Level::Error, "outcome-not-noted", &[("id", &id), ("text", &text)]);
        }
    }

    /// The way that recipients take from here on.
    fn journey(&self, processor: &str) -> Journey {
        let before = &self.message.journey;
        Journey {
            state: Some(processor.into()),
            attributes: before.attributes.clone(),
            edits: before.edits.clone(),
            made_here: before.made_here,
            ..Journey::default()
        }
    }

    /// Makes a message of some recipients, which is due at once.
    async fn child(&self, places: &[u32], journey: Journey) -> Result<(), StoreError> {
        let parent = &self.message.stored;
        let mut envelope = parent.message.envelope.for_places(places);
        envelope.id = (self.state.next_id)();
        let notes = journey.encode().map_err(|_| StoreError::TooLarge)?;
        let committed = self.state.spool.derive(parent, places.to_vec(), &envelope, notes).await?;
        self.state.spool.schedule(committed.id(), 0);
        Ok(())
    }

    /// Reports on some recipients, if there are any and somebody to report to. The outcome of `places` is noted with it.
    async fn report(
        &self,
        on: &[&Judged],
        relay: Option<&Relay>,
        kind: Kind,
        places: Vec<u32>,
    ) -> Result<bool, StoreError> {
        if on.is_empty() || !self.message.has_sender() {
            return Ok(false);
        }
        report::send(self.state, self.message, on, relay, kind, places, self.schedule()).await.map(|()| true)
    }

    /// Reports what is no failure, and says whether the outcome of `places` is noted with that. Where it cannot be stored the
    /// sender is told less, and the operator of it.
    async fn report_beside(&self, on: &[&Judged], relay: Option<&Relay>, kind: Kind, places: Vec<u32>) -> bool {
        self.report(on, relay, kind, places).await.unwrap_or_else(|error| {
            let id = self.message.stored.message.envelope.id;
            self.state.note(Level::Warning, "report-not-stored", &[("id", &id), ("text", &error)]);
            false
        })
    }

    fn note_deferred(&self, place: u32, text: &str, relay: Option<&Relay>, again: Again) {
        self.state.deferred.set(self.state.deferred.get() + 1);
        self.note("deferred", Level::Info, place, text, relay, Some(again));
    }

    /// Writes down what became of a recipient.
    fn note(&self, name: &str, level: Level, place: u32, text: &str, relay: Option<&Relay>, again: Option<Again>) {
        let envelope = &self.message.stored.message.envelope;
        let Some(mailbox) = envelope.recipients.get(place as usize) else { return };
        let waited = self.state.machine.wall_clock().saturating_sub(envelope.received_at);
        let delay = format!("{}.{:03}", waited / 1_000_000, waited / 1000 % 1000);
        let class = match name {
            "sent" => 2,
            "deferred" => 4,
            _ => 5,
        };
        let dsn = Status::of_text(text, class);
        let (relay, tls) = relay.map_or(("none", "none"), |relay| (&*relay.name, &*relay.tls));
        let again_in = again.as_ref().map(|again| format!("{}s", again.wait.as_secs()));
        let attempts = again.as_ref().map(|again| again.attempts);
        let to = format_args!("<{mailbox}>");
        let mut fields: Vec<(&'static str, &dyn Display)> =
            vec![("id", &envelope.id), ("to", &to), ("relay", &relay), ("tls", &tls), ("delay", &delay), ("dsn", &dsn)];
        if let (Some(again_in), Some(attempts)) = (&again_in, &attempts) {
            fields.extend([("again_in", again_in as &dyn Display), ("attempts", attempts)]);
        }
        fields.push(("text", &text));
        self.state.note(level, name, &fields);
    }
}

/// When it is tried again, and how often it was.
#[derive(Clone, Copy)]
struct Again {
    wait: Duration,
    attempts: u32,
}

fn done(recipient: u32) -> Outcome {
    Outcome { recipient, result: OutcomeResult::Delivered }
}

fn deferred(recipient: u32, not_before: u64, attempts: u32, reason: &str) -> Outcome {
    let reason = reason[..reason.floor_char_boundary(REASON_MAX)].into();
    Outcome { recipient, result: OutcomeResult::Deferred { not_before, attempts, reason } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_tell_code_and_status() {
        assert_eq!(
            (reply_code("550 5.1.1 no"), reply_code("550-5.1.1 no"), reply_code("5.4.4 no host"), reply_code("")),
            (Some(550), Some(550), None, None)
        );
        let of = |text, class| Status::of_text(text, class).to_string();
        assert_eq!(of("550 5.1.1 no", 5), "5.1.1");
        assert_eq!(of("451 4.3.2 later (given up after 3 attempts)", 5), "5.3.2");
        assert_eq!(of("250 2.0.0 ok", 2), "2.0.0");
        assert_eq!(of("250 ok", 2), "2.0.0");
        assert_eq!(of("4.4.1 no connection", 4), "4.4.1");
        assert_eq!(of("what", 4), "4.0.0");
    }
}
