//! What a disk holds, and what it would hold after the power failed now. No I/O, no clock.
//!
//! It is as forgetful as POSIX allows: a write is kept for sure once its *file* was synced, a name once its *directory* was,
//! and neither is by the sync of anything else. Of what was not synced a cut keeps some of it and in any order: of names
//! each by itself (a rename within a directory whole or not at all), of writes a prefix, or sectors here and there, or nothing.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::{OsStr, OsString};

use crate::random::Random;

/// The number of the root.
pub const ROOT: u64 = 1;

/// Octets that a disk writes whole or not at all.
pub const SECTOR: usize = 512;

/// The number of an error (errno(3)).
pub type Errno = i32;

/// Files and directories by their numbers.
pub struct Disk {
    nodes: HashMap<u64, Node>,
    made: u64,
    /// Counts changes, so that a sync can say which of them it is for.
    changes: u64,
    /// Octets in files, as they are now.
    octets: u64,
}

/// A file or a directory.
pub struct Node {
    /// Permissions.
    pub mode: u32,
    /// Owner and group.
    pub owner: (u32, u32),
    /// The directory that it was last in, and its name there.
    place: (u64, OsString),
    kind: Kind,
}

enum Kind {
    File(File),
    Directory(Directory),
}

#[derive(Default)]
struct File {
    durable: Vec<u8>,
    now: Vec<u8>,
    unsynced: Vec<(u64, Write)>,
}

enum Write {
    Octets { offset: usize, octets: Vec<u8> },
    Length(usize),
}

type Names = BTreeMap<OsString, u64>;

#[derive(Default)]
struct Directory {
    durable: Names,
    now: Names,
    unsynced: Vec<(u64, Naming)>,
}

#[derive(Clone)]
enum Naming {
    Set(OsString, u64),
    Remove(OsString),
    Move(OsString, OsString, u64),
}

/// What a cut did.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Loss {
    /// Writes that had not been synced, and how many of them are gone whole or in part.
    pub writes: (u64, u64),
    /// Writes of which some sectors are there and others are not.
    pub torn: u64,
    /// Changes of names that had not been synced, and how many of them are gone.
    pub names: (u64, u64),
}

impl Write {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Write::Octets { offset, octets } => put(content, *offset, octets),
            Write::Length(length) => content.resize(*length, 0),
        }
    }
}

fn put(content: &mut Vec<u8>, offset: usize, octets: &[u8]) {
    let end = offset + octets.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[offset..end].copy_from_slice(octets);
}

impl Naming {
    fn apply(&self, names: &mut Names) {
        match self {
            Naming::Set(name, number) => drop(names.insert(name.clone(), *number)),
            Naming::Remove(name) => drop(names.remove(name)),
            Naming::Move(from, to, number) => {
                names.remove(from);
                names.insert(to.clone(), *number);
            }
        }
    }
}

impl Node {
    fn new(place: (u64, OsString), mode: u32, owner: (u32, u32), kind: Kind) -> Node {
        Node { mode, owner, place, kind }
    }

    /// It is a directory.
    pub fn is_directory(&self) -> bool {
        matches!(self.kind, Kind::Directory(_))
    }

    /// Octets, of a file.
    pub fn length(&self) -> u64 {
        match &self.kind {
            Kind::File(file) => file.now.len() as u64,
            Kind::Directory(_) => 0,
        }
    }
}

impl Disk {
    /// An empty one whose root belongs to this owner.
    pub fn new(owner: (u32, u32)) -> Disk {
        let root = Node::new((ROOT, OsString::new()), 0o755, owner, Kind::Directory(Directory::default()));
        Disk { nodes: HashMap::from([(ROOT, root)]), made: ROOT, changes: 0, octets: 0 }
    }

    /// A file or directory by its number.
    pub fn node(&self, number: u64) -> Result<&Node, Errno> {
        self.nodes.get(&number).ok_or(libc::ENOENT)
    }

    /// The same, to be changed. What is changed there is durable at once: modes and owners are not what is tested.
    pub fn node_mut(&mut self, number: u64) -> Result<&mut Node, Errno> {
        self.nodes.get_mut(&number).ok_or(libc::ENOENT)
    }

    fn file(&mut self, number: u64) -> Result<&mut File, Errno> {
        match &mut self.node_mut(number)?.kind {
            Kind::File(file) => Ok(file),
            Kind::Directory(_) => Err(libc::EISDIR),
        }
    }

    fn directory(&self, number: u64) -> Result<&Directory, Errno> {
        match &self.node(number)?.kind {
            Kind::Directory(directory) => Ok(directory),
            Kind::File(_) => Err(libc::ENOTDIR),
        }
    }

