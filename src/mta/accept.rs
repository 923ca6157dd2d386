//! Takes connections and starts a session for each.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_lite::future::{or, yield_now};

use super::core::{Core, Server};
use super::gate::receive;
use crate::control::journal::Level;
use crate::io::metal::{GlommioMachine, Listener, TcpStream};
use crate::io::vitals::Vitals;
use crate::io::wait::Bell;
use crate::io::{Class, Machine};

/// How long accepting rests after an error: descriptors that have run out come back only as sessions end.
const REST: Duration = Duration::from_millis(250);

/// Accepts until the bell is rung.
pub fn accept(
    core: Rc<Core<GlommioMachine>>,
    server: Rc<Server>,
    listener: Listener,
    stop: Rc<Bell>,
) -> impl Future<Output = ()> {
    // From now on, not from when the task is first run: a ring in between must not be missed.
    let before = stop.rings();
    async move {
        let accepting = async {
            loop {
                match listener.accept().await {
                    Ok((stream, client)) => begin(&core, &server, stream, client),
                    Err(error) => rest(&core, &server, &error).await,
                }
                yield_now().await;
            }
        };
        or(stop.heard_since(before), accepting).await;
    }
}

/// Starts a session with a client.
pub fn begin(core: &Rc<Core<GlommioMachine>>, server: &Rc<Server>, stream: TcpStream, client: SocketAddr) {
    if stream.descriptor() >= server.gate.descriptors {
        // Closed at once: what is left of descriptors is for mail that is here already.
        let fields: [(&'static str, &dyn std::fmt::Display); 3] =
            [("server", &server.name), ("client", &client), ("why", &"no descriptor is left for connections")];
        return core.note(Level::Session, "turned-away", &fields);
    }
    let (core, server) = (core.clone(), server.clone());
    let machine = core.machine.clone();
    let open = OpenConnection::new(machine.vitals().clone());
    machine.spawn(Class::Intake, async move {
        let _open = open;
        receive(core, server, stream, client).await;
    });
}

/// A client that is gone before it was taken is nobody's trouble; anything else is, and trying at once would only spin.
async fn rest(core: &Core<GlommioMachine>, server: &Server, error: &io::Error) {
    if error.kind() == io::ErrorKind::ConnectionAborted {
        return;
    }
    core.note(Level::Error, "accepting-paused", &[("server", &server.name), ("text", error)]);
    core.machine.sleep(REST).await;
}

/// Counts a connection while it is open.
struct OpenConnection(Arc<Vitals>);

impl OpenConnection {
    fn new(vitals: Arc<Vitals>) -> OpenConnection {
        vitals.connected();
        OpenConnection(vitals)
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.disconnected();
    }
}
