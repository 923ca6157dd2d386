//! The content of a message as it is received: where DATA ends (RFC 5321 §4.1.1.4, §4.5.2), and what one pass over the
//! octets can tell of them.

use super::line_ends::{BLOCK, Marks};
use crate::mail::Content;

/// What of the octets just received is content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scan {
    /// Content that was held back before, because it might have begun the end of data, and did not: it goes before what
    /// is content of this buffer. Empty, `.` or `.` CR.
    pub carry: &'static [u8],
    /// How many octets at the front of the buffer are content. What follows them is held back or ends the data.
    pub content: usize,
    /// The data has ended: so many octets of the buffer are used up, and what follows them is the next command.
    pub end: Option<usize>,
}

/// Finds the end of data in buffers as they are received, and moves nothing.
///
/// Only CR LF `.` CR LF ends the data, and the start counts as after a CR LF (RFC 5321 §4.1.1.4). No octet that may belong
/// to the terminator is ever given out as content, so content may be written where it can not be taken back: at most the
/// two octets `.` CR are held back over the end of a buffer, and come out as [`Scan::carry`] if they were content.
#[derive(Debug)]
pub struct DataDecoder {
    scanner: Scanner,
    /// Octets at the end of what was received that are held back.
    held: usize,
}

impl Default for DataDecoder {
    fn default() -> DataDecoder {
        DataDecoder::new()
    }
}

impl DataDecoder {
    /// A decoder at the start of data.
    pub fn new() -> DataDecoder {
        DataDecoder { scanner: Scanner::new(true), held: 0 }
    }

    /// Looks through what was received next. Not to be called again once the end was found.
    pub fn scan(&mut self, received: &[u8]) -> Scan {
        let held_before = std::mem::take(&mut self.held);
        let end = self.scanner.run(received, held_before as u64);
        // The terminator's own octets, or those that may become it.
        let withheld = if end.is_some() { TERMINATOR.len() } else { self.scanner.state.held() };
        let used = end.unwrap_or(received.len());
        let same_run = withheld == held_before + used;
        let carry = if same_run { &[] } else { TERMINATOR.get(..held_before).unwrap_or_default() };
        let content = used.saturating_sub(withheld);
        if end.is_none() {
            self.held = withheld;
        }
        self.scanner.content.octets += (carry.len() + content) as u64;
        Scan { carry, content, end }
    }

    /// What is held back at this moment: the next [`Scan::carry`], unless the data ends with it.
    pub fn held(&self) -> &'static [u8] {
        TERMINATOR.get(..self.held).unwrap_or_default()
    }

    /// What is known of the content given out so far.
    pub fn content(&self) -> Content {
        self.scanner.content()
    }

    /// The size of the message given out so far, by which it is measured (RFC 1870 §5): doubled dots count once.
    pub fn size(&self) -> u64 {
        self.scanner.content.octets - self.scanner.doubled
    }
}

/// Looks over content whose length is known beforehand (BDAT, RFC 3030): it has no end to be found, and dots that begin
/// a line mean nothing.
#[derive(Debug)]
pub struct BodyScanner(Scanner);

impl Default for BodyScanner {
    fn default() -> BodyScanner {
        BodyScanner::new()
    }
}

impl BodyScanner {
    /// A scanner at the start of a message.
    pub fn new() -> BodyScanner {
        BodyScanner(Scanner::new(false))
    }

    /// Looks over what was received next, chunk after chunk: all of it is content.
    pub fn scan(&mut self, received: &[u8]) {
        self.0.run(received, 0);
        self.0.content.octets += received.len() as u64;
    }

    /// What is known of the content, as if it ended here.
    pub fn content(&self) -> Content {
        self.0.content()
    }

    /// The size of the message so far (RFC 1870 §5).
    pub fn size(&self) -> u64 {
        self.0.content.octets
    }
}

/// What ends the data where a line begins.
const TERMINATOR: &[u8] = b".\r\n";

