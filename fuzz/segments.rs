//! A log's segments, made of what a fuzzer invents: included by the targets of the spool, and by the test that replays their seeds.

use ringpost::spool::record::Key;
use ringpost::spool::segment::{SEGMENT_HEADER, SegmentHeader, encode_header};

/// All zeros, so that the fuzzer can find its way to whole records.
pub const KEY: Key = Key(0);

/// Octets of a record's header, and where things stand in it (docs/SPOOL.md).
const RECORD_HEADER: usize = 48;

/// What each segment is: its epoch, how many octets of it were on stable storage, and all of it.
pub type Segments = Vec<(u64, u32, Vec<u8>)>;

/// The first octet says how many segments there are (two bits, less one) and whether the checksums of what looks like a record
/// are put right (four: no), without which next to nothing would get past them. Before each but the last segment stand its length in
/// units of 16 octets (two octets, the least significant first) and its sealed part in 255ths; before the last its sealed part.
pub fn segments(input: &[u8]) -> Segments {
    let Some((&how, mut rest)) = input.split_first() else { return Vec::new() };
    let count = u64::from(how & 3) + 1;
    let mut made = Vec::new();
    for epoch in 1..=count {
        let (length, sealed, tail) = match (epoch < count, rest) {
            (true, [low, high, sealed, tail @ ..]) => {
                (usize::from(u16::from_le_bytes([*low, *high])) * 16, *sealed, tail)
            }
            (false, [sealed, tail @ ..]) => (tail.len(), *sealed, tail),
            _ => break,
        };
        let (body, tail) = tail.split_at(length.min(tail.len()));
        rest = tail;
        let mut octets = vec![0; SEGMENT_HEADER];
        octets.extend_from_slice(body);
        let sealed = (octets.len() * usize::from(sealed) / 255) as u32;
        encode_header(SegmentHeader { epoch, sealed: 0, key: KEY, before: None }, &mut octets);
        if how & 4 == 0 {
            mend(epoch, &mut octets);
        }
        made.push((epoch, sealed, octets));
    }
    made
}

/// Puts epoch, secret and checksums right of all that begins and is long like a record, from the last to the first: a record
/// may hold others.
fn mend(epoch: u64, octets: &mut [u8]) {
    let last = octets.len().saturating_sub(RECORD_HEADER) / 16;
    for at in (SEGMENT_HEADER / 16..=last).rev().map(|block| block * 16) {
        let Some(header) = octets.get(at..at + RECORD_HEADER) else { continue };
        let length = u32::from_le_bytes([header[24], header[25], header[26], header[27]]) as usize;
        let whole = RECORD_HEADER..=octets.len() - at;
        if &header[..4] != b"RPR1" || !whole.contains(&length) {
            continue;
        }
        let payload = crc32c::crc32c(&octets[at + RECORD_HEADER..at + length]);
        let header = &mut octets[at..at + RECORD_HEADER];
        header[5..8].fill(0);
        header[8..16].copy_from_slice(&epoch.to_le_bytes());
        header[32..36].copy_from_slice(&payload.to_le_bytes());
        header[40..44].fill(0);
        let checksum = crc32c::crc32c(&header[..44]);
        header[44..].copy_from_slice(&checksum.to_le_bytes());
    }
}
