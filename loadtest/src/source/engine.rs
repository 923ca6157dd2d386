//! The loop: one thread, one epoll, all sessions. A wake-up costs one read, and a reply at most one write.

use super::connect;
use super::options::{Options, Worker};
use super::phases::Phase;
use super::report::{Ending, Report};
use super::script::Script;
use super::slot::{Flushed, Outcome, Slot};
use super::supply::{Part, Schedule, Supply};
use super::tally::Tally;
use super::timer::Timer;
use crate::ledger::LedgerWriter;
use crate::process::StopSignal;
use crate::tls::Transport;
use mio::event::Event;
use mio::{Events, Interest, Poll, Token};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Octets of one read: far more than the replies of any one wake-up.
const READ_SIZE: usize = 16 * 1024;

/// Connections in a row that may end without an acknowledged message before a session is given up.
const FRUITLESS_LIMIT: u32 = 8;

/// The timer among the tokens of the sessions.
const TIMER: Token = Token(usize::MAX);

/// What every session needs.
pub struct Setting<'a> {
    /// What was asked for.
    pub options: &'a Options,
    /// The server.
    pub to: SocketAddr,
    /// What is said to it.
    pub script: &'a Script,
    /// How TLS is spoken, and with whom.
    pub tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    /// Which part of the run this is.
    pub worker: Worker,
}

/// Something to be done for a session at some moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Task {
    Connect,
    Send,
}

/// All sessions of a process.
pub struct Engine<'a> {
    setting: &'a Setting<'a>,
    supply: Supply,
    poll: Poll,
    timer: Timer,
    slots: Vec<Slot>,
    tasks: BinaryHeap<Reverse<(Instant, usize, Task)>>,
    idle: VecDeque<usize>,
    live: usize,
    never_begun: u64,
    tally: Tally,
    buffer: Vec<u8>,
    stop: StopSignal,
    progress: &'a mut dyn FnMut(&Tally, usize),
    next_progress: Instant,
}

