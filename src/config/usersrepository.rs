//! `usersrepository.xml`: where the users are, how they are named, and how James has kept their passwords.

use std::time::Duration;

use super::key::{Key, boolean, key};
use super::problem::Severity;
use super::problems::Problems;
use super::section::Section;
use super::server::tls::Secret;
use super::value::{self, Expected};
use super::walk::{Scope, walk};
use super::xml::File;
use crate::directory::password::{Algorithm, Mode};

/// What `usersrepository.xml` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsersSettings {
    /// Where the users are.
    pub source: UsersSource,
    /// `algorithm` and `hashingMode`: how James has hashed passwords that do not say it themselves. New ones are argon2id.
    pub algorithm: Algorithm,
    /// `enableVirtualHosting`: a user's name is a whole address.
    pub virtual_hosting: bool,
    /// `administratorId`, `administratorIds/administratorId`: users who may act for others.
    pub administrators: Vec<String>,
    /// `verifyFailureDelay`: how long the answer to a wrong password is held back.
    pub verify_failure_delay: Duration,
}

/// Where users are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UsersSource {
    /// In ringpost's own store, whichever back end James had.
    Local,
    /// In an LDAP directory.
    Ldap(LdapSettings),
}

/// The directory of `ReadOnlyUsersLDAPRepository`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LdapSettings {
    /// `ldapHosts` or `ldapHost`: URLs, tried in order.
    pub hosts: Vec<String>,
    /// `principal` and `credentials`: as whom ringpost asks.
    pub bind: Option<(String, Secret)>,
    /// `userBase`: below which users are.
    pub user_base: String,
    /// `userIdAttribute`: what is the user's name.
    pub user_id_attribute: String,
    /// `userObjectClass`: what makes an entry a user.
    pub user_object_class: String,
    /// `poolSize`: connections at a time.
    pub pool_size: u32,
}

const HASHED: &str =
    "how the hashes of `ringpost user import` were made where they do not say it; new passwords are hashed by argon2id";
const LDAP: &str = "it is used with LDAP, which ringpost does not do yet";

/// The keys of `usersrepository.xml`.
pub const KEYS: &[Key] = &[
    key("@name").meaningless("there is one store of users"),
    key("@class").differently("every back end but LDAP maps to the local store"),
    key("algorithm").default("PBKDF2-SHA512").differently(HASHED),
    key("hashingMode").default("plain").differently(HASHED),
    key("enableVirtualHosting").defaults("true", "false; with Cassandra true", "true"),
    key("supportsVirtualHosting").older("enableVirtualHosting"),
    key("enableForwarding").default("true").meaningless("James does not read it any more; forwards are mappings"),
    key("enableAliases").default("true").meaningless("James does not read it any more; aliases are mappings"),
    key("administratorId").often(),
    key("administratorIds/administratorId").often(),
    key("verifyFailureDelay")
        .default("0s")
        .differently("limits/authFailureDelay of ringpost.xml is the least, 30 seconds are the most"),
    key("@ldapHost").waits(LDAP),
    key("@ldapHosts").waits(LDAP),
    key("@principal").waits(LDAP),
    key("@credentials").waits(LDAP),
    key("@userBase").waits(LDAP),
    key("@userListBase").waits(LDAP),
    key("@userIdAttribute").waits(LDAP),
    key("@usernameAttribute").waits(LDAP),
    key("@resolveLocalPartAttribute").waits(LDAP),
    key("@userObjectClass").waits(LDAP),
    key("@filter").waits(LDAP),
    key("@administratorId").waits(LDAP),
    key("@trustAllCerts").default("false").checked(boolean).waits(LDAP),
    key("@poolSize").default("4").waits(LDAP),
    key("@maxWaitTime").default("1000").waits(LDAP),
    key("@connectionTimeout").waits(LDAP),
    key("@readTimeout").waits(LDAP),
    key("domains").waits(LDAP),
    key("restriction/@memberAttribute").waits(LDAP),
    key("restriction/group").often().waits(LDAP),
];

/// The classes that keep users in a store of James' own.
const LOCAL: [&str; 6] = [
    "org.apache.james.user.memory.MemoryUsersRepository",
    "org.apache.james.user.jpa.JPAUsersRepository",
    "org.apache.james.user.cassandra.CassandraUsersRepository",
    "org.apache.james.user.postgres.PostgresUsersRepository",
    "org.apache.james.user.jdbc.JamesUsersJdbcRepository",
    "org.apache.james.user.file.UsersFileRepository",
];

const LDAP_CLASS: &str = "org.apache.james.user.ldap.ReadOnlyUsersLDAPRepository";

