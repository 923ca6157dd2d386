//! The disk as a tree of names: as the running system sees it, and as it is on stable storage.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::io;
use std::path::{Component, Path};

use super::content::Content;
use super::errno;
use super::random::Random;
use crate::io::Open;

/// Names a file or directory for as long as the world lives, whatever it is called.
pub(super) type Id = u64;

const ROOT: Id = 0;

/// Octets above which a file cannot grow: a mistaken offset shall fail, not take the memory.
const LARGEST: u64 = 1 << 30;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Child {
    File(Id),
    Directory(Id),
}

#[derive(Clone, Default)]
struct Names {
    seen: BTreeMap<String, Child>,
    durable: BTreeMap<String, Child>,
}

#[derive(Clone, Default)]
struct Entry {
    content: Content,
    /// Whether the running system sees a name of it.
    named: bool,
    /// How often it is open.
    open: usize,
}

impl Entry {
    /// Octets it takes from the disk's capacity.
    fn occupied(&self) -> u64 {
        if self.named || self.open > 0 { self.content.seen().len() as u64 } else { 0 }
    }
}

/// A change of names that is not on stable storage yet: a new name, a name taken away, or both at once (a rename).
#[derive(Clone)]
struct NameChange {
    number: u64,
    removed: Option<(Id, String)>,
    added: Option<(Id, String, Child)>,
}

impl NameChange {
    /// The directories it changes, each once.
    fn directories(&self) -> BTreeSet<Id> {
        let removed = self.removed.iter().map(|(directory, _)| *directory);
        removed.chain(self.added.iter().map(|(directory, ..)| *directory)).collect()
    }
}

/// The disk. A copy of it shares what stays equal.
#[derive(Clone)]
pub(super) struct Image {
    files: BTreeMap<Id, Entry>,
    directories: BTreeMap<Id, Names>,
    /// Changes of names since they were last synced, oldest first.
    journal: Vec<NameChange>,
    changes: u64,
    made: Id,
    used: u64,
}

impl Image {
    pub(super) fn new() -> Image {
        let directories = BTreeMap::from([(ROOT, Names::default())]);
        Image { files: BTreeMap::new(), directories, journal: Vec::new(), changes: 0, made: ROOT, used: 0 }
    }

    /// Octets taken by files that have a name or are open.
    pub(super) fn used(&self) -> u64 {
        self.used
    }

    /// A crash would leave it as it is.
    pub(super) fn is_settled(&self) -> bool {
        self.journal.is_empty() && self.files.values().all(|entry| entry.content.is_settled())
    }

    /// A number that two disks share only if the running systems see the same names and the same content.
    pub(super) fn fingerprint(&self) -> u64 {
        let mut hasher = std::hash::DefaultHasher::new();
        self.hash_directory(ROOT, &mut hasher);
        hasher.finish()
    }

    fn hash_directory(&self, directory: Id, hasher: &mut impl Hasher) {
        for (name, child) in &self.names_in(directory).seen {
            name.hash(hasher);
            match child {
                Child::Directory(directory) => self.hash_directory(*directory, hasher),
                Child::File(file) => {
                    let octets = self.content(*file).seen();
                    (octets.len(), crc_fast::crc32_iscsi(octets)).hash(hasher);
                }
            }
        }
        hasher.write_u8(0);
    }

    // Names.

    fn resolve(&self, path: &Path) -> io::Result<Child> {
        self.follow(&names(path)?)
    }

    fn follow(&self, names: &[&str]) -> io::Result<Child> {
        names.iter().try_fold(Child::Directory(ROOT), |at, name| match at {
            Child::File(_) => Err(error(errno::ENOTDIR)),
            Child::Directory(directory) => {
                self.names_in(directory).seen.get(*name).copied().ok_or_else(|| error(errno::ENOENT))
            }
        })
    }

    fn names_in(&self, directory: Id) -> &Names {
        self.directories.get(&directory).expect("a directory that has a name is in the image")
    }

