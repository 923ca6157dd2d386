//! What a signature says of itself, as the operator writes it: `v=1; a=rsa-sha256; d=example.org; s=mail; h=from:to; bh=; b=;`.

use super::body::Canonicalization;

/// Octets before the signature: what stands there must not be folded.
const OCTETS: usize = 700;

/// A template of signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// `a`.
    pub(super) algorithm: &'static str,
    /// `s` and `d`, as they stand in the DNS.
    pub(super) selector: Box<str>,
    /// `h`, in its order.
    pub(super) headers: Vec<Box<str>>,
    /// `c`, its first part.
    pub(super) header: Canonicalization,
    /// `c`, its second part.
    pub(super) body: Canonicalization,
    /// All tags but `b`, in the order of the file.
    tags: Vec<(Box<str>, Box<str>)>,
}

/// Why a text is no template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// It is no list of tags.
    #[error("{0:?} is no tag such as d=example.org")]
    Tag(String),
    /// A tag is there twice.
    #[error("the tag {0}= is there twice")]
    Twice(String),
    /// A tag is missing.
    #[error("the tag {0}= is missing")]
    Missing(&'static str),
    /// A tag says what it may not.
    #[error("{0}={1} is not possible: {2}")]
    Value(String, String, &'static str),
    /// It is too long.
    #[error("it is longer than 700 octets")]
    TooLong,
}

/// The algorithms that are to be used (RFC 8301, RFC 8463).
const ALGORITHMS: [&str; 2] = ["rsa-sha256", "ed25519-sha256"];

impl Template {
    /// Reads a template; white space around tags and values counts for nothing.
    pub fn parse(text: &str) -> Result<Template, TemplateError> {
        let mut tags: Vec<(Box<str>, Box<str>)> = Vec::new();
        for tag in text.split(';').map(str::trim).filter(|tag| !tag.is_empty()) {
            let (name, value) = tag.split_once('=').ok_or_else(|| TemplateError::Tag(tag.to_owned()))?;
            let name = name.trim_end();
            let value: String = value.chars().filter(|c| !c.is_ascii_whitespace()).collect();
            let right = name.starts_with(|c: char| c.is_ascii_alphabetic())
                && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
                && value.bytes().all(|octet| octet.is_ascii_graphic());
            if !right {
                return Err(TemplateError::Tag(tag.to_owned()));
            }
            if tags.iter().any(|(known, _)| **known == *name) {
                return Err(TemplateError::Twice(name.to_owned()));
            }
            tags.push((name.into(), value.into()));
        }
        let value = |name: &str| tags.iter().find(|(known, _)| &**known == name).map(|(_, value)| &**value);
        let given =
            |name: &'static str| value(name).filter(|value| !value.is_empty()).ok_or(TemplateError::Missing(name));
        let wrong =
            |name: &str, why| TemplateError::Value(name.to_owned(), value(name).unwrap_or_default().to_owned(), why);

        if given("v")? != "1" {
            return Err(wrong("v", "there is no other version than 1"));
        }
        let algorithm = given("a")?;
        let Some(algorithm) = ALGORITHMS.into_iter().find(|known| *known == algorithm) else {
            return Err(wrong("a", "it is rsa-sha256 or ed25519-sha256; nobody accepts another one (RFC 8301)"));
        };
        let selector = format!("{}._domainkey.{}", given("s")?, given("d")?).into();
        let names: Vec<Box<str>> = given("h")?.split(':').map(|name| name.to_ascii_lowercase().into()).collect();
        if names.iter().any(|name| name.is_empty()) || !names.iter().any(|name| &**name == "from") {
            return Err(wrong("h", "it is a list of header fields, From among them (RFC 6376 §5.4)"));
        }
        let (header, body) = value("c")
            .filter(|c| !c.is_empty())
            .map_or(Some(Default::default()), |text| {
                let (header, body) = text.split_once('/').unwrap_or((text, "simple"));
                Some((Canonicalization::named(header)?, Canonicalization::named(body)?))
            })
            .ok_or_else(|| wrong("c", "it is simple or relaxed for the header, and after a / for the body"))?;
        if value("l").is_some() {
            return Err(wrong("l", "whoever gets the mail could append to it and keep the signature; leave it out"));
        }
        if value("q").is_some_and(|q| q != "dns/txt") {
            return Err(wrong("q", "there is only dns/txt"));
        }
        if value("z").is_some() {
            return Err(wrong("z", "copies of header fields are not made; leave it out"));
        }
        tags.retain(|(name, _)| &**name != "b");
        if !tags.iter().any(|(name, _)| &**name == "bh") {
            tags.push(("bh".into(), "".into()));
        }
        let template = Template { algorithm, selector, headers: names, header, body, tags };
        match template.filled(&"=".repeat(44), u64::MAX).len() > OCTETS {
            true => Err(TemplateError::TooLong),
            false => Ok(template),
        }
    }

    /// The value of the field up to its signature: the body's hash is filled in, and where `t=` has no value the time in seconds
    /// since the Unix epoch.
    pub(super) fn filled(&self, body: &str, now: u64) -> String {
        let mut out = String::new();
        for (name, value) in &self.tags {
            let value = match &**name {
                "bh" => body.to_owned(),
                "t" if value.is_empty() => now.to_string(),
                _ => value.to_string(),
            };
            out.push_str(&format!("{name}={value}; "));
        }
        out + "b="
    }
}
