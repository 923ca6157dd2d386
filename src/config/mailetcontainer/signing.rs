//! The parameters of `DKIMSign`.

use std::sync::Arc;

use super::super::keystore::{Flaw, private_key_of, read_file};
use super::super::location::{Places, location};
use super::super::problem::Severity;
use super::super::section::Section;
use super::mailets::needed;
use crate::io::tls::PrivateKeyDer;
use crate::mailet::dkim::{Key, Signer, Template};
use crate::mailet::mailets::Mailet;
use crate::mailet::mailets::sign::Sign;

/// How to make a key.
const MAKE: &str =
    "make one: openssl genrsa -out dkim.pem 2048; the DNS has its other half: openssl rsa -in dkim.pem -pubout";

/// `DKIMSign`.
pub fn dkim_sign(section: &mut Section<'_>, places: Places<'_>) -> Option<Mailet> {
    let template = needed(section, "DKIMSign", "signatureTemplate", |text| {
        Template::parse(text).map_err(|error| {
            format!("one such as v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.org; s=mail; h=from:to:subject:date; bh=; b=; ({error})")
        })
    });
    let key = key(section, places);
    let (template, key) = (template?, key?);
    match Signer::new(template, key) {
        Ok(signer) => Some(Mailet::Sign(Sign(Arc::new(signer)))),
        Err(mismatch) => {
            let at = section.written("signatureTemplate").map_or(section.element.position, |written| written.position);
            section.say(at, Severity::Error, mismatch.to_string(), "write the one that the key is for");
            None
        }
    }
}

/// The key: in the file, or where `privateKeyFilepath` says.
fn key(section: &mut Section<'_>, places: Places<'_>) -> Option<Key> {
    let password = section.written("privateKeyPassword").map(|written| written.text.to_owned());
    let (inline, path) = (section.written("privateKey"), section.written("privateKeyFilepath"));
    let (at, octets) = match (inline, path) {
        (Some(written), None) => (written.position, written.text.as_bytes().to_vec()),
        (None, Some(written)) => {
            let path = section.parse(written, |text| location(text, places))?;
            match read_file(&path) {
                Ok(octets) => (written.position, octets),
                Err(error) => {
                    let found = format!("{} cannot be read ({error})", path.display());
                    section.say(written.position, Severity::Error, found, MAKE);
                    return None;
                }
            }
        }
        (Some(written), Some(_)) => {
            let found = "privateKey and privateKeyFilepath are both there";
            section.say(written.position, Severity::Error, found, "write one of them");
            return None;
        }
        (None, None) => {
            let found = "DKIMSign has no <privateKeyFilepath>";
            section.say(
                section.element.position,
                Severity::Error,
                found,
                "write <privateKeyFilepath>…</privateKeyFilepath> in it",
            );
            return None;
        }
    };
    let (found, advice) = match private_key_of(&octets, password.as_deref()) {
        Ok(PrivateKeyDer::Pkcs8(der)) => match Key::from_pkcs8(der.secret_pkcs8_der()) {
            Ok(key) => return Some(key),
            Err(error) => (error.to_string(), MAKE.to_owned()),
        },
        Ok(PrivateKeyDer::Pkcs1(der)) => match Key::from_pkcs1(der.secret_pkcs1_der()) {
            Ok(key) => return Some(key),
            Err(error) => (error.to_string(), MAKE.to_owned()),
        },
        Ok(_) => ("it is no private key of RSA or Ed25519".to_owned(), MAKE.to_owned()),
        Err(Flaw::Broken(why)) => (why, MAKE.to_owned()),
        Err(Flaw::Password) => {
            ("it is not opened by <privateKeyPassword>".to_owned(), "write its passphrase".to_owned())
        }
        Err(Flaw::Unsupported(what, instead)) => (format!("it is {what}, which ringpost does not read"), instead),
    };
    section.say(at, Severity::Error, format!("the key of DKIMSign cannot be used: {found}"), advice);
    None
}
