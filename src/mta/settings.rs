//! What the configuration says about a server's sessions, in the words of the session.

use crate::config::{Configuration, Protocol, ServerSettings};
use crate::smtp::server::settings::{Service, Settings};

/// The settings of the sessions of one server.
pub fn session_settings(configuration: &Configuration, server: &ServerSettings) -> Settings {
    let limits = &configuration.ringpost.limits;
    Settings {
        protocol: match server.protocol {
            Protocol::Smtp => Service::Smtp,
            Protocol::Lmtp => Service::Lmtp,
        },
        hello_name: server.hello_name.as_str().into(),
        greeting: server.greeting.as_deref().map(Into::into),
        max_message_octets: server.max_message_octets.unwrap_or(0),
        max_recipients: limits.recipients,
        max_line_octets: server.max_line_octets,
        require_hello: server.require_hello,
        require_brackets: server.require_brackets,
        default_domain: configuration.domains.default.as_str().into(),
        max_errors: limits.errors,
        max_unknown_commands: limits.unknown_commands,
        refuse_early_talkers: limits.refuse_early_talkers,
        start_tls: false,
        disabled_features: server.disabled_features.as_slice().into(),
    }
}
