//! Mails that this host writes itself: facts in, octets out.

pub mod letter;
pub mod report;
pub mod status;

use crate::mail::MessageId;

/// Octets of another's header that go into a mail of ours.
pub const HEADER_MAX: usize = 64 << 10;

/// The Message-ID of a mail that comes of another.
pub fn message_id(of: MessageId, seed: u64, host: &str) -> String {
    format!("<{of}.{seed:016x}@{host}>")
}

/// A boundary that none of the texts has in it.
fn boundary(of: MessageId, seed: u64, texts: &[&[u8]]) -> String {
    let mut seed = seed;
    loop {
        let boundary = format!("=_{of}.{seed:016x}");
        let is_in = |text: &&[u8]| memchr::memmem::find(text, boundary.as_bytes()).is_some();
        // A text of n octets has fewer than n boundaries in it, so one of the next seeds is free.
        if !texts.iter().any(is_in) {
            return boundary;
        }
        seed = seed.wrapping_add(1);
    }
}

/// As much of a header as goes into a mail of ours: whole fields.
pub fn bounded(header: &[u8]) -> &[u8] {
    let mut end = 0;
    for field in super::header::fields(header) {
        if end + field.raw.len() > HEADER_MAX {
            break;
        }
        end += field.raw.len();
    }
    header.get(..end).unwrap_or_default()
}

/// A text as one line of printable characters, cut where it is long.
pub fn one_line(text: &str, most: usize) -> String {
    let mut line = String::with_capacity(text.len().min(most));
    for c in text.chars() {
        if line.len() + c.len_utf8() > most {
            break;
        }
        line.push(if c.is_control() { ' ' } else { c });
    }
    line.trim().to_owned()
}

/// Every line of a text with CR LF, none of it longer than a line may be (RFC 5322 §2.1.1).
fn lines(text: &str) -> String {
    const WIDEST: usize = 900;
    let mut out = String::with_capacity(text.len() + 16);
    for line in text.lines() {
        let mut rest = line;
        loop {
            let cut = rest.char_indices().map(|(at, _)| at).take_while(|at| *at <= WIDEST).last().unwrap_or(0);
            let (piece, after) = if rest.len() > WIDEST { rest.split_at(cut) } else { (rest, "") };
            out.extend(piece.chars().map(|c| if c.is_control() && c != '\t' { ' ' } else { c }));
            out.push_str("\r\n");
            if after.is_empty() {
                break;
            }
            rest = after;
        }
    }
    out
}
