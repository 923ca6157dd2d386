//! Whatever a log's segments hold, recovery ends, and finds no more messages than there are records.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringpost::spool::recovery::Recovery;

#[path = "../segments.rs"]
mod segments;
use segments::{KEY, segments};

fuzz_target!(|input: &[u8]| {
    let mut recovery = Recovery::new(KEY);
    for (epoch, sealed, octets) in segments(input) {
        for range in recovery.read_segment(epoch, &octets, sealed) {
            assert!(range.start < range.end && range.end <= octets.len(), "{range:?} of {}", octets.len());
        }
    }
    let found = recovery.finish();
    assert!((found.survivors.len() + found.doubtful.len()) as u64 <= found.records);
    for survivor in found.survivors.iter().chain(&found.doubtful) {
        assert!(!survivor.progress.is_finished());
        let pending = survivor.progress.pending();
        assert!(pending.len() <= survivor.progress.recipients() as usize);
    }
});
