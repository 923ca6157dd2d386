//! How passwords are kept: argon2id for new ones, and the forms that James has made.
//!
//! Pure and slow on purpose: a verification takes from a millisecond to tens of them. Only the hashing threads of the control
//! plane call it.

use std::fmt;
use std::str::FromStr;

use argon2::{Algorithm as Variant, Argon2, Params, Version};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha384, Sha512};

use crate::mail::scram::is_same;

/// Argon2id for new passwords (RFC 9106 §4, the smaller of OWASP's recommendations): 19 MiB, 2 passes, 1 lane, 32 octets.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
const KEY_OCTETS: usize = 32;

/// Octets of a salt for new passwords.
pub const SALT_OCTETS: usize = 16;

/// What a record that was brought from elsewhere may ask for at most: a password must not take a thread for minutes.
const MOST_MEMORY_KIB: u32 = 1 << 20;
const MOST_PASSES: u32 = 64;
const MOST_ITERATIONS: u32 = 10_000_000;
const MOST_BITS: u32 = 8192;

/// Octets of a digest as it is kept.
const HASH_OCTETS: usize = 4096;

/// How a password is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// Argon2id (RFC 9106); the record holds salt and parameters.
    Argon2id,
    /// PBKDF2 (RFC 8018 §5.2), the user's name as salt.
    Pbkdf2 {
        /// Whether with SHA-512, and else with SHA-1.
        sha512: bool,
        /// Iterations.
        iterations: u32,
        /// Bits of the derived key.
        bits: u32,
        /// How it is written.
        mode: Mode,
    },
    /// One digest.
    Digest {
        /// Which.
        digest: Named,
        /// Whether with the user's name before the password, and how it is written.
        mode: Mode,
    },
}

/// Digests by the names that Java has for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// MD5
    Md5,
    /// SHA-1
    Sha1,
    /// SHA-256
    Sha256,
    /// SHA-384
    Sha384,
    /// SHA-512
    Sha512,
}

const DIGESTS: [(&str, Named); 7] = [
    ("MD5", Named::Md5),
    ("SHA-1", Named::Sha1),
    ("SHA1", Named::Sha1),
    ("SHA", Named::Sha1),
    ("SHA-256", Named::Sha256),
    ("SHA-384", Named::Sha384),
    ("SHA-512", Named::Sha512),
];

/// `hashingMode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// The password alone.
    #[default]
    Plain,
    /// The user's name before the password.
    Salted,
    /// As `plain`, and written without the end of its base64, as early versions of James did.
    Legacy,
    /// As `salted`, and written so.
    LegacySalted,
}

const MODES: [(&str, Mode); 4] =
    [("plain", Mode::Plain), ("salted", Mode::Salted), ("legacy", Mode::Legacy), ("legacy_salted", Mode::LegacySalted)];

impl Mode {
    fn is_salted(self) -> bool {
        matches!(self, Mode::Salted | Mode::LegacySalted)
    }

    fn is_legacy(self) -> bool {
        matches!(self, Mode::Legacy | Mode::LegacySalted)
    }

    fn name(self) -> &'static str {
        MODES.iter().find(|(_, mode)| *mode == self).map_or("", |(name, _)| name)
    }
}

impl FromStr for Mode {
    type Err = ();

    fn from_str(text: &str) -> Result<Mode, ()> {
        MODES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)).map(|(_, mode)| *mode).ok_or(())
    }
}

/// A text that names no algorithm.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "write argon2id, PBKDF2-SHA512[-<iterations>-<bits>], PBKDF2[-<iterations>-<bits>] or a digest such as SHA-512/salted"
)]
pub struct UnknownAlgorithm;

impl Algorithm {
    /// Reads a name as James writes it, with a mode behind it or else `mode`.
    pub fn parse(text: &str, mode: Mode) -> Result<Algorithm, UnknownAlgorithm> {
        let (name, own) = match text.split_once('/') {
            Some((name, mode)) => (name, Some(mode.parse().map_err(|()| UnknownAlgorithm)?)),
            None => (text, None),
        };
        let (upper, mode) = (name.to_ascii_uppercase(), own.unwrap_or(mode));
        if upper == "ARGON2ID" && own.is_none() {
            return Ok(Algorithm::Argon2id);
        }
        if let Some(rest) = upper.strip_prefix("PBKDF2") {
            let (sha512, rest) = rest.strip_prefix("-SHA512").map_or((false, rest), |rest| (true, rest));
            let (iterations, bits) = iterations_and_bits(rest).ok_or(UnknownAlgorithm)?;
            return Ok(Algorithm::Pbkdf2 { sha512, iterations, bits, mode });
        }
        let named = DIGESTS.iter().find(|(name, _)| *name == upper);
        named.map(|(_, digest)| Algorithm::Digest { digest: *digest, mode }).ok_or(UnknownAlgorithm)
    }

    /// Whether `hash` is what this algorithm makes of the password for a user of this name.
    pub fn verify(self, user: &str, password: &str, hash: &str) -> bool {
        match self {
            Algorithm::Argon2id => verify_argon2id(password, hash),
            Algorithm::Pbkdf2 { sha512, iterations, bits, mode } => {
                let mut key = vec![0u8; bits.div_ceil(8) as usize];
                let salt = latin1(user);
                match sha512 {
                    true => pbkdf2::pbkdf2_hmac::<Sha512>(password.as_bytes(), &salt, iterations, &mut key),
                    false => pbkdf2::pbkdf2_hmac::<Sha1>(password.as_bytes(), &salt, iterations, &mut key),
                }
                is_written(&key, mode, hash)
            }
            Algorithm::Digest { digest, mode } => {
                let salt = if mode.is_salted() { user } else { "" };
                is_written(&digest.of(&latin1(&format!("{salt}{password}"))), mode, hash)
            }
        }
    }

