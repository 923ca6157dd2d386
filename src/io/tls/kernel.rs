//! One connection in TLS whose records are sealed and opened below it, by the kernel (kTLS), once its handshake is done.
//!
//! **What it holds.** Of rustls what makes new keys; of records nothing, but the beginning of a message that is no content and
//! not whole. Such records come here too, told by their kind, and are obeyed as rustls does.

use std::io;
use std::task::{Context, Poll, Waker};

use rustls::kernel::KernelConnection;
use rustls::server::ServerConnectionData;
use rustls::{ConnectionTrafficSecrets, ExtractedSecrets, SupportedCipherSuite};

use super::agreed::Agreed;
use super::post_handshake::{ALERT, Asked, CLOSE_NOTIFY, Fatal, HANDSHAKE, KEY_UPDATE, NO_RENEGOTIATION, first};
use super::stream::{TURNS, not_connected, truncated};
use crate::io::Stream;
use crate::io::records::{APPLICATION_DATA, Aead, Direction, FRAGMENT, Keys, Received, Records};
use crate::mail::TlsVersion;

/// KeyUpdates without content in between, after which the peer has only us in mind; rustls lets pass as many.
const KEY_UPDATES: u8 = 32;

/// Warnings and attempts to negotiate again that are let pass, as by rustls.
const WARNINGS: u8 = 4;

/// Octets of a message that is no content and not whole: a record's. Only those of TLS 1.2 that ask for another handshake are
/// longer than five.
const PARTIAL: usize = FRAGMENT;

/// A server's end of a connection in TLS that the kernel has the keys of.
pub struct KernelStream<S> {
    inner: S,
    keys: KernelConnection<ServerConnectionData>,
    agreed: Agreed,
    state: State,
    /// Of a message that is no content, what has come of it; and the kind of its record.
    partial: Vec<u8>,
    kind: u8,
    /// What is to be sent before anything else.
    owed: Option<Owed>,
    /// Records sealed with the present keys, at most so many.
    sealed: u64,
    key_updates: u8,
    warnings: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// The peer has said that it will send nothing more.
    PeerClosed,
    /// Nothing can be read or written any more.
    Failed,
}

/// What is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owed {
    /// KeyUpdate, and then new keys.
    NewKeys,
    /// That there is no other handshake.
    NoRenegotiation,
}

/// What is sealed and opened with, where the kernel may know it.
pub(super) fn aead(suite: SupportedCipherSuite) -> Option<Aead> {
    use rustls::CipherSuite::*;
    match suite.suite() {
        TLS13_AES_128_GCM_SHA256 | TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 | TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => {
            Some(Aead::Aes128Gcm)
        }
        TLS13_AES_256_GCM_SHA384 | TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 | TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 => {
            Some(Aead::Aes256Gcm)
        }
        TLS13_CHACHA20_POLY1305_SHA256
        | TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
        | TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 => Some(Aead::ChaCha20Poly1305),
        _ => None,
    }
}

impl<S: Stream> KernelStream<S> {
    /// Over a stream that is ready for keys; nothing that it received is left, and nothing is on its way but by it.
    pub(super) fn new(
        inner: S,
        agreed: Agreed,
        secrets: ExtractedSecrets,
        keys: KernelConnection<ServerConnectionData>,
    ) -> io::Result<KernelStream<S>> {
        let ExtractedSecrets { tx, rx } = secrets;
        let mut stream = KernelStream {
            inner,
            keys,
            agreed,
            state: State::Open,
            partial: Vec::new(),
            kind: APPLICATION_DATA,
            owed: None,
            sealed: tx.0,
            key_updates: KEY_UPDATES,
            warnings: WARNINGS,
        };
        stream.use_keys(Direction::Send, tx)?;
        stream.use_keys(Direction::Receive, rx)?;
        Ok(stream)
    }

    /// What was agreed on.
    pub fn agreed(&self) -> Agreed {
        self.agreed
    }

    /// Octets held for this connection beside what TLS itself needs.
    pub fn held(&self) -> usize {
        self.partial.capacity()
    }

    /// As if so many records had been sealed.
    #[cfg(test)]
    pub(super) fn age(&mut self, records: u64) {
        self.sealed = records;
    }

    #[cfg(test)]
    pub(super) fn inner(&mut self) -> &mut S {
        &mut self.inner
    }

