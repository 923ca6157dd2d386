//! `<tls>`: read and checked in full.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::super::host::Host;
use super::super::location::{Places, location};
use super::super::problem::Severity;
use super::super::section::{Section, Written};
use super::super::value;

/// What a server does with TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    /// `@socketTLS` or `@startTLS`: when it begins.
    pub start: TlsStart,
    /// `keystore`, or `privateKey` and `certificates`.
    pub credentials: Credentials,
    /// `supportedProtocols`, oldest first; empty where none is named, which is all there are.
    pub versions: Vec<TlsVersion>,
    /// `supportedCipherSuites`: those named that there are, by their names in RFC 8446 §B.4 and RFC 5289; empty where none
    /// is named, which is all there are.
    pub cipher_suites: Vec<&'static str>,
    /// `clientAuth`: a client must show a certificate that this accepts. `None`: none is asked for.
    pub client_auth: Option<ClientAuth>,
    /// `enableOCSPCRLChecks`: whether the certificates of clients may have been revoked is looked up.
    pub revocation: bool,
    /// `sessionCache/size`: sessions that are kept for resumption; `None` is for the implementation to say.
    pub session_cache_size: Option<u32>,
    /// `sessionCache/timeout`: how long they are kept; `None` is for the implementation to say.
    pub session_cache_timeout: Option<Duration>,
}

/// When TLS begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsStart {
    /// With the connection (RFC 8314 §3.3).
    Connection,
    /// With STARTTLS (RFC 3207).
    Command,
}

/// The server's own key and certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// A Java keystore.
    Keystore(Keystore),
    /// PEM files.
    Pem {
        /// `privateKey`.
        private_key: PathBuf,
        /// `certificates`: the chain, the server's own first.
        certificates: PathBuf,
        /// `secret`: the passphrase of the key.
        secret: Option<Secret>,
    },
}

/// A file with keys or certificates as Java keeps them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keystore {
    /// The file.
    pub path: PathBuf,
    /// How it is written.
    pub kind: KeystoreKind,
    /// Its password; empty where none is given.
    pub secret: Secret,
}

/// How a keystore is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeystoreKind {
    /// Java's own.
    Jks,
    /// RFC 7292.
    Pkcs12,
}

/// Whose certificates are accepted from clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientAuth {
    /// `truststore`; `None` is the certification authorities of the machine.
    pub truststore: Option<Keystore>,
}

/// A version of TLS that ringpost can speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// RFC 5246.
    Tls12,
    /// RFC 8446.
    Tls13,
}

/// A password. It is never shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// A password.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The password itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

const KINDS: [(&str, KeystoreKind); 2] = [("JKS", KeystoreKind::Jks), ("PKCS12", KeystoreKind::Pkcs12)];
const VERSIONS: [(&str, TlsVersion); 2] = [("TLSv1.2", TlsVersion::Tls12), ("TLSv1.3", TlsVersion::Tls13)];

/// Versions that have names and are broken (RFC 8996, RFC 7568).
const OLD_VERSIONS: [&str; 5] = ["TLSv1", "TLSv1.1", "SSLv3", "SSLv2Hello", "SSLv2"];

const CIPHER_SUITES: [&str; 9] = [
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
];

/// Reads `<tls>`; `None` where no TLS is asked for, or what it needs is wrong.
pub fn read(section: &mut Section<'_>, places: Places<'_>, host: &Host) -> Option<TlsSettings> {
    let socket = section.read("tls/@socketTLS", value::boolean).unwrap_or(false);
    let command = section.read("tls/@startTLS", value::boolean).unwrap_or(false);
    let rest = Rest::read(section);
    let start = match (socket, command) {
        (false, false) => return None,
        (true, false) => TlsStart::Connection,
        (false, true) => TlsStart::Command,
        (true, true) => {
            let at = section.written("tls/@startTLS")?.position;
            let found = "startTLS is true, and so is socketTLS";
            section.say(at, Severity::Error, found, "TLS begins with the connection or by STARTTLS: set one to false");
            return None;
        }
    };
    let credentials = credentials(section, places, host)?;
    let client_auth = section.written("tls/clientAuth").map(|_| ClientAuth {
        truststore: keystore(
            section,
            ["tls/clientAuth/truststore", "tls/clientAuth/truststoreType", "tls/clientAuth/truststoreSecret"],
            places,
            host,
        ),
    });
    let Rest { versions, cipher_suites, revocation, session_cache_size, session_cache_timeout } = rest;
    Some(TlsSettings {
        start,
        credentials,
        versions,
        cipher_suites,
        client_auth,
        revocation,
        session_cache_size,
        session_cache_timeout,
    })
}

/// What can be read without opening a file, and so is checked where TLS is off too.
struct Rest {
    versions: Vec<TlsVersion>,
    cipher_suites: Vec<&'static str>,
    revocation: bool,
    session_cache_size: Option<u32>,
    session_cache_timeout: Option<Duration>,
}

