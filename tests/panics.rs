//! A session that panics on a real core: nobody else notices, and nothing is kept of it.

mod common;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread::JoinHandle;
use std::time::Duration;

use common::client::{Client, id};
use common::dialogue::Setup;
use common::driver::settings;
use common::process::eventually;
use ringpost::control::journal::{Level, ring};
use ringpost::control::watchdog::{Watchdog, Watched};
use ringpost::delivery::Retry;
use ringpost::delivery::names::Zone;
use ringpost::delivery::repository::Repositories;
use ringpost::directory::{Answer, Directory, Login, Pending, Proof, Scram, Unavailable};
use ringpost::hook::{Chain, Handler, TableCheck};
use ringpost::io::Machine;
use ringpost::io::handover::Doorbell;
use ringpost::io::metal::{BoundListener, CoreSetup, GlommioMachine, Sleeps};
use ringpost::io::vitals::Vitals;
use ringpost::io::wait::Bell;
use ringpost::mail::{Domain, IdSource, Mailbox, MessageId, Username};
use ringpost::mta::accept::accept;
use ringpost::mta::core::{Core, Limit, LmtpWay, Server};
use ringpost::mta::gate::Gate;
use ringpost::mta::requirements;
use ringpost::mta::spooler::{self, Metrics, Parts, Spooler, Way};
use ringpost::spool::{self, Spool};

/// Knows everyone, but for some at whose names it panics: at once, or while it is asked.
struct Panicking;

impl Directory for Panicking {
    fn known(&self, mailbox: &Mailbox) -> Option<Answer> {
        match mailbox.local() {
            "boom" => panic!("a directory that panics on purpose"),
            "later" => None,
            _ => Some(Answer::User),
        }
    }

    fn look_up<'a>(&'a self, _: &Mailbox) -> Pending<'a, Answer> {
        Box::pin(async { panic!("a directory that panics on purpose, while it is asked") })
    }

    fn verify<'a>(&'a self, _: Login) -> Pending<'a, Proof> {
        Box::pin(async { Err(Unavailable) })
    }

    fn scram<'a>(&'a self, _: &str) -> Pending<'a, Option<Scram>> {
        Box::pin(async { Err(Unavailable) })
    }

    fn may_send_as<'a>(&'a self, _: &Username, _: &Mailbox) -> Pending<'a, bool> {
        Box::pin(async { Err(Unavailable) })
    }

    fn act_for<'a>(&'a self, _: &Username, _: &str) -> Pending<'a, Option<Username>> {
        Box::pin(async { Err(Unavailable) })
    }

    fn is_local<'a>(&'a self, _: &Domain) -> Pending<'a, bool> {
        Box::pin(async { Err(Unavailable) })
    }
}

/// A core with one SMTP server, on a thread of its own.
struct Running {
    directory: tempfile::TempDir,
    address: SocketAddr,
    vitals: Arc<Vitals>,
    doorbell: Arc<Doorbell>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<std::io::Result<()>>,
    watchdog: Watchdog,
}

impl Running {
    fn start(most_connections: u32) -> Running {
        requirements::check().unwrap_or_else(|missing| panic!("{missing}"));
        let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
        let listener = BoundListener::bind("127.0.0.1:0".parse().expect("an address"), 16, None).expect("a port");
        let address = listener.local_address().expect("an address");
        let (vitals, stop) = (Arc::new(Vitals::default()), Arc::new(AtomicBool::new(false)));
        let doorbell = Arc::new(Doorbell::new(false).expect("a doorbell"));
        let cpu = core_affinity::get_core_ids().and_then(|cpus| cpus.first().copied()).expect("a CPU").id;
        let (name, delivery_share) = ("core".to_owned(), 25);
        let free_octets = Arc::new(std::sync::atomic::AtomicU64::new(u64::MAX));
        let setup = CoreSetup {
            name,
            cpu,
            delivery_share,
            doorbell: doorbell.clone(),
            vitals: vitals.clone(),
            free_octets,
            sleeps: Sleeps::InOwnRing,
        };
        let (path, stopping, limit) =
            (directory.path().to_owned(), stop.clone(), Arc::new(Limit::new(most_connections)));
        let (ready, is_ready) = channel();
        let work = move |machine| run(machine, path, listener, limit, stopping, move || ready.send(()).expect("heard"));
        let thread = GlommioMachine::start(setup, work).expect("a thread");
        is_ready.recv().expect("the core starts");
        let watchdog = Watchdog::start(vec![Watched::new(vitals.clone(), &thread)], |_| {}).expect("a watchdog");
        Running { directory, address, vitals, doorbell, stop, thread, watchdog }
    }

    fn connect(&self) -> Client {
        Client::hello(self.address, false)
    }

    fn mailbox(&self, user: &str) -> PathBuf {
        self.directory.path().join("mail/localhost").join(user).join("new")
    }

    /// The core must end in order.
    fn stop(self) {
        self.stop.store(true, Ordering::Release);
        self.doorbell.ring();
        eventually(|| self.vitals.has_ended().then_some(())).expect("the core ends");
        self.watchdog.stop();
        self.thread.join().expect("the executor did not panic").expect("and had no error");
    }
}

