//! The client's side of SMTP and LMTP (RFC 5321 §3, RFC 2033), as a value: replies in, octets and outcomes out.
//!
//! Whoever has the connection does what a [`Step`] says and nothing else. Octets of the server may be anything: what is no
//! reply, or one that was not asked for, ends the session, and whoever has no outcome by then is tried again later.
//!
//! ```text
//!  open → greeting → EHLO → [STARTTLS → TLS → EHLO] → [AUTH] → Ready ─ begin → MAIL, RCPT… → content → outcomes ─┐
//!                                                                ▲                                               │
//!                                                                └───────────────────────────────────────────────┘
//! ```

pub mod authentication;
pub mod extensions;
pub mod reply;
pub mod transaction;

use std::collections::VecDeque;

use self::authentication::Exchange;
use self::extensions::Extensions;
use self::reply::{Replies, Reply};
use self::transaction::{By, Care, ContentKind, Fate, Recipient, Transaction, Unfit, Why, refused};
use crate::mail::ByMode;

/// RCPT commands that are sent before their replies are waited for: neither side's buffers fill up (RFC 2920 §3.1).
pub const BATCH: usize = 50;

/// Which of the two protocols is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// RFC 5321.
    #[default]
    Smtp,
    /// RFC 2033: a reply for every recipient.
    Lmtp,
}

/// When TLS is begun.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tls {
    /// Not at all: it failed, or it is there from the first octet.
    #[default]
    Never,
    /// Where the server offers it.
    Opportunistic,
    /// In any case; without it no mail is sent.
    Required,
}

/// A name and a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The name.
    pub username: Box<str>,
    /// The password.
    pub password: Box<str>,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").field("username", &self.username).finish_non_exhaustive()
    }
}

/// How a session is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The protocol.
    pub protocol: Protocol,
    /// What this host calls itself.
    pub hello_name: Box<str>,
    /// When TLS is begun.
    pub tls: Tls,
    /// Whether the connection is under TLS from the first octet.
    pub secured: bool,
    /// Who to authenticate as, which happens under TLS alone.
    pub login: Option<Login>,
}

/// What is to be done: `send` first, then what `next` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Octets for the server; may be none.
    pub send: Vec<u8>,
    /// What comes after.
    pub next: Next,
}

/// What comes after something was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Receive, and call [`ClientSession::receive`].
    Receive,
    /// Begin TLS, and call [`ClientSession::secured`]. Octets that came before are gone.
    StartTls,
    /// A transaction may begin: call [`ClientSession::begin`], or [`ClientSession::quit`].
    Ready,
    /// Send the content, dot-stuffed and with `CR LF . CR LF` after it, and call [`ClientSession::sent`].
    Data,
    /// Send exactly the octets that were announced, and call [`ClientSession::sent`].
    Chunk,
    /// The transaction is over; the outcomes are in the order of its recipients. The session is ready where `close` is not set.
    Done {
        /// What became of each recipient.
        fates: Vec<Fate>,
        /// Whether the connection is of no more use.
        close: bool,
    },
    /// Close the connection: it is of no more use. Why; `None` after QUIT.
    Close(Option<Why>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Greeting,
    Hello,
    Helo,
    StartTls,
    Securing,
    Authenticating,
    Ready,
    Mail,
    Recipients,
    Data,
    Content,
    Final,
    Reset,
    Quit,
    Over,
}

/// The session.
#[derive(Debug)]
pub struct ClientSession {
    settings: Settings,
    state: State,
    replies: Replies,
    extensions: Extensions,
    secured: bool,
    exchange: Option<Exchange>,
    transaction: Transaction,
    fates: Vec<Option<Fate>>,
    /// Recipients whose RCPT is not answered yet.
    asked: VecDeque<usize>,
    /// The next recipient whose RCPT is not sent.
    next: usize,
    /// Recipients that were accepted, in order; for LMTP those whose last reply is still to come.
    accepted: VecDeque<usize>,
    mail_answered: bool,
    mail_refused: Option<Reply>,
}

