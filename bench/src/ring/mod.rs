//! What kernel and disk can do with the primitives that ringpost uses, and nothing else: one thread, one ring.

mod disk;
pub mod meter;
mod names;
mod network;
mod submissions;
mod tls;

use crate::figures::{short, whole};
use crate::system;
use crate::table::{Column, Table};
use crate::uring::Driver;
use meter::{Figures, Meter};
use serde_json::{Value, json};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Cases that others are held against: receiving as ringpost does, and its way to write and sync, 64 records of 4 KiB and one.
pub const RECEIVE: &str = "receive, 16 KiB at a time";
/// See [`RECEIVE`].
pub const SYNC_64: &str = "O_DIRECT, overwriting, linked sync × 64";
/// See [`RECEIVE`].
pub const SYNC_1: &str = "O_DIRECT, overwriting, linked sync × 1";

/// What `bench ring` is asked to do.
#[derive(clap::Args, Debug)]
pub struct Options {
    /// Seconds that each case is measured
    #[arg(long, default_value_t = 0.5, value_parser = seconds)]
    pub seconds: f64,
    /// Only cases whose group or name holds this; may be repeated
    #[arg(long)]
    pub only: Vec<String>,
    /// On which disk: a directory that files are made in, and removed again
    #[arg(long, default_value = ".")]
    pub directory: PathBuf,
    /// File for the figures as JSON
    #[arg(long)]
    pub json: Option<PathBuf>,
}

/// Seconds above nothing, an hour at most.
pub fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= 3600.0 => Ok(seconds),
        _ => Err("not a number of seconds above 0, 3600 at most".into()),
    }
}

/// What a case does, as long as its meter says.
type Work = dyn Fn(&Place, &mut Meter) -> io::Result<()>;

/// A primitive at its work.
pub struct Case {
    /// What it is about.
    pub group: &'static str,
    /// What is done.
    pub name: String,
    run: Box<Work>,
}

impl Case {
    fn new(
        group: &'static str,
        name: impl Into<String>,
        run: impl Fn(&Place, &mut Meter) -> io::Result<()> + 'static,
    ) -> Case {
        Case { group, name: name.into(), run: Box::new(run) }
    }

    /// Measures it for so long.
    pub fn measure(&self, place: &Place, time: Duration) -> io::Result<Figures> {
        let mut meter = Meter::new(time);
        (self.run)(place, &mut meter)?;
        Ok(meter.finish())
    }
}

/// Where cases work.
pub struct Place {
    /// A directory of their own.
    pub directory: PathBuf,
    /// The CPU that the work is done on.
    pub cpu: usize,
    /// The CPU of whoever is at the other end of a connection.
    pub peer_cpu: usize,
}

impl Place {
    /// A ring for a case.
    fn ring(&self) -> io::Result<Driver> {
        Driver::new(256)
    }
}

/// All cases, in the order of a message's way.
pub fn cases() -> Vec<Case> {
    let groups = [submissions::cases(), network::cases(), tls::cases(), disk::cases(), names::cases()];
    groups.into_iter().flatten().collect()
}

/// Measures what was asked for, prints the table, and writes the JSON.
pub fn run(options: &Options) -> Result<(), String> {
    let chosen: Vec<Case> = cases().into_iter().filter(|case| is_chosen(case, &options.only)).collect();
    if chosen.is_empty() {
        let names: Vec<_> = cases().iter().map(|case| format!("  {}: {}", case.group, case.name)).collect();
        return Err(format!("--only names no case; there are:\n{}", names.join("\n")));
    }
    let figures = measure(&chosen, &options.directory, Duration::from_secs_f64(options.seconds))?;
    if let Some(path) = &options.json {
        crate::write_json(path, &figures)?;
    }
    Ok(())
}

fn is_chosen(case: &Case, words: &[String]) -> bool {
    words.is_empty() || words.iter().any(|word| case.group.contains(word.as_str()) || case.name.contains(word.as_str()))
}