/// What runs on the core until it is told to stop.
async fn run(
    machine: GlommioMachine,
    directory: PathBuf,
    listener: BoundListener,
    limit: Arc<Limit>,
    stop: Arc<AtomicBool>,
    ready: impl FnOnce(),
) {
    let core = core(machine.clone(), &directory).await;
    let server = Rc::new(Server {
        name: "server".into(),
        settings: Arc::new(settings(&Setup::default())),
        chain: Chain::new(vec![Handler::ValidRcpt(TableCheck::default()), Handler::Relay]),
        idle_timeout: Duration::from_secs(60),
        graceful: true,
        gate: Gate { connections: limit, per_client: None, unnamed: None, proxy_first: true, descriptors: usize::MAX },
        tls: None,
        logins: common::driver::logins(),
        lmtp: LmtpWay::Mailbox,
    });
    let stopping: Rc<Bell> = Rc::default();
    let heard = stopping.heard();
    let bell = stopping.clone();
    machine.on_doorbell(move || {
        if stop.load(Ordering::Acquire) {
            bell.ring();
        }
    });
    let spooler = core.spooler.clone();
    machine.spawn(ringpost::io::Class::Delivery, async move { spooler.run().await });
    machine
        .spawn(ringpost::io::Class::Intake, accept(core, server, listener.into_listener(&machine), stopping.clone()));
    ready();
    heard.await;
}

async fn core(machine: GlommioMachine, directory: &Path) -> Rc<Core<GlommioMachine>> {
    let layout = spool::Settings {
        segment_octets: 1 << 20,
        prepared: 1,
        max_segments: 8,
        reserve_octets: 1 << 20,
        max_messages: 1000,
        longest_delay: Duration::from_secs(60),
    };
    let opened =
        Spool::open(machine.clone(), &directory.join("spool"), layout, Box::new(|_| {})).await.expect("a spool");
    let journal = Rc::new(ring(Level::Error).0);
    let how = spooler::Settings {
        way: Way::Mailbox,
        concurrency: 4,
        retry: Retry::new(vec![Duration::from_secs(60)]),
        remotes: Vec::new(),
        lmtps: Vec::new(),
        metrics: Metrics::default(),
    };
    let (mail, spool) = (directory.join("mail"), opened.spool);
    // As the start of the process makes it.
    std::fs::create_dir_all(&mail).expect("it is made");
    let ids = Rc::new(RefCell::new(IdSource::new(0, 0)));
    let (making, clock) = (ids.clone(), machine.clone());
    let spooler = Spooler::new(Parts {
        machine: machine.clone(),
        spool: spool.clone(),
        mail: &mail,
        host: "localhost",
        settings: Arc::new(how),
        repositories: Repositories::new(machine.clone(), &directory.join("repositories")),
        directory: Rc::new(Panicking),
        names: Rc::new(Zone::default()),
        leave: Rc::new(|_, _| {}),
        journal: journal.clone(),
        next_id: Rc::new(move || MessageId(making.borrow_mut().next(clock.wall_clock()))),
    });
    Rc::new(Core {
        machine,
        spool,
        spooler,
        directory: Rc::new(Panicking),
        names: Rc::new(Zone::default()),
        journal,
        ids,
        buffers: Default::default(),
        patience: Rc::default(),
        timeouts: Default::default(),
        hold: false,
        accepted: std::cell::Cell::default(),
    })
}

/// The client of a session that panicked: its connection has ended, and nothing was said to it.
fn assert_dropped(client: &mut Client) {
    match client.rest() {
        Ok(rest) => assert!(rest.is_empty(), "{}", String::from_utf8_lossy(&rest)),
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
    }
}

#[test]
fn a_session_that_panics_ends_alone_and_leaves_nothing_behind() {
    let running = Running::start(3);
    let mut before = running.connect();
    before.envelope("me@example.org", &["you@localhost"]);
    before.expect("DATA", "354");
    before.send("Subject: in the middle\r\n");
    let mut at_once = running.connect();
    at_once.expect("MAIL FROM:<>", "250");
    let mut later = running.connect();
    later.expect("MAIL FROM:<>", "250");
    let mut too_many = Client::dial(running.address).expect("it listens");
    assert!(too_many.reply().starts_with("421 4.7.0 "), "the places are taken");

    at_once.send("RCPT TO:<boom@localhost>\r\n");
    assert_dropped(&mut at_once);
    later.send("RCPT TO:<you@localhost>\r\nRCPT TO:<later@localhost>\r\nQUIT\r\n");
    assert_dropped(&mut later);
    eventually(|| (running.vitals.panics() == 2).then_some(())).expect("both are counted");
    eventually(|| (running.vitals.connections() == 1).then_some(())).expect("their connections are not any more");

    before.send("\r\nThe end.\r\n.\r\n");
    let reply = before.reply();
    let new = running.mailbox("you");
    let delivered = eventually(|| std::fs::read_dir(&new).ok()?.next()?.ok());
    let name = delivered.expect("it is delivered").file_name();
    assert!(name.to_string_lossy().contains(id(&reply)), "{name:?}");
    // Their places are free again, as often as they are taken.
    for _ in 0..5 {
        let mut others = [running.connect(), running.connect()];
        for client in &mut others {
            client.expect("MAIL FROM:<>", "250");
            client.send("RCPT TO:<boom@localhost>\r\n");
            assert_dropped(client);
        }
    }
    eventually(|| (running.vitals.panics() == 12).then_some(())).expect("all are counted");
    before.expect("QUIT", "221");
    running.stop();
}
