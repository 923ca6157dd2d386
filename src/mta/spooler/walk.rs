//! A mail's walk through the container, and the answers to what it asks.

use std::io;
use std::rc::Rc;

use super::super::content;
use super::effects::Ends;
use super::{Attempt, Purpose};
use crate::directory::{self, Answer as Known, Unavailable};
use crate::io::wait::Place;
use crate::io::{Aligned, Disk, File, Machine, Open};
use crate::mail::Mailbox;
use crate::mailet::container::{Container, Step, Walk};
use crate::mailet::effect::Effect;
use crate::mailet::mail::{AUTH_USER, Facts, Mail, Recipient, Value};
use crate::mailet::question::{Answer, Question, Rewritten, Whom};

/// Octets of a message up to which its content is read without a place for it.
const SMALL: u64 = 256 << 10;

/// The file in a user's Maildir that holds the active Sieve script, and its octets at most.
pub const SCRIPT: &str = "active.sieve";
/// A longer one is none.
pub const SCRIPT_MAX: u64 = 64 << 10;

impl<M: Machine> Attempt<'_, M> {
    /// Through the container with the recipients at these places.
    pub(super) async fn through(&mut self, container: &Container, places: &[u32]) {
        match self.purpose {
            Purpose::Client { split: true } => {
                for place in places {
                    self.walk(container, std::slice::from_ref(place)).await;
                }
            }
            _ => self.walk(container, places).await,
        }
    }

    async fn walk(&mut self, container: &Container, places: &[u32]) {
        let mail = self.mail(places);
        if mail.recipients.is_empty() {
            return;
        }
        let mut walk = container.walk(mail);
        // The room for a large content is held while anything that was made of it is.
        let (mut answer, mut room) = (None, None);
        let effects: Vec<Effect> = loop {
            match walk.go_on(answer.take()) {
                Step::Ask(question) => answer = Some(self.answer(&question, &walk, &mut room).await),
                Step::Done(effects) => break effects,
            }
        };
        Ends::of(container, effects).carry_out(self).await;
        drop(room);
    }

    /// The mail as the container sees it.
    fn mail(&self, places: &[u32]) -> Mail {
        let (envelope, journey) = (&self.stored.message.envelope, self.journey);
        let recipients = places.iter().filter_map(|place| {
            let mailbox = envelope.recipients.get(*place as usize)?.clone();
            Some(self.recipient(*place, mailbox))
        });
        let mut attributes = journey.attributes.clone();
        if let (Some(user), false) = (&envelope.client.user, journey.made_here) {
            attributes.set(AUTH_USER, Value::Text(user.as_str().into()));
        }
        let machine = &self.spooler.machine;
        let facts = Facts {
            id: envelope.id,
            received_at: envelope.received_at,
            now: machine.wall_clock(),
            reverse_path: envelope.reverse_path.clone(),
            client: (!journey.made_here).then(|| envelope.client.address.ip()),
            helo: Box::from(&*envelope.client.helo),
            size: self.stored.message.content.octets,
            envelope_id: envelope.dsn.envelope_id.clone(),
            ret: envelope.dsn.ret,
            failures: journey.failures,
            seed: machine.secret(),
        };
        Mail {
            facts,
            recipients: recipients.collect(),
            attributes,
            edits: journey.shared_edits(),
            state: journey.state.clone(),
            error: journey.error.as_deref().map(Rc::from),
        }
    }

    fn recipient(&self, place: u32, mailbox: Mailbox) -> Recipient {
        let envelope = &self.stored.message.envelope;
        let notify = envelope.notify(place as usize);
        let original = envelope.original(place as usize).map(Box::from);
        Recipient {
            notify,
            original,
            folder: self.journey.folder(place).map(Box::from),
            ..Recipient::new(place, mailbox)
        }
    }

    /// What the walk asks. Content is read where it is asked for, and no more of it than is wanted.
    async fn answer(&self, question: &Question, walk: &Walk<'_>, room: &mut Option<Place>) -> Answer {
        let (spooler, stored) = (self.spooler, self.stored);
        let unread = |error: io::Error| Answer::Unavailable(format!("the message could not be read: {error}").into());
        match question {
            Question::Header if !content::has_readable_header(stored) => Answer::TooBig,
            Question::Header => match content::header(&spooler.spool, stored).await {
                Ok(header) => Answer::Header(header.into()),
                Err(error) => unread(error),
            },
            Question::Content { most } => {
                if stored.message.content.octets > SMALL && room.is_none() {
                    *room = Some(spooler.contents.take().await);
                }
                match content::whole(&spooler.spool, stored, *most).await {
                    Ok(Some(content)) => Answer::Content(content.into()),
                    Ok(None) => Answer::TooBig,
                    Err(error) => unread(error),
                }
            }
            Question::BodyHash(how) => match content::body_hash(&spooler.spool, stored, *how).await {
                Ok(hash) => Answer::BodyHash(hash),
                Err(error) => unread(error),
            },
            Question::Directory(whom) => self
                .of_each(walk, *whom, |known| match known {
                    Known::User => directory::Place::User,
                    Known::Rewritten(rewriting) if rewriting.is_user => directory::Place::User,
                    Known::UnknownUser | Known::Rewritten(_) | Known::Refused(_) => directory::Place::Nobody,
                    Known::OtherDomain => directory::Place::OtherDomain,
                })
                .await
                .map_or_else(nobody_answered, Answer::Directory),
            Question::Rewrite(whom) => {
                self.of_each(walk, *whom, rewritten).await.map_or_else(nobody_answered, Answer::Rewritten)
            }
            Question::Exists(domains) => {
                let mut answers = Vec::with_capacity(domains.len());
                for domain in domains {
                    match spooler.names.exists(domain).await {
                        Ok(exists) => answers.push(exists),
                        Err(error) => return Answer::Unavailable(error.to_string().into()),
                    }
                }
                Answer::Exists(answers)
            }
            Question::Listed { zone, address } => match spooler.names.listed(zone, *address).await {
                Ok(listed) => Answer::Listed(listed),
                Err(error) => Answer::Unavailable(error.to_string().into()),
            },
            Question::Scripts => {
                let mut scripts = Vec::new();
                for mailbox in walk.whom(Whom::Recipients) {
                    match self.script(mailbox).await {
                        Ok(script) => scripts.push(script),
                        Err(error) => {
                            return Answer::Unavailable(format!("the script of {mailbox} is not read: {error}").into());
                        }
                    }
                }
                Answer::Scripts(scripts)
            }
        }
    }

    /// What the directory says of each of them, in their order.
    async fn of_each<T>(&self, walk: &Walk<'_>, whom: Whom, make: impl Fn(Known) -> T) -> Result<Vec<T>, Unavailable> {
        let directory = &self.spooler.directory;
        let mut answers = Vec::new();
        for mailbox in walk.whom(whom) {
            let known = match directory.known(mailbox) {
                Some(known) => known,
                None => directory.look_up(mailbox).await?,
            };
            answers.push(make(known));
        }
        Ok(answers)
    }

    /// The active script of a user, which stands in the Maildir.
    async fn script(&self, mailbox: &Mailbox) -> io::Result<Option<Rc<str>>> {
        let path = self.spooler.maildirs.path(&directory::user_of(mailbox)).join(SCRIPT);
        let file = match self.spooler.machine.disk().open(&path, Open::Read).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let octets = file.length().await?;
        if octets == 0 {
            return Ok(None);
        }
        // A script that is longer is one that cannot be obeyed, which is told as such where it is read.
        let length = octets.min(SCRIPT_MAX + 1) as usize;
        let (read, buffer) = file.read_at(Aligned::zeroed(length), length, 0).await;
        let text = String::from_utf8_lossy(buffer.get(..read?).unwrap_or_default());
        Ok(Some(Rc::from(&*text)))
    }
}

fn nobody_answered(error: Unavailable) -> Answer {
    Answer::Unavailable(error.to_string().into())
}

/// What the rewrite table makes of a mailbox of which the directory says this.
fn rewritten(known: Known) -> Rewritten {
    match known {
        Known::User | Known::UnknownUser | Known::OtherDomain => Rewritten::Unchanged,
        Known::Rewritten(rewriting) => Rewritten::To(rewriting.targets.to_vec()),
        Known::Refused(reply) => {
            let text = reply.to_string();
            // So the directory says that mappings lead in a circle, or are too many (RFC 3463 X.4.6).
            if text.starts_with("554 5.4.6 ") { Rewritten::Loop } else { Rewritten::Refused(text.into()) }
        }
    }
}
