//! What goes wrong, when it is told to.

use std::time::Duration;

use crate::disk::Errno;
use crate::random::Random;

/// What a program asks of a file system, as far as it can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Octets are written to a file.
    Write,
    /// A file is synced.
    Sync,
    /// A directory is synced.
    SyncDirectory,
    /// A file or a directory is made.
    Make,
    /// Something gets another name.
    Rename,
    /// A name is removed.
    Remove,
    /// Octets are read.
    Read,
}

impl Operation {
    /// By the word that a command has for it.
    pub fn of(word: &str) -> Option<Operation> {
        Some(match word {
            "write" => Operation::Write,
            "sync" => Operation::Sync,
            "sync-directory" => Operation::SyncDirectory,
            "make" => Operation::Make,
            "rename" => Operation::Rename,
            "remove" => Operation::Remove,
            "read" => Operation::Read,
            _ => return None,
        })
    }
}

/// Operations of one kind below a path fail, after so many that do not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Which.
    pub operation: Operation,
    /// With which error.
    pub errno: Errno,
    /// Begins like this; empty: all.
    pub path: String,
    /// Operations that are let pass first.
    pub after: u64,
}

/// All that is set to go wrong.
pub struct Faults {
    rules: Vec<Rule>,
    /// Least and most time that a sync takes.
    pub delay: (Duration, Duration),
    /// Syncs are said to be done and are not.
    pub lie: bool,
    /// Nothing may be changed.
    pub read_only: bool,
    /// Files cannot be opened with O_DIRECT.
    pub no_direct: bool,
    /// Octets that files may have in all.
    pub capacity: u64,
    /// Operations that a rule let fail.
    pub failed: u64,
}

impl Faults {
    /// None.
    pub fn new(capacity: u64) -> Faults {
        let delay = (Duration::ZERO, Duration::ZERO);
        Faults { rules: Vec::new(), delay, lie: false, read_only: false, no_direct: false, capacity, failed: 0 }
    }

    /// One more rule.
    pub fn add(&mut self, rule: Rule) {
        self.rules.push(rule);
    }

    /// Everything goes well again. What there is room for stays, and whether there is direct access.
    pub fn clear(&mut self) {
        *self = Faults { failed: self.failed, no_direct: self.no_direct, ..Faults::new(self.capacity) };
    }

    /// The error of this operation, if it is to fail. The path is made where a rule asks for it alone.
    pub fn judge(&mut self, operation: Operation, path: impl Fn() -> String) -> Result<(), Errno> {
        if self.read_only && operation != Operation::Read && operation != Operation::Sync {
            return Err(libc::EROFS);
        }
        for rule in self.rules.iter_mut().filter(|rule| rule.operation == operation) {
            if rule.path.is_empty() || path().starts_with(&rule.path) {
                if rule.after == 0 {
                    self.failed += 1;
                    return Err(rule.errno);
                }
                rule.after -= 1;
            }
        }
        Ok(())
    }

    /// How long the next sync takes.
    pub fn next_delay(&self, random: &mut Random) -> Duration {
        let (least, most) = self.delay;
        let span = most.saturating_sub(least).as_micros() as u64;
        least + Duration::from_micros(random.below(span + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_for_one_operation_below_one_path_after_so_many() {
        let mut faults = Faults::new(0);
        faults.add(Rule { operation: Operation::Write, errno: libc::EIO, path: "/spool".into(), after: 1 });
        let mut judge = |operation, path: &str| faults.judge(operation, || path.to_owned());
        assert_eq!(judge(Operation::Write, "/mail/x"), Ok(()));
        assert_eq!(judge(Operation::Write, "/spool/x"), Ok(()));
        assert_eq!(judge(Operation::Sync, "/spool/x"), Ok(()));
        assert_eq!(judge(Operation::Write, "/spool/x"), Err(libc::EIO));
        assert_eq!(judge(Operation::Write, "/spool/y"), Err(libc::EIO));
        faults.clear();
        assert_eq!(faults.judge(Operation::Write, || "/spool/x".into()), Ok(()));
        faults.read_only = true;
        assert_eq!(faults.judge(Operation::Write, String::new), Err(libc::EROFS));
        assert_eq!(faults.judge(Operation::Read, String::new), Ok(()));
    }
}
