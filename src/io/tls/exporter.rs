//! tls-exporter (RFC 9266): a secret that both ends of one TLS 1.3 connection know and nobody else.
//!
//! rustls gives exporters to connections with buffers of their own alone; to all it gives the exporter's master secret, when the
//! handshake comes to it, on the thread that drives the handshake. From that it is derived here (RFC 8446 §7.5).

use std::cell::Cell;

use hmac::{Hmac, KeyInit, Mac};
use rustls::KeyLog;
use sha2::{Digest, Sha256, Sha384};

/// What rustls calls the exporter's master secret.
const LABEL: &str = "EXPORTER_SECRET";

thread_local! {
    /// The one of the handshake that is being driven.
    static SECRET: Cell<Option<Vec<u8>>> = const { Cell::new(None) };
}

/// Takes the exporter's master secret from rustls, and nothing else.
#[derive(Debug)]
pub(super) struct Exporters;

impl KeyLog for Exporters {
    fn log(&self, label: &str, _client_random: &[u8], secret: &[u8]) {
        if label == LABEL {
            SECRET.set(Some(secret.to_vec()));
        }
    }

    fn will_log(&self, label: &str) -> bool {
        label == LABEL
    }
}

/// The binding of the connection whose handshake was driven last on this thread, if it came so far.
pub(super) fn take_binding() -> Option<[u8; 32]> {
    binding(&SECRET.take()?)
}

/// The exporter with the label of RFC 9266 §2, without context. The length of the secret is that of the suite's hash.
fn binding(secret: &[u8]) -> Option<[u8; 32]> {
    const NAME: &[u8] = b"EXPORTER-Channel-Binding";
    let derived = match secret.len() {
        32 => {
            let nothing = Sha256::digest([]);
            let of_label = expand::<Hmac<Sha256>>(secret, NAME, &nothing, 32)?;
            expand::<Hmac<Sha256>>(&of_label, b"exporter", &nothing, 32)?
        }
        48 => {
            let nothing = Sha384::digest([]);
            let of_label = expand::<Hmac<Sha384>>(secret, NAME, &nothing, 48)?;
            expand::<Hmac<Sha384>>(&of_label, b"exporter", &nothing, 32)?
        }
        _ => return None,
    };
    derived.try_into().ok()
}

/// HKDF-Expand-Label (RFC 8446 §7.1) to no more octets than one hash has.
fn expand<M: Mac + KeyInit>(secret: &[u8], label: &[u8], context: &[u8], octets: usize) -> Option<Vec<u8>> {
    let mut mac = <M as KeyInit>::new_from_slice(secret).ok()?;
    mac.update(&u16::try_from(octets).ok()?.to_be_bytes());
    mac.update(&[u8::try_from(6 + label.len()).ok()?]);
    mac.update(b"tls13 ");
    mac.update(label);
    mac.update(&[u8::try_from(context.len()).ok()?]);
    mac.update(context);
    mac.update(&[1]);
    let output = mac.finalize().into_bytes();
    output.get(..octets).map(<[u8]>::to_vec)
}
