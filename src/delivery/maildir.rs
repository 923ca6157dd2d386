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
use super::writing::Writing;
use crate::io::{Disk, Machine, Open};
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
pub struct NewFile<M: Machine> {
    machine: M,
    syncs: SharedSync,
    maildir: PathBuf,
    name: String,
    file: Writing<M>,
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
    pub async fn begin(&self, item: &Item<'_>) -> io::Result<NewFile<M>> {
        let inbox = self.path(item.user);
        let maildir = match item.folder.and_then(folder_name) {
            Some(folder) => inbox.join(folder),
            None => inbox,
        };
        let name = format!("{}.{}R{}.{}", item.received_at / 1_000_000, item.id, item.place, self.host);
        let path = maildir.join("tmp").join(&name);
        if !self.durable.borrow().contains(&maildir) {
            self.create(&maildir).await?;
        }
        let disk = self.machine.disk();
        let file = match disk.open(&path, Open::New).await {
            // Somebody removed the Maildir while we ran.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.create(&maildir).await?;
                disk.open(&path, Open::New).await?
            }
            // An attempt before a crash left it. The file may be in `new` as well, where the file system keeps the two names of a
            // rename apart: what a reader sees there must not be written over.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                disk.remove(&path).await?;
                disk.open(&path, Open::New).await?
            }
            opened => opened?,
        };
        let end = if item.form == WireForm::Binary { "\r\n" } else { "\n" };
        let reverse_path = match item.reverse_path {
            ReversePath::Null => String::new(),
            ReversePath::Mailbox(mailbox) => mailbox.to_string(),
        };
        let head = format!("Return-Path: <{reverse_path}>{end}Delivered-To: {}{end}", item.recipient);
        Ok(NewFile {
            machine: self.machine.clone(),
            syncs: self.syncs.clone(),
            maildir,
            name,
            file: Writing::new(file, head.into_bytes()),
            text: ToMailbox::new(item.form),
        })
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

impl<M: Machine> NewFile<M> {
    /// Appends content as it came over the wire.
    pub async fn push(&mut self, content: &[u8]) -> io::Result<()> {
        let text = &mut self.text;
        self.file.push_with(content, |slice, to| text.convert(slice, to)).await
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
        let text = &mut self.text;
        self.file.finish(|to| text.finish(to)).await?;
        let (from, new) = (self.maildir.join("tmp").join(&self.name), self.maildir.join("new"));
        self.machine.disk().rename(&from, &new.join(&self.name)).await?;
        self.syncs.sync(&self.machine, &new).await
    }

    /// Gives up: what was written is removed.
    pub async fn abandon(self) {
        let path = self.maildir.join("tmp").join(&self.name);
        // What cannot be removed now is replaced by the next attempt, or cleaned up by the mail reader after 36 hours, as
        // Maildir asks of it.
        let _ = self.machine.disk().remove(&path).await;
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
    use super::*;

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
}
