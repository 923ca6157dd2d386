//! A server that speaks anything instead of TLS, or anything after its first words.

#![no_main]

use std::io;
use std::task::{Context, Poll, Waker};

use libfuzzer_sys::fuzz_target;
use ringpost::io::Stream;
use ringpost::io::tls::{ClientStream, ClientTls, ClientTlsConfig, Verification};

/// What the server says, by pieces, and then its end; it takes whatever is sent.
struct Server {
    says: Vec<u8>,
    said: usize,
    piece: usize,
}

impl Stream for Server {
    fn poll_read(&mut self, _: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(self.read_now(buffer)))
    }

    fn read_now(&mut self, buffer: &mut [u8]) -> usize {
        let rest = &self.says[self.said..];
        let octets = self.piece.min(buffer.len()).min(rest.len());
        buffer[..octets].copy_from_slice(&rest[..octets]);
        self.said += octets;
        octets
    }

    fn poll_write(&mut self, _: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(buffer.len()))
    }

    fn shutdown(&mut self) {}
}

fuzz_target!(|input: (u8, Vec<u8>)| {
    let (piece, says) = input;
    let config = ClientTlsConfig::new(&Verification::Nothing).expect("nobody has to be believed");
    let tls = ClientTls::new(&config, "mx.example.org").expect("a name");
    let server = Server { says, said: 0, piece: usize::from(piece).max(1) };
    let mut stream = ClientStream::client(server, &tls).expect("a client");
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..100_000 {
        match stream.poll_handshake(&mut context) {
            Poll::Ready(result) => {
                assert!(result.is_err(), "nobody can have said the right thing");
                return;
            }
            Poll::Pending => {}
        }
    }
    panic!("it never ends");
});
