//! Matchers by the header of a mail.

use std::fmt;

use super::{Matched, Stop, View};
use crate::mailet::header;

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// `HasHeader`: every field is there; the first of a name has the value, whatever the case, where one is named.
    Has(Vec<(Box<str>, Option<Box<str>>)>),
    /// `HasHeaderWithPrefix`: a field whose name begins so.
    HasWithPrefix(Box<str>),
    /// `SubjectIs`, whatever the case.
    SubjectIs(Box<str>),
    /// `SubjectStartsWith`.
    SubjectStartsWith(Box<str>),
    /// `RelayLimit`: so many Received fields or more.
    RelayLimit(usize),
    /// `HasMimeType`: Content-Type is one of these.
    HasMimeType(Vec<Box<str>>),
    /// `CompareNumericHeaderValue`: the field's number compares so with this one.
    Compare {
        /// The field.
        name: Box<str>,
        /// How.
        how: Comparison,
        /// With what, in thousandths.
        number: i64,
    },
    /// `IsFromMailingList`: what mailing lists put into a header is there.
    IsFromMailingList,
    /// `FetchedFrom`: X-fetched-from says this.
    FetchedFrom(Box<str>),
}

/// How two numbers compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `LT`, `<`, `<=`, `==`, `>=`, `>`: the orders for which it holds.
    Orders {
        /// Less.
        less: bool,
        /// The same.
        equal: bool,
        /// More.
        more: bool,
    },
}

impl Comparison {
    fn holds(self, one: i64, other: i64) -> bool {
        let Comparison::Orders { less, equal, more } = self;
        match one.cmp(&other) {
            std::cmp::Ordering::Less => less,
            std::cmp::Ordering::Equal => equal,
            std::cmp::Ordering::Greater => more,
        }
    }
}

/// A number with up to three places after the point, in thousandths.
pub fn thousandths(text: &str) -> Option<i64> {
    let number: f64 = text.trim().parse().ok()?;
    let scaled = (number * 1000.0).round();
    (scaled.abs() < 9e15).then_some(scaled as i64)
}

impl Condition {
    pub(super) fn evaluate(&self, view: View<'_>) -> Result<Matched, Stop> {
        let header = view.header()?;
        let matches = match self {
            Condition::Has(wanted) => {
                !wanted.is_empty()
                    && wanted.iter().all(|(name, value)| {
                        header::first(&header, name).is_some_and(|found| match value {
                            Some(value) => found.to_lowercase() == value.to_lowercase(),
                            None => true,
                        })
                    })
            }
            Condition::HasWithPrefix(prefix) => header::fields(&header).any(|field| {
                field.name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
            }),
            Condition::SubjectIs(wanted) => {
                header::decoded(&header, "Subject").is_some_and(|found| found.to_lowercase() == wanted.to_lowercase())
            }
            Condition::SubjectStartsWith(wanted) => {
                header::decoded(&header, "Subject").is_some_and(|found| found.starts_with(&**wanted))
            }
            Condition::RelayLimit(limit) => {
                header::fields(&header).filter(|field| field.is("Received")).take(*limit).count() >= *limit
            }
            Condition::HasMimeType(types) => {
                let found = header::first(&header, "Content-Type").unwrap_or_else(|| "text/plain".to_owned());
                let found = found.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
                types.iter().any(|one| one.to_ascii_lowercase() == found)
            }
            Condition::Compare { name, how, number } => header::first(&header, name)
                .and_then(|value| thousandths(&value))
                .is_some_and(|found| how.holds(found, *number)),
            Condition::IsFromMailingList => header::fields(&header).any(|field| {
                let name = String::from_utf8_lossy(field.name).to_ascii_lowercase();
                name.starts_with("list-")
                    || (name == "precedence" && ["list", "bulk"].contains(&&*field.value().to_ascii_lowercase()))
            }),
            Condition::FetchedFrom(wanted) => {
                header::first(&header, "X-fetched-from").is_some_and(|found| found == **wanted)
            }
        };
        Ok(Matched::all_if(matches))
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Condition::Has(wanted) => {
                let one = |(name, value): &(Box<str>, Option<Box<str>>)| match value {
                    Some(value) => format!("{name}={value}"),
                    None => name.to_string(),
                };
                write!(f, "HasHeader={}", wanted.iter().map(one).collect::<Vec<_>>().join("+"))
            }
            Condition::HasWithPrefix(prefix) => write!(f, "HasHeaderWithPrefix={prefix}"),
            Condition::SubjectIs(text) => write!(f, "SubjectIs={text}"),
            Condition::SubjectStartsWith(text) => write!(f, "SubjectStartsWith={text}"),
            Condition::RelayLimit(limit) => write!(f, "RelayLimit={limit}"),
            Condition::HasMimeType(types) => write!(f, "HasMimeType={}", super::listed(types)),
            Condition::Compare { name, .. } => write!(f, "CompareNumericHeaderValue={name}"),
            Condition::IsFromMailingList => f.write_str("IsFromMailingList"),
            Condition::FetchedFrom(text) => write!(f, "FetchedFrom={text}"),
        }
    }
}
