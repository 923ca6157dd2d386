//! HELO, EHLO (RFC 5321 §4.1.1.1) and LHLO (RFC 2033 §4.1).

use super::parameters::HOLD_SECONDS_MAX;
use super::settings::Feature;
use super::{Hello, Session, replies};
use crate::mail::date::Date;
use crate::mail::{Protocol, Reply};
use crate::smtp::{command::Verb, grammar::is_hello_argument};

impl<P> Session<P> {
    /// Opens the session, or opens it anew, which ends a transaction. A refused one changes nothing (RFC 5321 §4.1.4).
    pub(super) fn helo(&mut self, verb: Verb, argument: &str) -> Reply {
        let name = argument.trim();
        if name.is_empty() {
            return replies::hello_without_name(verb.name());
        }
        if !is_hello_argument(name) {
            return replies::hello_bad_name(verb.name());
        }
        let protocol = match verb {
            Verb::Ehlo => Protocol::Esmtp,
            Verb::Lhlo => Protocol::Lmtp,
            _ => Protocol::Smtp,
        };
        self.transaction = None;
        self.hello = Some(Hello { name: name.into(), protocol });
        match protocol {
            Protocol::Smtp => replies::helo(&self.settings, name, self.client.ip()),
            _ => replies::ehlo(&self.settings, name, self.client.ip(), self.announced()),
        }
    }

    /// The lines that announce what is offered where the session stands.
    fn announced(&self) -> Vec<String> {
        let disabled = &self.settings.disabled_features;
        let features = Feature::ALL.into_iter().filter(|feature| !disabled.contains(feature));
        let mut offers: Vec<String> = features.filter_map(|feature| self.announcement(feature)).collect();
        offers.extend(self.auth_announcement());
        if self.offers_start_tls() {
            offers.push(Verb::StartTls.name().to_owned());
        }
        offers
    }

    /// The line that announces an extension, if it is one that can be used here and now.
    fn announcement(&self, feature: Feature) -> Option<String> {
        let (settings, keyword) = (&self.settings, feature.keyword());
        let on = settings.extensions;
        let is_offered = match feature {
            // RFC 9422 §4.2 has six digits for it, and no zero.
            Feature::Limits => (1..=999_999).contains(&settings.max_recipients),
            Feature::Dsn | Feature::DeliverBy => on.dsn,
            Feature::FutureRelease => on.future_release && self.user.is_some(),
            Feature::MtPriority => on.mt_priority,
            Feature::RequireTls => on.require_tls && self.is_secure(),
            _ => true,
        };
        let line = match feature {
            Feature::Size if settings.max_message_octets > 0 => format!("{keyword} {}", settings.max_message_octets),
            Feature::Limits => format!("{keyword} RCPTMAX={}", settings.max_recipients),
            Feature::FutureRelease => {
                let latest = self.now.saturating_add(HOLD_SECONDS_MAX * 1_000_000);
                format!("{keyword} {HOLD_SECONDS_MAX} {}", Date::from_micros(latest).rfc3339())
            }
            _ => keyword.to_owned(),
        };
        is_offered.then_some(line)
    }
}
