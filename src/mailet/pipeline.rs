//! The pipeline as the configuration says it: processors with their pairs of matcher and mailet.

use std::fmt;
use std::sync::Arc;

use super::container::PROCESSORS_MAX;
use super::mailets::Mailet;
use super::mailets::deliver::Deliver;
use super::mailets::rewrite::Rewrite;
use super::matchers::Matcher;
use crate::mail::Mailbox;

/// A processor by its place in the pipeline.
pub type Place = usize;

/// All processors, and what they have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pipeline {
    /// In the order of the file.
    pub processors: Vec<Processor>,
    /// Where mail enters.
    pub root: Place,
    /// Where mail goes whose mailet or matcher failed.
    pub error: Place,
    /// Where mail is kept that failed for good.
    pub error_repository: Arc<str>,
    /// Whom this host's own mail comes from.
    pub postmaster: Mailbox,
    /// What this host calls itself.
    pub host: Arc<str>,
}

/// `processor`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Processor {
    /// Its state, by which it is named.
    pub state: Arc<str>,
    /// What it does, in order.
    pub pairs: Vec<Pair>,
}

/// `mailet`: for whom, what, and what to do where it fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// Which of the recipients.
    pub matcher: Matcher,
    /// Whether those that do not match are meant (`notmatch`).
    pub negated: bool,
    /// What is done with them.
    pub mailet: Mailet,
    /// `onMatchException`.
    pub on_match_exception: OnMatchException,
    /// `onMailetException`.
    pub on_mailet_exception: OnMailetException,
}

/// What becomes of a mail whose matcher failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnMatchException {
    /// Nobody matches.
    NoMatch,
    /// All match.
    MatchAll,
    /// All go to that processor; to `error` where none is named.
    #[default]
    Error,
    /// All go to that processor.
    Processor(Place),
}

/// What becomes of a mail whose mailet failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnMailetException {
    /// It goes on as if nothing had been.
    Ignore,
    /// The walk fails, and is begun again later.
    Propagate,
    /// It goes to `error`.
    #[default]
    Error,
    /// It goes to that processor.
    Processor(Place),
}

impl Pipeline {
    /// The place of a processor.
    pub fn place(&self, state: &str) -> Option<Place> {
        self.processors.iter().position(|processor| &*processor.state == state)
    }

    /// The state of a processor; empty where there is none.
    pub fn state(&self, place: Place) -> &str {
        self.processors.get(place).map_or("", |processor| &processor.state)
    }
}

impl Pipeline {
    /// Whether all it does is to bring all mail into the mailboxes of this host.
    pub fn is_local_delivery(&self) -> bool {
        let (mut place, mut pair) = (self.root, 0);
        // As many steps as a walk may take: one in circles is none.
        for _ in 0..PROCESSORS_MAX {
            let Some(own) = self.processors.get(place).and_then(|of| of.pairs.get(pair)) else { return false };
            if own.matcher != Matcher::All || own.negated {
                return false;
            }
            match &own.mailet {
                Mailet::Deliver(Deliver::Local) => return true,
                Mailet::ToProcessor { processor, .. } => (place, pair) = (*processor, 0),
                Mailet::Identity => pair += 1,
                _ => return false,
            }
        }
        false
    }

    /// Whether some mailet brings mail to other hosts.
    pub fn leads_out(&self) -> bool {
        self.mailets().any(|mailet| matches!(mailet, Mailet::Deliver(Deliver::Remote(_) | Deliver::Lmtp(_))))
    }

    /// Whether some mailet applies the rewrite table.
    pub fn rewrites(&self) -> bool {
        self.mailets().any(|mailet| matches!(mailet, Mailet::Rewrite(Rewrite::Table { .. })))
    }

    fn mailets(&self) -> impl Iterator<Item = &Mailet> {
        self.processors.iter().flat_map(|processor| &processor.pairs).map(|pair| &pair.mailet)
    }
}

impl fmt::Display for Pipeline {
    /// A line a pair, for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for processor in &self.processors {
            writeln!(f, "  {}", processor.state)?;
            for pair in &processor.pairs {
                let not = if pair.negated { "not " } else { "" };
                write!(f, "    {not}{} → {}", pair.matcher, self.described(&pair.mailet))?;
                match pair.on_mailet_exception {
                    OnMailetException::Error => {}
                    OnMailetException::Ignore => f.write_str("; failure ignored")?,
                    OnMailetException::Propagate => f.write_str("; tried again on failure")?,
                    OnMailetException::Processor(place) => write!(f, "; to {} on failure", self.state(place))?,
                }
                writeln!(f)?;
            }
        }
        Ok(())
    }
}

impl Pipeline {
    fn described(&self, mailet: &Mailet) -> String {
        match mailet.processor() {
            Some(place) => format!("{mailet} {}", self.state(place)),
            None => mailet.to_string(),
        }
    }
}
