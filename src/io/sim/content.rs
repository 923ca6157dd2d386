//! What is in a file: as the running system sees it, and as it is on stable storage.

use std::rc::Rc;

use super::random::Random;

/// Octets that a disk writes whole or not at all, and those that it often does.
const SECTOR: usize = 512;
const BLOCK: usize = 4096;

/// A change that may not have reached stable storage yet.
#[derive(Clone)]
enum Change {
    Truncate,
    Write(Write),
}

#[derive(Clone)]
struct Write {
    offset: usize,
    octets: Rc<[u8]>,
}

/// The two images of one file. They and copies of them share what is equal.
#[derive(Clone, Default)]
pub(super) struct Content {
    seen: Rc<Vec<u8>>,
    durable: Rc<Vec<u8>>,
    unsynced: Vec<Change>,
    changes: u64,
    /// A sync failed: the images differ, whatever is synced later.
    lossy: bool,
}

impl Content {
    pub(super) fn seen(&self) -> &[u8] {
        &self.seen
    }

    /// A crash would leave it as it is.
    pub(super) fn is_settled(&self) -> bool {
        self.unsynced.is_empty() && !self.lossy
    }

    /// Says how many changes there were: a sync that starts now covers these and no later ones.
    pub(super) fn mark(&self) -> u64 {
        self.changes
    }

    pub(super) fn truncate(&mut self) {
        self.change(Change::Truncate);
    }

    pub(super) fn write(&mut self, offset: usize, octets: &[u8]) {
        self.change(Change::Write(Write { offset, octets: octets.into() }));
    }

    fn change(&mut self, change: Change) {
        change.apply(Rc::make_mut(&mut self.seen));
        self.unsynced.push(change);
        self.changes += 1;
    }

    /// Brings the changes up to `mark` to stable storage, the size with them.
    pub(super) fn sync(&mut self, mark: u64) {
        for change in self.covered(mark) {
            change.apply(Rc::make_mut(&mut self.durable));
        }
    }

    /// A sync that failed: any part of the changes is on stable storage, and the system has forgotten that the rest is not, so
    /// that a later sync succeeds without it.
    pub(super) fn sync_failed(&mut self, mark: u64, random: &mut Random) {
        let changes = self.covered(mark);
        tear(Rc::make_mut(&mut self.durable), changes, random);
        self.lossy = true;
    }

    fn covered(&mut self, mark: u64) -> Vec<Change> {
        let synced = self.changes - self.unsynced.len() as u64;
        let count = usize::try_from(mark.saturating_sub(synced)).unwrap_or(usize::MAX);
        self.unsynced.drain(..count.min(self.unsynced.len())).collect()
    }

    /// Leaves what a crash leaves.
    pub(super) fn crash(&mut self, random: &mut Random) {
        let changes = std::mem::take(&mut self.unsynced);
        if !changes.is_empty() {
            tear(Rc::make_mut(&mut self.durable), changes, random);
        }
        self.seen.clone_from(&self.durable);
        self.lossy = false;
    }
}

impl Change {
    fn apply(&self, octets: &mut Vec<u8>) {
        match self {
            Change::Truncate => octets.clear(),
            Change::Write(write) => write.apply(octets, |_| true),
        }
    }
}

impl Write {
    fn end(&self) -> usize {
        self.offset + self.octets.len()
    }

    /// Writes those sectors for which `keeps` says so; the size grows to the write's end in any case.
    fn apply(&self, file: &mut Vec<u8>, mut keeps: impl FnMut(usize) -> bool) {
        file.resize(file.len().max(self.end()), 0);
        let mut start = self.offset;
        while start < self.end() {
            let end = ((start / SECTOR + 1) * SECTOR).min(self.end());
            if keeps(start / SECTOR) {
                file[start..end].copy_from_slice(&self.octets[start - self.offset..end - self.offset]);
            }
            start = end;
        }
    }
}

/// Applies what a crash leaves of changes. A truncation splits them: how many truncations took place is random, and only the
/// writes between the last of these and the next can show. Each write is there whole, in part or not at all, whatever became
/// of the others, which is also what reordering leaves; the size is a matter of its own.
fn tear(durable: &mut Vec<u8>, changes: Vec<Change>, random: &mut Random) {
    let mut generations = vec![Vec::new()];
    for change in changes {
        match (change, generations.last_mut()) {
            (Change::Write(write), Some(generation)) => generation.push(write),
            _ => generations.push(Vec::new()),
        }
    }
    let truncations = random.index(generations.len());
    if truncations > 0 {
        durable.clear();
    }
    let writes = generations.swap_remove(truncations);
    let whole = writes.iter().map(Write::end).fold(durable.len(), usize::max);
    let length = size_left(durable.len(), whole, random);
    write_some(durable, &writes, random);
    durable.resize(whole, 0);
    durable.truncate(length);
}

