//! The directory's answers: users, domains and the rewrite table from the database, passwords by the hashing threads.
//!
//! [`Keeper`] is one [`Answerer`]; LDAP, another database and OIDC are to be others beside it. What it cannot find out in
//! time it does not know: the cores then say 451 4.3.0.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::timeout;

use self::command::{Command, Outcome};
use self::proven::Proven;
use self::record::Record;
use self::rules::Rules;
use self::store::{Queried, Store};
use super::desk::{Answerer, Lines, Question, Reply};
use super::hashing::{Hashing, Lane};
use crate::directory::rewrite::{self, Backwards, Resolved, Table};
use crate::directory::{
    Answer, Login, Mapping, Place, Proof, Rewriting, Scram, Source, Target, Unavailable, password, refusal_of, user_of,
};
use crate::mail::scram::{ITERATIONS, hmac};
use crate::mail::{
    Domain, EnhancedStatus, Mailbox, Password, Reply as SmtpReply, ReplyCode, ScramCredentials, Username,
};

pub mod command;
pub mod proven;
pub mod record;
pub mod rules;
pub mod store;

/// How long the database may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// What the configuration says of the directory.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Names, domains, mappings.
    pub rules: Rules,
    /// `mappingLimit`.
    pub mapping_limit: u32,
    /// Who gets mail for the postmaster of a domain that has none of its own.
    pub postmaster: Mailbox,
    /// `administratorId`.
    pub administrators: HashSet<Username>,
    /// Passwords that James has hashed are hashed anew when their users log in.
    pub rehash: bool,
}

/// The directory.
pub struct Keeper {
    settings: Settings,
    store: Store,
    hashing: Hashing,
    proven: Proven,
    /// Made into answers for users who are not there.
    secret: Vec<u8>,
    lines: Arc<Lines>,
}

impl Keeper {
    /// Over an open database; what cores remember is told by `lines` that it counts no more.
    pub async fn new(
        settings: Settings,
        store: Store,
        hashing: Hashing,
        key: [u8; 32],
        lines: Arc<Lines>,
    ) -> Queried<Keeper> {
        settings.rules.keep_domains(&store).await?;
        let secret = store.secret().await?;
        Ok(Keeper { settings, store, hashing, proven: Proven::new(key), secret, lines })
    }

    /// Does what an operator asks for. When it has returned, nobody is answered by what was before.
    pub async fn run(&self, command: &Command) -> Outcome {
        let outcome = self.settings.rules.run(&self.store, command).await;
        if command.changes() {
            self.changed();
        }
        outcome
    }

    fn changed(&self) {
        self.proven.flush();
        self.lines.changed();
    }

    async fn recipient(&self, mailbox: &Mailbox) -> Queried<Answer> {
        if !self.is_local(mailbox.domain()).await? {
            return Ok(Answer::OtherDomain);
        }
        Ok(match rewrite::resolve(self, mailbox, self.settings.mapping_limit).await? {
            Resolved::Refused(text) => Answer::Refused(Arc::new(refusal_of(&text))),
            Resolved::TooMany => Answer::Refused(Arc::new(too_many_mappings())),
            Resolved::Same => self.unmapped(mailbox).await?,
            Resolved::To(targets) => {
                let mut all: Vec<Target> = Vec::with_capacity(targets.len());
                for target in targets {
                    let target = self.target(target).await?;
                    if !all.contains(&target) {
                        all.push(target);
                    }
                }
                let is_user = self.own_mailbox(mailbox).await?.is_some();
                Answer::Rewritten(Rewriting { targets: all.into(), is_user })
            }
        })
    }

    /// What is said of a mailbox that the rewrite table says nothing of.
    async fn unmapped(&self, mailbox: &Mailbox) -> Queried<Answer> {
        let one = |mailbox| {
            let targets = Arc::new([Target { mailbox, place: Place::User }]);
            Answer::Rewritten(Rewriting { targets, is_user: true })
        };
        match self.own_mailbox(mailbox).await? {
            // However it was written, and in whichever of our domains: a user has one mailbox.
            Some(own) if own == user_of(mailbox) => Ok(Answer::User),
            Some(own) => Ok(one(own)),
            None if user_of(mailbox).local() == "postmaster" => {
                let postmaster = self.settings.postmaster.clone();
                Ok(one(self.own_mailbox(&postmaster).await?.unwrap_or(user_of(&postmaster))))
            }
            None => Ok(Answer::UnknownUser),
        }
    }

    /// The mailbox of the user whose address this is, if there is such a user.
    async fn own_mailbox(&self, mailbox: &Mailbox) -> Queried<Option<Mailbox>> {
        let naming = &self.settings.rules.naming;
        let Some(user) = naming.user(mailbox) else { return Ok(None) };
        Ok(if self.store.has_user(&user).await? { naming.mailbox(&user) } else { None })
    }

    async fn target(&self, mailbox: Mailbox) -> Queried<Target> {
        if !self.is_local(mailbox.domain()).await? {
            return Ok(Target { mailbox, place: Place::OtherDomain });
        }
        Ok(match self.own_mailbox(&mailbox).await? {
            Some(mailbox) => Target { mailbox, place: Place::User },
            None => Target { mailbox, place: Place::Nobody },
        })
    }

    async fn is_local(&self, domain: &Domain) -> Queried<bool> {
        self.settings.rules.is_local(&self.store, domain).await
    }

