//! What a server does in the end, key by key, and where each value came from: for `ringpost check`.

use std::fmt::Display;

use super::super::key::Key;
use super::super::section::Section;
use super::super::xml::Position;
use super::auth::{Announce, Mechanism};
use super::tls::{Credentials, TlsSettings, TlsVersion};
use super::{CoreHandlers, Protocol, ServerSettings};
use crate::hook::IdentityMode;

/// The effective settings of one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effective {
    /// Its name.
    pub name: String,
    /// What it speaks.
    pub protocol: Protocol,
    /// Whether it is started.
    pub enabled: bool,
    /// The file that it is in.
    pub file: String,
    /// Where its element is.
    pub position: Position,
    /// Every key that has a value.
    pub rows: Vec<Row>,
}

/// One key of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The key, as it is written.
    pub key: &'static str,
    /// Its value in words.
    pub value: String,
    /// Where it came from.
    pub origin: Origin,
    /// Whether ringpost does it already, or nothing is asked for.
    pub done: bool,
}

/// Where a value came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It was written there.
    Written(Position),
    /// It is the default, here as in James.
    Default,
    /// It is the default here; in James' code it is another.
    OwnDefault {
        /// That other one.
        james: &'static str,
    },
}

/// The effective settings of the server in `section`.
pub fn effective(section: &Section<'_>, settings: &ServerSettings, keys: &[&[Key]]) -> Effective {
    let row = |key: &Key| {
        let written = section.written(key.path);
        let value = match key.path {
            // What is wrong with its certificates does not change whether TLS was asked for.
            "tls/@startTLS" | "tls/@socketTLS" => written.map_or("false", |written| written.text).to_owned(),
            path => value(settings, path)?,
        };
        let asks = written.is_some_and(|written| !key.idle.is_some_and(|idle| idle(written.text)));
        let origin = match (written, key.defaults) {
            (Some(written), _) => Origin::Written(written.position),
            (None, Some(defaults)) if defaults.code != defaults.ringpost => Origin::OwnDefault { james: defaults.code },
            _ => Origin::Default,
        };
        Some(Row { key: key.path, value, origin, done: key.standing.is_done() || !asks })
    };
    Effective {
        name: settings.name.clone(),
        protocol: settings.protocol,
        enabled: settings.enabled,
        file: section.file.path.clone(),
        position: section.element.position,
        rows: keys.iter().copied().flatten().filter_map(row).collect(),
    }
}

/// The value of a key in words; `None` for keys that have none of their own.
fn value(settings: &ServerSettings, key: &str) -> Option<String> {
    // LMTP has keys of SMTP in its table only to say that they have no effect there.
    if settings.protocol == Protocol::Lmtp && ONLY_SMTP.contains(&key) {
        return None;
    }
    Some(match key {
        "@enabled" => settings.enabled.to_string(),
        "jmxName" => settings.name.clone(),
        "bind" => joined(&settings.bind),
        "connectionBacklog" => settings.backlog.to_string(),
        "connectiontimeout" => format!("{} s", settings.idle_timeout.as_secs()),
        "connectionLimit" => limit(settings.connection_limit),
        "connectionLimitPerIP" => limit(settings.connection_limit_per_ip),
        "helloName" => settings.hello_name.clone(),
        "maxmessagesize" => settings.max_message_octets.map_or("no limit".to_owned(), octets),
        "maxLineLength" => format!("{} octets", settings.max_line_octets),
        "heloEhloEnforcement" => settings.require_hello.to_string(),
        "addressBracketsEnforcement" => settings.require_brackets.to_string(),
        "disabledFeatures" => joined(settings.disabled_features.iter().map(|feature| feature.keyword())),
        "gracefulShutdown" => settings.graceful_shutdown.to_string(),
        "ioWorkerCount" => settings.io_workers.map_or("every CPU of <shards>".to_owned(), |count| count.to_string()),
        "bossWorkerCount" => settings.boss_workers.to_string(),
        "maxExecutorCount" => settings.max_executors.to_string(),
        "proxyRequired" => settings.proxy.required.to_string(),
        "proxyFirst" => settings.proxy.first.to_string(),
        "handlerchain/@coreHandlersPackage" => core(settings.handlers.core).to_owned(),
        path if path.starts_with("tls/") => return settings.tls.as_ref().and_then(|tls| of_tls(tls, path)),
        "smtpGreeting" | "lmtpGreeting" => {
            settings.greeting.clone().unwrap_or_else(|| format!("{} …", settings.hello_name))
        }
        "auth/announce" => announce(settings.auth.announce).to_owned(),
        "auth/required" => settings.auth.required.to_string(),
        "auth/requireSSL" => settings.auth.require_ssl.to_string(),
        "auth/saslMechanisms" => joined(settings.auth.mechanisms.iter().map(mechanism)),
        "verifyIdentity" => identity(settings.identity).to_owned(),
        "authorizedAddresses" => match settings.authorized_addresses.0.as_slice() {
            [] => "nobody".to_owned(),
            networks => joined(networks),
        },
        _ => return None,
    })
}

