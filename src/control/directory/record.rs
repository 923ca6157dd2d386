//! How one user's password is kept.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::control::random;
use crate::directory::password::{self, Algorithm, Mode, SALT_OCTETS};
use crate::mail::scram::{ITERATIONS, KEY_OCTETS};
use crate::mail::{Password, ScramCredentials};

/// A password as it is kept: enough to know it again, not enough to say it.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    /// How it was hashed, as [`Algorithm`] is written.
    pub algorithm: Box<str>,
    /// The hash.
    pub hash: Box<str>,
    /// For SCRAM; what was brought from James has none before its user has logged in once.
    pub scram: Option<ScramCredentials>,
}

impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Record").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

impl Record {
    /// Of a new password; `None` where there is no randomness or no memory. Slow on purpose.
    pub fn of(password: &Password) -> Option<Record> {
        let (salt, scram_salt) = (random::octets::<SALT_OCTETS>().ok()?, random::octets::<SALT_OCTETS>().ok()?);
        let hash = password::make(password.reveal(), &salt)?;
        let scram = ScramCredentials::derive(password.reveal(), &scram_salt, ITERATIONS);
        Some(Record { algorithm: Algorithm::Argon2id.to_string().into(), hash: hash.into(), scram: Some(scram) })
    }

    /// Of a hash that was made elsewhere; `None` where it cannot be one of the algorithm's.
    pub fn imported(algorithm: Algorithm, hash: &str) -> Option<Record> {
        let hash: String = hash.split_ascii_whitespace().collect();
        let record = Record { algorithm: algorithm.to_string().into(), hash: hash.into(), scram: None };
        algorithm.takes(&record.hash).then_some(record)
    }

    /// Whether it is this user's password. Slow on purpose.
    pub fn verify(&self, user: &str, password: &str) -> bool {
        let algorithm = Algorithm::parse(&self.algorithm, Mode::Plain);
        let is_right = algorithm.as_ref().is_ok_and(|algorithm| algorithm.verify(user, password, &self.hash));
        if !is_right && algorithm != Ok(Algorithm::Argon2id) {
            // The quick hashes of old must not tell that their users are there.
            password::waste_time(password);
        }
        is_right
    }

    /// Whether it is kept as new passwords are.
    pub fn is_up_to_date(&self) -> bool {
        &*self.algorithm == "argon2id" && self.scram.is_some()
    }

    /// As words for the control socket.
    pub fn words(&self) -> Vec<String> {
        let mut words = vec![self.algorithm.to_string(), self.hash.to_string()];
        if let Some(scram) = &self.scram {
            words.push(STANDARD.encode(&scram.salt));
            words.push(scram.iterations.to_string());
            words.extend([scram.stored_key, scram.server_key].map(|key| STANDARD.encode(key)));
        }
        words
    }

    /// Out of these words.
    pub fn from_words(words: &[String]) -> Option<Record> {
        let (algorithm, hash, scram) = match words {
            [algorithm, hash] => (algorithm, hash, None),
            [algorithm, hash, salt, iterations, stored_key, server_key] => {
                let key = |text: &String| <[u8; KEY_OCTETS]>::try_from(STANDARD.decode(text).ok()?).ok();
                let scram = ScramCredentials {
                    salt: STANDARD.decode(salt).ok()?.into(),
                    iterations: iterations.parse().ok().filter(|iterations| *iterations > 0)?,
                    stored_key: key(stored_key)?,
                    server_key: key(server_key)?,
                };
                (algorithm, hash, Some(scram))
            }
            _ => return None,
        };
        let algorithm = Algorithm::parse(algorithm, Mode::Plain).ok()?;
        Some(Record { scram, ..Record::imported(algorithm, hash)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_record_knows_its_password_and_travels_as_words() {
        let record = Record::of(&Password::new("sesame").expect("a password")).expect("memory");
        assert!(record.is_up_to_date());
        assert!(record.verify("you@localhost", "sesame") && !record.verify("you@localhost", "Sesame"));
        assert_eq!(Record::from_words(&record.words()), Some(record.clone()));
        let other = Record::of(&Password::new("sesame").expect("a password")).expect("memory");
        assert_ne!(other.hash, record.hash, "salted");
        assert!(!format!("{record:?}").contains(&*record.hash));
    }

    #[test]
    fn what_was_imported_is_not_up_to_date() {
        let sha = Algorithm::parse("SHA-1", Mode::Plain).expect("an algorithm");
        let record = Record::imported(sha, " y2sLEFEGpWyZ\r\nYzqYIXmtl/rcJ1w= ").expect("base64");
        assert!(!record.is_up_to_date());
        assert_eq!(Record::from_words(&record.words()), Some(record));
        assert_eq!(Record::imported(sha, "not base64!"), None);
        assert_eq!(Record::imported(Algorithm::Argon2id, "y2sLEFEGpWyZYzqYIXmtl/rcJ1w="), None);
        for words in
            [&["MD5"][..], &["MD5", "AAAA", "x"], &["MD6", "AAAA"], &["MD5", "AAAA", "AA==", "0", "AA==", "AA=="]]
        {
            let words: Vec<_> = words.iter().map(ToString::to_string).collect();
            assert_eq!(Record::from_words(&words), None);
        }
    }
}
