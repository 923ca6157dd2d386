//! Messages that clients send: of every size, with everything that may stand in them.

use ringpost::io::sim::Random;

/// Users who have a mailbox: `u0` to `u3`.
pub const USERS: usize = 4;

/// How a message is handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// DATA.
    Data,
    /// BDAT, in chunks of about so many octets.
    Chunks(usize),
    /// BDAT in chunks of about so many octets, with BODY=BINARYMIME.
    Binary(usize),
}

/// A message and its envelope. Its reverse-path tells it from all others.
#[derive(Clone, Debug)]
pub struct Mail {
    /// Its number.
    pub number: usize,
    /// Users, by their numbers.
    pub recipients: Vec<usize>,
    /// How it is handed over.
    pub by: By,
    /// The content that the client means, without stuffed dots.
    pub content: Vec<u8>,
}

impl Mail {
    /// Any message whose content has at most about `most` octets.
    pub fn any(number: usize, most: usize, random: &mut Random) -> Mail {
        let recipients = (0..1 + random.index(3)).map(|_| random.index(USERS)).collect();
        let size = match random.below(8) {
            0 => 0,
            1 => 1 + random.index(100),
            2..6 => random.index(10_000),
            _ => random.index(most),
        };
        let size = size.min(most);
        let chunk = 1 + random.index(1 + size / 2);
        let by = match random.below(4) {
            0 => By::Chunks(chunk),
            1 => By::Binary(chunk),
            _ => By::Data,
        };
        Mail { number, recipients, by, content: content(size, by, random) }
    }

    /// A message by DATA to one user.
    pub fn plain(number: usize, user: usize, size: usize, random: &mut Random) -> Mail {
        Mail { number, recipients: vec![user], by: By::Data, content: content(size, By::Data, random) }
    }

    /// The reverse-path, without brackets.
    pub fn reverse_path(&self) -> String {
        format!("m{}@client.example", self.number)
    }

    /// The content as DATA sends it, with the final dot.
    pub fn as_data(&self) -> Vec<u8> {
        let mut octets = Vec::with_capacity(self.content.len() + 100);
        for line in self.content.split_inclusive(|octet| *octet == b'\n') {
            if line.starts_with(b".") {
                octets.push(b'.');
            }
            octets.extend_from_slice(line);
        }
        octets.extend_from_slice(b".\r\n");
        octets
    }

    /// The content as a mailbox keeps it.
    pub fn in_mailbox(&self) -> Vec<u8> {
        if self.is_binary() {
            return self.content.clone();
        }
        let mut octets = Vec::with_capacity(self.content.len());
        let mut rest = self.content.as_slice();
        while let Some(at) = rest.windows(2).position(|pair| pair == b"\r\n") {
            octets.extend_from_slice(&rest[..at]);
            octets.push(b'\n');
            rest = &rest[at + 2..];
        }
        octets.extend_from_slice(rest);
        octets
    }

    /// Whether bare CR and LF are content.
    pub fn is_binary(&self) -> bool {
        matches!(self.by, By::Binary(_))
    }
}

/// About `size` octets. Without BINARYMIME they are lines; by DATA the last one is ended, too.
fn content(size: usize, by: By, random: &mut Random) -> Vec<u8> {
    if let By::Binary(_) = by {
        return (0..size)
            .map(|_| if random.one_in(4) { b"\r\n."[random.index(3)] } else { random.bits() as u8 })
            .collect();
    }
    let mut octets = Vec::with_capacity(size + 1000);
    while octets.len() < size {
        octets.extend(line(random));
        octets.extend_from_slice(b"\r\n");
    }
    if matches!(by, By::Chunks(_)) && size > 0 && random.one_in(2) {
        octets.extend_from_slice(b"no end of line");
    }
    octets
}

fn line(random: &mut Random) -> Vec<u8> {
    match random.below(10) {
        0 => Vec::new(),
        1 => b".".to_vec(),
        2 => b"..".to_vec(),
        3 => b".hidden".to_vec(),
        4 => vec![b'x'; random.index(998)],
        _ => (0..random.index(78)).map(|_| 32 + random.below(224) as u8).collect(),
    }
}

/// One of these.
pub fn pick<T: Clone>(random: &mut Random, items: &[T]) -> T {
    items[random.index(items.len())].clone()
}
