//! SASL (RFC 4422) as AUTH carries it (RFC 4954): the server's side of every mechanism, as values.
//!
//! ```text
//!          begin / respond                    verdict of whoever keeps passwords
//!  client ────────────────▶ [ Exchange ] ──▶ Password, Keys, Proved, Disproved
//!         ◀──────────────── Challenge ◀───── keys
//! ```
//!
//! **Invariant:** nothing here does I/O or draws a random number. Responses are decoded already, and at most
//! [`RESPONSE_OCTETS`] of base64 long.

pub mod base64;
mod login;
mod plain;
mod scram;

pub use self::scram::ChannelBinding;

use crate::mail::user::USERNAME_OCTETS;
use crate::mail::{Password, ScramCredentials, Username};

/// Octets of one line of an exchange, in base64 (RFC 4954 §4: no mechanism needs more).
pub const RESPONSE_OCTETS: usize = 12_288;

/// A mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mechanism {
    /// Of the field's old clients (draft-murchison-sasl-login).
    Login,
    /// RFC 4616.
    Plain,
    /// RFC 7677.
    ScramSha256,
    /// RFC 7677, bound to the TLS channel it runs in (RFC 5802 §6).
    ScramSha256Plus,
}

impl Mechanism {
    /// All of them.
    pub const ALL: [Mechanism; 4] =
        [Mechanism::Login, Mechanism::Plain, Mechanism::ScramSha256, Mechanism::ScramSha256Plus];

    /// Its registered name.
    pub const fn name(self) -> &'static str {
        match self {
            Mechanism::Login => "LOGIN",
            Mechanism::Plain => "PLAIN",
            Mechanism::ScramSha256 => "SCRAM-SHA-256",
            Mechanism::ScramSha256Plus => "SCRAM-SHA-256-PLUS",
        }
    }

    /// The mechanism of a name, in any case.
    pub fn named(name: &str) -> Option<Mechanism> {
        Mechanism::ALL.into_iter().find(|mechanism| mechanism.name().eq_ignore_ascii_case(name))
    }
}

/// The client's response is not one of its mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// Whom a client claims to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The name it authenticates with, as it was said; never empty.
    pub name: Box<str>,
    /// Whom it wants to act for.
    pub act_for: ActFor,
}

/// The authorization identity (RFC 4422 §2): whom a client wants to act for, as it was said; `None` is itself.
pub type ActFor = Option<Box<str>>;

/// What an exchange wants next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Move {
    /// The client is to be sent this challenge, and its response is due.
    Challenge(Vec<u8>),
    /// Is this the user's password? The exchange has ended.
    Password(Claim, Password),
    /// What is kept of the password of the user of this name? [`Exchange::keys`] takes it.
    Keys(Box<str>),
    /// The client has proved what it claims, and is this user. The exchange has ended.
    Proved(Claim, Username),
    /// The client has proved nothing. The exchange has ended.
    Disproved {
        /// Whom it wanted to be.
        name: Box<str>,
    },
}

/// One exchange with a client.
#[derive(Debug)]
pub struct Exchange {
    mechanism: Mechanism,
    state: State,
}

#[derive(Debug)]
enum State {
    Plain,
    Login(login::Login),
    Scram(Box<scram::Scram>),
    Over,
}

impl Exchange {
    /// An exchange by `mechanism`. `binding` is what SCRAM can be bound to, if the channel is TLS; `plus_offered` says
    /// whether the client was offered to do so.
    pub fn new(mechanism: Mechanism, binding: Option<ChannelBinding>, plus_offered: bool) -> Exchange {
        let plus = mechanism == Mechanism::ScramSha256Plus;
        let state = match mechanism {
            Mechanism::Plain => State::Plain,
            Mechanism::Login => State::Login(login::Login::default()),
            Mechanism::ScramSha256 | Mechanism::ScramSha256Plus => {
                State::Scram(Box::new(scram::Scram::new(binding, plus, plus_offered)))
            }
        };
        Exchange { mechanism, state }
    }

    /// The mechanism.
    pub fn mechanism(&self) -> Mechanism {
        self.mechanism
    }

