//! Memory that a disk can write from and read into without a copy.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ops::{Deref, DerefMut, Range};
use std::ptr::NonNull;
use std::rc::Rc;

/// Octets to which memory, offsets and lengths of direct disk operations are aligned.
pub const BLOCK: usize = 4096;

/// `length` rounded up to whole blocks.
pub const fn blocks(length: usize) -> usize {
    length.div_ceil(BLOCK) * BLOCK
}

/// A buffer of fixed size whose start and size are multiples of [`BLOCK`].
pub struct Aligned {
    start: NonNull<u8>,
    length: usize,
}

impl Aligned {
    /// A zeroed buffer of at least `length` octets (at least one block).
    pub fn zeroed(length: usize) -> Aligned {
        let length = blocks(length.max(1));
        let layout = Aligned::layout(length);
        // SAFETY: the layout's size is at least one block, so not zero.
        let start = unsafe { alloc_zeroed(layout) };
        Aligned { start: NonNull::new(start).unwrap_or_else(|| handle_alloc_error(layout)), length }
    }

    fn layout(length: usize) -> Layout {
        Layout::from_size_align(length, BLOCK).expect("a buffer's size fits the address space")
    }
}

impl Drop for Aligned {
    fn drop(&mut self) {
        // SAFETY: `start` came from the allocator with this very layout and is freed once.
        unsafe { dealloc(self.start.as_ptr(), Aligned::layout(self.length)) }
    }
}

impl Deref for Aligned {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `length` octets from `start` are ours and were initialised with zeros.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }
}

impl DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`, and `&mut self` makes the access exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.length) }
    }
}

/// One of several parts that are written one behind the other.
#[derive(Clone, Debug)]
pub enum Part {
    /// So much of the buffer that the write was given.
    Buffer(Range<usize>),
    /// So many octets at the front of other memory, which nobody changes meanwhile.
    Piece(Rc<Aligned>, usize),
}

impl Part {
    /// Its octets; those of `buffer` where it is of the buffer.
    pub fn octets<'a>(&'a self, buffer: &'a Aligned) -> &'a [u8] {
        match self {
            Part::Buffer(range) => &buffer[range.clone()],
            Part::Piece(piece, end) => &piece[..*end],
        }
    }
}

impl std::fmt::Debug for Aligned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Aligned({} octets)", self.length)
    }
}
