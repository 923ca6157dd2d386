//! A host of one core in the simulated world, so far as mail leaves it: its spool, its lanes, and somebody who hands on what is
//! due and keeps what comes back.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::hash::RandomState;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ringpost::control::journal::{Level, Reader, ring};
use ringpost::delivery::names::Zone;
use ringpost::delivery::route::Addresses;
use ringpost::delivery::schedule::{Delay, Schedule};
use ringpost::delivery::settings::{LmtpSettings, RemoteSettings, Security, Trust};
use ringpost::io::counts::Counts;
use ringpost::io::sim::{Random, SimMachine, World};
use ringpost::io::{Class, Machine};
use ringpost::mail::{Client, Content, Envelope, Mailbox, MessageId, Protocol, ReversePath, SessionId};
use ringpost::mta::journey::{Journey, Route, SettingsName};
use ringpost::mta::outgoing::{ClientTlsConfigs, Destination, Outgoing, Parts, Settings};
use ringpost::smtp::data::{BodyScanner, DataDecoder};
use ringpost::spool::record::Fields;
use ringpost::spool::{self, Outcome, OutcomeResult, Spool};

/// Something that came back into the container: what its journey says, for whom it is, and its content.
#[derive(Clone, Debug)]
pub struct Back {
    /// Where it entered.
    pub journey: Journey,
    /// Its envelope.
    pub envelope: Envelope,
    /// What it says.
    pub content: String,
}

/// The host.
pub struct Here {
    /// The world.
    pub world: World,
    /// For the test's own choices.
    pub random: Random,
    /// What came back.
    pub back: Rc<RefCell<Vec<Back>>>,
    zone: Zone,
    settings: Arc<Settings>,
    running: Option<Running>,
    messages: Rc<Cell<u64>>,
}

struct Running {
    spool: Spool<SimMachine>,
    outgoing: Outgoing<SimMachine>,
    events: Reader,
}

/// A schedule of attempts after these seconds.
pub fn schedule(waits: &[u64]) -> Schedule {
    let delay = |wait: &u64| Delay { attempts: 1, wait: Duration::from_secs(*wait) };
    Schedule::new(waits.iter().map(delay).collect(), 0).expect("no more retries than delays")
}

/// A `RemoteDelivery` with that schedule.
pub fn remote(waits: &[u64]) -> RemoteSettings {
    RemoteSettings {
        schedule: schedule(waits),
        dns_retries: 0,
        timeout: Duration::from_secs(180),
        connect_timeout: Duration::from_secs(60),
        bounce_processor: None,
        on_success: None,
        security: Security::Opportunistic,
        trust: Trust::Name,
        gateways: Vec::new(),
        credentials: None,
        load_balancing: true,
        helo_name: None,
        bind: None,
    }
}

/// A zone in which each of these domains is served by a host of its own at that address.
pub fn zone(domains: &[(&str, &str)]) -> Zone {
    domains.iter().fold(Zone::default(), |zone, (domain, address)| {
        let host = format!("mx.{domain}");
        let addresses = Addresses::Found(vec![address.parse().expect("an address")]);
        zone.with_hosts(domain, &[(10, &host)]).with_addresses(&host, addresses)
    })
}

/// An envelope for these, which does not say more.
pub fn envelope(id: u64, from: &str, to: &[&str]) -> Envelope {
    Envelope::new(
        MessageId(id),
        SessionId(1),
        0,
        ReversePath::parse(from, "x").expect("a path"),
        to.iter().map(|to| Mailbox::parse(to).expect("a mailbox")).collect(),
        Client {
            address: "192.0.2.99:4711".parse().expect("an address"),
            helo: "client.example".into(),
            protocol: Protocol::Esmtp,
            tls: None,
            user: None,
        },
    )
}

/// Everything that goes out of these settings, by their places.
pub fn settings(remotes: Vec<RemoteSettings>, lmtps: Vec<LmtpSettings>) -> Settings {
    Settings {
        remotes,
        lmtps,
        hello_name: "here.example".into(),
        postmaster: Mailbox::parse("postmaster@here.example").expect("a mailbox"),
        own_names: vec!["here.example".parse().expect("a domain")],
        own_addresses: vec!["192.0.2.1".parse().expect("an address")],
        counts: Counts::new(10_000),
        hasher: RandomState::new(),
        tls: ClientTlsConfigs::default(),
    }
}

