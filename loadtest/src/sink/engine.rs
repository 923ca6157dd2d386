//! The loop: one thread, one epoll, all sessions.

use super::Options;
use super::faults::Dice;
use super::session::{Accepted, Policy, Session, Step};
use crate::inspect::{Inspected, inspect};
use crate::ledger::SinkLedger;
use crate::process::StopSignal;
use crate::tls::Transport;
use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token};
use rustls::ServerConfig;
use serde_json::{Value, json};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Octets of one read.
const READ_SIZE: usize = 128 * 1024;

/// Octets of replies that a client may leave unread before no more of its commands are taken.
const UNREAD_LIMIT: usize = 64 * 1024;

/// The listener among the tokens of the sessions.
const LISTENER: Token = Token(usize::MAX);

/// How long accepting pauses when it failed, as it does without descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// How long clients may stay once everything wanted was taken.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// A client.
struct Client {
    transport: Transport,
    session: Session,
    number: u64,
    /// What is to be done next, once its wait is over.
    next: Option<Step>,
    /// Until when nothing is done.
    until: Option<Instant>,
    out: Vec<u8>,
    sent: usize,
    is_refused: bool,
}

/// What happened.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    sessions: u64,
    refused: u64,
    messages: u64,
    recipients: u64,
    octets: u64,
    damaged: u64,
    foreign: u64,
}

/// All sessions.
pub struct Engine<'a> {
    options: &'a Options,
    policy: &'a Policy,
    tls: Option<Arc<ServerConfig>>,
    ledger: Option<SinkLedger>,
    listener: TcpListener,
    poll: Poll,
    stop: StopSignal,
    clients: Vec<Option<Client>>,
    vacant: Vec<usize>,
    served: u32,
    due: BinaryHeap<Reverse<(Instant, usize, u64)>>,
    accept_again: Option<Instant>,
    enough_since: Option<Instant>,
    counts: Counts,
    buffer: Vec<u8>,
}

/// Whether a client stays.
#[derive(PartialEq, Eq)]
enum Stay {
    Here,
    Gone,
}

impl Counts {
    /// For a reader.
    pub fn text(&self) -> String {
        let Counts { sessions, refused, messages, recipients, octets, damaged, foreign } = self;
        format!(
            "sessions     {sessions} begun, {refused} refused\n\
             messages     {messages} acknowledged for {recipients} recipients, {octets} octets\n\
             of these     {damaged} damaged, {foreign} not of a source of ours\n"
        )
    }

    /// For a program.
    pub fn json(&self) -> Value {
        let Counts { sessions, refused, messages, recipients, octets, damaged, foreign } = self;
        json!({
            "sessions": sessions, "refused": refused, "messages": messages, "recipients": recipients,
            "octets": octets, "damaged": damaged, "foreign": foreign,
        })
    }
}

