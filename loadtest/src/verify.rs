//! `loadtest verify`: compares what Maildirs hold with what the ledger says was acknowledged.

use crate::ledger::Ledger;
use crate::mark::{FIELD, Mark};
use crate::source::seconds;
use clap::Args;
use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Octets of a header line that are looked at; what follows on the line is no field of ours.
const LINE_LIMIT: u64 = 64 * 1024;

/// Octets of a header that are read before the file counts as none of ours.
const HEADER_LIMIT: u64 = 1024 * 1024;

/// Names that are listed in each group of the report.
const LISTED: usize = 20;

/// Pause between two walks while waiting.
const PAUSE: Duration = Duration::from_millis(200);

/// What `loadtest verify` is asked to do.
#[derive(Args, Debug)]
pub struct Options {
    /// Ledger that a source wrote; repeat it for several runs
    #[arg(long, required = true)]
    ledger: Vec<PathBuf>,
    /// Maildir in which the messages are to be found; repeat it for several
    #[arg(long, required = true)]
    maildir: Vec<PathBuf>,
    /// Copies of a message over all Maildirs that each line of the ledger stands for
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
        let comparison = compare(&ledgers, options.copies, &found);
        if comparison.missing.is_empty() || Instant::now() >= deadline {
            return Ok(report(&comparison, &found));
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

impl Found {
    fn walk(&mut self, maildirs: &[PathBuf], ledgers: &Ledgers) -> Result<(), String> {
        for folder in maildirs.iter().flat_map(|maildir| [maildir.join("new"), maildir.join("cur")]) {
            self.walk_folder(&folder, ledgers).map_err(|error| format!("{}: {error}", folder.display()))?;
        }
        Ok(())
    }

    fn walk_folder(&mut self, folder: &Path, ledgers: &Ledgers) -> io::Result<()> {
        let entries = match fs::read_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        for entry in entries {
            let path = entry?.path();
            if self.read.contains(&unique(&path)) {
                continue;
            }
            match File::open(&path) {
                // A reader of mail has moved it on to cur/ since the folder was listed.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                file => self.enter(&path, inspect(BufReader::with_capacity(64 * 1024, file?))?, ledgers),
            }
            self.read.insert(unique(&path));
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

/// What a file is.
#[derive(Debug, PartialEq, Eq)]
enum Inspected {
    /// A message that is as it says it is.
    Whole(Mark),
    /// A message of ours, of this run if it still tells, that is not.
    Damaged(Option<u64>, String),
    /// No message of ours.
    Foreign,
}

fn inspect(mut file: impl BufRead) -> io::Result<Inspected> {
    let (mark, id) = match read_header(&mut file)? {
        None => return Ok(Inspected::Foreign),
        Some(header) => header,
    };
    let Ok(mark) = mark.parse::<Mark>() else {
        return Ok(Inspected::Damaged(None, format!("not a mark: \"{}\"", mark.escape_default())));
    };
    let expected = format!("<{:010}.{:016x}@loadtest>", mark.seq, mark.run);
    if id.trim() != expected {
        return Ok(Inspected::Damaged(
            Some(mark.run),
            format!("Message-ID is \"{}\", not {expected}", id.escape_default()),
        ));
    }
    let (octets, crc) = read_body(file)?;
    if (octets, crc) == (mark.octets, mark.crc) {
        return Ok(Inspected::Whole(mark));
    }
    let why =
        format!("message {}: {octets} octets of crc {crc:08x}, not {} of {:08x}", mark.seq, mark.octets, mark.crc);
    Ok(Inspected::Damaged(Some(mark.run), why))
}

/// Reads up to and with the empty line; the values of the mark and of Message-ID, or `None` without a mark.
fn read_header(file: &mut impl BufRead) -> io::Result<Option<(String, String)>> {
    let (mut mark, mut id) = (None, String::new());
    let (mut line, mut read) = (Vec::new(), 0);
    while read < HEADER_LIMIT {
        line.clear();
        let count = file.take(LINE_LIMIT).read_until(b'\n', &mut line)?;
        read += count as u64;
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end_matches(['\r', '\n']);
        if count == 0 || text.is_empty() {
            return Ok(mark.map(|mark| (mark, id)));
        }
        if let Some(value) = text.strip_prefix(FIELD) {
            mark = Some(value.to_string());
        } else if let Some(value) = text.strip_prefix("Message-ID:") {
            id = value.to_string();
        }
    }
    Ok(None)
}

/// Octets and CRC-32C of the rest of the file, with every line end as CR LF.
fn read_body(mut file: impl BufRead) -> io::Result<(u64, u32)> {
    let (mut octets, mut crc, mut before) = (0, 0, 0);
    loop {
        let buffer = file.fill_buf()?;
        if buffer.is_empty() {
            return Ok((octets, crc));
        }
        for piece in buffer.split_inclusive(|&octet| octet == b'\n') {
            let line = piece.strip_suffix(b"\n");
            let text = line.unwrap_or(piece);
            before = text.last().copied().unwrap_or(before);
            let end: &[u8] = match line {
                None => b"",
                Some(_) if before == b'\r' => b"\n",
                Some(_) => b"\r\n",
            };
            crc = crc32c::crc32c_append(crc32c::crc32c_append(crc, text), end);
            octets += (text.len() + end.len()) as u64;
            if line.is_some() {
                before = b'\n';
            }
        }
        let count = buffer.len();
        file.consume(count);
    }
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

    const BODY: &str = "one\r\n.two\r\n\r\nFrom three \r\n";

    fn message(seq: u64, body: &str) -> String {
        let mark = Mark { run: 9, seq, crc: crc32c::crc32c(BODY.as_bytes()), octets: BODY.len() as u64 };
        let id = format!("<{seq:010}.{:016x}@loadtest>", 9);
        format!("Received: by here\r\nMessage-ID: {id}\r\n{FIELD} {mark}\r\n\r\n{body}")
    }

    fn inspected(text: &str) -> Inspected {
        let whole = inspect(text.as_bytes()).unwrap();
        let narrow = inspect(BufReader::with_capacity(1, text.as_bytes())).unwrap();
        assert_eq!(whole, narrow, "the size of the buffer makes no difference");
        whole
    }

    #[test]
    fn takes_either_line_end_for_whole() {
        let wire = message(4, BODY);
        assert!(matches!(inspected(&wire), Inspected::Whole(mark) if mark.seq == 4));
        assert!(matches!(inspected(&wire.replace("\r\n", "\n")), Inspected::Whole(_)));
    }

    #[test]
    fn notices_every_damage() {
        for body in ["", "one\r\n", &BODY[..BODY.len() - 1], &BODY.replace(".two", "..two"), &format!("{BODY}\r\n")] {
            assert!(matches!(inspected(&message(4, body)), Inspected::Damaged(Some(9), _)), "{body:?}");
        }
        let other_id = message(4, BODY).replace("<0000000004.", "<0000000005.");
        assert!(matches!(inspected(&other_id), Inspected::Damaged(Some(9), _)));
        assert!(matches!(inspected(&message(4, BODY).replace(" octets=", "")), Inspected::Damaged(None, _)));
        assert_eq!(inspected("Subject: x\n\nX-Loadtest: in the body\n"), Inspected::Foreign);
        assert_eq!(inspected(""), Inspected::Foreign);
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
    fn notices_a_whole_message_that_was_not_the_one_sent() {
        let (mut ledgers, mut found) = (ledgers(&[(1, 1)]), Found::default());
        ledgers.get_mut(&9).unwrap().messages.get_mut(&1).unwrap().crc ^= 1;
        found.enter(Path::new("x"), inspected(&message(1, BODY)), &ledgers);
        assert_eq!((found.damaged.len(), found.whole.len()), (1, 0));
    }
}
