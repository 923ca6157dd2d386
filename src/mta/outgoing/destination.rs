//! Where mail that leaves this host goes.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use super::super::destination::Destination;
use super::Settings;
use crate::delivery::schedule::Schedule;
use crate::delivery::settings::{LmtpSettings, RemoteSettings};
use crate::io::counts::Key;

/// A lane: a destination, and whether its connections are fit for mail with REQUIRETLS (RFC 8689 §4.2.1).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct LaneKey {
    pub destination: Destination,
    pub strict: bool,
}

/// Under which the connections to a destination are counted over all cores.
pub fn count_key(destination: &Destination, hasher: &RandomState) -> Key {
    let [high, low] = [1u8, 2].map(|half| u128::from(hasher.hash_one((half, destination))));
    Key::of_hash(0, high << 64 | low)
}

/// The settings of a destination.
#[derive(Clone, Copy, Debug)]
pub(super) enum Element<'a> {
    Remote(&'a RemoteSettings),
    Lmtp(&'a LmtpSettings),
}

impl<'a> Element<'a> {
    /// Those of a destination; `None` where the file has no such place (any more).
    pub fn of(settings: &'a Settings, destination: &Destination) -> Option<Element<'a>> {
        match destination {
            Destination::Domain { remote, .. } | Destination::Gateways { remote } => {
                settings.remotes.get(usize::from(*remote)).map(Element::Remote)
            }
            Destination::Lmtp(place) => settings.lmtps.get(usize::from(*place)).map(Element::Lmtp),
        }
    }

    /// When mail is tried again.
    pub fn schedule(self) -> &'a Schedule {
        match self {
            Element::Remote(settings) => &settings.schedule,
            Element::Lmtp(settings) => &settings.schedule,
        }
    }

    /// How often it is tried where the DNS says that there is nobody.
    pub fn dns_retries(self) -> u32 {
        match self {
            Element::Remote(settings) => settings.dns_retries,
            Element::Lmtp(_) => 0,
        }
    }

    /// How long a connection may take, and a reply.
    pub fn timeouts(self) -> (Duration, Duration) {
        match self {
            Element::Remote(settings) => (settings.connect_timeout, settings.timeout),
            Element::Lmtp(settings) => (settings.connect_timeout, settings.timeout),
        }
    }

    /// The processor for mail that is given up.
    pub fn bounce_processor(self) -> Option<&'a str> {
        match self {
            Element::Remote(settings) => settings.bounce_processor.as_deref(),
            Element::Lmtp(_) => None,
        }
    }

    /// The processor for mail that was taken.
    pub fn on_success(self) -> Option<&'a str> {
        match self {
            Element::Remote(settings) => settings.on_success.as_deref(),
            Element::Lmtp(_) => None,
        }
    }
}
