//! A connection that may or may not be in TLS.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::stream::HandedOver;
use super::{Agreed, ClientStream, ClientTls, KernelStream, ServerConfig, TlsStream};
use crate::io::Stream;
use crate::mail::Tls;

/// A connection in clear, or in TLS.
pub enum Transport<S> {
    /// In clear.
    Plain(S),
    /// In TLS, or on the way there: we are the server.
    Tls(Box<TlsStream<S>>),
    /// In TLS, as the server, with a handshake that is done and the kernel to seal and open the records.
    Kernel(Box<KernelStream<S>>),
    /// In TLS, or on the way there: we are the client.
    Client(Box<ClientStream<S>>),
    /// Gone: TLS could not even be begun, or not be handed over.
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

    /// Leaves the clear for good, as the client; nothing may have been received that was not used. [`Transport::poll_handshake`]
    /// comes next.
    pub fn begin_tls_as_client(&mut self, tls: &ClientTls) -> io::Result<()> {
        match std::mem::replace(self, Transport::Gone) {
            Transport::Plain(stream) => {
                *self = Transport::Client(Box::new(ClientStream::client(stream, tls)?));
                Ok(())
            }
            _ => Err(io::Error::other("TLS is there already")),
        }
    }

    /// Does the handshake as far as it goes.
    pub fn poll_handshake(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Transport::Tls(stream) => stream.poll_handshake(context),
            Transport::Client(stream) => stream.poll_handshake(context),
            _ => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    /// What was agreed on, where we are the server of some TLS.
    pub fn agreed(&self) -> Option<Agreed> {
        match self {
            Transport::Tls(stream) => stream.agreed(),
            Transport::Kernel(stream) => Some(stream.agreed()),
            _ => None,
        }
    }

    /// What the connection is secured with, whichever end is ours.
    pub fn secured_with(&self) -> Option<Tls> {
        match self {
            Transport::Tls(stream) => stream.secured_with(),
            Transport::Kernel(stream) => Some(stream.agreed().tls),
            Transport::Client(stream) => stream.secured_with(),
            Transport::Plain(_) | Transport::Gone => None,
        }
    }

    /// Gives the kernel the keys of a connection in TLS.
    fn hand_over(&mut self) -> io::Result<()> {
        *self = match std::mem::replace(self, Transport::Gone) {
            Transport::Tls(stream) => match stream.hand_over()? {
                HandedOver::Kernel(stream) => Transport::Kernel(stream),
                HandedOver::Not(stream) => Transport::Tls(stream),
            },
            other => other,
        };
        Ok(())
    }
}

impl<S: Stream> Stream for Transport<S> {
    fn poll_read(&mut self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        if matches!(self, Transport::Tls(stream) if stream.can_be_handed_over()) {
            self.hand_over()?;
        }
        match self {
            Transport::Plain(stream) => stream.poll_read(context, buffer),
            Transport::Tls(stream) => stream.poll_read(context, buffer),
            Transport::Kernel(stream) => stream.poll_read(context, buffer),
            Transport::Client(stream) => stream.poll_read(context, buffer),
            Transport::Gone => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn read_now(&mut self, buffer: &mut [u8]) -> usize {
        match self {
            Transport::Plain(stream) => stream.read_now(buffer),
            Transport::Tls(stream) => stream.read_now(buffer),
            Transport::Kernel(stream) => stream.read_now(buffer),
            Transport::Client(stream) => stream.read_now(buffer),
            Transport::Gone => 0,
        }
    }

    fn poll_write(&mut self, context: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Transport::Plain(stream) => stream.poll_write(context, buffer),
            Transport::Tls(stream) => stream.poll_write(context, buffer),
            Transport::Kernel(stream) => stream.poll_write(context, buffer),
            Transport::Client(stream) => stream.poll_write(context, buffer),
            Transport::Gone => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn shutdown(&mut self) {
        match self {
            Transport::Plain(stream) => stream.shutdown(),
            Transport::Tls(stream) => stream.shutdown(),
            Transport::Kernel(stream) => stream.shutdown(),
            Transport::Client(stream) => stream.shutdown(),
            Transport::Gone => {}
        }
    }
}
