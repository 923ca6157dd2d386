//! The ledger: a line for every message that the server acknowledged.
//!
//! The first line is `# loadtest run=<hex>`. Each further line is `seq session octets crc32c server-reply`, where octets and CRC-32C
//! (hexadecimal) are those of the body as in the [`crate::mark`]. With LMTP there is a line for each recipient that was acknowledged.

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
