//! Mailboxes and paths (RFC 5321 §4.1.2, RFC 6531 §3.3).

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use memchr::memchr;
use smol_str::SmolStr;

use super::limits::{DOMAIN_OCTETS, LOCAL_PART_OCTETS};
use super::octets::{append, has_control};

/// Octets of one label of a domain (RFC 1035 §2.3.4).
const LABEL_OCTETS: usize = 63;

/// Why a text is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// There is no `@` with a domain after it.
    #[error("the address has no domain")]
    NoDomain,
    /// The local part is neither a dot-string nor a quoted string.
    #[error("the local part is malformed")]
    LocalPart,
    /// The local part is longer than [`LOCAL_PART_OCTETS`].
    #[error("the local part is too long")]
    LocalPartTooLong,
    /// The domain is neither a name nor an address literal.
    #[error("the domain is malformed")]
    Domain,
    /// The domain is longer than [`DOMAIN_OCTETS`].
    #[error("the domain is too long")]
    DomainTooLong,
    /// A source route is not followed by a mailbox.
    #[error("the source route is malformed")]
    SourceRoute,
}

/// What follows the `@`.
///
/// Names are equal without regard to the case of ASCII letters; a U-label and its A-label are two names here.
#[derive(Clone, Debug)]
pub enum Domain {
    /// A domain name as it was written, without a dot at the end; a short one is kept in place.
    Name(SmolStr),
    /// An address literal: `[192.0.2.1]` or `[IPv6:2001:db8::1]`.
    Address(IpAddr),
}

impl Domain {
    /// Reads a domain name or an address literal (RFC 5321 §4.1.2, §4.1.3).
    pub fn parse(text: &str) -> Result<Domain, AddressError> {
        if text.len() > DOMAIN_OCTETS {
            return Err(AddressError::DomainTooLong);
        }
        match text.strip_prefix('[') {
            Some(literal) => {
                literal.strip_suffix(']').and_then(address_literal).map(Domain::Address).ok_or(AddressError::Domain)
            }
            None if is_domain_name(text) => Ok(Domain::Name(text.into())),
            None => Err(AddressError::Domain),
        }
    }

    /// Whether it is written with ASCII alone.
    pub fn is_ascii(&self) -> bool {
        match self {
            Domain::Name(name) => name.is_ascii(),
            Domain::Address(_) => true,
        }
    }
}

impl FromStr for Domain {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Domain, AddressError> {
        Domain::parse(text)
    }
}

