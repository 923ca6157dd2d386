//! From the spool's form of a content to the form that the next hop is sent.

/// How content is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sending {
    /// By DATA: lines that begin with a dot carry one more, and a dot alone is the end (RFC 5321 §4.5.2).
    Data,
    /// In a chunk: as it is (RFC 3030).
    Chunk,
}

/// How a slice of content stands in the spool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stands {
    /// With stuffed dots, as DATA brought it.
    Stuffed,
    /// As it is.
    Plain,
}

/// Converts content slice by slice. Slices of both forms may follow each other where a line begins.
#[derive(Clone, Debug)]
pub struct ToWire {
    sending: Sending,
    at_line_start: bool,
    /// Octets that came out so far.
    octets: u64,
}

impl ToWire {
    /// At the start of a message.
    pub fn new(sending: Sending) -> ToWire {
        ToWire { sending, at_line_start: true, octets: 0 }
    }

    /// Octets of content that came out so far; what ends DATA is none.
    pub fn octets(&self) -> u64 {
        self.octets
    }

    /// Whether a slice goes out as it stands. It counts as sent then.
    pub fn passes(&mut self, slice: &[u8], stands: Stands) -> bool {
        let passes =
            matches!((self.sending, stands), (Sending::Data, Stands::Stuffed) | (Sending::Chunk, Stands::Plain));
        if passes && let Some(last) = slice.last() {
            self.at_line_start = *last == b'\n';
            self.octets += slice.len() as u64;
        }
        passes
    }

    /// Appends what `slice` becomes to `to`.
    pub fn convert(&mut self, slice: &[u8], stands: Stands, to: &mut Vec<u8>) {
        if self.passes(slice, stands) {
            to.extend_from_slice(slice);
            return;
        }
        let before = to.len();
        let mut rest = slice;
        while !rest.is_empty() {
            let end = memchr::memchr(b'\n', rest).map_or(rest.len(), |feed| feed + 1);
            let (line, after) = rest.split_at(end);
            let dot = self.at_line_start && line.first() == Some(&b'.');
            match self.sending {
                Sending::Data if dot => to.extend_from_slice(b"."),
                _ => {}
            }
            to.extend_from_slice(if dot && self.sending == Sending::Chunk { &line[1..] } else { line });
            self.at_line_start = line.ends_with(b"\n");
            rest = after;
        }
        self.octets += (to.len() - before) as u64;
    }

    /// Appends what ends the content.
    pub fn finish(&mut self, to: &mut Vec<u8>) {
        if self.sending == Sending::Data {
            to.extend_from_slice(if self.at_line_start { b".\r\n" } else { b"\r\n.\r\n" });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn whole(sending: Sending, slices: &[(&[u8], Stands)]) -> (Vec<u8>, u64) {
        let (mut wire, mut to) = (ToWire::new(sending), Vec::new());
        slices.iter().for_each(|(slice, stands)| wire.convert(slice, *stands, &mut to));
        wire.finish(&mut to);
        (to, wire.octets())
    }

    fn stuffed(plain: &str) -> String {
        let dotted = |line: &str| if line.starts_with('.') { format!(".{line}") } else { line.to_owned() };
        plain.split_inclusive('\n').map(dotted).collect()
    }

    #[test]
    fn the_end_stands_on_a_line_of_its_own() {
        let of = |text: &str| String::from_utf8(whole(Sending::Data, &[(text.as_bytes(), Stands::Plain)]).0);
        assert_eq!(of("").as_deref(), Ok(".\r\n"));
        assert_eq!(of("a\r\n").as_deref(), Ok("a\r\n.\r\n"));
        assert_eq!(of("a\r\nb").as_deref(), Ok("a\r\nb\r\n.\r\n"));
        assert_eq!(of(".\r\n..\r\nb").as_deref(), Ok("..\r\n...\r\nb\r\n.\r\n"));
    }

    proptest! {
        /// Whatever the slices: the next hop reads what was meant.
        #[test]
        fn slices_make_no_difference(lines in prop::collection::vec("[.a]{0,3}", 0..8), first in 0usize..8, cuts in prop::collection::vec(0usize..40, 2)) {
            let first = first.min(lines.len());
            let text = |lines: &[String]| lines.iter().map(|line| format!("{line}\r\n")).collect::<String>();
            let (header, body) = (text(&lines[..first]), text(&lines[first..]));
            let plain = format!("{header}{body}");
            for stands in [Stands::Plain, Stands::Stuffed] {
                let body = if stands == Stands::Stuffed { stuffed(&body) } else { body.clone() };
                let cut = cuts[0].min(body.len());
                let second = cuts[1].clamp(cut, body.len());
                let slices = [
                    (header.as_bytes(), Stands::Plain),
                    (&body.as_bytes()[..cut], stands),
                    (&body.as_bytes()[cut..second], stands),
                    (&body.as_bytes()[second..], stands),
                ];
                let (data, octets) = whole(Sending::Data, &slices);
                prop_assert_eq!(octets as usize + 3, data.len());
                prop_assert_eq!(String::from_utf8(data), Ok(format!("{}.\r\n", stuffed(&plain))));
                let (chunk, octets) = whole(Sending::Chunk, &slices);
                prop_assert_eq!(octets as usize, chunk.len());
                prop_assert_eq!(String::from_utf8(chunk), Ok(plain.clone()));
            }
        }

        /// Nothing that is sent by DATA ends before its end.
        #[test]
        fn no_content_ends_it_early(octets in prop::collection::vec(prop_oneof![Just(b'.'), Just(b'\r'), Just(b'\n'), Just(b'a')], 0..60), cut in 0usize..60) {
            let cut = cut.min(octets.len());
            let data = whole(Sending::Data, &[(&octets[..cut], Stands::Plain), (&octets[cut..], Stands::Plain)]).0;
            let ends: Vec<usize> = memchr::memmem::find_iter(&data, b"\n.\r\n").collect();
            prop_assert!(ends.iter().all(|end| end + 4 == data.len()), "{:?}", data);
            prop_assert!(!data.starts_with(b".\r\n") || data.len() == 3);
        }
    }
}