    /// Octets in all files as they are now.
    pub fn octets(&self) -> u64 {
        self.octets
    }

    /// The path of a node, as far as it is known.
    pub fn path(&self, number: u64) -> String {
        let Ok(node) = self.node(number) else { return String::new() };
        let (parent, name) = &node.place;
        if number == ROOT { String::new() } else { format!("{}/{}", self.path(*parent), name.to_string_lossy()) }
    }

    /// What a directory has under this name.
    pub fn find(&self, directory: u64, name: &OsStr) -> Result<u64, Errno> {
        self.directory(directory)?.now.get(name).copied().ok_or(libc::ENOENT)
    }

    /// What is in a directory, and the directory that it is in itself.
    pub fn list(&self, directory: u64) -> Result<(Vec<(OsString, u64)>, u64), Errno> {
        let names = self.directory(directory)?.now.iter().map(|(name, number)| (name.clone(), *number)).collect();
        Ok((names, self.node(directory)?.place.0))
    }

    fn change(&mut self, directory: u64, naming: Naming) -> Result<(), Errno> {
        self.changes += 1;
        let at = self.changes;
        match &mut self.node_mut(directory)?.kind {
            Kind::Directory(directory) => {
                naming.apply(&mut directory.now);
                directory.unsynced.push((at, naming));
                Ok(())
            }
            Kind::File(_) => Err(libc::ENOTDIR),
        }
    }

    /// Makes a file or a directory; its number.
    pub fn make(
        &mut self,
        parent: u64,
        name: &OsStr,
        mode: u32,
        owner: (u32, u32),
        is_directory: bool,
    ) -> Result<u64, Errno> {
        if self.directory(parent)?.now.contains_key(name) {
            return Err(libc::EEXIST);
        }
        self.made += 1;
        let number = self.made;
        let kind = if is_directory { Kind::Directory(Directory::default()) } else { Kind::File(File::default()) };
        self.nodes.insert(number, Node::new((parent, name.to_owned()), mode, owner, kind));
        self.change(parent, Naming::Set(name.to_owned(), number))?;
        Ok(number)
    }

    /// Removes a name.
    pub fn remove(&mut self, parent: u64, name: &OsStr, is_directory: bool) -> Result<(), Errno> {
        let number = self.find(parent, name)?;
        match (&self.node(number)?.kind, is_directory) {
            (Kind::Directory(_), false) => return Err(libc::EISDIR),
            (Kind::File(_), true) => return Err(libc::ENOTDIR),
            (Kind::Directory(directory), true) if !directory.now.is_empty() => return Err(libc::ENOTEMPTY),
            _ => {}
        }
        self.change(parent, Naming::Remove(name.to_owned()))
    }

    /// Gives another name, in the place of what has it already.
    pub fn rename(&mut self, from: (u64, &OsStr), to: (u64, &OsStr)) -> Result<(), Errno> {
        let number = self.find(from.0, from.1)?;
        self.directory(to.0)?;
        if from.0 == to.0 {
            self.change(to.0, Naming::Move(from.1.to_owned(), to.1.to_owned(), number))?;
        } else {
            self.change(to.0, Naming::Set(to.1.to_owned(), number))?;
            self.change(from.0, Naming::Remove(from.1.to_owned()))?;
        }
        self.node_mut(number)?.place = (to.0, to.1.to_owned());
        Ok(())
    }

    /// Reads from a file; less than was asked for at its end.
    pub fn read(&mut self, number: u64, offset: u64, length: usize) -> Result<&[u8], Errno> {
        let content = &self.file(number)?.now;
        let begin = content.len().min(offset as usize);
        Ok(&content[begin..content.len().min(begin + length)])
    }

    fn change_file(&mut self, number: u64, write: Write) -> Result<(), Errno> {
        self.changes += 1;
        let at = self.changes;
        let file = self.file(number)?;
        let before = file.now.len() as u64;
        write.apply(&mut file.now);
        let after = file.now.len() as u64;
        file.unsynced.push((at, write));
        self.octets = self.octets + after - before;
        Ok(())
    }

    /// Writes to a file.
    pub fn write(&mut self, number: u64, offset: u64, octets: &[u8]) -> Result<(), Errno> {
        self.change_file(number, Write::Octets { offset: offset as usize, octets: octets.to_vec() })
    }

    /// Gives a file this length.
    pub fn set_length(&mut self, number: u64, length: u64) -> Result<(), Errno> {
        self.change_file(number, Write::Length(length as usize))
    }

