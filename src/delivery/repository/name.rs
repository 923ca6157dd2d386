//! What repositories and the mails in them are called on the disk.

use std::fmt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::delivery::maildir::file_name;
use crate::mail::{Mailbox, MessageId};

/// Ends the file that holds a mail's content.
pub const CONTENT: &str = ".eml";
/// Ends the file that holds its envelope. A mail is there once this file is.
pub const ENVELOPE: &str = ".json";
/// Ends, after one of those, a file that is being written.
pub const UNFINISHED: &str = ".new";

/// Directories that one URL goes down at most; what is deeper stands in the name of the last one.
const DEPTH: usize = 16;

/// Octets of a directory's name at most, where file systems have 255.
const COMPONENT: usize = 200;

/// A repository by its directory, `var/mail/error`. What its URL begins with makes no difference, as every one is kept here.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepositoryName(Box<str>);

impl RepositoryName {
    /// The repository that a URL means, such as `file://var/mail/error/`. Every URL means one, below the base directory.
    pub fn of_url(url: &str) -> RepositoryName {
        let path = url.split_once("://").map_or(url, |(_, path)| path);
        let components: Vec<&str> = path.split('/').filter(|component| !component.is_empty()).collect();
        let (first, deeper) = components.split_at(components.len().min(DEPTH - 1));
        let deeper = (!deeper.is_empty()).then(|| component(&deeper.join("/")));
        let name: Vec<String> = first.iter().map(|name| component(name)).chain(deeper).collect();
        // No other name is this one.
        RepositoryName(if name.is_empty() { "%".into() } else { name.join("/").into() })
    }

    /// A repository as an operator writes it: its URL, or its name as a list shows it.
    pub fn parse(text: &str) -> Option<RepositoryName> {
        if text.contains("://") {
            return Some(RepositoryName::of_url(text));
        }
        let name = text.strip_suffix('/').unwrap_or(text);
        let right = name.split('/').all(is_component) && name.split('/').count() <= DEPTH;
        right.then(|| RepositoryName(name.into()))
    }

    /// One whose directory stands in this one's, if the name may be that of a directory of ours.
    pub fn below(&self, directory: &str) -> Option<RepositoryName> {
        RepositoryName::parse(&format!("{}/{directory}", self.0))
    }

    /// Its directory below `root`.
    pub fn path(&self, root: &Path) -> PathBuf {
        root.join(&*self.0)
    }
}

impl fmt::Display for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One step of a path as the name of a directory, which can neither lead elsewhere nor be mistaken for a mail.
fn component(text: &str) -> String {
    let mut name = file_name(text);
    if let Some(suffix) = suffix_of_mail(&name) {
        let dot = name.len() - suffix.len();
        name.replace_range(dot..=dot, "%2E");
    }
    if name.len() > COMPONENT {
        // A `%` that no two digits follow stands in no other name.
        let hash = hexadecimal(&Sha256::digest(text.as_bytes()));
        name.truncate(COMPONENT - 18);
        name.push_str("%-");
        name.push_str(&hash);
    }
    name
}

/// What files of mails end with, if the name does, in whatever case.
fn suffix_of_mail(name: &str) -> Option<&'static str> {
    let name = name.to_ascii_lowercase();
    [CONTENT, ENVELOPE, UNFINISHED].into_iter().find(|suffix| name.ends_with(suffix))
}

/// Whether [`component`] may have made that name.
fn is_component(name: &str) -> bool {
    let allowed = |octet: u8| octet.is_ascii_alphanumeric() || b"-_+=@~,.%".contains(&octet);
    let is_mail = suffix_of_mail(name).is_some();
    !name.is_empty() && name.len() <= COMPONENT && !name.starts_with('.') && !is_mail && name.bytes().all(allowed)
}

/// The first eight octets.
fn hexadecimal(digest: &[u8]) -> String {
    digest.iter().take(8).map(|octet| format!("{octet:02x}")).collect()
}

/// A mail in a repository: the id of its message, and what tells those apart that were made of one message for different
/// recipients. It follows from both, so that what is kept again after a crash replaces what was kept before.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MailName(Box<str>);

impl MailName {
    /// The mail that message `id` makes for these recipients.
    pub fn new(id: MessageId, recipients: &[Mailbox]) -> MailName {
        let mut digest = Sha256::new();
        for recipient in recipients {
            digest.update(recipient.to_string().as_bytes());
            digest.update(b"\n");
        }
        MailName(format!("{id}-{}", hexadecimal(&digest.finalize())).into())
    }

    /// The name as it is written.
    pub fn parse(text: &str) -> Option<MailName> {
        let (id, hash) = text.split_once('-')?;
        let id: MessageId = id.parse().ok()?;
        let is_hash =
            hash.len() == 16 && hash.bytes().all(|octet| octet.is_ascii_digit() || (b'a'..=b'f').contains(&octet));
        is_hash.then(|| MailName(format!("{id}-{hash}").into()))
    }

