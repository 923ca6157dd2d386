//! The content of messages: prepared once, each message told from all others by a few patched octets.
//!
//! A message is three pieces. The *head* is the header with its patched fields; the *middle* is one of several overlapping windows
//! of lines of a shared pool; the *last line* carries the message's number again. So the pieces of two messages that were mixed up
//! by a server do not pass for one, and the checksum costs the last line only, for that of each window is known beforehand.

use crate::date::date_time;
use crate::mark::{FIELD, Mark};
use crate::random::hash;
use std::ops::Range;
use std::time::{SystemTime, UNIX_EPOCH};

/// Windows of the pool, each a line further on.
const WINDOWS: usize = 64;

/// Digits in which the number of a message is written.
const SEQ_DIGITS: usize = 10;

/// Octets of the last line, CR LF included, without what fills it up.
const LAST_LINE: usize = b"-- end of ".len() + SEQ_DIGITS + b" ".len() + b"\r\n".len();

/// How content is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// By DATA: leading dots doubled, CR LF dot CR LF at the end.
    Data,
    /// By BDAT: as it is.
    Bdat,
}

/// All messages of a run.
pub struct Content {
    run: u64,
    shapes: Vec<Shape>,
    pool: Vec<u8>,
}

/// All messages of one size.
struct Shape {
    head: Vec<u8>,
    patches: Patches,
    body_octets: u64,
    windows: Vec<Window>,
}

/// Where the varying parts of the head are.
struct Patches {
    seq: [usize; 3],
    crc: usize,
}

/// A middle, and the last line that goes with it.
struct Window {
    range: Range<usize>,
    crc: u32,
    last_line: Vec<u8>,
}

/// What a message consists of besides the two pieces that were written out.
#[derive(Clone, Debug, Default)]
pub struct Piece {
    /// The range of [`Content::pool`] that goes between head and last line.
    pub middle: Range<usize>,
    /// CRC-32C of the body.
    pub crc: u32,
    /// Octets of the body.
    pub body_octets: u64,
}

impl Content {
    /// Prepares messages of exactly these sizes, line ends as CR LF counted, dots not doubled. Each message has one of them.
    pub fn prepare(run: u64, from: &str, to: &[String], sizes: &[usize], framing: Framing) -> Result<Content, String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let date = date_time(now);
        let mut lines = Lines::new(run);
        let shape = |size: &usize| {
            let (head, body_octets) = head(run, from, to, *size, &date)?;
            let patches = Patches::find(&head, run).ok_or("an address looks like a header field of this program")?;
            let windows = windows(&mut lines, body_octets, framing);
            Ok(Shape { head, patches, body_octets: body_octets as u64, windows })
        };
        let shapes = sizes.iter().map(shape).collect::<Result<Vec<_>, String>>()?;
        if shapes.is_empty() {
            return Err("no size for messages".into());
        }
        let pool = match framing {
            Framing::Data => lines.stuffed,
            Framing::Bdat => lines.plain,
        };
        Ok(Content { run, shapes, pool })
    }

    /// A size from which on a message has room for what it says of itself, whatever the day.
    pub fn least_size(from: &str, to: &[String]) -> usize {
        let day_of_two_digits = date_time(15 * 86_400);
        header(0, from, to, 0, &day_of_two_digits).len() + LAST_LINE
    }

    /// Octets of the content of message `seq`, dots not doubled.
    pub fn octets(&self, seq: u64) -> u64 {
        let shape = self.shape(seq);
        shape.head.len() as u64 + shape.body_octets
    }

    /// Octets of the content of a message, on the average over all sizes.
    pub fn mean_octets(&self) -> f64 {
        let octets = |shape: &Shape| shape.head.len() as f64 + shape.body_octets as f64;
        self.shapes.iter().map(octets).sum::<f64>() / self.shapes.len() as f64
    }

    /// Which size a message has follows from its number.
    fn shape(&self, seq: u64) -> &Shape {
        match self.shapes.len() {
            1 => &self.shapes[0],
            count => &self.shapes[(hash(self.run, seq) % count as u64) as usize],
        }
    }

    /// The octets from which the middles are taken.
    pub fn pool(&self) -> &[u8] {
        &self.pool
    }

    /// Appends the header of message `seq` to `head` and its last line to `tail`.
    pub fn write(&self, seq: u64, head: &mut Vec<u8>, tail: &mut Vec<u8>) -> Piece {
        let shape = self.shape(seq);
        let window = &shape.windows[(seq % WINDOWS as u64) as usize];
        let last = tail.len();
        tail.extend_from_slice(&window.last_line);
        let digits = decimal(seq);
        put(tail, last + b"-- end of ".len(), &digits);
        let crc = crc32c::crc32c_append(window.crc, &tail[last..]);
        let first = head.len();
        head.extend_from_slice(&shape.head);
        shape.patches.seq.iter().for_each(|at| put(head, first + at, &digits));
        put(head, first + shape.patches.crc, &hexadecimal(crc));
        Piece { middle: window.range.clone(), crc, body_octets: shape.body_octets }
    }

    /// The run that every message names.
    pub fn run(&self) -> u64 {
        self.run
    }
}

