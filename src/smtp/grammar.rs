//! The pieces that commands are made of (RFC 5321 §4.1.2), found in text without being copied.

use crate::mail::address::address_literal;
use memchr::memchr2;
use std::net::IpAddr;

/// Octets of a HELO argument: a domain name in brackets.
const HELLO_OCTETS: usize = 255;

/// A path of MAIL or RCPT, and what follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathArgument<'a> {
    /// What stood between the angle brackets.
    pub path: &'a str,
    /// The parameters, with the spaces around them.
    pub parameters: &'a str,
}

/// What follows the keyword of MAIL (`FROM:`) or RCPT (`TO:`), in any case, and the spaces that some clients put after it.
pub fn after_keyword<'a>(argument: &'a str, keyword: &str) -> Option<&'a str> {
    let (found, rest) = after_spaces(argument).split_at_checked(keyword.len())?;
    found.eq_ignore_ascii_case(keyword).then(|| after_spaces(rest))
}

fn after_spaces(text: &str) -> &str {
    let spaces = text.bytes().take_while(|octet| *octet == b' ').count();
    text.get(spaces..).unwrap_or_default()
}

/// Parts `<path> parameters`. Brackets inside of a quoted string are text. Without `brackets_required` the path may also
/// stand by itself, up to a space.
pub fn split_path(text: &str, brackets_required: bool) -> Option<PathArgument<'_>> {
    let (path, parameters) = match text.strip_prefix('<') {
        Some(bracketed) => {
            let (path, rest) = bracketed.split_at(find_unquoted(bracketed, b'>')?);
            (path, rest.strip_prefix('>')?)
        }
        None if brackets_required || text.is_empty() => return None,
        None => text.split_at(find_unquoted(text, b' ').unwrap_or(text.len())),
    };
    (parameters.is_empty() || parameters.starts_with(' ')).then_some(PathArgument { path, parameters })
}

/// Where an ASCII character first stands outside of a quoted string.
fn find_unquoted(text: &str, wanted: u8) -> Option<usize> {
    let first = memchr2(wanted, b'"', text.as_bytes())?;
    if text.as_bytes().get(first) == Some(&wanted) {
        return Some(first);
    }
    let (mut quoted, mut escaped) = (false, false);
    text.bytes().position(|byte| {
        let found = !quoted && byte == wanted;
        if !escaped && byte == b'"' {
            quoted = !quoted;
        }
        escaped = quoted && !escaped && byte == b'\\';
        found
    })
}

/// The argument of BDAT (RFC 3030 §2): how many octets follow, and whether they are the last.
pub fn chunk(argument: &str) -> Option<(u64, bool)> {
    let mut words = argument.split(' ').filter(|word| !word.is_empty());
    let octets = decimal(words.next()?)?;
    let last = match words.next() {
        None => false,
        Some(word) if word.eq_ignore_ascii_case("LAST") => true,
        Some(_) => return None,
    };
    words.next().is_none().then_some((octets, last))
}

/// A number written with digits alone.
pub fn decimal(text: &str) -> Option<u64> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// Whether the text may be said with HELO, EHLO or LHLO.
///
/// RFC 5321 §4.1.1.1 wants a domain name or an address literal; clients in the field also give addresses without brackets
/// or without their tag, IPv6 with an IPv4 address after it, bare host names and names with `_`. A server must not refuse
/// mail because the argument does not verify (§4.1.4), so all of these pass; what is no name of a host at all does not.
pub fn is_hello_argument(text: &str) -> bool {
    if text.len() > HELLO_OCTETS {
        return false;
    }
    let inner = text.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(text);
    inner.parse::<IpAddr>().is_ok() || address_literal(inner).is_some() || is_two_addresses(inner) || is_host_name(text)
}

