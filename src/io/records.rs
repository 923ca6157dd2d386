//! TLS whose records are sealed and opened below us, with keys that were agreed on above: by the kernel (kTLS), where it can.

use std::io;
use std::task::{Context, Poll};

use crate::mail::TlsVersion;

/// Octets of content in one record at most (RFC 8446 §5.1).
pub const FRAGMENT: usize = 16_384;

/// The number of records that hold content of the protocol inside (RFC 8446 §5.1).
pub const APPLICATION_DATA: u8 = 23;

/// What a connection does that seals and opens records itself. What is sent as on any stream is sealed as application data.
pub trait Records {
    /// Makes it ready for keys; until it has them it sends and receives as before, and so it does after an error.
    fn prepare(&mut self) -> io::Result<()>;

    /// Has it use these keys from now on, in place of others if it has some ([`io::ErrorKind::ResourceBusy`] where it cannot).
    fn use_keys(&mut self, direction: Direction, keys: &Keys) -> io::Result<()>;

    /// Receives content of one kind.
    fn poll_receive(&mut self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<Received>>;

    /// The same for what is there at this moment, without waiting.
    fn receive_now(&mut self, buffer: &mut [u8]) -> io::Result<Received>;

    /// Sends a record of another kind than application data.
    fn poll_send(&mut self, context: &mut Context<'_>, kind: u8, content: &[u8]) -> Poll<io::Result<usize>>;
}

/// What was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// So many octets of the content of records of that kind.
    Content {
        /// The kind's number.
        kind: u8,
        /// How many.
        octets: usize,
    },
    /// The end of the stream below: not the end that TLS has.
    End,
}

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// What is sent is sealed.
    Send,
    /// What is received is opened.
    Receive,
}

/// What seals and opens records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aead {
    /// AES-GCM with keys of 128 bits.
    Aes128Gcm,
    /// AES-GCM with keys of 256 bits.
    Aes256Gcm,
    /// ChaCha20-Poly1305.
    ChaCha20Poly1305,
}

impl Aead {
    /// All that there are.
    pub const ALL: [Aead; 3] = [Aead::Aes128Gcm, Aead::Aes256Gcm, Aead::ChaCha20Poly1305];

    /// Its name, as the log has it.
    pub const fn name(self) -> &'static str {
        match self {
            Aead::Aes128Gcm => "AES-128-GCM",
            Aead::Aes256Gcm => "AES-256-GCM",
            Aead::ChaCha20Poly1305 => "CHACHA20-POLY1305",
        }
    }

    /// Its number in `linux/tls.h`.
    const fn number(self) -> u16 {
        match self {
            Aead::Aes128Gcm => 51,
            Aead::Aes256Gcm => 52,
            Aead::ChaCha20Poly1305 => 54,
        }
    }

    /// Octets of a key.
    pub const fn key_octets(self) -> usize {
        match self {
            Aead::Aes128Gcm => 16,
            Aead::Aes256Gcm | Aead::ChaCha20Poly1305 => 32,
        }
    }
}

/// Octets of the longest keys: version, cipher, nonce, key and sequence number.
const LONGEST: usize = 2 + 2 + 12 + 32 + 8;

/// The keys of one direction as the kernel is given them: the structures `tls12_crypto_info_…` of `linux/tls.h`.
pub struct Keys {
    octets: [u8; LONGEST],
    length: usize,
}

impl Keys {
    /// Of a key and its nonce of 12 octets, for the record of that sequence number and those after it. `None` where the key has
    /// another length.
    ///
    /// **The nonce of AES-GCM in TLS 1.2** has 8 octets that stand in each record, and who seals chooses them (RFC 5288 §3).
    /// rustls has combined its own with the sequence number by exclusive or; the kernel counts up from those that it is given.
    /// None may come again under one key, so the kernel counts in the half that rustls was not in: as long as no 2^63 records
    /// were sealed, rustls never changed the first bit of its own.
    pub fn new(version: TlsVersion, aead: Aead, key: &[u8], nonce: &[u8; 12], sequence: u64) -> Option<Keys> {
        if key.len() != aead.key_octets() {
            return None;
        }
        let (salt, rest) = nonce.split_at(4);
        let explicit = match version {
            TlsVersion::Tls12 => [!rest.first()? & 0x80, 0, 0, 0, 0, 0, 0, 0],
            TlsVersion::Tls13 => rest.try_into().ok()?,
        };
        let mut keys = Keys { octets: [0; LONGEST], length: 0 };
        keys.put(&version.number().to_ne_bytes());
        keys.put(&aead.number().to_ne_bytes());
        match aead {
            Aead::Aes128Gcm | Aead::Aes256Gcm => {
                keys.put(&explicit);
                keys.put(key);
                keys.put(salt);
            }
            Aead::ChaCha20Poly1305 => {
                keys.put(nonce);
                keys.put(key);
            }
        }
        keys.put(&sequence.to_be_bytes());
        Some(keys)
    }

    fn put(&mut self, octets: &[u8]) {
        self.octets[self.length..][..octets.len()].copy_from_slice(octets);
        self.length += octets.len();
    }

    /// The structure.
    pub fn octets(&self) -> &[u8] {
        &self.octets[..self.length]
    }
}

