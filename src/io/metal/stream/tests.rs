//! Against real sockets, on a ring without an executor.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use super::*;
use crate::io::handover::Doorbell;
use crate::io::vitals::Vitals;

/// Longer than any machine takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Counts how often it was woken.
#[derive(Default)]
struct Counter(AtomicU64);

impl Wake for Counter {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A core reduced to its ring.
struct Bench {
    ring: Ring,
    woken: Arc<Counter>,
    waker: Waker,
    peers: TcpListener,
}

impl Bench {
    fn new() -> Bench {
        Bench::over(Ring::new(&Doorbell::new(true).expect("an eventfd"), Arc::new(Vitals::default())).expect("a ring"))
    }

    fn over(ring: Ring) -> Bench {
        let woken = Arc::<Counter>::default();
        let waker = Waker::from(woken.clone());
        Bench { ring, woken, waker, peers: TcpListener::bind("127.0.0.1:0").expect("a port") }
    }

    /// A stream and its peer.
    fn pair(&self) -> (TcpStream, std::net::TcpStream) {
        let peer = std::net::TcpStream::connect(self.peers.local_addr().expect("an address")).expect("a connection");
        let (socket, _) = self.peers.accept().expect("a connection");
        (TcpStream::new(socket.into(), &self.ring), peer)
    }

    fn try_read(&self, stream: &mut TcpStream, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        stream.poll_read(&mut Context::from_waker(&self.waker), buffer)
    }

    /// Reads as a task does: is polled again only after it was woken.
    fn read(&self, stream: &mut TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
        self.obey(|context| stream.poll_read(context, buffer))
    }

