//! What a client has sent and nobody has used yet.

use super::buffers::Buffers;

/// Received octets. Holds a buffer only while there are some.
#[derive(Debug, Default)]
pub struct Input {
    buffer: Option<Box<[u8]>>,
    start: usize,
    end: usize,
}

impl Input {
    /// What is there.
    pub fn rest(&self) -> &[u8] {
        self.buffer.as_deref().and_then(|buffer| buffer.get(self.start..self.end)).unwrap_or_default()
    }

    /// The first `count` octets have been used.
    pub fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
    }

    /// Takes in the first `octets` of a buffer; only right when nothing is left.
    pub fn fill(&mut self, buffer: Box<[u8]>, octets: usize) {
        debug_assert!(self.rest().is_empty());
        (self.buffer, self.start, self.end) = (Some(buffer), 0, octets);
    }

    /// Gives the buffer back; only right when nothing is left.
    pub fn release(&mut self, to: &Buffers) {
        debug_assert!(self.rest().is_empty());
        if let Some(buffer) = self.buffer.take() {
            to.give(buffer);
        }
        (self.start, self.end) = (0, 0);
    }
}
