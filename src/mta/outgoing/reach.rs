//! Finds a next hop that takes mail for a destination, and holds the session with it until mail can be sent.

use std::future::{Future, poll_fn};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

use super::Destination;
use super::State;
use super::destination::{Element, LaneKey};
use crate::delivery::exchange::{Connection, Trouble, Way};
use crate::delivery::lane::{Finding, Kind};
use crate::delivery::names::Names;
use crate::delivery::route::{self, Addresses, Hop, NoRoute, Own};
use crate::delivery::settings::{Gateway, LmtpPlace, RemoteSettings, Security, Trust};
use crate::io::{Machine, Peer};
use crate::mail::Domain;
use crate::smtp::client::transaction::Unfit;
use crate::smtp::client::{Login, Protocol, Settings, Tls};

/// The port of mail servers, and that of those that speak TLS from the first octet (RFC 8314 §3.3).
const SMTP_PORT: u16 = 25;
const SUBMISSIONS_PORT: u16 = 465;

/// A connection to a next hop.
pub(super) struct Reached<M: Machine> {
    pub connection: Connection<M>,
    pub relay: Relay,
}

/// Who a next hop is.
#[derive(Clone, Debug)]
pub(super) struct Relay {
    /// For the log: `host[address]:port`.
    pub name: Rc<str>,
    /// For reports: its name.
    pub host: Rc<str>,
    /// For the log: what the connection is secured with.
    pub tls: Rc<str>,
}

impl Relay {
    /// Its name, where it said that itself: what was found out here has no reply code.
    pub fn that_said(&self, text: &str) -> Option<&str> {
        (reply_code(text).is_some() && !self.host.is_empty()).then_some(&*self.host)
    }
}

/// The reply code that a text begins with.
pub(super) fn reply_code(text: &str) -> Option<u16> {
    let digits = text.split([' ', '-']).next()?;
    (digits.len() == 3).then(|| digits.parse().ok()).flatten()
}

impl Default for Relay {
    fn default() -> Relay {
        Relay { name: "none".into(), host: "".into(), tls: IN_CLEAR.into() }
    }
}

/// How the log tells a connection in clear: no TLS was offered, or wanted.
const IN_CLEAR: &str = "none";

/// The same where the handshake failed before.
const HANDSHAKE_FAILED: &str = "none:handshake-failed";

/// A server that may be tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    /// Its name, which it proves to have where it is asked to.
    pub host: Rc<str>,
    pub to: Peer,
    /// Whether TLS is there from the first octet.
    pub implicit: bool,
}

impl Candidate {
    fn relay(&self) -> String {
        match &self.to {
            Peer::Tcp(address) => format!("{}[{}]:{}", self.host, address.ip(), address.port()),
            Peer::Unix(path) => format!("{}[{}]", self.host, path.display()),
        }
    }
}

impl NoRoute {
    fn finding(self) -> Finding {
        let kind = match self {
            NoRoute::Unavailable => Kind::Later,
            NoRoute::NoDomain | NoRoute::NoAddress => Kind::Nobody,
            NoRoute::NullMx | NoRoute::Loop => Kind::Never,
        };
        Finding { why: self.to_string().into(), kind }
    }
}

/// Reaches the destination of a lane.
///
/// # Errors
///
/// Why no server of it can be reached now.
pub(super) async fn reach<M: Machine>(state: &State<M>, key: &LaneKey) -> Result<Reached<M>, Finding> {
    let Some(element) = Element::of(&state.settings, &key.destination) else {
        return Err(Finding { why: "4.3.5 there are no such settings any more".into(), kind: Kind::Later });
    };
    let candidates = candidates(state, &key.destination, element).await.map_err(NoRoute::finding)?;
    let (mut trouble, mut unfit) = (None, None);
    for candidate in candidates {
        let relay: Rc<str> = candidate.relay().into();
        match attempt(state, &candidate, element, key.strict).await {
            Err(why) => trouble = Some(format!("{} ({relay})", why.text)),
            Ok((connection, tls)) => match lacks(&connection, key.strict) {
                None => return Ok(Reached { connection, relay: Relay { name: relay, host: candidate.host, tls } }),
                Some(why) => {
                    unfit = Some(format!("{why} ({relay})"));
                    connection.quit().await;
                }
            },
        }
    }
    let (why, kind) = match (trouble, unfit) {
        // Who was not reached may be fit.
        (Some(why), _) => (why.into(), Kind::Later),
        (None, Some(why)) => (why.into(), Kind::Never),
        (None, None) => ("4.4.1 no address of the host can be reached from the address to bind".into(), Kind::Later),
    };
    Err(Finding { why, kind })
}

