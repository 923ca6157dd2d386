//! Whatever octets a segment has, recovery reads them, and what it gives up as damage lies within them.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringpost::spool::record::Key;
use ringpost::spool::recovery::{Recovery, incarnation};

/// All zeros, so that the fuzzer can find its way to whole records.
const KEY: Key = Key(0);

fuzz_target!(|input: (u64, u32, Vec<u8>)| {
    let (epoch, sealed, octets) = input;
    let _ = incarnation(KEY, &octets);
    let mut recovery = Recovery::new(KEY);
    for range in recovery.read_segment(epoch, &octets, sealed) {
        assert!(range.start < range.end && range.end <= octets.len(), "{range:?} of {}", octets.len());
    }
    let found = recovery.finish();
    assert!(found.survivors.len() as u64 <= found.records);
});
