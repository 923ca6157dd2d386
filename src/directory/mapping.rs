//! Entries of the recipient rewrite table: what is rewritten, and into what, by James' prefixes.

use std::fmt;
use std::str::FromStr;

use regex::{Regex, RegexBuilder};

use crate::mail::{Domain, Mailbox};

/// Octets of a mapping with its prefix.
pub const MAPPING_OCTETS: usize = 1024;

/// Octets that a compiled expression may take, and so the time that it takes to compile.
const REGEX_OCTETS: usize = 1 << 20;

/// Groups and repetitions in each other: the parser of expressions recurses that deep.
const REGEX_DEPTH: u32 = 50;

/// How an address becomes another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// No prefix: that address.
    Address,
    /// `regex:pattern:replacement`: the address that it makes of a matching one.
    Regex,
    /// `domain:`: the same local part there.
    Domain,
    /// `domainAlias:`: the same, and users of that domain may send from this one.
    DomainAlias,
    /// `error:`: a refusal.
    Error,
    /// `forward:`: to that address; to itself keeps a copy.
    Forward,
    /// `group:`: a member.
    Group,
    /// `alias:`: that address, whose user may send from this one.
    Alias,
}

impl Kind {
    /// Every kind, as James names it in its API.
    pub const ALL: [(Kind, &'static str); 8] = [
        (Kind::Address, "address"),
        (Kind::Regex, "regex"),
        (Kind::Domain, "domain"),
        (Kind::DomainAlias, "domainAlias"),
        (Kind::Error, "error"),
        (Kind::Forward, "forward"),
        (Kind::Group, "group"),
        (Kind::Alias, "alias"),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        Kind::ALL.iter().find(|(kind, _)| *kind == self).map_or("", |(_, name)| name)
    }

    /// Before the text of a mapping.
    pub fn prefix(self) -> String {
        if self == Kind::Address { String::new() } else { format!("{}:", self.name()) }
    }

    /// Mappings of one source are used in this order.
    pub fn order(self) -> u8 {
        match self {
            Kind::Domain | Kind::DomainAlias => 1,
            Kind::Group => 2,
            Kind::Forward | Kind::Alias => 3,
            Kind::Address | Kind::Regex | Kind::Error => 4,
        }
    }
}

impl FromStr for Kind {
    type Err = ();

    fn from_str(text: &str) -> Result<Kind, ()> {
        Kind::ALL.iter().find(|(_, name)| name.eq_ignore_ascii_case(text)).map(|(kind, _)| *kind).ok_or(())
    }
}

/// Why a text is no entry of the table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MappingError {
    /// There is nothing after the prefix, or nothing at all.
    #[error("there is nothing to rewrite to")]
    Empty,
    /// It is longer than [`MAPPING_OCTETS`].
    #[error("a mapping is longer than {MAPPING_OCTETS} octets")]
    TooLong,
    /// The target is no address.
    #[error("{0:?} is no address")]
    Address(String),
    /// The target, or the source, is no domain.
    #[error("{0:?} is no domain")]
    Domain(String),
    /// The source is neither an address nor a domain.
    #[error("{0:?} is neither an address nor a domain")]
    Source(String),
    /// A control character in the text of a refusal.
    #[error("a refusal has no control characters")]
    Control,
    /// The expression is not `pattern:replacement`.
    #[error("a regex mapping is pattern:replacement, with one colon")]
    Parts,
    /// The pattern is none, or one that is too large, or looks around or back, which takes unbounded time.
    #[error("the pattern is not taken: {0}")]
    Pattern(String),
    /// `domain` and `domainAlias` are for domains.
    #[error("{0} mappings are of domains, not of addresses")]
    OfDomains(&'static str),
}

/// One entry's right side, checked.
#[derive(Clone, Debug)]
pub struct Mapping {
    kind: Kind,
    text: Box<str>,
    rule: Rule,
}

/// How it rewrites.
#[derive(Clone, Debug)]
enum Rule {
    /// To this local part, in this domain or else in that of the address which is rewritten.
    To(Box<str>, Option<Domain>),
    /// To the same local part there.
    In(Domain),
    /// By an expression that matches the whole address, and a replacement.
    By(Box<Regex>, Box<str>),
    /// Not at all: the text is a refusal.
    Refuse,
}

impl PartialEq for Mapping {
    fn eq(&self, other: &Mapping) -> bool {
        (self.kind, &self.text) == (other.kind, &other.text)
    }
}

impl Eq for Mapping {}

/// What a mapping makes of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rewritten<'a> {
    /// This address.
    To(Mailbox),
    /// Nothing: it is not for this address.
    Nothing,
    /// A refusal with this text.
    Refused(&'a str),
}

impl Mapping {
    /// Reads a text with its prefix, as the files of James have it. Addresses and domains come out lower case.
    pub fn parse(text: &str) -> Result<Mapping, MappingError> {
        let text = text.trim();
        let prefixed = |(kind, _): &(Kind, &str)| {
            let prefix = kind.prefix();
            let (head, rest) = text.split_at_checked(prefix.len())?;
            (!prefix.is_empty() && head.eq_ignore_ascii_case(&prefix)).then_some((*kind, rest))
        };
        let (kind, rest) = Kind::ALL.iter().find_map(prefixed).unwrap_or((Kind::Address, text));
        Mapping::new(kind, rest)
    }

