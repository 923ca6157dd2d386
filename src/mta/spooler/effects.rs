//! Carries out what a walk says.
//!
//! **The order.** First what may be repeated without harm, since its name follows from the message: copies in repositories and
//! folders. Where that fails nothing else was done, and the mail is tried again as it is. Then new mail, then the mailboxes,
//! then children for what is left; each is durable before the next is begun, and a child's record resolves the places that
//! come to their end with it. What ended otherwise is noted at last.

use std::collections::HashMap;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use super::super::content;
use super::children::Child;
use super::mailbox::Copy;
use super::{Attempt, Fate, Purpose, Resolved};
use crate::delivery::Delivered;
use crate::delivery::repository::label::{Attribute, Label};
use crate::directory::user_of;
use crate::io::Machine;
use crate::mail::Mailbox;
use crate::mailet::container::Container;
use crate::mailet::effect::{Beside, Drop, Effect, End, Left, NewMail};
use crate::mailet::mail::{Form, Recipient, Value};
use crate::spool::{Outcome, OutcomeResult};

/// What the days of an answer are counted in.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Recipients that come to the same end.
pub(super) struct Ending {
    pub recipients: Vec<Recipient>,
    pub form: Form,
    pub left: Left,
}

/// A mail that is sent unless one like it was, not long ago.
struct Once {
    user: Mailbox,
    key: [u8; 32],
    days: u64,
    new: NewMail,
}

/// What a walk says, sorted by when it is done.
pub(super) struct Ends {
    error_repository: Rc<str>,
    copies: Vec<(Vec<Recipient>, Form, Rc<str>)>,
    files: Vec<(Recipient, Form)>,
    sends: Vec<NewMail>,
    once: Vec<Once>,
    kept: Vec<(Ending, Rc<str>)>,
    dropped: Vec<(Ending, Drop)>,
    mailboxes: Vec<Ending>,
    remotes: Vec<(Ending, u16)>,
    lmtps: Vec<(Ending, u16)>,
    again: Vec<(Ending, Rc<str>, bool)>,
    told: Vec<Beside>,
    /// Nothing was said but one end for all.
    is_single: bool,
}

/// What is still to come of the recipients of an envelope, by their places. The rewrite table may put several recipients into
/// one's place, which is resolved with the last of them.
pub(super) struct Open {
    counts: HashMap<u32, u32>,
    /// Places of which some recipient has come to an end that is not to be repeated.
    begun: HashMap<u32, OutcomeResult>,
    /// Proofs for a client, of the places that are resolved.
    delivered: HashMap<u32, Delivered>,
    /// Places that are tried again as they are, and why.
    put_off: HashMap<u32, Box<str>>,
    /// New mail was made.
    pub sent: bool,
}

impl Ends {
    /// Sorts them.
    pub fn of(container: &Container, effects: Vec<Effect>) -> Ends {
        let is_single = effects.len() == 1;
        let error_repository = Rc::from(&*container.pipeline().error_repository);
        let (copies, files, sends, once, kept, dropped) = Default::default();
        let (mailboxes, remotes, lmtps, again, told) = Default::default();
        let mut ends = Ends {
            error_repository,
            copies,
            files,
            sends,
            once,
            kept,
            dropped,
            mailboxes,
            remotes,
            lmtps,
            again,
            told,
            is_single,
        };
        for effect in effects {
            match effect {
                Effect::Beside(Beside::Copy { recipients, form, repository }) => {
                    ends.copies.push((recipients, form, repository));
                }
                Effect::Beside(Beside::File { recipient, form }) => ends.files.push((recipient, form)),
                Effect::Beside(Beside::Send(new)) => ends.sends.push(*new),
                Effect::Beside(Beside::SendOnce { user, key, days, new }) => {
                    ends.once.push(Once { user, key, days, new: *new });
                }
                Effect::Beside(told) => ends.told.push(told),
                Effect::End { recipients, form, end, left } => {
                    let ending = Ending { recipients, form, left };
                    match end {
                        End::Mailbox => ends.mailboxes.push(ending),
                        End::Lmtp(settings) => ends.lmtps.push((ending, settings)),
                        End::Remote(settings) => ends.remotes.push((ending, settings)),
                        End::Repository(url) => ends.kept.push((ending, url)),
                        End::Drop(why) => ends.dropped.push((ending, why)),
                        End::Again { why, counts } => ends.again.push((ending, why, counts)),
                    }
                }
            }
        }
        ends
    }

    fn endings(&self) -> impl Iterator<Item = &Ending> {
        let kept = self.kept.iter().map(|(ending, _)| ending);
        let dropped = self.dropped.iter().map(|(ending, _)| ending);
        let out = self.remotes.iter().chain(&self.lmtps).map(|(ending, _)| ending);
        let again = self.again.iter().map(|(ending, ..)| ending);
        kept.chain(dropped).chain(&self.mailboxes).chain(out).chain(again)
    }

