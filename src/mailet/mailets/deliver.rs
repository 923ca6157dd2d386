//! Mailets at the end of the way.

use std::fmt;

use super::Next;
use crate::mailet::effect::{Drop, End};

/// Where it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deliver {
    /// `LocalDelivery`: in the mailbox on this host.
    Local,
    /// `LmtpDelivery`: by LMTP, with the settings of that place in the file.
    Lmtp(u16),
    /// `RemoteDelivery`: on other hosts, with the settings of that place in the file.
    Remote(u16),
    /// `Null`: nowhere.
    Null,
}

impl Deliver {
    pub(super) fn serve(self) -> Next {
        Next::End(match self {
            Deliver::Local => End::Mailbox,
            Deliver::Lmtp(settings) => End::Lmtp(settings),
            Deliver::Remote(settings) => End::Remote(settings),
            Deliver::Null => End::Drop(Drop::Asked),
        })
    }
}

impl fmt::Display for Deliver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Deliver::Local => "LocalDelivery",
            Deliver::Lmtp(_) => "LmtpDelivery",
            Deliver::Remote(_) => "RemoteDelivery",
            Deliver::Null => "Null",
        })
    }
}
