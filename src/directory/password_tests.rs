use super::*;
use proptest::prelude::*;

const USER: &str = "you@localhost";
const PASSWORD: &str = "pass wörd";

/// What Java makes of the password for that user, written as James writes it.
const OF_JAMES: [(&str, &str); 23] = [
    ("MD5/plain", "E91d43BuVKd8slFE7UDUPw==\r\n"),
    ("MD5/salted", "fNWi+3uBUxtaZ0N8twM9VQ==\r\n"),
    ("MD5/legacy", "E91d43BuVKd8slFE7UDU"),
    ("MD5/legacy_salted", "fNWi+3uBUxtaZ0N8twM9"),
    ("SHA-1/plain", "ZWyBEQMcExdne7tpBA4LI/bECco=\r\n"),
    ("SHA-1/salted", "z6ZHp7kxL+pfaVRvfc2U2FtdAgU=\r\n"),
    ("SHA-1/legacy", "ZWyBEQMcExdne7tpBA4LI/bE"),
    ("SHA-1/legacy_salted", "z6ZHp7kxL+pfaVRvfc2U2Ftd"),
    ("SHA-256/plain", "juMvwOdN39zLL9p6XWkuBq5Eu+pQCiSOSujBBv13YVY=\r\n"),
    ("SHA-256/salted", "WiLVDYv8c/TJC0e1q6xF38tl6l9VMT2bNg0cOnX+54U=\r\n"),
    ("SHA-256/legacy", "juMvwOdN39zLL9p6XWkuBq5Eu+pQCiSOSujBBv13"),
    ("SHA-256/legacy_salted", "WiLVDYv8c/TJC0e1q6xF38tl6l9VMT2bNg0cOnX+"),
    ("SHA-384/plain", "TYCMRUUVyF25jO/i7qOIwDy7sFLctMm7onHnIj5BhK/Y8tyALZs6PxKQRSQzJ4A/\r\n"),
    ("SHA-384/salted", "1j+m9mEGsKIe+piN/Hqp7diflliGAuFSaaupx+6iUQlAYGgIeVGZQWUvx4QhVc26\r\n"),
    ("SHA-384/legacy", "TYCMRUUVyF25jO/i7qOIwDy7sFLctMm7onHnIj5BhK/Y8tyALZs6PxKQRSQzJ4A/"),
    ("SHA-384/legacy_salted", "1j+m9mEGsKIe+piN/Hqp7diflliGAuFSaaupx+6iUQlAYGgIeVGZQWUvx4QhVc26"),
    (
        "SHA-512/plain",
        "m0++F0rZdaEu0L5OXXeKmQTfOV9HcDbL2DrzIgynyYe6i2u6+hKKcpc2V80a2TiLhnCff8mjtz1W\r\nYbIKxdYxdg==\r\n",
    ),
    (
        "SHA-512/salted",
        "4gvn7AcOwO7gK2mJOLeQK51Mn3VmKTHQGQls+WP4UWKEi7SpkY1KK/xXyWHQ7djIlaOhGGUE7hhp\r\nGeqtaRKgqg==\r\n",
    ),
    ("SHA-512/legacy", "m0++F0rZdaEu0L5OXXeKmQTfOV9HcDbL2DrzIgynyYe6i2u6+hKKcpc2V80a2TiLhnCff8mjtz1W\r\nYbIKxdYx"),
    (
        "SHA-512/legacy_salted",
        "4gvn7AcOwO7gK2mJOLeQK51Mn3VmKTHQGQls+WP4UWKEi7SpkY1KK/xXyWHQ7djIlaOhGGUE7hhp\r\nGeqtaRKg",
    ),
    (
        "PBKDF2-SHA512-1000-512",
        "AXr/xqdGju3776gv2wfzFL4HrIQmlMlTm5BVbEvePMziqaoXtp13G3IThNMQVDRn1kqPsXdKzXyX\r\n/g7j+jMzHw==\r\n",
    ),
    ("PBKDF2-SHA512-200-256", "OYYplx1/0MfeSeBpxD7gcgfKOU4GWC37ZKSoTIKdwL0=\r\n"),
    ("PBKDF2", "loVITQY5EA6p/TxcjB/mqPtwZG3Zf0Y7A5BTql422HK8FlnERJAG95R3gs2azkZyhfZho7U3Vbg+\r\n56vVmCky8g==\r\n"),
];

