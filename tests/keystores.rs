//! Keys and certificates in every shape that James' configuration may name, and those that are refused with the reason why.

mod common;

use std::path::PathBuf;

use common::tls::{NAME, OTHER, SECRET, certificate, keystore};
use ringpost::config::keystore::{Part, identities, trusted};
use ringpost::config::server::tls::{ClientAuth, Credentials, Keystore, KeystoreKind, Secret};

fn store(file: &str, kind: KeystoreKind, secret: &str) -> Credentials {
    Credentials::Keystore(Keystore { path: keystore(file), kind, secret: Secret::new(secret) })
}

fn pem(key: &str, chain: &str, secret: Option<&str>) -> Credentials {
    Credentials::Pem { private_key: keystore(key), certificates: keystore(chain), secret: secret.map(Secret::new) }
}

/// What is said of files that cannot be used.
fn refused(credentials: &Credentials) -> (Part, String) {
    let problem = identities(credentials).expect_err("it cannot be used");
    (problem.part, problem.to_string())
}

#[test]
fn keystores_of_java_and_of_openssl_are_read_by_what_is_in_them() {
    for file in ["java.jks", "java.p12", "openssl.p12", "legacy.p12"] {
        for kind in [KeystoreKind::Jks, KeystoreKind::Pkcs12] {
            let found = identities(&store(file, kind, SECRET)).unwrap_or_else(|problem| panic!("{file}: {problem}"));
            assert_eq!(found.len(), 1, "{file}");
            assert_eq!(found[0].chain(), [certificate("mx.pem"), certificate("server-ca.pem")], "{file}");
            assert_eq!(found[0].names(), [NAME, "localhost"]);
        }
        let (part, told) = refused(&store(file, KeystoreKind::Jks, "another"));
        assert_eq!(part, Part::Keystore);
        assert!(told.contains("is not opened by the password that is written"), "{file}: {told}");
        assert!(!told.contains("another"), "passwords are never shown");
    }
    let made_as_documented = identities(&store("generated.p12", KeystoreKind::Pkcs12, SECRET)).expect("it is right");
    assert_eq!((made_as_documented[0].chain().len(), made_as_documented[0].names().len()), (1, 2));
}

#[test]
fn every_key_of_a_keystore_is_there_by_its_alias() {
    let found = identities(&store("two.jks", KeystoreKind::Jks, SECRET)).expect("it is right");
    let names: Vec<&str> = found.iter().map(|identity| identity.names()[0].as_str()).collect();
    assert_eq!(names, [NAME, OTHER], "james comes before net");
}

#[test]
fn keys_in_pem_are_read_plain_and_under_a_passphrase() {
    for (key, chain, secret) in [
        ("mx-key.pem", "mx-chain.pem", None),
        ("mx-key.pem", "mx.pem", Some("not needed")),
        ("mx-key-pkcs1.pem", "mx-chain.pem", None),
        ("net-key-sec1.pem", "net-chain.pem", None),
        ("mx-key-encrypted.pem", "mx-chain.pem", Some(SECRET)),
        ("mx-key-scrypt.pem", "mx-chain.pem", Some(SECRET)),
    ] {
        let found = identities(&pem(key, chain, secret)).unwrap_or_else(|problem| panic!("{key}: {problem}"));
        assert_eq!(found.len(), 1);
    }
}

