//! A session driven in memory, with a policy and a store that do no I/O.

use std::future::ready;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_lite::future::block_on;
use ringpost::directory::{
    Answer, Directory, Listed, Login, Pending, Place, Proof, Rewriting, Scram, Target, Unavailable, refusal_of,
};
use ringpost::hook::{Chain, Handler, IdentityMode, Onward};
use ringpost::mail::from::FromScanner;
use ringpost::mail::{
    CipherSuite, Content, Domain, EndPoint, EnhancedStatus, Envelope, IdSource, Mailbox, MessageId, Password, Reply,
    ReplyCode, SessionId, Tls, TlsVersion, Username,
};
use ringpost::mta::backoff::Backoff;
use ringpost::mta::login::{Applicant, Logins, Told};
use ringpost::smtp::data::{BodyScanner, DataDecoder};
use ringpost::smtp::line::LineReader;
use ringpost::smtp::server::question::{Authentication, Question, Refusal, Step, Transfer, Verdict};
use ringpost::smtp::server::settings::{Auth, Service, Settings};
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
    chain: Chain,
    directory: Listed,
    logins: Logins,
    /// Who has proved to be whom, in order.
    pub proved: Vec<Username>,
    ids: IdSource,
    begun: Option<Envelope>,
    octets: Vec<u8>,
    body: BodyScanner,
}

/// The time in dialogues, in microseconds since the Unix epoch: the beginning of 2026.
pub const NOW: u64 = 1_767_225_600_000_000;

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
        auth: setup.auth_always.map(|always| Auth {
            always,
            require_tls: setup.auth_requires_tls,
            mechanisms: setup.mechanisms.as_slice().into(),
            max_failures: setup.max_failures,
        }),
        authorized: setup.authorized.clone(),
        asks_about_content: setup.identity != IdentityMode::Disabled,
        disabled_features: setup.disabled_features.as_slice().into(),
        extensions: setup.extensions,
    }
}

/// The policy of a setup, in the order of James' core.
pub fn chain(setup: &Setup) -> Chain {
    let mut handlers = vec![Handler::ValidRcpt(setup.table_check), Handler::Relay];
    if !setup.lmtp {
        handlers.push(Handler::Identity(setup.identity));
        handlers.extend(setup.auth_required.then_some(Handler::AuthRequired));
    }
    Chain::new(handlers).with_onward(Onward { leads_out: setup.leads_out, rewrites: setup.leads_out })
}

/// Who believes whom, with nothing to wait for.
pub fn logins() -> Logins {
    Logins { backoff: Arc::new(Backoff::new(64)), failure_delay: Duration::ZERO }
}

/// The users of a setup.
pub fn directory(setup: &Setup) -> Listed {
    let mailbox = |text: &str| Mailbox::parse_in(text, &setup.domains[0]).expect("a mailbox");
    let user = |text: &str| Username::parse(text).expect("a user's name");
    let domains = setup.domains.iter().map(|domain| Domain::parse(domain).expect("a domain"));
    let mut listed = Listed::new(domains, setup.users.iter().map(|user| mailbox(user)));
    for (name, password) in &setup.passwords {
        listed = listed.with_password(mailbox(name), Password::new(password.as_str()).expect("a password"));
    }
    for (name, address) in &setup.senders {
        listed = listed.with_sender(user(name), mailbox(address));
    }
    let listed = setup.administrators.iter().fold(listed, |listed, name| listed.with_administrator(user(name)));
    let plain = listed.clone();
    let place = |target: &Mailbox| match plain.answer(target) {
        Answer::User => Place::User,
        Answer::OtherDomain => Place::OtherDomain,
        _ => Place::Nobody,
    };
    setup.rewrites.iter().fold(listed, |listed, (source, targets)| {
        let source = mailbox(source);
        let answer = match targets.strip_prefix("error:") {
            Some(text) => Answer::Refused(Arc::new(refusal_of(text))),
            None => {
                let targets =
                    targets.split(' ').map(mailbox).map(|target| Target { place: place(&target), mailbox: target });
                Answer::Rewritten(Rewriting {
                    targets: targets.collect(),
                    is_user: plain.answer(&source) == Answer::User,
                })
            }
        };
        listed.with_answer(source, answer)
    })
}

/// A directory that does not answer.
struct Down;

impl Directory for Down {
    fn known(&self, _: &Mailbox) -> Option<Answer> {
        None
    }

