//! Connections: bounded, slow, and arriving in pieces of any size.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::kernel::{Event, Kernel};
use crate::io::Stream;

/// Octets that may be on their way or waiting to be read, in each direction.
const WINDOW: usize = 64 * 1024;

/// What travels.
enum Parcel {
    Octets(Vec<u8>),
    End,
    Reset,
}

/// One direction of a connection.
#[derive(Default)]
struct Pipe {
    /// What the sender would like to send as soon as the window has room.
    backlog: VecDeque<u8>,
    travelling: VecDeque<Parcel>,
    travelling_octets: usize,
    last_arrival: Duration,
    arrived: VecDeque<u8>,
    /// Nothing more arrives: the sender said so, or the connection is broken.
    over: Option<Over>,
    /// The sender said that nothing more follows the backlog.
    finished: bool,
    end_sent: bool,
    reader_left: bool,
    broken: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Over {
    End,
    Reset,
}

impl Pipe {
    fn room(&self) -> usize {
        WINDOW.saturating_sub(self.travelling_octets + self.arrived.len())
    }

    fn has_unread(&self) -> bool {
        !self.arrived.is_empty() || self.travelling_octets > 0
    }

    fn wake_reader(&mut self) {
        self.reader.take().into_iter().for_each(Waker::wake);
    }

    fn wake_writer(&mut self) {
        self.writer.take().into_iter().for_each(Waker::wake);
    }

    fn break_off(&mut self) {
        (self.broken, self.reader_left) = (true, true);
        self.backlog.clear();
        self.wake_writer();
    }

    fn arrive(&mut self) {
        match self.travelling.pop_front() {
            Some(Parcel::Octets(octets)) => {
                self.travelling_octets -= octets.len();
                if !self.reader_left {
                    self.arrived.extend(octets);
                }
            }
            Some(Parcel::End) => self.over = self.over.or(Some(Over::End)),
            Some(Parcel::Reset) => self.over = Some(Over::Reset),
            None => {}
        }
        self.wake_reader();
    }
}

type Shared = Rc<RefCell<Pipe>>;

/// Puts a parcel on its way; parcels arrive in the order in which they were sent.
fn send(kernel: &Kernel, shared: &Shared, parcel: Parcel) {
    let travel = kernel.some_time(10, 800);
    let mut pipe = shared.borrow_mut();
    if let Parcel::Octets(octets) = &parcel {
        pipe.travelling_octets += octets.len();
    }
    pipe.travelling.push_back(parcel);
    pipe.last_arrival = pipe.last_arrival.max(kernel.now() + travel);
    let arriving = shared.clone();
    kernel.schedule(pipe.last_arrival, Event::Call(Box::new(move || arriving.borrow_mut().arrive())));
}

/// Sends of the backlog what the window has room for, and the end after the last of it.
fn pump(kernel: &Kernel, shared: &Shared) {
    let octets: Vec<u8> = {
        let mut pipe = shared.borrow_mut();
        let count = pipe.room().min(pipe.backlog.len());
        pipe.backlog.drain(..count).collect()
    };
    if !octets.is_empty() {
        send(kernel, shared, Parcel::Octets(octets));
    }
    let ends = {
        let mut pipe = shared.borrow_mut();
        pipe.finished && pipe.backlog.is_empty() && !std::mem::replace(&mut pipe.end_sent, true)
    };
    if ends {
        send(kernel, shared, Parcel::End);
    }
}

/// One end of a simulated connection. Dropping it closes the connection; where octets are left unread the other side hears a
/// reset after what was sent to it, as from TCP.
pub struct SimStream {
    kernel: Rc<Kernel>,
    life: u64,
    incoming: Shared,
    outgoing: Shared,
}

/// Both ends of a new connection.
pub(super) fn connect(kernel: &Rc<Kernel>) -> (ClientEnd, SimStream) {
    let (to_server, to_client) = (Shared::default(), Shared::default());
    let end = |incoming: &Shared, outgoing: &Shared| SimStream {
        kernel: kernel.clone(),
        life: kernel.life(),
        incoming: incoming.clone(),
        outgoing: outgoing.clone(),
    };
    (ClientEnd { stream: end(&to_client, &to_server) }, end(&to_server, &to_client))
}

impl SimStream {
    fn is_dead(&self) -> bool {
        self.life != self.kernel.life()
    }

    /// How much of `available` octets comes or goes at once: mostly all, sometimes some, sometimes one.
    fn piece(&self, available: usize) -> usize {
        let mut random = self.kernel.random.borrow_mut();
        match random.below(4) {
            0 => available.min(1),
            1 => available.min(1 + random.index(available)),
            _ => available,
        }
    }

    /// What reading ends with, where everything that arrived has been read.
    fn over(&self) -> Option<io::Result<usize>> {
        match self.incoming.borrow().over {
            Some(Over::End) => Some(Ok(0)),
            Some(Over::Reset) => Some(Err(io::ErrorKind::ConnectionReset.into())),
            None if self.is_dead() => Some(Err(io::ErrorKind::ConnectionReset.into())),
            None => None,
        }
    }

    /// Reads at most `limit` octets that have arrived.
    fn take(&self, limit: usize) -> Vec<u8> {
        let octets = {
            let mut pipe = self.incoming.borrow_mut();
            let count = limit.min(pipe.arrived.len());
            pipe.wake_writer();
            pipe.arrived.drain(..count).collect()
        };
        if !self.is_dead() {
            pump(&self.kernel, &self.incoming);
        }
        octets
    }

