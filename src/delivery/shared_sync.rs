//! One sync of a directory for all who renamed something into it before that sync began.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::io::wait::Latch;
use crate::io::{Class, Disk, Machine};

/// How a sync ended, for all who waited for it.
type Ending = Result<(), Rc<io::Error>>;

/// Directories that one core syncs; clones are the same ones.
///
/// A sync that is under way may have missed what is renamed meanwhile, so whoever comes then waits for the one that follows it. There
/// is at most one of each directory at a time, by a task of its own: whoever waits may give up, and the others still hear of it.
/// Where a sync fails, so does the one that would follow: a kernel tells of an error once, and may forget what it did not write.
#[derive(Clone, Debug, Default)]
pub(super) struct SharedSync(Rc<RefCell<HashMap<PathBuf, Option<Latch<Ending>>>>>);

impl SharedSync {
    /// Brings the names to stable storage that are in the directory now.
    pub async fn sync<M: Machine>(&self, machine: &M, directory: &Path) -> io::Result<()> {
        let ending = self.join(directory).unwrap_or_else(|| self.begin(machine, directory));
        ending.get().await.map_err(|error| match error.raw_os_error() {
            Some(number) => io::Error::from_raw_os_error(number),
            None => io::Error::new(error.kind(), error.to_string()),
        })
    }

    /// The sync that follows the one under way, if one is.
    fn join(&self, directory: &Path) -> Option<Latch<Ending>> {
        self.0.borrow_mut().get_mut(directory).map(|next| next.get_or_insert_default().clone())
    }

    fn begin<M: Machine>(&self, machine: &M, directory: &Path) -> Latch<Ending> {
        let (first, directory) = (Latch::default(), directory.to_owned());
        self.0.borrow_mut().insert(directory.clone(), None);
        let (syncs, own, mut ending) = (self.clone(), machine.clone(), first.clone());
        machine.spawn(Class::Delivery, async move {
            loop {
                let ended = own.disk().sync_directory(&directory).await.map_err(Rc::new);
                ending.set(ended.clone());
                if ended.is_err()
                    && let Some(next) = syncs.next(&directory)
                {
                    next.set(ended);
                }
                match syncs.next(&directory) {
                    Some(next) => ending = next,
                    None => return,
                }
            }
        });
        first
    }

    /// Who came during the sync that has ended; with nobody there it was the last.
    fn next(&self, directory: &Path) -> Option<Latch<Ending>> {
        let mut under_way = self.0.borrow_mut();
        let next = under_way.get_mut(directory).and_then(Option::take);
        if next.is_none() {
            under_way.remove(directory);
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::io::sim::{Fault, Operation, World, seeds};

    const FILES: u32 = 24;

    /// Names of files; clones are the same ones.
    type Names = Rc<RefCell<Vec<String>>>;

    /// A world in which files are renamed from `/tmp` into `/new` at about the same time, and the names of those whose
    /// directory is said to be synced, or not to be.
    fn renaming(seed: u64) -> (World, Names, Names) {
        let world = World::new(seed);
        let (synced, failed) = <(Names, Names)>::default();
        ["/tmp", "/new"].iter().for_each(|path| world.disk().make_directory(path).expect("made"));
        let (syncs, mut random) = (SharedSync::default(), world.random());
        for file in 0..FILES {
            let name = file.to_string();
            world.disk().write(format!("/tmp/{name}"), b"mail").expect("written");
            let (machine, syncs, synced, failed) = (world.machine(), syncs.clone(), synced.clone(), failed.clone());
            let wait = Duration::from_micros(random.below(2000));
            world.machine().spawn(Class::Delivery, async move {
                machine.sleep(wait).await;
                let (from, to) = (format!("/tmp/{name}"), format!("/new/{name}"));
                machine.disk().rename(from.as_ref(), to.as_ref()).await.expect("renamed");
                let ended = syncs.sync(&machine, "/new".as_ref()).await;
                let told = if ended.is_ok() { synced } else { failed };
                told.borrow_mut().push(name);
            });
        }
        (world, synced, failed)
    }

    #[test]
    fn what_is_said_to_be_synced_is_there_after_a_crash_at_any_moment() {
        for seed in seeds(200) {
            let (world, synced, _) = renaming(seed);
            let wanted = world.random().below(u64::from(FILES)) as usize + 1;
            assert!(world.run_until(|| synced.borrow().len() >= wanted));
            world.crash();
            let found = world.disk().list("/new").expect("a directory");
            assert!(synced.borrow().iter().all(|name| found.contains(name)), "{:?} of {found:?}", synced.borrow());
        }
    }

    #[test]
    fn many_share_a_sync_and_hear_of_its_failure() {
        let (world, synced, _) = renaming(1);
        world.run_until_idle();
        let syncs = world.faults().count(Operation::SyncDirectory);
        assert_eq!(synced.borrow().len(), FILES as usize);
        assert!((1..u64::from(FILES) / 2).contains(&syncs), "{syncs} syncs");

        let (world, synced, failed) = renaming(2);
        world.faults().add(Fault::fail(Operation::SyncDirectory, libc::EIO).nth(2));
        world.run_until_idle();
        let (synced, failed) = (synced.borrow().len(), failed.borrow().len());
        assert!(synced > 0 && failed > 0);
        assert_eq!(synced + failed, FILES as usize);
    }

    #[test]
    fn a_failure_is_told_to_those_who_wait_for_the_next_sync_as_well() {
        let world = World::new(1);
        world.disk().make_directory("/new").expect("made");
        world.faults().add(Fault::fail(Operation::SyncDirectory, libc::EIO).nth(1));
        let (syncs, failures) = (SharedSync::default(), Rc::new(RefCell::new(0)));
        for _ in 0..3 {
            let (machine, syncs, failures) = (world.machine(), syncs.clone(), failures.clone());
            world.machine().spawn(Class::Delivery, async move {
                *failures.borrow_mut() += u32::from(syncs.sync(&machine, "/new".as_ref()).await.is_err());
            });
        }
        world.run_until_idle();
        assert_eq!((*failures.borrow(), world.faults().count(Operation::SyncDirectory)), (3, 1));
        let machine = world.machine();
        let again = world.block_on(async { syncs.sync(&machine, "/new".as_ref()).await });
        assert!(again.is_some_and(|ended| ended.is_ok()), "who comes later begins anew");
    }
}
