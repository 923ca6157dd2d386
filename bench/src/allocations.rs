//! An allocator that counts what it is asked for.

use crate::tally::Tally;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicPtr, Ordering};

/// The system's allocator, counted. A program that wants to count makes it its global one.
pub struct Counting {
    own: Tally,
    shared: AtomicPtr<Tally>,
}

impl Counting {
    /// With nothing counted.
    pub const fn new() -> Counting {
        Counting { own: Tally::new(), shared: AtomicPtr::new(std::ptr::null_mut()) }
    }

    /// Counts in a tally that others can read, from now on.
    pub fn count_in(&self, tally: &'static Tally) {
        self.shared.store(std::ptr::from_ref(tally).cast_mut(), Ordering::Release);
    }

    /// Where it counts.
    pub fn tally(&self) -> &Tally {
        let shared = self.shared.load(Ordering::Acquire);
        // SAFETY: it is null, or came from a reference that is valid for ever.
        unsafe { shared.as_ref() }.unwrap_or(&self.own)
    }
}

impl Default for Counting {
    fn default() -> Counting {
        Counting::new()
    }
}

// SAFETY: every call is handed to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.tally().allocated(layout.size());
        // SAFETY: the caller keeps to the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        self.tally().allocated(layout.size());
        // SAFETY: the caller keeps to the contract of `alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        self.tally().allocated(size);
        // SAFETY: the caller keeps to the contract of `realloc`.
        unsafe { System.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps to the contract of `dealloc`.
        unsafe { System.dealloc(block, layout) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_is_asked_for() {
        let counting = Counting::new();
        let layout = Layout::from_size_align(100, 8).expect("a layout");
        let grown = Layout::from_size_align(300, 8).expect("a layout");
        // SAFETY: the layouts are of some size, and the block is grown and given back with the one it has.
        unsafe {
            let block = counting.alloc(layout);
            let block = counting.realloc(block, layout, grown.size());
            counting.dealloc(block, grown);
        }
        let read = counting.tally().read();
        assert_eq!((read.blocks, read.octets), (2, 400));
    }
}
