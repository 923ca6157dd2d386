//! `dnsservice.xml`: which name servers are asked, and what is remembered of their answers.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::key::{Key, key};
use super::problem::Severity;
use super::problems::Problems;
use super::section::{Section, Written};
use super::value::{self, Expected};
use super::walk::{Scope, walk};
use super::xml::File;

/// The port of name servers (RFC 1035 §4.2).
const PORT: u16 = 53;

/// Most name servers that are named.
const SERVERS_MAX: usize = 16;

/// What `dnsservice.xml` says, or what counts without it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsSettings {
    /// `servers/server`.
    pub servers: Vec<SocketAddr>,
    /// `autodiscover`: the machine's own name servers are asked too.
    pub autodiscover: bool,
    /// `authoritative`: only what comes from a server that is authoritative for it is remembered.
    pub authoritative: bool,
    /// `maxcachesize`: answers that are remembered; 0 for none.
    pub max_cache_size: u32,
    /// `negativeCacheTTL`: the longest that it is remembered that there is nothing; `None` for as long as the answer says.
    pub negative_ttl: Option<Duration>,
    /// `singleIPperMX`: of a mail exchanger's addresses only the first is tried.
    pub single_ip_per_mx: bool,
}

impl Default for DnsSettings {
    fn default() -> DnsSettings {
        DnsSettings {
            servers: Vec::new(),
            autodiscover: true,
            authoritative: false,
            max_cache_size: CACHE_SIZE,
            negative_ttl: None,
            single_ip_per_mx: false,
        }
    }
}

const CACHE_SIZE: u32 = 50_000;

/// The keys of `dnsservice.xml`.
pub const KEYS: &[Key] = &[
    key("servers/server").often().differently(
        "a port may follow the address (192.0.2.53:5353). The server that answers fastest is asked first, and two at a time, not one after the other in the order of the file",
    ),
    key("autodiscover").default("true").differently("/etc/resolv.conf is read at start; its search list is not used"),
    key("authoritative")
        .default("false")
        .differently("answers from elsewhere are used as in James, and none of them is remembered"),
    key("maxcachesize").default("50000").differently("it is answers that are counted; each core remembers 2,000 more for five minutes"),
    key("negativeCacheTTL"),
    key("singleIPperMX").default("false"),
    key("verbose").default("false").meaningless("the log has its level in ringpost.xml"),
];

/// Reads `dnsservice.xml`; `None` where the outermost element is another.
pub fn read(file: &File, problems: &mut Problems) -> Option<DnsSettings> {
    let mut section = Section::root(file, "dnsservice", problems)?;
    let scope = Scope { name: "dnsservice", keys: &[KEYS], unknown: Severity::Warning };
    walk(file, &file.root, &scope, section.problems);
    let written = section.list("servers", "server");
    if let Some(too_many) = written.get(SERVERS_MAX) {
        let found = format!("more than {SERVERS_MAX} name servers are named");
        section.say(too_many.position, Severity::Error, found, "name the nearest ones");
    }
    let servers: Vec<SocketAddr> =
        written.into_iter().filter_map(|element| section.parse(Written::text_of(element), server)).collect();
    let autodiscover = section.read("autodiscover", value::boolean).unwrap_or(true);
    if let (false, true, Some(written)) = (autodiscover, servers.is_empty(), section.written("autodiscover")) {
        let found = "autodiscover is false, and no <server> is named";
        section.say(written.position, Severity::Error, found, "name one in <servers>, or write true");
    }
    let size = section.read("maxcachesize", |text| value::number(text, 0, 10_000_000).map(|size| size as u32));
    Some(DnsSettings {
        servers,
        autodiscover,
        authoritative: section.read("authoritative", value::boolean).unwrap_or(false),
        max_cache_size: size.unwrap_or(CACHE_SIZE),
        negative_ttl: section.read("negativeCacheTTL", negative_ttl).flatten(),
        single_ip_per_mx: section.read("singleIPperMX", value::boolean).unwrap_or(false),
    })
}

fn server(text: &str) -> Result<SocketAddr, Expected> {
    let alone = text.parse::<IpAddr>().map(|address| SocketAddr::new(address, PORT));
    let server = alone.or_else(|_| text.parse::<SocketAddr>());
    let usable =
        |server: &SocketAddr| server.port() != 0 && !server.ip().is_unspecified() && !server.ip().is_multicast();
    server.ok().filter(usable).ok_or_else(|| "the address of a name server".to_owned())
}

/// Seconds; any number below zero says that there is no limit.
fn negative_ttl(text: &str) -> Result<Option<Duration>, Expected> {
    let below_zero = text.strip_prefix('-').filter(|digits| !digits.is_empty());
    if below_zero.is_some_and(|digits| digits.bytes().all(|digit| digit.is_ascii_digit())) {
        return Ok(None);
    }
    value::number(text, 0, u64::from(u32::MAX)).map(|seconds| Some(Duration::from_secs(seconds)))
}
