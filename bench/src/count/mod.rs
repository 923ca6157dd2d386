//! What ringpost does for a message: copies, allocations, system calls, instructions, all of them counted and none timed.

mod instructions;
mod syscalls;

use crate::compare::beside;
use crate::compare::load::{End, Load};
use crate::compare::servers::{Ringpost, SEGMENT, Server};
use crate::figures::{octets, short, whole};
use crate::system;
use crate::table::{Column, Table};
use crate::tally::{self, Reading, Tally};
use instructions::{Counters, Instructions, Way};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use syscalls::{Calls, Syscalls};

/// What `bench count` is asked to do.
#[derive(clap::Args, Debug)]
pub struct Options {
    /// Octets of a message; repeat it for several sizes
    #[arg(long, default_values_t = [1 << 10, 4 << 10, 100 << 10, 10 << 20])]
    pub size: Vec<u64>,
    /// Connections at a time
    #[arg(long, default_value_t = 10)]
    pub sessions: u32,
    /// Send commands before the replies to those before have come (true), or one at a time (false)
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set)]
    pub pipelining: bool,
    /// Messages after which a connection is closed and a new one opened; 0: never
    #[arg(long, default_value_t = 0)]
    pub messages_per_connection: u32,
    /// Do not count instructions, which takes most of the time where valgrind does it
    #[arg(long)]
    pub no_instructions: bool,
    /// On which disk: a directory that files are made in, and removed again
    #[arg(long, default_value = ".")]
    pub directory: PathBuf,
    /// loadtest's program; the one beside this if not given
    #[arg(long)]
    pub loadtest: Option<PathBuf>,
    /// File for the figures as JSON
    #[arg(long)]
    pub json: Option<PathBuf>,
}

/// Octets that are sent to count copies, allocations and system calls, and messages at most and at least.
const OCTETS: u64 = 200 << 20;
const MESSAGES: std::ops::RangeInclusive<u64> = 20..=5000;

/// The same under callgrind, which takes fifty times as long.
const SLOW_OCTETS: u64 = 16 << 20;
const SLOW_MESSAGES: std::ops::RangeInclusive<u64> = 2..=500;

/// What messages of one size took.
struct Counted {
    size: u64,
    messages: u64,
    tally: Reading,
    calls: Result<Calls, String>,
    instructions: Option<Instructions>,
}

/// Counts, prints and writes.
pub fn run(options: &Options) -> Result<(), String> {
    let folder = crate::folder_in(&options.directory)?;
    let folder = (folder.path().canonicalize().map_err(|error| error.to_string())?, folder);
    let way = if options.no_instructions { Way::Unwanted } else { Way::find() };
    let loadtest = beside(&options.loadtest, "loadtest")?;
    let program = beside(&None, "ringpost-counted")?;
    let pace = if options.pipelining { "pipelined" } else { "one command at a time" };
    println!("{}; {} sessions, {pace}.", system::describe(), options.sessions);
    println!("Copies of {} octets and more in the process; instructions {}.\n", tally::LARGE, way.describe());
    let table = table();
    table.head();
    let mut all = Vec::new();
    for size in &options.size {
        table.measuring(&octets(*size));
        let load = Load {
            program: loadtest.clone(),
            sessions: options.sessions,
            size: *size,
            pipelining: options.pipelining,
            messages_per_connection: options.messages_per_connection,
            cpus: system::cpus(),
        };
        let mut done = count(&program, &load, way, &folder.0)?;
        if way == Way::Callgrind {
            table.measuring(&format!("{} under callgrind", octets(*size)));
            let messages = clamped(SLOW_OCTETS / size, SLOW_MESSAGES);
            let ringpost = ringpost(&program, 4 * messages * size);
            done.instructions = Some(instructions::by_callgrind(&ringpost, &load, messages, &folder.0)?);
        }
        table.row(&done.cells());
        all.push(done);
    }
    print_calls(&all);
    match &options.json {
        Some(path) => {
            let sizes: Vec<Value> = all.iter().map(Counted::json).collect();
            let (sessions, pipelining) = (options.sessions, options.pipelining);
            crate::write_json(path, &json!({ "sessions": sessions, "pipelining": pipelining, "sizes": sizes }))
        }
        None => Ok(()),
    }
}

fn clamped(value: u64, bounds: std::ops::RangeInclusive<u64>) -> u64 {
    value.clamp(*bounds.start(), *bounds.end())
}

/// ringpost with room for so many octets of content.
fn ringpost(program: &Path, octets: u64) -> Ringpost {
    let cpus = system::cpus();
    let mut ringpost = Ringpost::new(program.to_owned(), cpus);
    ringpost.prepared = octets / SEGMENT + 3;
    ringpost
}

