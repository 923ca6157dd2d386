//! Records of TLS that the kernel seals and opens (kTLS): a connection's, and whether there are any.

use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream as StdStream};
use std::os::fd::{AsRawFd, RawFd};
use std::ptr;
use std::task::{Context, Poll};

use super::stream::{TcpStream, retried};
use crate::io::records::{Aead, Direction, Keys, Offered, Received, Records};
use crate::mail::TlsVersion;

/// What of `linux/tls.h` libc has not.
const TLS_TX: libc::c_int = 1;
const TLS_RX: libc::c_int = 2;
const TLS_SET_RECORD_TYPE: libc::c_int = 1;
const TLS_GET_RECORD_TYPE: libc::c_int = 2;

/// Octets of a control message's head: its length, its level and its type.
const HEAD: usize = size_of::<usize>() + 2 * size_of::<libc::c_int>();

/// Room for one control message of one octet, which takes a whole word.
const CONTROL: usize = HEAD + size_of::<usize>();

/// A control message, aligned as the kernel wants it.
#[repr(C, align(8))]
struct Control([u8; CONTROL]);

impl Control {
    /// Of this kind.
    fn of(kind: u8) -> Control {
        let mut control = Control([0; CONTROL]);
        let length = HEAD + 1;
        let parts =
            [&length.to_ne_bytes()[..], &libc::SOL_TLS.to_ne_bytes(), &TLS_SET_RECORD_TYPE.to_ne_bytes(), &[kind]];
        control.0[..length].copy_from_slice(&parts.concat());
        control
    }

    /// The kind that the kernel has told in the first `length` octets.
    fn kind(&self, length: usize) -> Option<u8> {
        let (head, content) = self.0.get(..length)?.split_at_checked(HEAD)?;
        let expected = [libc::SOL_TLS.to_ne_bytes(), TLS_GET_RECORD_TYPE.to_ne_bytes()].concat();
        if head.get(size_of::<usize>()..)? != expected {
            return None;
        }
        content.first().copied()
    }
}

/// Has TLS done by the kernel for this socket.
fn prepare(socket: RawFd) -> io::Result<()> {
    set(socket, libc::IPPROTO_TCP, libc::TCP_ULP, b"tls")
}

fn use_keys(socket: RawFd, direction: Direction, keys: &Keys) -> io::Result<()> {
    let option = match direction {
        Direction::Send => TLS_TX,
        Direction::Receive => TLS_RX,
    };
    set(socket, libc::SOL_TLS, option, keys.octets())
}