/// What a connection lacks that mail with REQUIRETLS needs; then another server is tried (RFC 8689 §4.2.1).
fn lacks<M: Machine>(connection: &Connection<M>, strict: bool) -> Option<String> {
    match connection.secured_with() {
        _ if !strict => None,
        None => Some("5.7.10 the host does not offer TLS".to_owned()),
        Some(_) if connection.session().extensions().require_tls => None,
        Some(_) => Some(Unfit::NoRequireTls.to_string()),
    }
}

/// Tries one server. Where TLS is taken as it comes and does not come about, it is tried once more without. Comes with how the
/// connection is secured, for the log.
async fn attempt<M: Machine>(
    state: &State<M>,
    candidate: &Candidate,
    element: Element<'_>,
    strict: bool,
) -> Result<(Connection<M>, Rc<str>), Trouble> {
    let (connect_timeout, timeout) = element.timeouts();
    let terms = terms(element, candidate.implicit, strict);
    let tls = match terms.tls {
        Tls::Never if !candidate.implicit => None,
        _ => state.settings.tls.with(terms.trust, &candidate.host),
    };
    let mut way = Way {
        to: candidate.to.clone(),
        from: match element {
            Element::Remote(settings) => settings.bind,
            Element::Lmtp(_) => None,
        },
        session: session(&state.settings.hello_name, element, candidate, terms.tls),
        tls,
        connect_timeout,
        timeout,
    };
    match Connection::open(state.machine.clone(), &state.deadlines, &way).await {
        Err(trouble) if trouble.in_handshake && terms.may_be_clear => {
            way.session.tls = Tls::Never;
            let connection = Connection::open(state.machine.clone(), &state.deadlines, &way).await?;
            Ok((connection, HANDSHAKE_FAILED.into()))
        }
        opened => opened.map(|connection| {
            let tls = secured(connection.secured_with(), terms.trust);
            (connection, tls)
        }),
    }
}

/// How a connection is secured, as the log tells it: version, cipher suite, and what the server has proved to be.
fn secured(with: Option<crate::mail::Tls>, trust: Trust) -> Rc<str> {
    let proved = match trust {
        Trust::Name => "verified",
        Trust::Authority => "trusted",
        Trust::Anybody => "unverified",
    };
    with.map_or(IN_CLEAR.into(), |tls| format!("{}:{}:{proved}", tls.version, tls.cipher).into())
}

/// How a connection is made safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Terms {
    tls: Tls,
    /// Who the server must prove to be.
    trust: Trust,
    /// Whether it may be in clear where TLS does not come about.
    may_be_clear: bool,
}

fn terms(element: Element<'_>, implicit: bool, strict: bool) -> Terms {
    let Element::Remote(settings) = element else {
        return Terms { tls: Tls::Never, trust: Trust::Anybody, may_be_clear: true };
    };
    // Where a password is said, or TLS is asked for, it matters who hears it.
    let named = settings.credentials.is_some();
    let required = settings.security == Security::StartTls || named && !implicit;
    Terms {
        tls: match (implicit, required) {
            (true, _) => Tls::Never,
            (false, true) => Tls::Required,
            (false, false) => Tls::Opportunistic,
        },
        trust: match () {
            () if strict => Trust::Name,
            () if required || implicit || named => settings.trust,
            () => Trust::Anybody,
        },
        may_be_clear: !(strict || required || implicit),
    }
}

/// How a session with a server is held.
fn session(hello_name: &str, element: Element<'_>, candidate: &Candidate, tls: Tls) -> Settings {
    let (protocol, name, login) = match element {
        Element::Remote(settings) => {
            let login = settings.credentials.as_ref().map(|credentials| Login {
                username: credentials.username.clone(),
                password: credentials.password.clone(),
            });
            (Protocol::Smtp, settings.helo_name.as_deref(), login)
        }
        Element::Lmtp(_) => (Protocol::Lmtp, None, None),
    };
    let hello_name = name.unwrap_or(hello_name).into();
    Settings { protocol, hello_name, tls, secured: candidate.implicit, login }
}