    fn records(&mut self) -> io::Result<&mut dyn Records> {
        self.inner.records().ok_or_else(|| io::ErrorKind::Unsupported.into())
    }

    fn use_keys(&mut self, direction: Direction, from: (u64, ConnectionTrafficSecrets)) -> io::Result<()> {
        let (sequence, secrets) = from;
        let (aead, key, nonce) = match &secrets {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (Aead::Aes128Gcm, key, iv),
            ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (Aead::Aes256Gcm, key, iv),
            ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => (Aead::ChaCha20Poly1305, key, iv),
            _ => return Err(io::ErrorKind::Unsupported.into()),
        };
        let nonce = nonce.as_ref().try_into().map_err(io::Error::other)?;
        let version = self.agreed.tls.version;
        let keys = Keys::new(version, aead, key.as_ref(), nonce, sequence).ok_or(io::ErrorKind::InvalidInput)?;
        self.records()?
            .use_keys(direction, &keys)
            .map_err(|error| io::Error::new(error.kind(), format!("the kernel does not take new keys of TLS: {error}")))
    }

    /// Records that may be sealed with one key (RFC 8446 §5.5).
    fn limit(&self) -> u64 {
        match self.keys.negotiated_cipher_suite() {
            SupportedCipherSuite::Tls12(suite) => suite.common.confidentiality_limit,
            SupportedCipherSuite::Tls13(suite) => suite.common.confidentiality_limit,
        }
    }

