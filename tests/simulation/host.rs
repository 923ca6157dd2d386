//! A host of one core in a simulated world: started, crashed and started again.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ringpost::control::journal::{Level, Reader, ring};
use ringpost::delivery::Retry;
use ringpost::delivery::names::Zone;
use ringpost::delivery::repository::Repositories;
use ringpost::directory::Listed;
use ringpost::hook::{Chain, Handler, TableCheck};
use ringpost::io::sim::{ClientEnd, Random, SimMachine, World};
use ringpost::io::{Class, Machine};
use ringpost::mail::{IdSource, Mailbox, MessageId, Networks};
use ringpost::mta::backoff::Backoff;
use ringpost::mta::connection::converse;
use ringpost::mta::core::{Core, Limit, LmtpWay, Server};
use ringpost::mta::gate::Gate;
use ringpost::mta::journey::SettingsName;
use ringpost::mta::login::Logins;
use ringpost::mta::spooler::{Leave, Metrics, Parts, Remote, Settings, Spooler, Way};
use ringpost::smtp::server::settings::{self, Extensions, Service};
use ringpost::spool::{self, Outcome, OutcomeResult, Read, Spool};

use super::client::{Manner, send_all};
use super::container::Sent;
use super::ledger::{Ledger, Strictness};
use super::mail::{Mail, USERS};

/// Where the log is.
pub const SPOOL: &str = "/spool/0";

/// How often the core looks after its clients' time.
const PULSE: Duration = Duration::from_millis(250);

/// The longest that servers wait for a silent client.
pub const IDLE: Duration = Duration::from_secs(300);

/// A world with a host in it.
pub struct Host {
    /// The world.
    pub world: World,
    /// How its spool is laid out.
    pub spool: spool::Settings,
    /// What becomes of mail.
    pub way: Way,
    /// Accepted mail stays in the spool.
    pub hold: bool,
    /// What the DNS says.
    pub zone: Zone,
    /// What clients were told.
    pub ledger: Ledger,
    /// What has left for other hosts.
    pub sent_out: Sent,
    /// For the test's own choices.
    pub random: Random,
    running: Option<Running>,
    /// Held by every client while it talks.
    talking: Rc<()>,
    sent: usize,
}

struct Running {
    core: Rc<Core<SimMachine>>,
    smtp: Rc<Server>,
    lmtp: Rc<Server>,
    events: Reader,
    /// What the spool told the operator.
    told: Rc<RefCell<String>>,
    /// What the last run had left, once all of it is read.
    read: Rc<RefCell<Option<Read>>>,
}

/// Settings of a spool with segments of so many octets.
pub fn spool_settings(segment_octets: u64) -> spool::Settings {
    spool::Settings {
        segment_octets,
        prepared: 1,
        max_segments: 64,
        reserve_octets: 0,
        max_messages: 10_000,
        longest_delay: Duration::from_secs(600),
    }
}

impl Host {
    /// A host that does not run yet, with segments of 512 KiB.
    pub fn new(seed: u64) -> Host {
        let world = World::new(seed);
        for directory in ["/spool", "/mail", "/kept"] {
            world.disk().make_directory(directory).expect("the disk is empty");
        }
        let random = world.random();
        let spool = spool_settings(512 * 1024);
        Host {
            world,
            spool,
            way: Way::Mailbox,
            hold: false,
            zone: Zone::default(),
            ledger: Ledger::default(),
            sent_out: Sent::default(),
            random,
            running: None,
            talking: Rc::new(()),
            sent: 0,
        }
    }

    /// A host that runs.
    pub fn started(seed: u64) -> Host {
        let mut host = Host::new(seed);
        assert!(host.start(), "nothing stops it");
        host
    }