    /// The mail whose envelope a file of that name holds.
    pub fn of_envelope(file: &str) -> Option<MailName> {
        MailName::parse(file.strip_suffix(ENVELOPE)?).filter(|name| name.envelope() == file)
    }

    /// The message that it was.
    pub fn is_of(&self, id: MessageId) -> bool {
        self.0.split_once('-').is_some_and(|(own, _)| own.parse() == Ok(id))
    }

    /// The file with its content.
    pub fn content(&self) -> String {
        format!("{}{CONTENT}", self.0)
    }

    /// The file with its envelope.
    pub fn envelope(&self) -> String {
        format!("{}{ENVELOPE}", self.0)
    }
}

impl fmt::Display for MailName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name(url: &str) -> String {
        RepositoryName::of_url(url).to_string()
    }

    #[test]
    fn a_url_means_a_directory_below_the_base() {
        assert_eq!(name("file://var/mail/error/"), "var/mail/error");
        assert_eq!(name("cassandra://var/mail/error"), "var/mail/error");
        assert_eq!(name("file:///var//mail/error/"), "var/mail/error");
        assert_eq!(name("file://../../etc"), "%2E./%2E./etc");
        assert_eq!(name("file://a/./.hidden/b c/ü"), "a/%2E/%2Ehidden/b%20c/%C3%BC");
        assert_eq!(name("file://mails.eml/x.JSON/y.new"), "mails%2Eeml/x%2EJSON/y%2Enew");
        assert_eq!(name("file://"), "%");
        assert_eq!(name("file:///"), "%");
        let deep = name(&format!("file://{}", "d/".repeat(100)));
        assert_eq!(deep.split('/').count(), DEPTH);
        let (one, two) = (name(&format!("file://{}1", "x".repeat(300))), name(&format!("file://{}2", "x".repeat(300))));
        assert!(one != two && one.len() == COMPONENT && two.len() == COMPONENT, "{one} {two}");
    }

    #[test]
    fn an_operator_writes_a_name_or_a_url() {
        let parsed = |text: &str| RepositoryName::parse(text).map(|name| name.to_string());
        assert_eq!(parsed("var/mail/error").as_deref(), Some("var/mail/error"));
        assert_eq!(parsed("var/mail/error/").as_deref(), Some("var/mail/error"));
        assert_eq!(parsed("memory://var/mail/error/").as_deref(), Some("var/mail/error"));
        for wrong in ["", "/", "..", "a/../b", "/etc", "a//b", "a b", "a/b.eml", "a/.b", "ü"] {
            assert_eq!(parsed(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn names_of_mails_read_back_and_tell_recipients_apart() {
        let mailbox = |text: &str| Mailbox::parse(text).expect("a mailbox");
        let (a, b) = (mailbox("a@example.org"), mailbox("b@example.org"));
        let (id, other) = (MessageId(7), MessageId(8));
        let one = MailName::new(id, &[a.clone(), b.clone()]);
        assert_eq!(one, MailName::new(id, &[a.clone(), b.clone()]));
        assert_ne!(one, MailName::new(id, std::slice::from_ref(&a)));
        assert_ne!(one, MailName::new(id, &[b, a]));
        assert_eq!(MailName::parse(&one.to_string()), Some(one.clone()));
        assert_eq!(MailName::of_envelope(&one.envelope()), Some(one.clone()));
        assert!(one.is_of(id) && !one.is_of(other));
        for wrong in
            ["", "-", "0000000000007", "0000000000007-", "../../x-0011223344556677", "0000000000007-001122334455667/"]
        {
            assert_eq!(MailName::parse(wrong), None, "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_the_url_its_name_is_one_and_leads_nowhere_else(url in "[a-z]{0,4}(://)?([./%a-zA-Z ü\\\\]{0,40}(\\.eml|\\.json|\\.new)?/?){0,20}") {
            let name = RepositoryName::of_url(&url);
            if name.to_string() != "%" {
                prop_assert_eq!(RepositoryName::parse(&name.to_string()), Some(name.clone()));
            }
            let root = Path::new("/base");
            let path = name.path(root);
            prop_assert!(path.starts_with(root) && path != root);
            let normal = |part: std::path::Component<'_>| matches!(part, std::path::Component::Normal(_) | std::path::Component::RootDir);
            prop_assert!(path.components().all(normal), "{:?}", path);
        }

        #[test]
        fn different_paths_are_different_repositories(one in "[a.%/]{0,12}", two in "[a.%/]{0,12}") {
            let steps = |path: &str| path.split('/').filter(|step| !step.is_empty()).map(str::to_owned).collect::<Vec<_>>();
            let same = RepositoryName::of_url(&format!("file://{one}")) == RepositoryName::of_url(&format!("file://{two}"));
            prop_assert_eq!(same, steps(&one) == steps(&two));
        }

        #[test]
        fn any_text_is_read_without_harm(text in ".{0,40}") {
            let _ = RepositoryName::parse(&text);
            let _ = MailName::parse(&text);
            let _ = MailName::of_envelope(&text);
        }
    }
}