impl Rest {
    fn read(section: &mut Section<'_>) -> Rest {
        let count = |text: &str| value::number(text, 0, 10_000_000).map(|count| count as u32);
        Rest {
            versions: versions(section),
            cipher_suites: cipher_suites(section),
            revocation: section.read("tls/enableOCSPCRLChecks", value::boolean).unwrap_or(false),
            session_cache_size: section.read("tls/sessionCache/size", count),
            session_cache_timeout: section
                .read("tls/sessionCache/timeout", |text| value::james_duration(text, Duration::from_millis(1))),
        }
    }
}

fn credentials(section: &mut Section<'_>, places: Places<'_>, host: &Host) -> Option<Credentials> {
    if section.written("tls/keystore").is_some() {
        let keys = ["tls/keystore", "tls/keystoreType", "tls/secret"];
        return keystore(section, keys, places, host).map(Credentials::Keystore);
    }
    match (section.written("tls/privateKey"), section.written("tls/certificates")) {
        (Some(key), Some(certificates)) => {
            let private_key = file(section, key, places, host);
            let certificates = file(section, certificates, places, host);
            let secret = section.written("tls/secret").map(|written| Secret::new(written.text));
            Some(Credentials::Pem { private_key: private_key?, certificates: certificates?, secret })
        }
        _ => {
            let at = section.element.child("tls").unwrap_or(section.element).position;
            let found = "TLS is on, and there is no key and certificate for it";
            section.say(at, Severity::Error, found, "write <keystore>, or <privateKey> and <certificates>");
            None
        }
    }
}

/// A keystore by the keys of its path, kind and password.
fn keystore(section: &mut Section<'_>, keys: [&str; 3], places: Places<'_>, host: &Host) -> Option<Keystore> {
    let written = section.written(keys[0])?;
    let path = file(section, written, places, host);
    let kind = section.read(keys[1], |text| value::word(text, &KINDS)).unwrap_or(KeystoreKind::Jks);
    let secret = section.written(keys[2]).map(|written| Secret::new(written.text)).unwrap_or_default();
    path.map(|path| Keystore { path, kind, secret })
}

/// A file that is there.
fn file(section: &mut Section<'_>, written: Written<'_>, places: Places<'_>, host: &Host) -> Option<PathBuf> {
    let path = section.parse(written, |text| location(text, places))?;
    if let Err(error) = (host.readable)(&path) {
        let found = format!("{} is {}, which cannot be read ({error})", written.name, path.display());
        section.say(
            written.position,
            Severity::Error,
            found,
            "make it, or name another; relative paths start at the home",
        );
        return None;
    }
    Some(path)
}

fn versions(section: &mut Section<'_>) -> Vec<TlsVersion> {
    let named = named(section, "supportedProtocols", "protocol", |text| {
        let known = VERSIONS.iter().find(|(name, _)| *name == text).map(|(_, version)| *version);
        let old = OLD_VERSIONS.contains(&text).then_some("it is broken (RFC 8996); clients that need it are refused");
        known.ok_or(old.ok_or("TLSv1.2 or TLSv1.3"))
    });
    let mut versions = named;
    versions.sort_unstable();
    versions.dedup();
    versions
}

fn cipher_suites(section: &mut Section<'_>) -> Vec<&'static str> {
    named(section, "supportedCipherSuites", "cipherSuite", |text| {
        let known = CIPHER_SUITES.iter().find(|suite| **suite == text).copied();
        known.ok_or(Ok("there is none of that name here; it is left out"))
    })
}

/// What a list names. What cannot be had is a warning (`Ok`) or an error (`Err`); a list of which nothing is left is one.
fn named<T>(
    section: &mut Section<'_>,
    list: &str,
    item: &str,
    known: impl Fn(&str) -> Result<T, Result<&'static str, &'static str>>,
) -> Vec<T> {
    let Some(tls) = section.element.child("tls") else { return Vec::new() };
    let Some(list) = tls.child(list) else { return Vec::new() };
    let mut found = Vec::new();
    let mut has_errors = false;
    for written in list.children.iter().filter(|child| child.name == item).map(Written::text_of) {
        match known(written.text) {
            Ok(one) => found.push(one),
            Err(Ok(why)) => {
                let text = format!("{} is {:?}, which ringpost does not have", written.name, written.text);
                section.say(written.position, Severity::Warning, text, why);
            }
            Err(Err(expected)) => {
                has_errors = true;
                section.parse::<()>(written, |_| Err(expected.to_owned()));
            }
        }
    }
    if found.is_empty() && !has_errors {
        let text = format!("<{}> leaves nothing that ringpost has", list.name);
        section.say(list.position, Severity::Error, text, "name one that it has, or remove the element");
    }
    found
}
