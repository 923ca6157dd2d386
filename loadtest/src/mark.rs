//! The `X-Loadtest` header field: what a message says about itself, so that a reader can tell whether it is whole.

use std::fmt;
use std::str::FromStr;

/// The name of the header field, with its colon.
pub const FIELD: &str = "X-Loadtest:";

/// What the header field of one message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The run of the load source that made the message.
    pub run: u64,
    /// The number of the message within its run, from 0.
    pub seq: u64,
    /// CRC-32C of the body: everything behind the empty line, lines ending in CR LF, not dot-stuffed.
    pub crc: u32,
    /// Octets of that body.
    pub octets: u64,
}

impl fmt::Display for Mark {
    /// Writes the value of the field, always equally long for one run.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Mark { run, seq, crc, octets } = self;
        write!(f, "run={run:016x} seq={seq:010} crc={crc:08x} octets={octets:010}")
    }
}

impl FromStr for Mark {
    type Err = ();

    fn from_str(value: &str) -> Result<Mark, ()> {
        let mut words = value.split_ascii_whitespace();
        let mut word = |name: &str| words.next().and_then(|word| word.strip_prefix(name)).ok_or(());
        let run = u64::from_str_radix(word("run=")?, 16).map_err(drop)?;
        let seq = word("seq=")?.parse().map_err(drop)?;
        let crc = u32::from_str_radix(word("crc=")?, 16).map_err(drop)?;
        let octets = word("octets=")?.parse().map_err(drop)?;
        if words.next().is_some() { Err(()) } else { Ok(Mark { run, seq, crc, octets }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        let mark = Mark { run: 0xabcdef, seq: 42, crc: 0x1234, octets: 3700 };
        assert_eq!(mark.to_string(), "run=0000000000abcdef seq=0000000042 crc=00001234 octets=0000003700");
        assert_eq!(mark.to_string().parse(), Ok(mark));
    }

    #[test]
    fn refuses_what_is_cut_off_or_added_to() {
        for value in ["", "run=1 seq=2 crc=3", "run=x seq=2 crc=3 octets=4", "run=1 seq=2 crc=3 octets=4 more"] {
            assert_eq!(value.parse::<Mark>(), Err(()), "{value}");
        }
    }
}
