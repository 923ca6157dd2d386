//! Matchers by the parts of a mail.

use std::fmt;

use super::{Matched, Stop, View, listed};
use crate::mailet::mime;

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// `HasAttachment`: a part that is to be shown apart, or has a file name.
    HasAttachment,
    /// `AttachmentFileNameIs`: a part's file name is one of these, whatever the case; `*` at an end stands for anything.
    FileNameIs(Vec<Box<str>>),
    /// `HasMimeTypeAnySubPart`: a part is of one of these types.
    HasType(Vec<Box<str>>),
}

impl Condition {
    pub(super) fn evaluate(&self, view: View<'_>) -> Result<Matched, Stop> {
        let content = view.content()?;
        let parts = mime::parts(&content);
        Ok(Matched::all_if(match self {
            Condition::HasAttachment => parts.iter().any(|part| part.is_attachment()),
            Condition::FileNameIs(masks) => {
                parts.iter().filter_map(|part| part.file_name()).any(|name| masks.iter().any(|mask| fits(&name, mask)))
            }
            Condition::HasType(types) => {
                parts.iter().any(|part| types.iter().any(|one| part.content_type().eq_ignore_ascii_case(one)))
            }
        }))
    }
}

/// Whether the name is as the mask says.
fn fits(name: &str, mask: &str) -> bool {
    let (name, mask) = (name.to_lowercase(), mask.to_lowercase());
    match (mask.strip_prefix('*'), mask.strip_suffix('*')) {
        (Some(_), Some(_)) if mask.len() >= 2 => name.contains(mask.trim_matches('*')),
        (Some(end), _) => name.ends_with(end),
        (None, Some(start)) => name.starts_with(start),
        (None, None) => name == mask,
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Condition::HasAttachment => f.write_str("HasAttachment"),
            Condition::FileNameIs(masks) => write!(f, "AttachmentFileNameIs={}", listed(masks)),
            Condition::HasType(types) => write!(f, "HasMimeTypeAnySubPart={}", listed(types)),
        }
    }
}
