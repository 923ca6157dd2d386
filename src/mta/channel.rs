//! Octets from and to one client: what it has sent and nobody has used yet, and how long it is waited for.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_lite::future::yield_now;

use super::core::Core;
use super::input::Input;
use super::patience::Wait;
use crate::io::tls::{Agreed, ServerConfig, Transport};
use crate::io::{Machine, Stream};
use crate::smtp::server::Secured;
use crate::smtp::server::question::Interrupt;

/// Reads in a row that a client may have without the core looking after others.
const TURNS: u32 = 16;

/// Why a dialogue ended other than by its own last step.
#[derive(Debug)]
pub enum End {
    /// The connection is gone.
    Lost(io::Error),
    /// TLS could not be begun.
    Tls(io::Error),
    /// The client closed it.
    Closed,
    /// We no longer wait.
    Interrupted(Interrupt),
}

/// Until when a client is waited for, by the core's coarse clock, and why no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    /// The moment.
    pub at: Duration,
    /// What ends the session then.
    pub why: Interrupt,
}

/// A connection.
pub struct Channel<M: Machine> {
    core: Rc<Core<M>>,
    stream: Transport<M::Stream>,
    input: Input,
    wait: Wait,
    turns: u32,
}

impl<M: Machine> Channel<M> {
    /// Over a stream that nothing was read from.
    pub fn new(core: Rc<Core<M>>, stream: M::Stream) -> Channel<M> {
        let stream = Transport::Plain(stream);
        Channel { wait: core.patience.join(), core, stream, input: Input::default(), turns: 0 }
    }

    /// What was received and not used.
    pub fn input(&self) -> &[u8] {
        self.input.rest()
    }

    /// The first `count` octets of the input have been used.
    pub fn consume(&mut self, count: usize) {
        self.input.consume(count);
    }

    /// Begins TLS; what was received and not used is taken as the beginning of the client's. Nothing is said in clear any more,
    /// whatever comes of it.
    pub async fn begin_tls(&mut self, config: Arc<ServerConfig>, within: Duration) -> Result<Secured, End> {
        let begun = self.stream.begin_tls(config, self.input.rest());
        let received = self.input.rest().len();
        self.input.consume(received);
        self.input.release(&self.core.buffers);
        begun.map_err(End::Tls)?;
        self.wait.until(Deadline { at: self.core.patience.now() + within, why: Interrupt::Slow });
        poll_fn(|context| match self.stream.poll_handshake(context) {
            Poll::Ready(result) => Poll::Ready(result.map_err(End::Tls)),
            Poll::Pending => self.poll_wait(false, context),
        })
        .await?;
        // It is the most work that one client makes at a time: others have their turn.
        yield_now().await;
        self.secured().ok_or_else(|| End::Tls(io::ErrorKind::NotConnected.into()))
    }

    /// The TLS that the client speaks.
    pub fn secured(&self) -> Option<Secured> {
        let Agreed { tls, exporter, end_point, .. } = self.stream.agreed()?;
        Some(Secured { tls, exporter, end_point })
    }

    /// How its keys were agreed on, and whether that was in an earlier session.
    pub fn key_exchange(&self) -> (String, bool) {
        self.stream.agreed().map(|agreed| (agreed.key_exchange(), agreed.resumed)).unwrap_or_default()
    }

    /// Waits for input; only right when none is left. In a transaction that may end it goes on while the server stops.
    pub async fn receive(&mut self, deadline: Deadline, in_transaction: bool) -> Result<(), End> {
        self.take_turn(deadline).await?;
        let octets = poll_fn(|context| match self.poll_read(context) {
            Poll::Pending => self.poll_wait(in_transaction, context),
            ready => ready,
        })
        .await?;
        if octets == 0 { Err(End::Closed) } else { Ok(()) }
    }

    /// The same, but the input is received into a buffer of the caller's: how much of it. What is not used goes back with
    /// [`Channel::unread`].
    pub async fn receive_into(
        &mut self,
        buffer: &mut [u8],
        deadline: Deadline,
        in_transaction: bool,
    ) -> Result<usize, End> {
        self.take_turn(deadline).await?;
        let octets = poll_fn(|context| match self.stream.poll_read(context, buffer) {
            Poll::Ready(result) => Poll::Ready(result.map_err(End::Lost)),
            Poll::Pending => self.poll_wait(in_transaction, context),
        })
        .await?;
        if octets == 0 { Err(End::Closed) } else { Ok(octets) }
    }

    /// Input that was received elsewhere and not used; only right when none is left.
    pub fn unread(&mut self, octets: &[u8]) {
        if !octets.is_empty() {
            self.input.fill(self.core.buffers.take_with(octets), octets.len());
        }
    }

    /// Before it is waited for input.
    async fn take_turn(&mut self, deadline: Deadline) -> Result<(), End> {
        self.input.release(&self.core.buffers);
        self.turns += 1;
        if self.turns.is_multiple_of(TURNS) {
            yield_now().await;
        }
        // One that always has something to say does not make us wait, and has no more time than others.
        if deadline.at <= self.core.patience.now() {
            return Err(End::Interrupted(deadline.why));
        }
        self.wait.until(deadline);
        Ok(())
    }

    /// Whether the client has sent anything already.
    pub fn has_input(&mut self) -> bool {
        let mut buffer = self.core.buffers.take();
        match self.stream.read_now(&mut buffer) {
            0 => self.core.buffers.give(buffer),
            octets => self.input.fill(buffer, octets),
        }
        !self.input().is_empty()
    }

    /// Sends all of it, unless the client does not take it in time. What was sent is taken out in any case: sent again, an old
    /// reply would pass for the answer to a later command.
    pub async fn send(&mut self, octets: &mut Vec<u8>, within: Duration) -> Result<(), End> {
        self.wait.until(Deadline { at: self.core.patience.now() + within, why: Interrupt::Idle });
        let mut sent = 0;
        let mut result = Ok(());
        while sent < octets.len() && result.is_ok() {
            let taken = poll_fn(|context| match self.stream.poll_write(context, &octets[sent..]) {
                Poll::Ready(result) => Poll::Ready(result.map_err(End::Lost)),
                Poll::Pending => self.poll_wait(true, context),
            });
            result = taken.await.map(|octets| sent += octets);
        }
        octets.drain(..sent);
        result
    }

    /// Says that nothing more will be sent, and reads what has come meanwhile: a connection closed over unread input is reset,
    /// and the last reply lost with it.
    pub fn finish(&mut self) {
        self.stream.shutdown();
        let mut buffer = self.core.buffers.take();
        let mut turns = 0..TURNS;
        while turns.next().is_some() && self.stream.read_now(&mut buffer) > 0 {}
        self.core.buffers.give(buffer);
    }

    /// Reads into a buffer that is kept only if something came.
    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Result<usize, End>> {
        let mut buffer = self.core.buffers.take();
        match self.stream.poll_read(context, &mut buffer) {
            Poll::Ready(Ok(octets @ 1..)) => {
                self.input.fill(buffer, octets);
                Poll::Ready(Ok(octets))
            }
            other => {
                self.core.buffers.give(buffer);
                other.map_err(End::Lost)
            }
        }
    }

    fn poll_wait<T>(&self, in_transaction: bool, context: &Context<'_>) -> Poll<Result<T, End>> {
        match self.wait.poll(in_transaction, context.waker()) {
            Some(why) => Poll::Ready(Err(End::Interrupted(why))),
            None => Poll::Pending,
        }
    }
}
