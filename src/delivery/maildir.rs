//! Delivery into Maildirs: written under `tmp`, synced, renamed into `new`, the directory synced for all who wait for it.

use std::cell::RefCell;
use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use super::answered::Answering;
use super::shared_sync::SharedSync;
use super::text::{ToMailbox, WireForm};
use super::writing::{BUFFER, Writing};
use crate::io::{Aligned, Disk, Machine, Open};
use crate::mail::{Mailbox, MessageId, ReversePath};

/// The proof that a message is in a mailbox, its name there included. Only [`NewFile::finish`] makes one.
#[derive(Debug)]
pub struct Delivered(());

/// The Maildirs of this host, as one core reaches them.
#[derive(Clone)]
pub struct Maildirs<M: Machine> {
    machine: M,
    root: PathBuf,
    host: Box<str>,
    /// Maildirs that this process knows to be durable, themselves and the directories above them.
    durable: Rc<RefCell<HashSet<PathBuf>>>,
    syncs: SharedSync,
    answering: Answering,
}

/// Maildirs that are remembered as durable; beyond, all are forgotten and found out anew.
const REMEMBERED: usize = 10_000;

/// A message that is being written into a Maildir.
pub struct NewFile<'a, M: Machine> {
    maildirs: &'a Maildirs<M>,
    maildir: PathBuf,
    name: String,
    /// All of it so far, while it is small.
    gathered: Vec<u8>,
    /// The file of one that is not.
    large: Option<Writing<M>>,
    text: ToMailbox,
}

/// What is delivered: which message, for whom.
pub struct Item<'a> {
    /// The message.
    pub id: MessageId,
    /// Microseconds since the Unix epoch at which it was received.
    pub received_at: u64,
    /// The recipient's place in the envelope.
    pub place: u32,
    /// The recipient as it was given.
    pub recipient: &'a Mailbox,
    /// Whose mailbox it goes to.
    pub user: &'a Mailbox,
    /// The folder there; the inbox where there is none, or where it is none that can be had.
    pub folder: Option<&'a str>,
    /// Where failures are reported to.
    pub reverse_path: &'a ReversePath,
    /// How the content will come.
    pub form: WireForm,
}

impl<M: Machine> Maildirs<M> {
    /// Below `root`; `host` becomes part of the files' names.
    pub fn new(machine: M, root: &Path, host: &str) -> Maildirs<M> {
        let host = host.replace(['/', ':', '\0'], "-").into();
        let (durable, syncs, answering) = Default::default();
        Maildirs { machine, root: root.to_owned(), host, durable, syncs, answering }
    }

    /// The Maildir of a user: `<root>/<domain>/<local part>`.
    pub fn path(&self, user: &Mailbox) -> PathBuf {
        self.root.join(file_name(&user.domain().to_string())).join(file_name(user.local()))
    }