/// The value of a key of `<tls>`, where TLS is on.
fn of_tls(tls: &TlsSettings, key: &str) -> Option<String> {
    Some(match (key, &tls.credentials, &tls.client_auth) {
        ("tls/keystore", Credentials::Keystore(keystore), _) => keystore.path.display().to_string(),
        ("tls/privateKey", Credentials::Pem { private_key, .. }, _) => private_key.display().to_string(),
        ("tls/certificates", Credentials::Pem { certificates, .. }, _) => certificates.display().to_string(),
        ("tls/supportedProtocols/protocol", ..) if tls.versions.is_empty() => joined(TlsVersion::ALL),
        ("tls/supportedProtocols/protocol", ..) => joined(&tls.versions),
        ("tls/supportedCipherSuites/cipherSuite", ..) if tls.cipher_suites.is_empty() => {
            "all that there are".to_owned()
        }
        ("tls/supportedCipherSuites/cipherSuite", ..) => joined(&tls.cipher_suites),
        ("tls/clientAuth", _, None) => "no certificate is asked for".to_owned(),
        ("tls/clientAuth", _, Some(_)) => "a certificate must be shown".to_owned(),
        ("tls/clientAuth/truststore", _, Some(auth)) => match &auth.truststore {
            Some(keystore) => keystore.path.display().to_string(),
            None => "the authorities of the machine".to_owned(),
        },
        ("tls/sessionCache/timeout", ..) => match tls.session_cache_timeout {
            None => "12 h".to_owned(),
            Some(timeout) => format!("{timeout:?}"),
        },
        _ => return None,
    })
}

const ONLY_SMTP: [&str; 3] = ["verifyIdentity", "authorizedAddresses", "smtpGreeting"];

fn joined<T: Display>(list: impl IntoIterator<Item = T>) -> String {
    match list.into_iter().map(|one| one.to_string()).collect::<Vec<_>>() {
        list if list.is_empty() => "none".to_owned(),
        list => list.join(", "),
    }
}

fn limit(limit: Option<u32>) -> String {
    limit.map_or("no limit".to_owned(), |limit| limit.to_string())
}

/// Octets with the largest unit that divides them.
fn octets(octets: u64) -> String {
    let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    let unit = units.iter().find(|(bits, _)| octets.trailing_zeros() >= *bits);
    unit.map_or(format!("{octets} octets"), |(bits, unit)| format!("{} {unit}", octets >> bits))
}

fn core(core: CoreHandlers) -> &'static str {
    match core {
        CoreHandlers::Smtp | CoreHandlers::Lmtp => "CoreCmdHandlerLoader",
        CoreHandlers::SmtpNoAuth => "NoAuthCmdHandlerLoader",
    }
}

fn announce(announce: Announce) -> &'static str {
    match announce {
        Announce::Never => "never",
        Announce::Always => "always",
        Announce::ForUnauthorizedAddresses => "forUnauthorizedAddresses",
    }
}

fn mechanism(mechanism: &Mechanism) -> &'static str {
    match mechanism {
        Mechanism::Login => "LOGIN",
        Mechanism::Plain => "PLAIN",
        Mechanism::OAuthBearer => "OAUTHBEARER",
        Mechanism::XOAuth2 => "XOAUTH2",
        Mechanism::ScramSha256 => "SCRAM-SHA-256",
    }
}

fn identity(mode: IdentityMode) -> &'static str {
    match mode {
        IdentityMode::Strict => "strict",
        IdentityMode::Relaxed => "relaxed",
        IdentityMode::Disabled => "disabled",
    }
}
