//! Who has to wait before the next password is looked at, over all cores (`io::strikes`).
//!
//! The rule, in this order:
//!
//! 1. A user who has proved itself from a network within [`USUAL`] is tried from there whatever others did, to the user or
//!    from the network. Only its own failures from there make it wait, for [`USUAL_WAIT`] at most.
//! 2. A network from which nothing failed lately is tried.
//! 3. A network waits for its failures beyond [`FREE`], a second for the first of them and twice as long for each more, up to
//!    [`WAIT`]. For a user who is under attack, by [`ATTACK`] failures from anywhere, the first failure counts.
//!
//! So who guesses from one place is slow, who guesses one user from many places has one guess from each, and neither keeps out
//! a user who comes from where it always comes, or from where nobody guesses. A client of `authorizedAddresses` is no network of
//! strangers but a program that many users sit behind: there each user counts alone.

use std::net::IpAddr;

use crate::io::counts::Key;
use crate::io::strikes::{StrikeTable, Strikes};

/// Seconds for which it is remembered where a user has proved itself: 30 days.
const USUAL: u32 = 30 * 86_400;

/// Most seconds that a user waits for its own failures where it usually comes from.
const USUAL_WAIT: u32 = 8;

/// Failures of a network that nobody waits for.
const FREE: u32 = 4;

/// Failures of a user that make an attack.
const ATTACK: u32 = 20;

/// Most seconds that a network waits: 15 minutes.
const WAIT: u32 = 900;

/// Networks, users and pairs of them that are remembered, at 8 octets each.
const KEYS: usize = 1 << 16;

/// Failures and proofs, of all cores.
#[derive(Debug)]
pub struct Backoff {
    ipv6_prefix: u8,
    networks: StrikeTable,
    users: StrikeTable,
    /// Failures of a user from a network.
    pairs: StrikeTable,
    /// Proofs of a user from a network.
    proved: StrikeTable,
}

/// Who wants to authenticate, from where, at what time.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// The client's address.
    pub client: IpAddr,
    /// It is in `authorizedAddresses`.
    pub authorized: bool,
    /// The user's name as it was said.
    pub name: &'a str,
    /// Seconds of a clock that all cores share.
    pub now: u32,
}

impl Backoff {
    /// Nothing has happened yet. IPv6 addresses that share their first `ipv6_prefix` bits are one network.
    pub fn new(ipv6_prefix: u8) -> Backoff {
        let table = || StrikeTable::new(KEYS);
        Backoff { ipv6_prefix, networks: table(), users: table(), pairs: table(), proved: table() }
    }

    /// Whether the attempt is looked at now.
    pub fn admits(&self, attempt: Attempt<'_>) -> bool {
        let (network, user) = self.keys(attempt);
        let now = attempt.now;
        let own = || self.pairs.get(&(network, &user), now).unwrap_or_default();
        if self.proved.get(&(network, &user), now).is_some_and(|proof| proof.age < USUAL) {
            return has_waited(own(), FREE, USUAL_WAIT);
        }
        let failures = if attempt.authorized { own() } else { self.networks.get(&network, now).unwrap_or_default() };
        let attacked = self.users.get(&user, now).is_some_and(|failures| failures.count >= ATTACK);
        has_waited(failures, if attacked { 0 } else { FREE }, WAIT)
    }

    /// The attempt was looked at, and failed.
    pub fn failed(&self, attempt: Attempt<'_>) {
        let (network, user) = self.keys(attempt);
        self.networks.add(&network, attempt.now);
        self.users.add(&user, attempt.now);
        self.pairs.add(&(network, &user), attempt.now);
    }

    /// The user has proved itself.
    pub fn proved(&self, attempt: Attempt<'_>) {
        let (network, user) = self.keys(attempt);
        self.proved.add(&(network, &user), attempt.now);
    }

    fn keys(&self, attempt: Attempt<'_>) -> (Key, String) {
        (Key::new(0, attempt.client, self.ipv6_prefix), attempt.name.to_lowercase())
    }
}