    /// Does all of it.
    pub async fn carry_out<M: Machine>(self, attempt: &mut Attempt<'_, M>) {
        let mut open = Open::of(self.endings());
        if let Err(error) = self.keep(attempt).await {
            return open.put_all_off(attempt, &error);
        }
        self.tell(attempt);
        for new in &self.sends {
            if let Err(error) = attempt.send(new).await {
                return open.put_all_off(attempt, &error);
            }
            open.sent = true;
        }
        for Once { user, key, days, new } in &self.once {
            let time = DAY.saturating_mul(u32::try_from(*days).unwrap_or(u32::MAX));
            let claimed = attempt.spooler.maildirs.claim_answer(&user_of(user), key, time).await;
            let sent = match claimed {
                Ok(true) => attempt.send(new).await.map(drop),
                Ok(false) => continue,
                Err(error) => Err(error),
            };
            if let Err(error) = sent {
                return open.put_all_off(attempt, &error);
            }
            open.sent = true;
        }
        for (ending, url) in &self.kept {
            attempt.note_kept(&ending.recipients, url);
            ending.recipients.iter().for_each(|one| open.end(one.place, OutcomeResult::Delivered));
        }
        for (ending, why) in &self.dropped {
            for recipient in &ending.recipients {
                attempt.note_dropped(&recipient.mailbox, Some(*why));
                open.end(recipient.place, OutcomeResult::Removed);
            }
        }
        let Ends { mailboxes, remotes, lmtps, again, error_repository, is_single, .. } = self;
        let mut late = Vec::new();
        for ending in mailboxes {
            late.extend(attempt.fill(ending, &mut open, is_single).await);
        }
        let children = remotes.into_iter().map(|(ending, settings)| Child::remote(ending, settings));
        let children = children.chain(lmtps.into_iter().map(|(ending, settings)| Child::lmtp(ending, settings)));
        let children: Vec<Child> = children.chain(late).collect();
        for child in children {
            attempt.pass_on(child, &error_repository, &mut open).await;
        }
        for (ending, why, counts) in again {
            attempt.begin_again(ending, &why, counts, is_single, &error_repository, &mut open).await;
        }
        open.close(attempt);
    }

    /// What may be repeated without harm: what is kept, and what goes into further folders.
    async fn keep<M: Machine>(&self, attempt: &Attempt<'_, M>) -> io::Result<()> {
        for (recipients, form, repository) in &self.copies {
            attempt.keep(repository, recipients, form, None).await?;
            attempt.note_kept(recipients, repository);
        }
        for (ending, url) in &self.kept {
            attempt.keep(url, &ending.recipients, &ending.form, Some(&ending.left)).await?;
        }
        for (recipient, form) in &self.files {
            attempt.put(&Copy::of(recipient, form)).await?;
        }
        Ok(())
    }

    fn tell<M: Machine>(&self, attempt: &Attempt<'_, M>) {
        for told in &self.told {
            match told {
                Beside::Log(line) => attempt.note_mailet(line),
                Beside::Count(metric) => attempt.spooler.settings.metrics.count(metric),
                Beside::Send(_) | Beside::SendOnce { .. } | Beside::Copy { .. } | Beside::File { .. } => {}
            }
        }
    }
}