    fn obey<T>(&self, mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> T {
        loop {
            let before = self.woken.0.load(Ordering::Relaxed);
            if let Poll::Ready(result) = poll(&mut Context::from_waker(&self.waker)) {
                return result;
            }
            self.until("a waker", || self.woken.0.load(Ordering::Relaxed) > before);
        }
    }

    /// Looks at the ring until a condition holds.
    fn until(&self, what: &str, mut condition: impl FnMut() -> bool) {
        let end = Instant::now() + PATIENCE;
        while !condition() {
            assert!(Instant::now() < end, "waited in vain for {what}");
            std::thread::sleep(Duration::from_micros(50));
            self.ring.reap();
        }
    }
}

#[test]
fn one_poll_serves_every_arrival() {
    let bench = Bench::new();
    let (mut stream, mut peer) = bench.pair();
    let mut buffer = [0; 64];
    for round in 0..1000u32 {
        assert!(bench.try_read(&mut stream, &mut buffer).is_pending());
        peer.write_all(&round.to_be_bytes()).expect("a peer");
        assert_eq!(bench.read(&mut stream, &mut buffer).expect("octets"), 4);
        assert_eq!(buffer[..4], round.to_be_bytes());
    }
    assert_eq!(bench.ring.polls().begun(), 1, "the poll was asked for more than once");
}

#[test]
fn octets_that_came_before_anyone_waited_are_found() {
    let bench = Bench::new();
    let (mut stream, mut peer) = bench.pair();
    peer.write_all(b"early").expect("a peer");
    let mut buffer = [0; 64];
    assert_eq!(bench.read(&mut stream, &mut buffer).expect("octets"), 5);
    assert_eq!(bench.ring.polls().begun(), 0, "what was there needs no poll");
}

#[test]
fn a_buffer_that_was_filled_is_not_the_end() {
    let bench = Bench::new();
    let (mut stream, mut peer) = bench.pair();
    let mut buffer = [0; 16];
    assert!(bench.try_read(&mut stream, &mut buffer).is_pending());
    peer.write_all(&[7; 40]).expect("a peer");
    let mut sizes = Vec::new();
    while sizes.iter().sum::<usize>() < 40 {
        sizes.push(bench.read(&mut stream, &mut buffer).expect("octets"));
    }
    assert!(bench.try_read(&mut stream, &mut buffer).is_pending());
}

#[test]
fn an_end_that_comes_with_the_last_octets_is_seen() {
    let bench = Bench::new();
    for _ in 0..200 {
        let (mut stream, mut peer) = bench.pair();
        let mut buffer = [0; 64];
        assert!(bench.try_read(&mut stream, &mut buffer).is_pending());
        peer.write_all(b"QUIT\r\n").expect("a peer");
        peer.shutdown(Shutdown::Write).expect("a peer");
        let mut octets = 0;
        loop {
            match bench.read(&mut stream, &mut buffer).expect("octets") {
                0 => break,
                more => octets += more,
            }
        }
        assert_eq!(octets, 6);
        // Half closed: what we say still arrives.
        let taken = bench.obey(|context| stream.poll_write(context, b"221\r\n")).expect("room");
        drop(stream);
        let mut heard = Vec::new();
        peer.read_to_end(&mut heard).expect("a reply");
        assert_eq!((taken, &heard[..]), (5, &b"221\r\n"[..]));
    }
}

#[test]
fn a_reset_connection_is_an_error_not_silence() {
    let bench = Bench::new();
    let (mut stream, peer) = bench.pair();
    let mut buffer = [0; 64];
    assert!(bench.try_read(&mut stream, &mut buffer).is_pending());
    let peer = Socket::from(peer);
    peer.set_linger(Some(Duration::ZERO)).expect("a socket");
    drop(peer);
    let error = bench.read(&mut stream, &mut buffer).expect_err("a reset");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

#[test]
fn urgent_octets_hide_nothing_that_follows() {
    let bench = Bench::new();
    let (mut stream, peer) = bench.pair();
    let peer = Socket::from(peer);
    let mut buffer = [0; 64];
    for _ in 0..50 {
        assert!(bench.try_read(&mut stream, &mut buffer).is_pending());
        peer.send(b"NOOP").expect("a peer");
        peer.send_out_of_band(b"!").expect("a peer");
        peer.send(b"\r\nNOOP\r\n").expect("a peer");
        let mut octets = 0;
        while octets < 12 {
            octets += bench.read(&mut stream, &mut buffer).expect("octets");
        }
        assert_eq!(octets, 12, "the urgent octet is no part of the stream");
    }
}

#[test]
fn a_writer_waits_for_a_peer_that_takes_its_time() {
    const OCTETS: usize = 32 << 20;
    let bench = Bench::new();
    let (mut stream, mut peer) = bench.pair();
    let octets = vec![5; 1 << 20];
    let mut sent = 0;
    while let Poll::Ready(taken) = stream.poll_write(&mut Context::from_waker(&bench.waker), &octets) {
        sent += taken.expect("a peer");
    }
    let reader = std::thread::spawn(move || {
        let mut all = Vec::new();
        peer.read_to_end(&mut all).map(|_| all.len())
    });
    while sent < OCTETS {
        let rest = &octets[..octets.len().min(OCTETS - sent)];
        sent += bench.obey(|context| stream.poll_write(context, rest)).expect("a peer");
    }
    stream.shutdown();
    assert_eq!(reader.join().expect("no panic").expect("octets"), sent);
}

#[test]
fn a_dropped_stream_leaves_nothing_and_wakes_no_stranger() {
    let bench = Bench::new();
    let mut buffer = [0; 64];
    for round in 0..500 {
        let (mut stream, mut peer) = bench.pair();
        assert!(bench.try_read(&mut stream, &mut buffer).is_pending());
        if round % 2 == 0 {
            // A completion is on its way when the stream goes.
            peer.write_all(b"late").expect("a peer");
        }
        drop(stream);
        assert_eq!(peer.read(&mut buffer).ok().unwrap_or(0), 0, "the peer hears that it is over");
        // The next one gets the same descriptor, and what it waits for is its own.
        let (mut next, mut peer) = bench.pair();
        assert!(bench.try_read(&mut next, &mut buffer).is_pending());
        bench.ring.reap();
        peer.write_all(b"mine").expect("a peer");
        assert_eq!(bench.read(&mut next, &mut buffer).expect("octets"), 4);
        assert_eq!(&buffer[..4], b"mine");
    }
    bench.until("the polls to end", || bench.ring.polls().open() == 0);
    assert!(bench.ring.polls().places() < 50, "places are used again");
}

#[test]
fn more_at_once_than_the_ring_holds_is_only_later() {
    let vitals = Arc::new(Vitals::default());
    let doorbell = Doorbell::new(true).expect("an eventfd");
    let bench = Bench::over(Ring::sized(&doorbell, vitals, 4, 8).expect("a ring"));
    let mut pairs: Vec<_> = (0..100).map(|_| bench.pair()).collect();
    let mut buffer = [0; 64];
    for round in 0..20u8 {
        for (stream, _) in &mut pairs {
            assert!(bench.try_read(stream, &mut buffer).is_pending());
        }
        pairs.iter_mut().for_each(|(_, peer)| peer.write_all(&[round; 3]).expect("a peer"));
        for (stream, _) in &mut pairs {
            assert_eq!(bench.read(stream, &mut buffer).expect("octets"), 3);
            assert_eq!(buffer[..3], [round; 3]);
        }
    }
    drop(pairs);
    bench.until("the polls to end", || bench.ring.polls().open() == 0);
}

#[test]
fn a_waker_that_changes_is_the_one_that_counts() {
    let bench = Bench::new();
    let (mut stream, mut peer) = bench.pair();
    let mut buffer = [0; 64];
    let former = Arc::<Counter>::default();
    let waker = Waker::from(former.clone());
    assert!(stream.poll_read(&mut Context::from_waker(&waker), &mut buffer).is_pending());
    drop(waker);
    assert!(bench.try_read(&mut stream, &mut buffer).is_pending());
    assert_eq!(Arc::strong_count(&former), 1, "a waker that was replaced is kept");
    peer.write_all(b"x").expect("a peer");
    bench.until("the second waker", || bench.woken.0.load(Ordering::Relaxed) == 1);
    assert_eq!(former.0.load(Ordering::Relaxed), 0);
}

#[test]
fn a_listener_says_when_it_is_empty_and_wakes_for_each_arrival() {
    let bench = Bench::new();
    let bound = BoundListener::bind("127.0.0.1:0".parse().expect("an address"), 64, None).expect("a port");
    let address = bound.local_address().expect("an address");
    let listener = Listener::new(bound, &bench.ring);
    for together in [1, 5, 1, 20] {
        let mut accepting = Box::pin(listener.accept());
        assert!(accepting.as_mut().poll(&mut Context::from_waker(&bench.waker)).is_pending());
        let peers: Vec<_> = (0..together).map(|_| std::net::TcpStream::connect(address).expect("a listener")).collect();
        let mut accepted = vec![bench.obey(|context| accepting.as_mut().poll(context)).expect("a connection")];
        drop(accepting);
        while accepted.len() < together {
            let mut accepting = Box::pin(listener.accept());
            accepted.push(bench.obey(|context| accepting.as_mut().poll(context)).expect("a connection"));
        }
        for (peer, (_, client)) in peers.iter().zip(&accepted) {
            assert_eq!(peer.local_addr().expect("an address"), *client);
        }
    }
}