/// `IPv6:<IPv6 address>:<IPv4 address>`, as one widely used mail program says it.
fn is_two_addresses(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(v6, v4)| {
        v6.contains(':') && address_literal(v6).is_some() && matches!(v4.parse(), Ok(IpAddr::V4(_)))
    })
}

/// Labels of ASCII letters, digits, `-` and `_` joined by dots; a dot at the end is allowed.
fn is_host_name(text: &str) -> bool {
    let is_label = |label: &str| {
        let edge = |c: char| c == '-' || c == '_';
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        (1..=63).contains(&label.len())
            && label.bytes().all(inner)
            && !label.starts_with(edge)
            && !label.ends_with(edge)
    };
    let name = text.strip_suffix('.').unwrap_or(text);
    name.len() <= 253 && name.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_found() {
        let split = |text| split_path(text, true).map(|found| (found.path, found.parameters));
        assert_eq!(split("<>"), Some(("", "")));
        assert_eq!(split("<a@b> X=1  Y"), Some(("a@b", " X=1  Y")));
        assert_eq!(split("<\"a> b\\\">\"@c> X"), Some(("\"a> b\\\">\"@c", " X")));
        assert_eq!(split("<a@b"), None);
        assert_eq!(split("<\"a@b>"), None);
        assert_eq!(split("<a@b>X"), None);
        assert_eq!(split("<<a@b>>"), None);
        assert_eq!(split("a@b"), None);
        assert_eq!(split(""), None);
    }

    #[test]
    fn brackets_may_be_left_out_where_they_are_not_required() {
        let split = |text| split_path(text, false).map(|found| (found.path, found.parameters));
        assert_eq!(split("a@b X=1"), Some(("a@b", " X=1")));
        assert_eq!(split("\"a b\"@c"), Some(("\"a b\"@c", "")));
        assert_eq!(split("<a@b> X"), Some(("a@b", " X")));
        assert_eq!(split(""), None);
    }

    #[test]
    fn keywords_have_no_case() {
        assert_eq!(after_keyword("from:<a>", "FROM:"), Some("<a>"));
        assert_eq!(after_keyword(" From: <a>", "FROM:"), Some("<a>"));
        assert_eq!(after_keyword("FROM :<a>", "FROM:"), None);
        assert_eq!(after_keyword("FR", "FROM:"), None);
        assert_eq!(after_keyword("FRÖM:", "FROM:"), None);
    }

    #[test]
    fn chunks_are_read() {
        assert_eq!(chunk("0"), Some((0, false)));
        assert_eq!(chunk(" 86  last "), Some((86, true)));
        assert_eq!(chunk("18446744073709551615 LAST"), Some((u64::MAX, true)));
        for bad in ["", "LAST", "18446744073709551616", "-1", "+1", "1x", "1 LAST 2", "1 FIRST"] {
            assert_eq!(chunk(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn what_clients_say_hello_with() {
        for good in [
            "example.com",
            "example.com.",
            "localhost",
            "7kO2OrE",
            "123.example.com",
            "mx-ll-110-164-x-x.2s1n",
            "a_b.c",
            "127.0.0.1",
            "[127.0.0.1]",
            "::1",
            "[::1]",
            "[IPv6:::1]",
            "[IPV6:2001:db8::1]",
            "IPv6:2001:db8::1",
            "[IPv6:2001:db8::1:192.0.2.1]",
            "[IPv6:fe80::1:1:1:1:192.0.2.7]",
        ] {
            assert!(is_hello_argument(good), "{good}");
        }
        for bad in [
            "",
            "bad value",
            "localhost)",
            "127.0.0.1/24",
            "sub..bad",
            "[]",
            "-example.com",
            "example-.com",
            "example.com!",
            ".",
            "[example.com]",
            "jos\u{e9}.example",
            "a\rb",
            "[IPv6:::1",
            "IPv6:",
        ] {
            assert!(!is_hello_argument(bad), "{bad}");
        }
        assert!(!is_hello_argument(&"a.".repeat(128)));
    }
}
