//! Tells whether a message is still what it says it is.

use crate::mark::{FIELD, Mark};
use std::io::{self, BufRead, Read};

/// Octets of a header line that are looked at; what follows on the line is no field of ours.
const LINE_LIMIT: u64 = 64 * 1024;

/// Octets of a header that are read before the file counts as none of ours.
const HEADER_LIMIT: u64 = 1024 * 1024;

/// What a message is.
#[derive(Debug, PartialEq, Eq)]
pub enum Inspected {
    /// A message that is as it says it is.
    Whole(Mark),
    /// A message of ours, of this run if it still tells, that is not.
    Damaged(Option<u64>, String),
    /// No message of ours.
    Foreign,
}

/// Reads a whole message, lines ending in LF or CR LF, dots not doubled.
pub fn inspect(mut file: impl BufRead) -> io::Result<Inspected> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::BufReader;

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
}
