//! The server's side of a dialogue, as a value: lines and results go in, replies and the next step come out.
//!
//! ```text
//!            open ──▶ Receive ◀────────────────────────────────────────────┐
//!                        │ receive                                         │
//!      ┌─────────────┬───┴───────────┬──────────────┐                      │
//!      ▼             ▼               ▼              ▼                      │
//!    Close          Ask        ReceiveData        Receive                  │
//!                    │ answer        │ chunk_ended ────────────────────────┤
//!                    ▼               │ data_ended                          │
//!                 Receive            ├──────────▶ Store ── stored ─────────┤
//!                 or Close           └──────────▶ Receive   delivered ─────┘
//! ```
//!
//! Beside these there is `StartTls`, after which comes `secured` or the end. What AUTH asks is answered by `authenticated` and
//! `keys`.
//!
//! Replies are only ever appended. The caller sends them when it is about to wait, so that pipelined commands (RFC 2920)
//! are answered together and in order.

pub mod question;
pub mod replies;
pub mod settings;

mod auth;
mod bdat;
mod data;
mod helo;
mod mail;
mod nonsense;
mod parameters;
mod rcpt;
mod recipients;
mod simple;
mod start_tls;

use std::marker::PhantomData;
use std::net::SocketAddr;
use std::sync::Arc;

pub use self::auth::Peer;
pub use self::nonsense::Nonsense;
pub use self::start_tls::Secured;

use self::nonsense::{Errors, is_binary, is_http};
use self::question::{Interrupt, Question, Step, Transfer, Verdict};
use self::recipients::Recipients;
use self::settings::{Service, Settings};
use super::command::{Command, CommandError, Verb};
use super::line::Line;
use crate::mail::{
    BodyType, Client, DeliverBy, Dsn, Envelope, Mailbox, MessageId, Protocol, RecipientNote, Reply, ReversePath,
    SessionId, Username,
};
use crate::smtp::sasl::{Exchange, Mechanism};

/// The dialogue with one client.
///
/// `P` is the proof that a message is durable: only who made it so has one, and no 250 for a message is written without.
#[derive(Debug)]
pub struct Session<P> {
    settings: Arc<Settings>,
    id: SessionId,
    client: SocketAddr,
    hello: Option<Hello>,
    secured: Option<Secured>,
    /// The client is in `authorizedAddresses`.
    authorized: bool,
    user: Option<Username>,
    /// The mechanism and name of the last AUTH.
    attempt: Option<(Mechanism, Box<str>)>,
    /// AUTHs that failed.
    failures: u32,
    transaction: Option<Transaction>,
    turn: Turn,
    errors: Errors,
    nonsense: Option<Nonsense>,
    /// Microseconds since the Unix epoch, as it was told last.
    now: u64,
    proof: PhantomData<fn(P)>,
}

/// How the client opened the session.
#[derive(Debug)]
struct Hello {
    name: Arc<str>,
    protocol: Protocol,
}

/// What was agreed on since MAIL (RFC 5321 §3.3).
#[derive(Debug, Default)]
struct Transaction {
    reverse_path: ReversePath,
    recipients: Recipients,
    body: BodyType,
    smtputf8: bool,
    /// What else was asked for with MAIL; usual mail asks for nothing.
    asked: Option<Box<Asked>>,
    chunks: Chunks,
    /// The message, once its content is being received.
    message: Option<MessageId>,
}

/// What may be asked for with MAIL where an extension is there for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Asked {
    dsn: Dsn,
    require_tls: bool,
    hold_until: Option<u64>,
    deliver_by: Option<DeliverBy>,
    priority: i8,
}

/// What BDAT has brought of a message (RFC 3030 §2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Chunks {
    /// Nothing yet.
    #[default]
    None,
    /// Chunks of so many octets.
    Open(u64),
    /// A chunk was refused: nothing but the end of the transaction helps.
    Refused,
}

/// Whose turn it is.
#[derive(Debug)]
enum Turn {
    /// The client's: a line is due.
    Client,
    /// An answer is due to what was asked for the sake of this.
    Policy(Pending),
    /// Content is due.
    Content(Transfer),
    /// The message is being made durable.
    Store,
    /// TLS is about to begin.
    Tls,
    /// The client's: its response in an exchange of AUTH is due.
    Exchange(Exchange),
    /// Nobody's: the session is over.
    Over,
}

