//! What is known of the TLS that a client speaks: its version and its cipher suite, as they are named in Received and in logs.

use std::fmt;

/// What a connection is secured with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The version.
    pub version: TlsVersion,
    /// The cipher suite.
    pub cipher: CipherSuite,
}

/// The hash of a server's certificate, by the hash of its signature (RFC 5929 §4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndPoint {
    /// SHA-256, in place of older ones too.
    Sha256([u8; 32]),
    /// SHA-384.
    Sha384([u8; 48]),
    /// SHA-512.
    Sha512([u8; 64]),
}

impl EndPoint {
    /// The hash.
    pub fn octets(&self) -> &[u8] {
        match self {
            EndPoint::Sha256(octets) => octets,
            EndPoint::Sha384(octets) => octets,
            EndPoint::Sha512(octets) => octets,
        }
    }
}

/// A version of TLS that is spoken here. Older ones are broken (RFC 8996).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// RFC 5246.
    Tls12,
    /// RFC 8446.
    Tls13,
}

impl TlsVersion {
    /// Both, the older one first.
    pub const ALL: [TlsVersion; 2] = [TlsVersion::Tls12, TlsVersion::Tls13];

    /// Its name, as Java has it.
    pub const fn name(self) -> &'static str {
        match self {
            TlsVersion::Tls12 => "TLSv1.2",
            TlsVersion::Tls13 => "TLSv1.3",
        }
    }

    /// Its number on the wire (RFC 5246 §6.2.1, RFC 8446 §4.2.1).
    pub const fn number(self) -> u16 {
        match self {
            TlsVersion::Tls12 => 0x0303,
            TlsVersion::Tls13 => 0x0304,
        }
    }

    /// The version of that number.
    pub fn numbered(number: u16) -> Option<TlsVersion> {
        TlsVersion::ALL.into_iter().find(|version| version.number() == number)
    }
}

impl fmt::Display for TlsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A cipher suite that is spoken here, by its number in the IANA registry. All of them have forward secrecy and authenticate
/// what they encrypt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CipherSuite(u16);

/// The numbers and names of the suites (RFC 8446 §B.4, RFC 5289, RFC 7905); Java has the same names.
const SUITES: [(u16, &str); 9] = [
    (0x1302, "TLS_AES_256_GCM_SHA384"),
    (0x1301, "TLS_AES_128_GCM_SHA256"),
    (0x1303, "TLS_CHACHA20_POLY1305_SHA256"),
    (0xc02c, "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"),
    (0xc02b, "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"),
    (0xcca9, "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"),
    (0xc030, "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"),
    (0xc02f, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"),
    (0xcca8, "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"),
];

impl CipherSuite {
    /// All that there are, in the order of preference.
    pub fn all() -> impl Iterator<Item = CipherSuite> {
        SUITES.into_iter().map(|(number, _)| CipherSuite(number))
    }

    /// The suite of that number.
    pub fn numbered(number: u16) -> Option<CipherSuite> {
        CipherSuite::all().find(|suite| suite.0 == number)
    }

    /// The suite of that name.
    pub fn named(name: &str) -> Option<CipherSuite> {
        SUITES.into_iter().find(|(_, known)| *known == name).map(|(number, _)| CipherSuite(number))
    }

    /// Its number.
    pub fn number(self) -> u16 {
        self.0
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        SUITES.into_iter().find(|(number, _)| *number == self.0).map_or("", |(_, name)| name)
    }

    /// The version that it belongs to.
    pub fn version(self) -> TlsVersion {
        if self.0 >> 8 == 0x13 { TlsVersion::Tls13 } else { TlsVersion::Tls12 }
    }
}

impl fmt::Display for CipherSuite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_are_found_by_number_and_by_name() {
        for suite in CipherSuite::all() {
            assert_eq!(CipherSuite::numbered(suite.number()), Some(suite));
            assert_eq!(CipherSuite::named(suite.name()), Some(suite));
            assert_eq!(suite.version() == TlsVersion::Tls13, !suite.name().contains("_WITH_"), "{suite}");
        }
        assert_eq!(CipherSuite::numbered(0x002f), None);
        assert_eq!(CipherSuite::named("TLS_RSA_WITH_AES_128_CBC_SHA"), None);
        for version in TlsVersion::ALL {
            assert_eq!(TlsVersion::numbered(version.number()), Some(version));
        }
    }
}
