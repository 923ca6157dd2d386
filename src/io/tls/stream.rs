//! One connection in TLS.
//!
//! **What it holds.** Received octets of TLS stay in a buffer of one record until a whole record is there; between records there
//! is no buffer. What was decrypted and not fetched is at most what that one buffer held. What is to be sent is encrypted record
//! by record, and the next one only when the last is on its way. During the handshake the buffer may grow, for certificates of
//! clients, to [`HANDSHAKE`].

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use rustls::client::UnbufferedClientConnection;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, WriteTraffic};

use super::agreed::Agreed;
use super::client::ClientTls;
use super::end::End;
use super::end_point::take_shown;
use super::exporter::take_binding;
use super::held::{HANDSHAKE, Incoming, Outgoing, Plain, RECORD};
use super::kernel::{KernelStream, aead};
use super::settings::ServerConfig;
use crate::io::Stream;
use crate::io::records::{FRAGMENT, Offered};
use crate::mail::{CipherSuite, EndPoint, Tls, TlsVersion};

/// Octets that encryption adds to a record at most, header included.
const OVERHEAD: usize = 256;

/// Octets that may wait to be sent before nothing more is read: a client that only asks and never reads gets no further.
const UNSENT: usize = 64 * 1024;

/// Reads in a row that bring nothing for the caller before others have their turn.
pub(super) const TURNS: u32 = 16;

/// One end of a connection in TLS: the server's, or the client's.
pub struct TlsStream<S, E = UnbufferedServerConnection> {
    inner: S,
    tls: E,
    incoming: Incoming,
    outgoing: Outgoing,
    /// Decrypted and not fetched.
    plain: Plain,
    state: State,
    /// Octets that are encrypted and not yet reported as sent.
    owed: usize,
    exporter: Option<[u8; 32]>,
    end_point: Option<EndPoint>,
    /// What the kernel may be given the keys for.
    offered: Offered,
    /// Content was encrypted, and nothing processed since: rustls owes the peer nothing.
    settled: bool,
}

/// What came of giving the kernel the keys of a connection.
pub(super) enum HandedOver<S> {
    /// It has them.
    Kernel(Box<KernelStream<S>>),
    /// It does not get them; all is as it was.
    Not(Box<TlsStream<S>>),
}

/// The client's end.
pub type ClientStream<S> = TlsStream<S, UnbufferedClientConnection>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Handshake,
    Open,
    /// The peer has said that it will send nothing more.
    PeerClosed,
    /// Nothing can be read or written any more.
    Failed,
}

/// What came of processing what was received.
#[derive(Debug)]
enum Progress {
    /// Nothing more can be done without more from the peer.
    Hungry,
    /// So many octets were decrypted.
    Plain(usize),
    /// The peer has closed its side.
    Closed,
}

impl<S: Stream> TlsStream<S> {
    /// Over a connection on which the client is about to begin TLS, or has sent `received` of it.
    pub fn new(inner: S, config: Arc<ServerConfig>, received: &[u8]) -> io::Result<TlsStream<S>> {
        let tls = UnbufferedServerConnection::new(config.rustls.clone()).map_err(broken)?;
        let mut incoming = Incoming::default();
        incoming.put(received)?;
        Ok(TlsStream { offered: config.kernel, ..TlsStream::over(inner, tls, incoming) })
    }

    /// Whether the kernel can be given the keys now. What was received must have been used, and what rustls has to say must
    /// have been said: so it is after the first reply, when the client is waited for.
    pub(super) fn can_be_handed_over(&self) -> bool {
        self.settled
            && !self.offered.is_empty()
            && self.state == State::Open
            && self.owed == 0
            && self.incoming.is_empty()
            && self.outgoing.rest().is_empty()
            && self.plain.is_empty()
            && !self.tls.common().wants_write()
    }

    /// Gives the kernel the keys. It is tried once; after an error the connection is gone.
    pub(super) fn hand_over(mut self: Box<Self>) -> io::Result<HandedOver<S>> {
        let offered = std::mem::take(&mut self.offered);
        let aead = self.tls.common().negotiated_cipher_suite().and_then(aead);
        let (Some(agreed), Some(aead)) = (self.agreed(), aead) else { return Ok(HandedOver::Not(self)) };
        let prepared = offered.has(agreed.tls.version, aead)
            && self.inner.records().is_some_and(|records| records.prepare().is_ok());
        if !prepared {
            return Ok(HandedOver::Not(self));
        }
        let TlsStream { inner, tls, mut incoming, .. } = *self;
        incoming.release();
        let (secrets, keys) = tls.dangerous_into_kernel_connection().map_err(broken)?;
        Ok(HandedOver::Kernel(Box::new(KernelStream::new(inner, agreed, secrets, keys)?)))
    }
}

