//! A connection to a next hop: does what [`ClientSession`] says, and nothing else.
//!
//! **The session decides, the exchange obeys.** Content comes piece by piece from whoever reads it, and is never here as a
//! whole. Every wait has an end: a server that says nothing, or takes nothing, is given up.

use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::task::{Context, Poll};
use std::time::Duration;

use super::wire::{Sending, Stands, ToWire};
use crate::io::deadline::{Deadline, Deadlines};
use crate::io::tls::{ClientTls, Transport};
use crate::io::{Machine, Peer, Stream};
use crate::smtp::client::transaction::{Fate, Transaction, Unfit, Why};
use crate::smtp::client::{self, ClientSession, Next, Step};

/// Octets of content that are gathered before they are sent; larger slices that need no change are sent as they are.
const BUFFER: usize = 32 * 1024;

/// Octets of a reply that are received at a time.
const REPLY: usize = 2048;

/// How long the answer to QUIT is waited for.
const FAREWELL: Duration = Duration::from_secs(2);

/// Where to, and how.
#[derive(Clone, Debug)]
pub struct Way {
    /// The server.
    pub to: Peer,
    /// The address of this host's that the connection comes from.
    pub from: Option<IpAddr>,
    /// How the session is held.
    pub session: client::Settings,
    /// How TLS is begun, where the session says so or is under it from the first octet.
    pub tls: Option<ClientTls>,
    /// How long a connection may take to come about.
    pub connect_timeout: Duration,
    /// How long one reply may take, and the server to take some of what it is sent. The reply to content may take ten thirds of
    /// that: so RFC 5321 §4.5.3.2 has ten minutes for it where it has three for the content.
    pub timeout: Duration,
}

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// What the server said, or what went wrong: it begins with a reply code or an enhanced status.
    pub text: Box<str>,
    /// It was TLS that did not come about: in clear it might.
    pub in_handshake: bool,
}

impl Trouble {
    fn found(text: impl Into<Box<str>>) -> Trouble {
        Trouble { text: text.into(), in_handshake: false }
    }
}

/// A message's content, for one transaction.
#[allow(async_fn_in_trait, reason = "a machine belongs to one core: no future here is ever Send")]
pub trait Content {
    /// Gives all of it to `writer`, in order. Ends with the error of [`Writer::push`], or with one of its own where it cannot be
    /// read.
    async fn give<S: Stream>(&mut self, writer: &mut Writer<'_, S>) -> io::Result<()>;
}

/// What became of a transaction.
#[derive(Debug)]
pub struct Delivered {
    /// Of its recipients, in their order.
    pub fates: Vec<Fate>,
    /// Whether the connection can be used further.
    pub usable: bool,
    /// The server closed the connection, or left us waiting.
    pub lost: bool,
    /// It had not begun to hear the content: nothing of it can have been taken.
    pub unheard: bool,
}

/// A connection over which mail can be sent.
pub struct Connection<M: Machine> {
    machine: M,
    line: Line<M::Stream>,
    session: ClientSession,
    /// The content of the present transaction was begun.
    content_begun: bool,
}

/// What a session is held over.
struct Line<S> {
    stream: Transport<S>,
    deadline: Deadline,
    timeout: Duration,
    /// The content could not be read back.
    unreadable: bool,
}

impl<M: Machine> Connection<M> {
    /// Connects, and holds the session until mail can be sent.
    ///
    /// # Errors
    ///
    /// Why it did not come to that. Nothing was said of any mail, so another server may be tried.
    pub async fn open(machine: M, deadlines: &Deadlines, way: &Way) -> Result<Connection<M>, Trouble> {
        let deadline = deadlines.join();
        let until = machine.now() + way.connect_timeout;
        let stream = match deadline.within(until, machine.connect(&way.to, way.from)).await {
            None => return Err(Trouble::found("4.4.1 nothing answers there")),
            Some(Err(error)) => return Err(Trouble::found(format!("4.4.1 no connection: {error}"))),
            Some(Ok(stream)) => Transport::Plain(stream),
        };
        let line = Line { stream, deadline, timeout: way.timeout, unreadable: false };
        let session = ClientSession::new(way.session.clone());
        let mut connection = Connection { machine, line, session, content_begun: false };
        if way.session.secured {
            connection.secure(way).await?;
        }
        let first = Step { send: Vec::new(), next: Next::Receive };
        let mut next = connection.obey(first, &mut NoContent).await;
        if next == Next::StartTls {
            connection.secure(way).await?;
            let step = connection.session.secured();
            next = connection.obey(step, &mut NoContent).await;
        }
        match next {
            Next::Ready => Ok(connection),
            Next::Close(why) => {
                let text = why.map_or_else(|| "4.4.2 the host says goodbye".into(), |why| why.to_string());
                Err(Trouble::found(text))
            }
            _ => Err(Trouble::found("4.5.0 the host does not speak the protocol")),
        }
    }

