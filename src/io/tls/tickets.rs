//! Tickets by which clients resume their sessions, under keys that every core has a copy of.
//!
//! The control plane makes the keys and hands them to each core, which keeps them in a cell of its own: nothing is locked, and a
//! ticket of one core is good on all. A process that starts has new keys, so no ticket outlives it.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use rustls::server::ProducesTickets;

/// Octets that name a key in a ticket.
const NAME: usize = 16;

/// Octets of a nonce of AES-GCM.
const NONCE: usize = 12;

/// Octets of the time of issue inside a ticket, in milliseconds.
const TIME: usize = 8;

/// Octets of a ticket at most; those with certificates of clients are the longest.
const TICKET: usize = 16 * 1024;

thread_local! {
    /// The keys of this core.
    static KEYS: RefCell<Option<Arc<TicketKeys>>> = const { RefCell::new(None) };
}

/// One key.
pub struct TicketKey {
    name: [u8; NAME],
    key: RandomizedNonceKey,
}

impl TicketKey {
    /// A new one that nobody can guess.
    pub fn random() -> std::io::Result<TicketKey> {
        let mut octets = [0; NAME + 32];
        aws_lc_rs::rand::fill(&mut octets).map_err(|_| std::io::Error::other("no random numbers"))?;
        let (name, secret) = octets.split_at(NAME);
        let key = RandomizedNonceKey::new(&AES_256_GCM, secret).map_err(|_| std::io::Error::other("no key"))?;
        let name = name.try_into().map_err(std::io::Error::other)?;
        Ok(TicketKey { name, key })
    }
}

/// All keys that are good, the newest first: by that new tickets are made.
pub struct TicketKeys(Vec<Arc<TicketKey>>);

impl TicketKeys {
    /// Of these keys, the newest first.
    pub fn new(keys: Vec<Arc<TicketKey>>) -> TicketKeys {
        TicketKeys(keys)
    }
}

impl std::fmt::Debug for TicketKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TicketKeys({})", self.0.len())
    }
}

/// Has this core use these keys from now on.
pub fn use_ticket_keys(keys: Arc<TicketKeys>) {
    KEYS.set(Some(keys));
}

/// Makes and reads tickets by the keys of the core that it is called on.
#[derive(Debug)]
pub(super) struct CoreTickets {
    /// What tickets are bound to.
    scope: [u8; 32],
    lifetime: Duration,
}

impl CoreTickets {
    pub(super) fn new(scope: [u8; 32], lifetime: Duration) -> CoreTickets {
        CoreTickets { scope, lifetime }
    }

    fn seal(&self, keys: &TicketKeys, plain: &[u8], now: u64) -> Option<Vec<u8>> {
        let TicketKey { name, key } = &**keys.0.first()?;
        let mut sealed = [&now.to_be_bytes(), plain].concat();
        let nonce = key.seal_in_place_append_tag(Aad::from(self.scope), &mut sealed).ok()?;
        let ticket = [&name[..], nonce.as_ref(), &sealed].concat();
        (ticket.len() <= TICKET).then_some(ticket)
    }

    fn open(&self, keys: &TicketKeys, ticket: &[u8], now: u64) -> Option<Vec<u8>> {
        if ticket.len() > TICKET {
            return None;
        }
        let (name, rest) = ticket.split_at_checked(NAME)?;
        let (nonce, sealed) = rest.split_at_checked(NONCE)?;
        let key = keys.0.iter().find(|key| key.name == name)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut sealed = sealed.to_vec();
        let opened = key.key.open_in_place(nonce, Aad::from(self.scope), &mut sealed).ok()?;
        let (issued, plain) = opened.split_at_checked(TIME)?;
        let age = now.checked_sub(u64::from_be_bytes(issued.try_into().ok()?))?;
        (u128::from(age) <= self.lifetime.as_millis()).then(|| plain.to_vec())
    }
}

impl ProducesTickets for CoreTickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        u32::try_from(self.lifetime.as_secs()).unwrap_or(u32::MAX)
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let keys = KEYS.with_borrow(Clone::clone)?;
        self.seal(&keys, plain, milliseconds())
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let keys = KEYS.with_borrow(Clone::clone)?;
        self.open(&keys, ticket, milliseconds())
    }
}

/// Milliseconds since the Unix epoch.
fn milliseconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn keys(count: usize) -> Vec<Arc<TicketKey>> {
        (0..count).map(|_| Arc::new(TicketKey::random().unwrap())).collect()
    }

    fn tickets(scope: u8) -> CoreTickets {
        CoreTickets::new([scope; 32], Duration::from_secs(100))
    }

    #[test]
    fn a_ticket_is_good_for_its_server_its_time_and_as_long_as_its_key() {
        let all = keys(3);
        let old = TicketKeys::new(vec![all[0].clone()]);
        let rotated = TicketKeys::new(vec![all[1].clone(), all[0].clone()]);
        let later = TicketKeys::new(vec![all[2].clone(), all[1].clone()]);
        let ticket = tickets(1).seal(&old, b"session", 1000).unwrap();
        assert_eq!(tickets(1).open(&old, &ticket, 1000).as_deref(), Some(&b"session"[..]));
        assert_eq!(tickets(1).open(&rotated, &ticket, 101_000).as_deref(), Some(&b"session"[..]));
        assert_eq!(tickets(1).open(&rotated, &ticket, 101_001), None, "too old");
        assert_eq!(tickets(1).open(&rotated, &ticket, 999), None, "from the future");
        assert_eq!(tickets(2).open(&rotated, &ticket, 1000), None, "of another server");
        assert_eq!(tickets(1).open(&later, &ticket, 1000), None, "of a key that is gone");
        assert_ne!(tickets(1).seal(&old, b"session", 1000).unwrap(), ticket);
        assert_eq!(tickets(1).seal(&old, &[0; TICKET], 1000), None);
    }

    #[test]
    fn a_core_without_keys_makes_none() {
        assert_eq!(tickets(1).encrypt(b"session"), None);
        use_ticket_keys(Arc::new(TicketKeys::new(keys(1))));
        let ticket = tickets(1).encrypt(b"session").unwrap();
        assert_eq!(tickets(1).decrypt(&ticket).as_deref(), Some(&b"session"[..]));
    }

    proptest! {
        #[test]
        fn any_octets_are_no_ticket(octets in proptest::collection::vec(any::<u8>(), 0..200), at in any::<prop::sample::Index>(), bit in 0u8..8) {
            let keys = TicketKeys::new(keys(1));
            prop_assert_eq!(tickets(1).open(&keys, &octets, 0), None);
            let mut ticket = tickets(1).seal(&keys, &octets, 5).unwrap();
            prop_assert_eq!(tickets(1).open(&keys, &ticket, 5), Some(octets));
            let at = at.index(ticket.len());
            ticket[at] ^= 1 << bit;
            prop_assert_eq!(tickets(1).open(&keys, &ticket, 5), None);
        }
    }
}