impl Here {
    /// A host that runs.
    pub fn new(seed: u64, zone: Zone, settings: Settings) -> Here {
        let world = World::new(seed);
        world.disk().make_directory("/spool").expect("the disk is empty");
        let random = world.random();
        let (back, messages) = Default::default();
        Here { world, random, back, zone, settings: Arc::new(settings), running: None, messages }
    }

    /// Opens the spool, and lets mail leave. False where the world stops meanwhile.
    pub fn start(&mut self) {
        let machine = if self.world.is_stopped() { self.world.restart() } else { self.world.machine() };
        let layout = spool::Settings {
            segment_octets: 1 << 20,
            prepared: 1,
            max_segments: 400,
            reserve_octets: 0,
            max_messages: 1_000_000,
            longest_delay: Duration::from_secs(10 * 24 * 3600),
        };
        let opening = Spool::open(machine.clone(), Path::new("/spool/0"), layout, Box::new(|_| ()));
        let opened = self.world.block_on(opening).expect("it ends").expect("it opens");
        let spool = opened.spool;
        let (journal, events) = ring(Level::Info);
        let (messages, clock) = (self.messages.clone(), machine.clone());
        let outgoing = Outgoing::new(Parts {
            machine: machine.clone(),
            spool: spool.clone(),
            names: Rc::new(self.zone.clone()),
            settings: self.settings.clone(),
            journal: Rc::new(journal),
            next_id: Rc::new(move || {
                messages.set(messages.get() + 1);
                MessageId((clock.wall_clock() + messages.get()) << 10)
            }),
        });
        let (pulsing, of, own) = (outgoing.clone(), spool.clone(), machine.clone());
        machine.spawn(Class::Intake, async move {
            loop {
                pulsing.pulse();
                of.pulse();
                own.sleep(Duration::from_millis(250)).await;
            }
        });
        let spooler = Spooler {
            machine: machine.clone(),
            spool: spool.clone(),
            outgoing: outgoing.clone(),
            back: self.back.clone(),
        };
        machine.spawn(Class::Delivery, spooler.run(self.settings.clone()));
        self.running = Some(Running { spool, outgoing, events });
    }

    fn running(&self) -> &Running {
        self.running.as_ref().expect("it was started")
    }

    /// What leaves.
    pub fn outgoing(&self) -> &Outgoing<SimMachine> {
        &self.running().outgoing
    }

    /// The spool.
    pub fn spool(&self) -> &Spool<SimMachine> {
        &self.running().spool
    }

    /// Forgets the events of the log so far.
    pub fn forget_events(&mut self) {
        self.told("", &[]);
    }

    /// The events of one name since events were last asked for, each as its fields of these names.
    pub fn told(&mut self, name: &str, fields: &[&str]) -> Vec<String> {
        self.told_of(&[name], fields)
    }

    /// The same of any of these names.
    pub fn told_of(&mut self, names: &[&str], fields: &[&str]) -> Vec<String> {
        let events = &mut self.running.as_mut().expect("it was started").events;
        let mut told = Vec::new();
        while let Some(event) = events.take() {
            if names.iter().any(|name| name.as_bytes() == event.name) {
                let field = |name: &&str| {
                    let found = event.fields.into_iter().find(|(key, _)| *key == name.as_bytes());
                    found.map(|(_, value)| {
                        let mut text = Vec::new();
                        value.write(&mut text);
                        String::from_utf8_lossy(&text).into_owned()
                    })
                };
                told.push(fields.iter().filter_map(field).collect::<Vec<_>>().join(" | "));
            }
        }
        told
    }

    /// A message that leaves from now on; true once it is on stable storage.
    pub fn send(&self, envelope: Envelope, route: Route, content: &[u8]) -> bool {
        self.send_with(envelope, Journey { route: Some(route), ..Journey::default() }, content, false)
    }

    /// The same with a journey, and as DATA brings it where `stuffed`.
    pub fn send_with(&self, mut envelope: Envelope, journey: Journey, content: &[u8], stuffed: bool) -> bool {
        let spool = self.spool().clone();
        envelope.received_at = envelope.received_at.max(self.world.machine().wall_clock());
        let notes = journey.encode().expect("it is short");
        let id = envelope.id;
        let storing = async {
            let mut incoming = spool.incoming_with(envelope, Fields { notes, ..Fields::default() });
            let findings = store(&mut incoming, content, stuffed).await;
            let committed = incoming.commit(&findings).await.expect("there is room");
            spool.schedule(committed.id(), 0);
        };
        let done = self.world.block_on(storing).is_some();
        assert!(!done || self.spool().has(id) || stuffed, "it was taken at once");
        done
    }