    fn directory(&self, path: &Path) -> io::Result<Id> {
        match self.resolve(path)? {
            Child::Directory(directory) => Ok(directory),
            Child::File(_) => Err(error(errno::ENOTDIR)),
        }
    }

    fn file(&self, path: &Path) -> io::Result<Id> {
        match self.resolve(path)? {
            Child::File(file) => Ok(file),
            Child::Directory(_) => Err(error(errno::EISDIR)),
        }
    }

    /// The directory in which `path` is a name, and that name.
    fn place(&self, path: &Path) -> io::Result<(Id, String)> {
        let names = names(path)?;
        let (name, parents) = names.split_last().ok_or_else(|| error(errno::EEXIST))?;
        match self.follow(parents)? {
            Child::Directory(directory) => Ok((directory, (*name).to_owned())),
            Child::File(_) => Err(error(errno::ENOTDIR)),
        }
    }

    /// Fails where there is nothing of this name.
    pub(super) fn check(&self, path: &Path) -> io::Result<()> {
        self.resolve(path).map(drop)
    }

    /// The names in a directory, sorted.
    pub(super) fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let directory = self.directory(path)?;
        Ok(self.names_in(directory).seen.keys().cloned().collect())
    }

    pub(super) fn create_directory(&mut self, path: &Path) -> io::Result<()> {
        let (parent, name) = self.place(path)?;
        if self.names_in(parent).seen.contains_key(&name) {
            return Err(error(errno::EEXIST));
        }
        self.made += 1;
        self.directories.insert(self.made, Names::default());
        self.rename_entry(None, Some((parent, name, Child::Directory(self.made))));
        Ok(())
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let file = self.file(from)?;
        let (source, target) = (self.place(from)?, self.place(to)?);
        if matches!(self.resolve(to), Ok(Child::Directory(_))) {
            return Err(error(errno::EISDIR));
        }
        if source != target {
            self.rename_entry(Some(source), Some((target.0, target.1, Child::File(file))));
        }
        Ok(())
    }

    pub(super) fn remove(&mut self, path: &Path) -> io::Result<()> {
        self.file(path)?;
        let place = self.place(path)?;
        self.rename_entry(Some(place), None);
        Ok(())
    }

    /// The one way in which names change.
    fn rename_entry(&mut self, removed: Option<(Id, String)>, added: Option<(Id, String, Child)>) {
        if let Some((directory, name)) = &removed {
            let gone = self.names_of(*directory).seen.remove(name);
            self.set_named(gone, false);
        }
        if let Some((directory, name, child)) = &added {
            let replaced = self.names_of(*directory).seen.insert(name.clone(), *child);
            self.set_named(replaced, false);
            self.set_named(Some(*child), true);
        }
        self.changes += 1;
        self.journal.push(NameChange { number: self.changes, removed, added });
    }

    fn names_of(&mut self, directory: Id) -> &mut Names {
        self.directories.get_mut(&directory).expect("a directory that has a name is in the image")
    }

    fn set_named(&mut self, child: Option<Child>, named: bool) {
        if let Some(Child::File(file)) = child {
            self.change(file, |entry| entry.named = named);
        }
    }

    // Stable storage of names.

    /// Says how many changes of names there were: a sync that starts now covers these and no later ones.
    pub(super) fn mark(&self) -> u64 {
        self.changes
    }

    /// Makes the names of a directory durable as they were at `mark`. Every directory reaches stable storage as a prefix of
    /// its changes; so a rename from another directory takes along what happened there before.
    pub(super) fn sync_directory(&mut self, path: &Path, mark: u64) -> io::Result<()> {
        let mut wanted = BTreeSet::from([self.directory(path)?]);
        let mut due = BTreeSet::new();
        for change in self.journal.iter().rev().filter(|change| change.number <= mark) {
            let directories = change.directories();
            if !directories.is_disjoint(&wanted) {
                wanted.extend(directories);
                due.insert(change.number);
            }
        }
        let journal = std::mem::take(&mut self.journal);
        let (committed, waiting) = journal.into_iter().partition(|change| due.contains(&change.number));
        self.journal = waiting;
        self.commit(committed);
        Ok(())
    }

    fn commit(&mut self, changes: Vec<NameChange>) {
        let mut gone = Vec::new();
        for NameChange { removed, added, .. } in changes {
            if let Some((directory, name)) = removed {
                gone.extend(self.names_of(directory).durable.remove(&name));
            }
            if let Some((directory, name, child)) = added {
                gone.extend(self.names_of(directory).durable.insert(name, child));
            }
        }
        gone.into_iter().for_each(|child| self.forget(child));
    }

    /// Lets go of a file that nothing can reach any more, neither now nor after a crash.
    fn forget(&mut self, child: Child) {
        if let Child::File(file) = child
            && self.files.get(&file).is_some_and(|entry| !entry.named && entry.open == 0)
            && !self.journal.iter().any(|change| change.added.as_ref().is_some_and(|(_, _, added)| *added == child))
            && !self.directories.values().any(|names| names.durable.values().any(|durable| *durable == child))
        {
            self.files.remove(&file);
        }
    }

    /// Leaves what a crash leaves. Each directory keeps a prefix of its changes; a rename between two is in both or in none.
    pub(super) fn crash(&mut self, random: &mut Random) {
        let journal = std::mem::take(&mut self.journal);
        let mut prefixes: BTreeMap<Id, u64> = BTreeMap::new();
        journal.iter().flat_map(NameChange::directories).for_each(|id| *prefixes.entry(id).or_default() += 1);
        prefixes.values_mut().for_each(|count| *count = random.between(0, *count));
        let keeps = |change: &NameChange| {
            let directories = change.directories();
            let kept = directories.iter().all(|id| prefixes.get(id).is_some_and(|left| *left > 0));
            for id in directories {
                prefixes.entry(id).and_modify(|left| *left = if kept { *left - 1 } else { 0 });
            }
            kept
        };
        self.commit(journal.into_iter().filter(keeps).collect());
        self.keep_durable(random);
    }

    /// Drops what no durable name reaches and makes the durable image the one that is seen.
    fn keep_durable(&mut self, random: &mut Random) {
        let (mut files, mut directories) = (BTreeSet::new(), vec![ROOT]);
        let mut at = 0;
        while let Some(directory) = directories.get(at).copied() {
            for child in self.names_in(directory).durable.values() {
                match child {
                    Child::File(file) => _ = files.insert(*file),
                    Child::Directory(directory) => directories.push(*directory),
                }
            }
            at += 1;
        }
        self.files.retain(|id, _| files.contains(id));
        self.directories.retain(|id, _| directories.contains(id));
        self.directories.values_mut().for_each(|names| names.seen.clone_from(&names.durable));
        for entry in self.files.values_mut() {
            entry.content.crash(random);
            (entry.named, entry.open) = (true, 0);
        }
        self.used = self.files.values().map(Entry::occupied).sum();
    }

    // Files.

    fn change<T>(&mut self, file: Id, action: impl FnOnce(&mut Entry) -> T) -> T {
        let entry = self.files.get_mut(&file).expect("a file that has a name or is open is in the image");
        let before = entry.occupied();
        let result = action(entry);
        self.used = self.used - before + entry.occupied();
        result
    }

    fn content(&self, file: Id) -> &Content {
        &self.files.get(&file).expect("a file that is open is in the image").content
    }

    pub(super) fn open(&mut self, path: &Path, how: Open) -> io::Result<Id> {
        let file = match (self.file(path), how) {
            (Ok(file), Open::Create) => {
                self.change(file, |entry| entry.content.truncate());
                file
            }
            (Ok(_), Open::New) => return Err(error(errno::EEXIST)),
            (Err(problem), Open::Create | Open::New | Open::Direct) if problem.kind() == io::ErrorKind::NotFound => {
                self.create_file(path)?
            }
            (found, _) => found?,
        };
        self.change(file, |entry| entry.open += 1);
        Ok(file)
    }

    fn create_file(&mut self, path: &Path) -> io::Result<Id> {
        let (parent, name) = self.place(path)?;
        self.made += 1;
        let file = self.made;
        self.files.insert(file, Entry::default());
        self.rename_entry(None, Some((parent, name, Child::File(file))));
        Ok(file)
    }

    pub(super) fn close(&mut self, file: Id) {
        self.change(file, |entry| entry.open -= 1);
        self.forget(Child::File(file));
    }

    /// Closes every file, as the end of a process does.
    pub(super) fn close_all(&mut self) {
        let open: Vec<Id> = self.files.iter().filter(|(_, entry)| entry.open > 0).map(|(id, _)| *id).collect();
        for file in open {
            self.change(file, |entry| entry.open = 0);
            self.forget(Child::File(file));
        }
    }

    /// Writes all of `octets`, or as much as `capacity` has room for and the error.
    pub(super) fn write(&mut self, file: Id, offset: u64, octets: &[u8], capacity: u64) -> io::Result<()> {
        let length = self.length(file);
        if offset.saturating_add(octets.len() as u64) > LARGEST {
            return Err(error(errno::EFBIG));
        }
        let end = length.saturating_add(capacity.saturating_sub(self.used));
        let fits = usize::try_from(end.saturating_sub(offset)).unwrap_or(usize::MAX).min(octets.len());
        if fits > 0 {
            self.change(file, |entry| entry.content.write(offset as usize, &octets[..fits]));
        }
        if fits < octets.len() { Err(error(errno::ENOSPC)) } else { Ok(()) }
    }

    /// Reads to the front of `buffer` and says how much there was.
    pub(super) fn read(&self, file: Id, offset: u64, buffer: &mut [u8]) -> usize {
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let octets = self.content(file).seen().get(from..).unwrap_or_default();
        let count = octets.len().min(buffer.len());
        buffer[..count].copy_from_slice(&octets[..count]);
        count
    }

    pub(super) fn length(&self, file: Id) -> u64 {
        self.content(file).seen().len() as u64
    }

    pub(super) fn file_mark(&self, file: Id) -> u64 {
        self.content(file).mark()
    }

    pub(super) fn sync(&mut self, file: Id, mark: u64) {
        self.change(file, |entry| entry.content.sync(mark));
    }

    pub(super) fn sync_failed(&mut self, file: Id, mark: u64, random: &mut Random) {
        self.change(file, |entry| entry.content.sync_failed(mark, random));
    }

    /// All that the running system sees in a file.
    pub(super) fn read_all(&self, path: &Path) -> io::Result<Vec<u8>> {
        Ok(self.content(self.file(path)?).seen().to_vec())
    }
}

