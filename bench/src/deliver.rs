//! How fast ringpost brings mail to a Maildir, beside what the disk can do of it: files made, written, synced, renamed, and their
//! directory synced, as many at a time.

use crate::compare::beside;
use crate::compare::load::{End, Load};
use crate::compare::servers::{Ringpost, SEGMENT, Server};
use crate::figures::{Spread, share, short, whole};
use crate::ring::{self, Place};
use crate::system;
use crate::table::{Column, Table};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// What `bench deliver` is asked to do.
#[derive(clap::Args, Debug)]
pub struct Options {
    /// Deliveries at a time; the harness measures 1, 4 and 16
    #[arg(long, default_value_t = 16, value_parser = depth)]
    pub depth: usize,
    /// Messages of 4 KiB that are delivered in a round
    #[arg(long, default_value_t = 4000, value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
    pub messages: u32,
    /// Rounds that count
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub rounds: u32,
    /// On which disk: a directory that files are made in, and removed again
    #[arg(long, default_value = ".")]
    pub directory: PathBuf,
    /// ringpost's program; the one beside this if not given
    #[arg(long)]
    pub ringpost: Option<PathBuf>,
    /// loadtest's program; the one beside this if not given
    #[arg(long)]
    pub loadtest: Option<PathBuf>,
    /// File for the figures as JSON
    #[arg(long)]
    pub json: Option<PathBuf>,
}

/// How long a round may take.
const PATIENCE: Duration = Duration::from_secs(300);

fn depth(text: &str) -> Result<usize, String> {
    let depth = text.parse().map_err(|_| format!("{text} is no number"))?;
    if [1, 4, 16].contains(&depth) { Ok(depth) } else { Err("1, 4 or 16".into()) }
}

/// Delivers, prints and writes.
pub fn run(options: &Options) -> Result<(), String> {
    let folder = crate::folder_in(&options.directory)?;
    let path = folder.path().canonicalize().map_err(|error| error.to_string())?;
    let cpus = system::cpus();
    let program = beside(&options.ringpost, "ringpost")?;
    let prepared = u64::from(options.messages) * 8192 / SEGMENT + 2;
    let held = Ringpost { prepared, ..Ringpost::new(program, cpus.clone()) };
    let load = Load {
        program: beside(&options.loadtest, "loadtest")?,
        sessions: 20,
        size: 4096,
        pipelining: true,
        messages_per_connection: 0,
        cpus,
    };
    println!("{}; {} on {}", system::describe(), options.directory.display(), system::file_system(&options.directory));
    println!("{} messages of 4 KiB to one Maildir, {} at a time.\n", options.messages, options.depth);
    let columns =
        [Column("round", 5), Column("ringpost, messages/s", 20), Column("the disk, files/s", 17), Column("share", 6)];
    let table = Table::new(1, &columns);
    table.head();
    let (mut ours, mut raw) = (Vec::new(), Vec::new());
    for round in 1..=options.rounds {
        table.measuring(&format!("round {round}"));
        // All of it stays until the end, for what was removed lately makes new files dear; but not the spool, which is large.
        let place = path.join(format!("round-{round}"));
        fs::create_dir(&place).map_err(|error| format!("{}: {error}", place.display()))?;
        let files = of_the_disk(options.depth, &place)?;
        let messages = deliver(&held, &load, options, &place)?;
        let spool = place.join("ringpost/var/spool");
        fs::remove_dir_all(&spool).map_err(|error| format!("{}: {error}", spool.display()))?;
        table.row(&[round.to_string(), whole(messages), whole(files), share(messages, files)]);
        ours.push(messages);
        raw.push(files);
    }
    let (ours, raw) = (Spread::of(&ours), Spread::of(&raw));
    println!(
        "\nMedians: {} of {}, which is {}.",
        short(ours.median),
        short(raw.median),
        share(ours.median, raw.median)
    );
    match &options.json {
        Some(path) => crate::write_json(
            path,
            &json!({ "machine": system::describe(), "depth": options.depth, "delivered_per_s": ours.json(),
                "files_per_s": raw.json(), "share": ours.median / raw.median }),
        ),
        None => Ok(()),
    }
}

/// What the harness does of it in a second.
fn of_the_disk(depth: usize, folder: &Path) -> Result<f64, String> {
    let name = format!("delivery to a Maildir, {depth} at a time");
    let case = ring::cases().into_iter().find(|case| case.name == name).ok_or_else(|| format!("no case {name}"))?;
    let cpus = system::cpus();
    let place = Place { directory: folder.to_owned(), cpu: cpus[0], peer_cpu: cpus[cpus.len() - 1] };
    let figures = case.measure(&place, Duration::from_secs(2)).map_err(|error| format!("the harness: {error}"))?;
    Ok(figures.per_second.median)
}

/// Has messages delivered that were held before, so that nothing else is done meanwhile; how many a second.
fn deliver(held: &Ringpost, load: &Load, options: &Options, folder: &Path) -> Result<f64, String> {
    let server = Server::ringpost(held, folder)?;
    load.run(server.address, End::Messages(options.messages.into()), folder)?;
    server.end()?;
    let delivering = Ringpost { deliveries: options.depth, ..held.clone() };
    let new = folder.join("ringpost/var/mail/localhost/you/new");
    let server = Server::ringpost_again(&delivering, folder)?;
    let begun = Instant::now();
    while count(&new) < options.messages as usize {
        if begun.elapsed() > PATIENCE || system::is_stopping() {
            return Err(format!("only {} messages were delivered", count(&new)));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    server.end()?;
    let times = made_at(&new).map_err(|error| format!("{}: {error}", new.display()))?;
    let (first, last) = (times.iter().min(), times.iter().max());
    let took = first.zip(last).and_then(|(first, last)| last.duration_since(*first).ok()).unwrap_or_default();
    Ok((times.len() as f64 - 1.0) / took.as_secs_f64())
}

fn count(directory: &Path) -> usize {
    fs::read_dir(directory).map_or(0, Iterator::count)
}

fn made_at(directory: &Path) -> std::io::Result<Vec<SystemTime>> {
    fs::read_dir(directory)?.map(|entry| entry?.metadata()?.modified()).collect()
}