impl PartialEq for Domain {
    fn eq(&self, other: &Domain) -> bool {
        match (self, other) {
            (Domain::Name(a), Domain::Name(b)) => a.eq_ignore_ascii_case(b),
            (Domain::Address(a), Domain::Address(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for Domain {}

impl Hash for Domain {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Domain::Name(name) => hash_without_case(name, state),
            Domain::Address(address) => address.hash(state),
        }
    }
}

/// Feeds a name in small letters, many octets at a time: an octet by itself costs as much as eight.
fn hash_without_case<H: Hasher>(name: &str, state: &mut H) {
    let mut small = [0u8; 64];
    for piece in name.as_bytes().chunks(small.len()) {
        let small = &mut small[..piece.len()];
        small.copy_from_slice(piece);
        small.make_ascii_lowercase();
        state.write(small);
    }
    state.write_u8(0xff);
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Domain::Name(name) => f.write_str(name),
            Domain::Address(IpAddr::V4(address)) => write!(f, "[{address}]"),
            Domain::Address(IpAddr::V6(address)) => write!(f, "[IPv6:{address}]"),
        }
    }
}

/// The address inside the brackets of a literal (RFC 5321 §4.1.3); a scope is no part of it.
pub fn address_literal(text: &str) -> Option<IpAddr> {
    match text.split_at_checked("IPv6:".len()) {
        Some((tag, address)) if tag.eq_ignore_ascii_case("IPv6:") => address.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        _ => text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
    }
}

/// Whether the text is a domain name that mail can be sent to: its last label does not begin with a digit unless the
/// whole is an IPv4 address, which some senders write without brackets.
fn is_domain_name(text: &str) -> bool {
    let last_label = last_label(text.as_bytes()).or_else(|| {
        let is_name = !text.is_ascii() && text.split('.').all(is_label);
        is_name.then(|| text.rsplit('.').next().unwrap_or_default().as_bytes())
    });
    last_label.is_some_and(|label| !label.first().is_some_and(u8::is_ascii_digit) || text.parse::<Ipv4Addr>().is_ok())
}

/// The last label of a name of ASCII, whose labels are joined by dots and each as [`is_label`] has it. In one pass, for every
/// address that is read.
fn last_label(name: &[u8]) -> Option<&[u8]> {
    let (mut start, mut before) = (0, LabelOctet::Dot);
    for (at, octet) in name.iter().enumerate() {
        let octet = LABEL_TABLE[usize::from(*octet)];
        match (before, octet) {
            (_, LabelOctet::Letter) | (LabelOctet::Letter | LabelOctet::Hyphen, LabelOctet::Hyphen) => {}
            (LabelOctet::Letter, LabelOctet::Dot) if at - start <= LABEL_OCTETS => start = at + 1,
            _ => return None,
        }
        before = octet;
    }
    let last = name.get(start..)?;
    (before == LabelOctet::Letter && last.len() <= LABEL_OCTETS).then_some(last)
}

/// What an octet is in a domain name of ASCII.
#[derive(Clone, Copy, PartialEq, Eq)]
enum LabelOctet {
    /// A letter or a digit.
    Letter,
    /// `-` or `_`, which stand inside of a label.
    Hyphen,
    Dot,
    /// None that may stand there.
    Other,
}

static LABEL_TABLE: [LabelOctet; 256] = {
    let (mut table, mut octet) = ([LabelOctet::Other; 256], 0);
    while octet < 128 {
        table[octet] = match octet as u8 {
            b'-' | b'_' => LabelOctet::Hyphen,
            b'.' => LabelOctet::Dot,
            octet if octet.is_ascii_alphanumeric() => LabelOctet::Letter,
            _ => LabelOctet::Other,
        };
        octet += 1;
    }
    table
};

/// Whether the text is one label: letters (of any script, RFC 6531 §3.3), digits, and inside of it `-` and `_`.
fn is_label(label: &str) -> bool {
    let ascii = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'-' || octet == b'_';
    let inner = |c: char| u8::try_from(c).ok().filter(u8::is_ascii).map_or_else(|| is_text(c), ascii);
    let edge = |c: char| c == '-' || c == '_';
    (1..=LABEL_OCTETS).contains(&label.len())
        && (label.bytes().all(ascii) || label.chars().all(inner))
        && !label.starts_with(edge)
        && !label.ends_with(edge)
}

/// Whether a character beyond ASCII may stand in an address: no control character and no white space.
fn is_text(c: char) -> bool {
    !c.is_control() && !c.is_whitespace()
}

/// A local part and a domain.
///
/// Clones share their text where it is long; short ones, which most are, keep it in place. Two mailboxes are equal when their local parts are the same octets and their domains are equal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Mailbox {
    local: SmolStr,
    domain: Domain,
}

impl Mailbox {
    /// Joins a local part as it is meant (without quotes and backslashes) and a domain.
    pub fn new(local: &str, domain: Domain) -> Result<Mailbox, AddressError> {
        if local.len() > LOCAL_PART_OCTETS {
            return Err(AddressError::LocalPartTooLong);
        }
        if has_control(local) {
            return Err(AddressError::LocalPart);
        }
        Ok(Mailbox { local: local.into(), domain })
    }

    /// Reads `local-part@domain` (RFC 5321 §4.1.2), without angle brackets. Octets above 127 are taken as RFC 6531 has
    /// them: whether they may be used is for the caller to say, see [`Mailbox::is_ascii`].
    pub fn parse(text: &str) -> Result<Mailbox, AddressError> {
        let (local, domain) = split_local_part(text)?;
        Mailbox::of(local, Domain::parse(domain.ok_or(AddressError::NoDomain)?)?)
    }

    /// Reads as [`Mailbox::parse`] does, and takes `domain` where the text has none.
    pub fn parse_in(text: &str, domain: &str) -> Result<Mailbox, AddressError> {
        let (local, own) = split_local_part(text)?;
        Mailbox::of(local, Domain::parse(own.unwrap_or(domain))?)
    }

    fn of(local: Cow<'_, str>, domain: Domain) -> Result<Mailbox, AddressError> {
        match local {
            // A dot-string, which has no control characters.
            Cow::Borrowed(local) if local.len() <= LOCAL_PART_OCTETS => Ok(Mailbox { local: local.into(), domain }),
            local => Mailbox::new(&local, domain),
        }
    }

    /// The local part as it is meant: quotes and backslashes of its written form are gone.
    pub fn local(&self) -> &str {
        &self.local
    }

