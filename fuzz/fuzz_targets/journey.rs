//! Whatever octets stand beside an envelope, they are read without harm, and what they say is written so that it reads back.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringpost::mta::journey::Journey;

fuzz_target!(|notes: &[u8]| {
    if let Ok(journey) = Journey::decode(notes) {
        // Of a text that stood there several times, the last counts: what is written is never longer.
        let again = journey.encode().expect("it is no longer than what was read");
        assert_eq!(Journey::decode(&again), Ok(journey));
    }
});