impl Patches {
    /// Finds the places by the one thing the head does not otherwise have: the run, in the order in which [`head`] writes it.
    fn find(head: &[u8], run: u64) -> Option<Patches> {
        let text = std::str::from_utf8(head).ok()?;
        let subject = text.find("\r\nSubject: load ")? + "\r\nSubject: load ".len();
        let id = text.find("\r\nMessage-ID: <")? + "\r\nMessage-ID: <".len();
        let mark = text.find(&format!("\r\n{FIELD} run={run:016x} seq="))?;
        let seq = mark + format!("\r\n{FIELD} run={run:016x} seq=").len();
        Some(Patches { seq: [subject, id, seq], crc: seq + SEQ_DIGITS + " crc=".len() })
    }
}

/// The header with its empty line, for message 0, and the octets left for the body.
fn head(run: u64, from: &str, to: &[String], size: usize, date: &str) -> Result<(Vec<u8>, usize), String> {
    let octets = header(run, from, to, 0, date).len();
    let least = octets + LAST_LINE;
    if size < least {
        return Err(format!("a size of {size} octets is too small: the least is {least}"));
    }
    let body = size - octets;
    Ok((header(run, from, to, body, date).into_bytes(), body))
}

/// The same for a body of so many octets; its length does not depend on them.
fn header(run: u64, from: &str, to: &[String], body_octets: usize, date: &str) -> String {
    let to = to.iter().map(|address| format!("<{address}>")).collect::<Vec<_>>().join(",\r\n ");
    let seq = "0".repeat(SEQ_DIGITS);
    let mark = Mark { run, seq: 0, crc: 0, octets: body_octets as u64 };
    format!(
        "From: <{from}>\r\nTo: {to}\r\nSubject: load {seq}\r\nDate: {date}\r\n\
         Message-ID: <{seq}.{run:016x}@loadtest>\r\n{FIELD} {mark}\r\n\r\n"
    )
}

/// Cuts the windows: each starts a line after the one before and ends with the line that still leaves room for the last one.
fn windows(lines: &mut Lines, body_octets: usize, framing: Framing) -> Vec<Window> {
    let room = body_octets - LAST_LINE;
    let mut end = 0;
    (0..WINDOWS)
        .map(|first| {
            lines.grow_to(first);
            end = end.max(first);
            let start = lines.starts[first];
            loop {
                lines.grow_to(end + 1);
                if lines.starts[end + 1].0 - start.0 > room {
                    break;
                }
                end += 1;
            }
            let stop = lines.starts[end];
            let crc = crc32c::crc32c(&lines.plain[start.0..stop.0]);
            let filler = room - (stop.0 - start.0);
            let range = match framing {
                Framing::Data => start.1..stop.1,
                Framing::Bdat => start.0..stop.0,
            };
            Window { range, crc, last_line: last_line(filler) }
        })
        .collect()
}

