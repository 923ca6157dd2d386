//! `loadtest idle`: holds idle sessions and tells what they cost the server.

use crate::args::{resolve, seconds};
use crate::process::{self, Memory, StopSignal};
use crate::reply::ReplyReader;
use clap::Args;
use socket2::{Domain, SockAddr, Socket, Type};
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Connections from one source address; Linux has some 28,000 ports for them.
const PER_ADDRESS: u32 = 20_000;

/// How long a server may take for its greeting or its reply to EHLO.
const PATIENCE: Duration = Duration::from_secs(5);

/// Sessions in a row without an answer after which no more are opened.
const SILENT_LIMIT: u32 = 3;

/// What `loadtest idle` is asked to do.
#[derive(Args, Debug)]
pub struct Options {
    /// Server as HOST:PORT
    #[arg(long)]
    to: String,
    /// Sessions to open
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    connections: u32,
    /// Seconds to hold them
    #[arg(long, value_parser = seconds)]
    hold: Duration,
    /// Process of the server, whose memory and processor time are measured
    #[arg(long)]
    pid: Option<u32>,
    /// Send LHLO instead of EHLO
    #[arg(long)]
    lmtp: bool,
}

/// Opens, holds, measures. Status 0 means that every session was opened and still there at the end.
pub fn run(options: &Options) -> Result<ExitCode, String> {
    let to = resolve(&options.to)?;
    process::raise_descriptor_limit(u64::from(options.connections) + 64)?;
    let stop = StopSignal::install().map_err(|error| error.to_string())?;
    let before = options.pid.map(Memory::of).transpose()?;
    let mut sessions = open(options, to, &stop);
    let opened = sessions.len();
    println!("sessions     {opened} of {} answered EHLO", options.connections);
    let cpu_before = options.pid.map(process::cpu_time_of).transpose()?;
    hold(options.hold, &stop);
    let cpu_after = options.pid.map(process::cpu_time_of).transpose()?;
    let with = options.pid.map(Memory::of).transpose()?;
    sessions.retain_mut(is_open);
    println!("held         {} to the end of {:?}", sessions.len(), options.hold);
    if let (Some(before), Some(with)) = (before, with) {
        print_memory(before, with, opened);
    }
    if let (Some(before), Some(after)) = (cpu_before, cpu_after) {
        println!("server CPU   {:.2} s while idle", after.saturating_sub(before).as_secs_f64());
    }
    let complete = sessions.len() == options.connections as usize;
    Ok(if complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn open(options: &Options, to: SocketAddr, stop: &StopSignal) -> Vec<TcpStream> {
    let mut sessions = Vec::new();
    let mut silent = 0;
    for number in 0..options.connections {
        if silent == SILENT_LIMIT || stop.is_set() {
            break;
        }
        match greet(to, number, options.lmtp) {
            Ok(session) => {
                sessions.push(session);
                silent = 0;
            }
            Err(error) => {
                eprintln!("session {number}: {error}");
                silent += 1;
            }
        }
    }
    sessions
}

fn greet(to: SocketAddr, number: u32, lmtp: bool) -> io::Result<TcpStream> {
    let mut stream = connect(to, number)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    expect(&mut stream, 220)?;
    let hello: &[u8] = if lmtp { b"LHLO loadtest.localhost\r\n" } else { b"EHLO loadtest.localhost\r\n" };
    stream.write_all(hello)?;
    expect(&mut stream, 250)?;
    Ok(stream)
}

/// Connects; on the loopback network from a source address of its own for every so many sessions.
fn connect(to: SocketAddr, number: u32) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
    if let IpAddr::V4(address) = to.ip()
        && address.is_loopback()
    {
        let source = Ipv4Addr::from(u32::from(Ipv4Addr::LOCALHOST) + number / PER_ADDRESS);
        socket.bind(&SockAddr::from(SocketAddr::from((source, 0))))?;
    }
    socket.connect_timeout(&SockAddr::from(to), PATIENCE)?;
    Ok(socket.into())
}

fn expect(stream: &mut TcpStream, code: u16) -> io::Result<()> {
    let mut reader = ReplyReader::default();
    let mut buffer = [0; 4096];
    loop {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Err(io::Error::other("closed by server"));
        }
        let mut input = &buffer[..count];
        match reader.next(&mut input).map_err(|malformed| io::Error::other(malformed.to_string()))? {
            Some(reply) if reply.code == code => return Ok(()),
            Some(reply) => return Err(io::Error::other(reply.first_line())),
            None => {}
        }
    }
}

fn hold(time: Duration, stop: &StopSignal) {
    let end = Instant::now() + time;
    while !stop.is_set() && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(100).min(end.saturating_duration_since(Instant::now())));
    }
}

/// Whether the server has neither closed nor said anything, as a 421 before closing.
fn is_open(stream: &mut TcpStream) -> bool {
    if stream.set_nonblocking(true).is_err() {
        return false;
    }
    matches!(stream.read(&mut [0; 512]), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

fn print_memory(before: Memory, with: Memory, sessions: usize) {
    print_growth("RSS", before.rss, with.rss, sessions);
    match (before.pss, with.pss) {
        (Some(before), Some(with)) => print_growth("PSS", before, with, sessions),
        _ => println!("server PSS   not readable"),
    }
}

fn print_growth(name: &str, before: u64, with: u64, sessions: usize) {
    let growth = (with as f64 - before as f64) * 1024.0;
    let each = if sessions == 0 { 0.0 } else { growth / sessions as f64 };
    println!("server {name}   {before} KiB before, {with} KiB with them: {each:.0} octets a session");
}