    /// Begins to write a message. The file's name follows from the message and the recipient, so an attempt that is repeated
    /// after a crash replaces what the one before it left.
    pub async fn begin(&self, item: &Item<'_>) -> io::Result<NewFile<'_, M>> {
        let inbox = self.path(item.user);
        let maildir = match item.folder.and_then(folder_name) {
            Some(folder) => inbox.join(folder),
            None => inbox,
        };
        let name = format!("{}.{}R{}.{}", item.received_at / 1_000_000, item.id, item.place, self.host);
        if !self.durable.borrow().contains(&maildir) {
            self.create(&maildir).await?;
        }
        let end = if item.form == WireForm::Binary { "\r\n" } else { "\n" };
        let reverse_path = match item.reverse_path {
            ReversePath::Null => String::new(),
            ReversePath::Mailbox(mailbox) => mailbox.to_string(),
        };
        let head = format!("Return-Path: <{reverse_path}>{end}Delivered-To: {}{end}", item.recipient);
        let gathered = head.into_bytes();
        Ok(NewFile { maildirs: self, maildir, name, gathered, large: None, text: ToMailbox::new(item.form) })
    }

    pub(super) fn machine(&self) -> &M {
        &self.machine
    }

    pub(super) fn answering(&self) -> &Answering {
        &self.answering
    }

    /// Makes a user's Maildir, if this process does not know it to be there.
    pub(super) async fn make(&self, user: &Mailbox) -> io::Result<()> {
        let maildir = self.path(user);
        let is_there = self.durable.borrow().contains(&maildir);
        if is_there { Ok(()) } else { self.create(&maildir).await }
    }

    /// Makes a Maildir with the domain's directory above it, as far as they are not there. Their names are synced in any case: an
    /// earlier process may have made them and ended before it did. `tmp` comes last: where it is there, so are the others. The
    /// root is made at the start alone: if it vanishes, a file system was unmounted, and what was delivered in its place would be
    /// hidden once it is back.
    async fn create(&self, maildir: &Path) -> io::Result<()> {
        let above: Vec<&Path> = maildir.ancestors().take_while(|directory| *directory != self.root).collect();
        for directory in above.into_iter().rev() {
            self.create_directory(directory).await?;
        }
        for part in ["cur", "new", "tmp"] {
            self.create_directory(&maildir.join(part)).await?;
        }
        let mut durable = self.durable.borrow_mut();
        if durable.len() >= REMEMBERED {
            durable.clear();
        }
        durable.insert(maildir.to_owned());
        Ok(())
    }

    async fn create_directory(&self, directory: &Path) -> io::Result<()> {
        match self.machine.disk().create_directory(directory).await {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        match directory.parent() {
            Some(parent) => self.machine.disk().sync_directory(parent).await,
            None => Ok(()),
        }
    }
}

impl<M: Machine> NewFile<'_, M> {
    /// Appends content as it came over the wire.
    pub async fn push(&mut self, content: &[u8]) -> io::Result<()> {
        for slice in content.chunks(BUFFER) {
            let text = &mut self.text;
            if let Some(file) = &mut self.large {
                file.push_with(slice, |slice, to| text.convert(slice, to)).await?;
                continue;
            }
            text.convert(slice, &mut self.gathered);
            if self.gathered.len() >= BUFFER {
                let file = self.open().await?;
                self.large = Some(Writing::new(file, std::mem::take(&mut self.gathered)));
            }
        }
        Ok(())
    }

    async fn open(&self) -> io::Result<<M::Disk as Disk>::File> {
        let (disk, path) = (self.maildirs.machine.disk(), self.unfinished());
        match disk.open(&path, Open::New).await {
            Err(error) => {
                self.make_way(error).await?;
                disk.open(&path, Open::New).await
            }
            opened => opened,
        }
    }

    /// Its path while it is written.
    fn unfinished(&self) -> PathBuf {
        self.maildir.join("tmp").join(&self.name)
    }

    /// Takes away what kept the file from being made, if that is known.
    async fn make_way(&self, error: io::Error) -> io::Result<()> {
        match error.kind() {
            // Somebody removed the Maildir while we ran.
            io::ErrorKind::NotFound => {
                self.maildirs.create(&self.maildir).await?;
                // Where `new` alone was missing, the file is there already.
                let _ = self.maildirs.machine.disk().remove(&self.unfinished()).await;
                Ok(())
            }
            // An attempt before a crash left it. The file may be in `new` as well, where the file system keeps the two names of a
            // rename apart: what a reader sees there must not be written over.
            io::ErrorKind::AlreadyExists => self.maildirs.machine.disk().remove(&self.unfinished()).await,
            _ => Err(error),
        }
    }

    /// Makes the message visible and durable: file synced, renamed into `new`, that directory synced. Where that fails, what was
    /// written is removed: a full disk must not be filled further by every attempt.
    pub async fn finish(mut self) -> io::Result<Delivered> {
        match self.publish().await {
            Ok(()) => Ok(Delivered(())),
            Err(error) => {
                self.abandon().await;
                Err(error)
            }
        }
    }

    async fn publish(&mut self) -> io::Result<()> {
        let (machine, new) = (&self.maildirs.machine, self.maildir.join("new"));
        let (from, to) = (self.unfinished(), new.join(&self.name));
        let text = &mut self.text;
        match &mut self.large {
            Some(file) => {
                file.finish(|end| text.finish(end)).await?;
                machine.disk().rename(&from, &to).await?;
            }
            None => {
                text.finish(&mut self.gathered);
                self.publish_small(&from, &to).await?;
            }
        }
        self.maildirs.syncs.sync(machine, &new).await
    }

    /// What was gathered whole takes all steps in one operation.
    async fn publish_small(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (disk, length) = (self.maildirs.machine.disk(), self.gathered.len());
        let mut buffer = Aligned::zeroed(length);
        buffer[..length].copy_from_slice(&self.gathered);
        match disk.publish(buffer, 0..length, from, to).await {
            (Err(error), buffer) => {
                self.make_way(error).await?;
                disk.publish(buffer, 0..length, from, to).await.0
            }
            (published, _) => published,
        }
    }

    /// Gives up: what was written is removed.
    pub async fn abandon(self) {
        // What cannot be removed now is replaced by the next attempt, or cleaned up by the mail reader after 36 hours, as
        // Maildir asks of it.
        let _ = self.maildirs.machine.disk().remove(&self.unfinished()).await;
    }
}

/// Octets of a folder's name at most.
const FOLDER_MAX: usize = 200;

/// The directory of a folder beside the inbox, as Maildir++ has it: a dot before every level. `/` and `.` part levels, and INBOX
/// before them is the inbox itself; letters beyond ASCII are written as IMAP does (RFC 3501 §5.1.3), so that readers show
/// them. `None` for the inbox, and for a name that is too long to be one.
fn folder_name(folder: &str) -> Option<String> {
    let mut levels: Vec<&str> = folder.split(['/', '.']).filter(|level| !level.is_empty()).collect();
    if levels.first().is_some_and(|level| level.eq_ignore_ascii_case("INBOX")) {
        levels.remove(0);
    }
    let mut name = String::new();
    for level in levels {
        name.push('.');
        let mut wide: Vec<u8> = Vec::new();
        for c in level.chars() {
            if !(' '..='~').contains(&c) {
                c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| wide.extend_from_slice(&unit.to_be_bytes()));
                continue;
            }
            put_wide(&mut wide, &mut name);
            if c == '&' { name.push_str("&-") } else { name.push(c) }
        }
        put_wide(&mut wide, &mut name);
    }
    (!name.is_empty() && name.len() <= FOLDER_MAX).then_some(name)
}

