//! Segments: files of fixed size that are written from front to back, then recycled as a whole.

use std::path::{Path, PathBuf};

use super::checksum;
use super::record::Key;
use crate::io::aligned::BLOCK;
use crate::mail::MessageId;

/// Octets at the start of a segment that say which incarnation it is; records follow.
pub const SEGMENT_HEADER: usize = BLOCK;

const MAGIC: &[u8; 8] = b"RINGSEG1";

/// What a segment says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Which incarnation it is.
    pub epoch: u64,
    /// Octets of the incarnation before this one that are on stable storage if any record of this one is: the last of them may
    /// have been on their way when this one began. 0 where an earlier run wrote them, so that their end is not known.
    pub sealed: u32,
    /// The log's secret.
    pub key: Key,
    /// What was known of all before it, where whoever wrote it knew.
    pub before: Option<Before>,
}

/// What a segment says of all that was written before it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Before {
    /// The newest id of any record: so whoever has read the newest segment knows the newest id of all.
    pub newest: MessageId,
    /// The oldest incarnation in which anything was needed: those before it are free, whatever they hold.
    pub oldest: u64,
}

/// Writes a header over the first block of `place`.
pub fn encode_header(header: SegmentHeader, place: &mut [u8]) {
    place[..SEGMENT_HEADER].fill(0);
    place[..8].copy_from_slice(MAGIC);
    place[8..16].copy_from_slice(&header.epoch.to_le_bytes());
    place[16..20].copy_from_slice(&header.sealed.to_le_bytes());
    place[20..28].copy_from_slice(&header.key.0.to_le_bytes());
    let checksum = checksum::of(&place[..28]);
    place[28..32].copy_from_slice(&checksum.to_le_bytes());
    if let Some(Before { newest, oldest }) = header.before {
        place[32..40].copy_from_slice(&newest.0.to_le_bytes());
        place[40..48].copy_from_slice(&oldest.to_le_bytes());
        let checksum = checksum::of(&place[..48]);
        place[48..52].copy_from_slice(&checksum.to_le_bytes());
    }
}

/// Reads a segment's first block; `None` where no whole header stands, as in one that was never used.
pub fn decode_header(block: &[u8]) -> Option<SegmentHeader> {
    let stated = u32::from_le_bytes(block.get(28..32)?.try_into().ok()?);
    let epoch = u64::from_le_bytes(block[8..16].try_into().ok()?);
    let sealed = u32::from_le_bytes(block[16..20].try_into().ok()?);
    let key = Key(u64::from_le_bytes(block[20..28].try_into().ok()?));
    let before = block.get(32..52).and_then(|rest| {
        let number = |at: usize| Some(u64::from_le_bytes(rest.get(at..at + 8)?.try_into().ok()?));
        let stated = u32::from_le_bytes(rest[16..].try_into().ok()?);
        let before = Before { newest: MessageId(number(0)?), oldest: number(8)? };
        (checksum::of(&block[..48]) == stated).then_some(before)
    });
    (&block[..8] == MAGIC && checksum::of(&block[..28]) == stated).then_some(SegmentHeader {
        epoch,
        sealed,
        key,
        before,
    })
}

/// The file of segment number `slot` in a log's directory.
pub fn path(directory: &Path, slot: u32) -> PathBuf {
    directory.join(format!("segment-{slot:06}"))
}

/// The number of the segment whose file has this name.
pub fn slot(name: &str) -> Option<u32> {
    let slot = name.strip_prefix("segment-")?.parse().ok()?;
    // Another way to write the same number would be another file for the same segment.
    (name == format!("segment-{slot:06}")).then_some(slot)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_reads_back_and_a_blank_one_is_none() {
        let mut block = vec![7; BLOCK];
        assert_eq!(decode_header(&block), None);
        let header = SegmentHeader {
            epoch: 42,
            sealed: 8192,
            key: Key(7),
            before: Some(Before { newest: MessageId(900), oldest: 40 }),
        };
        encode_header(header, &mut block);
        assert_eq!(decode_header(&block), Some(header));
        block[40] ^= 1;
        assert_eq!(decode_header(&block), Some(SegmentHeader { before: None, ..header }));
        block[9] ^= 1;
        assert_eq!(decode_header(&block), None);
        assert_eq!(decode_header(&[0; BLOCK]), None);
        assert_eq!(slot("segment-000012"), Some(12));
        assert_eq!(slot("segment-000012.new"), None);
    }
}