    /// Whether a hash could be one of this algorithm's at all.
    pub fn takes(self, hash: &str) -> bool {
        match self {
            Algorithm::Argon2id => Record::parse(hash).is_some(),
            _ => (1..=HASH_OCTETS).contains(&hash.len()) && decoded(hash).is_some_and(|octets| !octets.is_empty()),
        }
    }
}

impl fmt::Display for Algorithm {
    /// Writes it as [`Algorithm::parse`] reads it, whatever the mode given there.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Algorithm::Argon2id => f.write_str("argon2id"),
            Algorithm::Pbkdf2 { sha512, iterations, bits, mode } => {
                let digest = if *sha512 { "-SHA512" } else { "" };
                write!(f, "PBKDF2{digest}-{iterations}-{bits}/{}", mode.name())
            }
            Algorithm::Digest { digest, mode } => write!(f, "{}/{}", digest.name(), mode.name()),
        }
    }
}

/// `-1000-512` and the like; each has James' default where it is left out.
fn iterations_and_bits(text: &str) -> Option<(u32, u32)> {
    if text.is_empty() {
        return Some((1000, 512));
    }
    let mut numbers = text.strip_prefix('-')?.split('-').map(|number| number.parse::<u32>().ok());
    let (iterations, bits) = (numbers.next()??, numbers.next().unwrap_or(Some(512))?);
    let in_bounds = (1..=MOST_ITERATIONS).contains(&iterations) && (8..=MOST_BITS).contains(&bits);
    (in_bounds && numbers.next().is_none()).then_some((iterations, bits))
}

impl Named {
    fn name(self) -> &'static str {
        DIGESTS.iter().find(|(_, digest)| *digest == self).map_or("", |(name, _)| name)
    }

    fn of(self, text: &[u8]) -> Vec<u8> {
        match self {
            Named::Md5 => Md5::digest(text).to_vec(),
            Named::Sha1 => Sha1::digest(text).to_vec(),
            Named::Sha256 => Sha256::digest(text).to_vec(),
            Named::Sha384 => Sha384::digest(text).to_vec(),
            Named::Sha512 => Sha512::digest(text).to_vec(),
        }
    }
}

/// The text in ISO 8859-1, as James hashes it: what that has no letter for is a `?`.
fn latin1(text: &str) -> Vec<u8> {
    text.chars().map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?')).collect()
}

/// Whether `hash` is the base64 of these octets. James writes it in lines, and the legacy modes leave out the octets behind
/// the last whole group of three.
fn is_written(octets: &[u8], mode: Mode, hash: &str) -> bool {
    let octets = if mode.is_legacy() { &octets[..octets.len() - octets.len() % 3] } else { octets };
    decoded(hash).is_some_and(|hash| is_same(&hash, octets))
}

fn decoded(hash: &str) -> Option<Vec<u8>> {
    let text: String = hash.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    STANDARD.decode(&text).ok().or_else(|| STANDARD_NO_PAD.decode(&text).ok())
}

/// An argon2id record in PHC's form: `$argon2id$v=19$m=19456,t=2,p=1$salt$key`.
struct Record {
    parameters: Params,
    salt: Vec<u8>,
    key: Vec<u8>,
}

impl Record {
    fn parse(text: &str) -> Option<Record> {
        let mut parts = text.strip_prefix("$argon2id$v=19$")?.split('$');
        let (costs, salt, key) = (parts.next()?, parts.next()?, parts.next()?);
        let mut costs = costs.split(',');
        let mut cost = |name: &str| costs.next()?.strip_prefix(name)?.strip_prefix('=')?.parse::<u32>().ok();
        let (memory, passes, lanes) = (cost("m")?, cost("t")?, cost("p")?);
        let (salt, key) = (STANDARD_NO_PAD.decode(salt).ok()?, STANDARD_NO_PAD.decode(key).ok()?);
        let in_bounds = memory <= MOST_MEMORY_KIB && passes <= MOST_PASSES && lanes <= 64;
        let whole = in_bounds && parts.next().is_none() && costs.next().is_none();
        let lengths = (8..=64).contains(&salt.len()) && (16..=64).contains(&key.len());
        let parameters = Params::new(memory, passes, lanes, Some(key.len())).ok()?;
        (whole && lengths).then_some(Record { parameters, salt, key })
    }
}

fn argon2id(parameters: Params, password: &str, salt: &[u8], key: &mut [u8]) -> bool {
    Argon2::new(Variant::Argon2id, Version::V0x13, parameters)
        .hash_password_into(password.as_bytes(), salt, key)
        .is_ok()
}

fn verify_argon2id(password: &str, hash: &str) -> bool {
    let Some(record) = Record::parse(hash) else { return false };
    let mut key = vec![0u8; record.key.len()];
    argon2id(record.parameters, password, &record.salt, &mut key) && is_same(&key, &record.key)
}

/// The record of a new password; `None` where there is not memory enough to make it.
pub fn make(password: &str, salt: &[u8; SALT_OCTETS]) -> Option<String> {
    let parameters = Params::new(MEMORY_KIB, PASSES, LANES, Some(KEY_OCTETS)).ok()?;
    let mut key = [0u8; KEY_OCTETS];
    argon2id(parameters, password, salt, &mut key).then(|| {
        let (salt, key) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(key));
        format!("$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p={LANES}${salt}${key}")
    })
}

/// Takes as long as the verification of a new password does: for users who are not there.
pub fn waste_time(password: &str) {
    std::hint::black_box(make(password, &[0; SALT_OCTETS]));
}

#[cfg(test)]
#[path = "password_tests.rs"]
mod tests;
