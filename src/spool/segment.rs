//! Segments: files of fixed size that are written from front to back, then recycled as a whole.

use std::path::{Path, PathBuf};

use crate::io::aligned::BLOCK;

/// Octets at the start of a segment that say which incarnation it is; records follow.
pub const SEGMENT_HEADER: usize = BLOCK;

const MAGIC: &[u8; 8] = b"RINGSEG1";

/// Writes the header of incarnation `epoch` over the first block of `place`.
pub fn encode_header(epoch: u64, place: &mut [u8]) {
    place[..SEGMENT_HEADER].fill(0);
    place[..8].copy_from_slice(MAGIC);
    place[8..16].copy_from_slice(&epoch.to_le_bytes());
    let checksum = crc32c::crc32c(&place[..16]);
    place[16..20].copy_from_slice(&checksum.to_le_bytes());
}

/// The incarnation that a segment's first block names; `None` where it names none, as in one that was never used.
pub fn decode_header(block: &[u8]) -> Option<u64> {
    let stated = u32::from_le_bytes(block.get(16..20)?.try_into().ok()?);
    let epoch = u64::from_le_bytes(block[8..16].try_into().ok()?);
    (&block[..8] == MAGIC && crc32c::crc32c(&block[..16]) == stated).then_some(epoch)
}

/// The file of segment number `slot` in a log's directory.
pub fn path(directory: &Path, slot: u32) -> PathBuf {
    directory.join(format!("segment-{slot:06}"))
}

/// The number of the segment whose file has this name.
pub fn slot(name: &str) -> Option<u32> {
    name.strip_prefix("segment-")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_reads_back_and_a_blank_one_is_none() {
        let mut block = vec![7; BLOCK];
        assert_eq!(decode_header(&block), None);
        encode_header(42, &mut block);
        assert_eq!(decode_header(&block), Some(42));
        block[9] ^= 1;
        assert_eq!(decode_header(&block), None);
        assert_eq!(decode_header(&[0; BLOCK]), None);
        assert_eq!(slot("segment-000012"), Some(12));
        assert_eq!(slot("segment-000012.new"), None);
    }
}
