//! What the handlers that know James' words say.

use crate::mail::{EnhancedStatus, Reply, ReplyCode};

/// The client would have to authenticate (RFC 4954 §6). `detail` is that of X.7: 0, or 1 where delivery is what is not
/// authorized.
pub fn authentication_required(detail: u16) -> Reply {
    Reply::new(ReplyCode::AUTHENTICATION_REQUIRED, EnhancedStatus::new(7, detail), "Authentication Required")
}

/// The address is not the user's (RFC 3463 X.7.1: delivery not authorized).
pub fn wrong_sender() -> Reply {
    let text = "Incorrect Authentication for Specified Email Address";
    Reply::new(ReplyCode::BAD_SEQUENCE, EnhancedStatus::new(7, 1), text)
}

/// Nobody is named as the author (RFC 5322 §3.6: From is a must).
pub fn missing_from() -> Reply {
    Reply::new(ReplyCode::BAD_SEQUENCE, EnhancedStatus::new(5, 4), "Missing From header")
}

/// RFC 5321 §4.2.2 550, RFC 3463 X.7.1: delivery not authorized.
pub fn relaying_denied() -> Reply {
    let text = "Requested action not taken: relaying denied";
    Reply::new(ReplyCode::UNAVAILABLE, EnhancedStatus::new(7, 1), text)
}
