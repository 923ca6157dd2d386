//! Mailets that change the body: what comes out is new content.

use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use super::{Next, Run};
use crate::mailet::body::{BodyError, footer, seven_bit, strip};
use crate::mailet::mail::{Body, Value};
use crate::mailet::matchers::Stop;
use crate::mailet::pattern::Pattern;

/// The attribute with the names of what `StripAttachment` took out.
const REMOVED: &str = "org.apache.james.mailet.standard.mailets.StripAttachment.removed";

/// How.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// `AddFooter`.
    Footer(Arc<str>),
    /// `StripAttachment`.
    Strip {
        /// `pattern`: names that match.
        pattern: Option<Pattern>,
        /// `notpattern`: and names that do not.
        not_pattern: Option<Pattern>,
        /// `remove`: `all` takes out every part with a file name, `matched` those that match.
        all: bool,
    },
    /// `ConvertTo7Bit`.
    SevenBit,
}

impl Change {
    pub(super) fn serve(&self, run: &mut Run<'_>) -> Result<Next, Stop> {
        let content = run.view().content()?;
        let failed = |error: BodyError| Stop::Fail(Rc::from(error.to_string()));
        let changed = match self {
            Change::Footer(text) => footer::add(&content, text).map_err(failed)?,
            Change::SevenBit => Some(seven_bit::convert(&content).map_err(failed)?).filter(|new| **new != *content),
            Change::Strip { pattern, not_pattern, all } => {
                let matches = |name: &str| {
                    pattern.as_ref().is_none_or(|pattern| pattern.matches(name))
                        && not_pattern.as_ref().is_none_or(|pattern| !pattern.matches(name))
                };
                let stripped = strip::strip(&content, |name| *all || matches(name)).map_err(failed)?;
                if stripped.content.is_some() {
                    run.branch.attributes.set(REMOVED, Value::Text(stripped.names.join(", ").into()));
                }
                stripped.content
            }
        };
        if let Some(changed) = changed {
            run.branch.form.body = Body::Changed(changed.into());
        }
        Ok(Next::On)
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Change::Footer(_) => "AddFooter",
            Change::Strip { .. } => "StripAttachment",
            Change::SevenBit => "ConvertTo7Bit",
        })
    }
}
