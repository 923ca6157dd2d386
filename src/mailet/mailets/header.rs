//! Mailets that change the header.

use std::fmt;
use std::rc::Rc;

use super::{Next, Run};
use crate::mailet::edit::{EDITS_MAX, Edit};
use crate::mailet::matchers::Stop;

/// `SetMimeHeader`, `RemoveMimeHeader`, `RemoveMimeHeaderByPrefix`, `AddSubjectPrefix`, `AddDeliveredToHeader`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The mailet's name.
    pub name: &'static str,
    /// What it changes.
    pub edits: Vec<Edit>,
}

impl Change {
    pub(super) fn serve(&self, run: &mut Run<'_>) -> Result<Next, Stop> {
        let edits = &mut run.branch.form.edits;
        if edits.0.len() + self.edits.len() > EDITS_MAX {
            return Err(Stop::Fail(format!("the header was changed more than {EDITS_MAX} times").into()));
        }
        // What is changed alike twice is changed once, so that most branches share one list.
        if !edits.0.ends_with(&self.edits) || self.edits.iter().any(|edit| matches!(edit, Edit::Add { .. })) {
            Rc::make_mut(edits).0.extend_from_slice(&self.edits);
        }
        Ok(Next::On)
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        for edit in &self.edits {
            match edit {
                Edit::Add { name, value } | Edit::Prepend { name, value } => write!(f, " {name}: {value}")?,
                Edit::Replace { name, .. } | Edit::RemovePrefix(name) => write!(f, " {name}")?,
                Edit::SubjectPrefix(prefix) => write!(f, " {prefix}")?,
                Edit::DeliveredTo => {}
            }
        }
        Ok(())
    }
}
