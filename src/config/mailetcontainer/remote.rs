//! The parameters of `RemoteDelivery` and `LmtpDelivery`.

use std::net::IpAddr;
use std::time::Duration;

use super::super::problem::Severity;
use super::super::section::Section;
use super::super::value::{self, Expected};
use super::mailets::or;
use crate::delivery::schedule::{DEFAULT_DELAY, DEFAULT_RETRIES, DELAYS_MAX, Delay, Schedule};
use crate::delivery::settings::{Credentials, Gateway, LmtpPlace, LmtpSettings, RemoteSettings, Security, Trust};

/// The longest that is waited between two attempts.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);

/// `delayTime`: `[attempts*]delay` separated by commas; a delay without a unit is in milliseconds.
///
/// # Errors
///
/// What is no such list, where James would go on with what it read so far.
pub fn delay_time(text: &str) -> Result<Vec<Delay>, Expected> {
    let expected = || "delays such as 5000, 2*1 minute, 1 hour".to_owned();
    let one = |part: &str| {
        let (attempts, wait) = match part.split_once('*') {
            Some((attempts, wait)) => (value::number(attempts, 0, 10_000).map_err(|_| expected())?, wait),
            None => (1, part),
        };
        let wait = value::james_duration(wait, Duration::from_millis(1)).map_err(|_| expected())?;
        (wait <= LONGEST).then_some(Delay { attempts: attempts as u32, wait }).ok_or_else(expected)
    };
    let list: Vec<Delay> = text.split(',').map(one).collect::<Result<_, _>>()?;
    (list.len() <= DELAYS_MAX).then_some(list).ok_or_else(|| format!("at most {DELAYS_MAX} delays"))
}

fn schedule(section: &mut Section<'_>) -> Option<Schedule> {
    let delays = or(section, "delayTime", vec![Delay { attempts: 1, wait: DEFAULT_DELAY }], delay_time);
    let retries = or(section, "maxRetries", u64::from(DEFAULT_RETRIES), |text| value::number(text, 0, 100_000));
    let schedule = Schedule::new(delays, retries as u32);
    if let Err(error) = schedule {
        let position = section.written("delayTime").map_or(section.element.position, |written| written.position);
        section.say(
            position,
            Severity::Error,
            error.to_string(),
            "write a delay in <delayTime>, or <maxRetries>0</maxRetries>",
        );
    }
    schedule.ok()
}

/// A time in milliseconds.
fn millis(section: &mut Section<'_>, key: &str, default: u64) -> Duration {
    Duration::from_millis(or(section, key, default, |text| value::number(text, 1, 3_600_000)))
}

/// `RemoteDelivery`.
pub fn remote(section: &mut Section<'_>) -> Option<RemoteSettings> {
    let connect =
        if section.written("connectionTimeout").is_some() { "connectionTimeout" } else { "connectiontimeout" };
    let start_tls = or(section, "startTLS", false, value::boolean);
    let ssl = or(section, "sslEnable", false, value::boolean);
    let verify = or(section, "verifyServerIdentity", true, value::boolean);
    let trust_all = or(section, "sslTrustAllCerts", false, value::boolean);
    let port = or(section, "gatewayPort", 25, port);
    let gateways = or(section, "gateway", Vec::new(), |text| gateways(text, port));
    let named = |section: &Section<'_>, key: &str| section.written(key).map(|written| Box::from(written.text));
    Some(RemoteSettings {
        schedule: schedule(section)?,
        dns_retries: or(section, "maxDnsProblemRetries", 0, |text| value::number(text, 0, 100_000)) as u32,
        timeout: millis(section, "timeout", 180_000),
        connect_timeout: millis(section, connect, 60_000),
        bounce_processor: named(section, "bounceProcessor"),
        on_success: named(section, "onSuccess"),
        security: match (ssl, start_tls) {
            (true, _) => Security::Implicit,
            (false, true) => Security::StartTls,
            (false, false) => Security::Opportunistic,
        },
        trust: match (trust_all, verify) {
            (true, _) => Trust::Anybody,
            (false, true) => Trust::Name,
            (false, false) => Trust::Authority,
        },
        credentials: credentials(section)?,
        gateways,
        load_balancing: or(section, "loadBalancing", true, value::boolean),
        helo_name: or(section, "heloName", None, |text| value::hello_name(text).map(|name| Some(name.into()))),
        bind: or(section, "bind", None, |text| {
            text.parse::<IpAddr>().map(Some).map_err(|_| "an address such as 192.0.2.1".to_owned())
        }),
    })
}