    fn arrived(&self) -> usize {
        self.incoming.borrow().arrived.len()
    }

    /// Why nothing can be sent, if so.
    fn refusal(&self) -> Option<io::Error> {
        let pipe = self.outgoing.borrow();
        if pipe.broken || self.is_dead() {
            return Some(io::ErrorKind::ConnectionReset.into());
        }
        pipe.finished.then(|| io::ErrorKind::BrokenPipe.into())
    }

    /// Whether the octets go nowhere because the other side has left; the next ones are refused, as it says that it has.
    fn vanishes(&self) -> bool {
        let mut pipe = self.outgoing.borrow_mut();
        pipe.broken = pipe.reader_left;
        pipe.reader_left
    }

    fn reset(&self) {
        self.incoming.borrow_mut().break_off();
        self.outgoing.borrow_mut().backlog.clear();
        if !self.is_dead() {
            send(&self.kernel, &self.outgoing, Parcel::Reset);
        }
    }
}

impl Stream for SimStream {
    fn poll_read(&mut self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        if let octets @ 1.. = self.read_now(buffer) {
            return Poll::Ready(Ok(octets));
        }
        if buffer.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.incoming.borrow_mut().reader = Some(context.waker().clone());
        self.over().map_or(Poll::Pending, Poll::Ready)
    }

    fn read_now(&mut self, buffer: &mut [u8]) -> usize {
        let available = self.arrived().min(buffer.len());
        if available == 0 {
            return 0;
        }
        let octets = self.take(self.piece(available));
        buffer[..octets.len()].copy_from_slice(&octets);
        octets.len()
    }

    fn poll_write(&mut self, context: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        if let Some(refusal) = self.refusal() {
            return Poll::Ready(Err(refusal));
        }
        if buffer.is_empty() || self.vanishes() {
            return Poll::Ready(Ok(buffer.len()));
        }
        let available = self.outgoing.borrow().room().min(buffer.len());
        if available == 0 {
            self.outgoing.borrow_mut().writer = Some(context.waker().clone());
            return Poll::Pending;
        }
        let count = self.piece(available);
        send(&self.kernel, &self.outgoing, Parcel::Octets(buffer[..count].to_vec()));
        Poll::Ready(Ok(count))
    }

    fn shutdown(&mut self) {
        self.outgoing.borrow_mut().finished = true;
        if !self.is_dead() {
            pump(&self.kernel, &self.outgoing);
        }
    }
}

impl Drop for SimStream {
    fn drop(&mut self) {
        let (broken, has_unread) = (self.incoming.borrow().broken, self.incoming.borrow().has_unread());
        match has_unread {
            _ if broken => {}
            true => self.reset(),
            false => self.shutdown(),
        }
        let mut pipe = self.incoming.borrow_mut();
        (pipe.reader_left, pipe.arrived) = (true, VecDeque::new());
        pipe.wake_writer();
    }
}

/// The client's end of a connection, for a test: used from tasks, or between two runs of the world.
pub struct ClientEnd {
    stream: SimStream,
}

impl ClientEnd {
    /// Sends octets. What does not fit the window waits, in any amount, until the server has read.
    ///
    /// # Errors
    /// Where the connection is broken or this side has closed it.
    pub fn send(&self, octets: impl AsRef<[u8]>) -> io::Result<()> {
        if let Some(refusal) = self.stream.refusal() {
            return Err(refusal);
        }
        if !self.stream.vanishes() {
            self.stream.outgoing.borrow_mut().backlog.extend(octets.as_ref());
            pump(&self.stream.kernel, &self.stream.outgoing);
        }
        Ok(())
    }

    /// Takes what has come so far.
    pub fn received(&self) -> Vec<u8> {
        self.stream.take(usize::MAX)
    }

    /// Waits until something comes and takes it; nothing is the end of the stream.
    ///
    /// # Errors
    /// Where the connection is broken.
    pub async fn receive(&self) -> io::Result<Vec<u8>> {
        self.something_comes().await?;
        Ok(self.stream.take(self.stream.piece(self.stream.arrived())))
    }

    /// Waits for a line and takes it with its line end; less only at the end of the stream.
    ///
    /// # Errors
    /// Where the connection is broken.
    pub async fn receive_line(&self) -> io::Result<String> {
        let mut line = Vec::new();
        while line.last() != Some(&b'\n') && self.something_comes().await? {
            line.extend(self.stream.take(1));
        }
        Ok(String::from_utf8_lossy(&line).into_owned())
    }

    /// Waits until there is something to take; false at the end of the stream.
    async fn something_comes(&self) -> io::Result<bool> {
        poll_fn(|context| {
            if self.stream.arrived() > 0 {
                return Poll::Ready(Ok(true));
            }
            self.stream.incoming.borrow_mut().reader = Some(context.waker().clone());
            self.stream.over().map_or(Poll::Pending, |over| Poll::Ready(over.map(|_| false)))
        })
        .await
    }

    /// Says that nothing more will be sent; what comes can still be received.
    pub fn close(&mut self) {
        self.stream.shutdown();
    }

    /// Breaks the connection off.
    pub fn reset(self) {
        self.stream.reset();
    }

    /// Whether nothing will come any more, the server having closed or the connection being broken.
    pub fn is_over(&self) -> bool {
        self.stream.arrived() == 0 && self.stream.over().is_some()
    }

    /// The bare stream, for a client that is itself written for one.
    pub fn into_stream(self) -> SimStream {
        self.stream
    }
}