impl ClientSession {
    /// A session over a connection that was just made; receive first.
    pub fn new(settings: Settings) -> ClientSession {
        let secured = settings.secured;
        ClientSession {
            settings,
            state: State::Greeting,
            replies: Replies::default(),
            extensions: Extensions::default(),
            secured,
            exchange: None,
            transaction: Transaction::default(),
            fates: Vec::new(),
            asked: VecDeque::new(),
            next: 0,
            accepted: VecDeque::new(),
            mail_answered: false,
            mail_refused: None,
        }
    }

    /// What the server offers.
    pub fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    /// Octets of the server.
    pub fn receive(&mut self, octets: &[u8]) -> Step {
        self.replies.push(octets);
        let mut send = Vec::new();
        loop {
            if self.state == State::Over {
                return Step { send, next: Next::Close(None) };
            }
            let reply = match self.replies.take() {
                Ok(Some(reply)) => reply,
                Ok(None) => return Step { send, next: Next::Receive },
                Err(_) => return self.broken("4.5.0 the host does not speak the protocol"),
            };
            if let Some(next) = self.answer(reply, &mut send) {
                return Step { send, next };
            }
        }
    }

    /// The handshake is done. What the server offered before is forgotten (RFC 3207 §4.2).
    pub fn secured(&mut self) -> Step {
        if self.state != State::Securing {
            return self.broken("4.5.0 TLS was begun where it was not asked for");
        }
        self.secured = true;
        self.extensions = Extensions::default();
        self.replies = Replies::default();
        let mut send = Vec::new();
        self.hello(&mut send);
        Step { send, next: Next::Receive }
    }

    /// Begins with a mail, where the session is ready.
    ///
    /// # Errors
    ///
    /// Where the server cannot take the mail as it is. Nothing was sent, and the session is as it was.
    pub fn begin(&mut self, transaction: Transaction) -> Result<Step, Unfit> {
        if self.state != State::Ready {
            return Ok(self.broken("4.5.0 a mail was begun before the session was ready"));
        }
        self.fits(&transaction)?;
        self.take(transaction);
        let mut send = self.mail().into_bytes();
        self.state = State::Mail;
        if self.extensions.pipelining {
            self.batch(&mut send);
        }
        Ok(Step { send, next: Next::Receive })
    }

    fn take(&mut self, transaction: Transaction) {
        self.fates = transaction.recipients.iter().map(|_| None).collect();
        self.transaction = transaction;
        self.asked.clear();
        self.accepted.clear();
        (self.next, self.mail_answered, self.mail_refused) = (0, false, None);
    }

    /// The content was sent.
    pub fn sent(&mut self) -> Step {
        match self.state {
            State::Content => {
                self.state = State::Final;
                Step { send: Vec::new(), next: Next::Receive }
            }
            _ => self.broken("4.5.0 content was sent where none was asked for"),
        }
    }

    /// Says goodbye.
    pub fn quit(&mut self) -> Step {
        self.state = State::Quit;
        Step { send: b"QUIT\r\n".to_vec(), next: Next::Receive }
    }

    /// The connection is gone, or was given up. What has no outcome is tried again later.
    pub fn lost(&mut self) -> Next {
        self.lost_by("4.4.2 the connection was lost")
    }

    /// The same for that reason, a text that begins with an enhanced status.
    pub fn lost_by(&mut self, why: &'static str) -> Next {
        self.over(Why::Found(why))
    }

    /// Octets that a chunk was announced with.
    pub fn announced(&self) -> Option<u64> {
        self.transaction.exact
    }

    fn broken(&mut self, why: &'static str) -> Step {
        Step { send: Vec::new(), next: self.over(Why::Found(why)) }
    }

    /// The end: with outcomes where a transaction was under way.
    fn over(&mut self, why: Why) -> Next {
        self.state = State::Over;
        if self.fates.is_empty() {
            return Next::Close(Some(why));
        }
        self.fill(&Fate::Later(why));
        Next::Done { fates: self.outcomes(), close: true }
    }

    fn fill(&mut self, with: &Fate) {
        self.fates.iter_mut().filter(|fate| fate.is_none()).for_each(|fate| *fate = Some(with.clone()));
    }

