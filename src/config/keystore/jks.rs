//! JKS, Java's own keystore: written by keytool before Java 9, and with `-storetype JKS` to this day.
//!
//! ```text
//! magic FEEDFEED, version 1 or 2, number of entries          (all numbers big-endian, 32 bits)
//!   1, alias, time, protected key, number of certificates, certificates     a key and its chain
//!   2, alias, time, certificate                                             a certificate
//! SHA-1 of the password in UTF-16, "Mighty Aphrodite", and all octets before
//! ```
//!
//! A protected key is an EncryptedPrivateKeyInfo (RFC 5958) of an algorithm of Sun's own: a salt of 20 octets, the key under a
//! keystream of SHA-1 over password and what came before, and SHA-1 of password and key. It protects little; that it is whole is
//! all that is checked here. The reader is total: it takes no more memory than the file has octets, and never panics.

use sha1::{Digest, Sha1};

use super::{Contents, Flaw, Key};
use crate::io::tls::{CertificateDer, PrivateKeyDer};

/// What a JKS begins with.
pub const MAGIC: [u8; 4] = [0xfe, 0xed, 0xfe, 0xed];

/// What a JCEKS begins with, which is protected otherwise.
pub const MAGIC_JCEKS: [u8; 4] = [0xce, 0xce, 0xce, 0xce];

/// Octets of SHA-1.
const DIGEST: usize = 20;

/// 1.3.6.1.4.1.42.2.17.1.1, in DER: the key protector of JKS.
const PROTECTOR: [u8; 12] = [0x06, 0x0a, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x2a, 0x02, 0x11, 0x01, 0x01];

/// Reads a keystore.
///
/// # Errors
///
/// What is none, is cut off or changed, and another password.
pub fn read(octets: &[u8], password: &str) -> Result<Contents, Flaw> {
    let password: Vec<u8> = password.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let (body, digest) = octets.split_last_chunk::<DIGEST>().ok_or_else(|| broken("it is cut off"))?;
    let mut cursor = Cursor(body);
    if cursor.take(4)? != MAGIC {
        return Err(broken("it is no JKS"));
    }
    let version = cursor.number()?;
    if version != 1 && version != 2 {
        return Err(broken("it is a JKS of an unknown version"));
    }
    // Checked first: whoever has another password is told that, and not what follows from it.
    if Sha1::new().chain_update(&password).chain_update(b"Mighty Aphrodite").chain_update(body).finalize()[..]
        != digest[..]
    {
        return Err(if cursor.entries(version).is_ok() { Flaw::Password } else { broken("it is cut off or changed") });
    }
    let mut contents = Contents::default();
    let mut named = Vec::new();
    for entry in cursor.entries(version)? {
        match entry {
            Entry::Key { alias, protected, chain } => named.push((alias, unprotect(protected, &password)?, chain)),
            Entry::Certificate(certificate) => contents.trusted.push(certificate.to_vec().into()),
        }
    }
    // Java's order is that of a hash table.
    named.sort_by_key(|(alias, ..)| alias.to_vec());
    for (_, key, chain) in named {
        let key = PrivateKeyDer::Pkcs8(key.into());
        let chain = chain.into_iter().map(|certificate| CertificateDer::from(certificate.to_vec())).collect();
        contents.keys.push(Key { key, chain });
    }
    Ok(contents)
}

/// One entry.
enum Entry<'a> {
    Key { alias: &'a [u8], protected: &'a [u8], chain: Vec<&'a [u8]> },
    Certificate(&'a [u8]),
}

/// Reads from the front of octets; never past their end.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Flaw> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or_else(|| broken("it is cut off"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u32, Flaw> {
        let octets = self.take(4)?.try_into().map_err(|_| broken("it is cut off"))?;
        Ok(u32::from_be_bytes(octets))
    }

    /// A text with its length in two octets before it.
    fn text(&mut self) -> Result<&'a [u8], Flaw> {
        let length = self.take(2)?.iter().fold(0, |length, octet| length << 8 | usize::from(*octet));
        self.take(length)
    }

    /// Octets with their number in four octets before them.
    fn octets(&mut self) -> Result<&'a [u8], Flaw> {
        let length = self.number()?;
        self.take(usize::try_from(length).map_err(|_| broken("it is cut off"))?)
    }

    fn certificate(&mut self, version: u32) -> Result<&'a [u8], Flaw> {
        if version == 2 && self.text()? != b"X.509" {
            return Err(broken("it holds a certificate that is not of X.509"));
        }
        self.octets()
    }

    /// The entries that are left. Each takes some octets, so their number needs no bound of its own.
    fn entries(&mut self, version: u32) -> Result<Vec<Entry<'a>>, Flaw> {
        let mut entries = Vec::new();
        for _ in 0..self.number()? {
            let kind = self.number()?;
            let alias = self.text()?;
            self.take(8)?;
            entries.push(match kind {
                1 => {
                    let protected = self.octets()?;
                    let count = self.number()?;
                    let mut chain = Vec::new();
                    for _ in 0..count {
                        chain.push(self.certificate(version)?);
                    }
                    Entry::Key { alias, protected, chain }
                }
                2 => Entry::Certificate(self.certificate(version)?),
                _ => return Err(broken("it holds an entry of an unknown kind")),
            });
        }
        if self.0.is_empty() { Ok(entries) } else { Err(broken("it has something at its end")) }
    }
}

