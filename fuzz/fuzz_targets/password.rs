//! Whatever stands in a file of users is a record or none, and no record takes longer than is borne to be refused.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringpost::control::directory::record::Record;
use ringpost::directory::password::{Algorithm, Mode};

fuzz_target!(|words: (&str, &str)| {
    let (algorithm, hash) = words;
    if let Ok(algorithm) = Algorithm::parse(algorithm, Mode::Plain) {
        assert_eq!(Algorithm::parse(&algorithm.to_string(), Mode::Salted), Ok(algorithm));
        if let Some(record) = Record::imported(algorithm, hash) {
            assert_eq!(Record::from_words(&record.words()), Some(record));
        }
    }
});
