//! Matchers by what became of a delivery, and by what the sender wants to hear of it (RFC 3461 §4.1).

use std::fmt;

use super::{Matched, View};
use crate::mailet::mail::{DELIVERY_ERROR_CODE, DELIVERY_PERMANENT};

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// `DSNSuccessRequested`.
    SuccessRequested,
    /// `DSNFailureRequested`.
    FailureRequested,
    /// `DSNDelayRequested`.
    DelayRequested,
    /// `IsRemoteDeliveryPermanentError`, or the temporary one.
    Failed {
        /// For good.
        permanent: bool,
    },
    /// `RemoteDeliveryFailedWithSMTPCode`.
    FailedWith(u16),
}

impl Condition {
    pub(super) fn evaluate(self, view: View<'_>) -> Matched {
        match self {
            Condition::SuccessRequested => Matched::each(view.recipients, |recipient| recipient.notify.success),
            Condition::FailureRequested => Matched::each(view.recipients, |recipient| recipient.notify.failure),
            Condition::DelayRequested => Matched::each(view.recipients, |recipient| recipient.notify.delay),
            Condition::Failed { permanent } => {
                let found = view.attribute(DELIVERY_PERMANENT);
                Matched::all_if(found.is_some_and(|found| found == permanent.to_string()))
            }
            Condition::FailedWith(code) => {
                let found = view.attribute(DELIVERY_ERROR_CODE);
                Matched::all_if(found.is_some_and(|found| found == code.to_string()))
            }
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Condition::SuccessRequested => f.write_str("DSNSuccessRequested"),
            Condition::FailureRequested => f.write_str("DSNFailureRequested"),
            Condition::DelayRequested => f.write_str("DSNDelayRequested"),
            Condition::Failed { permanent: true } => f.write_str("IsRemoteDeliveryPermanentError"),
            Condition::Failed { permanent: false } => f.write_str("IsRemoteDeliveryTemporaryError"),
            Condition::FailedWith(code) => write!(f, "RemoteDeliveryFailedWithSMTPCode={code}"),
        }
    }
}