    /// The domain.
    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    /// Whether it can be written with ASCII alone, so that it needs no SMTPUTF8.
    pub fn is_ascii(&self) -> bool {
        self.local.is_ascii() && self.domain.is_ascii()
    }

    /// Appends it as it shows itself, which for most is said without the formatter.
    pub fn write(&self, to: &mut Vec<u8>) {
        match &self.domain {
            Domain::Name(name) if is_dot_string(&self.local) => {
                to.extend_from_slice(self.local.as_bytes());
                to.push(b'@');
                to.extend_from_slice(name.as_bytes());
            }
            _ => append(self, to),
        }
    }
}

impl FromStr for Mailbox {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Mailbox, AddressError> {
        Mailbox::parse(text)
    }
}

impl fmt::Display for Mailbox {
    /// Writes `local-part@domain`, the local part quoted where it must be.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if is_dot_string(&self.local) {
            f.write_str(&self.local)?;
            f.write_str("@")?;
            return self.domain.fmt(f);
        }
        f.write_str("\"")?;
        for c in self.local.chars() {
            if c == '"' || c == '\\' {
                f.write_str("\\")?;
            }
            f.write_char(c)?;
        }
        f.write_str("\"@")?;
        self.domain.fmt(f)
    }
}

/// The local part, decoded, and what follows the `@` if there is one.
fn split_local_part(text: &str) -> Result<(Cow<'_, str>, Option<&str>), AddressError> {
    let (local, rest) = match text.strip_prefix('"') {
        Some(quoted) => read_quoted(quoted).map(|(local, rest)| (local.into(), rest))?,
        None => {
            let (local, rest) = text.split_at(memchr(b'@', text.as_bytes()).unwrap_or(text.len()));
            if !is_dot_string(local) {
                return Err(AddressError::LocalPart);
            }
            (local.into(), rest)
        }
    };
    match rest.strip_prefix('@') {
        Some(domain) => Ok((local, Some(domain))),
        None if rest.is_empty() => Ok((local, None)),
        None => Err(AddressError::LocalPart),
    }
}

/// Reads a quoted string whose first quote is taken already: what it means, and what follows its last quote.
fn read_quoted(text: &str) -> Result<(String, &str), AddressError> {
    let mut meaning = String::new();
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match c {
            '"' => return Ok((meaning, characters.as_str())),
            '\\' => meaning.push(characters.next().ok_or(AddressError::LocalPart)?),
            _ => meaning.push(c),
        }
    }
    Err(AddressError::LocalPart)
}

/// Whether the text is atoms joined by dots (RFC 5321 §4.1.2, RFC 6531 §3.3).
fn is_dot_string(text: &str) -> bool {
    // Octets are looked at faster than characters, and this is asked for every address that is read or shown.
    let mut in_atom = false;
    let fits = text.bytes().all(|octet| {
        let joins = octet == b'.' && in_atom;
        in_atom = ATEXT[usize::from(octet)];
        in_atom || joins
    });
    fits && in_atom || !text.is_ascii() && text.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atext))
}

/// What [`is_atext`] says of octets of ASCII.
static ATEXT: [bool; 256] = {
    let (mut table, mut octet) = ([false; 256], 0);
    while octet < 128 {
        table[octet] = is_ascii_atext(octet as u8);
        octet += 1;
    }
    table
};

const fn is_ascii_atext(octet: u8) -> bool {
    let special =
        matches!(octet, b'(' | b')' | b'<' | b'>' | b'[' | b']' | b':' | b';' | b'@' | b'\\' | b',' | b'.' | b'"');
    octet.is_ascii_graphic() && !special
}

/// Whether the character may stand in an atom (RFC 5322 §3.2.3, RFC 6532 §3.2).
fn is_atext(c: char) -> bool {
    u8::try_from(c).ok().filter(u8::is_ascii).map_or_else(|| is_text(c), is_ascii_atext)
}

/// Takes a source route off the front of a path, as RFC 5321 §4.1.1.3 and Appendix C ask: `@a,@b:user@c` is `user@c`.
fn without_source_route(path: &str) -> Result<&str, AddressError> {
    if !path.starts_with('@') {
        return Ok(path);
    }
    let (route, mailbox) = path.split_once(':').ok_or(AddressError::SourceRoute)?;
    let is_hop = |hop: &str| hop.strip_prefix('@').is_some_and(|domain| Domain::parse(domain).is_ok());
    if route.split(',').all(is_hop) { Ok(mailbox) } else { Err(AddressError::SourceRoute) }
}