/// The servers of a destination, in the order they are tried, at most [`route::ADDRESSES_MAX`] addresses of them.
async fn candidates<M: Machine>(
    state: &State<M>,
    destination: &Destination,
    element: Element<'_>,
) -> Result<Vec<Candidate>, NoRoute> {
    let seed = state.machine.secret();
    match (destination, element) {
        (_, Element::Lmtp(settings)) => match &settings.place {
            LmtpPlace::Unix(path) => Ok(vec![on_socket(path)]),
            LmtpPlace::Tcp(gateway) => of_gateways(&*state.names, std::slice::from_ref(gateway), false).await,
        },
        (Destination::Domain { domain, .. }, Element::Remote(settings)) => {
            of_domain(state, domain, settings, seed).await
        }
        (_, Element::Remote(settings)) => {
            let mut gateways = settings.gateways.clone();
            if settings.load_balancing {
                shuffle(&mut gateways, seed);
            }
            let implicit = settings.security == Security::Implicit;
            of_gateways(&*state.names, &gateways, implicit).await
        }
    }
}

fn on_socket(path: &Path) -> Candidate {
    Candidate { host: "localhost".into(), to: Peer::Unix(path.to_owned()), implicit: false }
}

/// Any order, which `seed` chooses.
fn shuffle<T>(list: &mut [T], mut seed: u64) {
    for last in (1..list.len()).rev() {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        list.swap(last, (seed >> 33) as usize % (last + 1));
    }
}

async fn of_gateways(names: &dyn Names, gateways: &[Gateway], implicit: bool) -> Result<Vec<Candidate>, NoRoute> {
    let lookups = gateways.iter().map(|gateway| names.addresses(&gateway.host)).collect();
    let found = all(lookups).await;
    let mut list = Vec::new();
    let unavailable = found.contains(&Addresses::Unavailable);
    for (gateway, addresses) in gateways.iter().zip(&found) {
        let Addresses::Found(addresses) = addresses else { continue };
        for address in route::by_turns(addresses) {
            if list.len() < route::ADDRESSES_MAX {
                list.push((Rc::from(&*gateway.host), SocketAddr::new(address, gateway.port)));
            }
        }
    }
    match (list.is_empty(), unavailable) {
        (false, _) => Ok(on_ports(&list, implicit)),
        (true, true) => Err(NoRoute::Unavailable),
        (true, false) => Err(NoRoute::NoAddress),
    }
}

/// Where TLS is to be there from the first octet and the port is that of mail servers, it is tried on its own port first, as
/// James does.
fn on_ports(list: &[(Rc<str>, SocketAddr)], implicit: bool) -> Vec<Candidate> {
    let candidate = |(host, address): &(Rc<str>, SocketAddr), port, implicit| Candidate {
        host: host.clone(),
        to: Peer::Tcp(SocketAddr::new(address.ip(), port)),
        implicit,
    };
    let of = |one: &(Rc<str>, SocketAddr)| match (implicit, one.1.port()) {
        (false, port) => vec![candidate(one, port, false)],
        (true, SMTP_PORT) => vec![candidate(one, SUBMISSIONS_PORT, true), candidate(one, SMTP_PORT, false)],
        (true, port) => vec![candidate(one, port, true)],
    };
    list.iter().flat_map(of).collect()
}

async fn of_domain<M: Machine>(
    state: &State<M>,
    domain: &Domain,
    settings: &RemoteSettings,
    seed: u64,
) -> Result<Vec<Candidate>, NoRoute> {
    let own = Own { names: &state.settings.own_names, addresses: &state.settings.own_addresses };
    let names = &*state.names;
    let exchange = match route::literal(domain) {
        Some(_) => route::MailExchange::NoRecord,
        None => names.mail_exchange(domain).await,
    };
    let route = route::route(domain, &exchange, own, seed)?;
    let lookups = route.hops.iter().map(|(_, hop)| match hop {
        Hop::Name(name) => names.addresses(name),
        Hop::Address(address) => Box::pin(std::future::ready(Addresses::Found(vec![*address]))),
    });
    let found = all(lookups.collect()).await;
    let addresses = route::addresses(&route, &found, own, names.one_address_each())?;
    let host = |address: &IpAddr| {
        let of = |found: &Addresses| matches!(found, Addresses::Found(list) if list.contains(address));
        match found.iter().position(of).and_then(|place| route.hops.get(place)) {
            Some((_, Hop::Name(name))) => Rc::from(&**name),
            _ => Rc::from(address.to_string()),
        }
    };
    let list: Vec<_> = addresses.iter().map(|address| (host(address), SocketAddr::new(*address, SMTP_PORT))).collect();
    Ok(on_ports(&list, settings.security == Security::Implicit))
}