    /// Of this kind, with the text that stands after its prefix.
    pub fn new(kind: Kind, text: &str) -> Result<Mapping, MappingError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(MappingError::Empty);
        }
        if text.len() > MAPPING_OCTETS {
            return Err(MappingError::TooLong);
        }
        let rule = match kind {
            Kind::Address | Kind::Forward | Kind::Group | Kind::Alias => address_rule(text)?,
            Kind::Domain | Kind::DomainAlias => {
                let domain = text.strip_prefix('@').unwrap_or(text).to_lowercase();
                Rule::In(Domain::parse(&domain).map_err(|_| MappingError::Domain(text.to_owned()))?)
            }
            Kind::Regex => regex_rule(text)?,
            Kind::Error if text.chars().any(char::is_control) => return Err(MappingError::Control),
            Kind::Error => Rule::Refuse,
        };
        let text = match &rule {
            Rule::To(..) => text.to_lowercase().into(),
            Rule::In(domain) => domain.to_string().into(),
            Rule::By(..) | Rule::Refuse => text.into(),
        };
        Ok(Mapping { kind, text, rule })
    }

    /// The same with a domain where its target has none: that of the source which it is for.
    pub fn in_domain(self, domain: &Domain) -> Mapping {
        match &self.rule {
            Rule::To(_, None) => Mapping::new(self.kind, &format!("{}@{domain}", self.text)).unwrap_or(self),
            _ => self,
        }
    }

    /// How it rewrites.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What stands after its prefix.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What it makes of an address, which is lower case.
    pub fn rewrite(&self, original: &Mailbox) -> Rewritten<'_> {
        let to = match &self.rule {
            Rule::Refuse => return Rewritten::Refused(&self.text),
            Rule::To(local, domain) => Mailbox::new(local, domain.as_ref().unwrap_or(original.domain()).clone()).ok(),
            Rule::In(domain) => Mailbox::new(original.local(), domain.clone()).ok(),
            Rule::By(pattern, replacement) => replaced(pattern, replacement, original),
        };
        to.map_or(Rewritten::Nothing, |to| Rewritten::To(lower(&to)))
    }
}

impl fmt::Display for Mapping {
    /// Writes it as [`Mapping::parse`] reads it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.kind.prefix(), self.text)
    }
}

fn address_rule(text: &str) -> Result<Rule, MappingError> {
    let lower = text.to_lowercase();
    let no_address = || MappingError::Address(text.to_owned());
    if let Ok(mailbox) = Mailbox::parse(&lower) {
        return Ok(Rule::To(mailbox.local().into(), Some(mailbox.domain().clone())));
    }
    // Without a domain: in whichever domain it is asked for. It reads as an address as soon as it has one.
    let local = Mailbox::parse_in(&lower, "localhost").map_err(|_| no_address())?;
    if local.domain().to_string() != "localhost" || lower.contains('@') && !lower.starts_with('"') {
        return Err(no_address());
    }
    Ok(Rule::To(local.local().into(), None))
}

