//! Text at the end of octets, without a string in between: what is said and noted of every message is written so.

use std::fmt::{self, Display, Write};

/// Octets that text is written to the end of.
pub struct Octets<'a>(pub &'a mut Vec<u8>);

impl Write for Octets<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

/// Appends what `text` shows of itself.
pub fn append(text: impl Display, to: &mut Vec<u8>) {
    // Writing to memory cannot fail; a Display that gives up has written what it could.
    let _ = write!(Octets(to), "{text}");
}

/// Appends a number in decimal: the formatter costs more than the number.
pub fn append_number(mut number: u64, to: &mut Vec<u8>) {
    if number < 10 {
        return to.push(b'0' + number as u8);
    }
    let mut digits = [b'0'; 20];
    let mut first = digits.len();
    for digit in digits.iter_mut().rev() {
        *digit += (number % 10) as u8;
        number /= 10;
        first -= 1;
        if number == 0 {
            break;
        }
    }
    to.extend_from_slice(digits.get(first..).unwrap_or_default());
}

/// Whether there is a control character in the text.
pub fn has_control(text: &str) -> bool {
    !is_printable(text.as_bytes()) && text.chars().any(char::is_control)
}

/// Whether all octets are printable ASCII, spaces among them.
pub fn is_printable(octets: &[u8]) -> bool {
    match octets.last_chunk() {
        Some(last) => octets.as_chunks().0.iter().chain([last]).all(|eight| is_printable_word(*eight)),
        None => octets.iter().all(|octet| (b' '..=b'~').contains(octet)),
    }
}

/// The same of eight octets together: none that is below a space, DEL or above it.
fn is_printable_word(octets: [u8; 8]) -> bool {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const SPACES: u64 = u64::from_ne_bytes([b' '; 8]);
    const DELS: u64 = u64::from_ne_bytes([0x7f; 8]);
    const TOPS: u64 = u64::from_ne_bytes([0x80; 8]);
    let word = u64::from_ne_bytes(octets);
    let (below_space, is_del) = (word.wrapping_sub(SPACES), word ^ DELS);
    // An octet that borrows from the next one, whose top bit may be wrong then, has its own set already.
    (word | below_space | (is_del.wrapping_sub(ONES) & !is_del)) & TOPS == 0
}

/// The last two digits of a number, as dates have them.
pub fn two_digits(number: u64) -> &'static str {
    const DIGITS: &str = "0001020304050607080910111213141516171819202122232425262728293031323334353637383940414243444546474849\
        5051525354555657585960616263646566676869707172737475767778798081828384858687888990919293949596979899";
    let place = (number % 100) as usize * 2;
    DIGITS.get(place..place + 2).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_texts_are_appended() {
        let mut octets = b"n=".to_vec();
        for number in [0, 9, 10, 120, u64::MAX] {
            append_number(number, &mut octets);
            octets.push(b' ');
        }
        append(format_args!("{}", 'é'), &mut octets);
        assert_eq!(String::from_utf8_lossy(&octets), "n=0 9 10 120 18446744073709551615 é");
        let texts = ["", "plain", "é", "\u{7f}", "a\nb", "\u{85}", "long enough for many octets to be looked at \t"];
        assert_eq!(texts.map(has_control), texts.map(|text| text.chars().any(char::is_control)));
        let printable = |octets: &[u8]| octets.iter().all(|octet| *octet == b' ' || octet.is_ascii_graphic());
        for (length, octet) in (0..20).flat_map(|length| (0..=255).map(move |octet| (length, octet))) {
            for (place, around) in (0..length).flat_map(|place| [(place, b' '), (place, b'~')]) {
                let mut octets = vec![around; length];
                octets[place] = octet;
                assert_eq!(is_printable(&octets), printable(&octets), "{octets:?}");
            }
        }
        assert!((0..200).all(|number| two_digits(number) == format!("{:02}", number % 100)));
    }
}
