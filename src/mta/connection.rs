//! The dialogue with one client: the session decides, the loop obeys.
//!
//! **The flush rule.** Replies are sent when the loop is about to wait for input, and nowhere else; so a pipelined batch costs
//! one send, and no reply is ever held back while the client waits for it.

mod message;

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use self::message::Receiving;
use super::channel::{Channel, Deadline, End};
use super::core::{Core, Server};
use super::login::{Applicant, Told, outcome};
use super::pace::{Doing, Pace};
use super::slowing;
use super::spooler::Resolved;
use crate::control::journal::Level;
use crate::delivery::Delivered;
use crate::io::Machine;
use crate::mail::{Reply, SessionId};
use crate::smtp::line::LineReader;
use crate::smtp::server::Session;
use crate::smtp::server::question::{Authentication, Interrupt, Question, Step, Verdict};
use crate::smtp::server::replies;
use crate::spool::{Committed, StoreError};

/// Octets of replies that gather before they are sent although more input is there.
const REPLIES: usize = 32 * 1024;

/// How long a client is given to take the last reply.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What makes a 250 for a message true.
pub enum Proof {
    /// It is in the spool, synced.
    Spooled(Committed),
    /// It is in the recipient's mailbox, synced.
    Delivered(Delivered),
    /// The recipient has come to another end, or has a message of its own, synced.
    Resolved(Resolved),
}

/// A dialogue.
pub struct Connection<M: Machine> {
    core: Rc<Core<M>>,
    server: Rc<Server>,
    channel: Channel<M>,
    client: SocketAddr,
    /// The client as the log shows it, in every line.
    shown: Box<str>,
    id: SessionId,
    session: Session<Proof>,
    lines: LineReader,
    replies: Vec<u8>,
    pace: Pace,
    message: Option<Receiving<M>>,
    accepted: u64,
}

/// How long a client is waited for.
struct Waiting {
    began: Duration,
    deadline: Deadline,
    /// Even while the server stops.
    graceful: bool,
}

/// Converses with a client until one of both ends it.
pub async fn converse<M: Machine>(core: Rc<Core<M>>, server: Rc<Server>, stream: M::Stream, client: SocketAddr) {
    let channel = Channel::new(core.clone(), stream);
    converse_over(core, server, channel, client).await;
}

