//! CRC32C (RFC 3720 appendix B.4), which records and headers are held against.

use crc_fast::{CrcAlgorithm, Digest, crc32_iscsi};

/// The checksum of these octets.
pub fn of(octets: &[u8]) -> u32 {
    crc32_iscsi(octets)
}

/// The checksum of what had `checksum`, and of these octets behind it.
pub fn append(checksum: u32, octets: &[u8]) -> u32 {
    // It begins with all bits set, and all are turned over in the end.
    let mut digest = Digest::new_with_init_state(CrcAlgorithm::Crc32Iscsi, u64::from(!checksum));
    digest.update(octets);
    digest.finalize() as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Bit by bit.
    fn slowly(checksum: u32, octets: &[u8]) -> u32 {
        let step = |crc: u32, _| (crc >> 1) ^ (0x82F6_3B78 * (crc & 1));
        !octets.iter().fold(!checksum, |crc, octet| (0..8).fold(crc ^ u32::from(*octet), step))
    }

    proptest! {
        #[test]
        fn it_is_that_of_the_definition(
            octets in proptest::collection::vec(any::<u8>(), 0..3000),
            before: u32,
            cut: prop::sample::Index,
        ) {
            prop_assert_eq!(of(&octets), slowly(0, &octets));
            prop_assert_eq!(append(before, &octets), slowly(before, &octets));
            let (front, behind) = octets.split_at(cut.index(octets.len() + 1));
            prop_assert_eq!(append(of(front), behind), of(&octets));
        }
    }

    #[test]
    fn known_answers() {
        assert_eq!(of(b"123456789"), 0xE306_9283);
        assert_eq!(of(&[0; 32]), 0x8A91_36AA);
        assert_eq!(of(&[0xFF; 32]), 0x62A8_AB43);
        let long = vec![0x5A; 1 << 20];
        assert_eq!(of(&long), slowly(0, &long));
    }
}