fn measure(cases: &[Case], directory: &Path, time: Duration) -> Result<Value, String> {
    let folder = crate::folder_in(directory)?;
    let cpus = system::cpus();
    let (cpu, peer_cpu) = (cpus[0], cpus[cpus.len() - 1]);
    let machine = system::describe();
    system::pin(&[cpu]).map_err(|error| format!("cannot stay on CPU {cpu}: {error}"))?;
    let place = Place { directory: folder.path().to_owned(), cpu, peer_cpu };
    let file_system = system::file_system(directory);
    println!("{machine}; {} on {file_system}", directory.display());
    println!(
        "One thread on CPU {cpu}, peers on CPU {peer_cpu}. CPU is that of the thread, or of disk work with the kernel's helpers.\n"
    );
    if matches!(file_system.as_str(), "tmpfs" | "ramfs") {
        println!("This is no disk: syncing costs nothing here. Choose another --directory.\n");
    }
    let table = table();
    table.head();
    let (mut group, mut all) = ("", Vec::new());
    for case in cases {
        if group != case.group && !group.is_empty() {
            println!();
        }
        group = case.group;
        table.measuring(&format!("{group}: {}", case.name));
        let figures = case.measure(&place, time);
        if system::is_stopping() {
            return Err(system::stopped().to_string());
        }
        all.push(report(&table, case, figures));
    }
    Ok(json!({ "machine": machine, "file_system": file_system, "seconds": time.as_secs_f64(), "cases": all }))
}

fn table() -> Table {
    Table::new(
        2,
        &[
            Column("group", 8),
            Column("case", 44),
            Column("a second", 10),
            Column("±, %", 9),
            Column("µs CPU", 7),
            Column("p50 µs", 7),
            Column("p99 µs", 7),
            Column("MB/s", 7),
        ],
    )
}

/// Prints one case and turns it into JSON. What a kernel or file system does not have is said, and no reason to end.
fn report(table: &Table, case: &Case, figures: io::Result<Figures>) -> Value {
    let (group, name) = (case.group.to_owned(), case.name.clone());
    match figures {
        Ok(figures) => {
            table.row(&[
                group,
                name,
                whole(figures.per_second.median),
                figures.per_second.percent(),
                short(figures.cpu_us),
                short(figures.p50_us),
                short(figures.p99_us),
                short(figures.octets_per_second / 1e6),
            ]);
            figures.json(case.group, &case.name)
        }
        Err(error) => {
            table.row(&[group, name, format!("not here: {error}")]);
            json!({ "group": case.group, "name": case.name, "error": error.to_string() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every primitive that this kernel and file system have does what it should; io_uring itself must be there.
    #[test]
    fn every_case_runs() {
        let folder = tempfile::tempdir().expect("a directory");
        let cpu = system::cpus()[0];
        let place = Place { directory: folder.path().to_owned(), cpu, peer_cpu: cpu };
        for case in cases().iter().filter(|case| !case.name.contains("× 1,024") && !case.name.contains("× 256")) {
            match case.measure(&place, Duration::from_millis(1)) {
                Ok(figures) => assert!(figures.per_second.median > 0.0, "{}: {figures:?}", case.name),
                Err(error) => {
                    let lacking = [libc::EINVAL, libc::EOPNOTSUPP, libc::ENOSYS];
                    assert!(lacking.contains(&error.raw_os_error().unwrap_or(0)), "{}: {error}", case.name);
                }
            }
        }
        // Maildirs stay until the directory goes.
        let mut left =
            std::fs::read_dir(folder.path()).expect("the directory").flatten().map(|entry| entry.file_name());
        assert_eq!(left.find(|name| !name.as_encoded_bytes().starts_with(b"maildir-")), None);
    }

    #[test]
    fn what_others_are_held_against_is_there() {
        for name in [RECEIVE, SYNC_64, SYNC_1] {
            assert!(cases().iter().any(|case| case.name == name), "{name}");
        }
    }

    #[test]
    fn seconds_are_bounded() {
        assert_eq!(seconds("0.5"), Ok(0.5));
        for text in ["0", "-1", "nan", "4000", "x"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
