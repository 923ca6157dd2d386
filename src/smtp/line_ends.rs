//! Where CR and LF stand: what most of the work on a message's content is spent on, so sixty-four octets are looked at in one go.

/// Octets that are looked at together.
const BLOCK: usize = 64;

/// The places of CR and LF in octets, asked for from front to back.
#[derive(Debug)]
pub struct LineEnds<'a> {
    octets: &'a [u8],
    /// Where the block begins that was looked at last.
    block: usize,
    /// Which of its octets are CR or LF.
    bits: u64,
}

impl<'a> LineEnds<'a> {
    /// In these octets.
    pub fn of(octets: &'a [u8]) -> LineEnds<'a> {
        let mut ends = LineEnds { octets, block: 0, bits: 0 };
        ends.look();
        ends
    }

    /// The first one at `from` or behind it; `from` never goes back.
    #[inline]
    pub fn next_from(&mut self, from: usize) -> Option<usize> {
        loop {
            let before = from.saturating_sub(self.block);
            let ahead = if before < BLOCK { self.bits >> before << before } else { 0 };
            if ahead != 0 {
                return Some(self.block + ahead.trailing_zeros() as usize);
            }
            self.block += BLOCK;
            if self.block >= self.octets.len() {
                self.bits = 0;
                return None;
            }
            self.look();
        }
    }

    fn look(&mut self) {
        let rest = self.octets.get(self.block..).unwrap_or_default();
        self.bits = match rest.first_chunk() {
            Some(block) => line_ends(block),
            None => {
                let mut block = [0; BLOCK];
                block[..rest.len()].copy_from_slice(rest);
                line_ends(&block)
            }
        };
    }
}

/// A bit for each octet that is CR or LF, the first in the lowest place.
#[cfg(target_arch = "x86_64")]
#[inline]
fn line_ends(block: &[u8; BLOCK]) -> u64 {
    use std::arch::x86_64::{_mm_cmpeq_epi8, _mm_loadu_si128, _mm_movemask_epi8, _mm_or_si128, _mm_set1_epi8};

    let mut bits = 0;
    for (place, octets) in block.as_chunks::<16>().0.iter().enumerate() {
        // SAFETY: every x86-64 has these instructions, and sixteen octets are read, at any address.
        let found = unsafe {
            let octets = _mm_loadu_si128(octets.as_ptr().cast());
            let cr = _mm_cmpeq_epi8(octets, _mm_set1_epi8(b'\r' as i8));
            let lf = _mm_cmpeq_epi8(octets, _mm_set1_epi8(b'\n' as i8));
            _mm_movemask_epi8(_mm_or_si128(cr, lf))
        };
        bits |= u64::from(found as u16) << (16 * place);
    }
    bits
}

/// The same, octet by octet.
#[cfg(any(not(target_arch = "x86_64"), test))]
fn line_ends_naively(block: &[u8; BLOCK]) -> u64 {
    let is_end = |octet: u8| octet == b'\r' || octet == b'\n';
    block.iter().rev().fold(0, |bits, octet| bits << 1 | u64::from(is_end(*octet)))
}

#[cfg(not(target_arch = "x86_64"))]
use line_ends_naively as line_ends;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn blocks_agree_with_the_naive_twin(block in prop::array::uniform32("[\r\na\u{e9}.]")) {
            let octets: Vec<u8> = block.concat().into_bytes();
            let mut whole = [b'x'; BLOCK];
            let length = octets.len().min(BLOCK);
            whole[..length].copy_from_slice(&octets[..length]);
            prop_assert_eq!(line_ends(&whole), line_ends_naively(&whole));
        }

        #[test]
        fn every_place_is_found_once_and_in_order(octets in prop::collection::vec(prop::sample::select(b"\r\naaaaaaaaaaaaaaaaaaaaaaaa".to_vec()), 0..300), step in 1usize..70) {
            let mut ends = LineEnds::of(&octets);
            let mut from = 0;
            while from <= octets.len() {
                let naive = (from..octets.len()).find(|place| matches!(octets[*place], b'\r' | b'\n'));
                prop_assert_eq!(ends.next_from(from), naive, "from {}", from);
                from += step;
            }
            prop_assert_eq!(ends.next_from(octets.len()), None);
        }
    }
}
