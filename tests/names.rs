//! The DNS, asked of a name server that does what name servers do: answers, answers cut off, wrong answers, and none.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_lite::future::{block_on, or};
use hickory_resolver::proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA, CNAME, MX, SOA, TXT};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use ringpost::control::client::Client;
use ringpost::control::desk::{self, Lines};
use ringpost::control::names::client::NameClient;
use ringpost::control::names::{Answer, Question, Resolver, Settings};
use ringpost::delivery::Names;
use ringpost::delivery::names::Unavailable;
use ringpost::delivery::route::{Addresses, MailExchange};
use ringpost::directory::Listed;
use ringpost::io::handover::Doorbell;
use ringpost::io::vitals::Vitals;
use ringpost::mail::Domain;

/// What the server does when it is asked for something.
#[derive(Clone, Debug)]
enum Does {
    /// Answers with these records, good for so many seconds.
    Says(u32, Vec<RData>),
    /// Says that the name is there, and has none of the kind; with a SOA that is good for so many seconds.
    HasNone(u32),
    /// An error.
    Fails(ResponseCode),
    /// By UDP it says that not all fits in; by TCP it answers.
    Truncates(Vec<RData>),
    /// By UDP it says that not all fits in, and by TCP it says nothing.
    TruncatesOnly,
    /// Sends octets that are no message.
    Babbles,
    /// Answers with another message's number.
    Mistakes(Vec<RData>),
    /// Says nothing.
    Sleeps,
}

#[derive(Default)]
struct State {
    zone: HashMap<(String, RecordType), Does>,
    asked: HashMap<(String, RecordType), usize>,
    /// It answers as one that knows by itself.
    authoritative: bool,
}

/// A name server of this test. What it does not know of is no name.
#[derive(Clone)]
struct Server {
    state: Arc<Mutex<State>>,
    address: SocketAddr,
}

fn name(text: &str) -> Name {
    Name::from_ascii(text).expect("a name")
}

impl Server {
    fn start(authoritative: bool) -> Server {
        let tcp = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = tcp.local_addr().expect("an address");
        let udp = UdpSocket::bind(address).expect("the same port");
        let server = Server { state: Arc::new(Mutex::new(State { authoritative, ..State::default() })), address };
        let (by_udp, by_tcp) = (server.clone(), server.clone());
        std::thread::spawn(move || by_udp.serve_udp(&udp));
        std::thread::spawn(move || {
            for mut stream in tcp.incoming().flatten() {
                let server = by_tcp.clone();
                std::thread::spawn(move || server.serve_tcp(&mut stream));
            }
        });
        server
    }

    fn put(&self, of: &str, kind: RecordType, does: Does) {
        self.state.lock().expect("no panic").zone.insert((of.to_owned(), kind), does);
    }

    /// How often it was asked for this.
    fn asked(&self, of: &str, kind: RecordType) -> usize {
        self.state.lock().expect("no panic").asked.get(&(of.to_owned(), kind)).copied().unwrap_or(0)
    }

    fn serve_udp(&self, socket: &UdpSocket) {
        let mut buffer = [0; 4096];
        while let Ok((octets, from)) = socket.recv_from(&mut buffer) {
            if let Some(answer) = self.answer(&buffer[..octets], false) {
                let _ = socket.send_to(&answer, from);
            }
        }
    }

    fn serve_tcp(&self, stream: &mut (impl Read + Write)) {
        let mut length = [0; 2];
        while stream.read_exact(&mut length).is_ok() {
            let mut query = vec![0; u16::from_be_bytes(length).into()];
            if stream.read_exact(&mut query).is_err() {
                return;
            }
            if let Some(answer) = self.answer(&query, true) {
                let _ = stream.write_all(&(answer.len() as u16).to_be_bytes());
                let _ = stream.write_all(&answer);
            }
        }
    }

