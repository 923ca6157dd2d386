//! SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677): the messages. The arithmetic is in [`crate::mail::scram`].
//!
//! SMTP has no place for data with its 235, so the server's last message goes as a challenge that the client answers with
//! nothing (RFC 4954 §4, RFC 4422 §3.6).

use super::base64::{decode, encode};
use super::{Claim, Malformed, Move, act_for};
use crate::mail::scram::is_same;
use crate::mail::user::USERNAME_OCTETS;
use crate::mail::{ScramCredentials, Username};

/// Octets of a client's nonce that are taken; clients send 18 to 64.
const NONCE_OCTETS: usize = 256;

/// What the two ends of one TLS channel know, and nobody between two channels does (RFC 5929, RFC 9266).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChannelBinding {
    /// `tls-exporter` (RFC 9266): 32 octets out of the channel's own keys.
    pub exporter: Option<Box<[u8]>>,
    /// `tls-server-end-point` (RFC 5929 §4): the hash of the server's certificate.
    pub server_end_point: Option<Box<[u8]>>,
}

impl ChannelBinding {
    fn of(&self, name: &str) -> Option<&[u8]> {
        match name {
            "tls-exporter" => self.exporter.as_deref(),
            "tls-server-end-point" => self.server_end_point.as_deref(),
            _ => None,
        }
    }
}

/// An exchange.
#[derive(Debug)]
pub struct Scram {
    binding: Option<ChannelBinding>,
    /// The mechanism is -PLUS.
    plus: bool,
    /// -PLUS was offered: a client that says it was not was deceived (RFC 5802 §6).
    plus_offered: bool,
    state: State,
}

#[derive(Debug)]
enum State {
    /// The client's first message is due.
    First,
    /// The user's keys are due.
    Keys(First),
    /// The client's final message is due.
    Final(Final),
    /// The client's empty answer to the server's last message is due.
    End(Claim, Username),
    Over,
}

/// The client's first message.
#[derive(Debug)]
struct First {
    claim: Claim,
    /// What `c=` must be.
    bound: Vec<u8>,
    /// The message without its GS2 header.
    bare: String,
    nonce: String,
}

#[derive(Debug)]
struct Final {
    claim: Claim,
    user: Username,
    credentials: ScramCredentials,
    bound: Vec<u8>,
    /// Both nonces in a row.
    nonce: String,
    /// What the proof is over, up to the client's final message.
    before: String,
}

impl Scram {
    /// Before anything was said.
    pub fn new(binding: Option<ChannelBinding>, plus: bool, plus_offered: bool) -> Scram {
        Scram { binding, plus, plus_offered, state: State::First }
    }

    /// Whom the client says it is, once it did.
    pub fn name(&self) -> Option<&str> {
        match &self.state {
            State::Keys(First { claim, .. }) | State::Final(Final { claim, .. }) | State::End(claim, _) => {
                Some(&claim.name)
            }
            State::First | State::Over => None,
        }
    }

    /// Takes the client's response.
    pub fn respond(&mut self, response: &[u8]) -> Result<Move, Malformed> {
        let text = std::str::from_utf8(response).map_err(|_| Malformed)?;
        match std::mem::replace(&mut self.state, State::Over) {
            State::First => self.first(text),
            State::Final(expected) => self.last(text, expected),
            State::End(claim, user) if text.is_empty() => Ok(Move::Proved(claim, user)),
            State::End(..) | State::Keys(_) | State::Over => Err(Malformed),
        }
    }

    /// `gs2-cbind-flag "," [authzid] "," client-first-message-bare` (RFC 5802 §7).
    fn first(&mut self, text: &str) -> Result<Move, Malformed> {
        let (flag, rest) = text.split_once(',').ok_or(Malformed)?;
        let (other, bare) = rest.split_once(',').ok_or(Malformed)?;
        let header = text.strip_suffix(bare).ok_or(Malformed)?;
        let act_for = match other {
            "" => None,
            named => act_for(&sasl_name(named.strip_prefix("a=").ok_or(Malformed)?)?),
        };
        let mut attributes = bare.split(',');
        let name = sasl_name(attribute(attributes.next(), "n=")?)?;
        let nonce = attribute(attributes.next(), "r=")?;
        if name.is_empty()
            || name.len() > USERNAME_OCTETS
            || !is_nonce(nonce)
            || attributes.any(|rest| !is_extension(rest))
        {
            return Err(Malformed);
        }
        let name: Box<str> = name.into();
        let bound = match (flag.strip_prefix("p="), flag, self.plus) {
            (Some(kind), _, true) => match self.binding.as_ref().and_then(|binding| binding.of(kind)) {
                Some(binding) => [header.as_bytes(), binding].concat(),
                None => return Ok(Move::Disproved { name }),
            },
            (None, "n", false) => header.as_bytes().to_vec(),
            (None, "y", false) if self.plus_offered => return Ok(Move::Disproved { name }),
            (None, "y", false) => header.as_bytes().to_vec(),
            _ => return Err(Malformed),
        };
        let claim = Claim { name: name.clone(), act_for };
        self.state = State::Keys(First { claim, bound, bare: bare.into(), nonce: nonce.into() });
        Ok(Move::Keys(name))
    }

