//! The content of a message, with changes to its header made while it is read: what is in the spool stays as it came.

use std::io;

use crate::io::Machine;
use crate::mail::Mailbox;
use crate::mailet::dkim::{BodyHash, BodyHasher, Canonicalization};
use crate::mailet::edit::Edits;
use crate::mailet::header;
use crate::mailet::mail::Body;
use crate::spool::{Spool, Stored};

/// Octets of a header that is read as a whole, for mailets and to be changed. Beyond, it is none that a reader made.
pub const HEADER_MAX: u64 = 1 << 20;

/// Whether the header of a message can be changed.
pub fn has_readable_header(stored: &Stored) -> bool {
    stored.message.content.header_octets <= HEADER_MAX
}

/// The header as it came, without stuffed dots, up to and including the CR LF of its last field; an error of the kind
/// `InvalidData` where it is larger than [`HEADER_MAX`].
pub async fn header<M: Machine>(spool: &Spool<M>, stored: &Stored) -> io::Result<Vec<u8>> {
    if !has_readable_header(stored) {
        let text = format!("the header has more than {HEADER_MAX} octets");
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    let octets = stored.message.content.header_octets;
    let (mut header, mut unstuffing) = (Vec::with_capacity(octets as usize), Unstuffing::of(stored));
    let push = async |slice: &[u8]| {
        unstuffing.push(slice, &mut header);
        Ok(())
    };
    spool.read_range(stored, 0..octets, push).await?;
    Ok(header)
}

/// All of the content as it came, without stuffed dots; `None` where that is more than `most` octets.
pub async fn whole<M: Machine>(spool: &Spool<M>, stored: &Stored, most: usize) -> io::Result<Option<Vec<u8>>> {
    let octets = stored.message.content.octets;
    if octets > most as u64 {
        return Ok(None);
    }
    let (mut content, mut unstuffing) = (Vec::with_capacity(octets as usize), Unstuffing::of(stored));
    let push = async |slice: &[u8]| {
        unstuffing.push(slice, &mut content);
        Ok(())
    };
    spool.read_content(stored, push).await?;
    Ok(Some(content))
}

/// The hash of the body as it came, without stuffed dots (RFC 6376 §3.7).
pub async fn body_hash<M: Machine>(spool: &Spool<M>, stored: &Stored, how: Canonicalization) -> io::Result<BodyHash> {
    let (mut hasher, mut unstuffing, mut buffer) = (BodyHasher::new(how), Unstuffing::of(stored), Vec::new());
    // The empty line between the two is not of the body.
    let mut between: &[u8] = b"\r\n";
    let push = async |slice: &[u8]| {
        buffer.clear();
        unstuffing.push(slice, &mut buffer);
        let skipped = between.iter().zip(&buffer).take_while(|(one, other)| one == other).count();
        between = if skipped == buffer.len() { between.get(skipped..).unwrap_or_default() } else { &[] };
        hasher.push(buffer.get(skipped..).unwrap_or_default());
        Ok(())
    };
    spool.read_range(stored, stored.message.content.header_octets..u64::MAX, push).await?;
    Ok(hasher.finish())
}

/// Hands the content to `each` in the form of the wire in which it is in the spool, its header changed. Where nothing is
/// changed nothing is looked at. `recipient` is whose copy it is, where that is to be told.
pub async fn edited<M: Machine>(
    spool: &Spool<M>,
    stored: &Stored,
    edits: &Edits,
    recipient: Option<&Mailbox>,
    mut each: impl AsyncFnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    if edits.0.is_empty() {
        return spool.read_content(stored, each).await;
    }
    let head = header(spool, stored).await?;
    let changed = edits.apply(&head, recipient);
    match stored.message.content.dot_stuffed {
        true => each(&stuffed(&changed)).await?,
        false => each(&changed).await?,
    }
    spool.read_range(stored, stored.message.content.header_octets..u64::MAX, each).await
}

/// Hands the content to `each` as a reader would see it, without stuffed dots: the one in the spool or another, its header
/// changed.
pub async fn plain<M: Machine>(
    spool: &Spool<M>,
    stored: &Stored,
    edits: &Edits,
    body: &Body,
    mut each: impl AsyncFnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    match body {
        Body::Changed(content) => {
            let (head, _) = header::split(content);
            each(&edits.apply(head, None)).await?;
            each(content.get(head.len()..).unwrap_or_default()).await
        }
        Body::Original => {
            let mut unstuffing = Unstuffing::of(stored);
            let mut buffer = Vec::new();
            let unstuffed = async |slice: &[u8]| {
                if !unstuffing.stuffed {
                    return each(slice).await;
                }
                buffer.clear();
                unstuffing.push(slice, &mut buffer);
                each(&buffer).await
            };
            edited(spool, stored, edits, None, unstuffed).await
        }
    }
}

/// Takes the dots away that DATA has put before others (RFC 5321 §4.5.2), slice by slice.
struct Unstuffing {
    stuffed: bool,
    at_line_start: bool,
}

impl Unstuffing {
    fn of(stored: &Stored) -> Unstuffing {
        Unstuffing { stuffed: stored.message.content.dot_stuffed, at_line_start: true }
    }

    fn push(&mut self, mut slice: &[u8], to: &mut Vec<u8>) {
        if !self.stuffed {
            return to.extend_from_slice(slice);
        }
        while !slice.is_empty() {
            if std::mem::take(&mut self.at_line_start) && slice.first() == Some(&b'.') {
                slice = slice.get(1..).unwrap_or_default();
            }
            let end = memchr::memchr(b'\n', slice).map(|at| at + 1);
            self.at_line_start = end.is_some();
            let (line, rest) = slice.split_at(end.unwrap_or(slice.len()));
            to.extend_from_slice(line);
            slice = rest;
        }
    }
}

/// The contrary, for all of a text.
fn stuffed(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 16);
    for line in text.split_inclusive(|octet| *octet == b'\n') {
        if line.first() == Some(&b'.') {
            out.push(b'.');
        }
        out.extend_from_slice(line);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_stuffed_is_unstuffed_however_it_is_cut(
            lines in proptest::collection::vec("[.a\r]{0,3}", 0..8),
            cuts in proptest::collection::vec(0usize..40, 0..4),
        ) {
            let text = lines.join("\n").into_bytes();
            let wire = stuffed(&text);
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(wire.len())).chain([0, wire.len()]).collect();
            cuts.sort_unstable();
            let (mut unstuffing, mut out) = (Unstuffing { stuffed: true, at_line_start: true }, Vec::new());
            cuts.windows(2).for_each(|cut| unstuffing.push(&wire[cut[0]..cut[1]], &mut out));
            prop_assert_eq!(out, text);
        }
    }
}
