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

/// Replays what is kept for a target, each in so many forms; records and messages in them as they are.
fn replay_all(target: &str, forms: usize) -> (u64, usize) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    let mut seeds: Vec<_> = fs::read_dir(directory).expect("the seeds").flatten().map(|entry| entry.path()).collect();
    seeds.sort();
    assert!(seeds.len() >= 5);
    let (mut records, mut messages) = (0, 0);
    for seed in seeds {
        let octets = fs::read(&seed).expect("it is there");
        let found = replay(&octets);
        (records, messages) = (records + found.0, messages + found.1);
        let step = octets.len() / forms + 1;
        let mut changed = octets.clone();
        for at in (0..octets.len()).step_by(step) {
            changed[at] ^= 0x41;
            replay(&changed);
            changed[at] ^= 0x41;
            replay(&octets[..at]);
        }
    }
    (records, messages)
}

#[test]
fn the_seeds_of_records_are_read_without_harm_whole_cut_and_changed() {
    let (records, messages) = replay_all("records", 20);
    assert!(records >= 20 && messages >= 2, "{records} records, {messages} messages: are they of an older form?");
}

#[test]
fn the_seeds_of_recovery_are_read_without_harm_whole_cut_and_changed() {
    let (records, messages) = replay_all("recovery", 20);
    assert!(records >= 20 && messages >= 2, "{records} records, {messages} messages: are they of an older form?");
}