/// What a [`Question`] was asked for.
#[derive(Debug)]
enum Pending {
    Sender(Transaction),
    Recipient(Mailbox, RecipientNote),
    /// A message whose content has ended.
    Message,
    /// An exchange of AUTH that has ended.
    Login,
    /// One that needs keys.
    Keys(Exchange),
}

/// How far a session has come, as RFC 5321 §4.1.4 orders commands by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// HELO, EHLO or LHLO is due.
    Start,
    /// No transaction.
    Ready,
    /// MAIL was accepted.
    Sender,
    /// RCPT was accepted at least once.
    Recipients,
    /// BDAT has brought a part of the message.
    Chunks,
    /// BDAT was refused: RSET is due (RFC 3030 §2).
    Refused,
    /// The connection is to be closed.
    Over,
}

impl<P> Session<P> {
    /// A session with a client that has just connected.
    pub fn new(settings: Arc<Settings>, id: SessionId, client: SocketAddr) -> Session<P> {
        Session {
            id,
            client,
            hello: None,
            secured: None,
            authorized: authorized(&settings, client),
            user: None,
            attempt: None,
            failures: 0,
            transaction: None,
            turn: Turn::Client,
            errors: Errors::default(),
            nonsense: None,
            now: 0,
            proof: PhantomData,
            settings,
        }
    }

    /// Greets the client.
    pub fn open(&mut self, replies: &mut Vec<u8>) -> Step {
        say(replies::banner(&self.settings), replies)
    }

    /// Whether what a client may say depends on the time, so that the session is to be told it before each line.
    pub fn needs_time(&self) -> bool {
        self.settings.extensions.future_release || self.settings.extensions.dsn
    }

    /// Tells the session the time, in microseconds since the Unix epoch.
    pub fn tell_time(&mut self, now_micros: u64) {
        self.now = now_micros;
    }

    /// Takes the client's next line.
    pub fn receive(&mut self, line: Line<'_>, replies: &mut Vec<u8>) -> Step {
        match self.turn {
            Turn::Client => {}
            Turn::Exchange(_) => return self.respond(line, replies),
            Turn::Over => return Step::Close,
            _ => return self.confused(replies),
        }
        let before = replies.len();
        let step = match line {
            Line::TooLong => say(replies::line_too_long(), replies),
            Line::Command(line) if is_binary(line) => return self.give_up(Nonsense::OtherProtocol, replies),
            Line::Command(line) => match Command::parse(line) {
                Ok(command) => self.command(command, replies),
                Err(CommandError::Unknown(_)) if is_http(line) => {
                    return self.give_up(Nonsense::OtherProtocol, replies);
                }
                Err(error) => self.no_command(error, replies),
            },
        };
        let step = self.expect_next(step);
        self.judge(step, before, replies)
    }

    /// Takes the answer to [`Step::Ask`].
    pub fn answer(&mut self, verdict: Verdict, replies: &mut Vec<u8>) -> Step {
        let pending = match std::mem::replace(&mut self.turn, Turn::Client) {
            Turn::Policy(pending @ (Pending::Sender(_) | Pending::Recipient(..) | Pending::Message)) => pending,
            _ => return self.confused(replies),
        };
        let refused = |reply: Reply, usual: fn() -> Reply| if reply.code().refuses() { reply } else { usual() };
        let step = match verdict {
            Verdict::Pass | Verdict::Accept => self.accept(pending, replies),
            Verdict::Rewrite(targets) => self.accept_rewritten(pending, targets, replies),
            Verdict::Deny(reply) => self.refuse(&pending, &refused(reply, replies::denied), replies),
            Verdict::DenySoft(reply) => self.refuse(&pending, &refused(reply, replies::denied_softly), replies),
            Verdict::Disconnect(reply) => {
                self.refuse(&pending, &refused(reply, replies::disconnected), replies);
                Step::Close
            }
        };
        self.expect_next(step)
    }

