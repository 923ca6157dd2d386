//! How large the messages of a run are: all alike, or many sizes in the proportions of real mail.

use std::fs;
use std::path::Path;

/// Most octets of a message; the pool that all messages share is a little larger.
pub const LIMIT: u64 = 256 * 1024 * 1024;

/// Sizes that a distribution is made of, each as frequent as any other.
const STEPS: usize = 64;

/// Where the sizes come from.
#[derive(Clone, Debug)]
pub enum Sizes {
    /// All messages have this one.
    Fixed(u64),
    /// Those of [`REAL_MAIL`].
    RealMail,
    /// Those of a file.
    Listed(Vec<(f64, u64)>),
}

/// The share of messages of up to so many octets: the mail of a server, in classes of powers of two, as published in
/// "Modelling realistic email traffic: email size distribution" (J. Buchner, August 2009), after figures posted to
/// freebsd-net in October 2002. Nothing is below 900 octets, the least that a header takes.
///
/// Mail of today has larger attachments, but most messages are still small; whoever has figures of their own gives them in a file.
const REAL_MAIL: [(f64, u64); 13] = [
    (0.0, 900),
    (0.2353, 2 << 10),
    (0.4917, 4 << 10),
    (0.676, 8 << 10),
    (0.7958, 16 << 10),
    (0.8536, 32 << 10),
    (0.9047, 64 << 10),
    (0.933, 128 << 10),
    (0.9574, 256 << 10),
    (0.9724, 512 << 10),
    (0.9849, 1 << 20),
    (0.9996, 2 << 20),
    (1.0, 4 << 20),
];

impl Sizes {
    /// From the value of `--size`: octets, `real`, or `@FILE`.
    pub fn parse(text: &str) -> Result<Sizes, String> {
        if text == "real" {
            return Ok(Sizes::RealMail);
        }
        if let Some(path) = text.strip_prefix('@') {
            let lines = fs::read_to_string(Path::new(path)).map_err(|error| format!("{path}: {error}"))?;
            return listed(&lines).map(Sizes::Listed).map_err(|why| format!("{path}:{why}"));
        }
        match text.parse() {
            Ok(octets) if (1..=LIMIT).contains(&octets) => Ok(Sizes::Fixed(octets)),
            _ => Err(format!("neither octets from 1 to {LIMIT}, nor \"real\", nor @FILE")),
        }
    }

    /// The sizes, each as frequent as any other, none below `least`.
    pub fn octets(&self, least: usize) -> Vec<usize> {
        let table = match self {
            Sizes::Fixed(octets) => return vec![*octets as usize],
            Sizes::RealMail => &REAL_MAIL[..],
            Sizes::Listed(table) => &table[..],
        };
        let middle = |step: usize| (step as f64 + 0.5) / STEPS as f64;
        (0..STEPS).map(|step| (quantile(table, middle(step)) as usize).max(least)).collect()
    }

    /// For a reader.
    pub fn describe(&self) -> String {
        match self {
            Sizes::Fixed(octets) => format!("{octets} octets a message"),
            Sizes::RealMail => "sizes of real mail".into(),
            Sizes::Listed(_) => "sizes of a file".into(),
        }
    }
}

/// The size that the given share of messages does not exceed; between two lines of the table it grows geometrically.
fn quantile(table: &[(f64, u64)], share: f64) -> f64 {
    let above = table.partition_point(|(at, _)| *at < share).clamp(1, table.len() - 1);
    let ((low, small), (high, large)) = (table[above - 1], table[above]);
    let part = if high > low { (share - low) / (high - low) } else { 1.0 };
    small as f64 * (large as f64 / small as f64).powf(part)
}

/// Lines of `share octets`, both growing, the share from 0 to 1; `#` begins a comment.
fn listed(text: &str) -> Result<Vec<(f64, u64)>, String> {
    let mut table: Vec<(f64, u64)> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let entry = line.split_once(char::is_whitespace).and_then(|(share, octets)| {
            let (share, octets): (f64, u64) = (share.parse().ok()?, octets.trim().parse().ok()?);
            let before = table.last().copied().unwrap_or((0.0, 1));
            let grows = share >= before.0 && octets >= before.1 && share <= 1.0 && octets <= LIMIT;
            grows.then_some((share, octets))
        });
        table.push(entry.ok_or_else(|| format!("{}: not \"share octets\", both growing, up to 1", number + 1))?);
    }
    match (table.first(), table.last()) {
        (Some(&(0.0, _)), Some(&(1.0, _))) if table.len() > 1 => Ok(table),
        _ => Err("1: the shares must go from 0 to 1".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_mail_has_the_shares_of_its_source() {
        let sizes = Sizes::RealMail.octets(400);
        for (share, octets) in REAL_MAIL {
            let below = sizes.iter().filter(|size| **size as u64 <= octets).count() as f64 / STEPS as f64;
            assert!((below - share).abs() <= 1.0 / STEPS as f64, "{octets}: {below}, not {share}");
        }
        assert!(sizes.is_sorted() && sizes[0] >= 900);
        assert!(Sizes::RealMail.octets(3000).iter().all(|size| *size >= 3000));
    }

    #[test]
    fn a_file_is_read_and_what_is_none_is_refused_by_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("sizes");
        fs::write(&path, "# mine\n0 1000\n0.5 2000 # half\n\n1 3000\n").unwrap();
        let sizes = Sizes::parse(&format!("@{}", path.display())).unwrap().octets(0);
        assert_eq!(sizes.iter().filter(|size| **size <= 2000).count(), STEPS / 2);
        assert!(sizes.iter().all(|size| (1000..=3000).contains(size)));
        for (text, line) in [
            ("", "1:"),
            ("0 1000", "1:"),
            ("0 1000\n0.5 900\n1 2000", "2:"),
            ("0 1000\n0.5 1500\n0.4 2000\n1 3000", "3:"),
            ("0 1000\nx 5\n", "2:"),
            ("0 1000\n1.5 3000", "2:"),
            ("0.1 1000\n1 3000", "1:"),
        ] {
            assert!(listed(text).unwrap_err().starts_with(line), "{text:?}");
        }
        assert!(Sizes::parse("0").is_err() && Sizes::parse("big").is_err() && Sizes::parse("@/none").is_err());
    }
}
