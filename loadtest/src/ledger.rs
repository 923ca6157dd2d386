//! The ledger: a line for every message that the server acknowledged.
//!
//! The first line is `# loadtest run=<hex>`. Each further line is `seq session octets crc32c server-reply`, where octets and CRC-32C
//! (hexadecimal) are those of the body as in the [`crate::mark`]. With LMTP there is a line for each recipient that was acknowledged.
//!
//! A sink's ledger starts with `# loadtest sink`. Each further line is `run seq octets crc32c session recipient` for a message that was
//! whole, or `damaged session recipient what`, or `foreign session recipient` for one that no source of ours has made.

use crate::inspect::Inspected;
use crate::mark::Mark;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::Path;

/// Octets of a ledger's line that are read at most.
const LINE_LIMIT: u64 = 16 * 1024;

/// Writes a ledger.
pub struct LedgerWriter {
    file: BufWriter<File>,
}

/// Writes the ledger of a sink.
pub struct SinkLedger {
    file: BufWriter<File>,
    dirty: bool,
}

/// The first line of a sink's ledger.
const SINK: &[u8] = b"# loadtest sink";

impl SinkLedger {
    /// Makes the file, which must not exist yet.
    pub fn create(path: &Path) -> Result<SinkLedger, String> {
        let create = || {
            let mut file = BufWriter::with_capacity(256 * 1024, File::create_new(path)?);
            file.write_all(SINK)?;
            file.write_all(b"\n")?;
            Ok(SinkLedger { file, dirty: true })
        };
        create().map_err(|error: io::Error| format!("{}: {error}", path.display()))
    }

    /// Notes what was acknowledged to be there for `recipient`.
    pub fn write(&mut self, session: u64, recipient: &str, inspected: &Inspected) -> io::Result<()> {
        self.dirty = true;
        // A path may hold blanks and even quoted line ends; a line of the ledger ends where it ends.
        let recipient = recipient.escape_default();
        match inspected {
            Inspected::Whole(Mark { run, seq, crc, octets }) => {
                writeln!(self.file, "{run:016x} {seq} {octets} {crc:08x} {session} {recipient}")
            }
            Inspected::Damaged(_, why) => writeln!(self.file, "damaged {session} {recipient} {why}"),
            Inspected::Foreign => writeln!(self.file, "foreign {session} {recipient}"),
        }
    }

    /// Hands what was written to the kernel.
    pub fn flush(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.dirty) { self.file.flush() } else { Ok(()) }
    }
}

/// Reads a sink's ledger and gives what each line says; an error names the line.
pub fn read_sink(path: &Path, mut entry: impl FnMut(Inspected)) -> Result<(), String> {
    let file = File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let failed = |number: u64, what: &str| format!("{}:{number}: {what}", path.display());
    let (mut input, mut line, mut number) = (BufReader::new(file), Vec::new(), 1);
    if !read_line(&mut input, &mut line).map_err(|error| failed(1, &error))? || line != SINK {
        return Err(failed(1, "not a sink's ledger"));
    }
    while read_line(&mut input, &mut line).map_err(|error| failed(number + 1, &error))? {
        number += 1;
        entry(sink_entry(&line).ok_or_else(|| failed(number, "not \"run seq octets crc32c session recipient\""))?);
    }
    Ok(())
}

fn sink_entry(line: &[u8]) -> Option<Inspected> {
    let text = String::from_utf8_lossy(line);
    let mut words = text.splitn(6, ' ');
    match words.next()? {
        "foreign" => Some(Inspected::Foreign),
        "damaged" => Some(Inspected::Damaged(None, text.clone().into_owned())),
        run => {
            let run = u64::from_str_radix(run, 16).ok()?;
            let seq = words.next()?.parse().ok()?;
            let octets = words.next()?.parse().ok()?;
            let crc = u32::from_str_radix(words.next()?, 16).ok()?;
            words.next()?.parse::<u64>().ok()?;
            words.next()?;
            Some(Inspected::Whole(Mark { run, seq, crc, octets }))
        }
    }
}

/// One acknowledged message, as the ledger has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acknowledged {
    /// Octets of the body.
    pub octets: u64,
    /// CRC-32C of the body.
    pub crc: u32,
    /// Lines of the ledger about this message: 1, or with LMTP the recipients that were acknowledged.
    pub lines: u64,
}

/// A ledger that was read.
#[derive(Debug, PartialEq, Eq)]
pub struct Ledger {
    /// The run that wrote it.
    pub run: u64,
    /// The acknowledged messages by number.
    pub messages: HashMap<u64, Acknowledged>,
}

impl LedgerWriter {
    /// Makes the file, which must not exist yet: a ledger is evidence and is not written over.
    pub fn create(path: &Path, run: u64) -> io::Result<LedgerWriter> {
        let mut file = BufWriter::with_capacity(256 * 1024, File::create_new(path)?);
        writeln!(file, "# loadtest run={run:016x}")?;
        Ok(LedgerWriter { file })
    }

    /// Notes that message `seq` was acknowledged in `session` with `reply`, of which the first line is written.
    pub fn write(&mut self, seq: u64, session: usize, octets: u64, crc: u32, reply: &[u8]) -> io::Result<()> {
        write!(self.file, "{seq} {session} {octets} {crc:08x} ")?;
        let first = reply.split(|&octet| octet == b'\n').next().unwrap_or_default();
        self.file.write_all(first)?;
        self.file.write_all(b"\n")
    }