    fn look_up<'a>(&'a self, _: &Mailbox) -> Pending<'a, Answer> {
        Box::pin(ready(Err(Unavailable)))
    }

    fn verify<'a>(&'a self, _: Login) -> Pending<'a, Proof> {
        Box::pin(ready(Err(Unavailable)))
    }

    fn scram<'a>(&'a self, _: &str) -> Pending<'a, Option<Scram>> {
        Box::pin(ready(Err(Unavailable)))
    }

    fn may_send_as<'a>(&'a self, _: &Username, _: &Mailbox) -> Pending<'a, bool> {
        Box::pin(ready(Err(Unavailable)))
    }

    fn act_for<'a>(&'a self, _: &Username, _: &str) -> Pending<'a, Option<Username>> {
        Box::pin(ready(Err(Unavailable)))
    }

    fn is_local<'a>(&'a self, _: &Domain) -> Pending<'a, bool> {
        Box::pin(ready(Err(Unavailable)))
    }
}

impl Driver {
    /// A session whose banner was sent.
    pub fn new(setup: &Setup) -> Driver {
        Driver::with(settings(setup), setup)
    }

    /// The same with settings that come from elsewhere.
    pub fn with(settings: Settings, setup: &Setup) -> Driver {
        Driver::under(settings, chain(setup), setup)
    }

    /// The same with a policy that comes from elsewhere.
    pub fn under(settings: Settings, chain: Chain, setup: &Setup) -> Driver {
        let lines = LineReader::new(settings.max_line_octets);
        let client = SocketAddr::new(setup.client.parse().expect("an address"), 4025);
        let mut driver = Driver {
            session: Session::new(Arc::new(settings), SessionId(1), client),
            sent: Vec::new(),
            messages: Vec::new(),
            setup: setup.clone(),
            lines,
            mode: Mode::Lines,
            chain,
            directory: directory(setup),
            logins: logins(),
            proved: Vec::new(),
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
                    Some(line) => {
                        self.session.tell_time(NOW);
                        self.session.receive(line, &mut self.sent)
                    }
                    None => return,
                },
                _ if rest.is_empty() => return,
                Mode::Data(decoder) => {
                    let scan = decoder.scan(rest);
                    let (content, known, size) = (&rest[..scan.content], decoder.content(), decoder.size());
                    if !self.session.too_big(size) {
                        self.octets.extend_from_slice(scan.carry);
                        self.octets.extend_from_slice(content);
                    }
                    rest = &rest[scan.end.unwrap_or(rest.len())..];
                    if scan.end.is_none() {
                        return;
                    }
                    self.session.data_ended(&known, size, &mut self.sent)
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
            (0, true) => Some(self.session.data_ended(&self.body.content(), self.body.size(), &mut self.sent)),
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
                Step::Ask(question) => self.ask(question),
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

    /// What the policy and the directory say, as the real loop asks them.
    fn ask(&mut self, question: Question) -> Step {
        let (peer, directory): (_, &dyn Directory) =
            (self.session.peer(), if self.setup.directory_down { &Down } else { &self.directory });
        let verdict = match question {
            Question::Sender { reverse_path, .. } => block_on(self.chain.sender(&reverse_path, peer, directory)),
            Question::Recipient(mailbox) => block_on(self.chain.recipient(&mailbox, peer, directory)),
            Question::Message => {
                let mut scanner = FromScanner::default();
                scanner.scan(&self.octets);
                match self.chain.asks_about_content(peer) {
                    true => block_on(self.chain.message(&scanner.authors(), peer, directory)),
                    false => Verdict::Pass,
                }
            }
            question => return self.log_in(question),
        };
        self.session.answer(verdict, &mut self.sent)
    }

    fn log_in(&mut self, question: Question) -> Step {
        let client = self.session.client().ip();
        let by = Applicant { client, authorized: self.session.peer().authorized, now: 0 };
        let directory: &dyn Directory = if self.setup.directory_down { &Down } else { &self.directory };
        match block_on(self.logins.answer(question, by, directory)).expect("a question of AUTH") {
            Told::Authenticated(result) => {
                if let Authentication::Proved(user) = &result {
                    self.proved.push(user.clone());
                }
                self.session.authenticated(result, &mut self.sent)
            }
            Told::Keys(keys) => self.session.keys(keys, "server", &mut self.sent),
        }
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
    Secured {
        tls: Tls { version: TlsVersion::Tls13, cipher },
        exporter: Some([7; 32]),
        end_point: Some(EndPoint::Sha256([8; 32])),
    }
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
