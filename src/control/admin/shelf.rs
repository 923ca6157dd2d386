//! What repositories hold, read as the files that they are: no server is needed for it, and none is in the way.
//!
//! Everything here blocks, and is for the process of an operator's command.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::delivery::repository::Label;
use crate::delivery::repository::label::LABEL_OCTETS;
use crate::delivery::repository::name::{CONTENT, MailName, RepositoryName, UNFINISHED};

/// Repositories that are looked for at most.
pub const REPOSITORIES_MAX: usize = 10_000;

/// Mails of one repository that are looked at in one go, the oldest of those found first: about 50 octets of memory each.
pub const MAILS_MAX: usize = 1_000_000;

/// Octets of a mail that are read to show its header.
const HEADER_OCTETS: u64 = 256 * 1024;

/// What an attempt has left that never ended goes once it is so old: nobody can be at work on it any more.
const LEFT: Duration = Duration::from_secs(60 * 60);

/// All repositories below a directory.
#[derive(Clone, Debug)]
pub struct Shelf {
    root: PathBuf,
}

/// How much is in a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Its name.
    pub name: RepositoryName,
    /// Mails in it.
    pub mails: u64,
    /// Octets of their contents together.
    pub octets: u64,
}

/// The mails of a repository.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mails {
    /// Their names, oldest first; no more than [`MAILS_MAX`].
    pub names: Vec<MailName>,
    /// So many more are there.
    pub more: u64,
}

/// A mail in a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// What stands beside it.
    pub label: Label,
    /// Octets of its content.
    pub octets: u64,
}

impl Shelf {
    /// Below `root`, which need not be there.
    pub fn new(root: &Path) -> Shelf {
        Shelf { root: root.to_owned() }
    }

    /// The directory of a repository.
    pub fn path(&self, repository: &RepositoryName) -> PathBuf {
        repository.path(&self.root)
    }

    /// All repositories, sorted: directories that hold mail, and those in which there is no other. Beyond
    /// [`REPOSITORIES_MAX`] the rest is left out.
    pub fn repositories(&self) -> io::Result<Vec<Summary>> {
        let mut found = Vec::new();
        let mut waiting: Vec<RepositoryName> = match fs::read_dir(&self.root) {
            Ok(entries) => directories(entries)?.filter_map(|name| RepositoryName::parse(&name)).collect(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
            Err(error) => return Err(self.at(&self.root, error)),
        };
        while let Some(name) = waiting.pop() {
            if found.len() >= REPOSITORIES_MAX {
                break;
            }
            let path = self.path(&name);
            let summary = self.summary(&name)?;
            let below = directories(fs::read_dir(&path).map_err(|error| self.at(&path, error))?)?;
            let below: Vec<_> = below.filter_map(|directory| name.below(&directory)).collect();
            if summary.mails > 0 || below.is_empty() {
                found.push(summary);
            }
            waiting.extend(below);
        }
        found.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(found)
    }

    fn summary(&self, repository: &RepositoryName) -> io::Result<Summary> {
        let mut summary = Summary { name: repository.clone(), mails: 0, octets: 0 };
        self.each(repository, |mail| {
            summary.mails += 1;
            // A mail that goes meanwhile is none.
            let content = fs::metadata(self.path(repository).join(mail.content()));
            summary.octets += content.map_or(0, |content| content.len());
        })?;
        Ok(summary)
    }

    /// Calls `each` for every mail of a repository, in the order of the directory.
    fn each(&self, repository: &RepositoryName, mut each: impl FnMut(MailName)) -> io::Result<()> {
        let path = self.path(repository);
        let entries = match fs::read_dir(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(io::Error::new(error.kind(), format!("there is no repository {repository}")));
            }
            entries => entries.map_err(|error| self.at(&path, error))?,
        };
        for entry in entries {
            let name = entry.map_err(|error| self.at(&path, error))?.file_name();
            if let Some(mail) = name.to_str().and_then(MailName::of_envelope) {
                each(mail);
            }
        }
        Ok(())
    }

    /// The mails of a repository.
    pub fn mails(&self, repository: &RepositoryName) -> io::Result<Mails> {
        let mut mails = Mails::default();
        self.each(repository, |mail| match mails.names.len() < MAILS_MAX {
            true => mails.names.push(mail),
            false => mails.more += 1,
        })?;
        mails.names.sort_unstable();
        Ok(mails)
    }