    /// Ends the session from outside: says why (RFC 5321 §3.8). The connection is to be closed.
    pub fn interrupt(&mut self, why: Interrupt, replies: &mut Vec<u8>) {
        if matches!(self.turn, Turn::Over) {
            return;
        }
        let reply = match why {
            Interrupt::Idle => replies::idle,
            Interrupt::Slow => replies::slow,
            Interrupt::TooLong => replies::too_long,
            Interrupt::Shutdown => replies::shutdown,
            Interrupt::Overload => replies::overload,
            Interrupt::TooManyConnections => replies::too_many_connections,
        };
        reply(&self.settings).write(replies);
        self.turn = Turn::Over;
    }

    /// Names the message whose content is about to be received, at `now_micros` microseconds since the Unix epoch, and
    /// gives its envelope. To be called where [`Transfer::is_first`] says so; elsewhere the envelope has no recipients.
    pub fn begin(&mut self, id: MessageId, now_micros: u64) -> Envelope {
        let client = Client {
            address: self.client,
            helo: self.hello.as_ref().map(|hello| hello.name.clone()).unwrap_or_default(),
            protocol: self.hello.as_ref().map_or(self.protocol_before_hello(), |hello| hello.protocol),
            tls: self.secured.map(|secured| secured.tls),
            user: self.user.clone(),
        };
        let mut none = Transaction::default();
        let transaction = self.transaction.as_mut().unwrap_or(&mut none);
        transaction.message = Some(id);
        let asked = transaction.asked.as_deref().cloned().unwrap_or_default();
        let Asked { dsn, require_tls, hold_until, deliver_by, priority } = asked;
        Envelope {
            id,
            session: self.id,
            received_at: now_micros,
            reverse_path: transaction.reverse_path.clone(),
            recipients: transaction.recipients.targets().to_vec(),
            body: transaction.body,
            smtputf8: transaction.smtputf8,
            client,
            dsn,
            notes: transaction.recipients.notes(),
            require_tls,
            hold_until,
            deliver_by,
            priority,
        }
    }

    /// The session's name.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// The client's address and port.
    pub fn client(&self) -> SocketAddr {
        self.client
    }

    /// What the client said it is called, once it did.
    pub fn hello(&self) -> Option<&str> {
        self.hello.as_ref().map(|hello| &*hello.name)
    }

    /// How far the session has come.
    pub fn state(&self) -> State {
        match (&self.turn, &self.transaction) {
            (Turn::Over, _) => State::Over,
            (_, Some(Transaction { chunks: Chunks::Open(_), .. })) => State::Chunks,
            (_, Some(Transaction { chunks: Chunks::Refused, .. })) => State::Refused,
            (_, Some(transaction)) if transaction.recipients.is_empty() => State::Sender,
            (_, Some(_)) => State::Recipients,
            (_, None) if self.hello.is_some() || !self.settings.require_hello => State::Ready,
            (_, None) => State::Start,
        }
    }

    /// Whether MAIL was accepted and its transaction has not ended.
    pub fn in_transaction(&self) -> bool {
        self.transaction.is_some()
    }

    /// The sender of the transaction.
    pub fn reverse_path(&self) -> Option<&ReversePath> {
        self.transaction.as_ref().map(|transaction| &transaction.reverse_path)
    }

    /// The recipients accepted in the transaction so far, in order and as the client named them.
    pub fn recipients(&self) -> &[Mailbox] {
        self.transaction.as_ref().map_or(&[], |transaction| transaction.recipients.named())
    }

    /// The message whose content is being received or stored.
    pub fn message(&self) -> Option<MessageId> {
        self.transaction.as_ref().and_then(|transaction| transaction.message)
    }

    /// Whether a message of this size (RFC 1870 §5) is larger than accepted, so that no more of it need be kept. It is still to be
    /// received to its end and refused by `data_ended` or `chunk_ended`.
    pub fn too_big(&self, size: u64) -> bool {
        self.settings.max_message_octets != 0 && size > self.settings.max_message_octets
    }