    /// Does the handshake of TLS.
    async fn secure(&mut self, way: &Way) -> Result<(), Trouble> {
        let trouble = |text: String| Trouble { text: text.into(), in_handshake: true };
        let Some(tls) = &way.tls else {
            return Err(trouble("4.7.5 nobody is known who could vouch for the host".into()));
        };
        let Line { stream, deadline, timeout, .. } = &mut self.line;
        stream.begin_tls_as_client(tls).map_err(|error| trouble(format!("4.7.5 TLS: {error}")))?;
        let until = self.machine.now() + *timeout;
        match deadline.within(until, poll_fn(|context| stream.poll_handshake(context))).await {
            Some(Ok(())) => Ok(()),
            Some(Err(error)) => Err(trouble(format!("4.7.5 TLS: {error}"))),
            None => Err(trouble("4.7.5 TLS: the host does not answer".into())),
        }
    }

    /// What the connection is secured with.
    pub fn secured_with(&self) -> Option<crate::mail::Tls> {
        self.line.stream.secured_with()
    }

    /// Sends one mail. Every recipient has a fate afterwards, whatever happens.
    ///
    /// # Errors
    ///
    /// Where the server cannot take it as it is. Nothing was sent, and the connection is as it was.
    pub async fn deliver(&mut self, transaction: Transaction, content: &mut impl Content) -> Result<Delivered, Unfit> {
        let recipients = transaction.recipients.len();
        let step = self.session.begin(transaction)?;
        self.content_begun = false;
        let (fates, usable) = match self.obey(step, content).await {
            Next::Done { fates, close } => (fates, !close),
            Next::Close(why) => {
                let why = why.unwrap_or(Why::Found("4.4.2 the host said goodbye"));
                (vec![Fate::Later(why); recipients], false)
            }
            _ => (vec![Fate::Later(Why::Found("4.5.0 the host does not speak the protocol")); recipients], false),
        };
        let (lost, unheard) = (!usable && !self.line.unreadable, !self.content_begun);
        Ok(Delivered { fates, usable, lost, unheard })
    }

    /// What the server offers.
    pub fn session(&self) -> &ClientSession {
        &self.session
    }

    /// Whether the server has closed it meanwhile, or said something that it was not asked for.
    pub async fn is_over(&mut self) -> bool {
        let look = poll_fn(|context| {
            let mut buffer = [0; REPLY];
            Poll::Ready(self.line.stream.poll_read(context, &mut buffer).is_ready())
        });
        look.await
    }

    /// Says goodbye, and does not wait long for the answer.
    pub async fn quit(mut self) {
        self.line.timeout = self.line.timeout.min(FAREWELL);
        let step = self.session.quit();
        self.obey(step, &mut NoContent).await;
        self.line.stream.shutdown();
    }

    /// Does what the session says until it says something else than to send and to receive.
    async fn obey(&mut self, mut step: Step, content: &mut impl Content) -> Next {
        let Connection { machine, line, session, content_begun } = self;
        loop {
            if let Err(why) = line.send(machine, &step.send).await {
                return session.lost_by(why);
            }
            step = match step.next {
                Next::Receive => {
                    let timeout = if *content_begun { line.timeout * 10 / 3 } else { line.timeout };
                    match line.receive(machine, timeout).await {
                        Ok(octets) => session.receive(&octets),
                        Err(why) => return session.lost_by(why),
                    }
                }
                Next::Data | Next::Chunk => {
                    let sending = if step.next == Next::Data { Sending::Data } else { Sending::Chunk };
                    *content_begun = true;
                    match line.transfer(machine, sending, session.announced(), content).await {
                        Ok(None) => session.sent(),
                        Ok(Some(octets)) => session.receive(&octets),
                        Err(why) => return session.lost_by(why),
                    }
                }
                end => return end,
            };
        }
    }
}

impl<S: Stream> Line<S> {
    async fn send(&mut self, machine: &impl Machine, octets: &[u8]) -> Result<(), &'static str> {
        let mut rest = octets;
        while !rest.is_empty() {
            let until = machine.now() + self.timeout;
            let writing = poll_fn(|context| self.stream.poll_write(context, rest));
            match self.deadline.within(until, writing).await {
                Some(Ok(taken)) => rest = rest.get(taken..).unwrap_or_default(),
                Some(Err(_)) => return Err(LOST),
                None => return Err(TAKES_NOTHING),
            }
        }
        Ok(())
    }

