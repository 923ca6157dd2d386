//! Who is let in: connections are counted, and a proxy says for whom it speaks, before anybody is greeted.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use super::channel::{Channel, Deadline, End};
use super::connection::{converse_over, turn_away};
use super::core::{self, Core, Limit, Server};
use super::proxy::{Decoded, Origin, decode};
use crate::control::journal::Level;
use crate::io::Machine;
use crate::io::counts::{self, Counts, Key};
use crate::smtp::server::question::Interrupt;

/// How connections of one server are let in; clones count together.
#[derive(Clone, Debug)]
pub struct Gate {
    /// All its connections, over all cores.
    pub connections: Arc<Limit>,
    /// Those of one client.
    pub per_client: Option<PerClient>,
    /// Those whose proxy has not said yet for whom it speaks; `None` where there is no proxy in front.
    pub unnamed: Option<Arc<Limit>>,
    /// The proxy speaks in clear, before TLS that the connection begins with; otherwise inside.
    pub proxy_first: bool,
    /// Connections have descriptors below this one. The kernel gives the lowest that is free, so those above stay with the spool
    /// and the mailboxes, however many clients come.
    pub descriptors: usize,
}

/// How many connections one client may have.
#[derive(Clone, Debug)]
pub struct PerClient {
    /// The counts, over all servers and cores.
    pub counts: Counts,
    /// The server's place among those that count.
    pub server: u32,
    /// The most.
    pub limit: u32,
    /// Leading bits of an IPv6 address that make a client.
    pub ipv6_prefix: u8,
}

impl PerClient {
    fn take(&self, client: IpAddr) -> Option<counts::Counted> {
        self.counts.take(&Key::new(self.server, client, self.ipv6_prefix), self.limit)
    }
}

/// A client that may come in, counted for as long as this is held.
struct Guest {
    client: SocketAddr,
    _counted: core::Counted,
    _of_client: Option<counts::Counted>,
}