fn regex_rule(text: &str) -> Result<Rule, MappingError> {
    let (pattern, replacement) = text.split_once(':').ok_or(MappingError::Parts)?;
    if replacement.is_empty() || replacement.contains(':') {
        return Err(MappingError::Parts);
    }
    let built = RegexBuilder::new(&format!("^(?:{pattern})$"))
        .size_limit(REGEX_OCTETS)
        .dfa_size_limit(REGEX_OCTETS)
        .nest_limit(REGEX_DEPTH)
        .build();
    let first = |error: regex::Error| error.to_string().lines().last().unwrap_or("it is malformed").trim().to_owned();
    Ok(Rule::By(Box::new(built.map_err(|error| MappingError::Pattern(first(error)))?), replacement.into()))
}

/// The replacement with `${1}` and so on filled in from the groups of the match.
fn replaced(pattern: &Regex, replacement: &str, original: &Mailbox) -> Option<Mailbox> {
    let address = original.to_string();
    let groups = pattern.captures(&address)?;
    let mut text = replacement.to_owned();
    for number in 1..groups.len() {
        let group = groups.get(number).map_or("", |group| group.as_str());
        text = text.replace(&format!("${{{number}}}"), group);
        // Each group is at most as long as an address, but one replacement may name it often.
        if text.len() > MAPPING_OCTETS {
            return None;
        }
    }
    Mailbox::parse_in(&text, &original.domain().to_string()).ok()
}

/// What is rewritten: an address, or every address of a domain that has no entry of its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// `user@domain`.
    Mailbox(Mailbox),
    /// The domain; also written `@domain` and `*@domain`.
    Domain(Domain),
}

impl Source {
    /// Reads a source in any case.
    pub fn parse(text: &str) -> Result<Source, MappingError> {
        let text = text.trim().to_lowercase();
        let domain = text.strip_prefix("*@").or_else(|| text.strip_prefix('@'));
        let domain = domain.or_else(|| (!text.contains('@')).then_some(text.as_str()));
        match domain {
            Some(domain) => Domain::parse(domain).map(Source::Domain).map_err(|_| MappingError::Domain(text.clone())),
            None => Mailbox::parse(&text).map(Source::Mailbox).map_err(|_| MappingError::Source(text.clone())),
        }
    }

    /// Whether a mapping of that kind can be of this source.
    pub fn takes(&self, kind: Kind) -> Result<(), MappingError> {
        match (self, kind) {
            (Source::Mailbox(_), Kind::Domain | Kind::DomainAlias) => Err(MappingError::OfDomains(kind.name())),
            _ => Ok(()),
        }
    }

    /// Where it is looked for.
    pub fn domain(&self) -> &Domain {
        match self {
            Source::Mailbox(mailbox) => mailbox.domain(),
            Source::Domain(domain) => domain,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Mailbox(mailbox) => mailbox.fmt(f),
            Source::Domain(domain) => domain.fmt(f),
        }
    }
}