/// The same over a channel that something may have been read from. No async function, which would keep what it was given beside
/// what it made of it: an idle session is to be small.
pub fn converse_over<M: Machine>(
    core: Rc<Core<M>>,
    server: Rc<Server>,
    channel: Channel<M>,
    client: SocketAddr,
) -> impl Future<Output = ()> {
    let mut connection = Connection::new(core, server, channel, client);
    async move {
        let Connection { core, server, client, id, .. } = &connection;
        core.note(Level::Session, "connect", &[("session", id), ("server", &server.name), ("client", client)]);
        connection.note_tls();
        let end = connection.run().await;
        let why = connection.close(end).await;
        let Connection { core, client, id, accepted, .. } = &connection;
        let fields: [(&'static str, &dyn std::fmt::Display); 4] =
            [("session", id), ("client", client), ("accepted", accepted), ("why", &why)];
        core.note(Level::Session, "disconnect", &fields);
    }
}

/// Tells a client that there is no place for it, and closes.
pub async fn turn_away<M: Machine>(
    core: Rc<Core<M>>,
    server: Rc<Server>,
    channel: Channel<M>,
    client: SocketAddr,
    why: Interrupt,
) {
    let mut connection = Connection::new(core, server, channel, client);
    let name = &connection.server.name;
    let limit = if why == Interrupt::TooManyConnections { "connectionLimitPerIP" } else { "connectionLimit" };
    connection.core.note(Level::Session, "turned-away", &[("server", name), ("client", &client), ("why", &limit)]);
    connection.close(Err(End::Interrupted(why))).await;
}

impl<M: Machine> Connection<M> {
    fn new(core: Rc<Core<M>>, server: Rc<Server>, channel: Channel<M>, client: SocketAddr) -> Connection<M> {
        let id = core.next_session();
        let mut session = Session::new(server.settings.clone(), id, client);
        if let Some(secured) = channel.secured() {
            session.start_secured(secured);
        }
        Connection {
            session,
            lines: LineReader::new(server.settings.max_line_octets),
            replies: Vec::new(),
            pace: Pace::new(core.patience.now(), &core.timeouts),
            message: None,
            accepted: 0,
            core,
            server,
            channel,
            client,
            shown: client.to_string().into(),
            id,
        }
    }

    async fn run(&mut self) -> Result<(), End> {
        let mut step = self.greet();
        loop {
            step = match step {
                Step::Receive => self.receive().await?,
                Step::Ask(question) => self.ask(question).await,
                Step::ReceiveData(transfer) => self.receive_data(transfer).await?,
                Step::Store => self.store().await,
                Step::StartTls => self.start_tls().await?,
                Step::Close => return Ok(()),
            };
            if self.replies.len() > REPLIES {
                self.flush().await?;
            }
        }
    }

    /// Greets a client that has waited for it. Behind a proxy nobody knows when the client spoke, so there it is not asked.
    fn greet(&mut self) -> Step {
        let refuse = self.server.settings.refuse_early_talkers && self.server.gate.unnamed.is_none();
        if refuse && self.channel.has_input() {
            return self.session.open_to_early_talker(&mut self.replies);
        }
        self.session.open(&mut self.replies)
    }

    /// Gives the session its next line.
    async fn receive(&mut self) -> Result<Step, End> {
        if !self.session.in_transaction() {
            self.message = None;
        }
        self.make_room_for_replies();
        loop {
            let mut rest = self.channel.input();
            let before = rest.len();
            let line = self.lines.next(&mut rest);
            if line.is_some() && self.session.needs_time() {
                self.session.tell_time(self.core.machine.wall_clock());
            }
            let step = line.map(|line| self.session.receive(line, &mut self.replies));
            let used = before - rest.len();
            self.channel.consume(used);
            if let Some(step) = step {
                self.pace.line_ended();
                return Ok(step);
            }
            if let Some(step) = self.session.glance(self.lines.begun(), &mut self.replies) {
                return Ok(step);
            }
            self.refill(Doing { line: self.lines.has_begun(), ..Doing::default() }).await?;
            self.make_room_for_replies();
        }
    }

    fn make_room_for_replies(&mut self) {
        if self.replies.capacity() == 0 {
            self.replies = self.core.buffers.take_text();
        }
    }

    /// Begins TLS where the client has sent nothing behind its command.
    async fn start_tls(&mut self) -> Result<Step, End> {
        let more = self.lines.has_begun() || !self.channel.input().is_empty() || self.channel.has_input();
        let Some(tls) = self.server.tls.as_ref().filter(|_| !more) else {
            return Ok(self.session.refuse_tls(&mut self.replies));
        };
        let config = tls.config();
        self.session.begin_tls(&mut self.replies);
        self.flush().await?;
        let secured = Box::pin(self.channel.begin_tls(config, self.core.timeouts.tls_handshake)).await?;
        self.message = None;
        self.note_tls();
        Ok(self.session.secured(secured, &mut self.replies))
    }

    /// Notes what the connection is secured with, if it is.
    fn note_tls(&self) {
        let Some(secured) = self.channel.secured() else { return };
        let (group, resumed) = self.channel.key_exchange();
        let (version, cipher) = (secured.tls.version, secured.tls.cipher);
        let fields: [(&'static str, &dyn std::fmt::Display); 5] = [
            ("session", &self.id),
            ("version", &version),
            ("cipher", &cipher),
            ("group", &group),
            ("resumed", &resumed),
        ];
        self.core.note(Level::Session, "tls", &fields);
    }

    /// Lets the client wait where mail comes faster than it goes.
    async fn wait_for_delivery(&self) {
        if self.core.hold {
            return;
        }
        let wait = slowing::wait(self.core.spool.lag());
        if !wait.is_zero() {
            self.core.machine.sleep(wait).await;
        }
    }

    async fn ask(&mut self, question: Question) -> Step {
        if let Question::Sender { .. } = question {
            self.wait_for_delivery().await;
        }
        let (peer, directory) = (self.session.peer(), &*self.core.directory);
        let chain = &self.server.chain;
        let verdict = match &question {
            Question::Sender { reverse_path, declared_octets } => match self.room_for(*declared_octets) {
                Verdict::Pass => chain.sender(reverse_path, peer, directory).await,
                refused => refused,
            },
            Question::Recipient(mailbox) => chain.recipient(mailbox, peer, directory).await,
            Question::Message => match self.message.as_ref().and_then(|message| message.from.as_ref()) {
                Some(from) => chain.message(&from.authors(), peer, directory).await,
                None => Verdict::Pass,
            },
            _ => return Box::pin(self.log_in(question)).await,
        };
        if let Verdict::Deny(reply) | Verdict::DenySoft(reply) | Verdict::Disconnect(reply) = &verdict {
            match &question {
                Question::Sender { reverse_path, .. } => {
                    self.note_refusal(&[("from", &format_args!("<{reverse_path}>"))], reply);
                }
                Question::Recipient(mailbox) => self.note_refusal(&[("to", &format_args!("<{mailbox}>"))], reply),
                _ => self.note_refused_message(&reply.to_string()),
            }
        }
        self.session.answer(verdict, &mut self.replies)
    }

    /// Answers what AUTH asks; what failed is answered late.
    async fn log_in(&mut self, question: Question) -> Step {
        let peer = self.session.peer();
        let by = Applicant {
            client: self.client.ip(),
            authorized: peer.authorized,
            now: (self.core.machine.wall_clock() / 1_000_000) as u32,
        };
        let result = match self.server.logins.answer(question, by, &*self.core.directory).await {
            Some(Told::Keys(keys)) => {
                let nonce = format!("{:016x}{:016x}", self.core.machine.secret(), self.core.machine.secret());
                return self.session.keys(keys, &nonce, &mut self.replies);
            }
            Some(Told::Authenticated(result)) => result,
            None => Authentication::Unavailable,
        };
        let (mechanism, name) = self.session.attempt().map_or(("", ""), |(mechanism, name)| (mechanism.name(), name));
        let proved = matches!(result, Authentication::Proved(_));
        let (level, event) =
            if proved { (Level::Session, "authenticated") } else { (Level::Info, "not-authenticated") };
        self.core.note(
            level,
            event,
            &[
                ("session", &self.id),
                ("client", &self.shown),
                ("user", &name),
                ("mechanism", &mechanism),
                ("why", outcome(&result)),
            ],
        );
        if !proved {
            self.core.machine.sleep(self.server.logins.failure_delay).await;
        }
        self.session.authenticated(result, &mut self.replies)
    }

    /// Whether the spool has room, which is asked when a sender is named (RFC 1870 §6.1, RFC 5321 §4.2.2 452).
    fn room_for(&self, declared_octets: Option<u64>) -> Verdict {
        match self.core.spool.admits(declared_octets.unwrap_or(0)) {
            Ok(()) => Verdict::Pass,
            Err(StoreError::Full) => Verdict::DenySoft(replies::spool_full()),
            Err(StoreError::TooLarge) => Verdict::Deny(replies::too_big()),
            Err(StoreError::Closed) => Verdict::Disconnect(replies::out_of_service(&self.server.settings)),
        }
    }

    fn note_refusal(&self, about: &[(&'static str, &dyn std::fmt::Display)], reply: &Reply) {
        let code = reply.code();
        let mut fields: Vec<(&'static str, &dyn std::fmt::Display)> =
            vec![("session", &self.id), ("client", &self.shown)];
        fields.extend_from_slice(about);
        let text = reply.text();
        fields.extend_from_slice(&[("reply", &code), ("text", &text)]);
        self.core.note(Level::Info, "refused", &fields);
    }

    /// Sends the replies, then waits for input.
    async fn refill(&mut self, doing: Doing) -> Result<(), End> {
        let Waiting { began, deadline, graceful } = self.begin_to_wait(doing).await?;
        self.channel.receive(deadline, graceful).await?;
        if doing.content {
            let waited = self.core.patience.now() - began;
            self.pace.content_came(&self.core.timeouts, waited, self.channel.input().len());
        }
        Ok(())
    }

    /// Sends the replies, and says until when it is waited for input.
    async fn begin_to_wait(&mut self, doing: Doing) -> Result<Waiting, End> {
        self.flush().await?;
        let in_transaction = self.session.in_transaction();
        let doing = Doing { transaction: in_transaction, ..doing };
        let began = self.core.patience.now();
        let deadline = self.pace.deadline(&self.core.timeouts, began, self.server.idle_timeout, doing);
        Ok(Waiting { began, deadline, graceful: in_transaction && self.server.graceful })
    }

    /// Sends what was replied.
    async fn flush(&mut self) -> Result<(), End> {
        self.flush_within(self.server.idle_timeout).await
    }

    /// Sends what was replied, unless the client does not read for so long.
    async fn flush_within(&mut self, limit: Duration) -> Result<(), End> {
        self.channel.send(&mut self.replies, limit).await?;
        // An idle session keeps no memory for replies.
        self.core.buffers.give_text(std::mem::take(&mut self.replies));
        Ok(())
    }

    /// Says why, where that is possible, and closes; returns the reason for the log.
    async fn close(&mut self, end: Result<(), End>) -> String {
        self.message = None;
        let why = match end {
            Ok(()) => {
                self.session.nonsense().map_or("quit".to_owned(), |nonsense| format!("{nonsense:?}").to_lowercase())
            }
            Err(End::Closed) => "closed by client".to_owned(),
            Err(End::Lost(error)) => return format!("lost: {error}"),
            Err(End::Tls(error)) => {
                self.channel.finish();
                return format!("tls: {error}");
            }
            Err(End::Interrupted(interrupt)) => {
                self.session.interrupt(interrupt, &mut self.replies);
                format!("{interrupt:?}").to_lowercase()
            }
        };
        // A client that does not read is not waited for a second time.
        let _ = self.flush_within(LAST_WORDS).await;
        self.channel.finish();
        why
    }
}
