//! `loadtest storm`: connections that come from several addresses and end in every way, and counts that tell whether the server
//! kept to its limits.
//!
//! A connection counts as admitted from the moment when its banner is read until just before anything is done that lets the
//! server end it. So at every moment the server has at least as many as are counted here: a count above the limit is proof.

use crate::args::{resolve, seconds};
use crate::errors::Errors;
use crate::process::{self, StopSignal};
use crate::reply::{Reply, ReplyReader};
use clap::Args;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, SockAddr, Socket, Type};
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Octets of one read: more than a whole dialogue's replies.
const READ_SIZE: usize = 4096;

/// What is asked of the storm.
#[derive(Args, Debug)]
pub struct Options {
    /// Server as HOST:PORT, on the loopback network
    #[arg(long)]
    to: String,
    /// Connections in all
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    connections: u64,
    /// Connections at the same time; more than the limit, or nothing is refused
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    at_once: u32,
    /// Addresses they come from: 127.0.0.1 and those after it
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u8).range(1..=254))]
    addresses: u8,
    /// Connections that the server admits at most; one more fails the run
    #[arg(long)]
    limit: Option<u32>,
    /// The same of each address
    #[arg(long)]
    limit_per_address: Option<u32>,
    /// Seconds without any event after which the run is given up
    #[arg(long, default_value = "10", value_parser = seconds)]
    stall_timeout: Duration,
}

/// How a connection ends that was admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// By RST.
    Reset,
    /// By FIN, without a word.
    Close,
    /// By QUIT, its reply, and the server's FIN.
    Quit,
}

/// What becomes of a connection.
#[derive(Debug)]
struct Fate {
    name: &'static str,
    /// Commands that are answered, each sent after the reply before it.
    commands: &'static [&'static [u8]],
    /// Sent after the last of those replies, and not answered.
    rest: &'static [u8],
    end: End,
}

const EHLO: &[u8] = b"EHLO storm.localhost\r\n";
const MAIL: &[u8] = b"MAIL FROM:<storm@localhost>\r\n";
const RCPT: &[u8] = b"RCPT TO:<you@localhost>\r\n";
const CONTENT: &[u8] = b"Subject: never finished\r\n\r\nThe rest of this message nev";

const FATES: [Fate; 4] = [
    Fate { name: "closed after the banner", commands: &[], rest: b"", end: End::Close },
    Fate { name: "reset in a command", commands: &[EHLO], rest: b"MAIL FR", end: End::Reset },
    Fate { name: "EHLO and QUIT", commands: &[EHLO], rest: b"", end: End::Quit },
    Fate { name: "killed in DATA", commands: &[EHLO, MAIL, RCPT, b"DATA\r\n"], rest: CONTENT, end: End::Reset },
];

/// Where a connection is in its dialogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The banner has not come.
    Knocking,
    /// So many replies have come since the banner.
    Talking(usize),
    /// All was said but the end.
    Holding,
    /// Its end has begun.
    Leaving,
    /// The server has no place for it.
    Refused,
}

/// A connection.
struct Visit {
    number: u64,
    stream: TcpStream,
    address: usize,
    fate: &'static Fate,
    stage: Stage,
    reader: ReplyReader,
}

/// Those who are admitted, now and at most.
#[derive(Debug, Default)]
struct Census {
    now: u32,
    most: u32,
    now_of: Vec<u32>,
    most_of: u32,
    admitted: u64,
}

/// The whole storm.
struct Storm<'a> {
    options: &'a Options,
    to: SocketAddr,
    poll: Poll,
    visits: Vec<Option<Visit>>,
    vacant: Vec<usize>,
    /// Places of those that hold, and their numbers, in the order in which they came to it.
    holding: VecDeque<(usize, u64)>,
    begun: u64,
    reset_at_once: u64,
    fates: [u64; FATES.len()],
    census: Census,
    refusals: Errors,
    errors: Errors,
    buffer: Vec<u8>,
}

/// Runs the storm. Status 0 means that no limit was exceeded and every connection went as it should.
pub fn run(options: &Options) -> Result<ExitCode, String> {
    let to = resolve(&options.to)?;
    if !matches!(to.ip(), IpAddr::V4(address) if address.is_loopback()) {
        return Err(format!("{to} is not on the loopback network of IPv4, and storms are for no other"));
    }
    process::raise_descriptor_limit(u64::from(options.at_once) + 64)?;
    let stop = StopSignal::install().map_err(|error| error.to_string())?;
    let begun = Instant::now();
    let mut storm = Storm::new(options, to).map_err(|error| format!("cannot start: {error}"))?;
    storm.blow(&stop)?;
    storm.print(begun.elapsed());
    storm.verdict()
}

