//! Octets and connections over loopback. The other end is a thread with blocking calls, on another CPU where there is one.

use super::meter::Meter;
use super::{Case, Place};
use crate::system;
use crate::uring::{Driver, outcome};
use io_uring::{opcode, types};
use socket2::SockRef;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Octets that connections of ringpost receive at a time.
const READ: usize = 16 * 1024;

/// Operations that are measured at a time, where one alone is shorter than looking at the clock.
const A_ROUND: u64 = 32;

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("network", super::RECEIVE, receive),
        Case::new("network", "send, 64 B at a time", |place, meter| send(place, meter, 64)),
        Case::new("network", "send, 16 KiB at a time", |place, meter| send(place, meter, READ)),
        Case::new("network", "receive 64 B, send 64 B, 1 connection", |place, meter| answer(place, meter, 1, false)),
        Case::new("network", "receive 64 B, send 64 B, 64 connections", |place, meter| answer(place, meter, 64, false)),
        Case::new("network", "the same, after a poll for each", |place, meter| answer(place, meter, 64, true)),
        Case::new("network", "accept and close", accept),
    ]
}

/// A connection over loopback: our end, and the other.
fn pair() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let other = TcpStream::connect(listener.local_addr()?)?;
    let (ours, _) = listener.accept()?;
    ours.set_nodelay(true)?;
    other.set_nodelay(true)?;
    Ok((ours, other))
}

/// Works at the other end until the connection is gone.
fn peer(cpu: usize, work: impl FnOnce() -> io::Result<()> + Send + 'static) -> JoinHandle<()> {
    std::thread::spawn(move || {
        // Where it may not be there, it is where it is; and that the connection ends is how it is told to.
        let _ = system::pin(&[cpu]);
        let _ = work();
    })
}

/// Waits for a peer whose connection was closed.
fn ended(peer: JoinHandle<()>) -> io::Result<()> {
    peer.join().map_err(|_| io::Error::other("the other end panicked"))
}

fn receive(place: &Place, meter: &mut Meter) -> io::Result<()> {
    let (ours, mut other) = pair()?;
    let sender = peer(place.peer_cpu, move || {
        let octets = [b'x'; 64 * 1024];
        loop {
            other.write_all(&octets)?;
        }
    });
    let mut ring = place.ring()?;
    let mut buffer = vec![0u8; READ];
    meter.count_thread();
    while meter.goes_on() {
        meter.round(A_ROUND, || {
            let mut octets = 0;
            for _ in 0..A_ROUND {
                let entry = opcode::Recv::new(types::Fd(ours.as_raw_fd()), buffer.as_mut_ptr(), READ as u32).build();
                // SAFETY: the buffer stays until the operation has ended, which is waited for.
                octets += u64::from(unsafe { ring.one(&entry) }?);
            }
            Ok(octets)
        })?;
    }
    drop(ours);
    ended(sender)
}

fn send(place: &Place, meter: &mut Meter, size: usize) -> io::Result<()> {
    let (ours, mut other) = pair()?;
    let receiver = peer(place.peer_cpu, move || {
        let mut buffer = vec![0; 256 * 1024];
        while other.read(&mut buffer)? > 0 {}
        Ok(())
    });
    let mut ring = place.ring()?;
    let buffer = vec![b'x'; size];
    meter.count_thread();
    while meter.goes_on() {
        meter.round(A_ROUND, || {
            let mut octets = 0;
            for _ in 0..A_ROUND {
                let entry = opcode::Send::new(types::Fd(ours.as_raw_fd()), buffer.as_ptr(), size as u32).build();
                // SAFETY: the buffer stays until the operation has ended, which is waited for.
                octets += u64::from(unsafe { ring.one(&entry) }?);
            }
            Ok(octets)
        })?;
    }
    drop(ours);
    ended(receiver)
}

