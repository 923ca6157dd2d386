//! Threads that do nothing but accept: each connection goes to the shard that has the fewest.
//!
//! An acceptor waits for its listeners in poll(2) and hands over by a lock-free queue and the shard's doorbell; nobody waits for
//! it. Where every queue is full the kernel keeps what comes, up to the backlog.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::serve::now;
use super::topology;
use crate::control::journal::{Journal, Level};
use crate::io::handover::{Doorbell, Handover};
use crate::io::metal::{BoundListener, TakenConnection};
use crate::io::vitals::Vitals;

/// Connections that wait for one shard to look at its queue.
const QUEUE: usize = 1024;

/// Connections that are accepted from one listener before the others have their turn.
const TURN: usize = 64;

/// How long accepting rests after an error: descriptors that have run out come back only as sessions end.
const REST: Duration = Duration::from_millis(250);

/// How long it rests where every shard's queue is full.
const CROWDED: Duration = Duration::from_millis(10);

/// A connection on its way to a shard.
pub struct Arrival {
    /// The server's place.
    pub server: usize,
    /// The connection.
    pub connection: TakenConnection,
    /// Whose it is.
    pub peer: SocketAddr,
}

/// A shard as acceptors see it.
pub struct Berth {
    queue: Handover<Arrival>,
    vitals: Arc<Vitals>,
}

impl Berth {
    /// Of the shard with this doorbell.
    pub fn new(doorbell: Arc<Doorbell>, vitals: Arc<Vitals>) -> Berth {
        Berth { queue: Handover::new(QUEUE, doorbell), vitals }
    }

    /// The next connection, for the shard.
    pub fn take(&self) -> Option<Arrival> {
        self.queue.take()
    }

    /// Connections that it has or is about to have.
    fn load(&self) -> u64 {
        self.vitals.connections() + self.queue.len() as u64
    }
}

/// One address of one server.
pub struct Door {
    /// The server's place.
    pub server: usize,
    /// Where it listens.
    pub listener: BoundListener,
    /// The shards that serve the server.
    pub shards: Vec<Arc<Berth>>,
}

/// A running acceptor.
pub struct Acceptor {
    stop: Arc<AtomicBool>,
    bell: Arc<Doorbell>,
    thread: JoinHandle<()>,
}

impl Acceptor {
    /// Starts acceptor `number` on a CPU; `ended` is called if it ends unasked.
    pub fn start(
        number: usize,
        cpu: usize,
        doors: Vec<Door>,
        journal: Journal,
        ended: impl FnOnce() + Send + 'static,
    ) -> io::Result<Acceptor> {
        let bell = Arc::new(Doorbell::new(true)?);
        let stop = Arc::new(AtomicBool::new(false));
        let watch = doors.iter().map(|door| door.listener.as_raw_fd()).chain([bell.as_raw_fd()]).map(watched).collect();
        let (stopped, hears) = (stop.clone(), bell.clone());
        let thread = std::thread::Builder::new().name(format!("acceptor-{number}")).spawn(move || {
            let _guard = Unasked { stop: stopped.clone(), ended: Some(ended) };
            // Where the CPU is not to be had the kernel's choice is as good.
            let _ = topology::stay_on(&[cpu]);
            let mut work = Work { doors, watch, journal, stop: stopped, _bell: hears, turn: 0 };
            while !work.stop.load(Ordering::Acquire) {
                work.wait();
                work.accept();
            }
        })?;
        Ok(Acceptor { stop, bell, thread })
    }

    /// Ends it; its listeners are closed then.
    pub fn stop(self) {
        self.stop.store(true, Ordering::Release);
        self.bell.ring();
        // One that panicked has said so.
        let _ = self.thread.join();
    }
}

/// Says that a thread ended unasked, by a panic too.
struct Unasked<F: FnOnce()> {
    stop: Arc<AtomicBool>,
    ended: Option<F>,
}

impl<F: FnOnce()> Drop for Unasked<F> {
    fn drop(&mut self) {
        if let Some(ended) = self.ended.take().filter(|_| !self.stop.load(Ordering::Acquire)) {
            ended();
        }
    }
}

fn watched(fd: RawFd) -> libc::pollfd {
    libc::pollfd { fd, events: libc::POLLIN, revents: 0 }
}

/// What an acceptor works with.
struct Work {
    doors: Vec<Door>,
    /// The listeners in the order of the doors, then the bell.
    watch: Vec<libc::pollfd>,
    journal: Journal,
    stop: Arc<AtomicBool>,
    _bell: Arc<Doorbell>,
    turn: usize,
}

impl Work {
    /// Waits until somebody connects or the bell is rung.
    fn wait(&mut self) {
        // SAFETY: the pointer and the number are those of a slice of ours. An interruption is as good as an event: nobody is
        // there then.
        let events = unsafe { libc::poll(self.watch.as_mut_ptr(), self.watch.len() as libc::nfds_t, -1) };
        if events < 0 {
            self.watch.iter_mut().for_each(|watched| watched.revents = 0);
        }
    }

    fn accept(&mut self) {
        for place in 0..self.doors.len() {
            if self.watch[place].revents != 0 {
                self.accept_at(place);
            }
        }
    }

    fn accept_at(&mut self, place: usize) {
        for _ in 0..TURN {
            let door = &self.doors[place];
            match door.listener.accept() {
                Ok((connection, peer)) => self.hand_over(place, Arrival { server: door.server, connection, peer }),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // A client that is gone before it was taken is nobody's trouble.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    self.journal.note(Level::Error, now(), "accepting-paused", &[("text", &error)]);
                    return std::thread::sleep(REST);
                }
            }
        }
    }

    /// Gives a connection to the shard that has the fewest; among equals to each in turn.
    fn hand_over(&mut self, place: usize, mut arrival: Arrival) {
        while !self.stop.load(Ordering::Acquire) {
            self.turn = self.turn.wrapping_add(1);
            let shards = &self.doors[place].shards;
            let (before, after) = shards.split_at(self.turn % shards.len().max(1));
            let Some(least) = after.iter().chain(before).min_by_key(|shard| shard.load()) else { return };
            match least.queue.give(arrival) {
                Ok(()) => return,
                Err(back) => arrival = back,
            }
            std::thread::sleep(CROWDED);
        }
    }
}
