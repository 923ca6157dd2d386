//! The pure parts of ringpost, each at its work and nothing else: what `cargo bench -p bench` measures.
//!
//! A case is prepared, run and held against what a simpler way gives. The same cases run as tests on tiny input.

mod commands;
mod container;
mod content;
mod data;
pub mod instructions;
mod records;
mod replies;
pub mod runner;

/// How much input a case gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// Enough to be measured.
    Full,
    /// Enough to be right.
    Tiny,
}

impl Size {
    fn pick<T>(self, full: T, tiny: T) -> T {
        match self {
            Size::Full => full,
            Size::Tiny => tiny,
        }
    }
}

/// A part of ringpost, or something simple to hold it against.
#[derive(Clone, Copy)]
pub struct Case {
    /// What it is.
    pub name: &'static str,
    /// Makes its input.
    pub prepare: fn(Size) -> Prepared,
}

/// A case with its input.
pub struct Prepared {
    /// Octets that one run works through.
    pub octets: u64,
    /// One run; what it returns follows from all that was done.
    pub run: Box<dyn FnMut() -> u64>,
    /// What a run must return, found in a simpler way.
    pub expected: u64,
}

/// All of them, what is held against each other side by side.
pub fn cases() -> Vec<Case> {
    [commands::CASES, data::CASES, replies::CASES, records::CASES, container::CASES].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_is_right() {
        for case in cases() {
            let mut prepared = (case.prepare)(Size::Tiny);
            assert!(prepared.octets > 0, "{}", case.name);
            for _ in 0..3 {
                assert_eq!((prepared.run)(), prepared.expected, "{}", case.name);
            }
        }
    }

    #[test]
    fn names_tell_cases_apart() {
        let names: std::collections::HashSet<_> = cases().iter().map(|case| case.name).collect();
        assert_eq!(names.len(), cases().len());
    }
}
