//! An allocator that counts what it is asked for.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Blocks asked for, and their octets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allocations {
    /// How often memory was asked for; growing in place counts.
    pub blocks: u64,
    /// How much was asked for.
    pub octets: u64,
}

/// The system's allocator, counted. A program that wants to count makes it its global one.
pub struct Counting {
    blocks: AtomicU64,
    octets: AtomicU64,
}

impl Counting {
    /// With nothing counted.
    pub const fn new() -> Counting {
        Counting { blocks: AtomicU64::new(0), octets: AtomicU64::new(0) }
    }

    /// What was counted so far.
    pub fn so_far(&self) -> Allocations {
        Allocations { blocks: self.blocks.load(Relaxed), octets: self.octets.load(Relaxed) }
    }

    fn count(&self, octets: usize) {
        self.blocks.fetch_add(1, Relaxed);
        self.octets.fetch_add(octets as u64, Relaxed);
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
        self.count(layout.size());
        // SAFETY: the caller keeps to the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        self.count(layout.size());
        // SAFETY: the caller keeps to the contract of `alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        self.count(size);
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
        assert_eq!(counting.so_far(), Allocations { blocks: 2, octets: 400 });
    }
}