    /// The name of a place among the remotes, or the LMTPs.
    pub fn to_remote(&self, place: usize) -> Route {
        Route::Remote(SettingsName::all(&self.settings.remotes)[place])
    }

    /// The same of an `LmtpDelivery`.
    pub fn to_lmtp(&self, place: usize) -> Route {
        Route::Lmtp(SettingsName::all(&self.settings.lmtps)[place])
    }

    /// Runs until nothing is left in the spool, and nothing comes any more: what takes over the last recipients of a message is
    /// not in it before its record is durable. False where that never is.
    pub fn settle(&self) -> bool {
        let spool = self.spool().clone();
        loop {
            if !self.world.run_until(|| spool.is_empty()) {
                return false;
            }
            self.world.run(Duration::from_secs(1));
            if spool.is_empty() {
                return true;
            }
        }
    }

    /// Why recipients of a message wait, as `ringpost queue why` tells.
    pub fn why(&self, id: u64) -> BTreeMap<String, (u32, String)> {
        let spool = self.spool().clone();
        let entry = self.world.block_on(async move { spool.entry(MessageId(id)).await }).expect("it ends");
        let Some(entry) = entry.expect("it is read") else { return BTreeMap::new() };
        let of = |one: ringpost::spool::queue::Waiting| (one.address, (one.attempts, one.reason.unwrap_or_default()));
        entry.recipients.into_iter().map(of).collect()
    }

    /// Reports that came back for a recipient: those with that word as their action.
    pub fn reports(&self, recipient: &str, action: &str) -> usize {
        let line = format!("Final-Recipient: rfc822; {recipient}\r\nAction: {action}\r\n");
        self.back.borrow().iter().map(|back| back.content.matches(&line).count()).sum()
    }
}

async fn store(incoming: &mut spool::Incoming<SimMachine>, content: &[u8], stuffed: bool) -> Content {
    incoming.push(content).await.expect("there is room");
    if stuffed {
        let mut decoder = DataDecoder::new();
        let _ = decoder.scan(content);
        return decoder.content();
    }
    let mut scanner = BodyScanner::new();
    scanner.scan(content);
    scanner.content()
}

struct Spooler {
    machine: SimMachine,
    spool: Spool<SimMachine>,
    outgoing: Outgoing<SimMachine>,
    back: Rc<RefCell<Vec<Back>>>,
}

impl Spooler {
    async fn run(self, settings: Arc<Settings>) {
        let remotes = SettingsName::all(&settings.remotes);
        let lmtps = SettingsName::all(&settings.lmtps);
        loop {
            let Some(id) = self.spool.take_due() else {
                let nap = self.spool.next_due().unwrap_or(Duration::from_secs(60));
                futures_lite::future::or(self.spool.scheduled(), self.machine.sleep(nap)).await;
                continue;
            };
            let stored = self.spool.read(id).await.expect("it is read");
            let journey = Journey::decode(&stored.message.fields.notes).expect("a journey");
            let domain = stored.message.envelope.recipients[0].domain().clone();
            let destination = match journey.route {
                Some(Route::Remote(name)) => {
                    let remote = name.find(&remotes).expect("it is there");
                    match settings.remotes[usize::from(remote)].gateways.is_empty() {
                        true => Destination::Domain { remote, domain },
                        false => Destination::Gateways { remote },
                    }
                }
                Some(Route::Lmtp(name)) => Destination::Lmtp(name.find(&lmtps).expect("it is there")),
                _ => {
                    self.keep(&stored, journey).await;
                    continue;
                }
            };
            self.outgoing.enqueue(id, destination);
        }
    }

    /// The container would have it now.
    async fn keep(&self, stored: &spool::Stored, journey: Journey) {
        let mut content = Vec::new();
        let read = self.spool.read_content(stored, async |slice: &[u8]| {
            content.extend_from_slice(slice);
            Ok(())
        });
        read.await.expect("it is read");
        let envelope = stored.message.envelope.clone();
        let done = |recipient| Outcome { recipient, result: OutcomeResult::Delivered };
        let outcomes: Vec<_> = (0..envelope.recipients.len() as u32).map(done).collect();
        let id = envelope.id;
        let content = String::from_utf8_lossy(&content).into_owned();
        self.back.borrow_mut().push(Back { journey, envelope, content });
        self.spool.resolve(id, &outcomes).await.expect("it is noted");
    }
}
