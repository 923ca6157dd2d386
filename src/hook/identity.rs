//! `SenderAuthIdentifyVerificationHook`: whose address a sender may use (`verifyIdentity`), at MAIL and in the From field.
//!
//! James asks at RCPT again, for its clients may authenticate in the middle of a transaction. Here AUTH is refused there
//! (RFC 4954 §4), so what was said at MAIL holds as long as its transaction.

use super::{Opinion, replies};
use crate::directory::{Directory, Unavailable};
use crate::mail::from::Authors;
use crate::mail::{Mailbox, ReversePath, Username};
use crate::smtp::server::Peer;
use crate::smtp::server::question::Verdict;

/// Whose address a sender may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdentityMode {
    /// Local addresses are for those who authenticated as their owner.
    Strict,
    /// As strict for those who authenticated; others may use local addresses where they seem to be a mail server.
    Relaxed,
    /// Anybody may use any.
    Disabled,
}

impl IdentityMode {
    /// Whether the From field of this client's messages is looked at.
    pub fn asks_about_content(self, peer: Peer<'_>) -> bool {
        match self {
            IdentityMode::Strict => true,
            IdentityMode::Relaxed => peer.user.is_some(),
            IdentityMode::Disabled => false,
        }
    }
}

/// May this sender be named? Nobody owns the null reverse-path.
pub async fn sender(mode: IdentityMode, path: &ReversePath, peer: Peer<'_>, directory: &dyn Directory) -> Opinion {
    let Some(mailbox) = path.mailbox() else { return Ok(Verdict::Pass) };
    let relaxed = match mode {
        IdentityMode::Strict => false,
        IdentityMode::Relaxed => true,
        IdentityMode::Disabled => return Ok(Verdict::Pass),
    };
    Ok(match peer.user {
        Some(user) if owns(user, mailbox, directory).await? => Verdict::Pass,
        Some(_) => Verdict::Deny(replies::wrong_sender()),
        None if peer.may_relay() || !directory.is_local(mailbox.domain()).await? => Verdict::Pass,
        None if relaxed && peer.hello.is_some_and(seems_a_mail_host) => Verdict::Pass,
        None => Verdict::Deny(replies::authentication_required(1)),
    })
}

/// May a message claim to be from these?
pub async fn authors(mode: IdentityMode, authors: &Authors, peer: Peer<'_>, directory: &dyn Directory) -> Opinion {
    if !mode.asks_about_content(peer) {
        return Ok(Verdict::Pass);
    }
    let (mailboxes, user) = match (authors, peer.user) {
        (Authors::Missing, _) => return Ok(Verdict::Deny(replies::missing_from())),
        (_, None) => return Ok(Verdict::Pass),
        (Authors::Mailboxes(mailboxes), Some(user)) if !mailboxes.is_empty() => (mailboxes, user),
        (_, Some(_)) => return Ok(Verdict::Deny(replies::wrong_sender())),
    };
    for mailbox in mailboxes {
        if !owns(user, mailbox, directory).await? {
            return Ok(Verdict::Deny(replies::wrong_sender()));
        }
    }
    Ok(Verdict::Pass)
}

async fn owns(user: &Username, mailbox: &Mailbox, directory: &dyn Directory) -> Result<bool, Unavailable> {
    Ok(directory.is_local(mailbox.domain()).await? && directory.may_send_as(user, mailbox).await?)
}

/// Whether a client calls itself as a mail server does: by a domain name of two labels or more, the last of which does not
/// begin with a digit.
fn seems_a_mail_host(hello: &str) -> bool {
    let name = hello.strip_suffix('.').unwrap_or(hello);
    let is_label = |label: &str| {
        let edge = |c: char| c == '-' || c == '_';
        let inner = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'-' || octet == b'_';
        (1..=63).contains(&label.len())
            && label.bytes().all(inner)
            && !label.starts_with(edge)
            && !label.ends_with(edge)
    };
    let top = name.rsplit('.').next().unwrap_or_default();
    name.len() <= 253
        && name.contains('.')
        && name.split('.').all(is_label)
        && !top.starts_with(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mail_hosts_have_names() {
        for good in ["mx.example.org", "example.org.", "a_b.c-d.example"] {
            assert!(seems_a_mail_host(good), "{good}");
        }
        for bad in
            ["localhost", "192.0.2.1", "[192.0.2.1]", "::1", "a..b", "-a.example", "a.example-", "mx.2s1n", "", "."]
        {
            assert!(!seems_a_mail_host(bad), "{bad}");
        }
    }
}