/// Answers short requests on many connections, each of which waits for its answer; `polling` first waits until a socket is
/// readable and then calls recv(2) and send(2), as glommio does.
fn answer(place: &Place, meter: &mut Meter, connections: usize, polling: bool) -> io::Result<()> {
    const SIZE: usize = 64;
    let mut pairs = Vec::new();
    for _ in 0..connections {
        pairs.push(pair()?);
    }
    let (ours, mut others): (Vec<TcpStream>, Vec<TcpStream>) = pairs.into_iter().unzip();
    let asker = peer(place.peer_cpu, move || {
        let (question, mut reply) = ([b'q'; SIZE], [0; SIZE]);
        loop {
            for other in &mut others {
                other.write_all(&question)?;
            }
            for other in &mut others {
                other.read_exact(&mut reply)?;
            }
        }
    });
    let mut ring = place.ring()?;
    let mut answers = Answers { ours, buffers: vec![[0; SIZE]; connections], polling };
    meter.count_thread();
    for number in 0..connections {
        answers.listen(&mut ring, number)?;
    }
    let mut answered = 0u64;
    while meter.goes_on() {
        let wanted = A_ROUND.max(connections as u64);
        meter.start();
        let before = answered;
        while answered < before + wanted && !system::is_stopping() {
            ring.wait(1)?;
            while let Some((whose, result, _)) = ring.taken() {
                answered += u64::from(answers.completed(&mut ring, whose, outcome(result)?)?);
            }
        }
        meter.pause();
        meter.end_round(answered - before, (answered - before) * 2 * SIZE as u64);
    }
    // The kernel still uses the buffers of what is under way: closing our end completes it all.
    for ours in &answers.ours {
        ours.shutdown(std::net::Shutdown::Both)?;
    }
    ended(asker)?;
    drop(ring);
    Ok(())
}

/// Connections with questions, and where the questions are received.
struct Answers {
    ours: Vec<TcpStream>,
    buffers: Vec<[u8; 64]>,
    polling: bool,
}

/// Marks the completion of an answer.
const SENT: u64 = 1 << 32;

impl Answers {
    fn listen(&mut self, ring: &mut Driver, number: usize) -> io::Result<()> {
        let fd = types::Fd(self.ours[number].as_raw_fd());
        let buffer = &mut self.buffers[number];
        let entry = match self.polling {
            true => opcode::PollAdd::new(fd, libc::POLLIN as u32).build(),
            false => opcode::Recv::new(fd, buffer.as_mut_ptr(), buffer.len() as u32).build(),
        };
        // SAFETY: buffers are neither moved nor dropped before the ring has ended, and each has one operation at a time.
        unsafe { ring.push(&entry.user_data(number as u64)) }
    }

    /// True when a question was answered.
    fn completed(&mut self, ring: &mut Driver, whose: u64, result: u32) -> io::Result<bool> {
        let number = (whose & !SENT) as usize;
        if whose & SENT != 0 {
            self.listen(ring, number)?;
            return Ok(true);
        }
        let (ours, buffer) = (&self.ours[number], &mut self.buffers[number]);
        if self.polling {
            let received = (&mut &*ours).read(buffer)?;
            (&mut &*ours).write_all(&buffer[..received])?;
            self.listen(ring, number)?;
            return Ok(true);
        }
        let entry = opcode::Send::new(types::Fd(ours.as_raw_fd()), buffer.as_ptr(), result).build();
        // SAFETY: as for receiving.
        unsafe { ring.push(&entry.user_data(number as u64 | SENT)) }?;
        Ok(false)
    }
}

fn accept(place: &Place, meter: &mut Meter) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let stop = Arc::new(AtomicBool::new(false));
    let told = stop.clone();
    let caller = peer(place.peer_cpu, move || {
        while !told.load(Ordering::Relaxed) {
            call(address)?;
        }
        Ok(())
    });
    let mut ring = place.ring()?;
    meter.count_thread();
    while meter.goes_on() {
        meter.round(A_ROUND, || {
            for _ in 0..A_ROUND {
                let fd = types::Fd(listener.as_raw_fd());
                let entry = opcode::Accept::new(fd, std::ptr::null_mut(), std::ptr::null_mut()).build();
                // SAFETY: it points to nothing.
                let accepted = unsafe { ring.one(&entry) }?;
                // SAFETY: the kernel has just opened this descriptor for us.
                drop(unsafe { OwnedFd::from_raw_fd(accepted as i32) });
            }
            Ok(0)
        })?;
    }
    stop.store(true, Ordering::Relaxed);
    ended(caller)
}

/// Connects, and goes without leaving anything that waits (TIME_WAIT would soon use up all ports).
fn call(address: SocketAddr) -> io::Result<()> {
    match TcpStream::connect_timeout(&address, Duration::from_secs(1)) {
        Ok(stream) => SockRef::from(&stream).set_linger(Some(Duration::ZERO)),
        // The queue of those waiting was full for that long, or it ended meanwhile.
        Err(_) => Ok(()),
    }
}