    /// Sends what is owed.
    fn poll_pay(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(owed) = self.owed else { return Poll::Ready(Ok(())) };
        let (kind, octets) = match owed {
            Owed::NewKeys => (HANDSHAKE, &KEY_UPDATE[..]),
            Owed::NoRenegotiation => (ALERT, &NO_RENEGOTIATION[..]),
        };
        let Poll::Ready(sent) = self.records()?.poll_send(context, kind, octets)? else { return Poll::Pending };
        if sent < octets.len() {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.owed = None;
        self.sealed += 1;
        if owed == Owed::NewKeys {
            let secrets = self.keys.update_tx_secret().map_err(io::Error::other)?;
            self.use_keys(Direction::Send, secrets)?;
            self.sealed = 0;
        }
        Poll::Ready(Ok(()))
    }

    /// Ends it: the alert that says why goes out if it can.
    fn fail(&mut self, alert: Option<Fatal>, error: io::Error) -> io::Error {
        self.state = State::Failed;
        self.partial = Vec::new();
        if let (Some(alert), Ok(records)) = (alert, self.records()) {
            let mut context = Context::from_waker(Waker::noop());
            let _ = records.poll_send(&mut context, ALERT, &alert.octets());
        }
        error
    }

    /// Takes in what was received: so many octets at the front of `buffer` are content for the caller.
    fn take_in(&mut self, received: io::Result<Received>, buffer: &[u8]) -> io::Result<usize> {
        match received {
            Err(error) => match alert_for(&error) {
                Some(alert) => Err(self.refuse(alert)),
                None => Err(self.fail(None, error)),
            },
            Ok(Received::End) => Err(self.fail(None, truncated())),
            Ok(Received::Content { kind: APPLICATION_DATA, octets }) if self.partial.is_empty() => {
                self.key_updates = KEY_UPDATES;
                Ok(octets)
            }
            Ok(Received::Content { kind, octets }) => {
                let content = buffer.get(..octets).unwrap_or_default();
                if !self.partial.is_empty() && self.kind != kind || self.partial.len() + octets > PARTIAL {
                    return Err(self.refuse(Fatal::UnexpectedMessage));
                }
                self.kind = kind;
                self.partial.extend_from_slice(content);
                self.obey().map(|()| 0)
            }
        }
    }

    /// Does what the records ask for that are no content.
    fn obey(&mut self) -> io::Result<()> {
        while !self.partial.is_empty() && self.state == State::Open {
            let (asked, used) = match first(self.agreed.tls.version, self.kind, &self.partial) {
                Ok(Some(first)) => first,
                Ok(None) => return Ok(()),
                Err(alert) => return Err(self.refuse(alert)),
            };
            self.partial.drain(..used);
            match asked {
                Asked::Close => self.state = State::PeerClosed,
                Asked::End(alert) => {
                    return Err(self.fail(None, broken(format!("ended by the client with alert {alert}"))));
                }
                Asked::Nothing => self.endure()?,
                Asked::Renegotiation => {
                    self.endure()?;
                    self.owed = Some(Owed::NoRenegotiation);
                }
                Asked::NewKeys { answer } => self.renew(answer)?,
            }
        }
        self.partial = Vec::new();
        Ok(())
    }

    /// What follows is opened with new keys.
    fn renew(&mut self, answer: bool) -> io::Result<()> {
        let Some(left) = self.key_updates.checked_sub(1) else { return Err(self.refuse(Fatal::UnexpectedMessage)) };
        self.key_updates = left;
        let secrets = self.keys.update_rx_secret().map_err(io::Error::other);
        let renewed = secrets.and_then(|secrets| self.use_keys(Direction::Receive, secrets));
        renewed.map_err(|error| self.fail(Some(Fatal::InternalError), error))?;
        if answer {
            self.owed = Some(Owed::NewKeys);
        }
        Ok(())
    }

    /// One warning more.
    fn endure(&mut self) -> io::Result<()> {
        let Some(left) = self.warnings.checked_sub(1) else { return Err(self.refuse(Fatal::UnexpectedMessage)) };
        self.warnings = left;
        Ok(())
    }

    fn refuse(&mut self, alert: Fatal) -> io::Error {
        self.fail(Some(alert), broken(format!("what the client sent is no TLS: {alert:?}")))
    }
}

impl<S: Stream> Stream for KernelStream<S> {
    /// `Ok(0)` is a close_notify. A connection that ends without one is an error, as in [`TlsStream`](super::TlsStream).
    fn poll_read(&mut self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        for _ in 0..TURNS {
            match self.state {
                State::Failed => return not_connected(),
                State::PeerClosed => return Poll::Ready(Ok(0)),
                State::Open => {}
            }
            // Who does not take what is owed is heard all the same: more is never owed than one record.
            if let Poll::Ready(Err(error)) = self.poll_pay(context) {
                return Poll::Ready(Err(self.fail(None, error)));
            }
            let received = match self.records()?.poll_receive(context, buffer) {
                Poll::Ready(received) => received,
                Poll::Pending => return Poll::Pending,
            };
            match self.take_in(received, buffer)? {
                0 => {}
                octets => return Poll::Ready(Ok(octets)),
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    fn read_now(&mut self, buffer: &mut [u8]) -> usize {
        let Ok(records) = self.records() else { return 0 };
        match records.receive_now(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            // After the end nobody wants it; it is read so that the connection is not reset over it.
            received if self.state != State::Open => match received {
                Ok(Received::Content { octets, .. }) => octets,
                _ => 0,
            },
            received => self.take_in(received, buffer).unwrap_or(0),
        }
    }

    fn poll_write(&mut self, context: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        if self.state == State::Failed {
            return not_connected();
        }
        if self.sealed >= self.limit() {
            if self.agreed.tls.version == TlsVersion::Tls12 {
                self.shutdown();
                return Poll::Ready(Err(io::Error::other("TLS cannot encrypt any more")));
            }
            self.owed = Some(Owed::NewKeys);
        }
        match self.poll_pay(context) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Err(error)) => return Poll::Ready(Err(self.fail(None, error))),
            Poll::Ready(Ok(())) => {}
        }
        match self.inner.poll_write(context, buffer) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(octets)) => {
                // What the kernel has taken ends with a record.
                self.sealed += 1 + (octets / FRAGMENT) as u64;
                Poll::Ready(Ok(octets))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(self.fail(None, error))),
        }
    }

    fn shutdown(&mut self) {
        if self.state != State::Failed {
            let mut context = Context::from_waker(Waker::noop());
            if let Ok(records) = self.records() {
                // A peer that does not read is not waited for.
                let _ = records.poll_send(&mut context, ALERT, &CLOSE_NOTIFY);
            }
            self.state = State::Failed;
        }
        self.inner.shutdown();
    }
}

/// What the peer is told where the kernel could not open a record.
fn alert_for(error: &io::Error) -> Option<Fatal> {
    match error.raw_os_error()? {
        libc::EBADMSG => Some(Fatal::BadRecordMac),
        libc::EMSGSIZE => Some(Fatal::RecordOverflow),
        libc::EINVAL => Some(Fatal::DecodeError),
        _ => None,
    }
}

fn broken(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}