    /// The last change so far.
    pub fn last_change(&self) -> u64 {
        self.changes
    }

    /// Makes a file or a directory durable as it was after this change.
    pub fn sync(&mut self, number: u64, up_to: u64) -> Result<(), Errno> {
        match &mut self.node_mut(number)?.kind {
            Kind::File(file) => {
                let count = file.unsynced.partition_point(|(at, _)| *at <= up_to);
                file.unsynced.drain(..count).for_each(|(_, write)| write.apply(&mut file.durable));
            }
            Kind::Directory(directory) => {
                let count = directory.unsynced.partition_point(|(at, _)| *at <= up_to);
                directory.unsynced.drain(..count).for_each(|(_, naming)| naming.apply(&mut directory.durable));
            }
        }
        Ok(())
    }

    /// A sync failed: what it was for reads as it was written, and no later sync makes it durable. So does Linux: the pages
    /// count as clean from then on.
    pub fn fail_sync(&mut self, number: u64, random: &mut Random) -> Result<(), Errno> {
        if let Kind::File(file) = &mut self.node_mut(number)?.kind {
            for (_, write) in file.unsynced.drain(..) {
                if random.below(2) == 0 {
                    write.apply(&mut file.durable);
                }
            }
        }
        Ok(())
    }

    /// The power fails.
    pub fn cut(&mut self, random: &mut Random) -> Loss {
        let mut loss = Loss::default();
        let mut numbers: Vec<_> = self.nodes.keys().copied().collect();
        numbers.sort_unstable();
        for number in numbers {
            match self.nodes.get_mut(&number).map(|node| &mut node.kind) {
                Some(Kind::File(file)) => file.cut(random, &mut loss),
                Some(Kind::Directory(directory)) => directory.cut(random, &mut loss),
                None => {}
            }
        }
        self.forget_unnamed();
        loss
    }

    /// What no name leads to is gone. Names and places of the rest become what is durable.
    fn forget_unnamed(&mut self) {
        let mut named = HashSet::from([ROOT]);
        let mut open = vec![ROOT];
        let mut places = Vec::new();
        while let Some(number) = open.pop() {
            let Ok(directory) = self.directory(number) else { continue };
            for (name, child) in &directory.now {
                places.push((*child, (number, name.clone())));
                if named.insert(*child) {
                    open.push(*child);
                }
            }
        }
        self.nodes.retain(|number, _| named.contains(number));
        for (number, place) in places {
            if let Some(node) = self.nodes.get_mut(&number) {
                node.place = place;
            }
        }
        self.octets = self.nodes.values().map(Node::length).sum();
    }
}

impl File {
    fn cut(&mut self, random: &mut Random, loss: &mut Loss) {
        let unsynced = std::mem::take(&mut self.unsynced);
        loss.writes.0 += unsynced.len() as u64;
        let way = random.below(3);
        let prefix = random.below(unsynced.len() as u64 + 1) as usize;
        for (place, (_, write)) in unsynced.into_iter().enumerate() {
            let (kept, sectors) = match (way, &write) {
                (0, _) => (0, 1),
                (1, _) => (u64::from(place < prefix), 1),
                (_, Write::Octets { offset, octets }) => {
                    let kept = octets.chunks(SECTOR).enumerate().filter(|_| random.below(2) == 0);
                    let kept = kept.map(|(at, sector)| put(&mut self.durable, offset + at * SECTOR, sector)).count();
                    loss.torn += u64::from(kept > 0 && kept < octets.len().div_ceil(SECTOR));
                    loss.writes.1 += u64::from(kept < octets.len().div_ceil(SECTOR));
                    continue;
                }
                (_, Write::Length(_)) => (random.below(2), 1),
            };
            if kept == sectors {
                write.apply(&mut self.durable);
            } else {
                loss.writes.1 += 1;
            }
        }
        self.now.clone_from(&self.durable);
    }
}

