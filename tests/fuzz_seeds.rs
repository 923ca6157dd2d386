//! What the fuzz targets of the spool have found worth keeping, replayed: as it is, changed, and what is left of it when it is cut.

use std::fs;
use std::path::Path;

use ringpost::spool::recovery::{Recovery, incarnation};

#[path = "../fuzz/segments.rs"]
mod segments;
use segments::{KEY, segments};

/// Reads what a fuzzer made as a log; records and messages in it.
fn replay(input: &[u8]) -> (u64, usize) {
    let mut recovery = Recovery::new(KEY);
    let mut messages = 0;
    for (epoch, sealed, octets) in segments(input).into_iter().rev() {
        let _ = incarnation(KEY, &octets);
        let found = recovery.read_segment(epoch, &octets, sealed);
        for range in &found.damage {
            assert!(range.start < range.end && range.end <= octets.len(), "{range:?} of {}", octets.len());
        }
        messages += found.survivors.len() + found.lacking.len();
    }
    messages += recovery.lacking().len();
    assert!(messages as u64 <= recovery.records());
    (recovery.records(), messages)
}

/// Each is changed and cut in so many places.
const FORMS: usize = 8;

#[test]
fn the_seeds_are_read_without_harm_whole_cut_and_changed() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds/segments");
    let mut seeds: Vec<_> = fs::read_dir(directory).expect("the seeds").flatten().map(|entry| entry.path()).collect();
    seeds.sort();
    let (mut records, mut messages) = (0, 0);
    for seed in &seeds {
        let octets = fs::read(seed).expect("it is there");
        let found = replay(&octets);
        (records, messages) = (records + found.0, messages + found.1);
        let step = octets.len() / FORMS + 1;
        let mut changed = octets.clone();
        for at in (0..octets.len()).step_by(step) {
            changed[at] ^= 0x41;
            replay(&changed);
            changed[at] ^= 0x41;
            replay(&octets[..at]);
        }
    }
    let count = seeds.len();
    assert!(
        count >= 400 && records >= 400 && messages >= 40,
        "{records} records, {messages} messages: are they of an older form?"
    );
}
