//! Whatever octets a segment has, recovery reads them, and what it gives up as damage lies within them.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringpost::spool::recovery::{Recovery, incarnation};

#[path = "../segments.rs"]
mod segments;
use segments::{KEY, segments};

fuzz_target!(|input: &[u8]| {
    for (epoch, sealed, octets) in segments(input) {
        let _ = incarnation(KEY, &octets);
        let mut recovery = Recovery::new(KEY);
        let found = recovery.read_segment(epoch, &octets, sealed);
        for range in &found.damage {
            assert!(range.start < range.end && range.end <= octets.len(), "{range:?} of {}", octets.len());
        }
        assert!((found.survivors.len() + found.lacking.len()) as u64 <= recovery.records());
    }
});
