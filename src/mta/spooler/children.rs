//! Messages that take over what is left of another: what goes to other hosts, one for each destination, and what is tried again
//! although something was done already.
//!
//! A child's record is durable before it is handed on, and resolves the parent's places that come to their end with it.

use std::collections::HashMap;

use super::super::destination::Destination;
use super::super::journey::{Journey, Route, SettingsName, TooLong};
use super::effects::{Ending, Open};
use super::{Attempt, Purpose};
use crate::io::Machine;
use crate::mail::{Domain, Envelope, MessageId};
use crate::mailet::edit::Edits;
use crate::mailet::mail::{Body, Form, Recipient};
use crate::smtp::data::BodyScanner;
use crate::spool::record::{Fields, Origin};
use crate::spool::{Outcome, StoreError};

/// Recipients of one child: with the longest addresses its envelope fits a record.
const RECIPIENTS_MAX: usize = 1000;

/// What is left to a child.
pub(super) struct Child {
    ending: Ending,
    to: To,
}

/// Where it goes.
enum To {
    /// To other hosts, with these settings.
    Remote(u16),
    /// By LMTP, with these settings.
    Lmtp(u16),
    /// Into mailboxes that could not be reached.
    Mailbox(Box<str>),
    /// Once more into the container.
    Container {
        /// Why.
        why: Box<str>,
        /// Whether that is a failure of the mail.
        counts: bool,
    },
}

/// Why there is no child.
#[derive(Debug, thiserror::Error)]
enum Unmade {
    #[error(transparent)]
    TooLong(#[from] TooLong),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Child {
    pub fn remote(ending: Ending, settings: u16) -> Child {
        Child { ending, to: To::Remote(settings) }
    }

    pub fn lmtp(ending: Ending, settings: u16) -> Child {
        Child { ending, to: To::Lmtp(settings) }
    }

    /// For those whose mailboxes could not be reached.
    pub fn late(ending: Ending, why: &str) -> Child {
        Child { ending, to: To::Mailbox(why.into()) }
    }
}

impl<M: Machine> Attempt<'_, M> {
    /// Has children made, one for each destination.
    pub(super) async fn pass_on(&mut self, child: Child, error_repository: &str, open: &mut Open) {
        let Child { ending: Ending { recipients, form, left }, to } = child;
        let settings = &self.spooler.settings;
        let route = match &to {
            To::Remote(place) => settings.remotes.get(usize::from(*place)).map(|remote| Route::Remote(remote.name)),
            To::Lmtp(place) => settings.lmtps.get(usize::from(*place)).map(|name| Route::Lmtp(*name)),
            To::Mailbox(_) => Some(Route::Mailbox),
            To::Container { .. } => None,
        };
        let failed = matches!(to, To::Container { counts: true, .. });
        let journey = Journey {
            route,
            state: route.is_none().then(|| Box::from(&*left.state)),
            error: left.error.as_deref().map(Box::from),
            failures: self.journey.failures.saturating_add(u32::from(failed)),
            attributes: left.attributes.clone(),
            edits: Edits::clone(&form.edits),
            folders: Vec::new(),
            made_here: self.journey.made_here,
        };
        // Content that was changed is written once: it is parted when the child's turn comes.
        let mut groups: Vec<Vec<Recipient>> = match (route, &form.body) {
            (Some(route), Body::Original) => {
                self.by_destination(route, recipients).into_iter().map(|(_, group)| group).collect()
            }
            _ => in_chunks(recipients),
        };
        groups.reverse();
        while let Some(group) = groups.pop() {
            let places = open.last_of(&group);
            let count = group.len();
            match self.make(&group, places.clone(), journey.clone(), &form.body).await {
                Ok(id) => {
                    open.taken(&group, &places);
                    self.note_child(&id, count, &to);
                    self.send_off(id, &to, &group, &form);
                    self.settle(id, count, &to).await;
                }
                Err(Unmade::TooLong(_)) if count > 1 => {
                    let mut first = group;
                    let second = first.split_off(count / 2);
                    groups.extend([second, first]);
                }
                Err(Unmade::TooLong(error)) => {
                    // Nobody could see it through as it is; so it is kept as it is.
                    match self.keep(error_repository, &group, &form, Some(&left)).await {
                        Ok(()) => {
                            self.note_mailet(&error.to_string());
                            self.note_kept(&group, error_repository);
                            group.iter().for_each(|one| open.end(one.place, crate::spool::OutcomeResult::Delivered));
                        }
                        Err(error) => group.iter().for_each(|one| open.put_off(one.place, &error.to_string())),
                    }
                }
                Err(Unmade::Store(error)) => group.iter().for_each(|one| open.put_off(one.place, &error.to_string())),
            }
        }
    }