    fn answer(&self, query: &[u8], by_tcp: bool) -> Option<Vec<u8>> {
        let query = Message::from_vec(query).ok()?;
        let asked = query.queries.first()?.clone();
        let key = (asked.name().to_ascii().to_lowercase(), asked.query_type());
        let mut state = self.state.lock().expect("no panic");
        *state.asked.entry(key.clone()).or_default() += 1;
        let names = || state.zone.keys().any(|(of, _)| *of == key.0);
        let unknown = || if names() { Does::HasNone(60) } else { Does::Fails(ResponseCode::NXDomain) };
        let does = state.zone.get(&key).cloned().unwrap_or_else(unknown);
        let mut message = Message::response(query.metadata.id, OpCode::Query);
        message.metadata.message_type = MessageType::Response;
        message.metadata.authoritative = state.authoritative;
        message.metadata.recursion_available = true;
        message.add_query(asked.clone());
        let soa = |ttl| {
            let soa = SOA::new(name("ns.example."), name("root.example."), 1, 3600, 600, 86400, ttl);
            Record::from_rdata(name("example."), ttl, RData::SOA(soa))
        };
        let mut say = |ttl: u32, data: &[RData]| {
            let mut of = asked.name().clone();
            for data in data {
                message.add_answer(Record::from_rdata(of.clone(), ttl, data.clone()));
                if let RData::CNAME(alias) = data {
                    of = alias.0.clone();
                }
            }
        };
        match &does {
            Does::Says(ttl, data) => say(*ttl, data),
            Does::Truncates(data) if by_tcp => say(60, data),
            Does::Mistakes(data) => {
                say(60, data);
                message.metadata.id ^= 1;
            }
            Does::Truncates(_) | Does::TruncatesOnly if !by_tcp => message.metadata.truncation = true,
            Does::HasNone(ttl) => {
                message.add_authorities([soa(*ttl)]);
            }
            Does::Fails(code) => {
                message.metadata.response_code = *code;
                if *code == ResponseCode::NXDomain {
                    message.add_authorities([soa(60)]);
                }
            }
            Does::Babbles => return Some(b"no message at all".to_vec()),
            Does::Sleeps | Does::TruncatesOnly | Does::Truncates(_) => return None,
        }
        message.to_vec().ok()
    }
}

fn mx(preference: u16, host: &str) -> RData {
    RData::MX(MX::new(preference, name(host)))
}

fn alias(of: &str) -> RData {
    RData::CNAME(CNAME(name(of)))
}

fn a(address: &str) -> RData {
    RData::A(A(address.parse().expect("an address")))
}

