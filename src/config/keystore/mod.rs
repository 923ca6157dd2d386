//! Keys and certificates out of the files that the configuration names: Java's keystores, PKCS #12 and PEM.
//!
//! What a file is, is seen from what it begins with: Java reads PKCS #12 where JKS was said, and the other way round, and so does
//! ringpost.

use std::fmt::Write as _;
use std::io;
use std::path::Path;

use super::server::tls::{ClientAuth, Credentials, Keystore, KeystoreKind, Secret};
use crate::io::tls::{CertificateDer, Identity, PrivateKeyDer};

pub mod jks;
mod pem;
mod pkcs12;

/// Octets of a file with keys at most.
pub const OCTETS_MAX: u64 = 4 << 20;

/// What is in a keystore.
#[derive(Debug, Default)]
pub struct Contents {
    /// Keys with their chains, in the order of their names.
    pub keys: Vec<Key>,
    /// Certificates that stand for themselves.
    pub trusted: Vec<CertificateDer<'static>>,
}

/// A private key and its chain, its own certificate first.
#[derive(Debug)]
pub struct Key {
    /// The key.
    pub key: PrivateKeyDer<'static>,
    /// The chain.
    pub chain: Vec<CertificateDer<'static>>,
}

/// Which of the files that belong together is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// `keystore` or `truststore`.
    Keystore,
    /// `privateKey`.
    PrivateKey,
    /// `certificates`.
    Certificates,
}

/// Why a file is of no use, and what makes one that is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found}; {advice}")]
pub struct KeyProblem {
    /// Which of the files.
    pub part: Part,
    /// What was found.
    pub found: String,
    /// What can be done.
    pub advice: String,
}

/// Why the octets of a file are of no use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// It is no such file, or broken.
    Broken(String),
    /// The password is another one.
    Password,
    /// It is of a kind that ringpost does not read: what, and how to turn it into one that it does.
    Unsupported(String, String),
}

/// The keys of a server, the default one first.
///
/// # Errors
///
/// A file that cannot be read, is broken, has another password, or holds no key with a certificate that fits.
pub fn identities(credentials: &Credentials) -> Result<Vec<Identity>, KeyProblem> {
    let keys = match credentials {
        Credentials::Keystore(keystore) => {
            let Contents { keys, .. } = open(keystore, || how_to_make(credentials))?;
            if keys.is_empty() {
                let found = format!("{} holds no private key", keystore.path.display());
                return Err(problem(Part::Keystore, found, how_to_make(credentials)));
            }
            keys
        }
        Credentials::Pem { private_key, certificates, secret } => {
            let wrong = |part, path: &Path, flaw| explain(part, path, flaw, how_to_make(credentials));
            let text = |part, path: &Path| {
                read(path).map_err(|error| problem(part, cannot_read(path, &error), how_to_make(credentials)))
            };
            let key = pem::private_key(&text(Part::PrivateKey, private_key)?, secret.as_ref().map(Secret::reveal))
                .map_err(|flaw| wrong(Part::PrivateKey, private_key, flaw))?;
            let chain = pem::certificates(&text(Part::Certificates, certificates)?)
                .map_err(|flaw| wrong(Part::Certificates, certificates, flaw))?;
            vec![Key { key, chain }]
        }
    };
    let part = if matches!(credentials, Credentials::Pem { .. }) { Part::Certificates } else { Part::Keystore };
    let identity = |Key { key, chain }| {
        let wrong = |error| problem(part, format!("{}: {error}", name(credentials)), how_to_make(credentials));
        Identity::new(chain, key).map_err(wrong)
    };
    keys.into_iter().map(identity).collect()
}

/// The certificates that clients may be signed by: those of the truststore, or else of the machine.
///
/// # Errors
///
/// A file that cannot be read, is broken, has another password, or holds no certificate; a machine that has none.
pub fn trusted(auth: &ClientAuth) -> Result<Vec<CertificateDer<'static>>, KeyProblem> {
    let Some(keystore) = &auth.truststore else {
        let certificates = authorities();
        return if certificates.is_empty() {
            let found =
                "clients are to show certificates, and this machine knows no certification authority".to_owned();
            Err(problem(Part::Keystore, found, "name a <truststore>, or install ca-certificates".to_owned()))
        } else {
            Ok(certificates)
        };
    };
    let Contents { trusted, .. } = open(keystore, || how_to_trust(keystore))?;
    if trusted.is_empty() {
        let found = format!("{} holds no certificate", keystore.path.display());
        return Err(problem(Part::Keystore, found, how_to_trust(keystore)));
    }
    Ok(trusted)
}

/// The certification authorities that this machine believes; none where it knows none.
pub fn authorities() -> Vec<CertificateDer<'static>> {
    rustls_native_certs::load_native_certs().certs
}