impl Drop for Keys {
    /// No copy of a key stays in memory that is used again.
    fn drop(&mut self) {
        std::hint::black_box(&mut self.octets).fill(0);
        std::hint::black_box(&self.octets);
    }
}

/// Which versions and ciphers are sealed and opened below.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offered(u8);

impl Offered {
    /// With one more.
    pub fn insert(&mut self, version: TlsVersion, aead: Aead) {
        self.0 |= Offered::bit(version, aead);
    }

    /// Whether it is among them.
    pub fn has(self, version: TlsVersion, aead: Aead) -> bool {
        self.0 & Offered::bit(version, aead) != 0
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    fn bit(version: TlsVersion, aead: Aead) -> u8 {
        let row = if version == TlsVersion::Tls12 { 0 } else { 3 };
        1 << (row + aead as u8)
    }
}

impl std::fmt::Display for Offered {
    /// As in `TLSv1.2 AES-128-GCM AES-256-GCM, TLSv1.3 AES-128-GCM`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut between = "";
        for version in TlsVersion::ALL {
            let mut aeads = Aead::ALL.into_iter().filter(|aead| self.has(version, *aead)).peekable();
            if aeads.peek().is_some() {
                write!(f, "{between}{version}")?;
                between = ", ";
            }
            aeads.try_for_each(|aead| write!(f, " {}", aead.name()))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: [u8; 12] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];

    fn keys(version: TlsVersion, aead: Aead) -> Vec<u8> {
        let key: Vec<u8> = (100..).take(aead.key_octets()).collect();
        Keys::new(version, aead, &key, &NONCE, 0x0102_0304_0506_0708).unwrap().octets().to_vec()
    }

    /// `struct tls12_crypto_info_…` of `linux/tls.h`, member by member.
    #[test]
    fn keys_are_laid_out_as_the_kernel_reads_them() {
        let key = |octets: u8| (100..100 + octets).collect::<Vec<u8>>();
        let sequence = [1, 2, 3, 4, 5, 6, 7, 8];
        let info = |version: u16, cipher: u16| [version.to_ne_bytes(), cipher.to_ne_bytes()].concat();
        let of = |parts: &[&[u8]]| parts.concat();
        let (salt, iv) = NONCE.split_at(4);
        let expected = of(&[&info(0x0304, 51), iv, &key(16), salt, &sequence]);
        assert_eq!((keys(TlsVersion::Tls13, Aead::Aes128Gcm), expected.len()), (expected, 40));
        let expected = of(&[&info(0x0304, 52), iv, &key(32), salt, &sequence]);
        assert_eq!((keys(TlsVersion::Tls13, Aead::Aes256Gcm), expected.len()), (expected, 56));
        let expected = of(&[&info(0x0304, 54), &NONCE, &key(32), &sequence]);
        assert_eq!((keys(TlsVersion::Tls13, Aead::ChaCha20Poly1305), expected.len()), (expected, 56));
        let expected = of(&[&info(0x0303, 51), &[0x80, 0, 0, 0, 0, 0, 0, 0], &key(16), salt, &sequence]);
        assert_eq!(keys(TlsVersion::Tls12, Aead::Aes128Gcm), expected);
        let expected = of(&[&info(0x0303, 54), &NONCE, &key(32), &sequence]);
        assert_eq!(keys(TlsVersion::Tls12, Aead::ChaCha20Poly1305), expected);
    }

    #[test]
    fn a_key_of_another_length_is_none() {
        for aead in Aead::ALL {
            assert!(Keys::new(TlsVersion::Tls13, aead, &[7; 24], &NONCE, 0).is_none());
        }
    }

    #[test]
    fn no_nonce_of_tls_1_2_comes_again() {
        for first in [0x00, 0x7f, 0x80, 0xff] {
            let nonce = [1, 2, 3, 4, first, 6, 7, 8, 9, 10, 11, 12];
            let keys = Keys::new(TlsVersion::Tls12, Aead::Aes256Gcm, &[7; 32], &nonce, 3).unwrap();
            let given = u64::from_be_bytes(keys.octets()[4..12].try_into().unwrap());
            let rustls = u64::from_be_bytes(nonce[4..].try_into().unwrap());
            for (sealed, to_come) in [(0, 0), (2, 0), (u64::MAX >> 1, 0), (2, u64::MAX >> 1)] {
                assert_ne!(rustls ^ sealed, given + to_come);
                assert_ne!((rustls ^ sealed) >> 63, (given + to_come) >> 63);
            }
        }
    }

    #[test]
    fn what_is_offered_is_told() {
        let mut offered = Offered::default();
        assert!(offered.is_empty());
        for (version, aead) in [
            (TlsVersion::Tls13, Aead::ChaCha20Poly1305),
            (TlsVersion::Tls12, Aead::Aes128Gcm),
            (TlsVersion::Tls12, Aead::Aes256Gcm),
        ] {
            assert!(!offered.has(version, aead));
            offered.insert(version, aead);
            assert!(offered.has(version, aead) && !offered.is_empty());
        }
        assert!(!offered.has(TlsVersion::Tls13, Aead::Aes128Gcm));
        assert_eq!(offered.to_string(), "TLSv1.2 AES-128-GCM AES-256-GCM, TLSv1.3 CHACHA20-POLY1305");
    }
}
