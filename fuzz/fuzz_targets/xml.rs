//! Whatever octets a file has, it is read or refused, and every place that is named is one of the file's.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringpost::config::xml::Element;
use ringpost::config::{File, properties};

fn look(file: &File, element: &Element) {
    let lines = file.source.split('\n').count();
    for position in [element.position, element.text_position] {
        assert!((1..=lines).contains(&(position.line as usize)), "{position}");
        assert!(position.column as usize <= file.line(position.line).chars().count() + 1, "{position}");
    }
    element.children.iter().for_each(|child| look(file, child));
}

fuzz_target!(|octets: &[u8]| {
    for read in [File::parse("fuzz.xml", octets), properties::parse("fuzz.properties", octets)] {
        match read {
            Ok(file) => look(&file, &file.root),
            Err(problem) => drop(problem.to_string() + &problem.coloured().to_string()),
        }
    }
});
