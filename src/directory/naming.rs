//! How mailboxes and users' names belong together.

use crate::mail::{Domain, Mailbox, Username};

/// `enableVirtualHosting`, and the domain of users whose names have none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Naming {
    /// A user's name is a whole address; else it is a local part, the same user in every domain of ours.
    pub virtual_hosting: bool,
    /// `defaultDomain` of `domainlist.xml`.
    pub default_domain: Domain,
}

impl Naming {
    /// The user whose mailbox this would be: lower case, without `+detail`. `None`: no user can be called so.
    pub fn user(&self, mailbox: &Mailbox) -> Option<Username> {
        let mailbox = user_of(mailbox);
        Username::parse(&if self.virtual_hosting { mailbox.to_string() } else { mailbox.local().to_owned() }).ok()
    }

    /// The address of a user's own mailbox; `None` where the name fits no address.
    pub fn mailbox(&self, user: &Username) -> Option<Mailbox> {
        match self.virtual_hosting {
            true => Mailbox::parse(user.as_str()).ok(),
            false => Mailbox::new(user.as_str(), self.default_domain.clone()).ok(),
        }
    }

    /// The postmaster of the default domain.
    pub fn postmaster(&self) -> Mailbox {
        let domain = self.default_domain.clone();
        // It is short and has no control character.
        Mailbox::new("postmaster", domain).expect("postmaster is a local part")
    }

    /// The user that somebody means who logs in by this name. With virtual hosting a name without a domain is of the default
    /// domain; without, a domain is no part of the name.
    pub fn login(&self, name: &str) -> Option<Username> {
        match (self.virtual_hosting, name.contains('@')) {
            (true, false) => Username::parse(&format!("{name}@{}", self.default_domain)).ok(),
            (true, true) | (false, false) => Username::parse(name).ok(),
            (false, true) => None,
        }
    }
}

/// The user whose mailbox this is: lower case on both sides of the `@`, without `+detail`. However a sender writes a user,
/// this is written one way, for it names a directory.
pub fn user_of(mailbox: &Mailbox) -> Mailbox {
    let local = mailbox.local();
    let user = local.split_once('+').map_or(local, |(user, _)| user);
    let user = if user.is_empty() { local } else { user }.to_lowercase();
    let domain = match mailbox.domain() {
        Domain::Name(name) => Domain::Name(name.to_ascii_lowercase().into()),
        address => address.clone(),
    };
    Mailbox::new(&user, domain).unwrap_or_else(|_| mailbox.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mailbox(text: &str) -> Mailbox {
        Mailbox::parse(text).expect("a mailbox")
    }

    #[test]
    fn a_user_is_written_one_way() {
        assert_eq!(user_of(&mailbox("You+lists@LocalHost")).to_string(), "you@localhost");
        assert_eq!(user_of(&mailbox("+You@localhost")).to_string(), "+you@localhost");
        assert_eq!(user_of(&mailbox("you@[192.0.2.1]")).to_string(), "you@[192.0.2.1]");
    }

    #[test]
    fn names_are_addresses_with_virtual_hosting_and_local_parts_without() {
        let naming =
            |virtual_hosting| Naming { virtual_hosting, default_domain: mailbox("x@example.org").domain().clone() };
        let text = |name: Option<Username>| name.map(|name| name.to_string());
        let (with, without) = (naming(true), naming(false));
        assert_eq!(text(with.user(&mailbox("You+x@Example.com"))).as_deref(), Some("you@example.com"));
        assert_eq!(text(without.user(&mailbox("You+x@Example.com"))).as_deref(), Some("you"));
        assert_eq!(text(with.login("You")).as_deref(), Some("you@example.org"));
        assert_eq!(text(with.login("You@example.com")).as_deref(), Some("you@example.com"));
        assert_eq!(text(without.login("You")).as_deref(), Some("you"));
        assert_eq!(without.login("you@example.org"), None);
        let you = with.login("you").expect("a name");
        assert_eq!(with.mailbox(&you), Some(mailbox("you@example.org")));
        let you = without.login("you").expect("a name");
        assert_eq!(without.mailbox(&you), Some(mailbox("you@example.org")));
        assert_eq!(with.user(&mailbox("\"a/b\"@c")), None);
    }
}
