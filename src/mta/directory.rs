//! The directory as the configuration has it, opened.

use std::collections::HashMap;
use std::sync::Arc;

use super::error::{Error, start_error};
use crate::config::Configuration;
use crate::control::desk::Lines;
use crate::control::directory::rules::Rules;
use crate::control::directory::store::Store;
use crate::control::directory::{Keeper, Settings};
use crate::control::hashing::Hashing;
use crate::control::random;
use crate::directory::{Mapping, Naming, Source};
use crate::mail::{Domain, Mailbox};

/// `mappingLimit` where nothing is written.
const MAPPING_LIMIT: u32 = 10;

/// What the configuration says of the directory.
pub fn settings(configuration: &Configuration) -> Settings {
    let (users, rewrites) = (configuration.users.as_ref(), configuration.rewrites.as_ref());
    let rules = rules(configuration);
    let administrators = users.map_or(&[][..], |users| &users.administrators).iter();
    let administrators = administrators.filter_map(|name| rules.naming.login(name)).collect();
    Settings {
        postmaster: postmaster(configuration, &rules.naming),
        mapping_limit: rewrites.map_or(MAPPING_LIMIT, |rewrites| rewrites.mapping_limit),
        administrators,
        rehash: configuration.ringpost.directory.rehash,
        rules,
    }
}

/// How users are named, and what of the directory stands in files.
pub fn rules(configuration: &Configuration) -> Rules {
    let domains = &configuration.domains;
    // The configuration has been checked, so nothing is left out.
    let default_domain = Domain::parse(&domains.default).unwrap_or(Domain::Name("localhost".into()));
    let named = domains.names.iter().filter(|name| !domains.detected.contains(name));
    let mut written: HashMap<Source, Vec<Mapping>> = HashMap::new();
    for (source, mapping) in configuration.rewrites.iter().flat_map(|rewrites| &rewrites.mappings) {
        written.entry(source.clone()).or_default().push(mapping.clone());
    }
    Rules {
        naming: Naming {
            virtual_hosting: configuration.users.as_ref().is_none_or(|users| users.virtual_hosting),
            default_domain,
        },
        named: named.filter_map(|name| Domain::parse(name).ok()).collect(),
        detected: domains.detected.iter().map(|name| name.to_lowercase()).collect(),
        written,
    }
}

/// `context/postmaster` of `mailetcontainer.xml` where it is of a domain of the configuration, and else the postmaster of the
/// default domain.
fn postmaster(configuration: &Configuration, naming: &Naming) -> Mailbox {
    let written = configuration.container.as_ref().and_then(|container| container.postmaster.as_deref());
    let read = |text| Mailbox::parse_in(text, &configuration.domains.default).ok();
    let is_ours = |mailbox: &Mailbox| {
        let domain = mailbox.domain().to_string();
        configuration.domains.names.iter().any(|name| name.eq_ignore_ascii_case(&domain))
    };
    written.and_then(read).filter(is_ours).unwrap_or_else(|| naming.postmaster())
}

/// Opens the database, which is made where it is not there, and starts the hashing threads.
pub fn open(
    configuration: &Configuration,
    lines: Arc<Lines>,
    control: &tokio::runtime::Runtime,
) -> Result<Arc<Keeper>, Error> {
    let own = &configuration.ringpost.directory;
    let settings = settings(configuration);
    let hashing = Hashing::start(own.hashing_threads).map_err(start_error("the hashing threads"))?;
    let key = random::octets().map_err(start_error("the hashing threads"))?;
    let failed = |error: String| Error::Directory { path: own.path.display().to_string(), error };
    control.block_on(async {
        let first = settings.rules.postmaster();
        let store = Store::open(&own.path, first.as_ref()).await.map_err(|error| failed(error.to_string()))?;
        let keeper = Keeper::new(settings, store, hashing, key, lines).await;
        Ok(Arc::new(keeper.map_err(|error| failed(error.to_string()))?))
    })
}
