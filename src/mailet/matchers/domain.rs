//! Matchers by what the DNS says.

use std::fmt;

use super::{Matched, Stop, View};
use crate::mailet::question::Question;

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// `InSpammerBlacklist`: the client is in the list of that name.
    Listed(Box<str>),
    /// `SenderInFakeDomain`: the sender's domain has neither mail server nor address.
    SenderInFakeDomain,
}

impl Condition {
    pub(super) fn evaluate(&self, view: View<'_>) -> Result<Matched, Stop> {
        let known = view.known;
        match self {
            Condition::Listed(zone) => {
                let Some(address) = view.facts.client else { return Ok(Matched::None) };
                let answer = known.listed.iter().find(|(own, _)| own == zone);
                let ask = || Stop::Ask(Question::Listed { zone: zone.clone(), address });
                answer.map(|(_, listed)| Matched::all_if(*listed)).ok_or_else(ask)
            }
            Condition::SenderInFakeDomain => {
                let Some(sender) = view.facts.reverse_path.mailbox() else { return Ok(Matched::None) };
                let answer = known.exists.iter().find(|(domain, _)| domain == sender.domain());
                let ask = || Stop::Ask(Question::Exists(vec![sender.domain().clone()]));
                answer.map(|(_, exists)| Matched::all_if(!exists)).ok_or_else(ask)
            }
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Condition::Listed(zone) => write!(f, "InSpammerBlacklist={zone}"),
            Condition::SenderInFakeDomain => f.write_str("SenderInFakeDomain"),
        }
    }
}