    /// The exchange begins: with what AUTH brought, if it brought any (RFC 4954 §4).
    pub fn begin(&mut self, initial: Option<&[u8]>) -> Result<Move, Malformed> {
        match (initial, &mut self.state) {
            (Some(response), _) => self.respond(response),
            (None, State::Login(login)) => Ok(login.begin()),
            // All others let the client speak first: the challenge is empty.
            (None, _) => Ok(Move::Challenge(Vec::new())),
        }
    }

    /// Takes the client's response.
    pub fn respond(&mut self, response: &[u8]) -> Result<Move, Malformed> {
        match &mut self.state {
            State::Plain => {
                self.state = State::Over;
                plain::attempt(response)
            }
            State::Login(login) => login.respond(response),
            State::Scram(scram) => scram.respond(response),
            State::Over => Err(Malformed),
        }
    }

    /// What [`Move::Keys`] asked for: whose keys these are, and a nonce of this server's: printable ASCII without commas, that
    /// nobody can guess.
    pub fn keys(&mut self, user: Username, credentials: ScramCredentials, nonce: &str) -> Result<Move, Malformed> {
        match &mut self.state {
            State::Scram(scram) => scram.keys(user, credentials, nonce),
            _ => Err(Malformed),
        }
    }

    /// Whom the client says it is, as far as it has said so.
    pub fn name(&self) -> Option<&str> {
        match &self.state {
            State::Scram(scram) => scram.name(),
            State::Login(login) => login.name(),
            State::Plain | State::Over => None,
        }
    }
}

/// What a client says its name and password are. A text that no password can be proves nothing.
fn attempt(name: &str, act_for: &str, password: &str) -> Result<Move, Malformed> {
    if name.is_empty() || act_for.len() > USERNAME_OCTETS {
        return Err(Malformed);
    }
    Ok(match Password::new(password) {
        Some(password) if name.len() <= USERNAME_OCTETS => {
            Move::Password(Claim { name: name.into(), act_for: self::act_for(act_for) }, password)
        }
        _ => Move::Disproved { name: name.into() },
    })
}

fn act_for(name: &str) -> ActFor {
    (!name.is_empty()).then(|| name.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn mechanisms_have_names_without_case() {
        for mechanism in Mechanism::ALL {
            assert_eq!(Mechanism::named(&mechanism.name().to_lowercase()), Some(mechanism));
        }
        assert_eq!(Mechanism::named("CRAM-MD5"), None);
    }

    #[test]
    fn an_exchange_that_is_over_takes_nothing() {
        let mut exchange = Exchange::new(Mechanism::Plain, None, false);
        assert_eq!(exchange.begin(None), Ok(Move::Challenge(Vec::new())));
        assert!(matches!(exchange.respond(b"\0you\0secret"), Ok(Move::Password(..))));
        assert_eq!(exchange.respond(b"\0you\0secret"), Err(Malformed));
        let keys = ScramCredentials::derive("secret", b"salt", 1);
        assert_eq!(exchange.keys(Username::parse("you").unwrap(), keys, "nonce"), Err(Malformed));
    }

    proptest! {
        /// Nobody who does not know the password is ever proved, and nothing panics.
        #[test]
        fn anything_proves_nothing(
            which in 0usize..4,
            responses in prop::collection::vec(
                prop_oneof![
                    "(n|y|p=tls-exporter),(a=[a-z=,]{0,4})?,n=[a-z=,]{0,6},r=[!-~]{0,8}",
                    "c=[a-zA-Z=]{0,8},r=[!-~]{0,30},p=[A-Za-z0-9=]{0,44}",
                    "\\PC{0,40}",
                ].prop_map(String::into_bytes),
                1..5,
            ),
        ) {
            let mut exchange = Exchange::new(Mechanism::ALL[which], Some(ChannelBinding::default()), true);
            let mut next = exchange.begin(None);
            for response in &responses {
                next = match next {
                    Ok(Move::Challenge(_)) => exchange.respond(response),
                    Ok(Move::Keys(_)) => {
                        let (user, keys) = (Username::parse("you").unwrap(), ScramCredentials::derive("secret", b"salt", 1));
                        exchange.keys(user, keys, "server")
                    }
                    _ => break,
                };
                prop_assert!(!matches!(next, Ok(Move::Proved(..))));
            }
        }
    }
}