    /// Hands everything written to the kernel.
    pub fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Ledger {
    /// Reads the ledger at `path`; an error names the line.
    pub fn read(path: &Path) -> Result<Ledger, String> {
        let file = File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ledger::parse(BufReader::new(file)).map_err(|error| format!("{}:{error}", path.display()))
    }

    fn parse(mut input: impl BufRead) -> Result<Ledger, String> {
        let mut line = Vec::new();
        let mut number = 1;
        read_line(&mut input, &mut line).map_err(|error| format!("{number}: {error}"))?;
        let run = run(&line).ok_or("1: no \"# loadtest run=<hex>\" line")?;
        let mut ledger = Ledger { run, messages: HashMap::new() };
        while read_line(&mut input, &mut line).map_err(|error| format!("{}: {error}", number + 1))? {
            number += 1;
            ledger.enter(&line).ok_or_else(|| format!("{number}: not \"seq session octets crc32c reply\""))?;
        }
        Ok(ledger)
    }

    fn enter(&mut self, line: &[u8]) -> Option<()> {
        let mut words = line.splitn(5, |&octet| octet == b' ').map(|word| std::str::from_utf8(word).ok());
        let seq: u64 = words.next()??.parse().ok()?;
        let _session: usize = words.next()??.parse().ok()?;
        let octets = words.next()??.parse().ok()?;
        let crc = u32::from_str_radix(words.next()??, 16).ok()?;
        words.next()?;
        let entry = self.messages.entry(seq).or_insert(Acknowledged { octets, crc, lines: 0 });
        entry.lines += 1;
        (entry.octets == octets && entry.crc == crc).then_some(())
    }
}

fn run(line: &[u8]) -> Option<u64> {
    let digits = line.strip_prefix(b"# loadtest run=")?;
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// Reads the next line without its LF; false at the end. A line that the end cuts off is an error.
fn read_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> Result<bool, String> {
    line.clear();
    let read = input.take(LINE_LIMIT).read_until(b'\n', line).map_err(|error| error.to_string())?;
    match line.pop() {
        None => Ok(false),
        Some(b'\n') => Ok(true),
        Some(_) => Err(format!("no line end within {read} octets")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ledger");
        let mut writer = LedgerWriter::create(&path, 7).unwrap();
        writer.write(3, 0, 900, 0xabc, b"250 2.0.0 Ok: queued as 1\nmore").unwrap();
        writer.write(4, 1, 901, 0xabd, b"250 one").unwrap();
        writer.write(4, 1, 901, 0xabd, b"250").unwrap();
        writer.flush().unwrap();
        let ledger = Ledger::read(&path).unwrap();
        assert_eq!(ledger.run, 7);
        assert_eq!(ledger.messages[&3], Acknowledged { octets: 900, crc: 0xabc, lines: 1 });
        assert_eq!(ledger.messages[&4], Acknowledged { octets: 901, crc: 0xabd, lines: 2 });
        assert_eq!(ledger.messages.len(), 2);
        assert!(LedgerWriter::create(&path, 7).is_err(), "a ledger is not written over");
    }

    #[test]
    fn a_sinks_ledger_is_read_as_it_was_written() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ledger");
        let whole = Inspected::Whole(Mark { run: 9, seq: 3, crc: 0xabc, octets: 900 });
        let mut writer = SinkLedger::create(&path).unwrap();
        writer.write(1, "you@there", &whole).unwrap();
        writer.write(1, "\"a b\\\n\"@there", &whole).unwrap();
        writer.write(2, "you@there", &Inspected::Damaged(Some(9), "short".into())).unwrap();
        writer.write(3, "you@there", &Inspected::Foreign).unwrap();
        writer.flush().unwrap();
        let mut entries = Vec::new();
        read_sink(&path, |entry| entries.push(entry)).unwrap();
        assert_eq!(entries.len(), 4);
        assert!(entries[..2].iter().all(|entry| *entry == whole));
        assert!(matches!(&entries[2], Inspected::Damaged(None, text) if text.contains("short")));
        assert_eq!(entries[3], Inspected::Foreign);
        for (text, line) in
            [("x\n", 1), ("# loadtest sink\n9 3 900 xyz 1 a\n", 2), ("# loadtest sink\n9 3 900 abc 1\n", 2)]
        {
            std::fs::write(&path, text).unwrap();
            assert!(read_sink(&path, |_| ()).unwrap_err().contains(&format!(":{line}: ")), "{text:?}");
        }
        assert!(SinkLedger::create(&path).is_err());
    }

    #[test]
    fn refuses_what_is_no_ledger_and_names_the_line() {
        let head = "# loadtest run=7\n";
        for (text, line) in [
            ("", "1:"),
            ("1 2 3 4 250\n", "1:"),
            (&format!("{head}1 0 900 00000abc 250 ok\n1 0 900"), "3:"),
            (&format!("{head}1 0 900 xyz 250 ok\n"), "2:"),
            (&format!("{head}1 0 900 00000abc\n"), "2:"),
            (&format!("{head}1 0 900 00000abc 250\n1 0 901 00000abc 250\n"), "3:"),
        ] {
            let error = Ledger::parse(text.as_bytes()).unwrap_err();
            assert!(error.starts_with(line), "{text:?}: {error}");
        }
    }
}