/// Where failures of a message are reported to (RFC 5321 §4.1.1.2).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum ReversePath {
    /// `<>`: nowhere; the message is itself a report.
    #[default]
    Null,
    /// To this mailbox.
    Mailbox(Mailbox),
}

impl ReversePath {
    /// Reads what stands between the angle brackets of MAIL, without a source route; a mailbox without a domain is one
    /// of `default_domain`.
    pub fn parse(path: &str, default_domain: &str) -> Result<ReversePath, AddressError> {
        if path.is_empty() {
            return Ok(ReversePath::Null);
        }
        Mailbox::parse_in(without_source_route(path)?, default_domain).map(ReversePath::Mailbox)
    }

    /// The mailbox, where there is one.
    pub fn mailbox(&self) -> Option<&Mailbox> {
        match self {
            ReversePath::Null => None,
            ReversePath::Mailbox(mailbox) => Some(mailbox),
        }
    }

    /// Appends the mailbox or nothing, without angle brackets.
    pub fn write(&self, to: &mut Vec<u8>) {
        self.mailbox().into_iter().for_each(|mailbox| mailbox.write(to));
    }
}

impl fmt::Display for ReversePath {
    /// Writes the mailbox or nothing, without angle brackets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.mailbox().map_or(Ok(()), |mailbox| mailbox.fmt(f))
    }
}

/// Where a message is to go (RFC 5321 §4.1.1.3).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ForwardPath {
    /// `<postmaster>` without a domain, in any case: whoever looks after this server.
    Postmaster,
    /// To this mailbox.
    Mailbox(Mailbox),
}

impl ForwardPath {
    /// Reads what stands between the angle brackets of RCPT, without a source route; a mailbox without a domain is one
    /// of `default_domain`.
    pub fn parse(path: &str, default_domain: &str) -> Result<ForwardPath, AddressError> {
        if path.eq_ignore_ascii_case("postmaster") {
            return Ok(ForwardPath::Postmaster);
        }
        Mailbox::parse_in(without_source_route(path)?, default_domain).map(ForwardPath::Mailbox)
    }

    /// The mailbox; the postmaster is the one of `default_domain`.
    pub fn into_mailbox(self, default_domain: &str) -> Result<Mailbox, AddressError> {
        match self {
            ForwardPath::Postmaster => Mailbox::new("postmaster", Domain::parse(default_domain)?),
            ForwardPath::Mailbox(mailbox) => Ok(mailbox),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn reads(text: &str, local: &str, domain: &str) {
        let mailbox = Mailbox::parse(text).unwrap();
        assert_eq!((mailbox.local(), mailbox.domain().to_string().as_str()), (local, domain));
        assert_eq!(mailbox.to_string().parse(), Ok(mailbox), "written and read back");
    }

    #[test]
    fn mailboxes_are_read() {
        reads("a@b", "a", "b");
        reads("first.last+tag=x@Example.ORG", "first.last+tag=x", "Example.ORG");
        reads("\"a b\"@c", "a b", "c");
        reads("\"a\\\"b\\\\@>\"@c", "a\"b\\@>", "c");
        reads("\"plain\"@c", "plain", "c");
        reads("\"\"@c", "", "c");
        reads("josé@bücher.example", "josé", "bücher.example");
        reads("a@[192.0.2.1]", "a", "[192.0.2.1]");
        reads("a@[ipv6:2001:DB8::1]", "a", "[IPv6:2001:db8::1]");
        reads("a@192.0.2.1", "a", "192.0.2.1");
        reads("a@with_underscore.example", "a", "with_underscore.example");
    }

    #[test]
    fn domains_that_are_equal_have_one_hash() {
        let hash = |text: &str| {
            let mut hasher = std::hash::DefaultHasher::new();
            Domain::parse(text).unwrap().hash(&mut hasher);
            hasher.finish()
        };
        let long = format!("{}.{}.example", "A".repeat(60), "b".repeat(50));
        assert_eq!(hash("Example.ORG"), hash("eXAMPLE.org"));
        assert_eq!(hash(&long), hash(&long.to_lowercase()));
        assert_ne!(hash(&long), hash(&long.replace("example", "sample")));
    }

    proptest! {
        #[test]
        fn ascii_dot_strings_are_those_of_any_script(text in "[a.!\\x00\"@é-]{0,6}") {
            prop_assert_eq!(is_dot_string(&text), text.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atext)));
        }

        #[test]
        fn ascii_labels_are_those_of_any_script(text in "[a9._@-]{0,6}|[a.]{60,70}") {
            let last = text.split('.').all(is_label).then(|| text.rsplit('.').next().unwrap_or_default().as_bytes());
            prop_assert_eq!(last_label(text.as_bytes()), last);
        }
    }

