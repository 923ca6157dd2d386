//! Readers of single values: text in, a typed value or what was expected out. All accept blanks around the value.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

/// What was expected instead, as it goes on after "expected".
pub type Expected = String;

/// A Boolean as James reads it: true, yes, on, t, y and their opposites, in any case.
///
/// # Errors
///
/// Any other word.
pub fn boolean(text: &str) -> Result<bool, Expected> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "t" | "y" => Ok(true),
        "false" | "no" | "off" | "f" | "n" => Ok(false),
        _ => Err("true or false".to_owned()),
    }
}

/// A whole number within bounds that are part of it.
///
/// # Errors
///
/// Anything but digits, and numbers outside the bounds.
pub fn number(text: &str, least: u64, most: u64) -> Result<u64, Expected> {
    digits(text.trim()).filter(|n| (least..=most).contains(n)).ok_or_else(|| match most {
        u64::MAX => format!("a whole number of {least} or more"),
        _ => format!("a whole number from {least} to {most}"),
    })
}

/// Digits alone: the sign that Rust's own reader takes is no part of a number here.
fn digits(text: &str) -> Option<u64> {
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// One of the words of a list, in any case, as what it stands for.
///
/// # Errors
///
/// Any other word.
pub fn word<T: Copy>(text: &str, words: &[(&str, T)]) -> Result<T, Expected> {
    let found = words.iter().find(|(word, _)| word.eq_ignore_ascii_case(text.trim()));
    found.map(|(_, value)| *value).ok_or_else(|| {
        let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        format!("one of {}", words.join(", "))
    })
}

/// `maxmessagesize`: octets, from a number with B, K, M or G or without a unit in KiB; `None` is no limit, which 0 and the
/// words UNLIMITED and UNKNOWN say.
///
/// # Errors
///
/// Anything else, and sizes beyond 64 bits.
pub fn message_size(text: &str) -> Result<Option<u64>, Expected> {
    let text = text.trim();
    if ["UNLIMITED", "UNKNOWN"].iter().any(|word| word.eq_ignore_ascii_case(text)) {
        return Ok(None);
    }
    match octets(text, Some(1 << 10)) {
        Some(0) => Ok(None),
        Some(octets) => Ok(Some(octets)),
        None => Err("a size such as 20480 (KiB), 20M or 1G, or 0 for no limit".to_owned()),
    }
}

/// A size with its unit, in octets, within bounds that are part of it.
///
/// # Errors
///
/// A size without a unit or outside the bounds.
pub fn size(text: &str, least: u64, most: u64) -> Result<u64, Expected> {
    octets(text.trim(), None).filter(|n| (least..=most).contains(n)).ok_or_else(|| {
        format!("a size with its unit B, K, M or G, from {} to {}", written_size(least), written_size(most))
    })
}

/// A number and a unit in powers of 1024; without one it counts in `plain` octets.
pub(super) fn octets(text: &str, plain: Option<u64>) -> Option<u64> {
    let (number, unit) = match text.char_indices().next_back()? {
        (at, 'B' | 'b') => (text.get(..at)?, 1),
        (at, 'K' | 'k') => (text.get(..at)?, 1 << 10),
        (at, 'M' | 'm') => (text.get(..at)?, 1 << 20),
        (at, 'G' | 'g') => (text.get(..at)?, 1 << 30),
        _ => (text, plain?),
    };
    digits(number.trim_end())?.checked_mul(unit)
}

fn written_size(octets: u64) -> String {
    match [(30, 'G'), (20, 'M'), (10, 'K')]
        .iter()
        .find(|(bits, _)| octets >= 1 << bits && octets.trailing_zeros() >= *bits)
    {
        Some((bits, unit)) => format!("{}{unit}", octets >> bits),
        None => format!("{octets}B"),
    }
}

/// Seconds, as James writes `connectiontimeout`: a number without a unit, within bounds that are part of it.
///
/// # Errors
///
/// As for [`number`].
pub fn seconds(text: &str, least: u64, most: u64) -> Result<Duration, Expected> {
    number(text, least, most)
        .map(Duration::from_secs)
        .map_err(|_| format!("seconds from {least} to {most}, without a unit"))
}

/// A duration with its unit s, m, h or d; a number alone is seconds. At most a year.
///
/// # Errors
///
/// Anything else.
pub fn duration(text: &str) -> Result<Duration, Expected> {
    let expected = || "a duration such as 30s, 5m, 1h or 2d".to_owned();
    let text = text.trim();
    let (number, unit) = match text.char_indices().next_back() {
        Some((at, 's')) => (text.get(..at), 1),
        Some((at, 'm')) => (text.get(..at), 60),
        Some((at, 'h')) => (text.get(..at), 3600),
        Some((at, 'd')) => (text.get(..at), 86_400),
        _ => (Some(text), 1),
    };
    let seconds = number.and_then(|n| digits(n.trim_end())).and_then(|n| n.checked_mul(unit));
    seconds.filter(|s| *s <= 366 * 86_400).map(Duration::from_secs).ok_or_else(expected)
}

/// The units of a duration as James writes them, in milliseconds; a month has 30 days and a year 365.
const UNITS: [(u64, &[&str]); 8] = [
    (1, &["ms", "msec", "msecs"]),
    (1_000, &["s", "sec", "secs", "second", "seconds"]),
    (60_000, &["m", "min", "mins", "minute", "minutes"]),
    (3_600_000, &["h", "hour", "hours"]),
    (86_400_000, &["d", "day", "days"]),
    (7 * 86_400_000, &["w", "week", "weeks"]),
    (30 * 86_400_000, &["month", "months"]),
    (365 * 86_400_000, &["y", "year", "years"]),
];

/// A duration as James writes it: a number, blanks or none, and a unit such as `ms`, `seconds` or `d`; without one it
/// counts in `plain`.
///
/// # Errors
///
/// Anything else; more than 64 bits of milliseconds.
pub fn james_duration(text: &str, plain: Duration) -> Result<Duration, Expected> {
    let text = text.trim();
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let unit = unit.trim_start().to_ascii_lowercase();
    let of_unit = UNITS.iter().find(|(_, names)| names.contains(&unit.as_str())).map(|(millis, _)| *millis);
    let plain = u64::try_from(plain.as_millis()).ok().filter(|_| unit.is_empty());
    let millis = of_unit.or(plain).and_then(|unit| digits(number)?.checked_mul(unit));
    millis
        .map(Duration::from_millis)
        .ok_or_else(|| "a duration such as 500ms, 10 seconds, 5m, 4 hours or 1d".to_owned())
}

/// Durations of a second and more, separated by commas, at most 32.
///
/// # Errors
///
/// As for [`duration`].
pub fn durations(text: &str) -> Result<Vec<Duration>, Expected> {
    let list: Result<Vec<Duration>, Expected> = text.split(',').map(duration).collect();
    list.ok()
        .filter(|list| list.len() <= 32 && list.iter().all(|wait| *wait >= Duration::from_secs(1)))
        .ok_or_else(|| "up to 32 durations of 1s and more, separated by commas, such as 1m,5m,1h".to_owned())
}

/// A host as it was written, and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    /// A name or an address, without brackets.
    pub host: String,
    /// 0 is any free port.
    pub port: u16,
}

