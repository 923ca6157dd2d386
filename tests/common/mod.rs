//! What several tests share.
#![allow(dead_code, reason = "every test uses a part of it")]

pub mod dialogue;
pub mod driver;
pub mod reading;