    /// Opens the spool and begins to take mail and to deliver, while what the last run left is still being read. False where the
    /// world stops meanwhile.
    ///
    /// # Panics
    /// Where the spool does not open: no state of the disk may keep a host from starting.
    pub fn start(&mut self) -> bool {
        let machine = if self.world.is_stopped() { self.world.restart() } else { self.world.machine() };
        let told = Rc::<RefCell<String>>::default();
        let hears = told.clone();
        let report = Box::new(move |event| hears.borrow_mut().push_str(&format!("{event:?}\n")));
        let opening = Spool::begin(machine.clone(), Path::new(SPOOL), self.spool.clone(), report);
        let Some(begun) = self.world.block_on(opening) else { return false };
        let begun = begun.unwrap_or_else(|error| panic!("seed {}: does not start: {error}", self.world.seed()));
        let (journal, events) = ring(Level::Info);
        let journal = Rc::new(journal);
        let spooler_settings = Settings {
            way: self.way.clone(),
            concurrency: 8,
            retry: Retry::new([1, 30, 600].map(Duration::from_secs).to_vec()),
            remotes: vec![Remote { name: SettingsName { place: 0, hash: 0 }, gateways: false }],
            lmtps: Vec::new(),
            metrics: Metrics::default(),
        };
        let ids = Rc::new(RefCell::new(IdSource::new(0, begun.newest.map_or(0, |id| id.made_at()))));
        let (making, clock) = (ids.clone(), machine.clone());
        let spooler = Spooler::new(Parts {
            machine: machine.clone(),
            spool: begun.spool.clone(),
            mail: Path::new("/mail"),
            host: "host.example",
            settings: Arc::new(spooler_settings),
            repositories: Repositories::new(machine.clone(), Path::new("/kept")),
            directory: Rc::new(directory()),
            names: Rc::new(self.zone.clone()),
            leave: self.next_hop(machine.clone(), begun.spool.clone()),
            journal: journal.clone(),
            next_id: Rc::new(move || MessageId(making.borrow_mut().next(clock.wall_clock()))),
        });
        let core = Rc::new(Core {
            machine: machine.clone(),
            spool: begun.spool,
            spooler,
            directory: Rc::new(directory()),
            names: Rc::new(self.zone.clone()),
            journal,
            ids,
            buffers: Default::default(),
            patience: Rc::default(),
            timeouts: Default::default(),
            hold: self.hold,
            accepted: std::cell::Cell::default(),
        });
        start_tasks(&core);
        let (smtp, lmtp) = (server(Service::Smtp), server(Service::Lmtp));
        let read = Rc::<RefCell<Option<Read>>>::default();
        let (left, has_read) = (begun.left, read.clone());
        machine.spawn(Class::Delivery, async move {
            let all = left.read().await;
            has_read.replace(Some(all));
        });
        self.running = Some(Running { core, smtp, lmtp, events, told, read });
        true
    }

    /// Somebody who takes all that leaves, and tells messages apart by their reverse-paths.
    fn next_hop(&self, machine: SimMachine, spool: Spool<SimMachine>) -> Leave {
        let sent = self.sent_out.clone();
        Rc::new(move |id, _| {
            let (sent, spool, machine) = (sent.clone(), spool.clone(), machine.clone());
            machine.clone().spawn(Class::Delivery, async move {
                let Ok(stored) = spool.read(id).await else { return };
                machine.sleep(Duration::from_millis(3)).await;
                let path = stored.message.envelope.reverse_path.to_string();
                let number = path.trim_start_matches('m').split('@').next().and_then(|number| number.parse().ok());
                *sent.borrow_mut().entry(number.expect("a number")).or_insert(0) += 1;
                let places = 0..stored.message.envelope.recipients.len() as u32;
                let taken = |recipient| Outcome { recipient, result: OutcomeResult::Delivered };
                let _ = spool.resolve(id, &places.map(taken).collect::<Vec<_>>()).await;
            });
        })
    }

    fn running(&self) -> &Running {
        self.running.as_ref().expect("the host was started")
    }

    /// The core.
    pub fn core(&self) -> &Rc<Core<SimMachine>> {
        &self.running().core
    }

    /// Messages that the last start found with something left to do.
    pub fn found(&self) -> usize {
        self.with_read(|read| read.messages)
    }

    /// Looks at what the last run had left, when all of it is read.
    fn with_read<T>(&self, look: impl FnOnce(&Read) -> T) -> T {
        assert!(self.world.run_until(|| self.has_read()), "seed {}: it is never read", self.world.seed());
        look(self.running().read.borrow().as_ref().expect("it was waited for"))
    }

    /// All that the last run had left is read.
    pub fn has_read(&self) -> bool {
        self.running().read.borrow().is_some()
    }

    /// Pieces of damage that the last start set aside.
    pub fn quarantined(&self) -> usize {
        self.with_read(|read| read.quarantined.len())
    }

    /// What the spool told the operator since the start.
    pub fn told(&self) -> String {
        self.running().told.borrow().clone()
    }

    /// The names of the events in the log since this was last asked.
    pub fn events(&mut self) -> Vec<String> {
        let events = &mut self.running.as_mut().expect("the host was started").events;
        let mut names = Vec::new();
        while let Some(event) = events.take() {
            names.push(String::from_utf8_lossy(event.name).into_owned());
        }
        names
    }

    /// A new connection to the SMTP or the LMTP server.
    pub fn connect(&self, lmtp: bool) -> ClientEnd {
        let Running { core, smtp, lmtp: lmtp_server, .. } = self.running();
        let server = if lmtp { lmtp_server } else { smtp }.clone();
        let (client, stream) = self.world.connect();
        let address = "192.0.2.1:4711".parse().expect("an address");
        core.machine.spawn(Class::Intake, converse(core.clone(), server, stream, address));
        client
    }

    /// A client begins to send messages.
    pub fn send(&self, manner: Manner, mails: Vec<Mail>) {
        let talking = self.talking.clone();
        let sending = send_all(self.connect(manner.lmtp), manner, mails, self.ledger.clone());
        self.core().machine.spawn(Class::Intake, async move {
            sending.await;
            drop(talking);
        });
    }

    /// Some clients begin to send some messages each, in any manner.
    pub fn send_any(&mut self, clients: usize, messages: usize, most_octets: usize) {
        for _ in 0..clients {
            let manner = Manner { lmtp: self.random.one_in(3), pipelining: self.random.one_in(2) };
            let mails = (0..messages).map(|_| self.any_mail(most_octets)).collect();
            self.send(manner, mails);
        }
    }

