//! `dnsservice.xml`: which name servers are asked. Read and checked in full; ringpost asks nobody yet but the machine's own
//! resolver, for the names in its configuration.

use std::net::IpAddr;

use super::key::{Key, boolean, key, whole};
use super::problem::Severity;
use super::problems::Problems;
use super::section::{Section, Written};
use super::value::{self, Expected};
use super::walk::{Scope, walk};
use super::xml::File;

/// What `dnsservice.xml` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsSettings {
    /// `servers/server`: asked in order.
    pub servers: Vec<IpAddr>,
    /// `autodiscover`: the machine's own name servers are asked too.
    pub autodiscover: bool,
    /// `maxcachesize`: answers that are kept.
    pub max_cache_size: u32,
    /// `singleIPperMX`: of a mail exchanger's addresses only the first is tried.
    pub single_ip_per_mx: bool,
}

const NO_DNS: &str = "nothing is looked up yet but the names in the configuration, by the machine's own resolver";

/// The keys of `dnsservice.xml`.
pub const KEYS: &[Key] = &[
    key("servers/server").often().later(NO_DNS),
    key("autodiscover").default("true").waits(NO_DNS),
    key("authoritative").default("false").checked(boolean).later(NO_DNS),
    key("maxcachesize").default("50000").waits(NO_DNS),
    key("negativeCacheTTL").checked(whole).waits(NO_DNS),
    key("singleIPperMX").default("false").waits(NO_DNS),
    key("verbose").default("false").meaningless("the log has its level in ringpost.xml"),
];

/// Reads `dnsservice.xml`; `None` where the outermost element is another.
pub fn read(file: &File, problems: &mut Problems) -> Option<DnsSettings> {
    let mut section = Section::root(file, "dnsservice", problems)?;
    let scope = Scope { name: "dnsservice", keys: &[KEYS], unknown: Severity::Warning };
    walk(file, &file.root, &scope, section.problems);
    let servers = section.list("servers", "server");
    let servers: Vec<IpAddr> = servers.into_iter().filter_map(|e| section.parse(Written::text_of(e), server)).collect();
    let autodiscover = section.read("autodiscover", value::boolean).unwrap_or(true);
    if let (false, true, Some(written)) = (autodiscover, servers.is_empty(), section.written("autodiscover")) {
        let found = "autodiscover is false, and no <server> is named";
        section.say(written.position, Severity::Error, found, "name one in <servers>, or write true");
    }
    let size = section.read("maxcachesize", |text| value::number(text, 0, 10_000_000).map(|size| size as u32));
    Some(DnsSettings {
        servers,
        autodiscover,
        max_cache_size: size.unwrap_or(50_000),
        single_ip_per_mx: section.read("singleIPperMX", value::boolean).unwrap_or(false),
    })
}

fn server(text: &str) -> Result<IpAddr, Expected> {
    text.parse().map_err(|_| "the address of a name server".to_owned())
}
