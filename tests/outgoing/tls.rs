//! TLS on the way to next hops: where it is used, what is told of it, and mail that goes no other way.

use std::time::Duration;

use ringpost::delivery::names::Zone;
use ringpost::delivery::route::Addresses;
use ringpost::delivery::settings::{Gateway, RemoteSettings, Security, Trust};
use ringpost::io::sim::Manner;
use ringpost::io::tls::RootCertStore;
use ringpost::mta::outgoing::ClientTlsConfigs;

use super::here::{Here, envelope, remote, settings, zone};
use super::hop::{Answer, Hop, certified};

const MAIL: &[u8] = b"Subject: m\r\n\r\nhello\r\n";

/// A host that believes these authorities.
fn here(remote: RemoteSettings, zone: Zone, roots: RootCertStore) -> Here {
    let settings = settings(vec![remote], Vec::new());
    Here::new(5, zone, ringpost::mta::outgoing::Settings { tls: ClientTlsConfigs::new(roots), ..settings })
}

/// How a host behaves that offers TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Offer {
    Nothing,
    /// With a certificate of this name, which somebody is known to vouch for.
    Of(&'static str),
    /// With one that nobody vouches for.
    OfNobody,
    /// Refuses it when it is asked for it.
    Refused,
    /// The handshake fails.
    Fails,
}

/// One mail by these settings to one host: whether it was taken under TLS, and what the log has of it as sent or put off.
fn one_mail(remote: RemoteSettings, offer: Offer) -> (Vec<bool>, Vec<String>) {
    let mut roots = RootCertStore::empty();
    let name = if let Offer::Of(name) = offer { name } else { "mx.a.example" };
    let own = certified(&[name], &mut roots);
    if offer == Offer::OfNobody {
        roots = RootCertStore::empty();
        certified(&["other.example"], &mut roots);
    }
    let mut here = here(remote, zone(&[("a.example", "198.51.100.1")]), roots);
    let hop = Hop::new(&here.world, "198.51.100.1:25", &["PIPELINING"]);
    let hop = if offer == Offer::Nothing { hop } else { hop.with_tls(own) };
    hop.set_policy(move |command| match (command, offer) {
        ("STARTTLS", Offer::Refused) => Answer::Say("454 4.7.0 not now"),
        ("handshake", Offer::Fails) => Answer::Say("what?"),
        _ => Answer::Usual,
    });
    here.start();
    hop.serve(&here.world.machine());
    here.send(envelope(1, "me@here.example", &["you@a.example"]), here.to_remote(0), MAIL);
    here.world.run(Duration::from_secs(30));
    let taken = hop.taken.borrow().iter().map(|taken| taken.tls).collect();
    let events = here.told_of(&["sent", "deferred"], &["relay", "tls", "text"]);
    (taken, events)
}

#[test]
fn tls_is_used_where_it_is_offered_and_the_log_says_so() {
    let gateway = Gateway { host: "198.51.100.1".into(), port: 25 };
    let by_gateway = RemoteSettings { gateways: vec![gateway], ..remote(&[60]) };
    for remote in [remote(&[60]), by_gateway] {
        for (offer, secured, expected) in [
            (Offer::Nothing, false, "none"),
            (Offer::Of("mx.a.example"), true, "TLSv1.3:TLS_AES_256_GCM_SHA384:unverified"),
            (Offer::Of("other.example"), true, "TLSv1.3:TLS_AES_256_GCM_SHA384:unverified"),
            (Offer::OfNobody, true, "TLSv1.3:TLS_AES_256_GCM_SHA384:unverified"),
            (Offer::Refused, false, "none"),
            (Offer::Fails, false, "none:handshake-failed"),
        ] {
            let (taken, told) = one_mail(remote.clone(), offer);
            assert_eq!(taken, [secured], "{offer:?}");
            assert!(told.len() == 1 && told[0].ends_with(&format!("[198.51.100.1]:25 | {expected} | 250 2.0.0 taken")));
        }
    }
}

#[test]
fn where_tls_is_required_the_host_proves_what_it_is_asked_to_or_gets_nothing() {
    let required = |trust| RemoteSettings { security: Security::StartTls, trust, ..remote(&[60]) };
    for (trust, offer, expected) in [
        (Trust::Name, Offer::Of("mx.a.example"), Ok("verified")),
        (Trust::Authority, Offer::Of("other.example"), Ok("trusted")),
        (Trust::Anybody, Offer::OfNobody, Ok("unverified")),
        (Trust::Name, Offer::Of("other.example"), Err("4.7.5 TLS: ")),
        (Trust::Authority, Offer::OfNobody, Err("4.7.5 TLS: ")),
        (Trust::Anybody, Offer::Nothing, Err("4.7.4 the host does not offer TLS")),
        (Trust::Anybody, Offer::Refused, Err("454 4.7.0 not now")),
        (Trust::Anybody, Offer::Fails, Err("4.7.5 TLS: ")),
    ] {
        let (taken, told) = one_mail(required(trust), offer);
        let (count, beginning) = match expected {
            Ok(proved) => (1, format!("mx.a.example[198.51.100.1]:25 | TLSv1.3:TLS_AES_256_GCM_SHA384:{proved} | 250")),
            Err(why) => (0, format!("none | none | {why}")),
        };
        assert_eq!(taken, vec![true; count], "{trust:?} {offer:?}");
        assert!(told.len() == 1 && told[0].starts_with(&beginning), "{trust:?} {offer:?}: {told:?}");
    }
}

