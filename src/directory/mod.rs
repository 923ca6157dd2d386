//! Who is known here: the questions about users, domains and their addresses, and the answers.
//!
//! Pure. Who answers stands behind [`Directory`]: each core asks the control plane, which keeps users in a database
//! (`control::directory`). LDAP, another database and OIDC are to be further answerers there, and change nothing here.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;

use crate::mail::{Domain, Mailbox, Password, ScramCredentials, Username};

mod answer;
mod listed;
pub mod mapping;
mod naming;
pub mod password;
pub mod rewrite;

pub use answer::{Answer, Place, Rewriting, Target, refusal_of};
pub use listed::Listed;
pub use mapping::{Kind, Mapping, Source};
pub use naming::{Naming, user_of};

/// The directory did not answer: it is down, late, or asked too much. Never a reason to accept or to refuse for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the directory did not answer")]
pub struct Unavailable;

/// An answer on its way.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T, Unavailable>> + 'a>>;

/// A name and a password that somebody said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The name as it was said, in any case.
    pub name: Box<str>,
    /// The password.
    pub password: Password,
    /// Who said it: one client cannot fill the queue to the hashing threads alone.
    pub client: IpAddr,
}

/// What becomes of a [`Login`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// It is this user.
    Proved(Username),
    /// There is no such user, or it is another password: which of the two is not said.
    Refused,
    /// Too many passwords wait to be hashed: 454 4.7.0.
    TooBusy,
}

/// A user's SCRAM-SHA-256 material, and who it is that proves itself with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scram {
    /// The user, written one way.
    pub user: Username,
    /// The material.
    pub credentials: ScramCredentials,
}

/// The directory as one core reaches it. Nothing here blocks; [`Unavailable`] is a 451 4.3.0 (RFC 3463 X.3.0).
pub trait Directory {
    /// What is said of a recipient, if it is known without asking anyone.
    fn known(&self, mailbox: &Mailbox) -> Option<Answer>;

    /// Asks what is to be said of a recipient.
    fn look_up<'a>(&'a self, mailbox: &Mailbox) -> Pending<'a, Answer>;

    /// Whether the password is that user's.
    fn verify<'a>(&'a self, login: Login) -> Pending<'a, Proof>;

    /// What a user's SCRAM run is checked against. A name of nobody has material too, always the same and never right, so that
    /// nobody learns who exists; `None` is a text that is no name at all.
    fn scram<'a>(&'a self, name: &str) -> Pending<'a, Option<Scram>>;

    /// Whether a user who has proved itself may send from this address: its own, an alias of its own, or one of these in a
    /// domain that is an alias of its domain (James: `CanSendFrom`).
    fn may_send_as<'a>(&'a self, user: &Username, mailbox: &Mailbox) -> Pending<'a, bool>;

    /// Who a user who has proved itself becomes when it asks to act for `name` (the authorization identity of RFC 4616 §2):
    /// itself for its own name, another for an administrator, and else `None`.
    fn act_for<'a>(&'a self, user: &Username, name: &str) -> Pending<'a, Option<Username>>;

    /// Whether a domain is one of ours.
    fn is_local<'a>(&'a self, domain: &Domain) -> Pending<'a, bool>;
}