    /// Any message.
    pub fn any_mail(&mut self, most_octets: usize) -> Mail {
        self.sent += 1;
        Mail::any(self.sent, most_octets, &mut self.random)
    }

    /// A message by DATA to one user.
    pub fn plain_mail(&mut self, user: usize, octets: usize) -> Mail {
        self.sent += 1;
        Mail::plain(self.sent, user, octets, &mut self.random)
    }

    /// Runs until no client is there, and where mail is delivered nothing is left to deliver. False where the world stops
    /// before, or nothing more happens.
    pub fn settle(&self) -> bool {
        let core = self.core().clone();
        let idle = || self.is_quiet() && core.spooler.under_way() == 0 && self.has_read();
        self.world.run_until(|| (core.hold || core.spool.is_empty()) && idle())
    }

    /// Whether no client is there, and nothing is left to do.
    pub fn is_at_rest(&self) -> bool {
        self.is_quiet() && self.core().spooler.under_way() == 0 && self.core().spool.is_empty() && self.has_read()
    }

    /// Runs until no client is there.
    pub fn clients_leave(&self) -> bool {
        self.world.run_until(|| self.is_quiet())
    }

    /// Whether no client talks and no session goes on.
    fn is_quiet(&self) -> bool {
        Rc::strong_count(&self.talking) == 1 && self.core().patience.sessions() == 0
    }

    /// Takes the power away.
    pub fn crash(&mut self) {
        self.world.crash();
        self.running = None;
    }

    /// The host as it is when the power fails at this moment, while this one goes on; `seed` decides what its disk keeps.
    pub fn crashed(&self, seed: u64) -> Host {
        Host {
            world: self.world.crashed(seed),
            spool: self.spool.clone(),
            way: self.way.clone(),
            hold: self.hold,
            zone: self.zone.clone(),
            ledger: self.ledger.clone(),
            sent_out: self.sent_out.clone(),
            random: Random::new(seed),
            running: None,
            talking: Rc::new(()),
            sent: self.sent,
        }
    }

    /// Kills the process.
    pub fn kill(&mut self) {
        self.world.kill();
        self.running = None;
    }

    /// Ends the process by one or the other.
    pub fn crash_or_kill(&mut self) {
        if self.random.one_in(3) { self.kill() } else { self.crash() }
    }

    /// Starts again, sees all mail through, and holds the mailboxes against what clients were told.
    pub fn recover_and_check(&mut self) {
        self.world.faults().clear();
        self.hold = false;
        assert!(self.start(), "nothing stops it");
        assert!(self.settle(), "seed {}: mail stays undelivered", self.world.seed());
        self.ledger.check(&self.world, Strictness::Safe);
        assert_eq!(self.quarantined(), 0, "seed {}: a crash is no damage", self.world.seed());
    }

    /// The files of segments.
    pub fn segments(&self) -> Vec<String> {
        let names = self.world.disk().list(SPOOL).unwrap_or_default();
        names.into_iter().filter(|name| name.starts_with("segment-")).collect()
    }
}

fn directory() -> Listed {
    let mailbox = |text: String| Mailbox::parse(&text).expect("a mailbox");
    let users: Vec<_> = (0..USERS).map(|user| mailbox(format!("u{user}@example.com"))).collect();
    Listed::new([users[0].domain().clone()], users)
}

fn start_tasks(core: &Rc<Core<SimMachine>>) {
    let machine = core.machine.clone();
    let pulsing = core.clone();
    machine.spawn(Class::Intake, async move {
        loop {
            pulsing.patience.pulse(pulsing.machine.now());
            pulsing.spool.pulse();
            pulsing.machine.sleep(PULSE).await;
        }
    });
    if !core.hold {
        let spooler = core.spooler.clone();
        machine.spawn(Class::Delivery, async move { spooler.run().await });
    }
}

fn server(protocol: Service) -> Rc<Server> {
    let settings = settings::Settings {
        protocol,
        hello_name: "host.example".into(),
        greeting: None,
        max_message_octets: 4 << 20,
        max_recipients: 100,
        max_line_octets: 2048,
        require_hello: true,
        require_brackets: true,
        default_domain: "localhost".into(),
        max_errors: 20,
        max_unknown_commands: 10,
        refuse_early_talkers: true,
        start_tls: false,
        auth: None,
        authorized: Networks::default(),
        asks_about_content: false,
        disabled_features: Box::default(),
        extensions: Extensions { future_release: true, ..Extensions::default() },
    };
    Rc::new(Server {
        name: format!("{protocol:?}").into(),
        settings: Arc::new(settings),
        chain: Chain::new(vec![Handler::ValidRcpt(TableCheck::default()), Handler::Relay]),
        idle_timeout: IDLE,
        graceful: true,
        gate: Gate {
            connections: Arc::new(Limit::new(0)),
            per_client: None,
            unnamed: None,
            proxy_first: true,
            descriptors: usize::MAX,
        },
        tls: None,
        logins: Logins { backoff: Arc::new(Backoff::new(64)), failure_delay: Duration::ZERO },
        lmtp: LmtpWay::Mailbox,
    })
}
