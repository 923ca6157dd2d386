//! What a session is about to send: at most one content, with commands before and behind it, in one write.

use crate::content::{Content, Piece};
use std::io::{self, IoSlice, Write};
use std::ops::Range;

/// Octets waiting to be sent. Its buffers are used again and again.
#[derive(Debug, Default)]
pub struct Outgoing {
    head: Vec<u8>,
    middle: Range<usize>,
    tail: Vec<u8>,
    sent: usize,
    content_end: Option<usize>,
}

impl Outgoing {
    /// Whether everything has been handed to the kernel.
    pub fn is_empty(&self) -> bool {
        self.head.is_empty()
    }

    /// Adds a command.
    pub fn command(&mut self, command: &[u8]) {
        let has_content = self.content_end.is_some();
        let buffer = if has_content { &mut self.tail } else { &mut self.head };
        buffer.extend_from_slice(command);
    }

    /// Adds the content of message `seq` and `end`, its final dot if it needs one.
    pub fn content(&mut self, content: &Content, seq: u64, end: &[u8]) -> Piece {
        let piece = content.write(seq, &mut self.head, &mut self.tail);
        self.middle = piece.middle.clone();
        self.tail.extend_from_slice(end);
        self.content_end = Some(self.len());
        piece
    }

    /// Sends as much as the stream takes. True if this handed over the last octet of the content.
    pub fn write_to(&mut self, stream: &mut impl Write, pool: &[u8]) -> io::Result<bool> {
        let before = self.sent;
        while self.sent < self.len() {
            match self.write_once(stream, pool) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => self.sent += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let ended = self.content_end.is_some_and(|end| before < end && end <= self.sent);
        if self.sent == self.len() {
            self.clear();
        }
        Ok(ended)
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.head.clear();
        self.middle = 0..0;
        self.tail.clear();
        self.sent = 0;
        self.content_end = None;
    }

    fn write_once(&self, stream: &mut impl Write, pool: &[u8]) -> io::Result<usize> {
        if self.content_end.is_none() {
            return stream.write(&self.head[self.sent..]);
        }
        let mut slices = [&self.head[..], &pool[self.middle.clone()], &self.tail[..]].map(IoSlice::new);
        let mut rest = &mut slices[..];
        IoSlice::advance_slices(&mut rest, self.sent);
        stream.write_vectored(rest)
    }

    fn len(&self) -> usize {
        self.head.len() + self.middle.len() + self.tail.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::Framing;

    /// Takes a few octets a write, and every other time none.
    struct Narrow {
        taken: Vec<u8>,
        step: usize,
        open: bool,
    }

    impl Write for Narrow {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            self.open = !self.open;
            if !self.open {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let taken = octets.len().min(self.step);
            self.taken.extend_from_slice(&octets[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn sends_the_same_however_narrow_the_stream_is() {
        let content = Content::prepare(1, "me@here", &["you@there".into()], &[1000], Framing::Data).unwrap();
        let mut whole = None;
        for step in [1, 7, 100, 5000] {
            let (mut outgoing, mut stream) = (Outgoing::default(), Narrow { taken: Vec::new(), step, open: false });
            outgoing.content(&content, 5, b".\r\n");
            outgoing.command(b"QUIT\r\n");
            let mut ended = Vec::new();
            while !outgoing.is_empty() {
                if outgoing.write_to(&mut stream, content.pool()).unwrap() {
                    ended.push(stream.taken.len());
                }
            }
            let length = stream.taken.len();
            assert!(
                ended.len() == 1 && ended[0] >= length - b"QUIT\r\n".len(),
                "the end of content is told once: {ended:?}"
            );
            assert!(stream.taken.ends_with(b".\r\nQUIT\r\n"));
            assert_eq!(whole.get_or_insert(stream.taken.clone()), &stream.taken, "step {step}");
        }
    }
}