    fn command(&mut self, Command { verb, argument }: Command<'_>, replies: &mut Vec<u8>) -> Step {
        match (verb, self.settings.protocol) {
            // RFC 2033 §4.1: LMTP has LHLO in place of HELO and EHLO.
            (Verb::Helo | Verb::Ehlo, Service::Lmtp) | (Verb::Lhlo, Service::Smtp) => {
                self.unrecognized(verb.name().as_bytes(), replies)
            }
            (Verb::Helo | Verb::Ehlo | Verb::Lhlo, _) => say(self.helo(verb, argument), replies),
            (Verb::Mail, _) => self.mail(argument, replies),
            (Verb::Rcpt, _) => self.rcpt(argument, replies),
            (Verb::Data, _) => self.data(argument, replies),
            (Verb::Bdat, _) => self.bdat(argument, replies),
            (Verb::Quit, _) => self.quit(argument, replies),
            (Verb::Auth, _) => self.auth(argument, replies),
            (Verb::StartTls, _) => self.start_tls(argument, replies),
            (Verb::Rset, _) => say(self.rset(argument), replies),
            (Verb::Noop, _) => say(replies::ok(), replies),
            (Verb::Vrfy, _) => say(simple::vrfy(argument), replies),
            (Verb::Expn | Verb::Help, _) => say(replies::not_supported(verb.name()), replies),
        }
    }

    fn no_command(&mut self, error: CommandError<'_>, replies: &mut Vec<u8>) -> Step {
        match error {
            CommandError::Empty => say(replies::empty_line(), replies),
            CommandError::Unknown(word) => self.unrecognized(word, replies),
            CommandError::Argument(Verb::Bdat) => self.lost_in_bdat(replies),
            CommandError::Argument(_) => say(replies::not_text(), replies),
        }
    }

    fn unrecognized(&mut self, word: &[u8], replies: &mut Vec<u8>) -> Step {
        self.count_unknown();
        say(replies::unrecognized(word), replies)
    }

    fn accept(&mut self, pending: Pending, replies: &mut Vec<u8>) -> Step {
        match pending {
            Pending::Sender(transaction) => self.accept_sender(transaction, replies),
            Pending::Recipient(recipient, note) => self.accept_recipient(recipient, note, replies),
            Pending::Message => Step::Store,
            Pending::Login | Pending::Keys(_) => self.confused(replies),
        }
    }

    fn accept_rewritten(&mut self, pending: Pending, targets: Vec<Mailbox>, replies: &mut Vec<u8>) -> Step {
        match pending {
            Pending::Recipient(recipient, note) if !targets.is_empty() => {
                self.rewrite_recipient(recipient, note, targets, replies)
            }
            pending => self.accept(pending, replies),
        }
    }

    fn refuse(&mut self, pending: &Pending, reply: &Reply, replies: &mut Vec<u8>) -> Step {
        match pending {
            Pending::Message => self.refuse_message(reply, replies),
            _ => reply.write(replies),
        }
        Step::Receive
    }

    /// Notes whose turn it is after a step. [`Step::Ask`] has noted it already, with what it is asked for.
    fn expect_next(&mut self, step: Step) -> Step {
        match step {
            Step::Ask(_) => {}
            Step::Receive if matches!(self.turn, Turn::Exchange(_)) => {}
            Step::Receive | Step::ReceiveData(Transfer::Discard { .. }) => self.turn = Turn::Client,
            Step::ReceiveData(transfer) => self.turn = Turn::Content(transfer),
            Step::Store => self.turn = Turn::Store,
            Step::StartTls => self.turn = Turn::Tls,
            Step::Close => self.turn = Turn::Over,
        }
        step
    }

    fn ask(&mut self, pending: Pending, question: Question) -> Step {
        self.turn = Turn::Policy(pending);
        Step::Ask(question)
    }

    /// A call came out of turn: the session ends, and what it was about is not acknowledged.
    fn confused(&mut self, replies: &mut Vec<u8>) -> Step {
        if !matches!(self.turn, Turn::Over) {
            replies::confused(&self.settings).write(replies);
            self.turn = Turn::Over;
        }
        Step::Close
    }

    fn protocol_before_hello(&self) -> Protocol {
        match self.settings.protocol {
            Service::Smtp => Protocol::Smtp,
            Service::Lmtp => Protocol::Lmtp,
        }
    }
}

/// Whether the client may relay for its address alone: never over LMTP.
fn authorized(settings: &Settings, client: SocketAddr) -> bool {
    settings.protocol == Service::Smtp && settings.authorized.contains(client.ip())
}

/// Writes a reply after which the client's next line is due.
fn say(reply: Reply, replies: &mut Vec<u8>) -> Step {
    reply.write(replies);
    Step::Receive
}
