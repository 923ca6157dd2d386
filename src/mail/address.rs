//! Mailboxes and paths (RFC 5321 §4.1.2, RFC 6531 §3.3).
