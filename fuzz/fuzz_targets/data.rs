//! Where the end of data is found does not depend on how the octets are cut, and nothing of the end is given out as content.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringpost::mail::Content;
use ringpost::smtp::data::DataDecoder;

/// The content, what is known of it, and how many octets were used; `None` for the last where no end was found.
fn decode(pieces: &[&[u8]]) -> (Vec<u8>, Content, Option<usize>) {
    let mut decoder = DataDecoder::new();
    let (mut content, mut before) = (Vec::new(), 0);
    for piece in pieces {
        let scan = decoder.scan(piece);
        content.extend_from_slice(scan.carry);
        content.extend_from_slice(&piece[..scan.content]);
        if let Some(end) = scan.end {
            return (content, decoder.content(), Some(before + end));
        }
        before += piece.len();
    }
    (content, decoder.content(), None)
}

fuzz_target!(|input: (u16, Vec<u8>)| {
    let (cut, octets) = input;
    let (first, second) = octets.split_at(usize::from(cut).min(octets.len()));
    let whole = decode(&[&octets]);
    let parts = decode(&[first, second]);
    if whole.2.is_some() {
        assert_eq!(whole, parts);
    }
    assert_eq!(whole.2, parts.2);
    assert_eq!(whole.0.len() as u64, whole.1.octets);
    assert!(octets.starts_with(&whole.0));
});