impl<'a> Storm<'a> {
    fn new(options: &'a Options, to: SocketAddr) -> io::Result<Storm<'a>> {
        let places = options.at_once as usize;
        Ok(Storm {
            options,
            to,
            poll: Poll::new()?,
            visits: (0..places).map(|_| None).collect(),
            vacant: (0..places).collect(),
            holding: VecDeque::new(),
            begun: 0,
            reset_at_once: 0,
            fates: [0; FATES.len()],
            census: Census { now_of: vec![0; usize::from(options.addresses)], ..Census::default() },
            refusals: Errors::default(),
            errors: Errors::default(),
            buffer: vec![0; READ_SIZE],
        })
    }

    fn blow(&mut self, stop: &StopSignal) -> Result<(), String> {
        let mut events = Events::with_capacity(1024);
        while !stop.is_set() {
            while self.begun < self.options.connections
                && let Some(place) = self.vacant.pop()
            {
                self.begin(place);
            }
            self.release();
            if !self.vacant.is_empty() && self.begun < self.options.connections {
                continue;
            }
            if self.vacant.len() == self.visits.len() {
                return Ok(());
            }
            match self.poll.poll(&mut events, Some(self.options.stall_timeout)) {
                Ok(()) if events.is_empty() => {
                    return Err(format!("nothing moved for {:?}: given up", self.options.stall_timeout));
                }
                Ok(()) => events.iter().for_each(|event| self.woken(event.token().0)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(format!("poll: {error}")),
            }
        }
        Err("stopped by a signal".into())
    }

    fn begin(&mut self, place: usize) {
        let number = self.begun;
        self.begun += 1;
        let chance = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let address = (chance >> 40) as usize % self.census.now_of.len();
        let opened = connect(self.to, address).and_then(|socket| {
            // Of those with no fate, the server hears in one breath that they have come and gone.
            let Some(fate) = FATES.get((chance >> 20) as usize % (FATES.len() + 1)) else {
                socket.set_linger(Some(Duration::ZERO))?;
                return Ok(None);
            };
            let mut stream = TcpStream::from_std(socket.into());
            self.poll.registry().register(&mut stream, Token(place), Interest::READABLE)?;
            Ok(Some(Visit { number, stream, address, fate, stage: Stage::Knocking, reader: ReplyReader::default() }))
        });
        match opened {
            Ok(Some(visit)) => return self.visits[place] = Some(visit),
            Ok(None) => self.reset_at_once += 1,
            Err(error) => self.errors.count(&format!("connect: {error}")),
        }
        self.vacant.push(place);
    }

    /// Lets those go that have held while a whole storm of others knocked, or for whom nobody else is left.
    fn release(&mut self) {
        while let Some(&(place, number)) = self.holding.front() {
            let all_hold = self.holding.len() == self.visits.len() || self.begun == self.options.connections;
            if !all_hold && self.begun < number + u64::from(self.options.at_once) {
                return;
            }
            self.holding.pop_front();
            if self.visits[place].as_ref().is_some_and(|visit| visit.number == number) {
                self.end(place);
            }
        }
    }

    fn end(&mut self, place: usize) {
        let Some(visit) = &mut self.visits[place] else { return };
        self.census.leave(visit.address);
        visit.stage = Stage::Leaving;
        let ended = match visit.fate.end {
            End::Quit => return self.say(place, b"QUIT\r\n"),
            End::Reset => socket2::SockRef::from(&visit.stream).set_linger(Some(Duration::ZERO)),
            End::Close => Ok(()),
        };
        self.over(place, ended.err().map(|error| error.to_string()));
    }

    /// A connection is no more, as it should be or for a reason that it should not.
    fn over(&mut self, place: usize, why_not: Option<String>) {
        let Some(visit) = self.visits[place].take() else { return };
        self.vacant.push(place);
        if matches!(visit.stage, Stage::Talking(_) | Stage::Holding) {
            self.census.leave(visit.address);
        }
        match why_not {
            Some(why) => self.errors.count(&format!("{}, {:?}: {why}", visit.fate.name, visit.stage)),
            None if visit.stage == Stage::Refused => {}
            None => self.fates[FATES.iter().position(|fate| std::ptr::eq(fate, visit.fate)).unwrap_or(0)] += 1,
        }
    }

    fn woken(&mut self, place: usize) {
        let mut buffer = std::mem::take(&mut self.buffer);
        while let Some(visit) = &mut self.visits[place] {
            match visit.stream.read(&mut buffer) {
                Ok(0) => {
                    let due = matches!(visit.stage, Stage::Refused | Stage::Leaving);
                    self.over(place, (!due).then(|| "closed by server".into()));
                }
                Ok(count) => self.received(place, &buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => self.over(place, Some(error.to_string())),
            }
        }
        self.buffer = buffer;
    }

    fn received(&mut self, place: usize, mut input: &[u8]) {
        while let Some(visit) = &mut self.visits[place] {
            match visit.reader.next(&mut input) {
                Ok(None) => return,
                Err(malformed) => self.over(place, Some(malformed.to_string())),
                Ok(Some(reply)) => match visit.stage.after(reply) {
                    Err(why) => self.over(place, Some(why)),
                    Ok(Stage::Refused) => {
                        self.refusals.count(&reply.first_line());
                        visit.stage = Stage::Refused;
                    }
                    Ok(stage) => {
                        if visit.stage == Stage::Knocking {
                            self.census.enter(visit.address);
                        }
                        visit.stage = stage;
                        self.go_on(place);
                    }
                },
            }
        }
    }

    /// Says the next thing after a reply.
    fn go_on(&mut self, place: usize) {
        let Some(visit) = &mut self.visits[place] else { return };
        let Stage::Talking(replies) = visit.stage else { return };
        let fate = visit.fate;
        match fate.commands.get(replies) {
            Some(command) => self.say(place, command),
            None => {
                visit.stage = Stage::Holding;
                self.holding.push_back((place, visit.number));
                self.say(place, fate.rest);
            }
        }
    }

    /// Everything that is said is short and goes into the socket's empty buffer at once.
    fn say(&mut self, place: usize, octets: &[u8]) {
        let Some(visit) = &mut self.visits[place] else { return };
        if let Err(error) = visit.stream.write_all(octets) {
            self.over(place, Some(error.to_string()));
        }
    }

    fn print(&self, elapsed: Duration) {
        let Options { connections, addresses, at_once, .. } = self.options;
        let rate = *connections as f64 / elapsed.as_secs_f64();
        let seconds = elapsed.as_secs_f64();
        println!(
            "storm        {connections} connections from {addresses} addresses, {at_once} at once, {seconds:.1} s, {rate:.0}/s"
        );
        let Census { admitted, most, most_of, .. } = self.census;
        println!("admitted     {admitted} in all, {most} at once, {most_of} at once from one address");
        for (text, count) in self.refusals.texts() {
            println!("refused      {count} x {text}");
        }
        println!("ended        {} x reset at once", self.reset_at_once);
        for (fate, count) in FATES.iter().zip(self.fates) {
            println!("ended        {count} x {}", fate.name);
        }
        for (text, count) in self.errors.texts() {
            println!("error        {count} x {text}");
        }
    }

    fn verdict(&self) -> Result<ExitCode, String> {
        let Census { most, most_of, .. } = self.census;
        if self.options.limit.is_some_and(|limit| most > limit) {
            return Err(format!("{most} were admitted at once"));
        }
        if self.options.limit_per_address.is_some_and(|limit| most_of > limit) {
            return Err(format!("{most_of} from one address were admitted at once"));
        }
        match self.errors.total() {
            0 => Ok(ExitCode::SUCCESS),
            errors => Err(format!("{errors} errors")),
        }
    }
}

impl Stage {
    /// The stage after a reply, or why that is not the right one.
    fn after(self, reply: Reply<'_>) -> Result<Stage, String> {
        match (self, reply.code) {
            (Stage::Knocking, 220) => Ok(Stage::Talking(0)),
            (Stage::Knocking, 421) if reply.text.starts_with(b"421 4.7.0 ") => Ok(Stage::Refused),
            (Stage::Talking(replies), 250 | 354) => Ok(Stage::Talking(replies + 1)),
            (Stage::Leaving, 221) => Ok(Stage::Leaving),
            _ => Err(reply.first_line()),
        }
    }
}

impl Census {
    fn enter(&mut self, address: usize) {
        self.admitted += 1;
        self.now += 1;
        self.now_of[address] += 1;
        self.most = self.most.max(self.now);
        self.most_of = self.most_of.max(self.now_of[address]);
    }

    fn leave(&mut self, address: usize) {
        self.now -= 1;
        self.now_of[address] -= 1;
    }
}

/// Begins to connect from one of the addresses.
fn connect(to: SocketAddr, address: usize) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM.nonblocking().cloexec(), None)?;
    let source = Ipv4Addr::from(u32::from(Ipv4Addr::LOCALHOST) + address as u32);
    socket.bind(&SockAddr::from(SocketAddr::from((source, 0))))?;
    match socket.connect(&SockAddr::from(to)) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
        _ => Ok(socket),
    }
}
