//! Buffers to receive into, shared by all connections of a core: an idle connection holds none.

use std::cell::RefCell;

/// Octets of a buffer.
pub const OCTETS: usize = 16 * 1024;

/// Buffers that are kept for the next connection.
const KEPT: usize = 256;

/// The buffers of one core.
#[derive(Debug, Default)]
pub struct Buffers(RefCell<Vec<Box<[u8]>>>);

impl Buffers {
    /// A buffer; what is in it means nothing.
    pub fn take(&self) -> Box<[u8]> {
        self.0.borrow_mut().pop().unwrap_or_else(|| vec![0; OCTETS].into_boxed_slice())
    }

    /// Gives a buffer back.
    pub fn give(&self, buffer: Box<[u8]>) {
        let mut kept = self.0.borrow_mut();
        if kept.len() < KEPT {
            kept.push(buffer);
        }
    }
}