/// Reads `usersrepository.xml`; `None` where the outermost element is another, or what LDAP needs is missing.
pub fn read(file: &File, problems: &mut Problems) -> Option<UsersSettings> {
    let scope = Scope { name: "usersrepository", keys: &[KEYS], unknown: Severity::Warning };
    let mut section = Section::root(file, "usersrepository", problems)?;
    walk(file, &file.root, &scope, section.problems);
    let source = source(&mut section);
    let mode = section.read("hashingMode", hashing_mode).unwrap_or_default();
    let algorithm = section.read("algorithm", |text| algorithm(text, mode)).unwrap_or(usual(mode));
    let delay = section.read("verifyFailureDelay", |text| value::james_duration(text, Duration::from_secs(1)));
    let mut administrators: Vec<String> =
        section.written("administratorId").map(|w| w.text.to_owned()).into_iter().collect();
    administrators
        .extend(section.list("administratorIds", "administratorId").iter().map(|element| element.text.clone()));
    Some(UsersSettings {
        source: source?,
        algorithm,
        virtual_hosting: virtual_hosting(&mut section),
        administrators,
        verify_failure_delay: delay.unwrap_or(Duration::ZERO),
    })
}

/// `enableVirtualHosting`, which the repository of LDAP also has as `supportsVirtualHosting`.
fn virtual_hosting(section: &mut Section<'_>) -> bool {
    let other = section.read("supportsVirtualHosting", value::boolean);
    section.read("enableVirtualHosting", value::boolean).or(other).unwrap_or(true)
}

fn source(section: &mut Section<'_>) -> Option<UsersSource> {
    let Some(written) = section.written("@class") else { return Some(UsersSource::Local) };
    match written.text {
        LDAP_CLASS => {
            let found = "the users are in LDAP, which ringpost does not do yet";
            let advice = "those that `ringpost user add` adds count, and nobody else";
            section.say(written.position, Severity::Warning, found, advice);
            ldap(section).map(UsersSource::Ldap)
        }
        local if LOCAL.contains(&local) => {
            let found = format!("{local} maps to the local store");
            section.say(
                written.position,
                Severity::Note,
                found,
                "the users are those that `ringpost user add` and `ringpost user import` add",
            );
            Some(UsersSource::Local)
        }
        _ => {
            let known = LOCAL.into_iter().chain([LDAP_CLASS]);
            super::class::unknown(section, written, known, "ringpost has a local store and LDAP");
            None
        }
    }
}

fn ldap(section: &mut Section<'_>) -> Option<LdapSettings> {
    let mut needed = |name: &str| {
        let written = section.written(name);
        if written.is_none() {
            let found = format!("the attribute {} is missing", name.trim_start_matches('@'));
            section.say(section.element.position, Severity::Error, found, "LDAP cannot be asked without it; write it");
        }
        written.map(|written| written.text.to_owned())
    };
    let [user_base, user_id_attribute, user_object_class] =
        ["@userBase", "@userIdAttribute", "@userObjectClass"].map(&mut needed);
    let hosts = if section.written("@ldapHosts").is_some() { "@ldapHosts" } else { "@ldapHost" };
    if section.written(hosts).is_none() {
        section.say(
            section.element.position,
            Severity::Error,
            "the attribute ldapHosts is missing",
            "name a host, such as ldap://ldap.example.org",
        );
    }
    let principal = section.written("@principal").map(|written| written.text.to_owned());
    let credentials = section.written("@credentials").map(|written| Secret::new(written.text)).unwrap_or_default();
    let pool = section.read("@poolSize", |text| value::number(text, 1, 1000)).unwrap_or(4);
    Some(LdapSettings {
        hosts: section.read(hosts, ldap_hosts)?,
        bind: principal.map(|principal| (principal, credentials)),
        user_base: user_base?,
        user_id_attribute: user_id_attribute?,
        user_object_class: user_object_class?,
        pool_size: u32::try_from(pool).unwrap_or(4),
    })
}

fn ldap_hosts(text: &str) -> Result<Vec<String>, Expected> {
    let is_host = |text: &str| {
        let rest = text.strip_prefix("ldap://").or_else(|| text.strip_prefix("ldaps://"));
        rest.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_graphic()))
    };
    let hosts: Vec<String> = text.split(',').map(|host| host.trim().to_owned()).collect();
    match hosts.iter().all(|host| is_host(host)) {
        true => Ok(hosts),
        false => Err("ldap:// or ldaps:// and a host, several of them separated by commas".to_owned()),
    }
}

/// What James takes where nothing is written.
fn usual(mode: Mode) -> Algorithm {
    Algorithm::Pbkdf2 { sha512: true, iterations: 1000, bits: 512, mode }
}

fn algorithm(text: &str, mode: Mode) -> Result<Algorithm, Expected> {
    let algorithm = Algorithm::parse(text, mode).ok().filter(|algorithm| *algorithm != Algorithm::Argon2id);
    let forms = "PBKDF2-SHA512, PBKDF2-SHA512-<iterations>-<bits>, PBKDF2, or a digest such as SHA-512/salted";
    algorithm.ok_or_else(|| forms.to_owned())
}

fn hashing_mode(text: &str) -> Result<Mode, Expected> {
    let modes = [
        ("plain", Mode::Plain),
        ("salted", Mode::Salted),
        ("legacy", Mode::Legacy),
        ("legacy_salted", Mode::LegacySalted),
    ];
    value::word(text, &modes)
}