impl Open {
    fn of<'a>(endings: impl Iterator<Item = &'a Ending>) -> Open {
        let mut counts = HashMap::new();
        endings.flat_map(|ending| &ending.recipients).for_each(|one| *counts.entry(one.place).or_insert(0) += 1);
        Open { counts, begun: HashMap::new(), delivered: HashMap::new(), put_off: HashMap::new(), sent: false }
    }

    /// One recipient of a place has come to an end that is recorded with those of the others. One that somebody gets says more
    /// than one that nobody does.
    pub fn end(&mut self, place: u32, result: OutcomeResult) {
        if let Some(count) = self.counts.get_mut(&place) {
            *count = count.saturating_sub(1);
        }
        let known = self.begun.entry(place).or_insert_with(|| result.clone());
        if *known == OutcomeResult::Removed {
            *known = result;
        }
    }

    /// It is in the mailbox.
    pub fn deliver(&mut self, place: u32, delivered: Delivered) {
        self.end(place, OutcomeResult::Delivered);
        self.delivered.insert(place, delivered);
    }

    /// The places that come to their end once these recipients have.
    pub fn last_of(&self, recipients: &[Recipient]) -> Vec<u32> {
        let mut own: HashMap<u32, u32> = HashMap::new();
        recipients.iter().for_each(|one| *own.entry(one.place).or_insert(0) += 1);
        let is_last = |(place, count): &(u32, u32)| self.counts.get(place).is_some_and(|left| left <= count);
        let mut places: Vec<u32> = own.into_iter().filter(is_last).map(|(place, _)| place).collect();
        places.retain(|place| !self.put_off.contains_key(place));
        places.sort_unstable();
        places
    }

    /// Whether nothing was done for this place that would be repeated.
    pub fn is_untouched(&self, place: u32) -> bool {
        !self.sent && !self.begun.contains_key(&place) && self.counts.get(&place) == Some(&1)
    }

    /// The place is tried again as it is, whatever was done for it.
    pub fn put_off(&mut self, place: u32, why: &str) {
        self.put_off.entry(place).or_insert_with(|| why.into());
    }

    fn put_all_off<M: Machine>(mut self, attempt: &mut Attempt<'_, M>, error: &dyn std::fmt::Display) {
        let places: Vec<u32> = self.counts.keys().copied().collect();
        places.into_iter().for_each(|place| self.put_off(place, &error.to_string()));
        self.close(attempt);
    }

    /// What became of each place, so far as no child's record says it already.
    fn close<M: Machine>(mut self, attempt: &mut Attempt<'_, M>) {
        let envelope = &attempt.stored.message.envelope;
        let mut places: Vec<u32> = self.counts.keys().copied().collect();
        places.sort_unstable();
        for place in places {
            if let Some(why) = self.put_off.remove(&place) {
                if let Some(recipient) = envelope.recipients.get(place as usize) {
                    attempt.note_failed(recipient, &why);
                }
                attempt.failed(place, &why);
                continue;
            }
            if let Some(result) = self.begun.remove(&place).filter(|_| self.counts.get(&place) == Some(&0)) {
                attempt.outcomes.push(Outcome { recipient: place, result });
            }
            if attempt.purpose != Purpose::Queue {
                let fate = match self.delivered.remove(&place) {
                    Some(delivered) => Fate::Delivered(delivered),
                    None => Fate::Resolved(Resolved(())),
                };
                attempt.fates.push((place, fate));
            }
        }
    }

    /// A child's record says that these recipients have come to their end.
    pub fn taken(&mut self, recipients: &[Recipient], places: &[u32]) {
        for recipient in recipients {
            if let Some(count) = self.counts.get_mut(&recipient.place) {
                *count = count.saturating_sub(1);
            }
            self.begun.entry(recipient.place).or_insert(OutcomeResult::Delivered);
        }
        // With its record they are resolved: nothing more is to be noted of them.
        places.iter().for_each(|place| drop(self.begun.remove(place)));
    }
}

impl<M: Machine> Attempt<'_, M> {
    /// Keeps the mail in a repository: durable when this ends well.
    pub(super) async fn keep(
        &self,
        url: &str,
        recipients: &[Recipient],
        form: &Form,
        left: Option<&Left>,
    ) -> io::Result<()> {
        let (spooler, journey) = (self.spooler, self.journey);
        let attributes = left.map_or(&journey.attributes, |left| &left.attributes);
        let value = |value: &Value| match value {
            Value::Text(text) => Attribute::Text(text.to_string()),
            Value::Flag(flag) => Attribute::Flag(*flag),
            Value::Number(number) => Attribute::Number(*number),
        };
        let label = Label {
            envelope: self.envelope_for(recipients),
            kept_at: spooler.machine.wall_clock(),
            state: left.map(|left| Box::from(&*left.state)),
            error: left.and_then(|left| left.error.as_deref()).map(Box::from),
            failures: journey.failures,
            made_here: journey.made_here,
            attributes: attributes.iter().map(|(name, own)| (name.to_owned(), value(own))).collect(),
        };
        let mut keeping = spooler.repositories.begin(url, label).await?;
        let push = async |slice: &[u8]| keeping.push(slice).await;
        match content::plain(&spooler.spool, self.stored, &form.edits, &form.body, push).await {
            Ok(()) => keeping.finish().await.map(drop),
            Err(error) => {
                keeping.abandon().await;
                Err(error)
            }
        }
    }

    /// Brings the mail into mailboxes. Who was not reached is put off, where nothing else was done for it; else it is left to a
    /// child, so that what was done is not repeated.
    async fn fill(&mut self, ending: Ending, open: &mut Open, is_single: bool) -> Option<Child> {
        let Ending { recipients, form, left } = ending;
        let (mut late, mut why) = (Vec::new(), String::new());
        for recipient in recipients {
            match self.put(&Copy::of(&recipient, &form)).await {
                Ok(delivered) => {
                    self.note_delivery(&recipient.mailbox, Ok(()));
                    open.deliver(recipient.place, delivered);
                }
                Err(error) => {
                    let as_it_came = is_single && form == Form::default() && recipient.folder.is_none();
                    let untouched = open.is_untouched(recipient.place);
                    if untouched && (as_it_came || self.purpose != Purpose::Queue) {
                        open.put_off(recipient.place, &error.to_string());
                    } else {
                        self.note_deferred(&recipient.mailbox, "4.2.0", &error);
                        why = error.to_string();
                        late.push(recipient);
                    }
                }
            }
        }
        (!late.is_empty()).then(|| Child::late(Ending { recipients: late, form, left }, &why))
    }
}
