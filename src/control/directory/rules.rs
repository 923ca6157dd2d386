//! What holds besides what the database says: how users are named, the domains of the configuration, and what may be changed.

use std::collections::{BTreeSet, HashMap};

use super::command::{Command, Outcome};
use super::store::{Queried, Store};
use crate::directory::{Mapping, Naming, Source};
use crate::mail::{Domain, Username};

/// The configuration's part of the directory.
#[derive(Clone, Debug)]
pub struct Rules {
    /// How users are named, and the default domain.
    pub naming: Naming,
    /// `domainnames` and `defaultDomain`: kept in the database from the start on.
    pub named: Vec<Domain>,
    /// Found by `autodetect` and `autodetectIP`: local as long as they are found.
    pub detected: BTreeSet<String>,
    /// The mappings that stand in `recipientrewritetable.xml`.
    pub written: HashMap<Source, Vec<Mapping>>,
}

impl Rules {
    /// The user that a new database has: someone must get the mail for the postmaster (RFC 5321 §4.5.1).
    pub fn postmaster(&self) -> Option<Username> {
        self.naming.login("postmaster")
    }

    /// Puts the domains that the configuration names into the database, as James does at its start.
    pub async fn keep_domains(&self, store: &Store) -> Queried<()> {
        for domain in &self.named {
            store.add_domain(domain).await?;
        }
        Ok(())
    }

    /// Whether a domain is one of ours.
    pub async fn is_local(&self, store: &Store, domain: &Domain) -> Queried<bool> {
        Ok(self.detected.contains(&domain.to_string().to_lowercase()) || store.has_domain(domain).await?)
    }

    /// Does what a command asks for, unless it would leave behind what cannot work.
    pub async fn run(&self, store: &Store, command: &Command) -> Outcome {
        match self.refused(store, command).await {
            Ok(None) => {}
            Ok(Some(why)) => return Err(why),
            Err(error) => return Err(unavailable(&error)),
        }
        match command {
            Command::ListUsers | Command::ListDomains | Command::ListMappings => self.list(store, command).await,
            _ => match change(store, command).await {
                Ok(true) => Ok(Vec::new()),
                Ok(false) => Err(nothing_to_do(command)),
                Err(error) => Err(unavailable(&error)),
            },
        }
    }

    async fn refused(&self, store: &Store, command: &Command) -> Queried<Option<String>> {
        Ok(match command {
            Command::AddUser(user, _) => self.unfit(store, user).await?,
            Command::RemoveDomain(domain) if self.named.contains(domain) => {
                let advice = "domainlist.xml names it, and it would be back at the next start: remove it there first";
                Some(format!("{domain} is not removed: {advice}"))
            }
            Command::RemoveDomain(domain) => {
                let uses = store.uses_of(domain).await?;
                let advice = "users or mappings are of this domain: remove them first";
                (uses > 0).then(|| format!("{domain} is not removed: {uses} {advice}"))
            }
            Command::AddMapping(source, _) if !self.is_local(store, source.domain()).await? => {
                Some(foreign(source, source.domain()))
            }
            _ => None,
        })
    }

    /// Why nobody can be called so.
    async fn unfit(&self, store: &Store, user: &Username) -> Queried<Option<String>> {
        let Some(mailbox) = self.naming.mailbox(user) else {
            let form = if self.naming.virtual_hosting { "an address, such as you@example.org" } else { "a local part" };
            return Ok(Some(format!("{user} is no user's name here: it is {form}")));
        };
        if !self.naming.virtual_hosting && user.as_str().contains('@') {
            let why = "with enableVirtualHosting false a user's name is the part before the @";
            return Ok(Some(format!("{user} is no user's name here: {why}")));
        }
        if self.naming.user(&mailbox).as_ref() != Some(user) {
            return Ok(Some(format!("{user} would get no mail: what follows a + belongs to the user before it")));
        }
        let domain = mailbox.domain();
        Ok((!self.is_local(store, domain).await?).then(|| foreign(user, domain)))
    }

