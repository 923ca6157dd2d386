//! What the sessions and deliveries of one core share. Nothing here is shared with another core but counters.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::buffers::Buffers;
use super::gate::Gate;
use super::login::Logins;
use super::pace::Timeouts;
use super::patience::Patience;
use super::spooler::Spooler;
use crate::config::server::tls::TlsStart;
use crate::control::journal::{Field, Journal, Level, Note};
use crate::delivery::Names;
use crate::directory::Directory;
use crate::hook::Chain;
use crate::io::Machine;
use crate::io::tls::ServerConfig;
use crate::mail::{IdSource, MessageId, SessionId};
use crate::smtp::server::settings::Settings;
use crate::spool::Spool;

/// One core.
pub struct Core<M: Machine> {
    /// Network, disk, clock, tasks.
    pub machine: M,
    /// Where messages are kept.
    pub spool: Spool<M>,
    /// What becomes of them.
    pub spooler: Spooler<M>,
    /// Who is known here.
    pub directory: Rc<dyn Directory>,
    /// Who takes mail elsewhere.
    pub names: Rc<dyn Names>,
    /// What an operator reads.
    pub journal: Rc<Journal>,
    /// Names for messages and sessions.
    pub ids: Rc<RefCell<IdSource>>,
    /// To receive into.
    pub buffers: Buffers,
    /// Waits for clients.
    pub patience: Rc<Patience>,
    /// How long they may take.
    pub timeouts: Timeouts,
    /// Accepted mail stays in the spool.
    pub hold: bool,
    /// Messages accepted since the start.
    pub accepted: Cell<u64>,
}

/// One server of the configuration, as a core serves it.
pub struct Server {
    /// Its name in the log.
    pub name: Box<str>,
    /// How its sessions behave.
    pub settings: Arc<Settings>,
    /// Its policy.
    pub chain: Chain,
    /// How long it waits for a silent client.
    pub idle_timeout: Duration,
    /// Whether its transactions may go on once it is to stop.
    pub graceful: bool,
    /// Who is let in.
    pub gate: Gate,
    /// How it speaks TLS, if it does.
    pub tls: Option<ServerTls>,
    /// Who is believed.
    pub logins: Logins,
    /// Where mail goes that comes by LMTP.
    pub lmtp: LmtpWay,
}

/// Where mail goes that comes by LMTP, while its client waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LmtpWay {
    /// Straight into the mailboxes, past the container.
    #[default]
    Mailbox,
    /// Through the container (James: `MailetContainerCmdHandlerLoader`).
    Container {
        /// Every recipient goes its way alone (`splitExecution`).
        split: bool,
    },
}

/// How a server speaks TLS, as a core knows it.
#[derive(Clone)]
pub struct ServerTls {
    /// When it begins.
    pub start: TlsStart,
    /// How connections speak it that begin now. The control plane has others put there; those that have begun keep theirs.
    config: RefCell<Arc<ServerConfig>>,
}

impl ServerTls {
    /// So, for now.
    pub fn new(start: TlsStart, config: Arc<ServerConfig>) -> ServerTls {
        ServerTls { start, config: RefCell::new(config) }
    }

    /// How connections speak it that begin now.
    pub fn config(&self) -> Arc<ServerConfig> {
        self.config.borrow().clone()
    }

    /// Has connections that begin from now on speak it so.
    pub fn replace(&self, config: Arc<ServerConfig>) {
        self.config.replace(config);
    }
}

impl Server {
    /// Whether TLS begins with the connection.
    pub fn starts_in_tls(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.start == TlsStart::Connection)
    }
}

impl<M: Machine> Core<M> {
    /// A name for a message that begins at `now` (microseconds since the Unix epoch).
    pub fn next_message(&self, now: u64) -> MessageId {
        MessageId(self.ids.borrow_mut().next(now))
    }

    /// A name for a session that begins now.
    pub fn next_session(&self) -> SessionId {
        SessionId(self.ids.borrow_mut().next(self.machine.wall_clock()))
    }

    /// Notes an event that happens now.
    pub fn note(&self, level: Level, name: &str, fields: &[Field<'_>]) {
        self.journal.note(level, self.machine.wall_clock(), name, fields);
    }

    /// The same with fields that need not be made before.
    pub fn note_with(&self, level: Level, name: &str, fields: impl FnOnce(&mut Note<'_>)) {
        self.journal.note_with(level, self.machine.wall_clock(), name, fields);
    }
}

/// A number of connections that is never exceeded, over all cores, without a lock.
#[derive(Debug, Default)]
pub struct Limit {
    /// 0: none.
    most: u32,
    now: AtomicU32,
}

/// A connection that counts; dropping it ends that.
#[derive(Debug)]
pub struct Counted(Arc<Limit>);

impl Limit {
    /// At most `most` at a time; any number where 0.
    pub fn new(most: u32) -> Limit {
        Limit { most, now: AtomicU32::new(0) }
    }

    /// Counts one more, unless that is too many.
    pub fn take(self: &Arc<Self>) -> Option<Counted> {
        let room = |now: u32| (self.most == 0 || now < self.most).then_some(now + 1);
        let taken = self.now.fetch_update(Ordering::AcqRel, Ordering::Acquire, room);
        taken.is_ok().then(|| Counted(self.clone()))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_never_exceeded_and_never_leaks() {
        let limit = Arc::new(Limit::new(3));
        let most = std::thread::scope(|scope| {
            let tries = || (0..10_000).filter_map(|_| limit.take().map(|_| limit.now.load(Ordering::Acquire))).max();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(tries)).collect();
            threads.into_iter().filter_map(|thread| thread.join().expect("no panic")).max()
        });
        assert!(most <= Some(3), "{most:?}");
        let held: Vec<_> = (0..5).filter_map(|_| limit.take()).collect();
        assert_eq!(held.len(), 3);
        drop(held);
        assert_eq!(limit.now.load(Ordering::Acquire), 0);
    }
}