#[test]
fn what_cannot_be_used_is_named_with_what_makes_it_right() {
    let cases = [
        (pem("mx-key-encrypted.pem", "mx.pem", None), Part::PrivateKey, "is not opened by the password"),
        (pem("mx-key-encrypted.pem", "mx.pem", Some("another")), Part::PrivateKey, "is not opened by the password"),
        (pem("mx-key-pbes1.pem", "mx.pem", Some(SECRET)), Part::PrivateKey, "openssl pkcs8 -topk8 -v2 aes-256-cbc"),
        (
            pem("mx-key-traditional.pem", "mx.pem", Some(SECRET)),
            Part::PrivateKey,
            "openssl pkcs8 -topk8 -v2 aes-256-cbc",
        ),
        (pem("mx.pem", "mx.pem", None), Part::PrivateKey, "there is no private key in it; make one: openssl req "),
        (pem("mx-key.pem", "mx-key.pem", None), Part::Certificates, "there is no certificate in it; make one: openssl"),
        (
            pem("mx-key.pem", "net.pem", None),
            Part::Certificates,
            "the certificate is of another key; make one: openssl",
        ),
        (pem("none", "mx.pem", None), Part::PrivateKey, "cannot be read (No such file"),
        (pem("mx-key.pem", "none", None), Part::Certificates, "cannot be read (No such file"),
        (
            store("none", KeystoreKind::Pkcs12, ""),
            Part::Keystore,
            "make one: keytool -genkeypair -alias ringpost -keyalg RSA",
        ),
        (
            store("java.jceks", KeystoreKind::Jks, SECRET),
            Part::Keystore,
            "is a JCEKS keystore, which ringpost does not read",
        ),
        (store("mx-chain.pem", KeystoreKind::Jks, SECRET), Part::Keystore, "write <privateKey> and <certificates>"),
        (store("make", KeystoreKind::Jks, SECRET), Part::Keystore, "it is neither JKS nor PKCS #12; make one: keytool"),
        (store("trust.jks", KeystoreKind::Jks, SECRET), Part::Keystore, "holds no private key; make one: keytool"),
        (store("", KeystoreKind::Jks, SECRET), Part::Keystore, "it is no file"),
    ];
    for (credentials, part, expected) in cases {
        let (found, told) = refused(&credentials);
        assert!(found == part && told.contains(expected), "{expected}: {told}");
        assert!(!told.contains(SECRET), "{told}");
    }
}

fn truststore(file: &str, secret: &str) -> ClientAuth {
    let keystore = Keystore { path: keystore(file), kind: KeystoreKind::Jks, secret: Secret::new(secret) };
    ClientAuth { truststore: Some(keystore) }
}

#[test]
fn truststores_are_read_whoever_wrote_them() {
    for file in ["trust.jks", "trust.p12", "trust-openssl.p12"] {
        let found = trusted(&truststore(file, SECRET)).unwrap_or_else(|problem| panic!("{file}: {problem}"));
        assert_eq!(found, [certificate("client-ca.pem")], "{file}");
        assert!(trusted(&truststore(file, "another")).is_err());
    }
    let told = trusted(&truststore("java.jks", SECRET)).expect_err("it has only a key").to_string();
    assert!(told.contains("holds no certificate; make one: keytool -importcert"), "{told}");
    let told = trusted(&truststore("none", SECRET)).expect_err("it is not there").to_string();
    assert!(told.contains("keytool -importcert -noprompt -alias clients"), "{told}");
}

#[test]
fn damaged_keystores_are_refused_without_harm() {
    let directory = tempfile::tempdir().expect("a directory");
    let path: PathBuf = directory.path().join("store");
    for file in ["java.jks", "java.p12", "openssl.p12", "legacy.p12", "trust-openssl.p12"] {
        let octets = std::fs::read(keystore(file)).expect("a file");
        for at in (0..octets.len()).step_by(octets.len() / 12) {
            let mut changed = octets.clone();
            changed[at] ^= 0x10;
            for damaged in [&octets[..at], &changed] {
                std::fs::write(&path, damaged).expect("a file");
                let keystore = Keystore { path: path.clone(), kind: KeystoreKind::Jks, secret: Secret::new(SECRET) };
                // A change in what only names an entry harms nobody; all else is an error, and nothing panics.
                let _ = identities(&Credentials::Keystore(keystore.clone()));
                let _ = trusted(&ClientAuth { truststore: Some(keystore) });
            }
        }
    }
}
