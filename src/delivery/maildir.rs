//! Delivery into Maildirs: written under `tmp`, synced, renamed into `new`, the directory synced.

use std::cell::RefCell;
use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::text::{ToMailbox, WireForm};
use crate::io::{Aligned, Disk, File, Machine, Open};
use crate::mail::{Mailbox, MessageId, ReversePath};

/// Octets that are gathered before they are written.
const BUFFER: usize = 64 * 1024;

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
}

/// Maildirs that are remembered as durable; beyond, all are forgotten and found out anew.
const REMEMBERED: usize = 10_000;

/// A message that is being written into a Maildir.
pub struct NewFile<M: Machine> {
    machine: M,
    maildir: PathBuf,
    name: String,
    file: <M::Disk as Disk>::File,
    text: ToMailbox,
    gathered: Vec<u8>,
    written: u64,
    buffer: Option<Aligned>,
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
    /// Where failures are reported to.
    pub reverse_path: &'a ReversePath,
    /// How the content will come.
    pub form: WireForm,
}

impl<M: Machine> Maildirs<M> {
    /// Below `root`; `host` becomes part of the files' names.
    pub fn new(machine: M, root: &Path, host: &str) -> Maildirs<M> {
        let host = host.replace(['/', ':', '\0'], "-").into();
        Maildirs { machine, root: root.to_owned(), host, durable: Rc::default() }
    }

    /// The Maildir of a user: `<root>/<domain>/<local part>`.
    pub fn path(&self, user: &Mailbox) -> PathBuf {
        self.root.join(file_name(&user.domain().to_string())).join(file_name(user.local()))
    }

    /// Begins to write a message. The file's name follows from the message and the recipient, so an attempt that is repeated
    /// after a crash replaces what the one before it left.
    pub async fn begin(&self, item: &Item<'_>) -> io::Result<NewFile<M>> {
        let maildir = self.path(item.user);
        let name = format!("{}.{}R{}.{}", item.received_at / 1_000_000, item.id, item.place, self.host);
        let path = maildir.join("tmp").join(&name);
        if !self.durable.borrow().contains(&maildir) {
            self.create(&maildir).await?;
        }
        let file = match self.machine.disk().open(&path, Open::Create).await {
            // Somebody removed the Maildir while we ran.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.create(&maildir).await?;
                self.machine.disk().open(&path, Open::Create).await?
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
            maildir,
            name,
            file,
            text: ToMailbox::new(item.form),
            gathered: head.into_bytes(),
            written: 0,
            buffer: None,
        })
    }

    /// Makes a Maildir with all directories above it, as far as they are not there. Their names are synced in any case: an
    /// earlier process may have made them and ended before it did. `tmp` comes last: where it is there, so are the others.
    async fn create(&self, maildir: &Path) -> io::Result<()> {
        let domain = maildir.parent().unwrap_or(&self.root);
        for directory in [&self.root, domain, maildir] {
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
        for slice in content.chunks(BUFFER) {
            self.text.convert(slice, &mut self.gathered);
            if self.gathered.len() >= BUFFER {
                self.write().await?;
            }
        }
        Ok(())
    }

    async fn write(&mut self) -> io::Result<()> {
        let length = self.gathered.len();
        let fitting = self.buffer.take().filter(|buffer| buffer.len() >= length);
        let mut buffer = fitting.unwrap_or_else(|| Aligned::zeroed(length));
        buffer[..length].copy_from_slice(&self.gathered);
        self.gathered.clear();
        let (result, buffer) = self.file.write_at(buffer, 0..length, self.written).await;
        self.buffer = Some(buffer);
        self.written += length as u64;
        result
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
        self.text.finish(&mut self.gathered);
        if !self.gathered.is_empty() {
            self.write().await?;
        }
        self.file.sync().await?;
        let (from, new) = (self.maildir.join("tmp").join(&self.name), self.maildir.join("new"));
        let disk = self.machine.disk();
        disk.rename(&from, &new.join(&self.name)).await?;
        disk.sync_directory(&new).await
    }

    /// Gives up: what was written is removed.
    pub async fn abandon(self) {
        let path = self.maildir.join("tmp").join(&self.name);
        // What cannot be removed now is replaced by the next attempt, or cleaned up by the mail reader after 36 hours, as
        // Maildir asks of it.
        let _ = self.machine.disk().remove(&path).await;
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
}