impl<S: Stream> ClientStream<S> {
    /// Over a connection on which the server waits for TLS. What it sent before in the clear is not TLS, and must be gone.
    pub fn client(inner: S, tls: &ClientTls) -> io::Result<ClientStream<S>> {
        let tls = tls.connection().map_err(broken)?;
        let mut incoming = Incoming::default();
        // The first word is the client's.
        incoming.look();
        Ok(TlsStream::over(inner, tls, incoming))
    }
}

impl<S: Stream, E: End> TlsStream<S, E> {
    fn over(inner: S, tls: E, incoming: Incoming) -> TlsStream<S, E> {
        let (outgoing, plain) = (Outgoing::default(), Plain::default());
        let state = State::Handshake;
        TlsStream {
            inner,
            tls,
            incoming,
            outgoing,
            plain,
            state,
            owed: 0,
            exporter: None,
            end_point: None,
            offered: Offered::default(),
            settled: false,
        }
    }

    /// Does the handshake as far as it goes. After an error nothing can be sent any more; the peer was told, if it reads.
    pub fn poll_handshake(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        for _ in 0..TURNS {
            if self.state != State::Handshake {
                return if self.state == State::Failed { not_connected() } else { self.poll_flush(context) };
            }
            if self.incoming.is_fresh() {
                let progress = self.process(&mut [], context);
                // Taken in any case, or what a failed handshake left would pass for the next one's.
                self.exporter = take_binding().or(self.exporter);
                self.end_point = take_shown().or(self.end_point);
                let progress = progress?;
                match progress {
                    _ if !self.tls.common().is_handshaking() => self.state = State::Open,
                    Progress::Closed => return self.fail(io::ErrorKind::UnexpectedEof.into(), context),
                    Progress::Hungry | Progress::Plain(_) => self.incoming.note_processed(),
                }
                continue;
            }
            if self.poll_flush(context)?.is_pending() {
                return Poll::Pending;
            }
            if self.poll_fill(context)?.is_pending() {
                return Poll::Pending;
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// What the connection is secured with, once the handshake is done.
    pub fn secured_with(&self) -> Option<Tls> {
        let version = TlsVersion::numbered(self.tls.common().protocol_version()?.into())?;
        let cipher = CipherSuite::numbered(self.tls.common().negotiated_cipher_suite()?.suite().into())?;
        Some(Tls { version, cipher })
    }

    /// What both ends have agreed on, once the handshake is done.
    pub fn agreed(&self) -> Option<Agreed> {
        let common = self.tls.common();
        Some(Agreed {
            tls: self.secured_with()?,
            exporter: self.exporter,
            end_point: self.end_point,
            resumed: common.handshake_kind() == Some(rustls::HandshakeKind::Resumed),
            group: common.negotiated_key_exchange_group().map(|group| group.name()),
        })
    }

    /// Octets held for this connection beside what TLS itself needs.
    pub fn held(&self) -> usize {
        self.incoming.held() + self.outgoing.held() + self.plain.held()
    }

    /// Takes in what was received until something comes of it. What was decrypted goes to `to`, and the rest of it is kept.
    fn process(&mut self, to: &mut [u8], context: &mut Context<'_>) -> io::Result<Progress> {
        match self.try_process(to) {
            Ok(progress) => Ok(progress),
            Err(error) => match self.fail::<()>(error, context) {
                Poll::Ready(Err(error)) => Err(error),
                _ => Err(io::ErrorKind::NotConnected.into()),
            },
        }
    }

    fn try_process(&mut self, to: &mut [u8]) -> io::Result<Progress> {
        self.settled = false;
        loop {
            let status = self.tls.process(self.incoming.unused());
            let mut used = status.discard;
            let state = match status.state {
                Ok(state) => state,
                Err(error) => {
                    self.incoming.consume(used);
                    return Err(broken(error));
                }
            };
            let progress = match state {
                ConnectionState::ReadTraffic(mut traffic) => {
                    let mut octets = 0;
                    while let Some(record) = traffic.next_record() {
                        let record = record.map_err(broken)?;
                        used += record.discard;
                        let room = to.get_mut(octets..).unwrap_or_default();
                        let fits = record.payload.len().min(room.len());
                        let (now, later) = record.payload.split_at(fits);
                        room[..fits].copy_from_slice(now);
                        self.plain.keep(later);
                        octets += fits;
                    }
                    Some(Progress::Plain(octets))
                }
                ConnectionState::EncodeTlsData(mut data) => {
                    self.outgoing.encode(OVERHEAD, |room| data.encode(room).map_err(room_for_handshake))?;
                    None
                }
                ConnectionState::TransmitTlsData(data) => {
                    // It stands in `outgoing`, in order.
                    data.done();
                    None
                }
                ConnectionState::BlockedHandshake | ConnectionState::WriteTraffic(_) => Some(Progress::Hungry),
                ConnectionState::PeerClosed | ConnectionState::Closed => Some(Progress::Closed),
                // No session allows early data.
                _ => return Err(io::ErrorKind::InvalidData.into()),
            };
            self.incoming.consume(used);
            if let Some(progress) = progress {
                return Ok(progress);
            }
        }
    }

    /// Ends it: the alert that says why goes out if it can.
    fn fail<T>(&mut self, error: io::Error, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        self.state = State::Failed;
        // Only an alert that waits is of interest: what was received is not looked at again.
        while self.tls.common().wants_write() {
            match self.tls.process(self.incoming.unused()).state {
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    let _ = self.outgoing.encode(OVERHEAD, |room| data.encode(room).map_err(room_for_handshake));
                }
                _ => break,
            }
        }
        let _ = self.poll_flush(context);
        self.incoming.release();
        self.plain = Plain::default();
        Poll::Ready(Err(error))
    }

    /// Encrypts with `write`, which is told where to.
    fn encrypt(
        &mut self,
        room: usize,
        write: impl Fn(&mut WriteTraffic<'_, E::Data>, &mut [u8]) -> Result<usize, EncryptError>,
    ) -> io::Result<()> {
        loop {
            let status = self.tls.process(self.incoming.unused());
            let mut used = status.discard;
            let mut written = false;
            match status.state.map_err(broken)? {
                ConnectionState::WriteTraffic(mut traffic) => {
                    self.outgoing.encode(room, |room| write(&mut traffic, room).map_err(room_for_content))?;
                    written = true;
                }
                // Records that are there already come first; there are no more of them than the one buffer holds.
                ConnectionState::ReadTraffic(mut traffic) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record.map_err(broken)?;
                        used += record.discard;
                        self.plain.keep(record.payload);
                    }
                }
                ConnectionState::EncodeTlsData(mut data) => {
                    self.outgoing.encode(OVERHEAD, |room| data.encode(room).map_err(room_for_handshake))?;
                }
                ConnectionState::TransmitTlsData(data) => data.done(),
                ConnectionState::PeerClosed => self.state = State::PeerClosed,
                _ => return Err(io::ErrorKind::NotConnected.into()),
            }
            self.incoming.consume(used);
            if written {
                self.settled = true;
                self.incoming.release_if_empty();
                return Ok(());
            }
        }
    }

    /// Receives something that was not processed yet.
    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let limit = if self.state == State::Handshake { HANDSHAKE } else { RECORD };
        let room = self.incoming.room(limit)?;
        match self.inner.poll_read(context, room) {
            Poll::Ready(Ok(0)) => self.fail(truncated(), context),
            Poll::Ready(Ok(octets)) => {
                self.incoming.note_received(octets);
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => self.fail(error, context),
            Poll::Pending => {
                self.incoming.release_if_empty();
                Poll::Pending
            }
        }
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outgoing.rest().is_empty() {
            match self.inner.poll_write(context, self.outgoing.rest()) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(octets)) => self.outgoing.sent(octets),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Decrypts whole records that are there, as long as what is in the next one surely fits.
    fn decrypt_more(&mut self, buffer: &mut [u8], mut octets: usize, context: &mut Context<'_>) -> io::Result<usize> {
        while self.incoming.next_record().is_some_and(|length| length <= buffer.len() - octets) {
            match self.process(&mut buffer[octets..], context)? {
                Progress::Plain(more) => octets += more,
                Progress::Hungry => break,
                Progress::Closed => {
                    self.state = State::PeerClosed;
                    break;
                }
            }
        }
        Ok(octets)
    }
}

impl<S: Stream, E: End> Stream for TlsStream<S, E> {
    /// `Ok(0)` is a close_notify. A connection that ends without one is an error (RFC 8446 §6.1): what is missing may have been cut off.
    fn poll_read(&mut self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let kept = self.plain.fetch(buffer);
        if kept > 0 {
            return Poll::Ready(Ok(kept));
        }
        for _ in 0..TURNS {
            match self.state {
                State::Handshake | State::Failed => return not_connected(),
                State::PeerClosed => return Poll::Ready(Ok(0)),
                State::Open => {}
            }
            if self.poll_flush(context)?.is_pending() && self.outgoing.rest().len() > UNSENT {
                return Poll::Pending;
            }
            if self.incoming.is_fresh() {
                match self.process(buffer, context)? {
                    Progress::Plain(0) => {}
                    Progress::Plain(octets) => return Poll::Ready(self.decrypt_more(buffer, octets, context)),
                    Progress::Closed => self.state = State::PeerClosed,
                    Progress::Hungry => self.incoming.note_processed(),
                }
                continue;
            }
            if self.poll_fill(context)?.is_pending() {
                return Poll::Pending;
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    fn read_now(&mut self, buffer: &mut [u8]) -> usize {
        let mut context = Context::from_waker(Waker::noop());
        let kept = self.plain.fetch(buffer);
        if kept > 0 || self.state != State::Open {
            // After the end nobody wants it; it is read so that the connection is not reset over it.
            return if kept > 0 { kept } else { self.inner.read_now(buffer) };
        }
        let Ok(room) = self.incoming.room(RECORD) else { return 0 };
        let octets = self.inner.read_now(room);
        self.incoming.note_received(octets);
        let read = match self.process(buffer, &mut context) {
            Ok(Progress::Plain(octets)) => octets,
            Ok(Progress::Closed) => {
                self.state = State::PeerClosed;
                0
            }
            Ok(Progress::Hungry) => {
                self.incoming.note_processed();
                0
            }
            Err(_) => 0,
        };
        self.incoming.release_if_empty();
        read
    }

    /// Reports octets as sent when the whole record with them was given to the connection below; called again until then with
    /// the same octets at the front.
    fn poll_write(&mut self, context: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        if matches!(self.state, State::Handshake | State::Failed) {
            return not_connected();
        }
        if self.owed == 0 {
            let now = buffer.get(..FRAGMENT).unwrap_or(buffer);
            if now.is_empty() {
                return Poll::Ready(Ok(0));
            }
            if let Err(error) = self.encrypt(now.len() + OVERHEAD, |traffic, room| traffic.encrypt(now, room)) {
                return self.fail(error, context);
            }
            self.owed = now.len();
        }
        match self.poll_flush(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(error)) => self.fail(error, context),
            Poll::Ready(Ok(())) => Poll::Ready(Ok(std::mem::take(&mut self.owed).min(buffer.len()))),
        }
    }

    fn shutdown(&mut self) {
        if matches!(self.state, State::Open | State::PeerClosed) {
            let mut context = Context::from_waker(Waker::noop());
            if self.encrypt(OVERHEAD, |traffic, room| traffic.queue_close_notify(room)).is_ok() {
                // A peer that does not read is not waited for.
                let _ = self.poll_flush(&mut context);
            }
            self.state = State::Failed;
        }
        self.inner.shutdown();
    }
}

fn room_for_handshake(error: EncodeError) -> Option<usize> {
    match error {
        EncodeError::InsufficientSize(size) => Some(size.required_size),
        EncodeError::AlreadyEncoded => None,
    }
}

fn room_for_content(error: EncryptError) -> Option<usize> {
    match error {
        EncryptError::InsufficientSize(size) => Some(size.required_size),
        EncryptError::EncryptExhausted => None,
    }
}

fn broken(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

pub(super) fn truncated() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "closed without close_notify")
}

pub(super) fn not_connected<T>() -> Poll<io::Result<T>> {
    Poll::Ready(Err(io::ErrorKind::NotConnected.into()))
}