/// Often all writes or none are there, because what lies between seldom shows the same mistakes.
fn write_some(durable: &mut Vec<u8>, writes: &[Write], random: &mut Random) {
    let mood = random.below(4);
    for write in writes {
        let fate = if mood < 2 { mood } else { random.below(4) };
        match fate {
            0 => {}
            1 => write.apply(durable, |_| true),
            2 => write.apply(durable, |_| random.one_in(2)),
            _ => {
                let blocks = random.bits();
                write.apply(durable, |sector| Random::new(blocks ^ (sector / (BLOCK / SECTOR)) as u64).one_in(2));
            }
        }
    }
}

fn size_left(synced: usize, written: usize, random: &mut Random) -> usize {
    match random.below(3) {
        0 => synced,
        1 => random.between(synced as u64, written as u64) as usize,
        _ => written,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a thousand crashes leave after `prepare`.
    fn crashes(prepare: impl Fn(&mut Content)) -> Vec<Vec<u8>> {
        let crash = |seed| {
            let mut content = Content::default();
            prepare(&mut content);
            content.crash(&mut Random::new(seed));
            content.seen().to_vec()
        };
        (0..1000).map(crash).collect()
    }

    #[test]
    fn what_was_synced_always_survives() {
        let left = crashes(|content| {
            content.write(0, &[7; 2000]);
            content.sync(content.mark());
            content.write(2000, &[8; 2000]);
        });
        assert!(left.iter().all(|octets| octets.len() >= 2000 && octets[..2000] == [7; 2000]));
    }

    #[test]
    fn what_was_not_synced_may_be_gone_short_zeros_or_whole() {
        let left = crashes(|content| content.write(0, &[7; 2000]));
        assert!(left.contains(&vec![]));
        assert!(left.contains(&vec![0; 2000]));
        assert!(left.contains(&vec![7; 2000]));
        assert!(left.iter().any(|octets| (1..2000).contains(&octets.len())));
    }

    #[test]
    fn a_torn_write_tears_between_sectors_only() {
        let left = crashes(|content| {
            content.write(0, &[1; 4096]);
            content.sync(content.mark());
            content.write(0, &[2; 4096]);
        });
        let mixed = |sector: &[u8]| sector.contains(&1) && sector.contains(&2);
        assert!(left.iter().all(|octets| octets.len() == 4096 && !octets.chunks(SECTOR).any(mixed)));
        assert!(left.iter().any(|octets| octets[0] == 2 && octets[SECTOR] == 1 && octets[2 * SECTOR] == 2));
    }

    #[test]
    fn later_writes_may_survive_without_earlier_ones() {
        let left = crashes(|content| {
            content.write(0, &[1; 512]);
            content.write(512, &[2; 512]);
        });
        let reordered: Vec<u8> = [[0; 512], [2; 512]].concat();
        assert!(left.contains(&reordered));
    }

    #[test]
    fn a_truncation_may_be_undone_but_old_and_new_never_mix() {
        let left = crashes(|content| {
            content.write(0, &[1; 1024]);
            content.sync(content.mark());
            content.truncate();
            content.write(0, &[2; 1024]);
        });
        assert!(left.contains(&vec![1; 1024]) && left.contains(&vec![2; 1024]) && left.contains(&vec![]));
        assert!(!left.iter().any(|octets| octets.contains(&1) && octets.contains(&2)));
    }

    #[test]
    fn a_sync_covers_only_what_was_written_before_it_started() {
        let left = crashes(|content| {
            content.write(0, &[1; 512]);
            let mark = content.mark();
            content.write(512, &[2; 512]);
            content.sync(mark);
        });
        assert!(left.iter().all(|octets| octets[..512] == [1; 512]));
        assert!(left.iter().any(|octets| octets.len() == 512));
    }

    #[test]
    fn a_sync_after_a_failed_one_proves_nothing() {
        let left = crashes(|content| {
            content.write(0, &[1; 512]);
            content.sync_failed(content.mark(), &mut Random::new(3));
            content.sync(content.mark());
        });
        let mut tried = Content::default();
        tried.write(0, &[1; 512]);
        assert!((0..100).any(|seed| {
            let mut content = Content::default();
            content.write(0, &[1; 512]);
            content.sync_failed(content.mark(), &mut Random::new(seed));
            content.sync(content.mark());
            content.seen == tried.seen && content.durable != tried.seen
        }));
        assert!(left.iter().all(|octets| *octets == left[0]), "what the failed sync left is final");
    }
}