impl<'a> Engine<'a> {
    /// Makes ready, without a connection yet. `progress` is called once a second.
    pub fn new(
        setting: &'a Setting<'a>,
        ledger: Option<LedgerWriter>,
        progress: &'a mut dyn FnMut(&Tally, usize),
    ) -> Result<Engine<'a>, String> {
        let failed = |error: io::Error| format!("cannot start: {error}");
        let Setting { options, worker, script, .. } = setting;
        let poll = Poll::new().map_err(failed)?;
        let timer = Timer::new(poll.registry(), TIMER).map_err(failed)?;
        let stop = StopSignal::install().map_err(failed)?;
        let tally = Tally::new(ledger, options.ramp)?;
        let sessions = worker.share(u64::from(options.sessions)) as usize;
        let slow = worker.share(u64::from(options.slow)) as usize;
        let rate = |index: usize| options.slow_rate.filter(|_| index < slow);
        let part = Part { index: u64::from(worker.index), of: u64::from(worker.of) };
        let schedule = options.rate.map(|rate| {
            let run = script.content.run();
            let schedule = Schedule::new(tally.started, rate, options.ramp, options.arrivals, part, run);
            schedule.until(options.duration)
        });
        let limit = options.messages.map_or(u64::MAX, |messages| worker.share(messages));
        let step = options.ramp.div_f64(sessions.max(1) as f64);
        let task = |index: usize| Reverse((tally.started + step.mul_f64(index as f64), index, Task::Connect));
        Ok(Engine {
            setting,
            supply: Supply::new(part, limit, schedule),
            poll,
            timer,
            slots: (0..sessions).map(|index| Slot::new(tally.started, rate(index))).collect(),
            tasks: (0..sessions).map(task).collect(),
            idle: VecDeque::new(),
            live: sessions,
            never_begun: 0,
            buffer: vec![0; READ_SIZE],
            stop,
            progress,
            next_progress: tally.started + Duration::from_secs(1),
            tally,
        })
    }

    /// Runs to the end, whichever it is.
    pub fn run(&mut self) -> Ending {
        let mut events = Events::with_capacity(1024);
        while self.live > 0 {
            self.tick();
            self.do_tasks();
            if let Some(ending) = self.turn_ended() {
                return ending;
            }
            if self.live == 0 {
                break;
            }
            let timeout = self.set_timer();
            match self.poll.poll(&mut events, Some(timeout)) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                    return Ending::Fatal(format!("poll: {error}"));
                }
                Err(_) => {}
                Ok(()) => {
                    self.tick();
                    events.iter().for_each(|event| self.woken(event));
                }
            }
        }
        self.tally.fatal.take().map_or(Ending::Done, Ending::Fatal)
    }

    /// Writes the ledger out and returns the figures.
    pub fn finish(mut self, ending: Ending) -> Result<Report, String> {
        if let Some(ledger) = &mut self.tally.ledger {
            ledger.flush().map_err(|error| format!("ledger: {error}"))?;
        }
        let options = self.setting.options;
        let sessions = self.slots.len() as u32;
        Ok(Report::new(
            options,
            self.setting.script,
            sessions,
            self.supply.begun(),
            self.never_begun,
            self.tally,
            ending,
        ))
    }

    fn tick(&mut self) {
        let now = Instant::now();
        self.tally.tick(now);
        self.supply.tick(now);
    }

    /// Sets the timer to what falls due next, and says how long the poll may sleep at most.
    fn set_timer(&mut self) -> Duration {
        let idle = Duration::from_millis(250);
        let task = self.tasks.peek().map(|Reverse((due, ..))| *due);
        let message = self.supply.next_due().filter(|_| !self.idle.is_empty());
        let Some(next) = [task, message].into_iter().flatten().min() else { return idle };
        let wait = next.saturating_duration_since(Instant::now());
        // Without the timer the poll's own timeout is exact to a millisecond, which is good enough to go on.
        if wait < idle && self.timer.set(wait).is_err() { wait } else { idle }
    }

    fn do_tasks(&mut self) {
        let now = self.tally.now;
        while let Some(&Reverse((_, index, task))) = self.tasks.peek().filter(|Reverse((due, ..))| *due <= now) {
            self.tasks.pop();
            match task {
                Task::Send => {
                    self.slots[index].is_due();
                    self.flush(index);
                }
                Task::Connect if self.supply.is_left() => self.connect(index),
                Task::Connect => self.live -= 1,
            }
        }
        let is_over = !self.supply.is_left();
        while is_over || self.supply.next_due().is_some_and(|due| due <= now) {
            let Some(index) = self.idle.pop_front() else { return };
            let slot = &mut self.slots[index];
            slot.is_queued = false;
            slot.dialogue.resume(self.setting.script, &mut self.supply, &mut slot.out);
            slot.begun(&mut self.tally);
            self.flush(index);
        }
    }

    fn turn_ended(&mut self) -> Option<Ending> {
        let now = self.tally.now;
        let options = self.setting.options;
        if let Some(text) = self.tally.fatal.take() {
            return Some(Ending::Fatal(text));
        }
        if self.stop.is_set() {
            return Some(Ending::Signal);
        }
        // A schedule may leave all sessions idle for long.
        if self.live > 0 && self.idle.len() == self.live {
            self.tally.last_moved = now;
        }
        if now.duration_since(self.tally.last_moved) > options.stall_timeout + options.ramp {
            return Some(Ending::Stalled);
        }
        let drain = if options.rate.is_some() { options.drain } else { Duration::ZERO };
        if self.supply.is_left()
            && options.duration.is_some_and(|duration| now.duration_since(self.tally.started) >= duration + drain)
        {
            self.never_begun = self.supply.stop();
        }
        if now >= self.next_progress {
            self.next_progress = now + Duration::from_secs(1);
            (self.progress)(&self.tally, self.live);
        }
        None
    }

    fn connect(&mut self, index: usize) {
        let slot = &mut self.slots[index];
        slot.restart(Instant::now());
        let connected = connect::connect(self.setting.options, self.setting.to, index).and_then(|mut stream| {
            self.poll.registry().register(&mut stream, Token(index), Interest::READABLE | Interest::WRITABLE)?;
            Ok(stream)
        });
        match connected {
            Ok(stream) => slot.transport = Some(Transport::new(stream)),
            Err(error) => self.lost(index, &format!("connect: {error}")),
        }
    }

    fn woken(&mut self, event: &Event) {
        let index = event.token().0;
        if event.token() == TIMER {
            return;
        }
        let ending = event.is_read_closed() || event.is_error();
        match self.make_ready(index, event.is_writable() || ending) {
            Ok(true) => {}
            Ok(false) => return,
            Err(why) => return self.lost(index, &why),
        }
        if event.is_writable() {
            self.flush(index);
        }
        if event.is_readable() || ending {
            self.read(index, ending);
        }
    }

    /// Sees the connection and the handshake through; true once the dialogue may go on.
    fn make_ready(&mut self, index: usize, is_connected: bool) -> Result<bool, String> {
        let slot = &mut self.slots[index];
        let Some(transport) = &mut slot.transport else { return Ok(false) };
        if !slot.is_open {
            if let Some(error) = transport.tcp().take_error().map_err(|error| error.to_string())? {
                return Err(format!("connect: {error}"));
            }
            if !is_connected || transport.tcp().peer_addr().is_err() {
                return Ok(false);
            }
            self.tally.record(Phase::Connect, slot.since);
            let header = connect::proxy_header(self.setting.options, transport.tcp(), index);
            // The header is short, and the socket's buffer is empty.
            let sent = header.and_then(|header| transport.tcp().write_all(&header));
            sent.map_err(|error| format!("PROXY header: {error}"))?;
            (slot.is_open, slot.since) = (true, self.tally.now);
            if self.setting.options.tls {
                self.begin_tls(index)?;
            }
        }
        self.handshake(index)
    }

    fn begin_tls(&mut self, index: usize) -> Result<(), String> {
        let slot = &mut self.slots[index];
        if let (Some(transport), Some((config, name))) = (&mut slot.transport, &self.setting.tls) {
            transport.begin_client(config, name).map_err(|error| format!("TLS: {error}"))?;
            slot.tls_since = Some(self.tally.now);
        }
        Ok(())
    }

    fn handshake(&mut self, index: usize) -> Result<bool, String> {
        let slot = &mut self.slots[index];
        let (Some(transport), Some(since)) = (&mut slot.transport, slot.tls_since) else { return Ok(true) };
        if !transport.handshake().map_err(|error| format!("TLS handshake: {error}"))? {
            return Ok(false);
        }
        self.tally.last_moved = self.tally.now;
        self.tally.record(Phase::Tls, since);
        (slot.tls_since, slot.since) = (None, self.tally.now);
        if self.setting.options.starttls {
            slot.dialogue.encrypted(self.setting.script, &mut slot.out);
        }
        self.flush(index);
        // What came along with the end of the handshake wakes nobody any more.
        self.read(index, true);
        Ok(self.slots[index].transport.is_some())
    }

    /// Reads once. Edge-triggered polling needs no second read after one that did not fill the buffer, except to see the end;
    /// under TLS a read says nothing about what the socket still has.
    fn read(&mut self, index: usize, until_end: bool) {
        let mut buffer = std::mem::take(&mut self.buffer);
        while let Some(stream) = &mut self.slots[index].transport {
            match stream.read(&mut buffer) {
                Ok(0) => self.lost(index, "connection closed by server"),
                Ok(count) => {
                    let is_all = count < READ_SIZE && !until_end && !stream.is_tls();
                    self.received(index, &buffer[..count]);
                    if is_all || self.slots[index].tls_since.is_some() {
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
        self.tally.now = Instant::now();
        self.tally.last_moved = self.tally.now;
        let slot = &mut self.slots[index];
        if !std::mem::replace(&mut slot.was_heard, true) {
            self.tally.connections += 1;
        }
        match slot.replies(index, input, self.setting.script, &mut self.supply, &mut self.tally) {
            Outcome::Going => self.flush(index),
            Outcome::StartTls => {
                if let Err(why) = self.begin_tls(index) {
                    return self.lost(index, &why);
                }
                // The first flight goes out at once; the handshake goes on when the server answers.
                if let Some(Err(error)) = self.slots[index].transport.as_mut().map(Transport::push) {
                    self.lost(index, &error.to_string());
                }
            }
            Outcome::Ended => self.ended(index),
            Outcome::Broken(why) => self.lost(index, &why),
        }
        let slot = &mut self.slots[index];
        if slot.dialogue.is_idle() && !std::mem::replace(&mut slot.is_queued, true) {
            self.idle.push_back(index);
        }
    }

    fn flush(&mut self, index: usize) {
        let slot = &mut self.slots[index];
        match slot.flush(self.setting.script.content.pool()) {
            Ok(Flushed::Done) => {}
            Ok(Flushed::Slowly(next)) => {
                // Whoever is slow on purpose has not stalled.
                self.tally.last_moved = self.tally.now;
                self.tasks.push(Reverse((next, index, Task::Send)));
            }
            // What the server said before it closed is still to be read; reading then tells of the loss.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => slot.out.clear(),
            Err(error) => self.lost(index, &error.to_string()),
        }
    }

    /// A session has come to its proper end.
    fn ended(&mut self, index: usize) {
        let slot = &mut self.slots[index];
        if let Some(mut transport) = slot.transport.take() {
            transport.close();
        }
        if slot.dialogue.has_begun_any() {
            return if self.supply.is_left() { self.connect(index) } else { self.live -= 1 };
        }
        // The server did not even let us begin: it is no use to ask at once again.
        slot.fruitless += 1;
        self.come_again(index, false);
    }

    fn come_again(&mut self, index: usize, is_over: bool) {
        let fruitless = self.slots[index].fruitless;
        if is_over || fruitless > FRUITLESS_LIMIT || !self.supply.is_left() {
            self.live -= 1;
        } else {
            let pause = Duration::from_millis(20 << fruitless);
            self.tasks.push(Reverse((Instant::now() + pause, index, Task::Connect)));
        }
    }

    /// A connection is gone before its proper end: connect again after a while, or give the session up.
    fn lost(&mut self, index: usize, why: &str) {
        let slot = &mut self.slots[index];
        slot.transport = None;
        slot.fruitless += 1;
        let announced = slot.dialogue.is_closing_announced();
        if !announced {
            self.tally.lost += u64::from(slot.was_heard);
            self.tally.errors.count(why);
        }
        slot.restart(Instant::now());
        self.come_again(index, self.setting.options.until_lost && !announced);
    }
}