    async fn receive(&mut self, machine: &impl Machine, timeout: Duration) -> Result<Vec<u8>, &'static str> {
        let until = machine.now() + timeout;
        let reading = poll_fn(|context| read(&mut self.stream, context));
        match self.deadline.within(until, reading).await {
            Some(Ok(octets)) if !octets.is_empty() => Ok(octets),
            Some(_) => Err(LOST),
            None => Err(SAYS_NOTHING),
        }
    }

    /// Sends the content. What the server says before its end comes back: it will not hear the rest.
    async fn transfer(
        &mut self,
        machine: &impl Machine,
        sending: Sending,
        announced: Option<u64>,
        content: &mut impl Content,
    ) -> Result<Option<Vec<u8>>, &'static str> {
        let clock = || machine.now();
        let mut writer = Writer {
            line: self,
            clock: &clock,
            wire: ToWire::new(sending),
            gathered: Vec::new(),
            announced: announced.filter(|_| sending == Sending::Chunk),
            stopped: None,
        };
        let given = match content.give(&mut writer).await {
            Ok(()) => writer.finish().await,
            Err(error) => Err(error),
        };
        match (given, writer.stopped.take()) {
            (_, Some(Stop::Said(octets))) => Ok(Some(octets)),
            (_, Some(Stop::Lost(why))) => Err(why),
            (Ok(()), None) => Ok(None),
            // Half of a message must not pass for one: the connection is dropped before its end.
            (Err(_), None) => {
                self.unreadable = true;
                Err(UNREADABLE)
            }
        }
    }
}

const LOST: &str = "4.4.2 the connection was lost";
const TAKES_NOTHING: &str = "4.4.2 the host takes nothing more";
const SAYS_NOTHING: &str = "4.4.2 the host does not answer";
const UNREADABLE: &str = "4.3.0 the message could not be read";

fn read(stream: &mut impl Stream, context: &mut Context<'_>) -> Poll<io::Result<Vec<u8>>> {
    let mut buffer = [0; REPLY];
    stream.poll_read(context, &mut buffer).map_ok(|octets| buffer.get(..octets).unwrap_or_default().to_vec())
}

/// Why no more content is sent.
enum Stop {
    /// The server said this.
    Said(Vec<u8>),
    /// The connection is gone.
    Lost(&'static str),
}

/// Takes content on its way to the server.
pub struct Writer<'a, S> {
    line: &'a mut Line<S>,
    clock: &'a dyn Fn() -> Duration,
    wire: ToWire,
    gathered: Vec<u8>,
    announced: Option<u64>,
    stopped: Option<Stop>,
}

impl<S: Stream> Writer<'_, S> {
    /// Sends one more slice.
    ///
    /// # Errors
    ///
    /// Where the server will not hear the rest. It is of no use to go on then.
    pub async fn push(&mut self, slice: &[u8], stands: Stands) -> io::Result<()> {
        if slice.len() >= BUFFER && self.wire.passes(slice, stands) {
            self.flush().await?;
            return self.send(slice).await;
        }
        for part in slice.chunks(BUFFER) {
            self.wire.convert(part, stands, &mut self.gathered);
            if self.gathered.len() >= BUFFER {
                self.flush().await?;
            }
        }
        Ok(())
    }

    async fn finish(&mut self) -> io::Result<()> {
        if self.announced.is_some_and(|octets| octets != self.wire.octets()) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        self.wire.finish(&mut self.gathered);
        self.flush().await
    }

    async fn flush(&mut self) -> io::Result<()> {
        let gathered = std::mem::take(&mut self.gathered);
        let sent = self.send(&gathered).await;
        self.gathered = gathered;
        self.gathered.clear();
        sent
    }

    async fn send(&mut self, mut rest: &[u8]) -> io::Result<()> {
        while !rest.is_empty() {
            if self.stopped.is_some() {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            let until = (self.clock)() + self.line.timeout;
            let stream = &mut self.line.stream;
            let writing = poll_fn(|context| match stream.poll_write(context, rest) {
                Poll::Ready(result) => Poll::Ready(Ok(result)),
                // A server that has had enough says so, and may read no further.
                Poll::Pending => read(stream, context).map(Err),
            });
            let stop = match self.line.deadline.within(until, writing).await {
                Some(Ok(Ok(taken))) => {
                    rest = rest.get(taken..).unwrap_or_default();
                    continue;
                }
                Some(Ok(Err(_))) => self.last_words(),
                Some(Err(Ok(octets))) if !octets.is_empty() => Stop::Said(octets),
                Some(Err(_)) => Stop::Lost(LOST),
                None => Stop::Lost(TAKES_NOTHING),
            };
            self.stopped = Some(stop);
        }
        Ok(())
    }

    /// What the server said before it closed the connection, if that came through.
    fn last_words(&mut self) -> Stop {
        let mut buffer = [0; REPLY];
        match self.line.stream.read_now(&mut buffer) {
            0 => Stop::Lost(LOST),
            octets => Stop::Said(buffer.get(..octets).unwrap_or_default().to_vec()),
        }
    }
}

/// Where none is asked for.
struct NoContent;

impl Content for NoContent {
    async fn give<S: Stream>(&mut self, _: &mut Writer<'_, S>) -> io::Result<()> {
        Err(io::ErrorKind::InvalidInput.into())
    }
}

/// Content that stands in memory, as it is.
impl Content for &[u8] {
    async fn give<S: Stream>(&mut self, writer: &mut Writer<'_, S>) -> io::Result<()> {
        writer.push(self, Stands::Plain).await
    }
}

#[cfg(test)]
mod tests;