/// What all of them end with.
async fn all<T>(pending: Vec<Pin<Box<dyn Future<Output = T> + '_>>>) -> Vec<T> {
    let mut pending: Vec<_> = pending.into_iter().map(|one| (Some(one), None)).collect();
    poll_fn(|context| {
        for (future, value) in &mut pending {
            if let Some(one) = future
                && let Poll::Ready(found) = one.as_mut().poll(context)
            {
                (*future, *value) = (None, Some(found));
            }
        }
        if pending.iter().any(|(future, _)| future.is_some()) { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    pending.into_iter().filter_map(|(_, value)| value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::names::Zone;
    use futures_lite::future::block_on;

    fn gateway(host: &str, port: u16) -> Gateway {
        Gateway { host: host.into(), port }
    }

    #[test]
    fn gateways_are_tried_in_order_and_where_asked_on_the_port_of_tls_first() {
        let addresses = |list: &[&str]| Addresses::Found(list.iter().map(|text| text.parse().expect("one")).collect());
        let zone = Zone::default()
            .with_addresses("one.example", addresses(&["192.0.2.1", "2001:db8::1"]))
            .with_addresses("down.example", Addresses::Unavailable);
        let told = |gateways: &[Gateway], implicit| match block_on(of_gateways(&zone, gateways, implicit)) {
            Ok(list) => list
                .iter()
                .map(|one| format!("{}{}", one.relay(), if one.implicit { " tls" } else { "" }))
                .collect::<Vec<_>>()
                .join(", "),
            Err(why) => why.to_string(),
        };
        let all = [gateway("down.example", 25), gateway("192.0.2.9", 587), gateway("one.example", 25)];
        let clear = "192.0.2.9[192.0.2.9]:587, one.example[2001:db8::1]:25, one.example[192.0.2.1]:25";
        assert_eq!(told(&all, false), clear);
        let tls = "192.0.2.9[192.0.2.9]:587 tls, one.example[2001:db8::1]:465 tls, one.example[2001:db8::1]:25, \
                   one.example[192.0.2.1]:465 tls, one.example[192.0.2.1]:25";
        assert_eq!(told(&all, true), tls);
        assert_eq!(told(&all[..1], false), "4.4.3 the domain could not be looked up");
        assert_eq!(told(&[gateway("none.example", 25)], false), "5.4.4 no host of the domain has an address");
    }

    #[test]
    fn tls_is_taken_as_it_comes_unless_somebody_asks_for_more() {
        let plain = RemoteSettings {
            schedule: Default::default(),
            dns_retries: 0,
            timeout: std::time::Duration::ZERO,
            connect_timeout: std::time::Duration::ZERO,
            bounce_processor: None,
            on_success: None,
            security: Security::Opportunistic,
            trust: Trust::Name,
            gateways: Vec::new(),
            credentials: None,
            load_balancing: true,
            helo_name: None,
            bind: None,
        };
        let credentials = crate::delivery::settings::Credentials { username: "a".into(), password: "b".into() };
        let named = RemoteSettings { credentials: Some(credentials), trust: Trust::Authority, ..plain.clone() };
        let asked = RemoteSettings { security: Security::StartTls, ..plain.clone() };
        let wrapped = RemoteSettings { security: Security::Implicit, ..plain.clone() };
        let of = |settings: &RemoteSettings, implicit, strict| {
            let Terms { tls, trust, may_be_clear } = terms(Element::Remote(settings), implicit, strict);
            format!("{tls:?} {trust:?}{}", if may_be_clear { " or clear" } else { "" })
        };
        for (settings, implicit, strict, expected) in [
            (&plain, false, false, "Opportunistic Anybody or clear"),
            (&plain, false, true, "Opportunistic Name"),
            (&named, false, false, "Required Authority"),
            (&named, false, true, "Required Name"),
            (&asked, false, false, "Required Name"),
            (&wrapped, true, false, "Never Name"),
            (&wrapped, false, false, "Opportunistic Anybody or clear"),
        ] {
            assert_eq!(of(settings, implicit, strict), expected, "{settings:?} {implicit} {strict}");
        }
    }

    #[test]
    fn any_gateway_may_come_first() {
        let firsts: std::collections::HashSet<u8> = (0..50u64)
            .map(|seed| {
                let mut list = [1, 2, 3];
                shuffle(&mut list, seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
                list[0]
            })
            .collect();
        assert_eq!(firsts.len(), 3);
    }
}