/// Why a client may not come in.
enum Turned {
    /// It is told that the server has too many.
    Full,
    /// It is told that it has too many itself.
    TooMany(SocketAddr),
    /// It is told nothing: it does not speak the proxy's protocol, so nobody knows what it would understand.
    Silent(&'static str),
    /// TLS, which the connection was to begin with, did not come about.
    Tls(SocketAddr, String),
}

/// A client that has come to the gate.
struct Arrived<M: Machine> {
    channel: Channel<M>,
    entered: Result<Guest, Turned>,
    /// It waits for TLS, and would not understand a word in clear.
    silent: bool,
}

/// Lets a client in that may come in, and converses with it.
pub async fn receive<M: Machine>(core: Rc<Core<M>>, server: Rc<Server>, stream: M::Stream, peer: SocketAddr) {
    // Boxed, and the channel lent to nobody here, so that nothing of it is carried through the session.
    let arriving = Box::pin(arrive(core.clone(), server.clone(), Channel::new(core.clone(), stream), peer));
    let Arrived { channel, entered, silent } = arriving.await;
    match entered {
        Ok(guest) => converse_over(core, server, channel, guest.client).await,
        Err(Turned::Full) if silent => note(&core, &server, peer, &"connectionLimit"),
        Err(Turned::TooMany(client)) if silent => note(&core, &server, client, &"connectionLimitPerIP"),
        Err(Turned::Full) => turn_away(core, server, channel, peer, Interrupt::Overload).await,
        Err(Turned::TooMany(client)) => {
            turn_away(core, server, channel, client, Interrupt::TooManyConnections).await;
        }
        Err(Turned::Silent(why)) => note(&core, &server, peer, &why),
        Err(Turned::Tls(client, error)) => {
            finish(channel);
            note(&core, &server, client, &format_args!("tls: {error}"));
        }
    }
}

fn finish<M: Machine>(mut channel: Channel<M>) {
    channel.finish();
}

async fn arrive<M: Machine>(
    core: Rc<Core<M>>,
    server: Rc<Server>,
    mut channel: Channel<M>,
    peer: SocketAddr,
) -> Arrived<M> {
    let entered = enter(&core, &server, &mut channel, peer).await;
    let silent = server.starts_in_tls() && channel.secured().is_none();
    Arrived { channel, entered, silent }
}

/// Notes that a client was turned away without a word.
fn note<M: Machine>(core: &Core<M>, server: &Server, client: SocketAddr, why: &dyn std::fmt::Display) {
    core.note(Level::Session, "turned-away", &[("server", &server.name), ("client", &client), ("why", why)]);
}

async fn enter<M: Machine>(
    core: &Core<M>,
    server: &Server,
    channel: &mut Channel<M>,
    peer: SocketAddr,
) -> Result<Guest, Turned> {
    let gate = &server.gate;
    let counted = gate.connections.take().ok_or(Turned::Full)?;
    let client = match &gate.unnamed {
        Some(unnamed) => {
            let _unnamed = unnamed.take().ok_or(Turned::Silent("too many without a PROXY header"))?;
            if !gate.proxy_first {
                begin_tls(core, server, channel, peer).await?;
            }
            match receive_origin(core, channel).await.map_err(Turned::Silent)? {
                Origin::Client { source, .. } => source,
                Origin::Itself => peer,
            }
        }
        None => peer,
    };
    let of_client = match &gate.per_client {
        Some(per_client) => Some(per_client.take(client.ip()).ok_or(Turned::TooMany(client))?),
        None => None,
    };
    if channel.secured().is_none() {
        begin_tls(core, server, channel, client).await?;
    }
    Ok(Guest { client, _counted: counted, _of_client: of_client })
}

/// Begins TLS where a connection is to begin with it.
async fn begin_tls<M: Machine>(
    core: &Core<M>,
    server: &Server,
    channel: &mut Channel<M>,
    client: SocketAddr,
) -> Result<(), Turned> {
    let Some(tls) = server.tls.as_ref().filter(|_| server.starts_in_tls()) else { return Ok(()) };
    match channel.begin_tls(tls.config(), core.timeouts.tls_handshake).await {
        Ok(_) => Ok(()),
        Err(End::Tls(error) | End::Lost(error)) => Err(Turned::Tls(client, error.to_string())),
        Err(End::Closed) => Err(Turned::Tls(client, "closed by client".to_owned())),
        Err(End::Interrupted(why)) => Err(Turned::Tls(client, format!("{why:?}").to_lowercase())),
    }
}

/// Receives a proxy's header, and nothing of what follows it.
async fn receive_origin<M: Machine>(core: &Core<M>, channel: &mut Channel<M>) -> Result<Origin, &'static str> {
    let deadline = Deadline { at: core.patience.now() + core.timeouts.proxy_header, why: Interrupt::Idle };
    let mut header = Vec::new();
    loop {
        let wanted = match decode(&header) {
            Decoded::Header(origin) => return Ok(origin),
            Decoded::Malformed => return Err("no PROXY header"),
            Decoded::NeedMore(octets) => octets,
        };
        if channel.input().is_empty() {
            channel.receive(deadline, false).await.map_err(|_| "no PROXY header in time")?;
        }
        let input = channel.input();
        let used = wanted.min(input.len());
        header.extend_from_slice(&input[..used]);
        channel.consume(used);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::sim::SimMachine;

    fn size_of_future<A, B, C, D, F>(_: impl Fn(A, B, C, D) -> F) -> usize {
        size_of::<F>()
    }

    /// What an idle session takes, beside what the kernel keeps of its socket: its task is nearly all of it.
    #[test]
    fn a_session_is_small() {
        let octets = size_of_future(receive::<SimMachine>);
        println!("a session's task takes {octets} octets");
        assert!(octets <= 2560, "{octets} octets");
    }
}