/// Where the octet that comes next stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// At the start of a line: after CR LF, or of the content.
    LineStart,
    /// Inside of a line.
    Text,
    /// After a CR.
    Cr,
    /// After a dot that begins a line.
    Dot,
    /// After a dot that begins a line, and a CR.
    DotCr,
}

impl State {
    /// How many octets before here may belong to the terminator.
    fn held(self) -> usize {
        match self {
            State::LineStart | State::Text | State::Cr => 0,
            State::Dot => 1,
            State::DotCr => 2,
        }
    }
}

/// The one pass over content that both ways of receiving it share.
#[derive(Debug)]
struct Scanner {
    state: State,
    /// `octets` counts what was given out; the rest is as of the end of the last buffer.
    content: Content,
    /// Dots that only tell that the line behind them is none that ends the data.
    doubled: u64,
    /// How far into the content the line begins that was not ended yet.
    line_start: u64,
    /// An empty line was seen.
    header_ended: bool,
}

impl Scanner {
    fn new(dot_stuffed: bool) -> Scanner {
        let content = Content { dot_stuffed, ..Content::default() };
        Scanner { state: State::LineStart, content, doubled: 0, line_start: 0, header_ended: false }
    }

    /// Looks through `received`, before which `held` octets are neither content yet nor the terminator. Says how many
    /// octets the data with its terminator takes up, if it ends here.
    fn run(&mut self, received: &[u8], held: u64) -> Option<usize> {
        let base = self.content.octets + held;
        let mut at = 0;
        while let Some(&next) = received.get(at) {
            match (self.state, next) {
                (State::LineStart, b'.') if self.content.dot_stuffed => self.step(State::Dot, &mut at),
                (State::Dot, b'\r') => self.step(State::DotCr, &mut at),
                (State::Cr, b'\n') => {
                    self.step(State::LineStart, &mut at);
                    self.end_line(base + at as u64);
                }
                (State::DotCr, b'\n') => return Some(at + 1),
                (State::DotCr, _) => {
                    self.doubled += 1;
                    self.content.bare_cr = true;
                    self.state = State::Text;
                }
                (State::Cr, _) => {
                    self.content.bare_cr = true;
                    self.state = State::Text;
                }
                (State::Dot, _) => {
                    self.doubled += 1;
                    self.state = State::Text;
                }
                _ => self.text(received, base, &mut at),
            }
        }
        None
    }

    fn step(&mut self, state: State, at: &mut usize) {
        self.state = state;
        *at += 1;
    }

    /// Goes on to the first line that begins with a dot and may end the data, or to the end of the buffer.
    fn text(&mut self, received: &[u8], base: u64, at: &mut usize) {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("bmi1") {
            // SAFETY: the processor has both.
            return unsafe { self.text_wide(received, base, at) };
        }
        self.text_with(Marks::of, received, base, at);
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,bmi1")]
    fn text_wide(&mut self, received: &[u8], base: u64, at: &mut usize) {
        self.text_with(|octets| Marks::of_wide(octets), received, base, at);
    }

    #[inline(always)]
    fn text_with(&mut self, marks_of: impl Fn(&[u8]) -> Marks, received: &[u8], base: u64, at: &mut usize) {
        // What changes with every line, at hand.
        let (mut line_start, mut longest, mut doubled) = (self.line_start, self.content.longest_line, self.doubled);
        let mut rest = received.get(*at..).unwrap_or_default();
        let (mut position, mut cr_before) = (base + *at as u64, 0);
        'blocks: while !rest.is_empty() {
            let marks = marks_of(rest);
            let after_cr = marks.cr << 1 | cr_before;
            let mut ends = marks.lf & after_cr;
            while ends != 0 {
                let line = ends.trailing_zeros() as usize + 1;
                ends &= ends - 1;
                let end = position + line as u64;
                let length = end - line_start - 2;
                longest = longest.max(length);
                if length == 0 {
                    self.end_header(line_start);
                }
                line_start = end;
                if rest.get(line) == Some(&b'.') && self.content.dot_stuffed {
                    if matches!(rest.get(line + 1), None | Some(b'\r')) {
                        self.note_unusual(marks, after_cr, rest, line);
                        (position, cr_before) = (end, 0);
                        break 'blocks;
                    }
                    doubled += 1;
                }
            }
            if marks.eight_bit || marks.lf != after_cr {
                self.note_unusual(marks, after_cr, rest, BLOCK);
            }
            let Some(behind) = rest.get(BLOCK..) else {
                position += rest.len() as u64;
                cr_before = u64::from(rest.ends_with(b"\r"));
                break;
            };
            (rest, position, cr_before) = (behind, position + BLOCK as u64, marks.cr >> (BLOCK - 1));
        }
        (self.line_start, self.content.longest_line, self.doubled) = (line_start, longest, doubled);
        *at = (position - base) as usize;
        self.state = match cr_before {
            0 if line_start == position => State::LineStart,
            0 => State::Text,
            _ => State::Cr,
        };
    }