    /// A mail; `None` where it is not there, any more perhaps.
    pub fn mail(&self, repository: &RepositoryName, name: &MailName) -> io::Result<Option<Mail>> {
        let (envelope, content) = (self.file(repository, name.envelope()), self.file(repository, name.content()));
        let gone = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
        let mut text = Vec::new();
        match File::open(&envelope).and_then(|file| file.take(LABEL_OCTETS as u64 + 1).read_to_end(&mut text)) {
            Err(error) if gone(&error) => return Ok(None),
            read => read.map_err(|error| self.at(&envelope, error))?,
        };
        let label = Label::parse(&text)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {error}", envelope.display())))?;
        let octets = fs::metadata(&content).map_err(|error| self.at(&content, error))?.len();
        Ok(Some(Mail { label, octets }))
    }

    /// The header of a mail, up to its empty line, as far as it is shown.
    pub fn header(&self, repository: &RepositoryName, name: &MailName) -> io::Result<Vec<u8>> {
        let path = self.file(repository, name.content());
        let mut content = Vec::new();
        let read = File::open(&path).and_then(|file| file.take(HEADER_OCTETS).read_to_end(&mut content));
        read.map_err(|error| self.at(&path, error))?;
        let end = content.windows(4).position(|window| window == b"\r\n\r\n").map_or(content.len(), |end| end + 2);
        content.truncate(end);
        Ok(content)
    }

    /// Takes a mail out for good: durable when this ends well. The envelope goes first, as a mail is there while it is. Whether it
    /// was there.
    pub fn remove(&self, repository: &RepositoryName, name: &MailName) -> io::Result<bool> {
        let envelope = self.file(repository, name.envelope());
        match fs::remove_file(&envelope) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            removed => removed.map_err(|error| self.at(&envelope, error))?,
        }
        let directory = self.path(repository);
        File::open(&directory)
            .and_then(|directory| directory.sync_all())
            .map_err(|error| self.at(&directory, error))?;
        let content = self.file(repository, name.content());
        match fs::remove_file(&content) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(self.at(&content, error)),
            _ => Ok(true),
        }
    }

    /// Removes what attempts have left that never ended: unfinished files, and contents without an envelope.
    pub fn clear(&self, repository: &RepositoryName) -> io::Result<u64> {
        let (directory, mut cleared) = (self.path(repository), 0);
        for entry in fs::read_dir(&directory).map_err(|error| self.at(&directory, error))? {
            let entry = entry.map_err(|error| self.at(&directory, error))?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let unfinished = name.strip_suffix(UNFINISHED);
            let mail = unfinished.unwrap_or(&name).rsplit_once('.').and_then(|(mail, _)| MailName::parse(mail));
            let Some(mail) = mail else { continue };
            let alone = || name.ends_with(CONTENT) && !directory.join(mail.envelope()).exists();
            if (unfinished.is_some() || alone()) && is_old(&entry) && fs::remove_file(entry.path()).is_ok() {
                cleared += 1;
            }
        }
        Ok(cleared)
    }

    fn file(&self, repository: &RepositoryName, name: String) -> PathBuf {
        self.path(repository).join(name)
    }

    fn at(&self, path: &Path, error: io::Error) -> io::Error {
        io::Error::new(error.kind(), format!("{}: {error}", path.display()))
    }
}

/// The names of the directories among these.
fn directories(entries: fs::ReadDir) -> io::Result<impl Iterator<Item = String>> {
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            names.extend(entry.file_name().into_string().ok());
        }
    }
    Ok(names.into_iter())
}