/// The address in lower case on both sides, as the table has it.
pub(super) fn lower(mailbox: &Mailbox) -> Mailbox {
    let domain = match mailbox.domain() {
        Domain::Name(name) => Domain::Name(name.to_lowercase().into()),
        address => address.clone(),
    };
    Mailbox::new(&mailbox.local().to_lowercase(), domain).unwrap_or_else(|_| mailbox.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn mailbox(text: &str) -> Mailbox {
        Mailbox::parse(text).expect("a mailbox")
    }

    #[track_caller]
    fn rewrites(mapping: &str, original: &str, to: &str) {
        let mapping = Mapping::parse(mapping).expect("a mapping");
        let rewritten = match mapping.rewrite(&mailbox(original)) {
            Rewritten::To(mailbox) => mailbox.to_string(),
            Rewritten::Nothing => "nothing".to_owned(),
            Rewritten::Refused(text) => format!("refused: {text}"),
        };
        assert_eq!(rewritten, to, "{mapping} of {original}");
        assert_eq!(Mapping::parse(&mapping.to_string()), Ok(mapping), "written and read back");
    }

    #[test]
    fn every_kind_rewrites() {
        rewrites("Me@Example.org", "you@localhost", "me@example.org");
        rewrites("me", "you@localhost", "me@localhost");
        rewrites("\"a b\"", "you@localhost", "\"a b\"@localhost");
        rewrites("forward:me@example.org", "you@localhost", "me@example.org");
        rewrites("GROUP:me@example.org", "you@localhost", "me@example.org");
        rewrites("alias:me@example.org", "you@localhost", "me@example.org");
        rewrites("domain:Example.org", "you@localhost", "you@example.org");
        rewrites("domainAlias:@example.org", "you@localhost", "you@example.org");
        rewrites("error:550 5.1.1 Gone", "you@localhost", "refused: 550 5.1.1 Gone");
        rewrites("regex:(.*)-(.*)@localhost:${2}.${1}@example.org", "first-last@localhost", "last.first@example.org");
        rewrites("regex:.*@localhost:admin", "first-last@localhost", "admin@localhost");
        rewrites("regex:b:admin", "abc@localhost", "nothing");
        rewrites("regex:(a)?.*:${1}@x", "b@localhost", "nothing");
        rewrites(&format!("regex:(.*):{}@x", "${1}".repeat(200)), "long.address@localhost", "nothing");
    }

    #[test]
    fn what_is_no_mapping() {
        use MappingError::*;
        let error = |text: &str| Mapping::parse(text).expect_err(text);
        assert_eq!(error(" "), Empty);
        assert_eq!(error("alias:"), Empty);
        assert_eq!(error(&"a".repeat(1025)), TooLong);
        assert_eq!(error("a b@c"), Address("a b@c".into()));
        assert_eq!(error("a@b@c"), Address("a@b@c".into()));
        assert_eq!(error("@b"), Address("@b".into()));
        assert_eq!(error("domain:-"), Domain("-".into()));
        assert_eq!(error("error:a\u{7}"), Control);
        assert_eq!(error("regex:a"), Parts);
        assert_eq!(error("regex:a:b:c"), Parts);
        assert!(matches!(error("regex:(:b"), Pattern(_)));
        assert!(matches!(error("regex:(?=a)b:c"), Pattern(_)), "looking around takes unbounded time");
        assert!(matches!(error("regex:(a{900}){900}:c"), Pattern(_)), "too large");
    }

    #[test]
    fn sources_are_addresses_and_domains() {
        let source = |text: &str| Source::parse(text).map(|source| source.to_string());
        assert_eq!(source("You@Example.org"), Ok("you@example.org".into()));
        for text in ["Example.org", "@example.org", "*@example.org"] {
            assert_eq!(source(text), Ok("example.org".into()));
        }
        assert!(source("").is_err() && source("a b@c").is_err() && source("*@").is_err());
        let of_address = Source::parse("a@b").expect("a source");
        assert_eq!(of_address.takes(Kind::DomainAlias), Err(MappingError::OfDomains("domainAlias")));
        assert_eq!(of_address.takes(Kind::Group), Ok(()));
    }

    proptest! {
        #[test]
        fn what_is_read_is_bounded_and_reads_the_same_again(text in "((regex|alias|error|domain|group):)?[a-z(){}$1*@:.\" é]{0,40}") {
            if let Ok(mapping) = Mapping::parse(&text) {
                let original = mailbox("some.one@example.org");
                if let Rewritten::To(to) = mapping.rewrite(&original) {
                    prop_assert_eq!(lower(&to), to);
                }
                prop_assert_eq!(Mapping::parse(&mapping.to_string()), Ok(mapping));
            }
        }
    }
}
