//! Content: finding its end, against the same octet by octet, against a copy, and against a checksum.

use super::content::message;
use super::{Case, Prepared};
use ringpost::mail::Content;
use ringpost::smtp::data::{BodyScanner, DataDecoder};
use std::hint::black_box;

pub(super) const CASES: &[Case] = &[
    Case { name: "DATA, 4 KiB", prepare: |size| decoded(size.pick(4 << 10, 200)) },
    Case { name: "DATA, octet by octet, 4 KiB", prepare: |size| naive(size.pick(4 << 10, 200)) },
    Case { name: "memcpy, 4 KiB", prepare: |size| copied(size.pick(4 << 10, 200)) },
    Case { name: "CRC32C, 4 KiB", prepare: |size| summed(size.pick(4 << 10, 200)) },
    Case { name: "DATA, 1 MiB in reads of 16 KiB", prepare: |size| decoded(size.pick(1 << 20, 40_000)) },
    Case { name: "BDAT, 1 MiB in reads of 16 KiB", prepare: |size| scanned(size.pick(1 << 20, 40_000)) },
    Case { name: "DATA, octet by octet, 1 MiB", prepare: |size| naive(size.pick(1 << 20, 40_000)) },
    Case { name: "memcpy, 1 MiB", prepare: |size| copied(size.pick(1 << 20, 40_000)) },
    Case { name: "CRC32C, 1 MiB", prepare: |size| summed(size.pick(1 << 20, 40_000)) },
];

/// Octets of a read, as connections do them.
const READ: usize = 16 * 1024;

/// All that is known of content in one number.
fn mark(content: &Content) -> u64 {
    let flags = [content.eight_bit, content.bare_cr, content.bare_lf].map(u64::from);
    content.octets
        + content.header_octets * 3
        + content.longest_line * 5
        + flags[0] * 1_000_003
        + flags[1] * 2_000_003
        + flags[2] * 4_000_037
}

/// What one look at a time finds: states as RFC 5321 §4.5.2 has them, and nothing clever.
fn naively(received: &[u8]) -> Content {
    let mut content = Content { dot_stuffed: true, ..Content::default() };
    let (mut line, mut header_ended) = (0u64, false);
    let mut before = [b'\r', b'\n'];
    for (place, octet) in received.iter().copied().enumerate() {
        if octet == b'.' && before == *b"\r\n" && received[place + 1..].starts_with(b"\r\n") {
            content.octets = place as u64;
            break;
        }
        content.eight_bit |= octet > 127;
        content.bare_cr |= before[1] == b'\r' && octet != b'\n';
        content.bare_lf |= octet == b'\n' && before[1] != b'\r';
        line += 1;
        if octet == b'\n' && before[1] == b'\r' {
            content.longest_line = content.longest_line.max(line - 2);
            if line == 2 && !header_ended {
                header_ended = true;
                content.header_octets = place as u64 - 1;
            }
            line = 0;
        }
        before = [before[1], octet];
    }
    content
}

/// What is to be said of content that is known to be made of whole lines of ASCII.
fn described(content: &[u8]) -> Content {
    let text = std::str::from_utf8(content).unwrap_or_default();
    Content {
        octets: content.len() as u64,
        header_octets: text.find("\r\n\r\n").map_or(0, |end| end as u64 + 2),
        longest_line: text.split("\r\n").map(|line| line.len() as u64).max().unwrap_or_default(),
        ..Content::default()
    }
}

fn received(octets: usize) -> Vec<u8> {
    [&message(octets)[..], b".\r\n"].concat()
}

fn decoded(octets: usize) -> Prepared {
    let received = received(octets);
    let (octets, expected) = (received.len() as u64, mark(&described(&received[..received.len() - 3])));
    let run = Box::new(move || {
        let mut decoder = DataDecoder::new();
        for read in black_box(&received[..]).chunks(READ) {
            if decoder.scan(read).end.is_some() {
                return mark(&decoder.content());
            }
        }
        0
    });
    Prepared { octets, run, expected }
}

fn scanned(octets: usize) -> Prepared {
    let received = message(octets);
    let (octets, expected) = (received.len() as u64, mark(&described(&received)));
    let run = Box::new(move || {
        let mut scanner = BodyScanner::new();
        black_box(&received[..]).chunks(READ).for_each(|read| scanner.scan(read));
        mark(&scanner.content())
    });
    Prepared { octets, run, expected }
}

fn naive(octets: usize) -> Prepared {
    let received = received(octets);
    let (octets, expected) = (received.len() as u64, mark(&described(&received[..received.len() - 3])));
    Prepared { octets, run: Box::new(move || mark(&naively(black_box(&received)))), expected }
}

fn copied(octets: usize) -> Prepared {
    let received = received(octets);
    let (octets, expected) = (received.len() as u64, u64::from(received[received.len() / 2]));
    let mut place = vec![0; received.len()];
    let run = Box::new(move || {
        place.copy_from_slice(black_box(&received));
        u64::from(black_box(&place)[place.len() / 2])
    });
    Prepared { octets, run, expected }
}

/// CRC32C bit by bit.
fn sum_naively(octets: &[u8]) -> u32 {
    let bit = |sum: u32| (sum >> 1) ^ (0x82F6_3B78 & 0u32.wrapping_sub(sum & 1));
    !octets.iter().fold(!0, |sum, octet| (0..8).fold(sum ^ u32::from(*octet), |sum, _| bit(sum)))
}

fn summed(octets: usize) -> Prepared {
    let received = received(octets);
    let (octets, expected) = (received.len() as u64, u64::from(sum_naively(&received)));
    Prepared { octets, run: Box::new(move || u64::from(crc32c::crc32c(black_box(&received)))), expected }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_simple_ways_are_right() {
        assert_eq!(sum_naively(b"123456789"), 0xE306_9283);
        let content = naively(b"A: b\r\n\r\n..x\xff\r\nlonger\n\r.\r\n.\r\nQUIT\r\n");
        let flags = (content.eight_bit, content.bare_cr, content.bare_lf);
        assert_eq!((content.octets, content.header_octets, content.longest_line), (25, 6, 9));
        assert_eq!(flags, (true, true, true));
    }
}
