//! `loadtest verify`: compares what was kept and passed on with what the ledger says was acknowledged.

use crate::args::seconds;
use crate::inspect::{Inspected, inspect};
use crate::ledger::{self, Ledger};
use crate::mark::Mark;
use clap::{ArgGroup, Args};
use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Names that are listed in each group of the report.
const LISTED: usize = 20;

/// Pause between two walks while waiting.
const PAUSE: Duration = Duration::from_millis(200);

/// What `loadtest verify` is asked to do.
#[derive(Args, Debug)]
#[command(group(ArgGroup::new("places").args(["maildir", "messages", "sink"]).required(true).multiple(true)))]
pub struct Options {
    /// Ledger that a source wrote; repeat it for several runs
    #[arg(long, required = true)]
    ledger: Vec<PathBuf>,
    /// Maildir in which the messages are to be found; repeat it for several
    #[arg(long)]
    maildir: Vec<PathBuf>,
    /// Directory of files, a message each, itself and all below it, as an export of a spool makes it; repeat it for several
    #[arg(long)]
    messages: Vec<PathBuf>,
    /// Ledger of a sink to which the messages were passed on; repeat it for several
    #[arg(long)]
    sink: Vec<PathBuf>,
    /// Copies of a message over all these places that each line of the ledger stands for
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1000))]
    copies: u64,
    /// Seconds to wait for what is missing
    #[arg(long, default_value = "0", value_parser = seconds)]
    wait: Duration,
}

/// A message by its run and number.
type Key = (u64, u64);

/// What was found so far. Files that were read once are not read again.
#[derive(Default)]
struct Found {
    read: HashSet<PathBuf>,
    whole: HashMap<Key, u64>,
    damaged: Vec<String>,
    foreign: u64,
}

/// How ledger and Maildirs compare.
#[derive(Debug, Default, PartialEq, Eq)]
struct Comparison {
    /// Copies that the ledgers promise.
    acknowledged: u64,
    /// Copies of those that were found whole.
    found: u64,
    /// Messages of which copies are missing.
    missing: Vec<Key>,
    /// Copies found whole beyond those promised.
    duplicates: u64,
    /// Messages found whole that no ledger has.
    unacknowledged: u64,
}

/// The ledgers by their run.
type Ledgers = HashMap<u64, Ledger>;

/// Reports what is there; status 1 if anything acknowledged is missing or anything is damaged.
pub fn run(options: &Options) -> Result<ExitCode, String> {
    let ledgers = read_ledgers(&options.ledger)?;
    let deadline = Instant::now() + options.wait;
    let mut found = Found::default();
    loop {
        found.walk(&options.maildir, &ledgers)?;
        options.messages.iter().try_for_each(|directory| found.walk_tree(directory, &ledgers))?;
        let passed_on = passed_on(&options.sink, &ledgers, &found)?;
        let comparison = compare(&ledgers, options.copies, &passed_on);
        if comparison.missing.is_empty() || Instant::now() >= deadline {
            return Ok(report(&comparison, &passed_on));
        }
        std::thread::sleep(PAUSE);
    }
}

fn read_ledgers(paths: &[PathBuf]) -> Result<Ledgers, String> {
    let mut ledgers = Ledgers::new();
    for path in paths {
        let ledger = Ledger::read(path)?;
        if let Some(twice) = ledgers.insert(ledger.run, ledger) {
            return Err(format!("{}: run {:016x} has another ledger", path.display(), twice.run));
        }
    }
    Ok(ledgers)
}

/// What was found, and what the sinks acknowledged. Their ledgers grow, so each time they are read anew.
fn passed_on(sinks: &[PathBuf], ledgers: &Ledgers, found: &Found) -> Result<Found, String> {
    let mut all = Found { read: HashSet::new(), whole: found.whole.clone(), ..Found::default() };
    all.damaged.extend_from_slice(&found.damaged);
    all.foreign = found.foreign;
    for path in sinks {
        ledger::read_sink(path, |entry| all.enter(path, entry, ledgers))?;
    }
    Ok(all)
}

