//! `vacation` (RFC 5230): who is answered, and who never is.

use sha2::{Digest, Sha256};

use super::run::Subject;
use crate::mail::Mailbox;
use crate::mailet::header::{addresses, all, fields, first};

/// Days for which a sender is not answered again, where the script does not say.
pub const DAYS: u64 = 7;
/// The most days that a script may say.
pub const DAYS_MAX: u64 = 365;

/// The action, as the script says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vacation {
    /// `:days`.
    pub days: u64,
    /// `:subject`.
    pub subject: Option<String>,
    /// `:from`.
    pub from: Option<Mailbox>,
    /// `:addresses`: further ones of the user.
    pub addresses: Vec<String>,
    /// `:handle`.
    pub handle: Option<String>,
    /// What is said.
    pub reason: String,
}

impl Vacation {
    /// Whether this mail is answered (RFC 5230 §4.5, §4.6, RFC 3834 §2): one of a person to this user, and no other.
    pub fn answers(&self, subject: &Subject<'_>) -> bool {
        let Some(sender) = subject.from.mailbox() else { return false };
        !is_of_a_machine(sender) && sender != subject.to && !is_automatic(subject.header) && self.is_named(subject)
    }

    /// Whether one of the user's addresses stands in a field for recipients (RFC 5230 §4.5).
    fn is_named(&self, subject: &Subject<'_>) -> bool {
        let own = subject.to.to_string();
        let is_own = |mailbox: &Mailbox| {
            let text = mailbox.to_string();
            std::iter::once(&own).chain(&self.addresses).any(|own| own.eq_ignore_ascii_case(&text))
        };
        let names = ["To", "Cc", "Bcc", "Resent-To", "Resent-Cc", "Resent-Bcc"];
        names.iter().any(|name| all(subject.header, name).flat_map(|value| addresses(&value)).any(|one| is_own(&one)))
    }

    /// What the answer is remembered by, beside whom it went to: the handle, or what is said (RFC 5230 §4.2).
    pub fn key(&self, sender: &Mailbox) -> [u8; 32] {
        let mut digest = Sha256::new();
        let mut part = |text: &str| {
            digest.update((text.len() as u64).to_le_bytes());
            digest.update(text.as_bytes());
        };
        part(&sender.to_string().to_lowercase());
        match &self.handle {
            Some(handle) => part(handle),
            None => {
                part(self.subject.as_deref().unwrap_or_default());
                part(&self.from.as_ref().map(ToString::to_string).unwrap_or_default());
                part(&self.reason);
            }
        }
        digest.finalize().into()
    }
}

/// Whether a sender is a machine by its name (RFC 5230 §4.6).
fn is_of_a_machine(sender: &Mailbox) -> bool {
    let local = sender.local().to_ascii_lowercase();
    let names = ["mailer-daemon", "listserv", "majordomo", "postmaster", "noreply", "no-reply"];
    names.contains(&local.as_str())
        || local.starts_with("owner-")
        || local.ends_with("-request")
        || local.ends_with("-bounces")
}

/// Whether a mail says that it is none of a person to a person (RFC 3834 §2, RFC 2369, RFC 2919).
fn is_automatic(header: &[u8]) -> bool {
    let submitted = first(header, "Auto-Submitted").is_some_and(|value| {
        let word = value.split(';').next().unwrap_or_default().trim();
        !word.eq_ignore_ascii_case("no")
    });
    let bulk = ["bulk", "list", "junk"];
    let precedence =
        first(header, "Precedence").is_some_and(|value| bulk.iter().any(|word| value.eq_ignore_ascii_case(word)));
    let list =
        fields(header).any(|field| field.name.get(..5).is_some_and(|start| start.eq_ignore_ascii_case(b"List-")));
    submitted || precedence || list || first(header, "X-Auto-Response-Suppress").is_some()
}
