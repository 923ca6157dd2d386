//! ringpost: a thread-per-core SMTP and LMTP front end.

pub mod mail;
pub mod io;
pub mod smtp;
