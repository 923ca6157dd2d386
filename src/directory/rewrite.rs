//! The recipient rewrite table: what an address becomes in the end (James: `AbstractRecipientRewriteTable`).
//!
//! Pure but for the table, which is asked through [`Table`]. Work and results are bounded whatever the table holds.

use super::mapping::{Kind, Mapping, Rewritten, Source, lower};
use super::user_of;
use crate::mail::Mailbox;

/// Addresses that one address may become.
pub const TARGETS: usize = 1000;

/// Addresses that are looked for in the table for the sake of one.
pub const LOOK_UPS: usize = 1000;

/// The table.
pub trait Table {
    /// Why it cannot be asked.
    type Error;

    /// The mappings of a source, in the order in which they were made.
    fn mappings(&self, source: &Source) -> impl Future<Output = Result<Vec<Mapping>, Self::Error>> + Send;
}

/// What becomes of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolved {
    /// The table says nothing of it.
    Same,
    /// These, lower case, of which there is one or more and none twice.
    To(Vec<Mailbox>),
    /// A refusal with this text.
    Refused(Box<str>),
    /// More mappings in a row than `mappingLimit`, as a loop has them, or more targets or look-ups than are borne.
    TooMany,
}

/// An address on the way, and what was found so far.
struct Frame {
    address: Mailbox,
    mappings: std::vec::IntoIter<Mapping>,
    found: Vec<Mailbox>,
}

/// Follows the mappings of an address: `limit` of them in a row at most; 0: they are not followed at all, each is used once.
///
/// A forward to the address itself keeps it; any other mapping to itself voids all mappings of that address.
pub async fn resolve<T: Table>(table: &T, address: &Mailbox, limit: u32) -> Result<Resolved, T::Error> {
    let address = lower(address);
    let mut look_ups = 1;
    let Some(first) = open(table, address).await? else { return Ok(Resolved::Same) };
    let mut frames = vec![first];
    loop {
        let depth = frames.len();
        let Some(frame) = frames.last_mut() else { return Ok(Resolved::Same) };
        let Some(mapping) = frame.mappings.next() else {
            let Some(Frame { address, found, .. }) = frames.pop() else { return Ok(Resolved::Same) };
            match frames.last_mut() {
                None if found.is_empty() => return Ok(Resolved::Same),
                None => return Ok(Resolved::To(found)),
                // An address whose mappings come to nothing stays what it is.
                Some(above) if found.is_empty() => add(&mut above.found, address),
                Some(above) => found.into_iter().for_each(|target| add(&mut above.found, target)),
            }
            continue;
        };
        let target = match mapping.rewrite(&frame.address) {
            Rewritten::Refused(text) => return Ok(Resolved::Refused(text.into())),
            Rewritten::Nothing => continue,
            Rewritten::To(target) => target,
        };
        if limit == 0 || (target == frame.address && mapping.kind() == Kind::Forward) {
            add(&mut frame.found, target);
        } else if target == frame.address {
            frame.found.clear();
            frame.mappings = Vec::new().into_iter();
        } else {
            look_ups += 1;
            if depth as u32 >= limit || look_ups > LOOK_UPS {
                return Ok(Resolved::TooMany);
            }
            match open(table, target.clone()).await? {
                Some(next) => frames.push(next),
                None => add(&mut frame.found, target),
            }
        }
        if frames.iter().map(|frame| frame.found.len()).sum::<usize>() > TARGETS {
            return Ok(Resolved::TooMany);
        }
    }
}

fn add(found: &mut Vec<Mailbox>, target: Mailbox) {
    if !found.contains(&target) {
        found.push(target);
    }
}

/// The mappings of an address in their order: its own, or those of the address without `+detail`, or those of its domain.
async fn open<T: Table>(table: &T, address: Mailbox) -> Result<Option<Frame>, T::Error> {
    let mut mappings = table.mappings(&Source::Mailbox(address.clone())).await?;
    let user = user_of(&address);
    if mappings.is_empty() && user != address {
        mappings = table.mappings(&Source::Mailbox(user)).await?;
    }
    if mappings.is_empty() {
        mappings = table.mappings(&Source::Domain(address.domain().clone())).await?;
    }
    mappings.sort_by_key(|mapping| mapping.kind().order());
    let found = Vec::new();
    Ok((!mappings.is_empty()).then(|| Frame { address, mappings: mappings.into_iter(), found }))
}

/// The table read backwards.
pub trait Backwards {
    /// Why it cannot be asked.
    type Error;

    /// What has exactly this mapping.
    fn sources(&self, mapping: &Mapping) -> impl Future<Output = Result<Vec<Source>, Self::Error>> + Send;
}

/// Whether a user with the address `own` may send from `from`: from its own address, an alias of it, or one of these in a
/// domain that is an alias of theirs or of its own. Aliases of aliases count, `limit` of them in a row.
pub async fn may_send_as<T: Backwards>(table: &T, own: &Mailbox, from: &Mailbox, limit: u32) -> Result<bool, T::Error> {
    let (own, from) = (user_of(&lower(own)), user_of(&lower(from)));
    if own == from {
        return Ok(true);
    }
    let aliases = related(table, Source::Mailbox(own.clone()), limit).await?;
    let own_domains = related(table, Source::Domain(own.domain().clone()), limit).await?;
    let is_of = |domains: &[Source]| domains.iter().any(|source| source.domain() == from.domain());
    for alias in aliases {
        let Source::Mailbox(alias) = alias else { continue };
        if alias == from {
            return Ok(true);
        }
        if alias.local() == from.local() {
            let domains = related(table, Source::Domain(alias.domain().clone()), limit).await?;
            if is_of(&own_domains) || is_of(&domains) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// An address with its aliases, or a domain with its: what is reached in `limit` steps, [`TARGETS`] at most.
async fn related<T: Backwards>(table: &T, start: Source, limit: u32) -> Result<Vec<Source>, T::Error> {
    let mut all = vec![start];
    let (mut from, mut to) = (0, 1);
    for _ in 0..limit {
        for place in from..to {
            let Some(source) = all.get(place) else { continue };
            let kind = if matches!(source, Source::Mailbox(_)) { Kind::Alias } else { Kind::DomainAlias };
            let Ok(mapping) = Mapping::new(kind, &source.to_string()) else { continue };
            for next in table.sources(&mapping).await? {
                let is_alike = matches!(next, Source::Mailbox(_)) == (kind == Kind::Alias);
                if is_alike && !all.contains(&next) && all.len() < TARGETS {
                    all.push(next);
                }
            }
        }
        (from, to) = (to, all.len());
        if from == to {
            break;
        }
    }
    Ok(all)
}

#[cfg(test)]
#[path = "rewrite_tests.rs"]
mod tests;
