//! What was started, for the person who started it.

use std::net::SocketAddr;

use super::holdings::{Directories, ShardListeners, enabled};
use super::requirements;
use crate::config::{Configuration, Protocol};

/// A server and what it is bound to, ports that were chosen included.
pub struct Bound {
    name: String,
    protocol: Protocol,
    addresses: Vec<SocketAddr>,
}

/// A shard that accepts.
pub struct Started {
    /// The CPU it is pinned to.
    pub cpu: usize,
    /// Messages found in its logs with something left to do.
    pub messages: usize,
}

/// What each server is bound to.
pub fn bound(configuration: &Configuration, listeners: &[ShardListeners]) -> Vec<Bound> {
    let of_first = listeners.first().into_iter().flatten();
    let servers = enabled(configuration).zip(of_first).map(|(server, listeners)| {
        let addresses = listeners.iter().filter_map(|listener| listener.local_address().ok()).collect();
        Bound { name: server.name.clone(), protocol: server.protocol, addresses }
    });
    servers.collect()
}

/// Where the server listens, which CPU each shard runs on, where spool and mailboxes are, and how to send a first message.
pub fn announcement(
    configuration: &Configuration,
    directories: &Directories,
    servers: &[Bound],
    shards: &[Started],
) -> String {
    let mut text = format!("ringpost {} is ready\n", env!("CARGO_PKG_VERSION"));
    let mut line = |name: &str, value: &str| text.push_str(&format!("  {name:<8} {value}\n"));
    for server in servers {
        let protocol = if server.protocol == Protocol::Smtp { "SMTP" } else { "LMTP" };
        server.addresses.iter().for_each(|address| line(protocol, &format!("{address} ({})", server.name)));
    }
    for (number, shard) in shards.iter().enumerate() {
        line("shard", &format!("{number} on CPU {}{}", shard.cpu, waiting(shard.messages)));
    }
    let kind = requirements::describe_file_system(&directories.spool).unwrap_or_else(|error| error.to_string());
    line("spool", &format!("{} ({kind})", directories.spool.display()));
    line("mail", &directories.mail.display().to_string());
    if configuration.ringpost.delivery.hold {
        line("hold", "accepted mail stays in the spool (delivery/hold in ringpost.xml)");
    }
    if let Some(example) = example(configuration, servers) {
        text.push_str(&format!("\nSend a first message:\n  {example}\n"));
    }
    text
}

fn waiting(messages: usize) -> String {
    match messages {
        0 => String::new(),
        1 => ", 1 message waiting".to_owned(),
        messages => format!(", {messages} messages waiting"),
    }
}

/// A command that sends a message to one of the users.
fn example(configuration: &Configuration, servers: &[Bound]) -> Option<String> {
    let server = servers.iter().find(|server| server.protocol == Protocol::Smtp)?;
    let (address, user) = (server.addresses.first()?, configuration.ringpost.users.last()?);
    Some(format!(
        "printf 'Subject: Hello\\n\\nIt works.\\n' | curl -sS --crlf smtp://{address}/{host} --mail-from {user} --mail-rcpt {user} -T -",
        host = configuration.domains.default,
    ))
}
