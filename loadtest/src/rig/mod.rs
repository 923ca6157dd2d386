//! What comparisons are made with: servers as processes that surely end, their processor time, and a load on them.

pub mod cores;
pub mod cpu;
pub mod home;
pub mod load;
pub mod log;
pub mod process;
