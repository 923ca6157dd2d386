//! The loop: one thread, one epoll, all sessions. A wake-up costs one read, and a reply at most one write.

use super::Options;
use super::dialogue::{Dialogue, Note, Supply};
use super::outgoing::Outgoing;
use super::report::{Errors, Report};
use super::script::Script;
use crate::ledger::LedgerWriter;
use crate::process::{self, StopSignal};
use crate::reply::{Reply, ReplyReader};
use hdrhistogram::Histogram;
use mio::event::Event;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use std::io::{self, IsTerminal, Read};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Octets of one read: far more than the replies of any one wake-up.
const READ_SIZE: usize = 16 * 1024;

/// Connections in a row that may end without an acknowledged message before a session is given up.
const FRUITLESS_LIMIT: u32 = 8;

/// Longest latency that is told from longer ones, in nanoseconds.
const LATENCY_LIMIT: u64 = 600_000_000_000;

/// How a run ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Ending {
    /// All messages were sent, the time was up, or all sessions were lost or given up.
    Done,
    /// By SIGTERM or SIGINT.
    Signal,
    /// Nothing moved for the stall timeout.
    Stalled,
    /// The run makes no sense any more.
    Fatal(String),
}

/// One session and what it is made of; used again for the connection that follows.
#[derive(Default)]
struct Slot {
    stream: Option<TcpStream>,
    dialogue: Dialogue,
    reader: ReplyReader,
    out: Outgoing,
    content_sent: Option<Instant>,
    connected: bool,
    fruitless: u32,
}

/// What came of the replies of one read.
enum Outcome {
    Going,
    Ended,
    Broken(String),
}

/// Counts and figures of the run.
struct Tally {
    acknowledged: u64,
    connections: u64,
    lost: u64,
    errors: Errors,
    latency: Histogram<u64>,
    started: Instant,
    last_acknowledged: Instant,
    last_moved: Instant,
    ledger: Option<LedgerWriter>,
    fatal: Option<String>,
}

/// All sessions of a run.
pub struct Engine<'a> {
    options: &'a Options,
    script: &'a Script,
    to: SocketAddr,
    supply: Supply,
    poll: Poll,
    slots: Vec<Slot>,
    waiting: Vec<(Instant, usize)>,
    live: usize,
    tally: Tally,
    buffer: Vec<u8>,
    stop: StopSignal,
    progress: Option<Progress>,
    cpu_before: Duration,
}

/// The line on the terminal.
struct Progress {
    next: Instant,
    acknowledged: u64,
}