fn is_old(entry: &fs::DirEntry) -> bool {
    let changed = entry.metadata().and_then(|metadata| metadata.modified());
    changed.is_ok_and(|changed| SystemTime::now().duration_since(changed).is_ok_and(|age| age > LEFT))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::repository::label::tests::label;

    fn put(shelf: &Shelf, url: &str, id: u64, content: &[u8]) -> (RepositoryName, MailName) {
        let (repository, label) = (RepositoryName::of_url(url), label(id, &["you@localhost"]));
        let name = MailName::new(label.envelope.id, &label.envelope.recipients);
        let directory = shelf.path(&repository);
        fs::create_dir_all(&directory).expect("made");
        fs::write(directory.join(name.content()), content).expect("written");
        fs::write(directory.join(name.envelope()), label.text()).expect("written");
        (repository, name)
    }

    #[test]
    fn what_is_there_is_found_shown_and_removed() {
        let home = tempfile::tempdir().expect("a directory");
        let shelf = Shelf::new(&home.path().join("none yet"));
        assert_eq!(shelf.repositories().expect("none"), []);
        let (error, second) = put(&shelf, "file://var/mail/error/", 8, b"A: b\r\n\r\nbody\r\n\r\n");
        let (_, first) = put(&shelf, "memory://var/mail/error", 7, b"no header ends here");
        let (nested, third) = put(&shelf, "file://var/mail/error/by/domain", 9, b"");
        fs::create_dir(shelf.path(&error).join("empty")).expect("made");
        // What is no mail is not taken for one.
        for stray in ["notes.json", "x.eml", "0000000000007-zzzz.json", "README"] {
            fs::write(shelf.path(&error).join(stray), "stray").expect("written");
        }
        let summary =
            |name: &str, mails, octets| Summary { name: RepositoryName::parse(name).expect(name), mails, octets };
        let all = [
            summary("var/mail/error", 2, 35),
            summary("var/mail/error/by/domain", 1, 0),
            summary("var/mail/error/empty", 0, 0),
        ];
        assert_eq!(shelf.repositories().expect("read"), all);
        assert_eq!(shelf.mails(&error).expect("read"), Mails { names: vec![first.clone(), second.clone()], more: 0 });
        let mail = shelf.mail(&error, &second).expect("read").expect("there");
        assert_eq!((mail.label, mail.octets), (label(8, &["you@localhost"]), 16));
        assert_eq!(shelf.header(&error, &second).expect("read"), b"A: b\r\n");
        assert_eq!(shelf.header(&error, &first).expect("read"), b"no header ends here");

        assert!(shelf.remove(&error, &first).expect("removed"));
        assert!(!shelf.remove(&error, &first).expect("it is gone"));
        assert_eq!(shelf.mail(&error, &first).expect("read"), None);
        assert_eq!(shelf.mails(&error).expect("read").names, [second]);
        assert!(shelf.mail(&nested, &third).expect("read").is_some());
        let unknown = RepositoryName::parse("var/mail/eror").expect("a name");
        assert!(shelf.mails(&unknown).expect_err("none").to_string().contains("there is no repository var/mail/eror"));
    }

    #[test]
    fn damage_is_said_with_the_file() {
        let home = tempfile::tempdir().expect("a directory");
        let shelf = Shelf::new(home.path());
        let (repository, name) = put(&shelf, "file://x", 7, b"");
        fs::write(shelf.path(&repository).join(name.envelope()), "{}").expect("written");
        let error = shelf.mail(&repository, &name).expect_err("it is damaged").to_string();
        assert!(error.contains(&name.envelope()) && error.contains("missing field"), "{error}");
        let (repository, name) = put(&shelf, "file://y", 7, b"");
        fs::remove_file(shelf.path(&repository).join(name.content())).expect("it is there");
        assert!(shelf.mail(&repository, &name).expect_err("it is damaged").to_string().contains(&name.content()));
    }

    #[test]
    fn only_old_leftovers_go() {
        let home = tempfile::tempdir().expect("a directory");
        let shelf = Shelf::new(home.path());
        let (repository, whole) = put(&shelf, "file://x", 7, b"");
        let (_, alone) = put(&shelf, "file://x", 8, b"");
        let (_, young) = put(&shelf, "file://x", 9, b"");
        let path = |name: &str| shelf.path(&repository).join(name);
        fs::remove_file(path(&alone.envelope())).expect("it is there");
        fs::remove_file(path(&young.envelope())).expect("it is there");
        fs::write(path(&(whole.envelope() + UNFINISHED)), "").expect("written");
        fs::write(path("notes.new"), "").expect("written");
        let old = SystemTime::now() - 2 * LEFT;
        for name in
            [whole.content(), whole.envelope(), alone.content(), whole.envelope() + UNFINISHED, "notes.new".into()]
        {
            File::options().write(true).open(path(&name)).and_then(|file| file.set_modified(old)).expect("changed");
        }
        assert_eq!(shelf.clear(&repository).expect("read"), 2);
        assert!(path(&young.content()).exists() && path("notes.new").exists());
        assert!(shelf.mail(&repository, &whole).expect("read").is_some());
    }
}