/// `None` where it is wrong: a password alone, or one for hosts that are not named.
fn credentials(section: &mut Section<'_>) -> Option<Option<Credentials>> {
    let anybody = section.written("gateway").is_none();
    let name = section.written("gatewayUsername").or_else(|| section.written("gatewayusername"));
    let (username, password) = match (name, section.written("gatewayPassword")) {
        (None, None) => return Some(None),
        (Some(name), Some(password)) if !anybody => (name.text, password.text),
        (Some(at), Some(_)) => {
            let found = "there is a name and a password, and no <gateway> to say them to";
            section.say(at.position, Severity::Error, found, "write <gateway>host</gateway>, or remove both");
            return None;
        }
        (Some(at), None) | (None, Some(at)) => {
            let found = "there is one of gatewayUsername and gatewayPassword, and not the other";
            section.say(at.position, Severity::Error, found, "write both, or neither");
            return None;
        }
    };
    Some(Some(Credentials { username: username.into(), password: password.into() }))
}

fn port(text: &str) -> Result<u16, Expected> {
    value::number(text, 1, 65_535).map(|port| port as u16)
}

/// Hosts with a port or without, separated by commas; an IPv6 address stands in brackets.
fn gateways(text: &str, default: u16) -> Result<Vec<Gateway>, Expected> {
    let one = |part: &str| {
        let part = part.trim();
        let (host, number) = match part.rsplit_once(':') {
            Some((host, number)) if !host.contains(':') || host.ends_with(']') => (host, port(number).ok()?),
            _ => (part, default),
        };
        let address = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let right = match address {
            Some(address) => address.parse::<IpAddr>().is_ok(),
            None => value::domain(host).is_ok(),
        };
        right.then(|| Gateway { host: address.unwrap_or(host).into(), port: number })
    };
    let list: Option<Vec<Gateway>> = text.split(',').map(one).collect();
    list.filter(|list| list.len() <= 100).ok_or_else(|| {
        "hosts such as relay.example.org, 192.0.2.1:587 or [2001:db8::1]:25, separated by commas".to_owned()
    })
}

/// `LmtpDelivery`.
pub fn lmtp(section: &mut Section<'_>) -> Option<LmtpSettings> {
    let place = match (section.written("host"), section.written("socket")) {
        (Some(host), None) => {
            let port = or(section, "port", 24, port);
            let mut gateways = section.parse(host, |text| gateways(text, port))?;
            match (gateways.pop(), gateways.is_empty()) {
                (Some(gateway), true) => LmtpPlace::Tcp(gateway),
                _ => {
                    section.say(host.position, Severity::Error, "host names several", "expected one host");
                    return None;
                }
            }
        }
        (None, Some(socket)) => LmtpPlace::Unix(section.parse(socket, value::path)?),
        (both, _) => {
            let position = both.map_or(section.element.position, |written| written.position);
            let found = "LmtpDelivery has neither <host> nor <socket>, or has both";
            section.say(position, Severity::Error, found, "write <host>127.0.0.1</host>, or <socket>/run/…</socket>");
            return None;
        }
    };
    let (timeout, connect_timeout) =
        (millis(section, "timeout", 180_000), millis(section, "connectionTimeout", 60_000));
    Some(LmtpSettings { place, timeout, connect_timeout, schedule: schedule(section)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn delays_are_read_as_james_writes_them() {
        let of = |text| {
            delay_time(text).map(|list| list.iter().map(|one| (one.attempts, one.wait.as_millis())).collect::<Vec<_>>())
        };
        assert_eq!(of("5000, 2*1 minute, 1 hour"), Ok(vec![(1, 5000), (2, 60_000), (1, 3_600_000)]));
        assert_eq!(of("25*6h"), Ok(vec![(25, 21_600_000)]));
        for wrong in ["", "1,,2", "x*5", "-1", "5 parsecs", "2*", "400 d", "2*3*4"] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn gateways_have_ports_and_brackets() {
        let of = |text| {
            gateways(text, 25)
                .map(|list| list.iter().map(|one| format!("{} {}", one.host, one.port)).collect::<Vec<_>>())
        };
        let expected = ["relay.example.org 25", "192.0.2.1 587", "2001:db8::1 26", "2001:db8::1 25"].map(str::to_owned);
        assert_eq!(of("relay.example.org, 192.0.2.1:587,[2001:db8::1]:26,[2001:db8::1]"), Ok(expected.to_vec()));
        for wrong in ["", "a b", "host:0", "host:x", "[x]:25", "2001:db8::1"] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_delays_or_an_error(text in ".{0,60}", numbers in "[0-9*, msh]{0,40}") {
            let _ = (delay_time(&text), delay_time(&numbers), gateways(&text, 25));
        }
    }
}