    async fn verify(self: &Arc<Self>, login: Login) -> Result<Proof, Unavailable> {
        let Login { name, password, client } = login;
        let user = self.settings.rules.naming.login(&name);
        let now = Instant::now();
        if let Some(user) = user.as_ref().filter(|user| self.proven.is_right(user, &password, now)) {
            return Ok(Proof::Proved(user.clone()));
        }
        let flushes = self.proven.flushes();
        let kept = match &user {
            Some(user) => in_time(self.store.record(user)).await?,
            None => None,
        };
        let (Some(user), Some(record)) = (user, kept) else {
            // Whether there is such a user is not to be seen by the clock either.
            let waste = move || password::waste_time(password.reveal());
            return Ok(self.hashing.run(Lane::Anyone, client, waste).await.map_or(Proof::TooBusy, |()| Proof::Refused));
        };
        let lane = if self.proven.is_trusted(&user, client, now) { Lane::Trusted } else { Lane::Anyone };
        let (verified, said, of) = (record.clone(), password.clone(), user.clone());
        let right = self.hashing.run(lane, client, move || verified.verify(of.as_str(), said.reveal())).await;
        match right {
            Err(super::hashing::TooBusy) => Ok(Proof::TooBusy),
            Ok(false) => Ok(Proof::Refused),
            Ok(true) => {
                self.proven.remember(&user, &password, client, flushes, Instant::now());
                if self.settings.rehash && !record.is_up_to_date() {
                    tokio::spawn(self.clone().rehash(user.clone(), record, password, client));
                }
                Ok(Proof::Proved(user))
            }
        }
    }

    /// Keeps a password that was right as new ones are kept. Where that fails it is tried at the next login.
    async fn rehash(self: Arc<Self>, user: Username, old: Record, password: Password, client: IpAddr) {
        if let Ok(Some(new)) = self.hashing.run(Lane::Anyone, client, move || Record::of(&password)).await {
            // Nothing that anybody remembers changes by it.
            let _ = self.store.set_record(&user, &new, Some(&old)).await;
        }
    }

    async fn scram(&self, name: &str) -> Queried<Option<Scram>> {
        let Some(user) = self.settings.rules.naming.login(name) else { return Ok(None) };
        let kept = self.store.record(&user).await?.and_then(|record| record.scram);
        let credentials = kept.unwrap_or_else(|| self.nobodys(&user));
        Ok(Some(Scram { user, credentials }))
    }

    /// Material that is right for no password, and always the same for one name.
    fn nobodys(&self, user: &Username) -> ScramCredentials {
        let of = |what: &str| hmac(&self.secret, format!("{what}\0{user}").as_bytes());
        let salt = of("salt")[..password::SALT_OCTETS].into();
        ScramCredentials { salt, iterations: ITERATIONS, stored_key: of("stored key"), server_key: of("server key") }
    }

    async fn may_send_as(&self, user: &Username, from: &Mailbox) -> Queried<bool> {
        let naming = &self.settings.rules.naming;
        if naming.user(from).as_ref() == Some(user) {
            return Ok(true);
        }
        match naming.mailbox(user) {
            Some(own) => rewrite::may_send_as(self, &own, from, self.settings.mapping_limit).await,
            None => Ok(false),
        }
    }

    async fn act_for(&self, user: &Username, name: &str) -> Queried<Option<Username>> {
        let Some(other) = self.settings.rules.naming.login(name) else { return Ok(None) };
        if other == *user {
            return Ok(Some(other));
        }
        let may = self.settings.administrators.contains(user) && self.store.has_user(&other).await?;
        Ok(may.then_some(other))
    }
}

/// The answer of the database, if it comes in time.
async fn in_time<T>(query: impl Future<Output = Queried<T>>) -> Result<T, Unavailable> {
    timeout(PATIENCE, query).await.map_err(|_| Unavailable)?.map_err(Unavailable::from)
}

/// As James says it (RFC 3463 X.4.6: routing loop detected).
fn too_many_mappings() -> SmtpReply {
    SmtpReply::new(ReplyCode::FAILED, EnhancedStatus::new(4, 6), "Too many mappings to process")
}

impl Answerer for Arc<Keeper> {
    async fn answer(&self, question: Question) -> Result<Reply, Unavailable> {
        match question {
            Question::Recipient(mailbox) => in_time(self.recipient(&mailbox)).await.map(Reply::Recipient),
            Question::Verify(login) => self.verify(login).await.map(Reply::Verify),
            Question::Scram(name) => in_time(self.scram(&name)).await.map(Reply::Scram),
            Question::MaySendAs(user, from) => in_time(self.may_send_as(&user, &from)).await.map(Reply::MaySendAs),
            Question::ActFor(user, name) => in_time(self.act_for(&user, &name)).await.map(Reply::ActFor),
            Question::IsLocal(domain) => in_time(self.is_local(&domain)).await.map(Reply::IsLocal),
        }
    }
}

impl Table for Keeper {
    type Error = sqlx::Error;

    async fn mappings(&self, source: &Source) -> Queried<Vec<Mapping>> {
        let mut mappings = self.settings.rules.written.get(source).cloned().unwrap_or_default();
        mappings.extend(self.store.mappings(source).await?);
        Ok(mappings)
    }
}

impl Backwards for Keeper {
    type Error = sqlx::Error;

    async fn sources(&self, mapping: &Mapping) -> Queried<Vec<Source>> {
        let mut sources = self.store.sources(mapping).await?;
        let written = self.settings.rules.written.iter();
        sources.extend(written.filter(|(_, mappings)| mappings.contains(mapping)).map(|(source, _)| source.clone()));
        Ok(sources)
    }
}

#[cfg(test)]
mod tests;
