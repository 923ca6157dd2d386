//! What the configuration says about a server's sessions, in the words of the session.

use super::core::LmtpWay;
use super::journey::SettingsName;
use super::spooler::{self, Metrics, Remote, Way};
use crate::config::handlerchain::CoreHandlers;
use crate::config::server::auth::{Announce, Mechanism};
use crate::config::server::tls::TlsStart;
use crate::config::{Configuration, Protocol, ServerSettings};
use crate::delivery::Retry;
use crate::delivery::settings::RemoteSettings;
use crate::hook::{Chain, Handler, IdentityMode, Onward};
use crate::mailet::pipeline::Pipeline;
use crate::smtp::sasl;
use crate::smtp::server::settings::{Auth, Service, Settings};

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
        start_tls: server.tls.as_ref().is_some_and(|tls| tls.start == TlsStart::Command),
        auth: auth(server, limits.auth_failures),
        authorized: server.authorized_addresses.clone(),
        asks_about_content: server.identity != IdentityMode::Disabled,
        disabled_features: server.disabled_features.as_slice().into(),
        extensions: server.handlers.extensions,
    }
}

/// AUTH; `None` where nobody may use it.
fn auth(server: &ServerSettings, max_failures: u32) -> Option<Auth> {
    let always = match server.auth.announce {
        Announce::Never => return None,
        Announce::Always => true,
        Announce::ForUnauthorizedAddresses => false,
    };
    let named = |mechanism: &Mechanism| match mechanism {
        Mechanism::Login => vec![sasl::Mechanism::Login],
        Mechanism::Plain => vec![sasl::Mechanism::Plain],
        // The one that is bound to the channel is the better one, so it is named first.
        Mechanism::ScramSha256 => vec![sasl::Mechanism::ScramSha256Plus, sasl::Mechanism::ScramSha256],
        Mechanism::OAuthBearer | Mechanism::XOAuth2 => Vec::new(),
    };
    let mechanisms = server.auth.mechanisms.iter().flat_map(named).collect();
    let here = server.handlers.core == CoreHandlers::Smtp;
    here.then_some(Auth { always, require_tls: server.auth.require_ssl, mechanisms, max_failures })
}

/// How messages are seen through.
pub fn spooler_settings(configuration: &Configuration) -> spooler::Settings {
    let delivery = &configuration.ringpost.delivery;
    let container = configuration.container.as_ref();
    let remotes = container.map_or(&[][..], |container| &container.remotes);
    let lmtps = container.map_or(&[][..], |container| &container.lmtps);
    let remote =
        |(name, settings): (SettingsName, &RemoteSettings)| Remote { name, gateways: !settings.gateways.is_empty() };
    let pipeline = pipeline(configuration);
    spooler::Settings {
        way: match pipeline {
            _ if delivery.discard => Way::Discard,
            Some(pipeline) => Way::Pipeline(pipeline.clone()),
            None => Way::Mailbox,
        },
        concurrency: delivery.concurrency,
        retry: Retry::new(delivery.retry.clone()),
        remotes: SettingsName::all(remotes).into_iter().zip(remotes).map(remote).collect(),
        lmtps: SettingsName::all(lmtps),
        metrics: pipeline.map(Metrics::of).unwrap_or_default(),
    }
}

/// The pipeline, where it does more than to bring all mail into the mailboxes.
fn pipeline(configuration: &Configuration) -> Option<&Pipeline> {
    configuration.container.as_ref()?.pipeline.as_ref().filter(|pipeline| !pipeline.is_local_delivery())
}

/// Where mail goes that comes to a server by LMTP.
pub fn lmtp_way(server: &ServerSettings) -> LmtpWay {
    match server.handlers.through_container {
        Some(split) => LmtpWay::Container { split },
        None => LmtpWay::Mailbox,
    }
}

/// The policy of a server. Recipients are checked and relaying is refused whether or not the chain names the handlers; the order
/// is James'.
pub fn chain(configuration: &Configuration, server: &ServerSettings) -> Chain {
    let mut handlers = vec![Handler::ValidRcpt(server.handlers.table_check), Handler::Relay];
    if server.protocol == Protocol::Smtp {
        handlers.push(Handler::Identity(server.identity));
        if server.auth.required {
            handlers.push(Handler::AuthRequired);
        }
    }
    let straight = server.protocol == Protocol::Lmtp && server.handlers.through_container.is_none();
    let onward = pipeline(configuration).filter(|_| !straight && !configuration.ringpost.delivery.discard);
    let onward = onward.map(|pipeline| Onward { leads_out: pipeline.leads_out(), rewrites: pipeline.rewrites() });
    Chain::new(handlers).with_onward(onward.unwrap_or_default())
}
