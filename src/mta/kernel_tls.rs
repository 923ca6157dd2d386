//! Whether the kernel seals and opens the records of TLS, for an operator who wants it to.

use super::holdings::enabled;
use super::serve::now;
use crate::config::Configuration;
use crate::control::journal::{Journal, Level};
use crate::io::metal::{self, kernel_tls};
use crate::io::records::Offered;

/// What came of it.
#[derive(Clone)]
pub enum KernelTls {
    /// It is not wanted, or there is no TLS.
    Unwanted,
    /// It is wanted, and for this reason not there.
    Absent(String),
    /// This is what it can do.
    There(metal::KernelTls),
}

impl KernelTls {
    /// Finds it out. A kernel that is not wanted is not asked: asking loads its module.
    pub fn find(configuration: &Configuration) -> KernelTls {
        let wanted = configuration.ringpost.tls.kernel && enabled(configuration).any(|server| server.tls.is_some());
        if !wanted {
            return KernelTls::Unwanted;
        }
        match kernel_tls() {
            Ok(found) => KernelTls::There(found),
            Err(error) => KernelTls::Absent(error.to_string()),
        }
    }

    /// What connections are handed over with.
    pub fn offered(&self) -> Offered {
        match self {
            KernelTls::There(found) => found.offered,
            KernelTls::Unwanted | KernelTls::Absent(_) => Offered::default(),
        }
    }

    /// For a person.
    pub fn describe(&self) -> Option<String> {
        match self {
            KernelTls::Unwanted => None,
            KernelTls::Absent(why) => Some(format!("by ringpost alone, the kernel has no part in it: {why}")),
            KernelTls::There(found) => Some(format!("records by the kernel: {}", found.offered)),
        }
    }

    /// For the log.
    pub fn note(&self, journal: &Journal) {
        match self {
            KernelTls::Unwanted => {}
            KernelTls::Absent(why) => {
                journal.note(Level::Info, now(), "kernel-tls", &[("offered", &"none"), ("why", why)]);
            }
            KernelTls::There(found) => {
                let fields: [(&'static str, &dyn std::fmt::Display); 2] =
                    [("offered", &found.offered), ("key_updates", &found.renews)];
                journal.note(Level::Info, now(), "kernel-tls", &fields);
            }
        }
    }
}
