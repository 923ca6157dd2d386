//! Records of the spool: built, written into a batch, and found again after a crash.

use super::content::{envelope, message};
use super::{Case, Prepared};
use ringpost::mail::Content;
use ringpost::spool::group_commit::GroupCommit;
use ringpost::spool::record::{Draft, Key, Kind};
use ringpost::spool::recovery::Recovery;
use ringpost::spool::segment::SEGMENT_HEADER;
use std::hint::black_box;

pub(super) const CASES: &[Case] = &[
    Case { name: "record of 4 KiB, built", prepare: |size| built(size.pick(4 << 10, 200)) },
    Case { name: "record of 4 KiB, built and batched", prepare: |size| batched(size.pick(4 << 10, 200)) },
    Case { name: "record of 256 KiB, built and batched", prepare: |size| batched(size.pick(250 << 10, 5000)) },
    Case {
        name: "recovery of records of 4 KiB",
        prepare: |size| recovered(size.pick(4 << 10, 200), size.pick(2000, 5)),
    },
    Case {
        name: "recovery of records of 256 KiB",
        prepare: |size| recovered(size.pick(250 << 10, 5000), size.pick(64, 3)),
    },
];

const KEY: Key = Key(0x0123_4567_89AB_CDEF);

fn draft(number: u64, content: &[u8], buffer: Vec<u8>) -> Draft {
    let mut draft = Draft::message(&envelope(number), &[], buffer);
    draft.push(content);
    draft.set_findings(&Content { octets: content.len() as u64, ..Content::default() });
    draft
}

fn built(octets: usize) -> Prepared {
    let content = message(octets);
    let (octets, expected) = (content.len() as u64, draft(1, &content, Vec::new()).stride() as u64);
    let mut buffer = Vec::with_capacity(2 * content.len() + 4096);
    let run = Box::new(move || {
        let draft = draft(1, black_box(&content), std::mem::take(&mut buffer));
        let stride = draft.stride() as u64;
        buffer = draft.into_buffer();
        stride
    });
    Prepared { octets, run, expected }
}

fn batched(octets: usize) -> Prepared {
    let content = message(octets);
    let expected = draft(1, &content, Vec::new()).stride().next_multiple_of(4096) as u64;
    let octets = content.len() as u64;
    let mut group = GroupCommit::new(KEY, 1 << 30);
    let mut buffer = Vec::with_capacity(2 * content.len() + 4096);
    let mut epoch = 0;
    let run = Box::new(move || {
        if group.room() < 4 << 20 {
            epoch += 1;
            group.begin_segment(epoch, epoch);
            group.header_ended(epoch);
        }
        let draft = draft(1, black_box(&content), std::mem::take(&mut buffer));
        let placed = group.place(&draft, Kind::Message).is_ok();
        buffer = draft.into_buffer();
        let mut written = 0;
        if placed && let Some(write) = group.leave() {
            written = write.range.len() as u64;
            group.returned(write.buffer);
        }
        written
    });
    Prepared { octets, run, expected }
}

fn recovered(octets: usize, records: u64) -> Prepared {
    let content = message(octets);
    let mut segment = vec![0; SEGMENT_HEADER];
    for number in 1..=records {
        let (draft, start) = (draft(number, &content, Vec::new()), segment.len());
        segment.resize(start + draft.stride(), 0);
        draft.write(KEY, Kind::Message, 1, SEGMENT_HEADER as u32, &mut segment[start..]);
    }
    let octets = segment.len() as u64;
    let run = Box::new(move || {
        let mut recovery = Recovery::new(KEY);
        let found = recovery.read_segment(1, black_box(&segment), 0);
        let wrong = found.damage.len() + found.lacking.len() + recovery.lacking().len();
        found.survivors.len() as u64 + 1_000_000 * wrong as u64
    });
    Prepared { octets, run, expected: records }
}
