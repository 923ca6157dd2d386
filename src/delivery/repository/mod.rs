//! Repositories: mail that waits for the operator, one directory a repository, as files that any mail tool opens.
//!
//! A mail is two files, `NAME.eml` with its content and `NAME.json` with its envelope (`label`). Both are written under a
//! temporary name and synced, then renamed, the envelope last, and the directory is synced after each: a mail is whole or not
//! there, and once [`Keeping::finish`] has ended well it stays. Where that fails what was written is removed, and the mail is
//! still where it came from.
//!
//! What is there is read by `control::admin::repository`, and lets itself be copied, moved and removed like any file.

pub mod label;
pub mod name;

use std::cell::RefCell;
use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

pub use label::{Attribute, Attributes, Label};
use name::UNFINISHED;
pub use name::{MailName, RepositoryName};

use super::writing::{BUFFER, Writing};
use crate::io::{Aligned, Disk, File, Machine, Open};

/// Repositories that are remembered as durable; beyond, all are forgotten and found out anew.
const REMEMBERED: usize = 1_000;

/// The proof that a mail is in a repository, its name there included. Only [`Keeping::finish`] makes one.
#[derive(Debug)]
pub struct Kept(MailName);

impl Kept {
    /// What it is called there.
    pub fn name(&self) -> &MailName {
        &self.0
    }
}

/// The repositories of this host, as one core reaches them.
#[derive(Clone)]
pub struct Repositories<M: Machine> {
    machine: M,
    root: PathBuf,
    /// Repositories that this process knows to be durable, themselves and the directories above them.
    durable: Rc<RefCell<HashSet<RepositoryName>>>,
}

/// A mail that is being written into a repository.
pub struct Keeping<M: Machine> {
    machine: M,
    directory: PathBuf,
    name: MailName,
    label: Label,
    content: Writing<M>,
}

impl<M: Machine> Repositories<M> {
    /// Below `root`, which is there.
    pub fn new(machine: M, root: &Path) -> Repositories<M> {
        Repositories { machine, root: root.to_owned(), durable: Rc::default() }
    }

    /// The directory of a repository.
    pub fn path(&self, repository: &RepositoryName) -> PathBuf {
        repository.path(&self.root)
    }

    /// Begins to keep a mail in the repository that `url` means. Its name follows from message and recipients, so what is
    /// repeated after a crash replaces what the attempt before it left.
    pub async fn begin(&self, url: &str, label: Label) -> io::Result<Keeping<M>> {
        let repository = RepositoryName::of_url(url);
        let directory = self.path(&repository);
        let name = MailName::new(label.envelope.id, &label.envelope.recipients);
        let path = directory.join(name.content() + UNFINISHED);
        if !self.durable.borrow().contains(&repository) {
            self.create(&repository).await?;
        }
        let content = match begin(&self.machine, &path).await {
            // Somebody removed the repository while we ran.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.create(&repository).await?;
                begin(&self.machine, &path).await?
            }
            begun => begun?,
        };
        Ok(Keeping { machine: self.machine.clone(), directory, name, label, content })
    }

    /// Makes a repository with all directories above it, as far as they are not there. Their names are synced in any case: an
    /// earlier process may have made them and ended before it did.
    async fn create(&self, repository: &RepositoryName) -> io::Result<()> {
        let path = self.path(repository);
        let mut missing: Vec<&Path> = path.ancestors().take_while(|above| *above != self.root).collect();
        missing.push(&self.root);
        for directory in missing.into_iter().rev() {
            match self.machine.disk().create_directory(directory).await {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
            if let Some(parent) = directory.parent() {
                self.machine.disk().sync_directory(parent).await?;
            }
        }
        let mut durable = self.durable.borrow_mut();
        if durable.len() >= REMEMBERED {
            durable.clear();
        }
        durable.insert(repository.clone());
        Ok(())
    }

    /// Reads the label of a mail.
    pub async fn label(&self, repository: &RepositoryName, name: &MailName) -> io::Result<Label> {
        let path = self.path(repository).join(name.envelope());
        let file = self.machine.disk().open(&path, Open::Read).await?;
        let octets = file.length().await? as usize;
        if octets > label::LABEL_OCTETS {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "its envelope is larger than any can be"));
        }
        let (result, buffer) = file.read_at(Aligned::zeroed(octets.max(1)), octets, 0).await;
        Label::parse(&buffer[..result?]).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }

    /// Hands the content of a mail to `each`, a slice at a time, in order.
    pub async fn read(
        &self,
        repository: &RepositoryName,
        name: &MailName,
        mut each: impl AsyncFnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let path = self.path(repository).join(name.content());
        let file = self.machine.disk().open(&path, Open::Read).await?;
        let (mut offset, mut buffer) = (0, Aligned::zeroed(BUFFER));
        loop {
            let (result, back) = file.read_at(buffer, BUFFER, offset).await;
            let octets = result?;
            each(&back[..octets]).await?;
            offset += octets as u64;
            buffer = back;
            if octets < BUFFER {
                return Ok(());
            }
        }
    }

    /// Takes a mail out for good: durable when this ends well. The envelope goes first, as a mail is there while it is.
    pub async fn remove(&self, repository: &RepositoryName, name: &MailName) -> io::Result<()> {
        let (directory, disk) = (self.path(repository), self.machine.disk());
        disk.remove(&directory.join(name.envelope())).await?;
        disk.sync_directory(&directory).await?;
        disk.remove(&directory.join(name.content())).await
    }
}

impl<M: Machine> Keeping<M> {
    /// Appends content as it is to stand in the file: without stuffed dots, lines ended by CR LF, edits applied.
    pub async fn push(&mut self, content: &[u8]) -> io::Result<()> {
        self.content.push(content).await
    }

    /// Makes the mail durable. Where that fails, what was written is removed: a full disk must not be filled further by every
    /// attempt.
    pub async fn finish(mut self) -> io::Result<Kept> {
        match self.publish().await {
            Ok(()) => Ok(Kept(self.name)),
            Err(error) => {
                self.abandon().await;
                Err(error)
            }
        }
    }

    async fn publish(&mut self) -> io::Result<()> {
        self.content.finish(|_| ()).await?;
        let envelope = self.name.envelope();
        let mut label = begin(&self.machine, &self.directory.join(format!("{envelope}{UNFINISHED}"))).await?;
        label.push(self.label.text().as_bytes()).await?;
        label.finish(|_| ()).await?;
        // Each name is synced before the next is made, so that no crash leaves an envelope without its content.
        for name in [self.name.content(), envelope] {
            let unfinished = self.directory.join(format!("{name}{UNFINISHED}"));
            self.machine.disk().rename(&unfinished, &self.directory.join(name)).await?;
            self.machine.disk().sync_directory(&self.directory).await?;
        }
        Ok(())
    }

    /// Gives up: what was written is removed.
    pub async fn abandon(self) {
        for name in [self.name.content(), self.name.envelope()] {
            // What is not there, or cannot be removed now, is replaced by the next attempt.
            let _ = self.machine.disk().remove(&self.directory.join(name + UNFINISHED)).await;
        }
    }
}

/// Begins a file, in place of one of its name.
async fn begin<M: Machine>(machine: &M, path: &Path) -> io::Result<Writing<M>> {
    Ok(Writing::new(machine.disk().open(path, Open::Create).await?, Vec::new()))
}

#[cfg(test)]
mod tests;
