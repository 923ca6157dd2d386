//! What a server keeps of a password for SCRAM-SHA-256 (RFC 5802 §3, RFC 7677), and the arithmetic of one run.
//!
//! Pure. What travels over the wire is for `smtp` to read and write.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// Octets of SHA-256 and of the keys made with it.
pub const KEY_OCTETS: usize = 32;

/// Iterations for new material (RFC 7677 §4 asks for 4096 or more). More would be paid by each client at each login, and a
/// phone is a client.
pub const ITERATIONS: u32 = 10_000;

/// One user's SCRAM-SHA-256 material: enough to check a proof, not enough to make one.
#[derive(Clone, PartialEq, Eq)]
pub struct ScramCredentials {
    /// `s=` of the server's first message, before base64.
    pub salt: Box<[u8]>,
    /// `i=`.
    pub iterations: u32,
    /// `H(ClientKey)`.
    pub stored_key: [u8; KEY_OCTETS],
    /// What the server proves itself with.
    pub server_key: [u8; KEY_OCTETS],
}

impl std::fmt::Debug for ScramCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ScramCredentials").field("iterations", &self.iterations).finish_non_exhaustive()
    }
}

impl ScramCredentials {
    /// The material of a password (RFC 5802 §3). Costs `iterations` HMACs: nothing for a core that serves mail. The password
    /// is taken as it is written: normalising it (SASLprep, RFC 4013) changes no password of ASCII.
    pub fn derive(password: &str, salt: &[u8], iterations: u32) -> ScramCredentials {
        let mut salted = [0u8; KEY_OCTETS];
        pbkdf2::pbkdf2_hmac::<Sha256>(password.as_bytes(), salt, iterations.max(1), &mut salted);
        let stored_key = Sha256::digest(hmac(&salted, b"Client Key")).into();
        ScramCredentials { salt: salt.into(), iterations, stored_key, server_key: hmac(&salted, b"Server Key") }
    }

    /// The server's signature, if `proof` (of 32 octets) is the client's for this `auth_message`: the three messages of the
    /// run joined by commas, as RFC 5802 §3 has it. `None`: the client does not know the password. The comparison takes the
    /// same time wherever it fails.
    pub fn verify(&self, auth_message: &[u8], proof: &[u8]) -> Option<[u8; KEY_OCTETS]> {
        let proof: &[u8; KEY_OCTETS] = proof.try_into().ok()?;
        let mut client_key = hmac(&self.stored_key, auth_message);
        client_key.iter_mut().zip(proof).for_each(|(octet, other)| *octet ^= other);
        let is_right = is_same(&Sha256::digest(client_key), &self.stored_key);
        is_right.then(|| hmac(&self.server_key, auth_message))
    }
}

/// HMAC-SHA-256 (RFC 2104).
pub fn hmac(key: &[u8], message: &[u8]) -> [u8; KEY_OCTETS] {
    // A key of any length is taken: there is no error to see here.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return [0; KEY_OCTETS] };
    mac.update(message);
    mac.finalize().into_bytes().into()
}

/// Whether two texts are the same, in a time that depends on their lengths alone.
pub fn is_same(a: &[u8], b: &[u8]) -> bool {
    let difference = a.iter().zip(b).fold(0u8, |difference, (a, b)| difference | (a ^ b));
    a.len() == b.len() && std::hint::black_box(difference) == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    /// The run of RFC 7677 §3.
    #[test]
    fn the_example_of_rfc_7677_runs() {
        let decode = |text: &str| STANDARD.decode(text).expect("base64");
        let credentials = ScramCredentials::derive("pencil", &decode("W22ZaJ0SNY7soEsUEjb6gQ=="), 4096);
        let auth_message = b"n=user,r=rOprNGfwEbeRWgbNEkqO,\
            r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,\
            c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let proof = decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
        let signature = credentials.verify(auth_message, &proof).expect("the client knows the password");
        assert_eq!(STANDARD.encode(signature), "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
        assert_eq!(credentials.verify(b"another run", &proof), None);
        assert_eq!(credentials.verify(auth_message, &proof[1..]), None);
        let other = ScramCredentials::derive("pencils", &credentials.salt, 4096);
        assert_eq!(other.verify(auth_message, &proof), None);
    }

    #[test]
    fn sameness_counts_every_octet() {
        assert!(is_same(b"", b"") && is_same(b"abc", b"abc"));
        assert!(!is_same(b"abc", b"abd") && !is_same(b"abc", b"xbc") && !is_same(b"abc", b"ab"));
    }
}