    /// Notes what is unusual in a block, of which at most `octets` are content.
    #[cold]
    #[inline(never)]
    fn note_unusual(&mut self, marks: Marks, after_cr: u64, rest: &[u8], octets: usize) {
        let content = &rest[..octets.min(rest.len())];
        let alone = (marks.lf ^ after_cr) & u64::MAX >> (BLOCK - content.len());
        self.content.bare_lf |= alone & marks.lf != 0;
        self.content.bare_cr |= alone & after_cr != 0;
        self.content.eight_bit |= !content.is_ascii();
    }

    /// A CR LF ended `end` octets into the content.
    fn end_line(&mut self, end: u64) {
        let length = end - self.line_start - 2;
        self.content.longest_line = self.content.longest_line.max(length);
        if length == 0 {
            self.end_header(self.line_start);
        }
        self.line_start = end;
    }

    /// An empty line begins so far into the content; the first one ends the header.
    #[cold]
    #[inline(never)]
    fn end_header(&mut self, octets: u64) {
        if !self.header_ended {
            self.header_ended = true;
            self.content.header_octets = octets;
        }
    }

    /// What is known of the content if it ends here: its last line need not have a CR LF, and a CR at the end is bare.
    fn content(&self) -> Content {
        let mut content = self.content;
        content.bare_cr |= self.state == State::Cr;
        content.longest_line = content.longest_line.max(content.octets - self.line_start);
        if !self.header_ended {
            content.header_octets = content.octets;
        }
        content
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What `pieces` hold: the content, what is known of it, its size, and how many octets of all were used up.
    type Decoded = (Vec<u8>, Content, u64, Option<usize>);

    fn decode(pieces: &[&[u8]]) -> Decoded {
        let (mut decoder, mut content, mut before) = (DataDecoder::new(), Vec::new(), 0);
        for piece in pieces {
            let held = decoder.held();
            let scan = decoder.scan(piece);
            content.extend_from_slice(scan.carry);
            content.extend_from_slice(&piece[..scan.content]);
            assert_eq!(decoder.content().octets, content.len() as u64);
            // What is held back is what was received behind the content.
            assert!(scan.end.is_some() || [held, piece].concat().ends_with(decoder.held()));
            if let Some(end) = scan.end {
                return (content, decoder.content(), decoder.size(), Some(before + end));
            }
            before += piece.len();
        }
        (content, decoder.content(), decoder.size(), None)
    }

    fn scan_body(pieces: &[&[u8]]) -> Content {
        let mut scanner = BodyScanner::new();
        pieces.iter().for_each(|piece| scanner.scan(piece));
        scanner.content()
    }

    /// The same by looking at every octet for itself: slow, and simple enough to be seen to be right.
    fn decode_naively(input: &[u8]) -> Decoded {
        let whole = [b"\r\n", input].concat();
        let end = whole.windows(5).position(|window| window == b"\r\n.\r\n");
        let content = match end {
            Some(at) => &input[..at],
            None => input
                .strip_suffix(b".")
                .or(input.strip_suffix(b".\r"))
                .filter(|c| c.is_empty() || c.ends_with(b"\r\n"))
                .unwrap_or(input),
        };
        let doubled = [b"\r\n", content].concat().windows(3).filter(|window| window == b"\r\n.").count();
        let size = (content.len() - doubled) as u64;
        (content.to_vec(), describe_naively(content, true), size, end.map(|at| at + 3))
    }

    fn describe_naively(content: &[u8], dot_stuffed: bool) -> Content {
        let text: Vec<u8> = content.to_vec();
        let mut lines = vec![0];
        lines.extend((2..=text.len()).filter(|end| text[..*end].ends_with(b"\r\n")));
        let ends = lines.iter().skip(1).map(|end| end - 2).chain([text.len()]);
        let lengths: Vec<usize> = lines.iter().zip(ends).map(|(start, end)| end - start).collect();
        let empty = (0..lines.len() - 1).find(|line| lengths[*line] == 0);
        Content {
            octets: text.len() as u64,
            header_octets: empty.map_or(text.len(), |line| lines[line]) as u64,
            longest_line: lengths.into_iter().max().unwrap_or(0) as u64,
            eight_bit: text.iter().any(|octet| *octet > 127),
            bare_cr: (0..text.len()).any(|at| text[at] == b'\r' && text.get(at + 1) != Some(&b'\n')),
            bare_lf: (0..text.len()).any(|at| text[at] == b'\n' && (at == 0 || text[at - 1] != b'\r')),
            dot_stuffed,
        }
    }

    fn agrees_at_every_split(input: &[u8]) {
        let expected = decode_naively(input);
        let body = describe_naively(input, false);
        for cut in 0..=input.len() {
            let (front, back) = input.split_at(cut);
            assert_eq!(decode(&[front, back]), expected, "{input:?} split at {cut}");
            assert_eq!(scan_body(&[front, back]), body, "{input:?} split at {cut}");
        }
        let octets: Vec<&[u8]> = input.chunks(1).collect();
        assert_eq!(decode(&octets), expected, "{input:?} octet by octet");
        assert_eq!(scan_body(&octets), body, "{input:?} octet by octet");
    }

    #[test]
    fn every_short_input_agrees_with_the_naive_twin() {
        const ALPHABET: [u8; 4] = *b"\r\n.a";
        for length in 0..=8u32 {
            for number in 0..ALPHABET.len().pow(length) {
                let digit = |place| ALPHABET[number / ALPHABET.len().pow(place) % ALPHABET.len()];
                let input: Vec<u8> = (0..length).map(digit).collect();
                agrees_at_every_split(&input);
            }
        }
    }

    #[test]
    fn the_empty_message() {
        let (content, found, size, end) = decode(&[b".\r\nQUIT\r\n"]);
        assert_eq!((content.as_slice(), size, end), (b"".as_slice(), 0, Some(3)));
        assert_eq!(found, Content { dot_stuffed: true, ..Content::default() });
    }

    #[test]
    fn what_one_pass_learns() {
        let (content, found, size, end) = decode(&[b"Subject: \xc3\xa9\r\nTo: a\r\n\r\n..dot\r\nlonger line\r\n.\r\n"]);
        assert_eq!((content.len(), size, end), (42, 41, Some(45)));
        let expected = Content {
            octets: 42,
            header_octets: 20,
            longest_line: 11,
            eight_bit: true,
            dot_stuffed: true,
            ..Content::default()
        };
        assert_eq!(found, expected);
    }

    proptest! {
        #[test]
        fn longer_inputs_agree_with_the_naive_twin(words in prop::collection::vec(
            prop::sample::select(vec![&b"\r\n"[..], b"\r", b"\n", b".", b"\r\n.\r\n", b"\r\n\r\n", b"text", b"\xe9"]), 0..20,
        )) {
            agrees_at_every_split(&words.concat());
        }

        #[test]
        fn so_do_inputs_of_several_blocks(words in prop::collection::vec(
            prop::sample::select(vec![&b"\r\n"[..], b"\r\n.", b"\r\n.\r", b"\n", b".", b"\xe9", &[b'x'; BLOCK - 1], &[b'x'; BLOCK - 2]]), 0..12,
        )) {
            agrees_at_every_split(&words.concat());
        }
    }
}
