//! Sieve (RFC 5228): the base language with `fileinto`, `reject` (RFC 5429 §2.2), `envelope` and `vacation` (RFC 5230).
//!
//! A script is read once into a [`Script`] and run against a mail. Both are total and bounded: a script cannot loop, and
//! looks at a header as often as it has tests.

pub mod lexer;
pub mod reader;
pub mod run;
pub mod vacation;

use super::pattern::PATTERN_MAX;

/// Octets of a script.
pub const SCRIPT_MAX: usize = 64 << 10;
/// Tokens of a script.
pub const TOKENS_MAX: usize = 20_000;
/// Blocks and tests inside each other.
pub const NESTING_MAX: usize = 15;
/// Actions of one run (RFC 5228 §2.10.5 lets an implementation limit them).
pub const ACTIONS_MAX: usize = 32;
/// Redirects of one run.
pub const REDIRECTS_MAX: usize = 4;
/// Characters of a folder's name.
pub const FOLDER_MAX: usize = PATTERN_MAX;

/// What is wrong with a script, and in which line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct SieveError {
    /// From 1.
    pub line: usize,
    /// What.
    pub what: String,
}

/// A script that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script(Vec<Command>);

/// A command.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Command {
    /// `if`, `elsif`, `else`: the first whose test holds; the last may have none.
    If(Vec<(Option<Test>, Vec<Command>)>),
    Stop,
    Keep,
    Discard,
    Redirect(String),
    FileInto(String),
    Reject(String),
    Vacation(vacation::Vacation),
}

/// A test.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Test {
    True,
    False,
    Not(Box<Test>),
    AllOf(Vec<Test>),
    AnyOf(Vec<Test>),
    Exists(Vec<String>),
    Size { over: bool, octets: u64 },
    Header { how: How, names: Vec<String>, keys: Vec<String> },
    Address { how: How, part: AddressPart, names: Vec<String>, keys: Vec<String> },
    Envelope { how: How, part: AddressPart, names: Vec<String>, keys: Vec<String> },
}

/// How texts are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct How {
    matching: Matching,
    /// `i;octet`: case counts.
    octets: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Matching {
    Is,
    Contains,
    Matches,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AddressPart {
    All,
    Local,
    Domain,
}

impl How {
    fn holds(self, value: &str, key: &str) -> bool {
        if self.octets {
            return self.compare(value, key);
        }
        // i;ascii-casemap (RFC 4790 §9.2): ASCII letters alone have no case.
        self.compare(&value.to_ascii_lowercase(), &key.to_ascii_lowercase())
    }

    fn compare(self, value: &str, key: &str) -> bool {
        match self.matching {
            Matching::Is => value == key,
            Matching::Contains => value.contains(key),
            Matching::Matches => fits(value, key),
        }
    }
}

/// Whether a text is as a mask with `*`, `?` and `\` says. Takes at most the product of their lengths in steps.
fn fits(text: &str, mask: &str) -> bool {
    let text: Vec<char> = text.chars().collect();
    let mut wanted: Vec<Option<char>> = Vec::new();
    let mut characters = mask.chars();
    const ANY: char = '\u{10ffff}';
    while let Some(c) = characters.next() {
        match c {
            '*' => wanted.push(Some(ANY)),
            '?' => wanted.push(None),
            '\\' => wanted.push(Some(characters.next().unwrap_or('\\'))),
            c => wanted.push(Some(c)),
        }
    }
    // On a mismatch the last star takes one more.
    let (mut at, mut place, mut star) = (0, 0, None);
    while at < text.len() {
        match wanted.get(place) {
            Some(Some(ANY)) => {
                star = Some((place, at));
                place += 1;
            }
            Some(one) if one.is_none() || *one == text.get(at).copied() => {
                at += 1;
                place += 1;
            }
            _ => match star {
                Some((of, from)) => {
                    star = Some((of, from + 1));
                    (place, at) = (of + 1, from + 1);
                }
                None => return false,
            },
        }
    }
    wanted.iter().skip(place).all(|one| *one == Some(ANY))
}

#[cfg(test)]
mod tests;
