//! Where CR and LF stand: what most of the work on a message's content is spent on, so sixty-four octets are looked at in one go.

/// Octets that are looked at together.
pub const BLOCK: usize = 64;

/// What stands where in a block: a bit for each octet, the first in the lowest place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marks {
    /// CR.
    pub cr: u64,
    /// LF.
    pub lf: u64,
    /// There is an octet above 127.
    pub eight_bit: bool,
}

impl Marks {
    /// Of the first [`BLOCK`] octets, or of all where there are fewer.
    #[inline]
    pub fn of(octets: &[u8]) -> Marks {
        match octets.first_chunk() {
            Some(block) => marks(block),
            None => marks(&padded(octets)),
        }
    }

    /// The same, for code that runs where there are registers of 32 octets.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    #[inline]
    pub(super) fn of_wide(octets: &[u8]) -> Marks {
        match octets.first_chunk() {
            Some(block) => marks_wide(block),
            None => marks_wide(&padded(octets)),
        }
    }
}

/// Fewer octets than a block, and zeros behind them.
fn padded(octets: &[u8]) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    block[..octets.len()].copy_from_slice(octets);
    block
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn marks(block: &[u8; BLOCK]) -> Marks {
    use std::arch::x86_64::{_mm_cmpeq_epi8, _mm_loadu_si128, _mm_movemask_epi8, _mm_or_si128, _mm_set1_epi8};

    let (mut cr, mut lf) = (0, 0);
    // SAFETY: every x86-64 has these instructions, and sixteen octets are read, at any address.
    unsafe {
        let places = |found| u64::from(_mm_movemask_epi8(found) as u16);
        let mut any = _mm_set1_epi8(0);
        for (place, octets) in block.as_chunks::<16>().0.iter().enumerate() {
            let octets = _mm_loadu_si128(octets.as_ptr().cast());
            cr |= places(_mm_cmpeq_epi8(octets, _mm_set1_epi8(b'\r' as i8))) << (16 * place);
            lf |= places(_mm_cmpeq_epi8(octets, _mm_set1_epi8(b'\n' as i8))) << (16 * place);
            any = _mm_or_si128(any, octets);
        }
        Marks { cr, lf, eight_bit: places(any) != 0 }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
#[inline]
fn marks_wide(block: &[u8; BLOCK]) -> Marks {
    use std::arch::x86_64::{
        _mm256_cmpeq_epi8, _mm256_loadu_si256, _mm256_movemask_epi8, _mm256_or_si256, _mm256_set1_epi8,
    };

    let (front, behind) = block.split_at(BLOCK / 2);
    // SAFETY: 32 octets are read from each half, at any address.
    let (front, behind) =
        unsafe { (_mm256_loadu_si256(front.as_ptr().cast()), _mm256_loadu_si256(behind.as_ptr().cast())) };
    let places = |found| u64::from(_mm256_movemask_epi8(found) as u32);
    let of = |octet: u8| {
        let wanted = _mm256_set1_epi8(octet as i8);
        places(_mm256_cmpeq_epi8(front, wanted)) | places(_mm256_cmpeq_epi8(behind, wanted)) << (BLOCK / 2)
    };
    Marks { cr: of(b'\r'), lf: of(b'\n'), eight_bit: places(_mm256_or_si256(front, behind)) != 0 }
}

/// The same, octet by octet.
#[cfg(any(not(target_arch = "x86_64"), test))]
fn marks_naively(block: &[u8; BLOCK]) -> Marks {
    let places = |wanted| block.iter().rev().fold(0, |bits, octet| bits << 1 | u64::from(*octet == wanted));
    Marks { cr: places(b'\r'), lf: places(b'\n'), eight_bit: !block.is_ascii() }
}

#[cfg(not(target_arch = "x86_64"))]
use marks_naively as marks;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn marks_agree_with_the_naive_twin(
            octets in prop::collection::vec(prop::sample::select(b"\r\n\r\naaaa.\0\x7f\x8a\x8d\xff".to_vec()), 0..2 * BLOCK),
        ) {
            let mut block = [0; BLOCK];
            let length = octets.len().min(BLOCK);
            block[..length].copy_from_slice(&octets[..length]);
            prop_assert_eq!(Marks::of(&octets), marks_naively(&block));
            #[cfg(target_arch = "x86_64")]
            if is_x86_feature_detected!("avx2") {
                // SAFETY: the processor has it.
                prop_assert_eq!(unsafe { Marks::of_wide(&octets) }, marks_naively(&block));
            }
        }

        #[test]
        fn an_octet_is_found_wherever_it_stands(place in 0..BLOCK, octet in any::<u8>()) {
            let mut block = [b'a'; BLOCK];
            block[place] = octet;
            let bit = |is: bool| u64::from(is) << place;
            let expected = Marks { cr: bit(octet == b'\r'), lf: bit(octet == b'\n'), eight_bit: octet > 127 };
            prop_assert_eq!(Marks::of(&block), expected);
        }
    }
}
