//! Names of messages and sessions: short, sortable by time, unique over shards and restarts.

use std::fmt;
use std::str::FromStr;

/// The digits of an id: Crockford's base 32, without letters that are read as digits.
const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// Characters of an id.
const LENGTH: usize = 13;

/// Bits that say which shard made an id.
const SHARD_BITS: u32 = 10;

/// Most shards that ids can tell apart.
pub const SHARDS_MAX: usize = 1 << SHARD_BITS;

fn digits(number: u64) -> [u8; LENGTH] {
    let mut text = [0u8; LENGTH];
    let mut rest = number;
    for digit in text.iter_mut().rev() {
        *digit = DIGITS[(rest & 31) as usize];
        rest >>= 5;
    }
    text
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub u64);

        impl $name {
            /// Appends it, as it shows itself.
            pub fn write(self, to: &mut Vec<u8>) {
                to.extend_from_slice(&digits(self.0));
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(std::str::from_utf8(&digits(self.0)).unwrap_or_default())
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                if text.len() != LENGTH {
                    return Err(InvalidId);
                }
                text.bytes().try_fold(0u64, |value, byte| {
                    let digit = DIGITS.iter().position(|d| *d == byte.to_ascii_uppercase()).ok_or(InvalidId)?;
                    Ok(value.wrapping_shl(5) | digit as u64)
                }).map($name)
            }
        }
    };
}

id! {
    /// Names one accepted message: in the 250, in Received, in every line of the log.
    MessageId
}

id! {
    /// Names one session of a client.
    SessionId
}

/// The text is no id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an id has 13 characters of 0-9 and A-Z without I, L, O, U")]
pub struct InvalidId;

/// Makes the ids of one shard: microseconds since the Unix epoch, made strictly increasing, and the shard's number.
#[derive(Debug)]
pub struct IdSource {
    shard: u64,
    last: u64,
}

impl IdSource {
    /// A source for shard number `shard` that makes only ids above those made at `not_before` (microseconds since the
    /// Unix epoch): the newest id that recovery found, so that a clock set back repeats none.
    pub fn new(shard: usize, not_before: u64) -> IdSource {
        IdSource { shard: (shard % SHARDS_MAX) as u64, last: not_before }
    }

    /// The next id, at `now` microseconds since the Unix epoch.
    pub fn next(&mut self, now: u64) -> u64 {
        self.last = now.max(self.last + 1);
        self.last << SHARD_BITS | self.shard
    }
}

impl MessageId {
    /// Microseconds since the Unix epoch at which the id was made (or the next free one after them).
    pub fn made_at(self) -> u64 {
        self.0 >> SHARD_BITS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_read_back_and_increase() {
        let mut source = IdSource::new(3, 0);
        let mut last = 0;
        for now in [5, 5, 4, 1_795_000_000_000_000, 1_795_000_000_000_000] {
            let id = source.next(now);
            assert!(id > last, "{id} after {last}");
            assert_eq!(MessageId(id).to_string().parse(), Ok(MessageId(id)));
            assert_eq!(MessageId(id).to_string().len(), LENGTH);
            last = id;
        }
        assert_eq!("".parse::<MessageId>(), Err(InvalidId));
        assert_eq!("000000000000U".parse::<MessageId>(), Err(InvalidId));
    }
}
