//! Who proved itself lately, so that a client which logs in for each message is not hashed for each.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::control::hashing::network;
use crate::mail::scram::hmac;
use crate::mail::{Password, Username};

/// How long a password that was right counts as right.
const BELIEVED: Duration = Duration::from_secs(60);

/// How long a user who proved itself goes by the lane of the trusted when it comes from there again.
const TRUSTED: Duration = Duration::from_secs(30 * 24 * 3600);

/// How many of each are remembered.
const REMEMBERED: usize = 10_000;

/// Passwords that were right within a minute, as keyed hashes: neither they nor anything that could be searched for is kept.
/// And who came from where.
pub struct Proven {
    key: [u8; 32],
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Grows with each flush: what was begun before it is not remembered after it.
    flushes: u64,
    right: HashMap<[u8; 32], Instant>,
    trusted: HashMap<(Username, IpAddr), Instant>,
}

impl Proven {
    /// With a key that nobody knows.
    pub fn new(key: [u8; 32]) -> Proven {
        Proven { key, state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each map is whole between any two statements.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn name(&self, user: &Username, password: &Password) -> [u8; 32] {
        hmac(&self.key, format!("{user}\0{}", password.reveal()).as_bytes())
    }

    /// Whether this password was right lately.
    pub fn is_right(&self, user: &Username, password: &Password, now: Instant) -> bool {
        let name = self.name(user, password);
        self.lock().right.get(&name).is_some_and(|until| *until > now)
    }

    /// Whether the user has proved itself from there.
    pub fn is_trusted(&self, user: &Username, client: IpAddr, now: Instant) -> bool {
        self.lock().trusted.get(&(user.clone(), network(client))).is_some_and(|until| *until > now)
    }

    /// Flushes so far, to be given to [`Proven::remember`].
    pub fn flushes(&self) -> u64 {
        self.lock().flushes
    }

    /// The password was right when it was looked at after so many flushes.
    pub fn remember(&self, user: &Username, password: &Password, client: IpAddr, flushes: u64, now: Instant) {
        let name = self.name(user, password);
        let mut state = self.lock();
        make_room(&mut state.trusted, now);
        state.trusted.insert((user.clone(), network(client)), now + TRUSTED);
        if state.flushes == flushes {
            make_room(&mut state.right, now);
            state.right.insert(name, now + BELIEVED);
        }
    }

    /// Something has changed: no password counts as right any more.
    pub fn flush(&self) {
        let mut state = self.lock();
        state.flushes += 1;
        state.right.clear();
    }
}

/// Makes room for one more: what is over goes, and if that is not enough, everything.
fn make_room<K: std::hash::Hash + Eq>(map: &mut HashMap<K, Instant>, now: Instant) {
    if map.len() >= REMEMBERED {
        map.retain(|_, until| *until > now);
    }
    if map.len() >= REMEMBERED {
        map.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn you() -> (Username, Password) {
        (Username::parse("you@localhost").expect("a name"), Password::new("sesame").expect("a password"))
    }

    #[test]
    fn a_right_password_counts_for_a_minute_and_not_after_a_change() {
        let (proven, (user, password), now) = (Proven::new([7; 32]), you(), Instant::now());
        let client: IpAddr = [192, 0, 2, 1].into();
        assert!(!proven.is_right(&user, &password, now) && !proven.is_trusted(&user, client, now));
        proven.remember(&user, &password, client, proven.flushes(), now);
        let later = |seconds| now + Duration::from_secs(seconds);
        assert!(proven.is_right(&user, &password, later(59)));
        assert!(!proven.is_right(&user, &password, later(60)));
        let other = Password::new("sesame ").expect("a password");
        assert!(!proven.is_right(&user, &other, now));
        proven.flush();
        assert!(!proven.is_right(&user, &password, now));
        assert!(proven.is_trusted(&user, client, later(3600)), "who came from where is no secret that changes");
        assert!(!proven.is_trusted(&user, [192, 0, 2, 2].into(), now));
    }

    #[test]
    fn what_was_looked_at_before_a_change_is_not_remembered_after_it() {
        let (proven, (user, password), now) = (Proven::new([7; 32]), you(), Instant::now());
        let flushes = proven.flushes();
        proven.flush();
        proven.remember(&user, &password, [192, 0, 2, 1].into(), flushes, now);
        assert!(!proven.is_right(&user, &password, now));
    }

    #[test]
    fn only_so_many_are_remembered() {
        let (proven, (user, _), now) = (Proven::new([7; 32]), you(), Instant::now());
        for number in 0..=REMEMBERED {
            let password = Password::new(number.to_string()).expect("a password");
            proven.remember(&user, &password, [192, 0, 2, 1].into(), 0, now);
        }
        assert!(proven.lock().right.len() <= REMEMBERED);
    }
}