fn aaaa(address: &str) -> RData {
    RData::AAAA(AAAA(address.parse().expect("an address")))
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

fn settings(server: &Server) -> Settings {
    Settings {
        servers: vec![server.address],
        remembered: 100,
        negative: None,
        authoritative: false,
        try_for: Duration::from_millis(400),
    }
}

/// A resolver and where it runs.
struct Asking {
    runtime: tokio::runtime::Runtime,
    resolver: Arc<Resolver>,
}

impl Asking {
    fn new(settings: Settings) -> Asking {
        let runtime = runtime();
        let resolver = runtime.block_on(async { Resolver::new(settings) }).expect("a resolver");
        Asking { runtime, resolver: Arc::new(resolver) }
    }

    fn answer(&self, question: Question) -> Answer {
        self.runtime.block_on(self.resolver.answer(&question)).answer
    }

    fn mail(&self, domain: &str) -> MailExchange {
        match self.answer(Question::MailExchange(domain.into())) {
            Answer::MailExchange(exchange) => exchange,
            other => panic!("{other:?}"),
        }
    }

    fn addresses(&self, host: &str) -> Addresses {
        match self.answer(Question::Addresses(host.into())) {
            Answer::Addresses(addresses) => addresses,
            other => panic!("{other:?}"),
        }
    }

    fn listed(&self, zone: &str, address: &str) -> Result<bool, Unavailable> {
        match self.answer(Question::Listed(zone.into(), address.parse().expect("an address"))) {
            Answer::Listed(listed) => listed,
            other => panic!("{other:?}"),
        }
    }
}

fn records(list: &[(u16, &str)]) -> MailExchange {
    MailExchange::Records(list.iter().map(|(preference, host)| (*preference, (*host).to_owned())).collect())
}

fn found(list: &[&str]) -> Addresses {
    Addresses::Found(list.iter().map(|address| address.parse().expect("an address")).collect())
}

#[test]
fn what_a_domain_says_of_its_mail_is_told_apart() {
    let server = Server::start(false);
    let put = |of, does| server.put(of, RecordType::MX, does);
    put("two.example.", Does::Says(60, vec![mx(20, "b.example."), mx(10, "a.example.")]));
    put("null.example.", Does::Says(60, vec![mx(0, ".")]));
    put("none.example.", Does::HasNone(60));
    put("refused.example.", Does::Fails(ResponseCode::Refused));
    put("broken.example.", Does::Fails(ResponseCode::ServFail));
    put("alias.example.", Does::Says(60, vec![alias("two.example."), mx(10, "a.example.")]));
    put("far.example.", Does::Says(60, vec![alias("two.example.")]));
    put("dangling.example.", Does::Says(60, vec![alias("nowhere.example.")]));
    put("circle.example.", Does::Says(60, vec![alias("circle2.example.")]));
    put("circle2.example.", Does::Says(60, vec![alias("circle.example.")]));
    put("large.example.", Does::Truncates((0..300).map(|n| mx(300 - n, &format!("host{n}.example."))).collect()));
    put("text.example.", Does::Says(60, vec![RData::TXT(TXT::new(vec!["nothing of the kind".to_owned()]))]));
    let asking = Asking::new(settings(&server));
    assert_eq!(asking.mail("two.example"), records(&[(10, "a.example."), (20, "b.example.")]));
    assert_eq!(asking.mail("TWO.Example."), records(&[(10, "a.example."), (20, "b.example.")]));
    assert_eq!(asking.mail("null.example"), records(&[(0, ".")]));
    assert_eq!(asking.mail("none.example"), MailExchange::NoRecord);
    assert_eq!(asking.mail("text.example"), MailExchange::NoRecord);
    assert_eq!(asking.mail("nowhere.example"), MailExchange::NoDomain);
    assert_eq!(asking.mail("refused.example"), MailExchange::Unavailable);
    assert_eq!(asking.mail("broken.example"), MailExchange::Unavailable);
    assert_eq!(asking.mail("alias.example"), records(&[(10, "a.example.")]));
    assert_eq!(asking.mail("far.example"), records(&[(10, "a.example."), (20, "b.example.")]));
    assert_eq!(asking.mail("dangling.example"), MailExchange::NoDomain);
    let circle = asking.mail("circle.example");
    assert!(matches!(circle, MailExchange::NoRecord | MailExchange::Unavailable), "{circle:?}");
    let MailExchange::Records(large) = asking.mail("large.example") else { panic!("they come by TCP") };
    assert_eq!((large.len(), large[0].0), (32, 1), "those of the lowest preferences, and a bounded number of them");
    assert_eq!(asking.mail("no name at all"), MailExchange::NoDomain);
}

#[test]
fn a_server_that_is_of_no_use_is_no_answer_and_takes_no_longer_than_it_may() {
    let server = Server::start(false);
    let put = |of, does| server.put(of, RecordType::MX, does);
    put("asleep.example.", Does::Sleeps);
    put("babble.example.", Does::Babbles);
    put("mistaken.example.", Does::Mistakes(vec![mx(10, "evil.example.")]));
    put("cut.example.", Does::TruncatesOnly);
    let asking = Asking::new(settings(&server));
    for domain in ["asleep.example", "babble.example", "mistaken.example", "cut.example"] {
        let began = Instant::now();
        assert_eq!(asking.mail(domain), MailExchange::Unavailable, "{domain}");
        assert!(began.elapsed() < Duration::from_secs(30), "{domain}");
    }
    assert!(server.asked("asleep.example.", RecordType::MX) > 1, "it is asked more than once");
    // That nobody answered is remembered, so that a batch of mail does not wait for each again.
    let before = server.asked("babble.example.", RecordType::MX);
    assert_eq!(asking.mail("babble.example"), MailExchange::Unavailable);
    assert_eq!(server.asked("babble.example.", RecordType::MX), before);
    // A server that is not there, and none at all.
    let nobody = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let asking = Asking::new(Settings { servers: vec![nobody], ..settings(&server) });
    assert_eq!(asking.mail("two.example"), MailExchange::Unavailable);
    let asking = Asking::new(Settings { servers: Vec::new(), ..settings(&server) });
    assert_eq!(asking.mail("two.example"), MailExchange::Unavailable);
}

#[test]
fn a_second_server_answers_where_the_first_does_not() {
    let (asleep, awake) = (Server::start(false), Server::start(false));
    asleep.put("two.example.", RecordType::MX, Does::Sleeps);
    awake.put("two.example.", RecordType::MX, Does::Says(60, vec![mx(10, "a.example.")]));
    let asking = Asking::new(Settings { servers: vec![asleep.address, awake.address], ..settings(&awake) });
    assert_eq!(asking.mail("two.example"), records(&[(10, "a.example.")]));
}

#[test]
fn addresses_are_of_both_families() {
    let server = Server::start(false);
    let both = |of: &str, four, six| {
        server.put(of, RecordType::A, four);
        server.put(of, RecordType::AAAA, six);
    };
    let says = |data| Does::Says(60, vec![data]);
    both("both.example.", says(a("192.0.2.1")), says(aaaa("2001:db8::1")));
    both("four.example.", says(a("192.0.2.1")), Does::HasNone(60));
    both("half.example.", says(a("192.0.2.1")), Does::Fails(ResponseCode::ServFail));
    both("none.example.", Does::HasNone(60), Does::HasNone(60));
    both("unknown.example.", Does::HasNone(60), Does::Fails(ResponseCode::ServFail));
    both("alias.example.", Does::Says(60, vec![alias("both.example.")]), Does::Says(60, vec![alias("both.example.")]));
    let asking = Asking::new(settings(&server));
    assert_eq!(asking.addresses("both.example"), found(&["2001:db8::1", "192.0.2.1"]));
    assert_eq!(asking.addresses("alias.example"), found(&["2001:db8::1", "192.0.2.1"]));
    assert_eq!(asking.addresses("four.example"), found(&["192.0.2.1"]));
    assert_eq!(asking.addresses("half.example"), found(&["192.0.2.1"]));
    assert_eq!(asking.addresses("none.example"), found(&[]));
    assert_eq!(asking.addresses("nowhere.example"), found(&[]));
    assert_eq!(asking.addresses("unknown.example"), Addresses::Unavailable);
}

#[test]
fn lists_have_entries_in_127_and_nothing_else_is_one() {
    let server = Server::start(false);
    let put = |of, does| server.put(of, RecordType::A, does);
    put("2.0.0.127.bl.example.", Does::Says(60, vec![a("127.0.0.2")]));
    put("9.2.0.192.bl.example.", Does::Says(60, vec![a("127.255.255.254")]));
    put("8.2.0.192.bl.example.", Does::Says(60, vec![a("198.51.100.1")]));
    put("7.2.0.192.bl.example.", Does::Fails(ResponseCode::ServFail));
    let six = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.bl.example.";
    put(six, Does::Says(60, vec![a("127.0.0.4")]));
    let asking = Asking::new(settings(&server));
    assert_eq!(asking.listed("bl.example", "127.0.0.2"), Ok(true));
    assert_eq!(asking.listed("BL.example.", "127.0.0.2"), Ok(true));
    assert_eq!(asking.listed("bl.example", "2001:db8::1"), Ok(true));
    assert_eq!(asking.listed("bl.example", "192.0.2.1"), Ok(false));
    assert_eq!(asking.listed("bl.example", "192.0.2.8"), Ok(false), "who makes up answers lists nobody");
    assert_eq!(asking.listed("bl.example", "192.0.2.9"), Err(Unavailable), "the list does not answer us");
    assert_eq!(asking.listed("bl.example", "192.0.2.7"), Err(Unavailable));
}

#[test]
fn answers_are_remembered_as_long_as_they_say_and_as_the_settings_say() {
    let server = Server::start(false);
    let put = |of, does| server.put(of, RecordType::MX, does);
    put("long.example.", Does::Says(600, vec![mx(10, "a.example.")]));
    put("short.example.", Does::Says(0, vec![mx(10, "a.example.")]));
    put("none.example.", Does::HasNone(600));
    let times = |settings: Settings, domain: &str| {
        let asking = Asking::new(settings);
        let before = server.asked(&format!("{domain}."), RecordType::MX);
        let answers: Vec<MailExchange> = (0..3).map(|_| asking.mail(domain)).collect();
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
        server.asked(&format!("{domain}."), RecordType::MX) - before
    };
    let usual = || settings(&server);
    assert_eq!(times(usual(), "long.example"), 1);
    assert_eq!(times(usual(), "short.example"), 3);
    assert_eq!(times(usual(), "none.example"), 1);
    assert_eq!(times(Settings { remembered: 0, ..usual() }, "long.example"), 3);
    assert_eq!(times(Settings { negative: Some(Duration::ZERO), ..usual() }, "none.example"), 3);
    assert_eq!(times(Settings { negative: Some(Duration::ZERO), ..usual() }, "long.example"), 1);
    assert_eq!(times(Settings { authoritative: true, ..usual() }, "long.example"), 3);
    let authority = Server::start(true);
    authority.put("long.example.", RecordType::MX, Does::Says(600, vec![mx(10, "a.example.")]));
    let asking = Asking::new(Settings { authoritative: true, ..settings(&authority) });
    (0..3).for_each(|_| drop(asking.mail("long.example")));
    assert_eq!(authority.asked("long.example.", RecordType::MX), 1);
}

/// A core's way to the DNS, with a desk at the other end, and nobody but this test to take its answers in.
struct Core {
    client: Client,
    names: NameClient,
    _runtime: tokio::runtime::Runtime,
}

impl Core {
    fn new(resolver: impl FnOnce() -> Resolver) -> Core {
        let runtime = runtime();
        let resolver = {
            let _inside = runtime.enter();
            Arc::new(resolver())
        };
        let bell = Arc::new(Doorbell::new(false).expect("an eventfd"));
        let lines = Arc::new(Lines::new([bell]).expect("an eventfd"));
        runtime.spawn(desk::serve(lines.clone(), Arc::new(Listed::default()), resolver));
        let client = Client::new(0, lines, Arc::new(Vitals::default()));
        Core { names: NameClient::new(client.clone(), false), client, _runtime: runtime }
    }

    /// Waits for an answer as a core does, but for the doorbell.
    fn wait<T>(&self, answer: impl Future<Output = T>) -> T {
        let take = async {
            loop {
                self.client.take_answers();
                std::thread::sleep(Duration::from_millis(1));
                futures_lite::future::yield_now().await;
            }
        };
        block_on(or(answer, take))
    }
}

#[test]
fn a_core_asks_the_desk_and_remembers() {
    let server = Server::start(false);
    server.put("two.example.", RecordType::MX, Does::Says(600, vec![mx(10, "a.example.")]));
    server.put("a.example.", RecordType::A, Does::Says(600, vec![a("192.0.2.1")]));
    server.put("host.example.", RecordType::A, Does::Says(600, vec![a("192.0.2.1")]));
    server.put("2.0.0.127.bl.example.", RecordType::A, Does::Says(600, vec![a("127.0.0.2")]));
    // The control plane remembers nothing, so that what is remembered is the core's.
    let core = Core::new(|| Resolver::new(Settings { remembered: 0, ..settings(&server) }).expect("a resolver"));
    let domain = |text: &str| Domain::parse(text).expect("a domain");
    for _ in 0..3 {
        assert_eq!(core.wait(core.names.mail_exchange(&domain("Two.example"))), records(&[(10, "a.example.")]));
        assert_eq!(core.wait(core.names.addresses("a.example.")), found(&["192.0.2.1"]));
        assert_eq!(core.wait(core.names.addresses("192.0.2.7")), found(&["192.0.2.7"]));
        assert_eq!(core.wait(core.names.listed("bl.example", "127.0.0.2".parse::<IpAddr>().expect("one"))), Ok(true));
        assert_eq!(core.wait(core.names.exists(&domain("host.example"))), Ok(true));
        assert_eq!(core.wait(core.names.exists(&domain("nowhere.example"))), Ok(false));
        assert_eq!(core.wait(core.names.mail_exchange(&domain("[192.0.2.1]"))), MailExchange::NoRecord);
    }
    assert_eq!(server.asked("two.example.", RecordType::MX), 1);
    assert_eq!(server.asked("a.example.", RecordType::A), 1);
    // After the time that it is believed at most, it is asked anew.
    core.client.tick(Duration::from_secs(301));
    core.wait(core.names.mail_exchange(&domain("two.example")));
    assert_eq!(server.asked("two.example.", RecordType::MX), 2);
}

#[test]
fn a_core_gives_up_on_a_desk_that_is_silent() {
    let server = Server::start(false);
    server.put("asleep.example.", RecordType::MX, Does::Sleeps);
    let slow = Settings { try_for: Duration::from_secs(600), ..settings(&server) };
    let core = Core::new(|| Resolver::new(slow).expect("a resolver"));
    let domain = Domain::parse("asleep.example").expect("a domain");
    let late = async {
        futures_lite::future::yield_now().await;
        core.client.tick(Duration::from_secs(60));
        std::future::pending().await
    };
    assert_eq!(core.wait(or(core.names.mail_exchange(&domain), late)), MailExchange::Unavailable);
}
