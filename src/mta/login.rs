//! What AUTH asks, answered: the directory is asked, failures are counted (`mta::backoff`) and held back.

use std::fmt::Display;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::backoff::{Attempt, Backoff};
use crate::directory::{Directory, Login, Proof, Unavailable};
use crate::mail::{Password, ScramCredentials, Username};
use crate::smtp::sasl::Claim;
use crate::smtp::server::question::{Authentication, Question};

/// How a server deals with those who authenticate.
#[derive(Clone, Debug)]
pub struct Logins {
    /// Over all servers and cores.
    pub backoff: Arc<Backoff>,
    /// How long the answer to a failure is held back.
    pub failure_delay: Duration,
}

/// Who authenticates.
#[derive(Clone, Copy, Debug)]
pub struct Applicant {
    /// The client's address.
    pub client: IpAddr,
    /// It is in `authorizedAddresses`.
    pub authorized: bool,
    /// Seconds of a clock that all cores share.
    pub now: u32,
}

/// What a session is to be told.
#[derive(Debug)]
pub enum Told {
    /// By [`Session::authenticated`](crate::smtp::server::Session::authenticated).
    Authenticated(Authentication),
    /// By [`Session::keys`](crate::smtp::server::Session::keys).
    Keys(Option<(Username, ScramCredentials)>),
}

impl Logins {
    /// Answers one question of AUTH; `None` is one that is none of AUTH's.
    pub async fn answer(&self, question: Question, by: Applicant, directory: &dyn Directory) -> Option<Told> {
        let answer = match question {
            Question::Password(claim, password) => self.password(claim, password, by, directory).await,
            Question::Keys(name) => return Some(self.keys(&name, by, directory).await),
            Question::Proved(claim, user) => self.proved(user, claim, by, directory).await,
            Question::Disproved(name) => {
                self.backoff.failed(by.attempt(&name));
                Ok(Authentication::Refused)
            }
            Question::Sender { .. } | Question::Recipient(_) | Question::Message => return None,
        };
        Some(Told::Authenticated(answer.unwrap_or(Authentication::Unavailable)))
    }

    async fn password(
        &self,
        claim: Claim,
        password: Password,
        by: Applicant,
        directory: &dyn Directory,
    ) -> Result<Authentication, Unavailable> {
        let name = claim.name.clone();
        if !self.backoff.admits(by.attempt(&name)) {
            return Ok(Authentication::TooOften);
        }
        match directory.verify(Login { name: name.clone(), password, client: by.client }).await? {
            Proof::Proved(user) => self.proved(user, claim, by, directory).await,
            Proof::Refused => {
                self.backoff.failed(by.attempt(&name));
                Ok(Authentication::Refused)
            }
            Proof::TooBusy => Ok(Authentication::Unavailable),
        }
    }

    async fn keys(&self, name: &str, by: Applicant, directory: &dyn Directory) -> Told {
        if !self.backoff.admits(by.attempt(name)) {
            return Told::Authenticated(Authentication::TooOften);
        }
        match directory.scram(name).await {
            Ok(scram) => Told::Keys(scram.map(|scram| (scram.user, scram.credentials))),
            Err(Unavailable) => Told::Authenticated(Authentication::Unavailable),
        }
    }

    /// A user has proved what it claims.
    async fn proved(
        &self,
        user: Username,
        claim: Claim,
        by: Applicant,
        directory: &dyn Directory,
    ) -> Result<Authentication, Unavailable> {
        let user = match claim.act_for {
            None => Some(user),
            Some(other) => directory.act_for(&user, &other).await?,
        };
        self.backoff.proved(by.attempt(&claim.name));
        Ok(user.map_or(Authentication::Refused, Authentication::Proved))
    }
}

impl Applicant {
    fn attempt(self, name: &str) -> Attempt<'_> {
        let Applicant { client, authorized, now } = self;
        Attempt { client, authorized, name, now }
    }
}

/// What came of it, for the log.
pub fn outcome(result: &Authentication) -> &'static dyn Display {
    match result {
        Authentication::Proved(_) => &"proved",
        Authentication::Refused => &"refused",
        Authentication::TooOften => &"too many failures before",
        Authentication::Unavailable => &"directory unavailable",
    }
}