/// `bind`: hosts and ports separated by commas; an IPv6 address stands in brackets, which James has no way to write.
///
/// # Errors
///
/// Anything else; more than 64 of them.
pub fn bind(text: &str) -> Result<Vec<HostPort>, Expected> {
    let list: Option<Vec<HostPort>> = text.split(',').map(|one| host_port(one.trim())).collect();
    list.filter(|list| list.len() <= 64)
        .ok_or_else(|| "host:port, such as 0.0.0.0:25 or [::1]:25, several of them separated by commas".to_owned())
}

fn host_port(text: &str) -> Option<HostPort> {
    let (host, port) = text.rsplit_once(':')?;
    let port = digits(port.trim()).and_then(|port| u16::try_from(port).ok())?;
    let host = host.trim();
    if let Some(inner) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        inner.parse::<Ipv6Addr>().ok()?;
        return Some(HostPort { host: inner.to_owned(), port });
    }
    is_domain(host).then(|| HostPort { host: host.to_owned(), port })
}

/// CPUs as `0,2-3`, ascending and without duplicates; every one below 1024.
///
/// # Errors
///
/// Anything else.
pub fn cpus(text: &str) -> Result<Vec<usize>, Expected> {
    let mut list = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        match (number(first, 0, 1023), number(last, 0, 1023)) {
            (Ok(first), Ok(last)) if first <= last => list.extend(first as usize..=last as usize),
            _ => return Err("CPUs such as 0,2-3".to_owned()),
        }
    }
    list.sort_unstable();
    list.dedup();
    Ok(list)
}

