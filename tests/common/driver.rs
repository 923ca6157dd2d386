//! A session driven in memory, with a policy and a store that do no I/O.

use std::net::SocketAddr;
use std::sync::Arc;

use ringpost::mail::{
    CipherSuite, Content, EnhancedStatus, Envelope, IdSource, Mailbox, MessageId, Reply, ReplyCode, SessionId, Tls,
    TlsVersion,
};
use ringpost::smtp::data::{BodyScanner, DataDecoder};
use ringpost::smtp::line::LineReader;
use ringpost::smtp::server::question::{Question, Refusal, Step, Transfer, Verdict};
use ringpost::smtp::server::settings::{Service, Settings};
use ringpost::smtp::server::{Secured, Session};

use super::dialogue::Setup;

/// Shows that [`Driver`] keeps a message.
pub struct Kept(());

/// A message that was taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub envelope: Envelope,
    pub octets: Vec<u8>,
    pub content: Content,
}

enum Mode {
    Lines,
    Data(DataDecoder),
    Chunk { left: u64, last: bool },
    Discard { left: u64 },
    Closed,
}

/// One session with its surroundings.
pub struct Driver {
    pub session: Session<Kept>,
    /// What the server has sent.
    pub sent: Vec<u8>,
    /// What it has taken in.
    pub messages: Vec<Message>,
    setup: Setup,
    lines: LineReader,
    mode: Mode,
    ids: IdSource,
    begun: Option<Envelope>,
    octets: Vec<u8>,
    body: BodyScanner,
}

pub fn settings(setup: &Setup) -> Settings {
    Settings {
        protocol: if setup.lmtp { Service::Lmtp } else { Service::Smtp },
        hello_name: setup.hello_name.as_str().into(),
        greeting: setup.greeting.as_deref().map(Box::from),
        max_message_octets: setup.max_message_octets,
        max_recipients: setup.max_recipients,
        max_line_octets: setup.max_line_octets,
        require_hello: setup.require_hello,
        require_brackets: setup.require_brackets,
        default_domain: "localhost".into(),
        max_errors: 20,
        max_unknown_commands: 10,
        refuse_early_talkers: true,
        start_tls: setup.start_tls,
        disabled_features: setup.disabled_features.as_slice().into(),
    }
}

impl Driver {
    /// A session whose banner was sent.
    pub fn new(setup: &Setup) -> Driver {
        Driver::with(settings(setup), setup)
    }

    /// The same with settings that come from elsewhere.
    pub fn with(settings: Settings, setup: &Setup) -> Driver {
        let lines = LineReader::new(settings.max_line_octets);
        let client = SocketAddr::new(setup.client.parse().expect("an address"), 4025);
        let mut driver = Driver {
            session: Session::new(Arc::new(settings), SessionId(1), client),
            sent: Vec::new(),
            messages: Vec::new(),
            setup: setup.clone(),
            lines,
            mode: Mode::Lines,
            ids: IdSource::new(0, 0),
            begun: None,
            octets: Vec::new(),
            body: BodyScanner::new(),
        };
        if setup.socket_tls {
            driver.session.start_secured(secured());
        }
        let step = driver.session.open(&mut driver.sent);
        driver.obey(step, false);
        driver
    }

    pub fn is_closed(&self) -> bool {
        matches!(self.mode, Mode::Closed)
    }

    /// Gives the session what was received from the client.
    pub fn receive(&mut self, received: &[u8]) {
        let mut rest = received;
        loop {
            let step = match &mut self.mode {
                Mode::Closed => return,
                Mode::Lines => match self.lines.next(&mut rest) {
                    Some(line) => self.session.receive(line, &mut self.sent),
                    None => return,
                },
                _ if rest.is_empty() => return,
                Mode::Data(decoder) => {
                    let scan = decoder.scan(rest);
                    let (content, known) = (&rest[..scan.content], decoder.content());
                    if !self.session.too_big(known.octets) {
                        self.octets.extend_from_slice(scan.carry);
                        self.octets.extend_from_slice(content);
                    }
                    rest = &rest[scan.end.unwrap_or(rest.len())..];
                    if scan.end.is_none() {
                        return;
                    }
                    self.session.data_ended(&known, &mut self.sent)
                }
                Mode::Chunk { left, .. } | Mode::Discard { left } => {
                    let octets = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                    *left -= octets as u64;
                    let (content, after) = rest.split_at(octets);
                    rest = after;
                    if *left > 0 && matches!(self.mode, Mode::Discard { .. }) {
                        continue;
                    }
                    match self.chunk(content) {
                        Some(step) => step,
                        None => continue,
                    }
                }
            };
            self.obey(step, !rest.is_empty());
        }
    }