fn error(number: i32) -> io::Error {
    io::Error::from_raw_os_error(number)
}

/// The names along an absolute path.
fn names(path: &Path) -> io::Result<Vec<&str>> {
    if !path.is_absolute() {
        return Err(error(errno::EINVAL));
    }
    let name = |component| match component {
        Component::Normal(name) => name.to_str().ok_or_else(|| error(errno::EINVAL)),
        _ => Err(error(errno::EINVAL)),
    };
    path.components().skip(1).map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> &Path {
        Path::new(text)
    }

    fn create(image: &mut Image, at: &str) {
        let file = image.open(path(at), Open::Create).expect("created");
        image.close(file);
    }

    /// Two durable directories.
    fn prepared() -> Image {
        let mut image = Image::new();
        for directory in ["/tmp", "/new"] {
            image.create_directory(path(directory)).expect("created");
        }
        let mark = image.mark();
        image.sync_directory(path("/"), mark).expect("synced");
        image
    }

    /// What is in `/tmp` and `/new` after each of 500 crashes.
    fn crashes(prepare: impl Fn(&mut Image)) -> Vec<[Vec<String>; 2]> {
        let crash = |seed| {
            let mut image = prepared();
            prepare(&mut image);
            image.crash(&mut Random::new(seed));
            ["/tmp", "/new"].map(|directory| image.list(path(directory)).expect("a durable directory"))
        };
        (0..500).map(crash).collect()
    }

    #[test]
    fn names_survive_as_a_prefix_of_what_happened_in_their_directory() {
        let left = crashes(|image| ["/tmp/a", "/tmp/b", "/tmp/c"].iter().for_each(|name| create(image, name)));
        let mut states: Vec<Vec<String>> = left.into_iter().map(|[tmp, _]| tmp).collect();
        states.sort();
        states.dedup();
        assert_eq!(states, [vec![], vec!["a"], vec!["a", "b"], vec!["a", "b", "c"]]);
    }

    #[test]
    fn directories_are_independent_of_each_other() {
        let left = crashes(|image| ["/tmp/a", "/new/b"].iter().for_each(|name| create(image, name)));
        assert!(left.iter().any(|[tmp, new]| tmp.is_empty() && !new.is_empty()));
        assert!(left.iter().any(|[tmp, new]| !tmp.is_empty() && new.is_empty()));
    }

    #[test]
    fn a_synced_directory_keeps_its_names_and_syncing_the_file_does_not_keep_its_name() {
        let left = crashes(|image| {
            create(image, "/tmp/a");
            let mark = image.mark();
            image.sync_directory(path("/tmp"), mark).expect("synced");
            let file = image.open(path("/tmp/b"), Open::Create).expect("created");
            image.sync(file, image.file_mark(file));
        });
        assert!(left.iter().all(|[tmp, _]| tmp.contains(&"a".to_owned())));
        assert!(left.iter().any(|[tmp, _]| !tmp.contains(&"b".to_owned())));
    }

    #[test]
    fn a_directory_sync_covers_only_what_happened_before_it_started() {
        let left = crashes(|image| {
            let mark = image.mark();
            create(image, "/tmp/a");
            image.sync_directory(path("/tmp"), mark).expect("synced");
        });
        assert!(left.iter().any(|[tmp, _]| tmp.is_empty()));
    }

    #[test]
    fn a_rename_between_directories_is_seen_whole_or_not_at_all() {
        let left = crashes(|image| {
            create(image, "/tmp/a");
            let mark = image.mark();
            image.sync_directory(path("/tmp"), mark).expect("synced");
            image.rename(path("/tmp/a"), path("/new/a")).expect("renamed");
        });
        assert!(left.iter().all(|[tmp, new]| tmp.len() + new.len() == 1));
        assert!(left.iter().any(|[tmp, _]| tmp.len() == 1) && left.iter().any(|[_, new]| new.len() == 1));
    }

    #[test]
    fn nothing_after_a_lost_rename_survives_in_either_directory() {
        let left = crashes(|image| {
            create(image, "/tmp/a");
            image.rename(path("/tmp/a"), path("/new/a")).expect("renamed");
            create(image, "/new/b");
        });
        assert!(left.iter().all(|[_, new]| !new.contains(&"b".to_owned()) || new.len() == 2));
        assert!(left.iter().any(|[_, new]| new.len() == 2));
    }

    #[test]
    fn syncing_the_new_directory_of_a_rename_is_enough() {
        let left = crashes(|image| {
            create(image, "/tmp/a");
            image.rename(path("/tmp/a"), path("/new/a")).expect("renamed");
            let mark = image.mark();
            image.sync_directory(path("/new"), mark).expect("synced");
        });
        assert!(left.iter().all(|[tmp, new]| tmp.is_empty() && new.len() == 1));
    }

    #[test]
    fn what_lies_in_a_lost_directory_is_lost() {
        let left = (0..100).map(|seed| {
            let mut image = Image::new();
            image.create_directory(path("/a")).expect("created");
            create(&mut image, "/a/b");
            let mark = image.mark();
            image.sync_directory(path("/a"), mark).expect("synced");
            image.crash(&mut Random::new(seed));
            (image.list(path("/a")).ok(), image.files.len())
        });
        let left: Vec<_> = left.collect();
        assert!(left.iter().all(|left| *left == (None, 0) || *left == (Some(vec!["b".to_owned()]), 1)));
        assert!(left.contains(&(None, 0)) && left.len() == 100);
    }

    #[test]
    fn a_removed_file_gives_its_room_back_when_it_is_closed_and_its_memory_when_the_name_is_durably_gone() {
        let mut image = prepared();
        let file = image.open(path("/tmp/a"), Open::Create).expect("created");
        image.write(file, 0, &[1; 1000], 1500).expect("fits");
        assert_eq!(image.write(file, 1000, &[1; 1000], 1500).map_err(|e| e.raw_os_error()), Err(Some(errno::ENOSPC)));
        assert_eq!((image.length(file), image.used()), (1500, 1500));
        image.remove(path("/tmp/a")).expect("removed");
        assert_eq!(image.used(), 1500);
        image.close(file);
        assert_eq!((image.used(), image.files.len()), (0, 1));
        let mark = image.mark();
        image.sync_directory(path("/tmp"), mark).expect("synced");
        assert_eq!(image.files.len(), 0);
    }

    #[test]
    fn a_removed_file_whose_renamed_name_is_durable_comes_back_whole() {
        let left = (0..100).map(|seed| {
            let mut image = prepared();
            let file = image.open(path("/tmp/a"), Open::Create).expect("created");
            image.write(file, 0, b"whole", u64::MAX).expect("fits");
            image.sync(file, image.file_mark(file));
            image.close(file);
            image.rename(path("/tmp/a"), path("/new/a")).expect("renamed");
            let mark = image.mark();
            image.remove(path("/new/a")).expect("removed");
            image.sync_directory(path("/new"), mark).expect("synced");
            assert_eq!(image.used(), 0);
            image.crash(&mut Random::new(seed));
            let content = image.read_all(path("/new/a")).ok();
            assert_eq!(image.used(), content.as_ref().map_or(0, |content| content.len() as u64));
            content
        });
        let left: Vec<_> = left.collect();
        assert!(left.contains(&None) && left.contains(&Some(b"whole".to_vec())));
        assert!(left.iter().flatten().all(|content| content == b"whole"));
    }

    #[test]
    fn mistakes_are_answered_as_the_system_would() {
        let mut image = prepared();
        create(&mut image, "/tmp/a");
        let errno = |result: io::Result<()>| result.map_err(|problem| problem.raw_os_error().unwrap_or(0));
        assert_eq!(errno(image.open(path("/tmp/x"), Open::Read).map(drop)), Err(errno::ENOENT));
        assert_eq!(errno(image.open(path("/x/x"), Open::Create).map(drop)), Err(errno::ENOENT));
        assert_eq!(errno(image.open(path("/tmp/a/x"), Open::Create).map(drop)), Err(errno::ENOTDIR));
        assert_eq!(errno(image.open(path("/tmp"), Open::Direct).map(drop)), Err(errno::EISDIR));
        assert_eq!(errno(image.open(path("tmp/a"), Open::Read).map(drop)), Err(errno::EINVAL));
        assert_eq!(errno(image.create_directory(path("/tmp"))), Err(errno::EEXIST));
        assert_eq!(errno(image.create_directory(path("/"))), Err(errno::EEXIST));
        assert_eq!(errno(image.remove(path("/tmp"))), Err(errno::EISDIR));
        assert_eq!(errno(image.rename(path("/tmp/a"), path("/new"))), Err(errno::EISDIR));
        assert_eq!(errno(image.rename(path("/tmp/a"), path("/tmp/a"))), Ok(()));
        assert_eq!(image.list(path("/tmp")).ok(), Some(vec!["a".to_owned()]));
    }
}
