//! Other hosts of the simulated network, to which the machine can connect.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{pending, poll_fn};
use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::task::{Poll, Waker};

use super::kernel::{Kernel, Sleep};
use super::network::{self, ClientEnd, SimStream};
use crate::io::Peer;

/// What happens to who connects to a host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Manner {
    /// A connection comes about.
    #[default]
    Answers,
    /// It is refused.
    Refuses,
    /// Nothing is heard, ever.
    Silent,
}

/// A place where a server listens. It outlives the machine; connections from before a crash are broken after it.
#[derive(Clone)]
pub struct Host(Rc<State>);

pub(super) struct State {
    peer: Peer,
    manner: Cell<Manner>,
    attempts: Cell<u64>,
    arrived: RefCell<VecDeque<(ClientEnd, Option<IpAddr>)>>,
    waiting: RefCell<Option<Waker>>,
}

impl Host {
    pub(super) fn new(peer: Peer) -> Host {
        let (manner, attempts, arrived, waiting) = Default::default();
        Host(Rc::new(State { peer, manner, attempts, arrived, waiting }))
    }

    pub(super) fn is_at(&self, peer: &Peer) -> bool {
        self.0.peer == *peer
    }

    /// From now on whoever connects meets this.
    pub fn set_manner(&self, manner: Manner) {
        self.0.manner.set(manner);
    }

    /// How often somebody tried to connect, whatever came of it.
    pub fn attempts(&self) -> u64 {
        self.0.attempts.get()
    }

    /// The next connection, and the address it was asked to come from.
    pub async fn accept(&self) -> (ClientEnd, Option<IpAddr>) {
        poll_fn(|context| {
            if let Some(arrival) = self.0.arrived.borrow_mut().pop_front() {
                return Poll::Ready(arrival);
            }
            self.0.waiting.replace(Some(context.waker().clone()));
            Poll::Pending
        })
        .await
    }

    fn arrive(&self, end: ClientEnd, from: Option<IpAddr>) {
        self.0.arrived.borrow_mut().push_back((end, from));
        self.0.waiting.take().into_iter().for_each(Waker::wake);
    }
}

/// Connects: it takes as long as the way there and back.
pub(super) async fn connect(kernel: Rc<Kernel>, life: u64, to: Peer, from: Option<IpAddr>) -> io::Result<SimStream> {
    if let (Peer::Tcp(address), Some(from)) = (&to, from)
        && from.is_ipv4() != address.is_ipv4()
    {
        return Err(io::ErrorKind::AddrNotAvailable.into());
    }
    let until = kernel.now() + kernel.some_time(20, 2000);
    Sleep::new(kernel.clone(), life, until).await;
    let host = kernel.hosts.borrow().iter().find(|host| host.is_at(&to)).cloned();
    let Some(host) = host else {
        let nobody =
            if matches!(to, Peer::Unix(_)) { io::ErrorKind::NotFound } else { io::ErrorKind::ConnectionRefused };
        return Err(nobody.into());
    };
    host.0.attempts.set(host.attempts() + 1);
    match host.0.manner.get() {
        Manner::Answers => {
            let (end, stream) = network::connect(&kernel);
            host.arrive(end, from);
            Ok(stream)
        }
        Manner::Refuses => Err(io::ErrorKind::ConnectionRefused.into()),
        Manner::Silent => pending().await,
    }
}