/// What a keystore holds; `advice` says how to make one.
fn open(keystore: &Keystore, advice: impl Fn() -> String) -> Result<Contents, KeyProblem> {
    let Keystore { path, secret, .. } = keystore;
    let octets = read(path).map_err(|error| problem(Part::Keystore, cannot_read(path, &error), advice()))?;
    contents(&octets, secret.reveal()).map_err(|flaw| explain(Part::Keystore, path, flaw, advice()))
}

/// What is in the octets of a keystore.
///
/// # Errors
///
/// What is none, another password, and kinds that are not read.
pub fn contents(octets: &[u8], secret: &str) -> Result<Contents, Flaw> {
    if octets.starts_with(&jks::MAGIC) {
        jks::read(octets, secret)
    } else if octets.starts_with(&jks::MAGIC_JCEKS) {
        let command =
            "keytool -importkeystore -srckeystore OLD -srcstoretype JCEKS -destkeystore NEW -deststoretype PKCS12";
        Err(Flaw::Unsupported("a JCEKS keystore".to_owned(), command.to_owned()))
    } else if octets.starts_with(b"-----BEGIN ") {
        let advice = "write <privateKey> and <certificates> in place of <keystore>";
        Err(Flaw::Unsupported("PEM".to_owned(), advice.to_owned()))
    } else {
        pkcs12::read(octets, secret)
    }
}

/// The first private key in a PEM text.
///
/// # Errors
///
/// What is none, another passphrase, and kinds that are not read.
pub fn private_key_of(text: &[u8], passphrase: Option<&str>) -> Result<PrivateKeyDer<'static>, Flaw> {
    pem::private_key(text, passphrase)
}

/// Reads a file of at most [`OCTETS_MAX`] octets.
pub fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    read(path)
}

/// Reads a file of a bounded size.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    use std::io::Read;
    let mut octets = Vec::new();
    let file = std::fs::File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    file.take(OCTETS_MAX + 1).read_to_end(&mut octets)?;
    if octets.len() as u64 > OCTETS_MAX { Err(io::Error::other("it is too large")) } else { Ok(octets) }
}

fn problem(part: Part, found: String, advice: String) -> KeyProblem {
    KeyProblem { part, found, advice }
}

fn cannot_read(path: &Path, error: &io::Error) -> String {
    format!("{} cannot be read ({error})", path.display())
}

fn explain(part: Part, path: &Path, flaw: Flaw, make: String) -> KeyProblem {
    let path = path.display();
    match flaw {
        Flaw::Broken(why) => problem(part, format!("{path} cannot be used: {why}"), make),
        Flaw::Password => {
            let password = match part {
                Part::Keystore => "it is written in <secret>, and in <truststoreSecret> for a truststore",
                _ => "the passphrase of the key is written in <secret>",
            };
            problem(
                part,
                format!("{path} is not opened by the password that is written"),
                format!("{password}; or {make}"),
            )
        }
        Flaw::Unsupported(what, instead) => {
            problem(part, format!("{path} is {what}, which ringpost does not read"), instead)
        }
    }
}

fn name(credentials: &Credentials) -> String {
    match credentials {
        Credentials::Keystore(keystore) => keystore.path.display().to_string(),
        Credentials::Pem { certificates, .. } => certificates.display().to_string(),
    }
}

/// The command that makes what is missing, for a first try.
pub fn how_to_make(credentials: &Credentials) -> String {
    let mut text = "make one: ".to_owned();
    // A string takes all that is written to it.
    let _ = match credentials {
        Credentials::Keystore(keystore) => write!(
            text,
            "keytool -genkeypair -alias ringpost -keyalg RSA -keysize 3072 -validity 365 -storetype {} -keystore {} \
             -storepass SECRET -keypass SECRET -dname CN=mail.example.org -ext SAN=dns:mail.example.org",
            store_type(keystore.kind),
            keystore.path.display()
        ),
        Credentials::Pem { private_key, certificates, .. } => write!(
            text,
            "openssl req -x509 -newkey rsa:3072 -nodes -days 365 -keyout {} -out {} -subj /CN=mail.example.org \
             -addext subjectAltName=DNS:mail.example.org",
            private_key.display(),
            certificates.display()
        ),
    };
    text
}

/// The same for the certificates of whom clients are signed by.
fn how_to_trust(keystore: &Keystore) -> String {
    format!(
        "make one: keytool -importcert -noprompt -alias clients -file ca.pem -storetype {} -keystore {} -storepass SECRET",
        store_type(keystore.kind),
        keystore.path.display()
    )
}

fn store_type(kind: KeystoreKind) -> &'static str {
    match kind {
        KeystoreKind::Jks => "JKS",
        KeystoreKind::Pkcs12 => "PKCS12",
    }
}
