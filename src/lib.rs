//! ringpost: a thread-per-core SMTP and LMTP front end.

pub mod mail;

pub mod io;

pub mod smtp;

pub mod directory;

pub mod hook;

pub mod spool;

pub mod mailet;

pub mod delivery;

pub mod config;

pub mod control;

pub mod mta;
