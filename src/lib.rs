//! ringpost: a thread-per-core SMTP and LMTP front end.

pub mod io;
pub mod mail;
pub mod spool;