impl Found {
    /// Reads every file below a directory.
    fn walk_tree(&mut self, directory: &Path, ledgers: &Ledgers) -> Result<(), String> {
        let failed = |error: io::Error| format!("{}: {error}", directory.display());
        self.walk_folder(directory, ledgers, Path::to_owned).map_err(failed)?;
        for entry in fs::read_dir(directory).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if entry.file_type().map_err(failed)?.is_dir() {
                self.walk_tree(&entry.path(), ledgers)?;
            }
        }
        Ok(())
    }

    fn walk(&mut self, maildirs: &[PathBuf], ledgers: &Ledgers) -> Result<(), String> {
        for folder in maildirs.iter().flat_map(|maildir| [maildir.join("new"), maildir.join("cur")]) {
            self.walk_folder(&folder, ledgers, unique).map_err(|error| format!("{}: {error}", folder.display()))?;
        }
        Ok(())
    }

    fn walk_folder(&mut self, folder: &Path, ledgers: &Ledgers, key: fn(&Path) -> PathBuf) -> io::Result<()> {
        let entries = match fs::read_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        for entry in entries {
            let path = entry?.path();
            if self.read.contains(&key(&path)) || path.is_dir() {
                continue;
            }
            match File::open(&path) {
                // A reader of mail has moved it on to cur/ since the folder was listed.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                file => self.enter(&path, inspect(BufReader::with_capacity(64 * 1024, file?))?, ledgers),
            }
            self.read.insert(key(&path));
        }
        Ok(())
    }

    fn enter(&mut self, path: &Path, inspected: Inspected, ledgers: &Ledgers) {
        match inspected {
            Inspected::Whole(mark) if ledgers.contains_key(&mark.run) => {
                self.enter_whole(path, mark, &ledgers[&mark.run])
            }
            Inspected::Damaged(run, why) if run.is_none_or(|run| ledgers.contains_key(&run)) => {
                self.damaged.push(format!("{}: {why}", path.display()));
            }
            _ => self.foreign += 1,
        }
    }

    /// A message that is whole by itself is damaged if the ledger says that another one was sent.
    fn enter_whole(&mut self, path: &Path, mark: Mark, ledger: &Ledger) {
        let sent = ledger.messages.get(&mark.seq);
        if sent.is_some_and(|sent| (sent.octets, sent.crc) != (mark.octets, mark.crc)) {
            self.damaged.push(format!("{}: message {} is not the one that was sent", path.display(), mark.seq));
        } else {
            *self.whole.entry((mark.run, mark.seq)).or_insert(0) += 1;
        }
    }
}

/// The Maildir and the part of a file's name that stays when the message is moved from new/ to cur/ or gets flags.
fn unique(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let base = name.split(':').next().unwrap_or_default();
    path.parent().and_then(Path::parent).unwrap_or(Path::new("")).join(base)
}

fn compare(ledgers: &Ledgers, copies: u64, found: &Found) -> Comparison {
    let mut comparison = Comparison::default();
    for (&run, ledger) in ledgers {
        for (&seq, acknowledged) in &ledger.messages {
            let promised = acknowledged.lines * copies;
            let there = found.whole.get(&(run, seq)).copied().unwrap_or(0);
            comparison.acknowledged += promised;
            comparison.found += there.min(promised);
            comparison.duplicates += there.saturating_sub(promised);
            if there < promised {
                comparison.missing.push((run, seq));
            }
        }
    }
    let is_known = |(run, seq): &Key| ledgers.get(run).is_some_and(|ledger| ledger.messages.contains_key(seq));
    comparison.unacknowledged = found.whole.keys().filter(|key| !is_known(key)).count() as u64;
    comparison.missing.sort_unstable();
    comparison
}