    async fn list(&self, store: &Store, command: &Command) -> Outcome {
        let rows = match command {
            Command::ListUsers => store.users().await.map(|users| {
                let row = |user: super::store::Listing| {
                    vec![user.name, user.algorithm.unwrap_or_default(), user.scram.to_string()]
                };
                users.into_iter().map(row).collect()
            }),
            Command::ListDomains => store.domains().await.map(|domains| self.domain_rows(domains)),
            _ => store.entries().await.map(|entries| {
                let row = |entry: super::store::Entry| vec![entry.source, entry.kind, entry.target, "database".into()];
                let mut rows: Vec<_> = entries.into_iter().map(row).collect();
                for (source, mapping) in
                    self.written.iter().flat_map(|(source, all)| all.iter().map(move |m| (source, m)))
                {
                    let (kind, text) = (mapping.kind().name().to_owned(), mapping.text().to_owned());
                    rows.push(vec![source.to_string(), kind, text, "recipientrewritetable.xml".into()]);
                }
                rows.sort_by(|a, b| a[0].cmp(&b[0]));
                rows
            }),
        };
        rows.map_err(|error| unavailable(&error))
    }

    fn domain_rows(&self, stored: Vec<String>) -> Vec<Vec<String>> {
        let named = |name: &String| self.named.iter().any(|domain| domain.to_string().eq_ignore_ascii_case(name));
        let detected = self.detected.iter().filter(|name| !stored.contains(name)).cloned().collect::<Vec<_>>();
        let stored = stored
            .iter()
            .map(|name| vec![name.clone(), if named(name) { "domainlist.xml" } else { "database" }.to_owned()]);
        let mut rows: Vec<_> = stored.collect();
        rows.extend(detected.into_iter().map(|name| vec![name, "detected".to_owned()]));
        rows
    }
}

async fn change(store: &Store, command: &Command) -> Queried<bool> {
    match command {
        Command::AddUser(user, record) => store.add_user(user, record.as_ref()).await,
        Command::SetPassword(user, record) => store.set_record(user, record, None).await,
        Command::RemoveUser(user) => store.remove_user(user).await,
        Command::AddDomain(domain) => store.add_domain(domain).await,
        Command::RemoveDomain(domain) => store.remove_domain(domain).await,
        Command::AddMapping(source, mapping) => {
            store.add_mapping(source, &mapping.clone().in_domain(source.domain())).await
        }
        Command::RemoveMapping(source, mapping) => {
            store.remove_mapping(source, &mapping.clone().in_domain(source.domain())).await
        }
        Command::ListUsers | Command::ListDomains | Command::ListMappings => Ok(false),
    }
}

fn nothing_to_do(command: &Command) -> String {
    match command {
        Command::AddUser(user, _) => format!("there is a user {user}; another password: ringpost user passwd {user}"),
        Command::SetPassword(user, _) | Command::RemoveUser(user) => {
            format!("there is no user {user}; ringpost user list shows all")
        }
        Command::AddDomain(domain) => format!("{domain} is there"),
        Command::RemoveDomain(domain) => format!("there is no domain {domain}; ringpost domain list shows all"),
        Command::AddMapping(source, mapping) => format!("{source} has the mapping {mapping}"),
        Command::RemoveMapping(source, mapping) => {
            format!("{source} has no mapping {mapping}; ringpost alias list shows all")
        }
        Command::ListUsers | Command::ListDomains | Command::ListMappings => String::new(),
    }
}

fn foreign(what: &dyn std::fmt::Display, domain: &Domain) -> String {
    format!("{what} would get no mail: {domain} is not one of our domains; first: ringpost domain add {domain}")
}

fn unavailable(error: &sqlx::Error) -> String {
    format!("the directory did not answer: {error}")
}
