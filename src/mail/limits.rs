//! The bounds that hold for every server, with the RFC's minimum where it sets one.

/// Octets of a command line without its CR LF that are accepted unless the server's `maxLineLength` says otherwise
/// (RFC 5321 §4.5.3.1.4 asks for 512 and more with extensions).
pub const COMMAND_LINE_OCTETS: usize = 8192;

/// Recipients of one transaction unless configured otherwise (RFC 5321 §4.5.3.1.8 asks for 100).
pub const RECIPIENTS: usize = 1000;

/// Octets of a local part that are accepted. RFC 5321 §4.5.3.1.1 asks for 64; senders that encode another address in theirs
/// (SRS, VERP) use more.
pub const LOCAL_PART_OCTETS: usize = 255;

/// Octets of a domain that are accepted (RFC 5321 §4.5.3.1.2).
pub const DOMAIN_OCTETS: usize = 255;

/// Octets of a line of a message without its CR LF that RFC 5321 §4.5.3.1.6 allows; longer ones pass and are marked.
pub const TEXT_LINE_OCTETS: u64 = 998;