fn report(comparison: &Comparison, found: &Found) -> ExitCode {
    let Comparison { acknowledged, found: whole, missing, duplicates, unacknowledged } = comparison;
    println!("acknowledged {acknowledged}, of these found whole {whole}");
    println!("messages missing {}, damaged {}, duplicates {duplicates}", missing.len(), found.damaged.len());
    println!("found whole but not acknowledged {unacknowledged}, other files {}", found.foreign);
    missing.iter().take(LISTED).for_each(|(run, seq)| println!("missing: message {seq} of run {run:016x}"));
    found.damaged.iter().take(LISTED).for_each(|text| println!("damaged: {text}"));
    if missing.is_empty() && found.damaged.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Acknowledged;
    use crate::mark::FIELD;

    const BODY: &str = "one\r\n.two\r\n\r\nFrom three \r\n";

    fn message(seq: u64, body: &str) -> String {
        let mark = Mark { run: 9, seq, crc: crc32c::crc32c(BODY.as_bytes()), octets: BODY.len() as u64 };
        let id = format!("<{seq:010}.{:016x}@loadtest>", 9);
        format!("Received: by here\r\nMessage-ID: {id}\r\n{FIELD} {mark}\r\n\r\n{body}")
    }

    fn ledgers(lines: &[(u64, u64)]) -> Ledgers {
        let acknowledged =
            |lines| Acknowledged { octets: BODY.len() as u64, crc: crc32c::crc32c(BODY.as_bytes()), lines };
        let messages = lines.iter().map(|&(seq, lines)| (seq, acknowledged(lines))).collect();
        HashMap::from([(9, Ledger { run: 9, messages })])
    }

    #[test]
    fn compares_copies_with_promises() {
        let whole = HashMap::from([((9, 1), 1), ((9, 2), 3), ((9, 3), 1), ((9, 7), 1)]);
        let found = Found { whole, ..Found::default() };
        let comparison = compare(&ledgers(&[(1, 1), (2, 1), (3, 2), (4, 1)]), 1, &found);
        let missing = vec![(9, 3), (9, 4)];
        assert_eq!(comparison, Comparison { acknowledged: 5, found: 3, missing, duplicates: 2, unacknowledged: 1 });
    }

    #[test]
    fn walks_new_and_cur_and_reads_a_moved_file_once() {
        let maildir = tempfile::tempdir().unwrap();
        for folder in ["new", "cur"] {
            fs::create_dir(maildir.path().join(folder)).unwrap();
        }
        let (new, cur) = (maildir.path().join("new/1.x.here"), maildir.path().join("cur/1.x.here:2,S"));
        fs::write(&new, message(1, BODY)).unwrap();
        fs::write(maildir.path().join("cur/2.x.here:2,"), message(2, BODY)).unwrap();
        fs::write(maildir.path().join("new/3.x.here"), message(2, BODY)).unwrap();
        fs::write(maildir.path().join("new/4.x.here"), "Subject: another\n\n").unwrap();
        let (ledgers, mut found) = (ledgers(&[(1, 1), (2, 1)]), Found::default());
        found.walk(&[maildir.path().into()], &ledgers).unwrap();
        fs::rename(new, cur).unwrap();
        found.walk(&[maildir.path().into()], &ledgers).unwrap();
        assert_eq!(found.whole, HashMap::from([((9, 1), 1), ((9, 2), 2)]));
        assert_eq!((found.foreign, found.damaged.len()), (1, 0));
    }

    #[test]
    fn reads_trees_of_files_and_what_sinks_acknowledged() {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir_all(home.path().join("0/deep")).unwrap();
        fs::write(home.path().join("0/deep/a.eml"), message(1, BODY)).unwrap();
        fs::write(home.path().join("b.eml"), message(2, BODY)).unwrap();
        let sink = home.path().join("sink");
        let mut writer = ledger::SinkLedger::create(&sink).unwrap();
        writer.write(0, "you@there", &inspect(message(2, BODY).as_bytes()).unwrap()).unwrap();
        writer.write(0, "they@there", &inspect(message(3, BODY).as_bytes()).unwrap()).unwrap();
        writer.write(1, "they@there", &inspect(message(3, "cut").as_bytes()).unwrap()).unwrap();
        writer.flush().unwrap();
        let (ledgers, mut found) = (ledgers(&[(1, 1), (2, 1), (3, 2)]), Found::default());
        found.walk_tree(&home.path().join("0"), &ledgers).unwrap();
        for _ in 0..2 {
            let all = passed_on(std::slice::from_ref(&sink), &ledgers, &found).unwrap();
            assert_eq!(all.whole, HashMap::from([((9, 1), 1), ((9, 2), 1), ((9, 3), 1)]));
            assert_eq!(all.damaged.len(), 1);
            assert_eq!(compare(&ledgers, 1, &all).missing, [(9, 3)]);
        }
        found.walk_tree(home.path(), &ledgers).unwrap();
        assert_eq!(found.whole, HashMap::from([((9, 1), 1), ((9, 2), 1)]));
    }

    #[test]
    fn notices_a_whole_message_that_was_not_the_one_sent() {
        let (mut ledgers, mut found) = (ledgers(&[(1, 1)]), Found::default());
        ledgers.get_mut(&9).unwrap().messages.get_mut(&1).unwrap().crc ^= 1;
        found.enter(Path::new("x"), inspect(message(1, BODY).as_bytes()).unwrap(), &ledgers);
        assert_eq!((found.damaged.len(), found.whole.len()), (1, 0));
    }
}