    #[test]
    fn malformed_mailboxes_are_refused() {
        use AddressError::*;
        for (text, error) in [
            ("", LocalPart),
            ("@", LocalPart),
            ("a", NoDomain),
            ("a@", Domain),
            (".a@b", LocalPart),
            ("a.@b", LocalPart),
            ("a..b@c", LocalPart),
            ("a b@c", LocalPart),
            ("a,b@c", LocalPart),
            ("\"a@b", LocalPart),
            ("\"a\\", LocalPart),
            ("\"a\"b@c", LocalPart),
            ("\"a\u{7}\"@c", LocalPart),
            ("a@b@c", Domain),
            ("a@b..c", Domain),
            ("a@-b", Domain),
            ("a@b-.c", Domain),
            ("a@b.", Domain),
            ("a@b.9", Domain),
            ("a@b\u{a0}c", Domain),
            ("a@[192.0.2]", Domain),
            ("a@[192.0.2.1", Domain),
            ("a@[IPv6:192.0.2.1]", Domain),
            ("a@[IPv6:fe80::1%1]", Domain),
            ("a@[2001:db8::1]", Domain),
            ("a@[x:y]", Domain),
        ] {
            assert_eq!(Mailbox::parse(text), Err(error), "{text:?}");
        }
    }

    #[test]
    fn lengths_are_bounded() {
        let local = "l".repeat(LOCAL_PART_OCTETS);
        let label = "d".repeat(LABEL_OCTETS);
        let domain = [label.as_str(); 4].join(".");
        assert_eq!(domain.len(), DOMAIN_OCTETS);
        assert!(Mailbox::parse(&format!("{local}@{domain}")).is_ok());
        assert_eq!(Mailbox::parse(&format!("{local}l@{domain}")), Err(AddressError::LocalPartTooLong));
        assert_eq!(Mailbox::parse(&format!("a@{domain}.d")), Err(AddressError::DomainTooLong));
        assert_eq!(Mailbox::parse(&format!("a@{label}d")), Err(AddressError::Domain));
    }

    #[test]
    fn case_counts_in_the_local_part_alone() {
        let parse = |text| Mailbox::parse(text).unwrap();
        assert_eq!(parse("a@B.c"), parse("a@b.C"));
        assert_ne!(parse("A@b"), parse("a@b"));
        let mailboxes = std::collections::HashSet::from([parse("a@B.c"), parse("a@b.C"), parse("A@b.c")]);
        assert_eq!(mailboxes.len(), 2);
    }

    #[test]
    fn paths_are_read() {
        let mailbox = |text| Mailbox::parse(text).unwrap();
        assert_eq!(ReversePath::parse("", "here"), Ok(ReversePath::Null));
        assert_eq!(ReversePath::parse("a", "here"), Ok(ReversePath::Mailbox(mailbox("a@here"))));
        assert_eq!(ReversePath::parse("@x,@[192.0.2.1]:a@b", "here"), Ok(ReversePath::Mailbox(mailbox("a@b"))));
        assert_eq!(ReversePath::parse("@", "here"), Err(AddressError::SourceRoute));
        assert_eq!(ReversePath::parse("@x,y:a@b", "here"), Err(AddressError::SourceRoute));
        assert_eq!(ForwardPath::parse("PostMaster", "here"), Ok(ForwardPath::Postmaster));
        assert_eq!(ForwardPath::Postmaster.into_mailbox("here"), Ok(mailbox("postmaster@here")));
        assert_eq!(ForwardPath::parse("postmaster@x", "here"), Ok(ForwardPath::Mailbox(mailbox("postmaster@x"))));
        assert_eq!(ForwardPath::parse("", "here"), Err(AddressError::LocalPart));
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_so_that_it_reads_the_same(text in "[\"\\\\ab@. <é]{0,12}(@[a-z.\\[\\]1:]{1,8})?") {
            if let Ok(mailbox) = Mailbox::parse(&text) {
                let mut written = Vec::new();
                mailbox.write(&mut written);
                prop_assert_eq!(written, mailbox.to_string().into_bytes());
                prop_assert_eq!(Mailbox::parse(&mailbox.to_string()), Ok(mailbox));
            }
        }
    }
}