    /// Takes in a piece of a chunk; what comes next if it ended by it.
    fn chunk(&mut self, content: &[u8]) -> Option<Step> {
        let Mode::Chunk { left, last } = self.mode else {
            return Some(Step::Receive);
        };
        self.octets.extend_from_slice(content);
        self.body.scan(content);
        match (left, last) {
            (0, true) => Some(self.session.data_ended(&self.body.content(), &mut self.sent)),
            (0, false) => Some(self.session.chunk_ended(&self.body.content(), &mut self.sent)),
            _ => None,
        }
    }

    /// Does what the session wants; `more` has come from the client already.
    fn obey(&mut self, mut step: Step, more: bool) {
        loop {
            step = match step {
                Step::Receive => return self.mode = Mode::Lines,
                Step::Close => return self.mode = Mode::Closed,
                Step::Ask(question) => {
                    let verdict = self.decide(&question);
                    self.session.answer(verdict, &mut self.sent)
                }
                Step::Store => self.store(),
                Step::StartTls if more => self.session.refuse_tls(&mut self.sent),
                Step::StartTls => {
                    self.session.begin_tls(&mut self.sent);
                    self.session.secured(secured(), &mut self.sent)
                }
                Step::ReceiveData(transfer) => {
                    if transfer.is_first() {
                        let id = MessageId(self.ids.next(0));
                        self.begun = Some(self.session.begin(id, 0));
                        self.octets.clear();
                        self.body = BodyScanner::new();
                    }
                    match transfer {
                        Transfer::Data => return self.mode = Mode::Data(DataDecoder::new()),
                        Transfer::Discard { octets: 0 } => Step::Receive,
                        Transfer::Discard { octets } => return self.mode = Mode::Discard { left: octets },
                        Transfer::Chunk { octets, last, .. } => {
                            self.mode = Mode::Chunk { left: octets, last };
                            match octets {
                                0 => self.chunk(&[]).expect("a chunk of no octets has ended"),
                                _ => return,
                            }
                        }
                    }
                }
            }
        }
    }

    fn decide(&self, question: &Question) -> Verdict {
        let Question::Recipient(recipient) = question else {
            return Verdict::Pass;
        };
        if !recipient.domain().to_string().eq_ignore_ascii_case("localhost") {
            let text = "Requested action not taken: relaying denied";
            return Verdict::Deny(Reply::new(ReplyCode::UNAVAILABLE, EnhancedStatus::new(7, 1), text));
        }
        if self.setup.users.iter().any(|user| user.eq_ignore_ascii_case(recipient.local())) {
            return Verdict::Accept;
        }
        let text = format!("Unknown user: {recipient}");
        Verdict::Deny(Reply::new(ReplyCode::UNAVAILABLE, EnhancedStatus::new(1, 1), text))
    }

    fn store(&mut self) -> Step {
        if let Some(fate) = &self.setup.store {
            return self.session.stored(Err(refusal(fate)), &mut self.sent);
        }
        let envelope = self.begun.take().expect("a message was begun before it is stored");
        let fates: Vec<_> = envelope.recipients.iter().map(|recipient| self.deliver(recipient)).collect();
        let mut content = self.body.content();
        if let Mode::Data(decoder) = &self.mode {
            content = decoder.content();
        }
        let octets = std::mem::take(&mut self.octets);
        assert_eq!(octets.len() as u64, content.octets, "what is stored is what was counted");
        self.messages.push(Message { envelope, octets, content });
        if self.setup.lmtp {
            self.session.delivered(fates, &mut self.sent)
        } else {
            self.session.stored(Ok(Kept(())), &mut self.sent)
        }
    }

    fn deliver(&self, recipient: &Mailbox) -> Result<Kept, Refusal> {
        match self.setup.mailboxes.iter().find(|(user, _)| user == recipient.local()) {
            Some((_, fate)) => Err(refusal(fate)),
            None => Ok(Kept(())),
        }
    }
}

/// The TLS that a client is said to speak.
pub fn secured() -> Secured {
    let cipher = CipherSuite::named("TLS_AES_256_GCM_SHA384").expect("a suite");
    Secured { tls: Tls { version: TlsVersion::Tls13, cipher }, exporter: None }
}

fn refusal(fate: &str) -> Refusal {
    match fate {
        "full" => Refusal::Full,
        "closed" => Refusal::Closed,
        "busy" => Refusal::Busy,
        "failed" => Refusal::Failed,
        "mailbox-failed" => Refusal::MailboxFailed,
        "mailbox-full" => Refusal::MailboxFull,
        "rejected" => {
            let status = EnhancedStatus::new(7, 1);
            Refusal::Rejected(Reply::new(ReplyCode::FAILED, status, "Message content rejected"))
        }
        _ => panic!("no such fate: {fate}"),
    }
}
