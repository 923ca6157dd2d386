//! Mailets that change attributes, and what is said of a mail inside the container.

use std::fmt;
use std::rc::Rc;

use super::{Next, Run};
use crate::mailet::mail::{PRIORITY, Value};
use crate::mailet::matchers::Stop;

/// What is changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// `SetMailAttribute`: these get these values.
    Set(Vec<(Box<str>, Box<str>)>),
    /// `RemoveMailAttribute`.
    Remove(Vec<Box<str>>),
    /// `RemoveAllMailAttributes`.
    RemoveAll,
    /// `WithPriority`.
    Priority(i64),
    /// `SetErrorMessage`: what `Bounce` and its like will tell.
    Error(Box<str>),
    /// `WithStorageDirective`: the folder that the mail goes into.
    Folder(Box<str>),
}

impl Change {
    pub(super) fn serve(&self, run: &mut Run<'_>) -> Result<Next, Stop> {
        let attributes = &mut run.branch.attributes;
        match self {
            Change::Set(values) => {
                values.iter().for_each(|(name, value)| attributes.set(name, Value::Text(value.clone())));
            }
            Change::Remove(names) => names.iter().for_each(|name| attributes.remove(name)),
            Change::RemoveAll => attributes.clear(),
            Change::Priority(priority) => attributes.set(PRIORITY, Value::Number(*priority)),
            Change::Error(text) => run.branch.error = Some(Rc::from(&**text)),
            Change::Folder(folder) => {
                run.branch.recipients.iter_mut().for_each(|recipient| recipient.folder = Some(folder.clone()));
            }
        }
        Ok(Next::On)
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Change::Set(values) => {
                let list: Vec<String> = values.iter().map(|(name, value)| format!("{name}={value}")).collect();
                write!(f, "SetMailAttribute {}", list.join(","))
            }
            Change::Remove(names) => write!(f, "RemoveMailAttribute {}", names.join(",")),
            Change::RemoveAll => f.write_str("RemoveAllMailAttributes"),
            Change::Priority(priority) => write!(f, "WithPriority {priority}"),
            Change::Error(text) => write!(f, "SetErrorMessage {text}"),
            Change::Folder(folder) => write!(f, "WithStorageDirective {folder}"),
        }
    }
}
