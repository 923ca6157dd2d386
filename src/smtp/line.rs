//! Command lines out of what was received (RFC 5321 §2.3.8).

use memchr::memchr;

/// One line of a client, without the CR LF or LF that ended it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// The line.
    Command(&'a [u8]),
    /// A line longer than allowed has ended; nothing of it was kept.
    TooLong,
}

/// Splits what is received into lines. A line ends at LF; a CR before it belongs to the end.
///
/// Between two calls it holds only the beginning of a line that has not ended: nothing when the client has sent whole
/// lines, and never more than the limit.
#[derive(Debug)]
pub struct LineReader {
    limit: usize,
    /// The beginning of a line whose end was not received yet.
    begun: Vec<u8>,
    /// `begun` is a whole line that the last call gave out.
    given: bool,
    /// The line that is being received is longer than the limit.
    too_long: bool,
}

impl LineReader {
    /// A reader of lines of at most `limit` octets, CR and LF not counted.
    pub fn new(limit: usize) -> LineReader {
        LineReader { limit, begun: Vec::new(), given: false, too_long: false }
    }

    /// Takes the next line off the front of `received`. `None`: no further line ends in it, and all of it was taken.
    pub fn next<'a, 'b: 'a>(&'a mut self, received: &mut &'b [u8]) -> Option<Line<'a>> {
        if std::mem::take(&mut self.given) {
            self.begun = Vec::new();
        }
        let Some(end) = memchr(b'\n', received) else {
            self.keep(received);
            *received = &[];
            return None;
        };
        let (piece, rest) = received.split_at(end);
        *received = rest.get(1..).unwrap_or_default();
        let line = if self.begun.is_empty() && !self.too_long {
            piece
        } else {
            self.keep(piece);
            self.given = true;
            &self.begun
        };
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let too_long = std::mem::take(&mut self.too_long) || line.len() > self.limit;
        Some(if too_long { Line::TooLong } else { Line::Command(line) })
    }

    /// What is held of a line that has not ended.
    pub fn begun(&self) -> &[u8] {
        if self.given { &[] } else { &self.begun }
    }

    /// Whether a line has begun and not ended.
    pub fn has_begun(&self) -> bool {
        self.too_long || self.held() > 0
    }

    /// Octets held of a line that has not ended.
    pub fn held(&self) -> usize {
        self.begun().len()
    }

    /// Holds on to a piece of a line, or to nothing of the line once it cannot be within the limit any more.
    fn keep(&mut self, piece: &[u8]) {
        // One octet above the limit may be the CR of the line's end.
        self.too_long |= self.begun.len() + piece.len() > self.limit.saturating_add(1);
        if self.too_long {
            self.begun = Vec::new();
        } else {
            self.begun.extend_from_slice(piece);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The lines of `pieces` received one after the other; `None` is a line too long.
    fn lines(limit: usize, pieces: &[&[u8]]) -> Vec<Option<Vec<u8>>> {
        let mut reader = LineReader::new(limit);
        let mut lines = Vec::new();
        for piece in pieces {
            let mut rest = *piece;
            while let Some(line) = reader.next(&mut rest) {
                lines.push(match line {
                    Line::Command(line) => Some(line.to_vec()),
                    Line::TooLong => None,
                });
            }
            assert!(rest.is_empty() && reader.held() <= limit + 1);
        }
        lines
    }

    #[test]
    fn lines_end_at_lf() {
        let expected = [Some(b"a".to_vec()), Some(b"".to_vec()), Some(b"b\rc".to_vec()), Some(b"\r".to_vec())];
        assert_eq!(lines(9, &[b"a\r\n\nb\rc\n\r\r\nrest"]), expected);
    }

    #[test]
    fn a_line_too_long_is_told_once_and_leaves_nothing() {
        let expected = [Some(b"abcd".to_vec()), None, Some(b"e".to_vec())];
        assert_eq!(lines(4, &[b"abcd\r\nabcde\r\ne\r\n"]), expected);
        assert_eq!(lines(4, &[b"abcd\r", b"\nabc", b"de", b"fghijklmn", b"\r", b"\n", b"e\n"]), expected);
    }

    #[test]
    fn whole_lines_leave_no_memory_behind() {
        let mut reader = LineReader::new(100);
        let mut rest: &[u8] = b"NO";
        assert_eq!(reader.next(&mut rest), None);
        assert!(reader.held() == 2 && reader.has_begun());
        rest = b"OP\r\n";
        assert_eq!(reader.next(&mut rest), Some(Line::Command(b"NOOP")));
        assert!(reader.held() == 0 && !reader.has_begun());
        rest = b"";
        assert_eq!(reader.next(&mut rest), None);
        assert_eq!(reader.begun.capacity(), 0);
        rest = &[b'x'; 102];
        assert_eq!(reader.next(&mut rest), None);
        assert!(reader.held() == 0 && reader.has_begun());
    }

    proptest! {
        #[test]
        fn lines_do_not_depend_on_how_they_arrive(input in "[ab\r\n]{0,40}", cut in 0usize..40, limit in 0usize..8) {
            let input = input.as_bytes();
            let (front, back) = input.split_at(cut.min(input.len()));
            let bytes: Vec<&[u8]> = input.chunks(1).collect();
            let whole = lines(limit, &[input]);
            prop_assert_eq!(&lines(limit, &[front, back]), &whole);
            prop_assert_eq!(&lines(limit, &bytes), &whole);
            let mut naive: Vec<_> = input.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line)).collect();
            naive.pop();
            let naive: Vec<_> = naive.into_iter().map(|line| (line.len() <= limit).then(|| line.to_vec())).collect();
            prop_assert_eq!(naive, whole);
        }
    }
}