fn last_line(filler: usize) -> Vec<u8> {
    format!("-- end of {} {}\r\n", "0".repeat(SEQ_DIGITS), "=".repeat(filler)).into_bytes()
}

/// Pseudo-random lines, as they are and with leading dots doubled, and where each starts in the two.
struct Lines {
    plain: Vec<u8>,
    stuffed: Vec<u8>,
    starts: Vec<(usize, usize)>,
    random: u64,
}

impl Lines {
    fn new(seed: u64) -> Lines {
        Lines { plain: Vec::new(), stuffed: Vec::new(), starts: vec![(0, 0)], random: seed | 1 }
    }

    /// Makes lines until line `number` has a start.
    fn grow_to(&mut self, number: usize) {
        while self.starts.len() <= number {
            let from = self.plain.len();
            self.add_line(self.starts.len() - 1);
            if self.plain[from] == b'.' {
                self.stuffed.push(b'.');
            }
            self.stuffed.extend_from_slice(&self.plain[from..]);
            self.starts.push((self.plain.len(), self.stuffed.len()));
        }
    }

    /// Adds a line; some are those that servers get wrong: empty, a lone dot, leading dots, `From `, a blank at the end.
    fn add_line(&mut self, number: usize) {
        match number % 16 {
            3 => self.plain.extend_from_slice(b"."),
            5 => self.plain.extend_from_slice(b".."),
            7 => self.plain.extend_from_slice(b"From "),
            11 => {}
            13 => self.add_letters(b". ", 40),
            15 => self.add_letters(b" ", 30),
            _ => self.add_letters(b"", 70),
        }
        if number % 16 == 7 {
            self.add_letters(b"", 20);
            self.plain.push(b' ');
        }
        self.plain.extend_from_slice(b"\r\n");
    }

    fn add_letters(&mut self, start: &[u8], count: usize) {
        self.plain.extend_from_slice(start);
        for _ in 0..count {
            // Xorshift: no need of quality, only of lines that do not repeat.
            self.random ^= self.random << 13;
            self.random ^= self.random >> 7;
            self.random ^= self.random << 17;
            self.plain.push(b'!' + (self.random >> 33) as u8 % (b'~' - b'!' + 1));
        }
    }
}

fn put(buffer: &mut [u8], at: usize, octets: &[u8]) {
    buffer[at..at + octets.len()].copy_from_slice(octets);
}

fn decimal(mut number: u64) -> [u8; SEQ_DIGITS] {
    let mut digits = [b'0'; SEQ_DIGITS];
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
    digits
}