impl Directory {
    fn cut(&mut self, random: &mut Random, loss: &mut Loss) {
        let way = random.below(3);
        for (_, naming) in std::mem::take(&mut self.unsynced) {
            loss.names.0 += 1;
            // All is gone, or what the dice say.
            if way > 0 && random.below(2) == 0 {
                naming.apply(&mut self.durable);
            } else {
                loss.names.1 += 1;
            }
        }
        self.now.clone_from(&self.durable);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> &OsStr {
        OsStr::new(text)
    }

    fn with_file(durable: bool) -> (Disk, u64) {
        let mut disk = Disk::new((0, 0));
        let file = disk.make(ROOT, name("file"), 0o600, (0, 0), false).expect("made");
        if durable {
            disk.sync(ROOT, disk.last_change()).expect("synced");
        }
        (disk, file)
    }

    #[test]
    fn what_was_synced_outlives_every_cut() {
        for seed in 0..200 {
            let (mut disk, file) = with_file(true);
            disk.write(file, 0, &[1; 2000]).expect("written");
            disk.sync(file, disk.last_change()).expect("synced");
            disk.write(file, 4096, &[2; 2000]).expect("written");
            disk.cut(&mut Random::new(seed));
            assert_eq!(disk.find(ROOT, name("file")), Ok(file));
            assert_eq!(disk.read(file, 0, 2000), Ok([1; 2000].as_slice()), "{seed}");
            assert_eq!(disk.octets(), disk.node(file).expect("there").length());
        }
    }

    #[test]
    fn what_was_not_synced_is_kept_whole_torn_and_not_at_all() {
        let mut seen = HashSet::new();
        for seed in 0..200 {
            let (mut disk, file) = with_file(true);
            disk.write(file, 0, &[7; 4 * SECTOR]).expect("written");
            disk.cut(&mut Random::new(seed));
            let kept = disk.read(file, 0, 4 * SECTOR).expect("read").chunks(SECTOR).filter(|sector| sector[0] == 7);
            seen.insert(kept.count());
        }
        assert_eq!(seen.len(), 5, "{seen:?}");
    }

    #[test]
    fn a_name_is_kept_by_the_sync_of_its_directory_alone() {
        let mut kept = 0;
        for seed in 0..200 {
            let (mut disk, file) = with_file(false);
            disk.sync(file, disk.last_change()).expect("synced");
            disk.cut(&mut Random::new(seed));
            kept += usize::from(disk.find(ROOT, name("file")).is_ok());
        }
        assert!((20..180).contains(&kept), "{kept}");
    }

    #[test]
    fn a_rename_within_a_directory_happens_whole_or_not_at_all() {
        let mut renamed = 0;
        for seed in 0..200 {
            let (mut disk, file) = with_file(true);
            disk.rename((ROOT, name("file")), (ROOT, name("other"))).expect("renamed");
            disk.cut(&mut Random::new(seed));
            let found = [disk.find(ROOT, name("file")), disk.find(ROOT, name("other"))];
            assert!(found == [Ok(file), Err(libc::ENOENT)] || found == [Err(libc::ENOENT), Ok(file)], "{found:?}");
            renamed += usize::from(found[1].is_ok());
        }
        assert!((20..180).contains(&renamed), "{renamed}");
    }

    #[test]
    fn a_sync_that_failed_is_not_made_good_by_the_next() {
        let mut lost = 0;
        for seed in 0..100 {
            let (mut disk, file) = with_file(true);
            disk.write(file, 0, &[7; 100]).expect("written");
            disk.fail_sync(file, &mut Random::new(seed)).expect("failed");
            disk.sync(file, disk.last_change()).expect("synced");
            assert_eq!(disk.read(file, 0, 1), Ok([7].as_slice()));
            disk.cut(&mut Random::new(seed));
            lost += usize::from(disk.read(file, 0, 1) != Ok([7].as_slice()));
        }
        assert!(lost > 20, "{lost}");
    }

    #[test]
    fn a_sync_is_for_what_came_before_it() {
        let lost = (0..100).any(|seed| {
            let (mut disk, file) = with_file(true);
            disk.write(file, 0, b"before").expect("written");
            let begun = disk.last_change();
            disk.write(file, 6, b"after").expect("written");
            disk.sync(file, begun).expect("synced");
            disk.cut(&mut Random::new(seed));
            let read = disk.read(file, 0, 100).expect("read").to_vec();
            assert!(read.starts_with(b"before"));
            read.len() == 6
        });
        assert!(lost);
    }

    #[test]
    fn directories_go_with_their_names() {
        let mut disk = Disk::new((0, 0));
        let inner = disk.make(ROOT, name("inner"), 0o700, (0, 0), true).expect("made");
        let file = disk.make(inner, name("file"), 0o600, (0, 0), false).expect("made");
        assert_eq!(disk.path(file), "/inner/file");
        assert_eq!(disk.remove(ROOT, name("inner"), true), Err(libc::ENOTEMPTY));
        disk.sync(inner, disk.last_change()).expect("synced");
        // A seed with which nothing of names is kept.
        let seed = (0..100).find(|&seed| Random::new(seed).below(3) == 0).expect("one in three");
        disk.cut(&mut Random::new(seed));
        assert!(disk.node(inner).is_err() && disk.node(file).is_err());
    }
}