/// Writes letters that a name cannot have, UTF-16, as it can (modified Base64).
fn put_wide(wide: &mut Vec<u8>, name: &mut String) {
    if !wide.is_empty() {
        name.push('&');
        name.push_str(&STANDARD_NO_PAD.encode(&*wide).replace('/', ","));
        name.push('-');
        wide.clear();
    }
}

/// A text as the name of a file: what could be mistaken for a path or a hidden file is written as `%` and two hexadecimal
/// digits.
pub(super) fn file_name(text: &str) -> String {
    let mut name = String::with_capacity(text.len());
    for (place, octet) in text.bytes().enumerate() {
        let plain = octet.is_ascii_alphanumeric() || b"-_+=@~,".contains(&octet) || (octet == b'.' && place > 0);
        if plain {
            name.push(char::from(octet));
        } else {
            name.push_str(&format!("%{octet:02X}"));
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::io::sim::{Edge, Fault, Operation, SimMachine, World};

    #[test]
    fn file_names_lead_nowhere_else() {
        assert_eq!(file_name("you"), "you");
        assert_eq!(file_name("first.last+x"), "first.last+x");
        assert_eq!(file_name(".."), "%2E.");
        assert_eq!(file_name("../a b"), "%2E.%2Fa%20b");
        assert_eq!(file_name("%2F"), "%252F");
        assert_eq!(file_name("jürgen"), "j%C3%BCrgen");
    }

    #[test]
    fn folders_stand_beside_the_inbox_and_lead_nowhere_else() {
        for (folder, name) in [
            ("Junk", Some(".Junk")),
            ("INBOX", None),
            ("inbox/Lists/Rust", Some(".Lists.Rust")),
            ("Lists.Rust", Some(".Lists.Rust")),
            ("../../etc", Some(".etc")),
            ("a&b c", Some(".a&-b c")),
            ("Entwürfe", Some(".Entw&APw-rfe")),
            ("台北/日本語", Some(".&U,BTFw-.&ZeVnLIqe-")),
            ("", None),
            ("/./", None),
        ] {
            assert_eq!(folder_name(folder).as_deref(), name, "{folder}");
        }
        assert_eq!(folder_name("a\0b\nc").as_deref(), Some(".a&AAA-b&AAo-c"));
        assert_eq!(folder_name(&"x".repeat(FOLDER_MAX)), None);
    }

    /// A message that is published in one operation, and one that is written in pieces.
    const SMALL: usize = 3_000;
    const LARGE: usize = 3 * BUFFER;

    fn world(seed: u64) -> World {
        let world = World::new(seed);
        world.disk().make_directory("/mail").expect("the disk is empty");
        world
    }

    fn content(octets: usize) -> Vec<u8> {
        b"twelve octs\r\n".iter().copied().cycle().take(octets / 13 * 13).collect()
    }

    /// Delivers a message of so many octets, as the process that runs now would.
    async fn deliver(machine: &SimMachine, octets: usize) -> io::Result<Delivered> {
        let maildirs = Maildirs::new(machine.clone(), "/mail".as_ref(), "host");
        let mailbox = Mailbox::parse("you@localhost").expect("a mailbox");
        let mut file = maildirs
            .begin(&Item {
                id: MessageId(7),
                received_at: 0,
                place: 0,
                recipient: &mailbox,
                user: &mailbox,
                folder: None,
                reverse_path: &ReversePath::Null,
                form: WireForm::Plain,
            })
            .await?;
        for slice in content(octets).chunks(10_000) {
            if let Err(error) = file.push(slice).await {
                file.abandon().await;
                return Err(error);
            }
        }
        file.finish().await
    }

    /// What the only message there may be looks like, if it is there.
    fn found(world: &World, part: &str) -> Option<Vec<u8>> {
        let directory = format!("/mail/localhost/you/{part}");
        let names = world.disk().list(&directory).unwrap_or_default();
        assert!(names.len() <= 1, "{names:?}");
        names.first().map(|name| world.disk().read(format!("{directory}/{name}")).expect("it is listed"))
    }

    fn whole(octets: usize) -> Vec<u8> {
        let text = String::from_utf8(content(octets)).expect("letters").replace("\r\n", "\n");
        format!("Return-Path: <>\nDelivered-To: you@localhost\n{text}").into_bytes()
    }

    #[test]
    fn a_message_is_whole_or_not_there_and_once_told_it_stays() {
        for octets in [SMALL, LARGE] {
            for (seed, edge) in (1..=10).flat_map(|seed| [(seed, Edge::Before), (seed, Edge::After)]) {
                for at in 1.. {
                    let world = world(seed);
                    world.faults().crash_at(at, edge);
                    let machine = world.machine();
                    let told = world.block_on(deliver(&machine, octets)).map(|told| told.expect("nothing fails"));
                    assert!(found(&world, "new").is_none_or(|seen| seen == whole(octets)), "seen before it is whole");
                    world.crash();
                    world.faults().clear();
                    assert!(found(&world, "new").is_none_or(|left| left == whole(octets)), "left in part");
                    assert!(told.is_none() || found(&world, "new").is_some(), "told and lost");
                    let machine = world.restart();
                    world.block_on(deliver(&machine, octets)).expect("nothing stops it").expect("it is repeated");
                    assert_eq!((found(&world, "new"), found(&world, "tmp")), (Some(whole(octets)), None));
                    if told.is_some() {
                        break;
                    }
                }
            }
        }
    }

    /// Whether a delivery that meets the fault, and says that it succeeded, is found missing or cut after one of many crashes.
    fn is_noticed(octets: usize, fault: impl Fn() -> Fault) -> bool {
        (1..100).any(|seed| {
            let world = world(seed);
            world.faults().add(fault());
            let machine = world.machine();
            world.block_on(deliver(&machine, octets)).expect("nothing stops it").expect("says that it succeeded");
            world.crash();
            found(&world, "new") != Some(whole(octets))
        })
    }

    #[test]
    fn every_sync_is_needed() {
        for octets in [SMALL, LARGE] {
            assert!(is_noticed(octets, || Fault::lose(Operation::Sync)));
            assert!(is_noticed(octets, || Fault::lose(Operation::SyncDirectory).at(|path| path.ends_with("you/new"))));
            assert!(!is_noticed(octets, || Fault::delay(Operation::Write, Duration::from_secs(1))));
        }
    }

    #[test]
    fn what_fails_leaves_nothing_under_tmp_and_is_repeated() {
        use Operation::{Open, Rename, Sync, SyncDirectory, Write};
        for octets in [SMALL, LARGE] {
            for operation in [Open, Write, Sync, Rename, SyncDirectory] {
                let world = world(1);
                let concerned = |path: &Path| path.starts_with("/mail/localhost/you/tmp") || path.ends_with("you/new");
                world.faults().add(Fault::fail(operation, libc::ENOSPC).at(concerned));
                let machine = world.machine();
                let result = world.block_on(deliver(&machine, octets)).expect("nothing stops it");
                let error = result.expect_err("a step failed").raw_os_error();
                assert_eq!(error, Some(libc::ENOSPC), "{operation:?}");
                assert_eq!(found(&world, "tmp"), None, "{operation:?}");
                // Only where the last step failed it is seen, whole, though nobody is told so.
                let seen = (operation == SyncDirectory).then(|| whole(octets));
                assert_eq!(found(&world, "new"), seen, "{operation:?}");
                world.faults().clear();
                world.block_on(deliver(&machine, octets)).expect("nothing stops it").expect("nothing fails any more");
                assert_eq!((found(&world, "new"), found(&world, "tmp")), (Some(whole(octets)), None));
            }
        }
    }

    #[test]
    fn a_disk_that_runs_full_leaves_nothing_of_it() {
        for octets in [SMALL, LARGE] {
            let world = world(1);
            world.faults().set_capacity(octets as u64 / 2);
            let machine = world.machine();
            let error = world.block_on(deliver(&machine, octets)).expect("nothing stops it").expect_err("it is full");
            assert_eq!(error.kind(), io::ErrorKind::StorageFull);
            assert_eq!((found(&world, "new"), found(&world, "tmp")), (None, None));
        }
    }
}
