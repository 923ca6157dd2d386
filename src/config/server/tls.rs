//! `<tls>`: read and checked in full.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::super::host::Host;
use super::super::keystore::{KeyProblem, Part};
use super::super::location::{Places, location};
use super::super::problem::Severity;
use super::super::section::{Section, Written};
use super::super::value;
use super::super::xml::Element;
use crate::mail::CipherSuite;
pub use crate::mail::TlsVersion;

/// What a server does with TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    /// `@socketTLS` or `@startTLS`: when it begins.
    pub start: TlsStart,
    /// `keystore`, or `privateKey` and `certificates`.
    pub credentials: Credentials,
    /// `supportedProtocols`, oldest first; empty where none is named, which is all there are.
    pub versions: Vec<TlsVersion>,
    /// `supportedCipherSuites`: those named that there are; empty where none is named, which is all there are.
    pub cipher_suites: Vec<CipherSuite>,
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

/// Versions that have names and are broken (RFC 8996, RFC 7568).
const OLD_VERSIONS: [&str; 5] = ["TLSv1", "TLSv1.1", "SSLv3", "SSLv2Hello", "SSLv2"];

/// Reads `<tls>`; `None` where no TLS is asked for, or what it needs is wrong.
pub fn read(section: &mut Section<'_>, places: Places<'_>, host: &Host) -> Option<TlsSettings> {
    let socket = section.read("tls/@socketTLS", value::boolean).unwrap_or(false);
    let command = section.read("tls/@startTLS", value::boolean).unwrap_or(false);
    let rest = Rest::read(section);
    let start = match (socket, command) {
        (false, false) => {
            deny_later(section);
            return None;
        }
        (true, false) => TlsStart::Connection,
        (false, true) => TlsStart::Command,
        (true, true) => {
            let at = section.written("tls/@startTLS")?.position;
            let found = "startTLS is true, and so is socketTLS";
            section.say(at, Severity::Error, found, "TLS begins with the connection or by STARTTLS: set one to false");
            return None;
        }
    };
    let credentials = credentials(section, OF_SERVER, places, host)?;
    let client_auth = section.written("tls/clientAuth").map(|_| ClientAuth {
        truststore: keystore(
            section,
            ["tls/clientAuth/truststore", "tls/clientAuth/truststoreType", "tls/clientAuth/truststoreSecret"],
            places,
        ),
    });
    if let Some(auth) = &client_auth {
        check_clients(section, auth, host);
    }
    let Rest { versions, cipher_suites, revocation, session_cache_size, session_cache_timeout } = rest;
    let usable = |suite: &CipherSuite| versions.is_empty() || versions.contains(&suite.version());
    if !cipher_suites.is_empty() && !cipher_suites.iter().any(usable) {
        let at = section.element.child("tls").and_then(|tls| tls.child("supportedCipherSuites"));
        let at = at.map_or(section.element.position, |element| element.position);
        let found = "none of the cipher suites belongs to a version in <supportedProtocols>";
        section.say(at, Severity::Error, found, "name one of each version, or remove one of the two elements");
        return None;
    }
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

/// Of several elements the first counts. If that has no TLS and a later one asks for it, somebody believes to have it.
fn deny_later(section: &mut Section<'_>) {
    let asks = |element: &&Element| {
        let on = |name| element.attribute(name).is_some_and(|found| value::boolean(&found.value) != Ok(false));
        element.name == "tls" && (on("socketTLS") || on("startTLS"))
    };
    if let Some(later) = section.element.children.iter().filter(|child| child.name == "tls").skip(1).find(asks) {
        let found = "this <tls> asks for TLS, and does not count, because it is not the first one";
        section.say(later.position, Severity::Error, found, "write one <tls> alone");
    }
}

/// What can be read without opening a file, and so is checked where TLS is off too.
struct Rest {
    versions: Vec<TlsVersion>,
    cipher_suites: Vec<CipherSuite>,
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

/// The keys that name keys and certificates.
#[derive(Clone, Copy)]
pub(in crate::config) struct Names {
    keystore: [&'static str; 3],
    private_key: &'static str,
    certificates: &'static str,
}

/// Those in a server's element.
const OF_SERVER: Names = Names {
    keystore: ["tls/keystore", "tls/keystoreType", "tls/secret"],
    private_key: "tls/privateKey",
    certificates: "tls/certificates",
};

/// Those in an element of their own.
pub(in crate::config) const OF_CERTIFICATE: Names =
    Names { keystore: ["keystore", "keystoreType", "secret"], private_key: "privateKey", certificates: "certificates" };

/// The key and certificates that are named, if they can be used.
pub(in crate::config) fn credentials(
    section: &mut Section<'_>,
    names: Names,
    places: Places<'_>,
    host: &Host,
) -> Option<Credentials> {
    let secret = names.keystore[2];
    let (key, certificates) = (section.written(names.private_key), section.written(names.certificates));
    let credentials = if section.written(names.keystore[0]).is_some() {
        keystore(section, names.keystore, places).map(Credentials::Keystore)
    } else if let (Some(key), Some(certificates)) = (key, certificates) {
        let private_key = section.parse(key, |text| location(text, places));
        let certificates = section.parse(certificates, |text| location(text, places));
        let secret = section.written(secret).map(|written| Secret::new(written.text));
        Some(Credentials::Pem { private_key: private_key?, certificates: certificates?, secret })
    } else {
        let at = section.element.child("tls").unwrap_or(section.element).position;
        let found = "TLS is on, and there is no key and certificate for it";
        section.say(at, Severity::Error, found, "write <keystore>, or <privateKey> and <certificates>");
        None
    }?;
    if let Err(KeyProblem { part, found, advice }) = (host.usable)(&credentials) {
        let name = match part {
            Part::Keystore => names.keystore[0],
            Part::PrivateKey => names.private_key,
            Part::Certificates => names.certificates,
        };
        let at = section.written(name).map_or(section.element.position, |written| written.position);
        section.say(at, Severity::Error, found, advice);
        return None;
    }
    Some(credentials)
}

/// Takes down why no client could be let in, if so.
fn check_clients(section: &mut Section<'_>, auth: &ClientAuth, host: &Host) {
    if let Err(KeyProblem { found, advice, .. }) = (host.trusted)(auth) {
        let written = section.written("tls/clientAuth/truststore").or(section.written("tls/clientAuth"));
        let at = written.map_or(section.element.position, |written| written.position);
        section.say(at, Severity::Error, found, advice);
    }
}

/// A keystore by the keys of its path, kind and password.
fn keystore(section: &mut Section<'_>, keys: [&str; 3], places: Places<'_>) -> Option<Keystore> {
    let written = section.written(keys[0])?;
    let path = section.parse(written, |text| location(text, places));
    let kind = section.read(keys[1], |text| value::word(text, &KINDS)).unwrap_or(KeystoreKind::Jks);
    let secret = section.written(keys[2]).map(|written| Secret::new(written.text)).unwrap_or_default();
    path.map(|path| Keystore { path, kind, secret })
}

fn versions(section: &mut Section<'_>) -> Vec<TlsVersion> {
    let named = named(section, "supportedProtocols", "protocol", |text| {
        let known = TlsVersion::ALL.into_iter().find(|version| version.name() == text);
        let old = OLD_VERSIONS.contains(&text).then_some("it is broken (RFC 8996); clients that need it are refused");
        known.ok_or(old.ok_or("TLSv1.2 or TLSv1.3"))
    });
    let mut versions = named;
    versions.sort_unstable();
    versions.dedup();
    versions
}

fn cipher_suites(section: &mut Section<'_>) -> Vec<CipherSuite> {
    named(section, "supportedCipherSuites", "cipherSuite", |text| {
        CipherSuite::named(text).ok_or(Ok("there is none of that name here; it is left out"))
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