    fn outcomes(&mut self) -> Vec<Fate> {
        let none = || Fate::Later(Why::Found("4.4.2 the host said nothing"));
        std::mem::take(&mut self.fates).into_iter().map(|fate| fate.unwrap_or_else(none)).collect()
    }

    fn fits(&self, transaction: &Transaction) -> Result<(), Unfit> {
        let offers = &self.extensions;
        if transaction.smtputf8 && !offers.smtputf8 {
            return Err(Unfit::NoSmtpUtf8);
        }
        if transaction.require_tls && !(offers.require_tls && self.secured) {
            return Err(Unfit::NoRequireTls);
        }
        if let Some(By { seconds, mode: ByMode::Return, .. }) = transaction.deliver_by
            && offers.deliver_by.is_none_or(|least| seconds < i64::try_from(least).unwrap_or(i64::MAX).max(1))
        {
            return Err(Unfit::NoDeliverBy);
        }
        if offers.size.flatten().is_some_and(|most| transaction.size > most) {
            return Err(Unfit::TooBig);
        }
        match transaction.kind {
            ContentKind::EightBit if !offers.eight_bit_mime => Err(Unfit::NeedsSevenBit),
            ContentKind::Binary if !offers.binary_mime || transaction.exact.is_none() => Err(Unfit::NeedsSevenBit),
            _ => Ok(()),
        }
    }

    fn hello(&mut self, send: &mut Vec<u8>) {
        let word = if self.settings.protocol == Protocol::Smtp { "EHLO" } else { "LHLO" };
        send.extend_from_slice(format!("{word} {}\r\n", self.settings.hello_name).as_bytes());
        self.state = State::Hello;
    }

    fn mail(&self) -> String {
        let (mail, offers) = (&self.transaction, &self.extensions);
        let path = mail.reverse_path.mailbox().map(ToString::to_string).unwrap_or_default();
        let mut line = format!("MAIL FROM:<{path}>");
        if offers.size.is_some() {
            line.push_str(&format!(" SIZE={}", mail.size));
        }
        match mail.kind {
            ContentKind::EightBit => line.push_str(" BODY=8BITMIME"),
            ContentKind::Binary => line.push_str(" BODY=BINARYMIME"),
            ContentKind::SevenBit => {}
        }
        if mail.smtputf8 {
            line.push_str(" SMTPUTF8");
        }
        if mail.require_tls {
            line.push_str(" REQUIRETLS");
        }
        if offers.mt_priority && mail.priority != 0 {
            line.push_str(&format!(" MT-PRIORITY={}", mail.priority));
        }
        if let (Some(_), Some(by)) = (offers.deliver_by, mail.deliver_by) {
            line.push_str(&format!(" BY={by}"));
        }
        if offers.dsn {
            mail.ret.iter().for_each(|ret| parameter(&mut line, "RET", ret));
            mail.envelope_id.iter().for_each(|id| parameter(&mut line, "ENVID", id));
        }
        line.push_str("\r\n");
        line
    }

    fn rcpt(&self, recipient: &Recipient) -> String {
        let mut line = format!("RCPT TO:<{}>", recipient.mailbox);
        if self.extensions.dsn {
            recipient.notify.iter().for_each(|notify| parameter(&mut line, "NOTIFY", notify));
            recipient.original.iter().for_each(|original| parameter(&mut line, "ORCPT", original));
        }
        line.push_str("\r\n");
        line
    }

