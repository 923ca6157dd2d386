//! Changes of a body: octets in, octets out. What is returned is a whole message again.

pub mod footer;
pub mod seven_bit;
pub mod strip;

/// Why a body was not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// Parts are nested deeper than [`super::mime::DEPTH_MAX`].
    #[error("the message has parts inside each other too deep")]
    TooDeep,
    /// A part says that it is encoded, and has octets above 127 nevertheless, or an encoding that nobody knows.
    #[error("a part of the message is not encoded as it says")]
    Encoding,
}

/// A header with one field in place of all of that name.
fn with_field(header: &[u8], name: &str, value: &str) -> Vec<u8> {
    use super::edit::{Edit, Edits};
    let edit = Edit::Replace { name: name.into(), value: Some(value.into()) };
    Edits(vec![edit]).apply(header, None).into_owned()
}
