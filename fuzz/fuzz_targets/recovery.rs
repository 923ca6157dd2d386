//! Whatever a log's segments hold, recovery ends, and finds no more messages than there are records.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringpost::spool::recovery::Recovery;

#[path = "../segments.rs"]
mod segments;
use segments::{KEY, segments};

fuzz_target!(|input: &[u8]| {
    let mut recovery = Recovery::new(KEY);
    let mut messages = Vec::new();
    for (epoch, sealed, octets) in segments(input).into_iter().rev() {
        let found = recovery.read_segment(epoch, &octets, sealed);
        for range in &found.damage {
            assert!(range.start < range.end && range.end <= octets.len(), "{range:?} of {}", octets.len());
        }
        messages.extend(found.survivors.into_iter().chain(found.lacking));
    }
    messages.extend(recovery.lacking());
    assert!(messages.len() as u64 <= recovery.records());
    for survivor in messages {
        assert!(!survivor.progress.is_finished());
        let pending = survivor.progress.pending();
        assert!(pending.len() <= survivor.progress.recipients() as usize);
    }
});
