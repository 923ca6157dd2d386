//! What was started, for the person who started it.

use std::net::SocketAddr;

use super::holdings::{Bound, Directories, enabled};
use super::kernel_tls::KernelTls;
use super::placement::Placement;
use crate::config::{Configuration, Protocol};

/// A server and what it is bound to, ports that were chosen included.
pub struct Described {
    name: String,
    protocol: Protocol,
    addresses: Vec<SocketAddr>,
}

/// A shard that accepts.
pub struct Started {
    /// The CPU it is pinned to.
    pub cpu: usize,
    /// Messages found in its logs so far with something left to do.
    pub messages: usize,
    /// There may be more: not all is read.
    pub reads_on: bool,
}

/// What each server is bound to.
pub fn described(configuration: &Configuration, bound: &Bound) -> Vec<Described> {
    let servers = enabled(configuration).zip(&bound.addresses).map(|(server, addresses)| Described {
        name: server.name.clone(),
        protocol: server.protocol,
        addresses: addresses.clone(),
    });
    servers.collect()
}

/// Where the server listens, which CPU each shard runs on, where spool and mailboxes are, and what else is to be known.
pub fn announcement(
    configuration: &Configuration,
    directories: &Directories,
    servers: &[Described],
    shards: &[Started],
    placement: &Placement,
    kernel_tls: &KernelTls,
) -> String {
    let mut text = format!("ringpost {} is ready\n", env!("CARGO_PKG_VERSION"));
    let mut line = |name: &str, value: &str| text.push_str(&format!("  {name:<8} {value}\n"));
    for server in servers {
        let protocol = if server.protocol == Protocol::Smtp { "SMTP" } else { "LMTP" };
        server.addresses.iter().for_each(|address| line(protocol, &format!("{address} ({})", server.name)));
    }
    for (number, shard) in shards.iter().enumerate() {
        let more = if shard.reads_on { ", and what the last run left is still being read" } else { "" };
        line("shard", &format!("{number} on CPU {}{}{more}", shard.cpu, waiting(shard.messages)));
    }
    describe_placement(servers, placement, &mut line);
    let kind = directories.file_system.describe();
    line("spool", &format!("{} ({kind})", directories.spool.display()));
    line("users", &configuration.ringpost.directory.path.display().to_string());
    line("mail", &directories.mail.display().to_string());
    if let Some(part) = kernel_tls.describe() {
        line("TLS", &part);
    }
    if configuration.ringpost.delivery.hold {
        line("hold", "accepted mail stays in the spool (delivery/hold in ringpost.xml)");
    }
    if configuration.ringpost.delivery.discard {
        line("DISCARD", "ACCEPTED MAIL IS THROWN AWAY, nobody gets any (delivery/discard in ringpost.xml)");
    }
    text
}

/// Who serves whom, unless all shards serve all and accept for themselves; acceptors, the control plane, and what to know.
fn describe_placement(servers: &[Described], placement: &Placement, line: &mut impl FnMut(&str, &str)) {
    for (number, cpu) in placement.acceptors.iter().enumerate() {
        line("acceptor", &format!("{number} on CPU {cpu}"));
    }
    for (server, share) in servers.iter().zip(&placement.servers) {
        let acceptors = match share.acceptors.is_empty() {
            true => String::new(),
            false => format!(", connections come by acceptor {}", list(&share.acceptors)),
        };
        if share.shards.len() < placement.shards.len() || !share.acceptors.is_empty() {
            line("serving", &format!("{} on shard {}{acceptors}", server.name, list(&share.shards)));
        }
    }
    let threads = if placement.control_threads == 1 {
        "1 thread".into()
    } else {
        format!("{} threads", placement.control_threads)
    };
    line("control", &format!("{threads} on CPU {}", list(&placement.control_cpus)));
    placement.notes.iter().for_each(|note| line("note", note));
}

/// Numbers in ascending order, such as `0-3, 8`.
fn list(numbers: &[usize]) -> String {
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == *number => *last = *number,
            _ => ranges.push((*number, *number)),
        }
    }
    let ranges =
        ranges.iter().map(|(first, last)| if first == last { first.to_string() } else { format!("{first}-{last}") });
    ranges.collect::<Vec<_>>().join(", ")
}

fn waiting(messages: usize) -> String {
    match messages {
        0 => String::new(),
        1 => ", 1 message waiting".to_owned(),
        messages => format!(", {messages} messages waiting"),
    }
}

/// What to try first, after the announcement.
pub fn invitation(configuration: &Configuration, servers: &[Described]) -> String {
    let example = example(configuration, servers);
    example.map_or_else(String::new, |example| format!("\nSend a first message:\n  {example}\n"))
}

/// A command that sends a message to somebody who is there from the start.
fn example(configuration: &Configuration, servers: &[Described]) -> Option<String> {
    let server = servers.iter().find(|server| server.protocol == Protocol::Smtp)?;
    let (address, host) = (server.addresses.first()?, &configuration.domains.default);
    let user = format!("postmaster@{host}");
    Some(format!(
        "printf 'From: {user}\\nSubject: Hello\\n\\nIt works.\\n' | curl -sS --crlf smtp://{address}/{host} --mail-from {user} --mail-rcpt {user} -T -",
    ))
}
