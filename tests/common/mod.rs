//! What several tests share.
#![allow(dead_code, reason = "every test uses a part of it")]

pub mod client;
pub mod dialogue;
pub mod driver;
pub mod golden;
pub mod load;
pub mod process;
pub mod reading;
pub mod tls;