impl<'a> Engine<'a> {
    /// Makes ready, without a connection yet.
    pub fn new(
        options: &'a Options,
        to: SocketAddr,
        script: &'a Script,
        ledger: Option<LedgerWriter>,
    ) -> io::Result<Engine<'a>> {
        let now = Instant::now();
        let latency =
            Histogram::new_with_bounds(1000, LATENCY_LIMIT, 3).map_err(|error| io::Error::other(error.to_string()))?;
        let tally = Tally {
            acknowledged: 0,
            connections: 0,
            lost: 0,
            errors: Errors::default(),
            latency,
            started: now,
            last_acknowledged: now,
            last_moved: now,
            ledger,
            fatal: None,
        };
        let shown = !options.quiet && io::stderr().is_terminal();
        Ok(Engine {
            options,
            script,
            to,
            supply: Supply::new(options.messages.unwrap_or(u64::MAX)),
            poll: Poll::new()?,
            slots: (0..options.sessions).map(|_| Slot::default()).collect(),
            waiting: Vec::new(),
            live: options.sessions as usize,
            tally,
            buffer: vec![0; READ_SIZE],
            stop: StopSignal::install()?,
            progress: shown.then_some(Progress { next: now + Duration::from_secs(1), acknowledged: 0 }),
            cpu_before: process::own_cpu_time(),
        })
    }

    /// Runs to the end, whichever it is.
    pub fn run(&mut self) -> Ending {
        let mut events = Events::with_capacity(1024);
        (0..self.slots.len()).for_each(|index| self.connect(index));
        while self.live > 0 {
            let timeout = self.timeout();
            match self.poll.poll(&mut events, Some(timeout)) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                    return Ending::Fatal(format!("poll: {error}"));
                }
                Err(_) => {}
                Ok(()) => events.iter().for_each(|event| self.woken(event)),
            }
            if let Some(ending) = self.turn_ended() {
                return ending;
            }
        }
        self.tally.fatal.take().map_or(Ending::Done, Ending::Fatal)
    }

    /// Writes the ledger out and returns the figures.
    pub fn finish(mut self, ending: &Ending) -> Result<Report, String> {
        if let Some(ledger) = &mut self.tally.ledger {
            ledger.flush().map_err(|error| format!("ledger: {error}"))?;
        }
        Ok(Report {
            run: self.script.content.run(),
            sessions: self.options.sessions,
            size: self.options.size,
            begun: self.supply.begun(),
            acknowledged: self.tally.acknowledged,
            connections: self.tally.connections,
            lost: self.tally.lost,
            errors: self.tally.errors,
            elapsed: self.tally.last_acknowledged - self.tally.started,
            cpu: process::own_cpu_time().saturating_sub(self.cpu_before),
            latency: self.tally.latency,
            ending: match ending {
                Ending::Done => "done".into(),
                Ending::Signal => "signal".into(),
                Ending::Stalled => "stalled".into(),
                Ending::Fatal(text) => text.clone(),
            },
        })
    }

    /// How long a poll may sleep: a quarter of a second, or until something falls due.
    fn timeout(&self) -> Duration {
        let idle = Duration::from_millis(250);
        let earliest = self.waiting.iter().map(|(due, _)| due.saturating_duration_since(Instant::now())).min();
        // A poll counts in milliseconds and rounds up, so it never wakes just before what it waits for.
        earliest.map_or(idle, |earliest| earliest.min(idle))
    }

    fn turn_ended(&mut self) -> Option<Ending> {
        let now = Instant::now();
        if let Some(text) = self.tally.fatal.take() {
            return Some(Ending::Fatal(text));
        }
        if self.stop.is_set() {
            return Some(Ending::Signal);
        }
        if now.duration_since(self.tally.last_moved) > self.options.stall_timeout {
            return Some(Ending::Stalled);
        }
        if self.options.duration.is_some_and(|duration| now.duration_since(self.tally.started) >= duration) {
            self.supply.stop();
        }
        self.show_progress(now);
        self.connect_due(now);
        None
    }

    fn connect_due(&mut self, now: Instant) {
        while let Some(at) = self.waiting.iter().position(|(due, _)| *due <= now) {
            let (_, index) = self.waiting.swap_remove(at);
            if self.supply.is_left() { self.connect(index) } else { self.live -= 1 }
        }
    }

    fn connect(&mut self, index: usize) {
        let connected = TcpStream::connect(self.to).and_then(|mut stream| {
            // Writes are whole groups already: waiting for more to send would only add the peer's delayed acknowledgement.
            stream.set_nodelay(true)?;
            self.poll.registry().register(&mut stream, Token(index), Interest::READABLE | Interest::WRITABLE)?;
            Ok(stream)
        });
        let slot = &mut self.slots[index];
        slot.dialogue.restart();
        slot.reader = ReplyReader::default();
        slot.out.clear();
        slot.content_sent = None;
        slot.connected = false;
        match connected {
            Ok(stream) => slot.stream = Some(stream),
            Err(error) => self.lost(index, &format!("connect: {error}")),
        }
    }

    fn woken(&mut self, event: &Event) {
        let index = event.token().0;
        if event.is_writable() {
            self.flush(index);
        }
        if event.is_readable() || event.is_read_closed() || event.is_error() {
            self.read(index, event.is_read_closed() || event.is_error());
        }
    }

    /// Reads once. Edge-triggered polling needs no second read after one that did not fill the buffer, except to see the end.
    fn read(&mut self, index: usize, until_end: bool) {
        let mut buffer = std::mem::take(&mut self.buffer);
        while let Some(stream) = &mut self.slots[index].stream {
            match stream.read(&mut buffer) {
                Ok(0) => self.lost(index, "connection closed by server"),
                Ok(count) => {
                    self.received(index, &buffer[..count]);
                    if count < READ_SIZE && !until_end {
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => self.lost(index, &error.to_string()),
            }
        }
        self.buffer = buffer;
    }

    fn received(&mut self, index: usize, input: &[u8]) {
        let now = Instant::now();
        self.tally.last_moved = now;
        if !std::mem::replace(&mut self.slots[index].connected, true) {
            self.tally.connections += 1;
        }
        match self.slots[index].replies(index, input, now, self.script, &mut self.supply, &mut self.tally) {
            Outcome::Going => self.flush(index),
            Outcome::Ended => self.ended(index),
            Outcome::Broken(why) => self.lost(index, &why),
        }
    }

    fn flush(&mut self, index: usize) {
        let slot = &mut self.slots[index];
        let Some(stream) = slot.stream.as_mut().filter(|_| !slot.out.is_empty()) else { return };
        match slot.out.write_to(stream, self.script.content.pool()) {
            Ok(true) => slot.content_sent = Some(Instant::now()),
            Ok(false) => {}
            // What the server said before it closed is still to be read; reading then tells of the loss.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => slot.out.clear(),
            Err(error) => self.lost(index, &error.to_string()),
        }
    }

    /// A session has come to its proper end.
    fn ended(&mut self, index: usize) {
        self.slots[index].stream = None;
        if self.supply.is_left() { self.connect(index) } else { self.live -= 1 }
    }

    /// A connection is gone before its proper end: connect again after a while, or give the session up.
    fn lost(&mut self, index: usize, why: &str) {
        let slot = &mut self.slots[index];
        slot.stream = None;
        slot.fruitless += 1;
        let announced = slot.dialogue.is_closing_announced();
        if !announced {
            self.tally.lost += u64::from(slot.connected);
            self.tally.errors.count(why);
        }
        let expected = self.options.until_lost && !announced;
        if expected || slot.fruitless > FRUITLESS_LIMIT || !self.supply.is_left() {
            self.live -= 1;
        } else {
            self.waiting.push((Instant::now() + Duration::from_millis(20 << slot.fruitless), index));
        }
    }

    fn show_progress(&mut self, now: Instant) {
        let Some(progress) = self.progress.as_mut().filter(|progress| now >= progress.next) else { return };
        let (done, errors) = (self.tally.acknowledged, self.tally.errors.total());
        eprintln!("{done} acknowledged, {}/s, {errors} errors, {} sessions", done - progress.acknowledged, self.live);
        *progress = Progress { next: now + Duration::from_secs(1), acknowledged: done };
    }
}

impl Slot {
    /// Takes all replies of one read.
    fn replies(
        &mut self,
        index: usize,
        mut input: &[u8],
        now: Instant,
        script: &Script,
        supply: &mut Supply,
        tally: &mut Tally,
    ) -> Outcome {
        loop {
            let reply = match self.reader.next(&mut input) {
                Ok(Some(reply)) => reply,
                Ok(None) => return Outcome::Going,
                Err(malformed) => return Outcome::Broken(malformed.to_string()),
            };
            let early = !self.out.is_empty();
            if early && reply.code < 400 {
                return Outcome::Broken(format!("reply before the command was sent: {}", reply.first_line()));
            }
            let note = self.dialogue.receive(reply, script, supply, &mut self.out);
            if matches!(note, Note::Acknowledged { .. }) {
                self.fruitless = 0;
            }
            let latency = self.content_sent.map_or(Duration::ZERO, |sent| now.saturating_duration_since(sent));
            tally.note(note, index, reply, latency, now, script);
            if self.dialogue.has_ended() {
                return Outcome::Ended;
            }
            if early || self.dialogue.is_closing_announced() {
                return Outcome::Broken("closed after a reply in the middle of content".into());
            }
        }
    }
}

impl Tally {
    fn note(&mut self, note: Note, session: usize, reply: Reply<'_>, latency: Duration, now: Instant, script: &Script) {
        match note {
            Note::Nothing => {}
            Note::Acknowledged { seq, crc, whole } => {
                self.acknowledged += u64::from(whole);
                self.last_acknowledged = now;
                if whole {
                    self.latency.saturating_record(latency.as_nanos() as u64);
                }
                self.enter(seq, session, script.content.body_octets(), crc, reply.text);
            }
            Note::Refused(stage) => self.errors.count(&format!("{stage}: {}", reply.first_line())),
            Note::Lacks(extension) => self.fatal = Some(format!("the server does not offer {extension}")),
        }
    }

    fn enter(&mut self, seq: u64, session: usize, octets: u64, crc: u32, reply: &[u8]) {
        let Some(ledger) = &mut self.ledger else { return };
        if let Err(error) = ledger.write(seq, session, octets, crc, reply) {
            self.fatal = Some(format!("ledger: {error}"));
        }
    }
}