#[test]
fn what_james_has_hashed_is_verified() {
    for (name, hash) in OF_JAMES {
        let algorithm = Algorithm::parse(name, Mode::Plain).expect(name);
        assert!(algorithm.takes(hash), "{name}");
        assert!(algorithm.verify(USER, PASSWORD, hash), "{name}");
        assert!(algorithm.verify(USER, PASSWORD, &hash.replace("\r\n", "")), "{name}, in one line");
        assert!(!algorithm.verify(USER, "pass word", hash), "{name}, another password");
        let salted = algorithm.verify("me@localhost", PASSWORD, hash);
        let has_salt = name.ends_with("salted") || name.starts_with("PBKDF2");
        assert_eq!(salted, !has_salt, "{name}, another user");
        assert_eq!(
            Algorithm::parse(&algorithm.to_string(), Mode::Salted),
            Ok(algorithm),
            "{name}, written and read back"
        );
    }
}

#[test]
fn the_mode_stands_behind_the_name_or_elsewhere() {
    let parse = |text, mode| Algorithm::parse(text, mode).map(|algorithm| algorithm.to_string());
    assert_eq!(parse("SHA-512", Mode::LegacySalted), Ok("SHA-512/legacy_salted".to_owned()));
    assert_eq!(parse("sha-512/plain", Mode::LegacySalted), Ok("SHA-512/plain".to_owned()));
    assert_eq!(parse("PBKDF2", Mode::Plain), Ok("PBKDF2-1000-512/plain".to_owned()));
    assert_eq!(parse("PBKDF2-SHA512-5000", Mode::Plain), Ok("PBKDF2-SHA512-5000-512/plain".to_owned()));
    assert_eq!(parse("argon2id", Mode::Plain), Ok("argon2id".to_owned()));
    for wrong in
        ["", "SHA-513", "MD5/pepper", "PBKDF2-", "PBKDF2-0-512", "PBKDF2-SHA512-1-2-3", "PBKDF2-1-99999999", "NONE"]
    {
        assert_eq!(parse(wrong, Mode::Plain), Err(UnknownAlgorithm), "{wrong:?}");
    }
}

/// A vector of the reference implementation's own tests.
#[test]
fn argon2id_is_the_one_of_the_reference_implementation() {
    let hash = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
    assert!(Algorithm::Argon2id.takes(hash));
    assert!(Algorithm::Argon2id.verify(USER, "password", hash));
    assert!(!Algorithm::Argon2id.verify(USER, "Password", hash));
}

#[test]
fn new_passwords_are_verified() {
    let hash = make(PASSWORD, b"sixteen octets!!").expect("memory");
    assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
    assert!(Algorithm::Argon2id.verify(USER, PASSWORD, &hash));
    assert!(!Algorithm::Argon2id.verify(USER, "pass word", &hash));
}

#[test]
fn a_record_cannot_ask_for_more_than_is_borne() {
    for costs in
        ["m=99999999,t=1,p=1", "m=64,t=99999,p=1", "m=64,t=1,p=99", "m=64,t=1", "t=1,m=64,p=1", "m=64,t=1,p=1,x=1"]
    {
        let hash = format!("$argon2id$v=19${costs}$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4");
        assert!(!Algorithm::Argon2id.takes(&hash), "{costs}");
    }
}

proptest! {
    // Each case is slow: hashing is.
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn no_record_verifies_by_accident(hash in "(\\$argon2id\\$v=19\\$m=8,t=1,p=1\\$)?[A-Za-z0-9+/=$]{0,60}") {
        prop_assert!(!Algorithm::Argon2id.verify(USER, PASSWORD, &hash));
        for (name, _) in [OF_JAMES[0], OF_JAMES[5], OF_JAMES[20]] {
            let algorithm = Algorithm::parse(name, Mode::Plain).expect(name);
            prop_assert!(!algorithm.verify(USER, PASSWORD, &hash));
        }
    }
}
