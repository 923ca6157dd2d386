//! Whatever a header is, the same From field is found however it is cut, and every address in it is one.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringpost::mail::Mailbox;
use ringpost::mail::from::{Authors, FromScanner};

fuzz_target!(|input: (Vec<u8>, Vec<u8>)| {
    let (content, cuts) = input;
    let mut whole = FromScanner::default();
    whole.scan(&content);
    let mut pieces = FromScanner::default();
    let (mut rest, mut cuts) = (&content[..], cuts.iter().cycle());
    while !rest.is_empty() {
        let length = usize::from(*cuts.next().unwrap_or(&0)) + 1;
        let (piece, after) = rest.split_at(length.min(rest.len()));
        pieces.scan(piece);
        rest = after;
    }
    assert_eq!(whole.authors(), pieces.authors());
    if let Authors::Mailboxes(mailboxes) = whole.authors() {
        assert!(mailboxes.iter().all(|mailbox| Mailbox::parse(&mailbox.to_string()).is_ok()));
    }
});