    /// The server's first message: `r=` both nonces, `s=` the salt, `i=` the iterations.
    pub fn keys(&mut self, user: Username, credentials: ScramCredentials, nonce: &str) -> Result<Move, Malformed> {
        let State::Keys(first) = std::mem::replace(&mut self.state, State::Over) else { return Err(Malformed) };
        let nonce = format!("{}{nonce}", first.nonce);
        let message = format!("r={nonce},s={},i={}", encode(&credentials.salt), credentials.iterations);
        let before = format!("{},{message},", first.bare);
        let First { claim, bound, .. } = first;
        self.state = State::Final(Final { claim, user, credentials, bound, nonce, before });
        Ok(Move::Challenge(message.into_bytes()))
    }

    /// `c=` the channel binding, `r=` both nonces, `p=` the proof (RFC 5802 §7).
    fn last(&mut self, text: &str, expected: Final) -> Result<Move, Malformed> {
        let Final { claim, user, credentials, bound, nonce, before } = expected;
        let (message, proof) = text.rsplit_once(",p=").ok_or(Malformed)?;
        let proof = decode(proof.as_bytes())?;
        let mut attributes = message.split(',');
        let binding = decode(attribute(attributes.next(), "c=")?.as_bytes())?;
        let said = attribute(attributes.next(), "r=")?;
        if attributes.any(|rest| !is_extension(rest)) {
            return Err(Malformed);
        }
        let signature = credentials.verify((before + message).as_bytes(), &proof);
        match signature {
            Some(signature) if is_same(&binding, &bound) && is_same(said.as_bytes(), nonce.as_bytes()) => {
                self.state = State::End(claim, user);
                Ok(Move::Challenge(format!("v={}", encode(&signature)).into_bytes()))
            }
            _ => Ok(Move::Disproved { name: claim.name }),
        }
    }
}

fn attribute<'a>(word: Option<&'a str>, name: &str) -> Result<&'a str, Malformed> {
    word.and_then(|word| word.strip_prefix(name)).ok_or(Malformed)
}

/// An attribute that may be there and means nothing: not `m=`, which demands to be understood (RFC 5802 §5.1).
fn is_extension(word: &str) -> bool {
    let mut octets = word.bytes();
    octets.next().is_some_and(|name| name.is_ascii_alphabetic() && name != b'm') && octets.next() == Some(b'=')
}

fn is_nonce(text: &str) -> bool {
    (1..=NONCE_OCTETS).contains(&text.len()) && text.bytes().all(|octet| octet.is_ascii_graphic() && octet != b',')
}