fn count(program: &Path, load: &Load, way: Way, folder: &Path) -> Result<Counted, String> {
    let messages = clamped(OCTETS / load.size, MESSAGES).max(u64::from(load.sessions) * 2);
    let mut ringpost = ringpost(program, 3 * messages * (load.size + 1024));
    let file = folder.join("tally");
    // One from an earlier size would go on where it stood.
    let _ = std::fs::remove_file(&file);
    let tally = Tally::shared(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    ringpost.environment = vec![(tally::VARIABLE.into(), file)];
    let server = Server::ringpost(&ringpost, folder)?;
    // Pools are full and tables have grown then, as they are in a server that has run for a while.
    load.run(server.address, End::Messages(messages), folder)?;
    let calls = Syscalls::of(server.process());
    let counters = (way == Way::Hardware).then(|| Counters::of(server.process()).ok()).flatten();
    let before = tally.read();
    let sent = load.run(server.address, End::Messages(messages), folder)?;
    let instructions = counters.map(|counters| counters.each(sent.messages));
    Ok(Counted {
        size: load.size,
        messages: sent.messages,
        tally: tally.read().since(before),
        calls: calls.map(|calls| calls.read()),
        instructions,
    })
}

fn table() -> Table {
    Table::new(
        1,
        &[
            Column("a message of", 12),
            Column("messages", 8),
            Column("copies", 8),
            Column("content copied", 14),
            Column("allocations", 11),
            Column("their octets", 12),
            Column("system calls", 12),
            Column("ring operations", 15),
            Column("instructions", 12),
            Column("in the kernel", 13),
        ],
    )
}

impl Counted {
    fn each(&self, count: u64) -> f64 {
        count as f64 / self.messages as f64
    }

    fn cells(&self) -> Vec<String> {
        let calls = self.calls.as_ref().ok();
        vec![
            octets(self.size),
            whole(self.messages as f64),
            short(self.each(self.tally.copies)),
            format!("{:.2} ×", self.each(self.tally.copied) / self.size as f64),
            short(self.each(self.tally.blocks)),
            short(self.each(self.tally.octets)),
            short(calls.map_or(0.0, |calls| self.each(calls.all))),
            short(calls.map_or(0.0, |calls| self.each(calls.submitted))),
            short(self.instructions.map_or(0.0, |instructions| instructions.user)),
            short(self.instructions.and_then(|instructions| instructions.kernel).unwrap_or(0.0)),
        ]
    }

    fn json(&self) -> Value {
        let calls = self.calls.as_ref().ok();
        let named = calls.map(|calls| {
            let each = calls.named.iter().map(|(name, count)| ((*name).to_owned(), json!(self.each(*count))));
            Value::Object(each.collect())
        });
        json!({
            "size": self.size,
            "messages": self.messages,
            "copies": self.each(self.tally.copies),
            "content_copied": self.each(self.tally.copied) / self.size as f64,
            "allocations": self.each(self.tally.blocks),
            "allocated_octets": self.each(self.tally.octets),
            "system_calls": calls.map(|calls| self.each(calls.all)),
            "ring_operations": calls.map(|calls| self.each(calls.submitted)),
            "system_calls_by_name": named,
            "instructions_user": self.instructions.map(|instructions| instructions.user),
            "instructions_kernel": self.instructions.and_then(|instructions| instructions.kernel),
        })
    }
}

/// System calls by name, a column a size.
fn print_calls(all: &[Counted]) {
    if let Some(Err(why)) = all.iter().map(|counted| &counted.calls).find(|calls| calls.is_err()) {
        println!("\nSystem calls are not counted: {why}.");
        return;
    }
    let mut names: Vec<&'static str> = Vec::new();
    for (name, _) in all.iter().filter_map(|counted| counted.calls.as_ref().ok()).flat_map(|calls| &calls.named) {
        if !names.contains(name) {
            names.push(name);
        }
    }
    let sizes: Vec<String> = all.iter().map(|counted| octets(counted.size)).collect();
    println!("\nSystem calls of one message, all threads: {}.\n", sizes.join(", "));
    for name in names {
        let mut line = format!("  {name:<18}");
        for counted in all {
            let calls = counted.calls.as_ref().ok().and_then(|calls| calls.named.iter().find(|call| call.0 == name));
            line += &format!("{:>10}", short(calls.map_or(0.0, |call| counted.each(call.1))));
        }
        println!("{line}");
    }
}