fn set(socket: RawFd, level: libc::c_int, option: libc::c_int, value: &[u8]) -> io::Result<()> {
    let length = libc::socklen_t::try_from(value.len()).map_err(io::Error::other)?;
    // SAFETY: the kernel reads as many octets as there are, before the call returns.
    let result = unsafe { libc::setsockopt(socket, level, option, value.as_ptr().cast(), length) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// A message for one buffer and, of that length, one control message.
fn message(part: &mut libc::iovec, control: *mut Control, length: usize) -> libc::msghdr {
    // SAFETY: null pointers and lengths of 0 are an empty message.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = ptr::from_mut(part);
    message.msg_iovlen = 1;
    message.msg_control = control.cast();
    message.msg_controllen = length;
    message
}

fn receive(socket: RawFd, buffer: &mut [u8]) -> io::Result<Received> {
    let mut control = Control([0; CONTROL]);
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let mut message = message(&mut part, &mut control, CONTROL);
    // SAFETY: buffer, control message and what names them are ours for as long as the call lasts.
    let octets = unsafe { libc::recvmsg(socket, &mut message, libc::MSG_DONTWAIT) };
    let octets = usize::try_from(octets).map_err(|_| io::Error::last_os_error())?;
    match control.kind(message.msg_controllen) {
        Some(kind) => Ok(Received::Content { kind, octets }),
        None if octets == 0 => Ok(Received::End),
        // Content of a kind that is not told would pass for what it is not.
        None => Err(io::Error::new(io::ErrorKind::InvalidData, "the kernel does not tell the kind of a record")),
    }
}

fn send(socket: RawFd, kind: u8, content: &[u8]) -> io::Result<usize> {
    let mut control = Control::of(kind);
    let mut part = libc::iovec { iov_base: content.as_ptr().cast_mut().cast(), iov_len: content.len() };
    let message = message(&mut part, &mut control, HEAD + 1);
    // SAFETY: as in `receive`; what is sent is only read.
    let octets = unsafe { libc::sendmsg(socket, &message, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) };
    usize::try_from(octets).map_err(|_| io::Error::last_os_error())
}

impl Records for TcpStream {
    fn prepare(&mut self) -> io::Result<()> {
        prepare(self.socket.as_raw_fd())
    }

    fn use_keys(&mut self, direction: Direction, keys: &Keys) -> io::Result<()> {
        use_keys(self.socket.as_raw_fd(), direction, keys)
    }

    fn poll_receive(&mut self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<Received>> {
        if self.readiness.may_read() {
            match self.receive_now(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // A read ends where the kind of the records changes: that it was short does not say that nothing is left.
                result => return Poll::Ready(result),
            }
        }
        self.readiness.wait_to_read(context.waker())?;
        Poll::Pending
    }

    fn receive_now(&mut self, buffer: &mut [u8]) -> io::Result<Received> {
        let result = retried(|| receive(self.socket.as_raw_fd(), buffer));
        if result.as_ref().is_err_and(|error| error.kind() != io::ErrorKind::WouldBlock) {
            // What is wrong with a record is told again by the next call, and the peer is still to be sent why.
            let _ = self.socket.take_error();
        }
        result
    }

    fn poll_send(&mut self, context: &mut Context<'_>, kind: u8, content: &[u8]) -> Poll<io::Result<usize>> {
        match retried(|| send(self.socket.as_raw_fd(), kind, content)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            result => return Poll::Ready(result),
        }
        self.readiness.wait_to_write(context.waker())?;
        Poll::Pending
    }
}

/// What the kernel can do of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelTls {
    /// What it seals and opens.
    pub offered: Offered,
    /// Whether it takes new keys for a connection that has some (Linux 6.14), which TLS 1.3 calls KeyUpdate.
    pub renews: bool,
}

/// Finds out what the kernel can do of TLS, by having it done: on connections with ourselves over the loopback. Blocks, though not
/// for long. The error says why there is nothing.
pub fn kernel_tls() -> io::Result<KernelTls> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let mut found = KernelTls { offered: Offered::default(), renews: false };
    let mut why = None;
    for version in TlsVersion::ALL {
        for aead in Aead::ALL {
            match attempt(&listener, version, aead) {
                Ok(renews) => {
                    found.offered.insert(version, aead);
                    found.renews |= renews;
                }
                Err(error) => why = why.or(Some(error)),
            }
        }
    }
    match why {
        Some(error) if found.offered.is_empty() => Err(error),
        _ => Ok(found),
    }
}

/// Gives both directions keys, and says whether they can be given others.
fn attempt(listener: &TcpListener, version: TlsVersion, aead: Aead) -> io::Result<bool> {
    let connection = StdStream::connect(listener.local_addr()?)?;
    let _peer = listener.accept()?;
    let socket = connection.as_raw_fd();
    let keys = |octet: u8| {
        Keys::new(version, aead, &vec![octet; aead.key_octets()], &[octet; 12], 0).ok_or(io::ErrorKind::InvalidInput)
    };
    prepare(socket)?;
    for direction in [Direction::Send, Direction::Receive] {
        use_keys(socket, direction, &keys(1)?)?;
    }
    let renewed =
        [Direction::Send, Direction::Receive].map(|direction| use_keys(socket, direction, &keys(2).ok()?).ok());
    Ok(renewed.iter().all(Option::is_some))
}

#[cfg(test)]
mod tests;
