//! Whatever a log's segments hold, recovery ends, and finds no more messages than there are records.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringpost::spool::record::Key;
use ringpost::spool::recovery::Recovery;

fuzz_target!(|segments: Vec<(u32, Vec<u8>)>| {
    let mut recovery = Recovery::new(Key(0));
    for (epoch, (sealed, octets)) in segments.iter().enumerate() {
        for range in recovery.read_segment(epoch as u64 + 1, octets, *sealed) {
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
