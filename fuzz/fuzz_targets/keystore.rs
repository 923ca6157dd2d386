//! Whatever is in a file that is named as a JKS, it is one or it is refused; its digest is put right, so that what it says is read too.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringpost::config::keystore::jks;
use sha1::{Digest, Sha1};

fuzz_target!(|input: (String, Vec<u8>)| {
    let (password, octets) = input;
    let _ = jks::read(&octets, &password);
    let mut body = [&jks::MAGIC[..], &octets].concat();
    let units: Vec<u8> = password.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let digest = Sha1::new().chain_update(units).chain_update(b"Mighty Aphrodite").chain_update(&body).finalize();
    body.extend_from_slice(&digest);
    if let Ok(contents) = jks::read(&body, &password) {
        let certificates = contents.trusted.iter().chain(contents.keys.iter().flat_map(|key| &key.chain));
        let held: usize = certificates.map(|certificate| certificate.len()).sum();
        assert!(held <= octets.len());
    }
});