fn hexadecimal(number: u32) -> [u8; 8] {
    std::array::from_fn(|at| b"0123456789abcdef"[(number >> (28 - 4 * at) & 15) as usize])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::{Inspected, inspect};

    fn content(size: usize, framing: Framing) -> Content {
        Content::prepare(0xfeed, "me@here", &["you@there".into(), "they@there".into()], &[size], framing).unwrap()
    }

    fn message(content: &Content, seq: u64) -> (Vec<u8>, Piece) {
        let (mut head, mut tail) = (Vec::new(), Vec::new());
        let piece = content.write(seq, &mut head, &mut tail);
        head.extend_from_slice(&content.pool()[piece.middle.clone()]);
        head.extend_from_slice(&tail);
        (head, piece)
    }

    fn unstuffed(message: &[u8]) -> Vec<u8> {
        let text = String::from_utf8(message.to_vec()).unwrap();
        text.split_inclusive("\r\n").map(|line| line.strip_prefix('.').unwrap_or(line)).collect::<String>().into_bytes()
    }

    #[test]
    fn has_exactly_the_size_asked_for() {
        for size in (400..1400).chain([4096, 102_400, 1_048_576]) {
            let content = content(size, Framing::Bdat);
            assert_eq!(content.octets(1), size as u64);
            for seq in [0, 1, 63, 64, 9_999_999_999] {
                assert_eq!(message(&content, seq).0.len(), size, "size {size}, message {seq}");
            }
        }
    }

    #[test]
    fn says_what_its_body_is() {
        let content = content(4096, Framing::Bdat);
        for seq in [0, 7, 63, 1_234_567_890] {
            let (message, piece) = message(&content, seq);
            let text = String::from_utf8(message).unwrap();
            let (header, body) = text.split_once("\r\n\r\n").unwrap();
            let mark = header.lines().find_map(|line| line.strip_prefix(FIELD)).unwrap();
            let expected = Mark { run: 0xfeed, seq, crc: crc32c::crc32c(body.as_bytes()), octets: body.len() as u64 };
            assert_eq!(mark.parse(), Ok(expected));
            assert_eq!(piece.crc, expected.crc);
            assert!(header.contains(&format!("Message-ID: <{seq:010}.000000000000feed@loadtest>")));
            assert!(header.contains(&format!("Subject: load {seq:010}")));
            assert!(body.lines().last().unwrap().starts_with(&format!("-- end of {seq:010} ")));
        }
    }

    #[test]
    fn doubles_leading_dots_for_data_and_only_those() {
        let (data, bdat) = (content(4096, Framing::Data), content(4096, Framing::Bdat));
        for seq in 0..64 {
            let (wire, plain) = (message(&data, seq).0, message(&bdat, seq).0);
            assert!(wire.len() > plain.len());
            assert!(!wire.windows(5).any(|octets| octets == b"\r\n.\r\n"));
            assert_eq!(unstuffed(&wire), plain);
        }
    }

    #[test]
    fn holds_no_line_that_a_server_may_refuse() {
        let (message, _) = message(&content(102_400, Framing::Data), 5);
        assert!(message.iter().all(|&octet| octet < 128 && octet != 0));
        assert!(
            String::from_utf8(message)
                .unwrap()
                .split("\r\n")
                .all(|line| line.len() <= 998 && !line.contains(['\r', '\n']))
        );
    }

    #[test]
    fn differs_from_message_to_message() {
        let content = content(1024, Framing::Data);
        let mut seen = std::collections::HashSet::new();
        assert!((0..200).all(|seq| seen.insert(message(&content, seq).1.crc)));
    }

    #[test]
    fn sizes_are_mixed_by_the_number_of_the_message_and_each_is_whole() {
        let to = ["you@there".to_string()];
        let content = Content::prepare(5, "me@here", &to, &[1000, 2000, 90_000], Framing::Bdat).unwrap();
        let mut seen = std::collections::BTreeMap::new();
        for seq in 0..3000 {
            let message = message(&content, seq).0;
            assert_eq!(message.len() as u64, content.octets(seq));
            if seq < 200 {
                assert!(matches!(inspect(&message[..]), Ok(Inspected::Whole(mark)) if mark.seq == seq));
            }
            *seen.entry(message.len()).or_insert(0) += 1;
        }
        assert_eq!(seen.keys().copied().collect::<Vec<_>>(), [1000, 2000, 90_000]);
        assert!(seen.values().all(|count| (850..1150).contains(count)), "{seen:?}");
        assert_eq!(content.mean_octets(), 31_000.0);
    }

    #[test]
    fn refuses_a_size_without_room() {
        let to = ["you@there".to_string()];
        let least = Content::least_size("me@here", &to);
        assert!(Content::prepare(1, "me@here", &to, &[least], Framing::Data).is_ok());
        assert!(Content::prepare(1, "me@here", &to, &[least - 2], Framing::Data).is_err());
        let error = Content::prepare(1, "me@here", &["you@there".into()], &[100], Framing::Data).err().unwrap();
        assert!(error.contains("too small"), "{error}");
    }
}