/// A domain with hosts in this order, each of which takes what it is given: in clear; under TLS, without REQUIRETLS; with
/// REQUIRETLS, and a certificate of another name; and as it should be.
struct Hosts {
    here: Here,
    hops: Vec<Hop>,
}

const KINDS: [&str; 4] = ["clear", "tls", "other", "good"];

fn hosts(kinds: &[&str]) -> Hosts {
    let mut roots = RootCertStore::empty();
    let names: Vec<String> = kinds.iter().map(|kind| format!("{kind}.a.example")).collect();
    let address = |kind: &str| format!("198.51.100.{}", KINDS.iter().position(|one| *one == kind).expect("a kind") + 1);
    let preferences: Vec<(u16, &str)> = (1..).zip(names.iter().map(String::as_str)).collect();
    let mut zone = Zone::default().with_hosts("a.example", &preferences);
    for (kind, name) in kinds.iter().zip(&names) {
        let addresses = Addresses::Found(vec![address(kind).parse().expect("an address")]);
        zone = zone.with_addresses(name, addresses);
    }
    let configs: Vec<_> = kinds
        .iter()
        .zip(&names)
        .map(|(kind, name)| certified(&[if *kind == "other" { "x.example" } else { name }], &mut roots))
        .collect();
    let mut here = here(remote(&[60]), zone, roots);
    let hop = |(kind, config): (&&str, _)| {
        let extensions: &[&str] = if *kind == "tls" { &[] } else { &["REQUIRETLS"] };
        let hop = Hop::new(&here.world, &format!("{}:25", address(kind)), extensions);
        if *kind == "clear" { hop } else { hop.with_tls(config) }
    };
    let hops = kinds.iter().zip(configs).map(hop).collect();
    here.start();
    Hosts { here, hops }
}

impl Hosts {
    /// Sends a mail with REQUIRETLS; how much each host has taken in the end.
    fn send(&mut self) -> Vec<usize> {
        self.hops.iter().for_each(|hop| hop.serve(&self.here.world.machine()));
        let mut mail = envelope(1, "me@here.example", &["you@a.example"]);
        mail.require_tls = true;
        self.here.send(mail, self.here.to_remote(0), MAIL);
        assert!(self.here.settle());
        self.hops.iter().map(|hop| hop.taken.borrow().len()).collect()
    }
}

#[test]
fn mail_with_requiretls_goes_to_the_first_host_that_keeps_it() {
    let mut hosts = hosts(&KINDS);
    assert_eq!(hosts.send(), [0, 0, 0, 1]);
    let taken = hosts.hops[3].taken.borrow()[0].clone();
    assert!(taken.tls && taken.parameters.contains(" REQUIRETLS"), "{taken:?}");
    assert!(hosts.hops.iter().all(|hop| hop.host.attempts() == 1), "each is tried once, in its turn");
    let told = hosts.here.told("sent", &["relay", "tls"]);
    assert_eq!(told, ["good.a.example[198.51.100.4]:25 | TLSv1.3:TLS_AES_256_GCM_SHA384:verified"]);
}

#[test]
fn mail_with_requiretls_that_no_host_keeps_comes_back_at_once() {
    for (kinds, why) in [
        (["tls", "clear"], "5.7.10 the host does not offer TLS (clear.a.example[198.51.100.1]:25)"),
        (["clear", "tls"], "5.7.30 the host does not keep REQUIRETLS (tls.a.example[198.51.100.2]:25)"),
    ] {
        let mut hosts = hosts(&kinds);
        assert_eq!(hosts.send(), [0, 0]);
        assert_eq!(hosts.here.told("bounced", &["dsn", "text"]), [format!("{} | {why}", &why[..6].trim_end())]);
        assert_eq!(hosts.here.reports("you@a.example", "failed"), 1);
        assert_eq!(hosts.here.outgoing().figures().deferred, 0);
    }
}

#[test]
fn mail_with_requiretls_waits_for_a_host_that_may_keep_it() {
    let mut hosts = hosts(&["good", "clear"]);
    hosts.hops[0].host.set_manner(Manner::Refuses);
    let (machine, good) = (hosts.here.world.machine(), hosts.hops[0].host.clone());
    ringpost::io::Machine::spawn(&machine.clone(), ringpost::io::Class::Intake, async move {
        ringpost::io::Machine::sleep(&machine, Duration::from_secs(30)).await;
        good.set_manner(Manner::Answers);
    });
    assert_eq!(hosts.send(), [1, 0]);
    assert_eq!(hosts.here.outgoing().figures().deferred, 1);
}