    /// Begins the walk again for these, later: as the message is where nothing was done of it, else with a child.
    pub(super) async fn begin_again(
        &mut self,
        ending: Ending,
        why: &str,
        counts: bool,
        is_single: bool,
        error_repository: &str,
        open: &mut Open,
    ) {
        let untouched = ending.recipients.iter().all(|one| open.is_untouched(one.place));
        let is_clients = self.purpose != Purpose::Queue && untouched;
        if is_clients || is_single && !counts {
            return ending.recipients.iter().for_each(|one| open.put_off(one.place, why));
        }
        ending.recipients.iter().for_each(|one| self.note_deferred(&one.mailbox, "4.3.0", &why));
        let to = To::Container { why: why.into(), counts };
        self.pass_on(Child { ending, to }, error_repository, open).await;
    }

    /// Whether there is such a way any more.
    pub(super) fn leads_out(&self, route: Route) -> bool {
        match route {
            Route::Mailbox => false,
            Route::Remote(name) => name.find(&self.remote_names()).is_some(),
            Route::Lmtp(name) => name.find(&self.spooler.settings.lmtps).is_some(),
        }
    }

    /// Hands a message on whose journey says that it leaves; true where it is all one destination's. Else there is now a child
    /// for each.
    pub(super) async fn hand_over(&mut self, places: &[u32], route: Route) -> bool {
        let envelope = &self.stored.message.envelope;
        let recipients = places
            .iter()
            .filter_map(|place| Some(Recipient::new(*place, envelope.recipients.get(*place as usize)?.clone())));
        let groups = self.by_destination(route, recipients.collect());
        if let [(Some(destination), _)] = groups.as_slice() {
            (self.spooler.leave)(envelope.id, destination.clone());
            return true;
        }
        for (destination, group) in groups {
            let places: Vec<u32> = group.iter().map(|one| one.place).collect();
            let made = self.make(&group, places.clone(), self.journey.clone(), &Body::Original).await;
            match (made, destination) {
                (Ok(id), Some(destination)) => {
                    self.note_child(&id, group.len(), &destination);
                    (self.spooler.leave)(id, destination);
                }
                (Ok(id), None) => self.spooler.spool.schedule(id, 0),
                (Err(error), _) => places.iter().for_each(|place| self.failed(*place, &error.to_string())),
            }
        }
        false
    }

    fn remote_names(&self) -> Vec<SettingsName> {
        self.spooler.settings.remotes.iter().map(|remote| remote.name).collect()
    }

    /// Recipients by where their mail goes, as many at a time as one child may have.
    fn by_destination(&self, route: Route, recipients: Vec<Recipient>) -> Vec<(Option<Destination>, Vec<Recipient>)> {
        let of_all = |destination: Option<Destination>, recipients| {
            in_chunks(recipients).into_iter().map(move |chunk| (destination.clone(), chunk)).collect()
        };
        let settings = &self.spooler.settings;
        match route {
            Route::Mailbox => of_all(None, recipients),
            Route::Lmtp(name) => of_all(name.find(&settings.lmtps).map(Destination::Lmtp), recipients),
            Route::Remote(name) => {
                let Some(remote) = name.find(&self.remote_names()) else { return of_all(None, recipients) };
                if settings.remotes.get(usize::from(remote)).is_some_and(|remote| remote.gateways) {
                    return of_all(Some(Destination::Gateways { remote }), recipients);
                }
                let mut groups: Vec<(Domain, Vec<Recipient>)> = Vec::new();
                let mut places: HashMap<String, usize> = HashMap::new();
                for recipient in recipients {
                    let domain = recipient.mailbox.domain();
                    let key = domain.to_string().to_lowercase();
                    let place = *places.entry(key).or_insert_with(|| {
                        groups.push((domain.clone(), Vec::new()));
                        groups.len() - 1
                    });
                    if let Some((_, group)) = groups.get_mut(place) {
                        group.push(recipient);
                    }
                }
                let parted = groups.into_iter().flat_map(|(domain, group)| {
                    let destination = Some(Destination::Domain { remote, domain });
                    in_chunks(group).into_iter().map(move |chunk| (destination.clone(), chunk))
                });
                parted.collect()
            }
        }
    }

