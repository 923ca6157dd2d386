//! What becomes of a mail: processors, matchers and mailets by their James names, evaluated to effects.
//!
//! Pure: a [`container::Container`] says what is to be done; whoever asked does it and tells the spool how it went. What the
//! container cannot know (the directory, DNS, the header, the content) it asks for, and goes on with the answer.

pub mod body;
pub mod compose;
pub mod container;
pub mod dkim;
pub mod edit;
pub mod effect;
pub mod header;
pub mod mail;
pub mod mailets;
pub mod matchers;
pub mod mime;
pub mod pattern;
pub mod pipeline;
pub mod question;
pub mod sieve;