impl<'a> Engine<'a> {
    /// Listens.
    pub fn new(
        options: &'a Options,
        policy: &'a Policy,
        tls: Option<Arc<ServerConfig>>,
        ledger: Option<SinkLedger>,
    ) -> Result<Engine<'a>, String> {
        let address = crate::args::resolve(&options.listen)?;
        let failed = |error: io::Error| format!("{}: {error}", options.listen);
        let mut listener = TcpListener::bind(address).map_err(failed)?;
        let poll = Poll::new().map_err(failed)?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE).map_err(failed)?;
        Ok(Engine {
            options,
            policy,
            tls,
            ledger,
            listener,
            poll,
            stop: StopSignal::install().map_err(failed)?,
            clients: Vec::new(),
            vacant: Vec::new(),
            served: 0,
            due: BinaryHeap::new(),
            accept_again: None,
            enough_since: None,
            counts: Counts::default(),
            buffer: vec![0; READ_SIZE],
        })
    }

    /// Where it listens.
    pub fn address(&self) -> Result<SocketAddr, String> {
        self.listener.local_addr().map_err(|error| error.to_string())
    }

    /// Serves until it is told to stop, or everything was taken that was wanted.
    pub fn run(&mut self) -> Result<Counts, String> {
        let mut events = Events::with_capacity(1024);
        while !self.stop.is_set() && !self.has_enough() {
            match self.poll.poll(&mut events, Some(self.timeout())) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(format!("poll: {error}")),
                Err(_) => continue,
                Ok(()) => {}
            }
            for event in &events {
                if event.token() == LISTENER { self.accept() } else { self.serve(event.token().0) }
            }
            let now = Instant::now();
            if self.accept_again.is_some_and(|again| again <= now) {
                self.accept();
            }
            while let Some(&Reverse((due, place, number))) = self.due.peek() {
                if due > now {
                    break;
                }
                self.due.pop();
                if self.clients[place].as_ref().is_some_and(|client| client.number == number) {
                    self.serve(place);
                }
            }
        }
        if let Some(ledger) = &mut self.ledger {
            ledger.flush().map_err(|error| format!("ledger: {error}"))?;
        }
        Ok(self.counts)
    }

    /// Whether everything wanted was taken, and the clients have gone or had their time to.
    fn has_enough(&mut self) -> bool {
        if self.options.messages.is_none_or(|wanted| self.counts.messages < wanted) {
            return false;
        }
        self.served == 0 || self.enough_since.get_or_insert_with(Instant::now).elapsed() > LAST_WORDS
    }

    fn timeout(&self) -> Duration {
        let next = self.due.peek().map(|Reverse((due, ..))| *due).into_iter().chain(self.accept_again).min();
        let idle = Duration::from_millis(250);
        next.map_or(idle, |next| next.saturating_duration_since(Instant::now()).min(idle))
    }

    fn accept(&mut self) {
        self.accept_again = None;
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => self.admit(stream),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return self.accept_again = Some(Instant::now() + PAUSE),
            }
        }
    }

    fn admit(&mut self, mut stream: mio::net::TcpStream) {
        let number = self.counts.sessions + self.counts.refused;
        let is_refused = self.served == self.options.sessions;
        let dice = Dice::new(self.options.seed, number);
        let session = if is_refused { Session::refused(dice) } else { Session::new(dice, self.policy) };
        let place = self.vacant.pop().unwrap_or_else(|| {
            self.clients.push(None);
            self.clients.len() - 1
        });
        let interest = Interest::READABLE | Interest::WRITABLE;
        let ready =
            stream.set_nodelay(true).and_then(|()| self.poll.registry().register(&mut stream, Token(place), interest));
        let mut transport = Transport::new(stream);
        let ready = ready.and_then(|()| match &self.tls {
            // Whoever is refused is refused under TLS as well, or the client could not read it.
            Some(config) if self.options.tls => transport.begin_server(config),
            _ => Ok(()),
        });
        if ready.is_err() {
            return self.vacant.push(place);
        }
        if is_refused {
            self.counts.refused += 1;
        } else {
            self.counts.sessions += 1;
            self.served += 1;
        }
        let (next, until, out) = (None, None, Vec::new());
        let mut client = Client { transport, session, number, next, until, out, sent: 0, is_refused };
        if self.options.tls {
            client.session.encrypted();
        }
        self.clients[place] = Some(client);
        self.serve(place);
    }

    fn serve(&mut self, place: usize) {
        let Some(mut client) = self.clients[place].take() else { return };
        match self.converse(place, &mut client) {
            Ok(Stay::Here) => self.clients[place] = Some(client),
            // A client that is gone, or speaks no TLS, is none of the sink's trouble.
            Ok(Stay::Gone) | Err(_) => {
                self.served -= u32::from(!client.is_refused);
                self.vacant.push(place);
            }
        }
    }

    fn converse(&mut self, place: usize, client: &mut Client) -> io::Result<Stay> {
        if !client.transport.handshake()? {
            return Ok(Stay::Here);
        }
        loop {
            if self.do_steps(place, client)? == Stay::Gone {
                return Ok(Stay::Gone);
            }
            self.flush(client)?;
            if client.next.is_some()
                || client.out.len() - client.sent > UNREAD_LIMIT
                || !client.transport.handshake()?
            {
                return Ok(Stay::Here);
            }
            let mut buffer = std::mem::take(&mut self.buffer);
            let read = client.transport.read(&mut buffer);
            if let Ok(count @ 1..) = read {
                client.session.receive(&buffer[..count], self.policy);
            }
            self.buffer = buffer;
            match read {
                Ok(0) => return Ok(Stay::Gone),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Stay::Here),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
                Ok(_) => {}
            }
        }
    }

    /// Does what the session asks for, up to the first wait.
    fn do_steps(&mut self, place: usize, client: &mut Client) -> io::Result<Stay> {
        loop {
            let now = Instant::now();
            match client.until {
                Some(until) if until > now => return Ok(Stay::Here),
                Some(_) => client.until = None,
                None => match client.session.next() {
                    None => return Ok(Stay::Here),
                    Some(Step::Say { text, delay, accepted }) if !delay.is_zero() => {
                        client.next = Some(Step::Say { text, delay: Duration::ZERO, accepted });
                        client.until = Some(now + delay);
                        self.due.push(Reverse((now + delay, place, client.number)));
                        continue;
                    }
                    step => client.next = step,
                },
            }
            match client.next.take() {
                None => {}
                Some(Step::Say { text, accepted, .. }) => {
                    client.out.extend_from_slice(&text);
                    if let Some(accepted) = accepted {
                        self.acknowledge(client.number, &accepted)?;
                    }
                }
                Some(Step::Reset) => {
                    socket2::SockRef::from(&*client.transport.tcp()).set_linger(Some(Duration::ZERO))?;
                    return Ok(Stay::Gone);
                }
                Some(step @ (Step::Close | Step::StartTls)) => {
                    if !self.flush(client)? {
                        client.next = Some(step);
                        client.until = Some(now);
                        return Ok(Stay::Here);
                    }
                    if step == Step::Close {
                        client.transport.close();
                        return Ok(Stay::Gone);
                    }
                    let Some(config) = &self.tls else { return Err(io::ErrorKind::Unsupported.into()) };
                    client.transport.begin_server(config)?;
                    client.session.encrypted();
                }
            }
        }
    }

    fn acknowledge(&mut self, session: u64, accepted: &Accepted) -> io::Result<()> {
        self.counts.messages += 1;
        self.counts.recipients += accepted.recipients.len() as u64;
        self.counts.octets += accepted.content.len() as u64;
        let Some(ledger) = &mut self.ledger else { return Ok(()) };
        let inspected = inspect(&accepted.content[..])?;
        self.counts.damaged += u64::from(matches!(inspected, Inspected::Damaged(..)));
        self.counts.foreign += u64::from(inspected == Inspected::Foreign);
        accepted.recipients.iter().try_for_each(|recipient| ledger.write(session, recipient, &inspected))
    }

    /// Sends what was said; true if nothing is left. What is acknowledged is in the ledger before the client can know.
    fn flush(&mut self, client: &mut Client) -> io::Result<bool> {
        if let Some(ledger) = &mut self.ledger {
            ledger.flush()?;
        }
        while client.sent < client.out.len() {
            match client.transport.write(&client.out[client.sent..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => client.sent += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        client.out.clear();
        client.sent = 0;
        client.transport.push()
    }
}
