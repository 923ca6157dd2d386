//! Who is let in: connections are counted, and a proxy says for whom it speaks, before anybody is greeted.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use super::channel::{Channel, Deadline};
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
}

/// Lets a client in that may come in, and converses with it.
pub async fn receive<M: Machine>(core: Rc<Core<M>>, server: Rc<Server>, stream: M::Stream, peer: SocketAddr) {
    let mut channel = Channel::new(core.clone(), stream);
    // Boxed, so that nothing of it is carried through the session.
    match Box::pin(enter(&core, &server, &mut channel, peer)).await {
        Ok(guest) => converse_over(core, server, channel, guest.client).await,
        Err(Turned::Full) => turn_away(core, server, channel, peer, Interrupt::Overload).await,
        Err(Turned::TooMany(client)) => {
            turn_away(core, server, channel, client, Interrupt::TooManyConnections).await;
        }
        Err(Turned::Silent(why)) => {
            let fields: [(&'static str, &dyn std::fmt::Display); 3] =
                [("server", &server.name), ("client", &peer), ("why", &why)];
            core.note(Level::Session, "turned-away", &fields);
        }
    }
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
    Ok(Guest { client, _counted: counted, _of_client: of_client })
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