/// The key out of its EncryptedPrivateKeyInfo.
fn unprotect(protected: &[u8], password: &[u8]) -> Result<Vec<u8>, Flaw> {
    let wrong = || broken("it holds a key that is not protected as JKS does");
    let (info, rest) = der(0x30, protected).ok_or_else(wrong)?;
    let (algorithm, data) = der(0x30, info).ok_or_else(wrong)?;
    let (data, more) = der(0x04, data).ok_or_else(wrong)?;
    if !rest.is_empty() || !more.is_empty() || !algorithm.starts_with(&PROTECTOR) {
        return Err(wrong());
    }
    let (salt, data) = data.split_first_chunk::<DIGEST>().ok_or_else(wrong)?;
    let (encrypted, check) = data.split_last_chunk::<DIGEST>().ok_or_else(wrong)?;
    let mut block = *salt;
    let mut key = Vec::with_capacity(encrypted.len());
    for piece in encrypted.chunks(DIGEST) {
        block = Sha1::new().chain_update(password).chain_update(block).finalize().into();
        key.extend(piece.iter().zip(block).map(|(octet, mask)| octet ^ mask));
    }
    // Keys can have passwords of their own; James gives one for both.
    match Sha1::new().chain_update(password).chain_update(&key).finalize()[..] == check[..] {
        true => Ok(key),
        false => Err(Flaw::Password),
    }
}

/// What is in the DER element of that tag, and what follows it.
fn der(tag: u8, octets: &[u8]) -> Option<(&[u8], &[u8])> {
    let (head, rest) = octets.split_first_chunk::<2>()?;
    let [found, length] = *head;
    if found != tag {
        return None;
    }
    if length < 0x80 {
        return rest.split_at_checked(usize::from(length));
    }
    let count = usize::from(length & 0x7f);
    if !(1..=4).contains(&count) {
        return None;
    }
    let (length, rest) = rest.split_at_checked(count)?;
    rest.split_at_checked(length.iter().fold(0, |length, octet| length << 8 | usize::from(*octet)))
}

fn broken(why: &str) -> Flaw {
    Flaw::Broken(why.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECRET: &str = "james72laBalle";
    const FILE: &[u8] = include_bytes!("../../../tests/keystores/java.jks");

    #[test]
    fn every_length_and_every_password_but_the_right_ones_is_refused() {
        assert_eq!(read(FILE, SECRET).unwrap().keys.len(), 1);
        for length in 0..FILE.len() {
            assert!(read(&FILE[..length], SECRET).is_err(), "{length}");
        }
        for password in ["", "james72laball", "James72laBalle", "é"] {
            assert_eq!(read(FILE, password).err(), Some(Flaw::Password));
        }
    }

    #[test]
    fn lengths_in_the_file_are_not_believed() {
        let huge = |rest: &[u8]| [&MAGIC[..], &[0, 0, 0, 2], rest, &[0; 20]].concat();
        for rest in [&[0xff; 4][..], &[0, 0, 0, 1, 0, 0, 0, 1, 0xff, 0xff], &[0, 0, 0, 1, 0, 0, 0, 7, 0, 0]] {
            assert!(matches!(read(&huge(rest), SECRET), Err(Flaw::Broken(_))));
        }
    }

    proptest! {
        #[test]
        fn a_changed_octet_is_noticed(at in 0..FILE.len(), bit in 0u8..8) {
            let mut changed = FILE.to_vec();
            changed[at] ^= 1 << bit;
            prop_assert!(read(&changed, SECRET).is_err());
        }

        #[test]
        fn any_octets_are_read_without_harm(octets in proptest::collection::vec(any::<u8>(), 0..300), version in 1u8..3) {
            let _ = read(&octets, SECRET);
            let mut body = [&MAGIC[..], &[0, 0, 0, version], &octets].concat();
            let password: Vec<u8> = SECRET.encode_utf16().flat_map(u16::to_be_bytes).collect();
            let digest = Sha1::new().chain_update(&password).chain_update(b"Mighty Aphrodite").chain_update(&body).finalize();
            body.extend_from_slice(&digest);
            let _ = read(&body, SECRET);
            let _ = unprotect(&octets, &password);
        }
    }
}
