//! A connection that may or may not be in TLS.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::ServerConfig;

use super::TlsStream;
use crate::io::Stream;

/// A connection in clear, or in TLS.
pub enum Transport<S> {
    /// In clear.
    Plain(S),
    /// In TLS, or on the way there.
    Tls(Box<TlsStream<S>>),
    /// Gone: TLS could not even be begun.
    Gone,
}

impl<S: Stream> Transport<S> {
    /// Leaves the clear for good; `received` is what the client has sent of TLS already. [`Transport::poll_handshake`] comes next.
    pub fn begin_tls(&mut self, config: Arc<ServerConfig>, received: &[u8]) -> io::Result<()> {
        match std::mem::replace(self, Transport::Gone) {
            Transport::Plain(stream) => {
                *self = Transport::Tls(Box::new(TlsStream::new(stream, config, received)?));
                Ok(())
            }
            _ => Err(io::Error::other("TLS is there already")),
        }
    }

    /// Does the handshake as far as it goes.
    pub fn poll_handshake(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Transport::Tls(stream) => stream.poll_handshake(context),
            _ => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    /// The TLS, where there is some.
    pub fn tls(&self) -> Option<&TlsStream<S>> {
        match self {
            Transport::Tls(stream) => Some(stream),
            _ => None,
        }
    }
}

impl<S: Stream> Stream for Transport<S> {
    fn poll_read(&mut self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        match self {
            Transport::Plain(stream) => stream.poll_read(context, buffer),
            Transport::Tls(stream) => stream.poll_read(context, buffer),
            Transport::Gone => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn read_now(&mut self, buffer: &mut [u8]) -> usize {
        match self {
            Transport::Plain(stream) => stream.read_now(buffer),
            Transport::Tls(stream) => stream.read_now(buffer),
            Transport::Gone => 0,
        }
    }

    fn poll_write(&mut self, context: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Transport::Plain(stream) => stream.poll_write(context, buffer),
            Transport::Tls(stream) => stream.poll_write(context, buffer),
            Transport::Gone => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn shutdown(&mut self) {
        match self {
            Transport::Plain(stream) => stream.shutdown(),
            Transport::Tls(stream) => stream.shutdown(),
            Transport::Gone => {}
        }
    }
}