/// The text after `220 ` in a greeting: one line of printable ASCII that fits a reply line (RFC 5321 §4.5.3.1.5); `None`
/// where it is empty.
///
/// # Errors
///
/// Other characters, or more than 500 of them.
pub fn greeting(text: &str) -> Result<Option<String>, Expected> {
    match (text.is_empty(), text.len() <= 500 && text.bytes().all(|b| (b' '..=b'~').contains(&b))) {
        (true, _) => Ok(None),
        (false, true) => Ok(Some(text.to_owned())),
        (false, false) => Err("one line of at most 500 printable ASCII characters".to_owned()),
    }
}

/// A domain as it can be said in SMTP (RFC 5321 §4.1.2), lower-cased. An underscore passes, for hosts have them.
///
/// # Errors
///
/// Anything else.
pub fn domain(text: &str) -> Result<String, Expected> {
    match is_domain(text.trim()) {
        true => Ok(text.trim().to_ascii_lowercase()),
        false => Err("a domain such as example.org, in ASCII (xn--… for others)".to_owned()),
    }
}

/// What a server calls itself: a domain, or an address in brackets (RFC 5321 §4.1.3).
///
/// # Errors
///
/// Anything else.
pub fn hello_name(text: &str) -> Result<String, Expected> {
    let literal = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let address = literal.and_then(|inner| inner.strip_prefix("IPv6:").unwrap_or(inner).parse::<IpAddr>().ok());
    match address.is_some() || is_domain(text) {
        true => Ok(text.to_owned()),
        false => {
            Err("a domain such as mx.example.org, or an address such as [192.0.2.1] or [IPv6:2001:db8::1]".to_owned())
        }
    }
}

pub(super) fn is_domain(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= crate::mail::limits::DOMAIN_OCTETS && text.split('.').all(label)
}

/// A mailbox with a plain local part (RFC 5321 §4.1.2, Dot-string), its domain lower-cased.
///
/// # Errors
///
/// Anything else; a local part that is no file name, since it names the user's Maildir.
pub fn user(text: &str) -> Result<String, Expected> {
    let expected = || "an address such as you@example.org".to_owned();
    let (local_part, host) = text.trim().rsplit_once('@').ok_or_else(expected)?;
    let atom = |atom: &str| !atom.is_empty() && atom.bytes().all(|b| b.is_ascii_alphanumeric() || ATEXT.contains(&b));
    match local_part.len() <= crate::mail::limits::LOCAL_PART_OCTETS && local_part.split('.').all(atom) {
        true => Ok(format!("{local_part}@{}", domain_or_literal(host).ok_or_else(expected)?)),
        false => Err(expected()),
    }
}

/// A domain, lower-cased, or an address in brackets, which is one with `autodetectIP`.
fn domain_or_literal(text: &str) -> Option<String> {
    match text.trim().starts_with('[') {
        true => crate::mail::Domain::parse(text.trim()).ok().map(|domain| domain.to_string()),
        false => domain(text).ok(),
    }
}

/// What RFC 5322 §3.2.3 allows in an atom beside letters and digits, without the solidus.
const ATEXT: &[u8] = b"!#$%&'*+-=?^_`{|}~";

/// A path of the file system.
///
/// # Errors
///
/// An empty one, and a URL as James writes its own.
pub fn path(text: &str) -> Result<std::path::PathBuf, Expected> {
    match text.is_empty() || text.contains("://") || text.contains('\n') {
        true => Err("a path such as var/mail, relative to the home, or /var/mail".to_owned()),
        false => Ok(text.into()),
    }
}