/// A name in which a comma is `=2C` and an equals sign `=3D` (RFC 5802 §5.1).
fn sasl_name(text: &str) -> Result<String, Malformed> {
    let mut name = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('=') {
        name.push_str(before);
        let (sign, after) = match (after.strip_prefix("2C"), after.strip_prefix("3D")) {
            (Some(after), _) => (',', after),
            (_, Some(after)) => ('=', after),
            _ => return Err(Malformed),
        };
        name.push(sign);
        rest = after;
    }
    name.push_str(rest);
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::scram::hmac;
    use sha2::{Digest, Sha256};

    const CLIENT: &str = "rOprNGfwEbeRWgbNEkqO";
    const SERVER: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";

    fn keys() -> ScramCredentials {
        ScramCredentials::derive("pencil", &decode(b"W22ZaJ0SNY7soEsUEjb6gQ==").expect("base64"), 4096)
    }

    fn user() -> Username {
        Username::parse("user").expect("a name")
    }

    fn proved(act_for: Option<Box<str>>) -> Result<Move, Malformed> {
        Ok(Move::Proved(Claim { name: "user".into(), act_for }, user()))
    }

    fn challenge(step: Result<Move, Malformed>) -> String {
        match step {
            Ok(Move::Challenge(octets)) => String::from_utf8(octets).expect("text"),
            other => panic!("{other:?}"),
        }
    }

    fn disproved() -> Result<Move, Malformed> {
        Ok(Move::Disproved { name: "user".into() })
    }

    /// RFC 7677 §3, message by message.
    #[test]
    fn the_example_of_the_rfc() {
        let mut scram = Scram::new(None, false, false);
        assert_eq!(scram.respond(b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"), Ok(Move::Keys("user".into())));
        let first = challenge(scram.keys(user(), keys(), SERVER));
        assert_eq!(first, "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096");
        let last = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        assert_eq!(challenge(scram.respond(last.as_bytes())), "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
        assert_eq!(scram.respond(b""), proved(None));
        assert_eq!(scram.respond(b""), Err(Malformed));
    }

    /// The client's final message by one who knows the password.
    fn proof(header: &str, binding: &[u8], said_first: &str, nonce: &str, extra: &str) -> String {
        let mut salted = [0; 32];
        let keys = keys();
        pbkdf2::pbkdf2_hmac::<Sha256>(b"pencil", &keys.salt, keys.iterations, &mut salted);
        let bound = encode(&[header.as_bytes(), binding].concat());
        let message = format!("c={bound},r={nonce}{extra}");
        let server_first = format!("r={CLIENT}{SERVER},s={},i=4096", encode(&keys.salt));
        let auth_message = format!("{said_first},{server_first},{message}");
        let client_key = hmac(&salted, b"Client Key");
        let signature = hmac(&Sha256::digest(client_key), auth_message.as_bytes());
        let proof: Vec<u8> = client_key.iter().zip(signature).map(|(a, b)| a ^ b).collect();
        format!("{message},p={}", encode(&proof))
    }

    fn binding() -> ChannelBinding {
        ChannelBinding { exporter: Some([7; 32].into()), server_end_point: Some([8; 32].into()) }
    }

    /// Runs an exchange whose client believes in `bound` and the nonce `said`.
    fn run(plus: bool, offered: bool, header: &str, bound: &[u8], said: &str) -> Result<Move, Malformed> {
        let bare = format!("n=user,r={CLIENT}");
        let mut scram = Scram::new(Some(binding()), plus, offered);
        match scram.respond(format!("{header}{bare}").as_bytes()) {
            Ok(Move::Keys(_)) => {}
            other => return other,
        }
        challenge(scram.keys(user(), keys(), SERVER));
        let last = proof(header, bound, &bare, said, "");
        match scram.respond(last.as_bytes()) {
            Ok(Move::Challenge(_)) => scram.respond(b""),
            other => other,
        }
    }

    #[test]
    fn the_channel_is_what_both_know() {
        let nonce = format!("{CLIENT}{SERVER}");
        let proved = proved(None);
        assert_eq!(run(true, true, "p=tls-exporter,,", &[7; 32], &nonce), proved);
        assert_eq!(run(true, true, "p=tls-server-end-point,,", &[8; 32], &nonce), proved);
        assert_eq!(run(true, true, "p=tls-exporter,,", &[8; 32], &nonce), disproved());
        assert_eq!(run(true, true, "p=tls-unique,,", &[7; 32], &nonce), disproved());
        // One that binds nothing is none of -PLUS, and one that binds is none without.
        assert_eq!(run(true, true, "n,,", &[], &nonce), Err(Malformed));
        assert_eq!(run(false, true, "p=tls-exporter,,", &[7; 32], &nonce), Err(Malformed));
        // A client that could bind and was told that the server cannot was deceived, if the server can.
        assert_eq!(run(false, true, "y,,", &[], &nonce), disproved());
        assert_eq!(run(false, false, "y,,", &[], &nonce), proved);
        assert_eq!(run(false, true, "n,,", &[], &nonce), proved);
    }

    #[test]
    fn a_proof_is_of_one_exchange_and_says_for_whom() {
        let nonce = format!("{CLIENT}{SERVER}");
        let other = Some("other".into());
        assert_eq!(run(false, false, "n,a=other,", &[], &nonce), proved(other));
        assert_eq!(run(false, false, "n,,", &[], CLIENT), disproved());
    }

    #[test]
    fn messages_that_are_none() {
        let first = |text: &str| Scram::new(None, false, false).respond(text.as_bytes());
        for wrong in [
            "",
            "n",
            "n,,",
            "n,,n=user",
            "n,,r=abc,n=user",
            "x,,n=user,r=abc",
            "n,b=x,n=user,r=abc",
            "n,,n=,r=abc",
            "n,,n=user,r=",
            "n,,n=us=er,r=abc",
            "n,,m=1,n=user,r=abc",
            "n,,n=user,r=abc,m=1",
            "n,,n=user,r=a c",
            "n,,n=user,r=abc,",
            "n,,n=user,r=abc,x",
            "p=,,n=user,r=abc",
        ] {
            assert_eq!(first(wrong), Err(Malformed), "{wrong:?}");
        }
        assert_eq!(first(&format!("n,,n=user,r={}", "x".repeat(257))), Err(Malformed));
        assert_eq!(first("n,,n=u=2Cs=3Der,r=abc,x=1"), Ok(Move::Keys("u,s=er".into())));
        for wrong in [
            "",
            "c=biws",
            "p=abcd",
            "c=biws,p=abcd",
            "c=biws,r=abc,p=abc",
            "c=b,r=abc,p=abcd",
            "r=abc,c=biws,p=abcd",
            "c=biws,r=abc,m=1,p=abcd",
        ] {
            let mut scram = Scram::new(None, false, false);
            assert!(scram.respond(b"n,,n=user,r=abc").is_ok());
            challenge(scram.keys(user(), keys(), SERVER));
            assert_eq!(scram.respond(wrong.as_bytes()), Err(Malformed), "{wrong:?}");
        }
    }
}
