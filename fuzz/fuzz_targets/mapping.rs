//! Whatever stands in the rewrite table or on a line of the control socket is read or refused; what was read is written so that it
//! reads the same, and what it makes of an address is an address.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringpost::control::directory::command::{Command, read_answer};
use ringpost::directory::mapping::Rewritten;
use ringpost::directory::{Mapping, Source};
use ringpost::mail::Mailbox;

fuzz_target!(|text: &str| {
    if let Ok(source) = Source::parse(text) {
        assert_eq!(Source::parse(&source.to_string()), Ok(source));
    }
    if let Ok(mapping) = Mapping::parse(text) {
        let original = Mailbox::parse("first.last+detail@example.org").expect("it is one");
        if let Rewritten::To(target) = mapping.rewrite(&original) {
            assert_eq!(Mailbox::parse(&target.to_string()), Ok(target));
        }
        assert_eq!(Mapping::parse(&mapping.to_string()), Ok(mapping));
    }
    if let Some(command) = Command::parse(text) {
        assert_eq!(Command::parse(&command.line()), Some(command));
    }
    let _ = read_answer(text);
});
