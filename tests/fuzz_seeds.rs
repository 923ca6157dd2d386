//! What the fuzz targets of the spool begin with, replayed: whole segments, and what is left of them.

use std::fs;
use std::path::Path;

use ringpost::spool::record::Key;
use ringpost::spool::recovery::{Recovery, incarnation};

/// That of the fuzz targets.
const KEY: Key = Key(0);

/// Reads octets as segments of several incarnations, one after the other.
fn replay(octets: &[u8]) -> (u64, usize) {
    let _ = incarnation(KEY, octets);
    let mut recovery = Recovery::new(KEY);
    for epoch in 1..4 {
        for range in recovery.read_segment(epoch, octets, octets.len() as u32) {
            assert!(range.start < range.end && range.end <= octets.len(), "{range:?} of {}", octets.len());
        }
    }
    let found = recovery.finish();
    let messages = found.survivors.len() + found.doubtful.len();
    assert!(messages as u64 <= found.records);
    (found.records, messages)
}

#[test]
fn the_seeds_are_read_without_harm_whole_cut_and_changed() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds/records");
    let mut seeds: Vec<_> = fs::read_dir(directory).expect("the seeds").flatten().map(|entry| entry.path()).collect();
    seeds.sort();
    assert!(seeds.len() >= 5);
    let mut records = 0;
    for seed in seeds {
        let octets = fs::read(&seed).expect("it is there");
        let (whole, _) = replay(&octets);
        records += whole;
        let mut changed = octets.clone();
        for at in (0..octets.len()).step_by(7) {
            changed[at] ^= 0x41;
            if at % 77 == 0 {
                replay(&changed);
            }
            changed[at] ^= 0x41;
        }
        for length in (0..octets.len()).step_by(97) {
            replay(&octets[..length]);
        }
    }
    assert!(records >= 8, "the seeds hold {records} whole records: are they of an older form?");
}