    /// Sends as many RCPTs as may be without an answer.
    fn batch(&mut self, send: &mut Vec<u8>) {
        let most = if self.extensions.pipelining { BATCH } else { 1 };
        let limit = self.extensions.recipients.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX));
        while self.asked.len() < most {
            let Some(recipient) = self.transaction.recipients.get(self.next) else { return };
            if self.next >= limit {
                let why = Why::Found("4.5.3 the host takes no more recipients at a time");
                self.set(self.next, Fate::Later(why));
            } else {
                send.extend_from_slice(self.rcpt(recipient).as_bytes());
                self.asked.push_back(self.next);
            }
            self.next += 1;
        }
    }

    fn set(&mut self, place: usize, fate: Fate) {
        if let Some(own) = self.fates.get_mut(place) {
            *own = Some(fate);
        }
    }

    /// What follows from a reply; `None` where the next one may be there already.
    fn answer(&mut self, reply: Reply, send: &mut Vec<u8>) -> Option<Next> {
        // 421 may come at any time, and nothing comes after it (RFC 5321 §3.8).
        if reply.code == 421 && self.state != State::Quit {
            return Some(self.over(Why::Reply(reply)));
        }
        match self.state {
            State::Greeting if reply.class() == 2 => {
                self.hello(send);
                None
            }
            State::Hello => self.hello_answered(reply, send),
            State::Helo if reply.class() == 2 => self.greeted(send),
            State::StartTls => self.start_tls_answered(reply, send),
            State::Authenticating => self.authenticating(reply, send),
            State::Mail => self.mail_answered(reply, send),
            State::Recipients => self.rcpt_answered(reply, send),
            State::Data => self.data_answered(reply, send),
            State::Final => self.content_answered(reply),
            State::Reset if reply.class() == 2 => {
                self.state = State::Ready;
                Some(Next::Done { fates: self.outcomes(), close: false })
            }
            State::Quit => {
                self.state = State::Over;
                Some(Next::Close(None))
            }
            // The server would not hear the content to its end; what it did not hear it cannot have taken.
            State::Content if reply.class() >= 4 => {
                self.fill(&refused(reply, false));
                Some(self.over(Why::Found("4.4.2 the connection was lost")))
            }
            State::Greeting | State::Helo | State::Reset => Some(self.over(Why::Reply(reply))),
            State::Securing | State::Ready | State::Content | State::Over => {
                Some(self.over(Why::Found("4.5.0 the host answers what it was not asked")))
            }
        }
    }

    fn hello_answered(&mut self, reply: Reply, send: &mut Vec<u8>) -> Option<Next> {
        match (reply.class(), self.settings.protocol) {
            (2, _) => {
                self.extensions = Extensions::of(&reply);
                self.greeted(send)
            }
            // A server from before EHLO (RFC 5321 §3.2); it has no TLS and no AUTH.
            (5, Protocol::Smtp) if !self.secured => {
                send.extend_from_slice(format!("HELO {}\r\n", self.settings.hello_name).as_bytes());
                self.state = State::Helo;
                None
            }
            _ => Some(self.over(Why::Reply(reply))),
        }
    }

    /// The server is known: TLS, then AUTH, then mail.
    fn greeted(&mut self, send: &mut Vec<u8>) -> Option<Next> {
        if !self.secured {
            match (self.settings.tls, self.extensions.start_tls) {
                (Tls::Opportunistic | Tls::Required, true) => {
                    send.extend_from_slice(b"STARTTLS\r\n");
                    self.state = State::StartTls;
                    return None;
                }
                (Tls::Required, false) => return Some(self.over(Why::Found("4.7.4 the host does not offer TLS"))),
                _ => {}
            }
        }
        match self.settings.login.clone() {
            None => Some(self.ready()),
            Some(_) if !self.secured => Some(self.over(Why::Found("4.7.4 a password is not said without TLS"))),
            Some(login) => match Exchange::begin(&self.extensions, login, send) {
                Some(exchange) => {
                    self.exchange = Some(exchange);
                    self.state = State::Authenticating;
                    None
                }
                None => Some(self.over(Why::Found("4.7.4 the host offers no mechanism of AUTH that is known"))),
            },
        }
    }

    fn ready(&mut self) -> Next {
        self.state = State::Ready;
        Next::Ready
    }

    fn start_tls_answered(&mut self, reply: Reply, send: &mut Vec<u8>) -> Option<Next> {
        match (reply.code, self.settings.tls) {
            (220, _) => {
                // What came in clear after the reply would be taken for what came under TLS.
                if self.replies.has_more() {
                    return Some(
                        self.over(Why::Found("4.7.0 the host sent more in clear after its reply to STARTTLS")),
                    );
                }
                self.state = State::Securing;
                Some(Next::StartTls)
            }
            (_, Tls::Required) => Some(self.over(Why::Reply(reply))),
            _ => {
                self.extensions.start_tls = false;
                self.greeted(send)
            }
        }
    }

    fn authenticating(&mut self, reply: Reply, send: &mut Vec<u8>) -> Option<Next> {
        match (reply.code, &mut self.exchange) {
            (235, _) => {
                self.exchange = None;
                Some(self.ready())
            }
            (334, Some(exchange)) => {
                exchange.go_on(send);
                None
            }
            // A wrong password is the operator's to put right: mail waits, it does not bounce.
            _ => Some(self.over(Why::Reply(reply))),
        }
    }

    fn mail_answered(&mut self, reply: Reply, send: &mut Vec<u8>) -> Option<Next> {
        self.state = State::Recipients;
        self.mail_answered = true;
        if reply.class() != 2 {
            self.mail_refused = Some(reply);
            // No more RCPTs; those that are on their way are answered still.
            self.next = self.transaction.recipients.len();
        } else {
            self.batch(send);
        }
        self.recipients_done(send)
    }

    fn rcpt_answered(&mut self, reply: Reply, send: &mut Vec<u8>) -> Option<Next> {
        if let Some(place) = self.asked.pop_front() {
            match (&self.mail_refused, reply.class()) {
                (Some(_), _) => {}
                (None, 2) => self.accepted.push_back(place),
                (None, _) => self.set(place, refused(reply, true)),
            }
        }
        if self.mail_refused.is_none() && (self.asked.is_empty() || self.extensions.pipelining) {
            self.batch(send);
        }
        self.recipients_done(send)
    }

    /// Once every RCPT is answered: the content, or the end.
    fn recipients_done(&mut self, send: &mut Vec<u8>) -> Option<Next> {
        if !self.asked.is_empty() {
            return None;
        }
        if let Some(reply) = self.mail_refused.take() {
            self.fill(&refused(reply, false));
            self.state = State::Ready;
            return Some(Next::Done { fates: self.outcomes(), close: false });
        }
        if self.accepted.is_empty() {
            send.extend_from_slice(b"RSET\r\n");
            self.state = State::Reset;
            return None;
        }
        match self.transaction.exact.filter(|_| self.extensions.chunking) {
            Some(octets) => {
                send.extend_from_slice(format!("BDAT {octets} LAST\r\n").as_bytes());
                self.state = State::Content;
                Some(Next::Chunk)
            }
            None => {
                send.extend_from_slice(b"DATA\r\n");
                self.state = State::Data;
                None
            }
        }
    }

    fn data_answered(&mut self, reply: Reply, send: &mut Vec<u8>) -> Option<Next> {
        if reply.code == 354 {
            self.state = State::Content;
            return Some(Next::Data);
        }
        let fate = match reply.class() {
            2 | 3 => Fate::Later(Why::Found("4.5.0 the host answers DATA with what is no answer to it")),
            _ => refused(reply, false),
        };
        self.fill(&fate);
        send.extend_from_slice(b"RSET\r\n");
        self.state = State::Reset;
        None
    }

    /// What the server does with mail that it has taken. Over LMTP it has delivered it then.
    fn care(&self) -> Care {
        let keeps_time = self.extensions.deliver_by.is_some() || self.settings.protocol == Protocol::Lmtp;
        Care { reports: self.extensions.dsn, keeps_time }
    }

    fn content_answered(&mut self, reply: Reply) -> Option<Next> {
        let fate = match reply.class() {
            2 => Fate::Taken { reply, care: self.care() },
            3 => Fate::Later(Why::Found("4.5.0 the host answers content with what is no answer to it")),
            _ => refused(reply, false),
        };
        match self.settings.protocol {
            Protocol::Smtp => self.fill(&fate),
            Protocol::Lmtp => {
                if let Some(place) = self.accepted.pop_front() {
                    self.set(place, fate);
                }
                if !self.accepted.is_empty() {
                    return None;
                }
            }
        }
        self.state = State::Ready;
        Some(Next::Done { fates: self.outcomes(), close: false })
    }
}

/// A parameter, where its value can be one: what has blanks or control characters in it would begin another.
fn parameter(line: &mut String, name: &str, value: &str) {
    if !value.is_empty() && value.len() <= 500 && value.chars().all(|c| !c.is_control() && c != ' ' && c != '=') {
        line.push_str(&format!(" {name}={value}"));
    }
}
