//! From the wire's form of a message to the form in a mailbox.

use memchr::memchr_iter;

/// How the lines of a message end, and what stands before its dots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WireForm {
    /// As DATA brings it: lines that begin with a dot carry one more (RFC 5321 §4.5.2).
    DotStuffed,
    /// As BDAT brings it (RFC 3030).
    Plain,
    /// As BDAT brings it with BODY=BINARYMIME: octets that are nobody's to change.
    Binary,
}

/// Turns content into mailbox form, slice by slice: CR LF becomes LF, stuffed dots go; binary content stays as it is.
///
/// Lossless for content without bare CR and LF, which intake refuses.
#[derive(Clone, Debug)]
pub struct ToMailbox {
    form: WireForm,
    /// The next octet is the first of a line.
    at_line_start: bool,
    /// The last slice ended with a CR that is not written yet.
    held_cr: bool,
}

impl ToMailbox {
    /// At the start of a message of this form.
    pub fn new(form: WireForm) -> ToMailbox {
        ToMailbox { form, at_line_start: true, held_cr: false }
    }

    /// Appends what `slice` becomes to `to`.
    pub fn convert(&mut self, slice: &[u8], to: &mut Vec<u8>) {
        if self.form == WireForm::Binary {
            to.extend_from_slice(slice);
            return;
        }
        if slice.is_empty() {
            return;
        }
        if std::mem::take(&mut self.held_cr) && slice[0] != b'\n' {
            to.push(b'\r');
        }
        let mut line = 0;
        for feed in memchr_iter(b'\n', slice) {
            let text = &slice[line..feed];
            self.append_line(text.strip_suffix(b"\r").unwrap_or(text), to);
            to.push(b'\n');
            self.at_line_start = true;
            line = feed + 1;
        }
        let rest = &slice[line..];
        self.held_cr = rest.ends_with(b"\r");
        self.append_line(rest.strip_suffix(b"\r").unwrap_or(rest), to);
        self.at_line_start &= rest.is_empty();
    }

    /// Appends a line, or the part of it that this slice has.
    fn append_line(&self, text: &[u8], to: &mut Vec<u8>) {
        let stuffed = self.at_line_start && self.form == WireForm::DotStuffed && text.first() == Some(&b'.');
        to.extend_from_slice(&text[usize::from(stuffed)..]);
    }

    /// Appends what was held back at the end of the message.
    pub fn finish(&mut self, to: &mut Vec<u8>) {
        if std::mem::take(&mut self.held_cr) {
            to.push(b'\r');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn whole(form: WireForm, slices: &[&[u8]]) -> Vec<u8> {
        let (mut state, mut to) = (ToMailbox::new(form), Vec::new());
        slices.iter().for_each(|slice| state.convert(slice, &mut to));
        state.finish(&mut to);
        to
    }

    /// Line by line, the way one would write it down.
    fn naive(form: WireForm, content: &[u8]) -> Vec<u8> {
        if form == WireForm::Binary {
            return content.to_vec();
        }
        let text = String::from_utf8(content.to_vec()).expect("the test's content is ASCII");
        let unstuffed = |line: &str| match form {
            WireForm::DotStuffed => line.strip_prefix('.').unwrap_or(line).to_owned(),
            WireForm::Plain | WireForm::Binary => line.to_owned(),
        };
        text.split("\r\n").map(unstuffed).collect::<Vec<_>>().join("\n").into_bytes()
    }

    proptest! {
        #[test]
        fn slices_make_no_difference(
            lines in proptest::collection::vec("[.a]{0,3}", 0..6),
            cut in 0usize..30, second in 0usize..30,
            form in prop_oneof![Just(WireForm::DotStuffed), Just(WireForm::Plain), Just(WireForm::Binary)],
        ) {
            let content = lines.join("\r\n").into_bytes();
            let cut = cut.min(content.len());
            let second = second.clamp(cut, content.len().max(cut));
            let slices = [&content[..cut], &content[cut..second], &content[second..]];
            prop_assert_eq!(whole(form, &slices), naive(form, &content));
        }
    }

    #[test]
    fn a_final_cr_is_kept() {
        assert_eq!(whole(WireForm::Plain, &[b"a\r", b"b\r"]), b"a\rb\r");
        assert_eq!(whole(WireForm::Binary, &[b"a\r\n.."]), b"a\r\n..");
    }
}
