//! All tables of keys and classes in one place: what docs/COMPATIBILITY.md lists, and what can be accepted by name.

use super::class::Class;
use super::key::{Key, Standing};
use super::problems::Inactive;
use super::{
    dnsservice, domainlist, handlerchain::classes, jvm, mailetcontainer, mailrepositorystore, recipientrewritetable,
    ringpost, server, usersrepository, webadmin,
};

/// The keys of one part of the configuration.
#[derive(Clone, Copy, Debug)]
pub struct KeyTable {
    /// What they are the keys of, for people.
    pub title: &'static str,
    /// What `<accept-inactive key="…"/>` begins with, one of these.
    pub scopes: &'static [&'static str],
    /// The keys.
    pub keys: &'static [Key],
}

/// The classes of one part of the configuration.
#[derive(Clone, Copy, Debug)]
pub struct ClassTable {
    /// What they are, for people.
    pub title: &'static str,
    /// The classes.
    pub classes: &'static [Class],
}

const fn keys(title: &'static str, scopes: &'static [&'static str], keys: &'static [Key]) -> KeyTable {
    KeyTable { title, scopes, keys }
}

const fn classes(title: &'static str, classes: &'static [Class]) -> ClassTable {
    ClassTable { title, classes }
}

/// The keys of James' files.
pub const JAMES: &[KeyTable] = &[
    keys("smtpserver.xml and lmtpserver.xml: every server", &["smtpserver", "lmtpserver"], server::keys::COMMON),
    keys("smtpserver.xml: SMTP alone", &["smtpserver"], server::keys::SMTP),
    keys("lmtpserver.xml: LMTP alone", &["lmtpserver"], server::keys::LMTP),
    keys("domainlist.xml", &["domainlist"], domainlist::KEYS),
    keys("usersrepository.xml", &["usersrepository"], usersrepository::KEYS),
    keys("recipientrewritetable.xml", &["recipientrewritetable"], recipientrewritetable::KEYS),
    keys("dnsservice.xml", &["dnsservice"], dnsservice::KEYS),
    keys("mailrepositorystore.xml", &["mailrepositorystore"], mailrepositorystore::KEYS),
    keys("mailetcontainer.xml", &["mailetcontainer"], mailetcontainer::KEYS),
    keys("webadmin.properties", &["webadmin"], webadmin::KEYS),
    keys("jvm.properties", &["jvm"], jvm::KEYS),
];

/// The keys of ringpost's own file.
pub const OWN: KeyTable = keys("ringpost.xml", &["ringpost"], ringpost::KEYS);

/// The classes of James.
pub const CLASSES: &[ClassTable] = &[
    classes("Handlers of SMTP", classes::SMTP),
    classes("Handlers of LMTP", classes::LMTP),
    classes("Handlers that the core of either protocol has", classes::BOTH),
    classes("Matchers", mailetcontainer::names::MATCHERS),
    classes("Mailets", mailetcontainer::names::MAILETS),
];

/// Everything that `<accept-inactive>` can name with that attribute: its name, and whether it protects and is not done yet.
pub fn acceptable(what: Inactive<'_>) -> Vec<(String, bool)> {
    let open = |standing: Standing| matches!(standing, Standing::Protects(_));
    match what {
        Inactive::Class(_) => {
            let classes = CLASSES.iter().flat_map(|table| table.classes);
            classes.map(|class| (class.name.to_owned(), open(class.standing))).collect()
        }
        Inactive::Key(_) => {
            let names = |table: &KeyTable, key: &Key| {
                let name = |scope: &&str| (format!("{scope}/{}", key.path), open(key.standing));
                table.scopes.iter().map(name).collect::<Vec<_>>()
            };
            JAMES.iter().flat_map(|table| table.keys.iter().flat_map(|key| names(table, key))).collect()
        }
    }
}
