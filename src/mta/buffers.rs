//! Buffers to receive into and to reply from, shared by all connections of a core: an idle connection holds none.

use std::cell::RefCell;

/// Octets of a buffer to receive into.
pub const OCTETS: usize = 16 * 1024;

/// How many of these are kept for the next connection.
const KEPT: usize = 256;

/// Texts that are kept, and octets above which one is not.
const TEXTS: usize = 256;
const TEXT_OCTETS: usize = 4096;

/// The buffers of one core.
#[derive(Debug, Default)]
pub struct Buffers {
    received: RefCell<Vec<Box<[u8]>>>,
    texts: RefCell<Vec<Vec<u8>>>,
}

impl Buffers {
    /// A buffer to receive into; what is in it means nothing.
    pub fn take(&self) -> Box<[u8]> {
        self.received.borrow_mut().pop().unwrap_or_else(|| vec![0; OCTETS].into_boxed_slice())
    }

    /// A buffer with these octets at its front.
    pub fn take_with(&self, octets: &[u8]) -> Box<[u8]> {
        if octets.len() > OCTETS {
            return octets.into();
        }
        let mut buffer = self.take();
        buffer[..octets.len()].copy_from_slice(octets);
        buffer
    }

    /// Gives it back.
    pub fn give(&self, buffer: Box<[u8]>) {
        let mut kept = self.received.borrow_mut();
        if kept.len() < KEPT && buffer.len() == OCTETS {
            kept.push(buffer);
        }
    }

    /// An empty buffer for replies or a header field.
    pub fn take_text(&self) -> Vec<u8> {
        self.texts.borrow_mut().pop().unwrap_or_default()
    }

    /// Gives it back.
    pub fn give_text(&self, mut text: Vec<u8>) {
        let mut kept = self.texts.borrow_mut();
        if kept.len() < TEXTS && (1..=TEXT_OCTETS).contains(&text.capacity()) {
            text.clear();
            kept.push(text);
        }
    }
}
