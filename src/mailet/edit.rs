//! Changes to a header, made while it is read: the content itself stays as it came.

use std::borrow::Cow;

use super::header::{encode_words, fields};
use crate::mail::Mailbox;

/// Changes of one mail that are kept. A mailet that would make one more fails.
pub const EDITS_MAX: usize = 200;

/// Octets of a line, above which it is folded.
const LINE: usize = 900;

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// One more field, after the others.
    Add {
        /// Its name.
        name: Box<str>,
        /// Its value, any text.
        value: Box<str>,
    },
    /// One more field, before the others.
    Prepend {
        /// Its name.
        name: Box<str>,
        /// Its value, any text.
        value: Box<str>,
    },
    /// Every field of that name goes; then one of that value comes, if there is one.
    Replace {
        /// Its name.
        name: Box<str>,
        /// Its value, any text.
        value: Option<Box<str>>,
    },
    /// Every field whose name begins so goes, in whatever case.
    RemovePrefix(Box<str>),
    /// The subject begins with this and a blank.
    SubjectPrefix(Box<str>),
    /// `Delivered-To` with the recipient whose copy it is, before the others.
    DeliveredTo,
}

/// Changes in the order they were made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edits(pub Vec<Edit>);

impl Edits {
    /// The header as changed, for `recipient` where it is one's copy. `header` is as [`super::header::fields`] reads it.
    pub fn apply<'a>(&self, header: &'a [u8], recipient: Option<&Mailbox>) -> Cow<'a, [u8]> {
        if self.0.is_empty() {
            return Cow::Borrowed(header);
        }
        Cow::Owned(self.0.iter().fold(header.to_vec(), |header, edit| edit.apply(&header, recipient)))
    }
}

impl Edit {
    fn apply(&self, header: &[u8], recipient: Option<&Mailbox>) -> Vec<u8> {
        match self {
            Edit::Add { name, value } => {
                let mut out = header.to_vec();
                // A header that ends without a line end is one nobody could add to.
                if !out.is_empty() && !out.ends_with(b"\n") {
                    out.extend_from_slice(b"\r\n");
                }
                out.extend_from_slice(field(name, value).as_bytes());
                out
            }
            Edit::Prepend { name, value } => [field(name, value).as_bytes(), header].concat(),
            Edit::Replace { name, value } => {
                let kept = without(header, |field| field.eq_ignore_ascii_case(name.as_bytes()));
                match value {
                    Some(value) => Edit::Add { name: name.clone(), value: value.clone() }.apply(&kept, recipient),
                    None => kept,
                }
            }
            Edit::RemovePrefix(prefix) => without(header, |name| {
                name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
            }),
            Edit::SubjectPrefix(prefix) => prefix_subject(header, prefix),
            Edit::DeliveredTo => match recipient {
                Some(recipient) => [field("Delivered-To", &recipient.to_string()).as_bytes(), header].concat(),
                None => header.to_vec(),
            },
        }
    }
}

/// One field with its CR LF. Whatever name and value are, it is one field.
pub fn field(name: &str, value: &str) -> String {
    let name: String = name.chars().filter(|c| c.is_ascii_graphic() && *c != ':').collect();
    format!("{name}: {}\r\n", folded(&encode_words(value)))
}

/// A value whose lines are no longer than they may be (RFC 5322 §2.1.1), folded where it has blanks.
fn folded(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let mut length = 0;
    for word in value.split_inclusive(' ') {
        if length > 0 && length + word.len() > LINE {
            out.push_str("\r\n ");
            length = 1;
        }
        out.push_str(word);
        length += word.len();
    }
    out
}

fn without(header: &[u8], goes: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    fields(header).filter(|field| !goes(field.name)).flat_map(|field| field.raw).copied().collect()
}

fn prefix_subject(header: &[u8], prefix: &str) -> Vec<u8> {
    let (mut out, mut done) = (Vec::with_capacity(header.len() + prefix.len() + 16), false);
    for one in fields(header) {
        if one.is("Subject") && !std::mem::replace(&mut done, true) {
            // What follows stays as it was encoded; two encoded words would swallow the blank between them.
            let value = one.body.trim_ascii_start();
            let swallowed = !prefix.is_ascii() && value.starts_with(b"=?");
            let prefix = encode_words(&if swallowed { format!("{prefix} ") } else { prefix.to_owned() });
            out.extend_from_slice(b"Subject: ");
            out.extend_from_slice(prefix.as_bytes());
            out.push(b' ');
            out.extend_from_slice(value);
            if !one.raw.ends_with(b"\n") {
                out.extend_from_slice(b"\r\n");
            }
        } else {
            out.extend_from_slice(one.raw);
        }
    }
    if !done {
        out = Edit::Add { name: "Subject".into(), value: prefix.into() }.apply(&out, None);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::header::{decoded, first};
    use super::*;
    use proptest::prelude::*;

    const HEADER: &[u8] =
        b"Subject: =?utf-8?q?=C3=A4?=\r\nBcc: a\r\nX-Spam-A: 1\r\nx-spam-b: 2\r\n folded\r\nbcc: b\r\nTo: c\r\n";

    fn edited(edits: &[Edit]) -> String {
        let recipient = Mailbox::parse("you@example.org").expect("a mailbox");
        let edits = Edits(edits.to_vec());
        String::from_utf8(edits.apply(HEADER, Some(&recipient)).into_owned()).expect("it is ASCII")
    }

    #[test]
    fn fields_come_and_go_in_order() {
        let replaced = Edit::Replace { name: "BCC".into(), value: None };
        let added = Edit::Add { name: "X-New".into(), value: "v\r\nBcc: evil".into() };
        let text = edited(&[replaced, Edit::RemovePrefix("X-Spam".into()), added, Edit::DeliveredTo]);
        let expected =
            "Delivered-To: you@example.org\r\nSubject: =?utf-8?q?=C3=A4?=\r\nTo: c\r\nX-New: v  Bcc: evil\r\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_subject_is_prefixed_or_made() {
        let subject = |prefix: &str| decoded(edited(&[Edit::SubjectPrefix(prefix.into())]).as_bytes(), "Subject");
        assert_eq!(subject("[list]").as_deref(), Some("[list] ä"));
        assert_eq!(subject("[größe]").as_deref(), Some("[größe] ä"));
        let none = Edits(vec![Edit::SubjectPrefix("[list]".into())]);
        assert_eq!(none.apply(b"To: a\r\n", None).as_ref(), b"To: a\r\nSubject: [list]\r\n");
    }

    proptest! {
        #[test]
        fn whatever_is_added_is_one_field(name in "[!-9;-~]{1,20}", value in "(?s).{0,200}", octets in prop::collection::vec(any::<u8>(), 0..100)) {
            let (header, _) = super::super::header::split(&octets);
            let before = fields(header).count();
            let edits = Edits(vec![Edit::Add { name: name.as_str().into(), value: value.as_str().into() }]);
            let after = edits.apply(header, None);
            prop_assert_eq!(fields(&after).count(), before + 1);
            prop_assert!(first(&after, &name).is_some());
        }
    }
}