    /// The parent's envelope for these recipients, under its id.
    pub(super) fn envelope_for(&self, recipients: &[Recipient]) -> Envelope {
        let places: Vec<u32> = recipients.iter().map(|one| one.place).collect();
        let mut envelope = self.stored.message.envelope.for_places(&places);
        envelope.recipients = recipients.iter().map(|one| one.mailbox.clone()).collect();
        envelope
    }

    /// Makes a child that takes these places over.
    async fn make(
        &self,
        recipients: &[Recipient],
        places: Vec<u32>,
        mut journey: Journey,
        body: &Body,
    ) -> Result<MessageId, Unmade> {
        let spool = &self.spooler.spool;
        journey.folders = recipients.iter().map(|one| one.folder.clone()).collect();
        while journey.folders.last().is_some_and(Option::is_none) {
            journey.folders.pop();
        }
        let notes = journey.encode()?;
        let mut envelope = self.envelope_for(recipients);
        envelope.id = (self.spooler.next_id)();
        match body {
            Body::Original => {
                spool.derive(self.stored, places, &envelope, notes).await?;
            }
            Body::Changed(content) => {
                let origin = Some(Origin { parent: self.stored.message.envelope.id, places });
                let mut scanner = BodyScanner::new();
                scanner.scan(content);
                let mut incoming = spool.incoming_with(envelope.clone(), Fields { origin, notes, ..Fields::default() });
                incoming.push(content).await?;
                incoming.commit(&scanner.content()).await?;
            }
        }
        Ok(envelope.id)
    }

    /// Gives a child that leaves to the lane of its destination.
    fn send_off(&self, id: MessageId, to: &To, group: &[Recipient], form: &Form) {
        let settings = &self.spooler.settings;
        let domain = group.first().map(|one| one.mailbox.domain().clone());
        let destination = match to {
            To::Mailbox(_) | To::Container { .. } => return,
            _ if form.body != Body::Original => return self.spooler.spool.schedule(id, 0),
            To::Lmtp(settings) => Some(Destination::Lmtp(*settings)),
            To::Remote(remote) => match settings.remotes.get(usize::from(*remote)) {
                Some(own) if own.gateways => Some(Destination::Gateways { remote: *remote }),
                _ => domain.map(|domain| Destination::Domain { remote: *remote, domain }),
            },
        };
        match destination {
            Some(destination) => (self.spooler.leave)(id, destination),
            None => self.spooler.spool.schedule(id, 0),
        }
    }

    /// Lets a child wait that is tried again later.
    async fn settle(&self, id: MessageId, count: usize, to: &To) {
        let (To::Mailbox(why) | To::Container { why, .. }) = to else { return };
        self.spooler.deferred.set(self.spooler.deferred.get() + count as u64);
        let result = self.spooler.deferral(self.journey.failures.saturating_add(1), why);
        let outcome = |recipient| Outcome { recipient, result: result.clone() };
        self.spooler.resolve(id, &(0..count as u32).map(outcome).collect::<Vec<_>>()).await;
    }
}

impl std::fmt::Display for To {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            To::Remote(_) => "remote",
            To::Lmtp(_) => "lmtp",
            To::Mailbox(_) => "mailbox",
            To::Container { .. } => "container",
        })
    }
}

fn in_chunks(mut recipients: Vec<Recipient>) -> Vec<Vec<Recipient>> {
    let mut chunks = Vec::with_capacity(recipients.len().div_ceil(RECIPIENTS_MAX));
    while recipients.len() > RECIPIENTS_MAX {
        let rest = recipients.split_off(RECIPIENTS_MAX);
        chunks.push(std::mem::replace(&mut recipients, rest));
    }
    if !recipients.is_empty() {
        chunks.push(recipients);
    }
    chunks
}
