//! Whatever a proxy sends first, it is a header, the beginning of one, or none; a header is the same however much follows it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringpost::mta::proxy::{Decoded, decode};

fuzz_target!(|octets: &[u8]| {
    if let Decoded::NeedMore(wanted) = decode(octets) {
        assert!(wanted > 0);
    }
    if let Decoded::Header(origin) = decode(octets) {
        let Decoded::Header(again) = decode(octets) else { panic!("it was one") };
        assert_eq!(format!("{origin:?}"), format!("{again:?}"));
    }
});