/// Whether enough time has gone by since the last of the failures.
fn has_waited(failures: Strikes, free: u32, most: u32) -> bool {
    let beyond = failures.count.saturating_sub(free);
    beyond == 0 || failures.age >= 1u32.checked_shl(beyond - 1).unwrap_or(most).min(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u32 = 60;

    fn attempt(client: &str, name: &'static str, now: u32) -> Attempt<'static> {
        Attempt { client: client.parse().expect("an address"), authorized: false, name, now }
    }

    /// How many of `tries` attempts, one a second from `from` on, are looked at, all of them failing.
    fn looked_at(backoff: &Backoff, client: &str, name: &'static str, from: u32, tries: u32) -> u32 {
        let attempts = (from..from + tries).map(|now| attempt(client, name, now));
        attempts.filter(|attempt| backoff.admits(*attempt)).map(|attempt| backoff.failed(attempt)).count() as u32
    }

    #[test]
    fn who_guesses_from_one_place_is_slow() {
        let backoff = Backoff::new(64);
        assert_eq!(looked_at(&backoff, "192.0.2.1", "you", 0, 4), 4);
        let hour = looked_at(&backoff, "192.0.2.1", "you", 4, 60 * MINUTE);
        assert!((5..60).contains(&hour), "{hour} guesses in an hour");
        // Other users are no other guesses, and neighbours in an IPv6 network are no other places.
        assert!(!backoff.admits(attempt("192.0.2.1", "me", 60 * MINUTE + 4)));
        looked_at(&backoff, "2001:db8::1", "you", 0, 300);
        assert!(!backoff.admits(attempt("2001:db8::2", "me", 300)));
    }

    #[test]
    fn a_user_under_attack_comes_in_from_where_it_always_comes_and_from_where_nobody_guesses() {
        let backoff = Backoff::new(64);
        backoff.proved(attempt("198.51.100.1", "you", 0));
        for place in 0..200u32 {
            let client = format!("203.0.113.{place}");
            let now = 10 + place;
            let looked_at = (0..20).filter(|_| {
                let attempt =
                    Attempt { client: client.parse().expect("an address"), authorized: false, name: "YOU", now };
                let admitted = backoff.admits(attempt);
                if admitted {
                    backoff.failed(attempt);
                }
                admitted
            });
            let looked_at = looked_at.count();
            assert!(looked_at <= 5 && (place < 20 || looked_at == 1), "{looked_at} guesses from place {place}");
        }
        assert!(backoff.admits(attempt("198.51.100.1", "you", 211)), "from where it always comes");
        assert!(backoff.admits(attempt("192.0.2.77", "you", 211)), "from where nobody guesses");
    }

    #[test]
    fn a_guesser_behind_the_same_address_keeps_nobody_out_who_comes_from_there() {
        let backoff = Backoff::new(64);
        backoff.proved(attempt("192.0.2.1", "you", 0));
        looked_at(&backoff, "192.0.2.1", "me", 1, 600);
        assert!(!backoff.admits(attempt("192.0.2.1", "somebody", 601)));
        assert!(backoff.admits(attempt("192.0.2.1", "You", 601)));
        // Its own failures count, for a few seconds.
        looked_at(&backoff, "192.0.2.1", "you", 602, 60);
        assert!(backoff.admits(attempt("192.0.2.1", "you", 662 + USUAL_WAIT)));
        assert!(!backoff.admits(attempt("192.0.2.1", "somebody", 662 + USUAL_WAIT)));
    }

    #[test]
    fn users_behind_a_program_of_ours_count_alone() {
        let backoff = Backoff::new(64);
        let webmail = |name, now| Attempt { authorized: true, ..attempt("127.0.0.1", name, now) };
        (0..50).for_each(|now| backoff.failed(webmail("me", now)));
        assert!(!backoff.admits(webmail("me", 50)));
        assert!(backoff.admits(webmail("you", 50)));
    }

    #[test]
    fn failures_are_forgiven_with_time() {
        let backoff = Backoff::new(64);
        (0..255).for_each(|_| backoff.failed(attempt("192.0.2.1", "you", 0)));
        assert!(!backoff.admits(attempt("192.0.2.1", "you", WAIT - 1)));
        assert!(backoff.admits(attempt("192.0.2.1", "you", 24 * 60 * MINUTE)));
        assert_eq!(looked_at(&backoff, "192.0.2.1", "me", 24 * 60 * MINUTE, 4), 4);
    }
}
