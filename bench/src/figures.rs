//! Numbers as people read them, and what many of one kind have in common.

/// The middle and the ends of several measurements of the same thing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spread {
    /// Half of them are below.
    pub median: f64,
    /// The least of them.
    pub least: f64,
    /// The greatest of them.
    pub most: f64,
}

impl Spread {
    /// Of these values; zeros where there are none.
    pub fn of(values: &[f64]) -> Spread {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (Some(least), Some(most)) = (sorted.first(), sorted.last()) else { return Spread::default() };
        let middle = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 };
        Spread { median, least: *least, most: *most }
    }

    /// How far the ends are from the middle, in per cent: `-3 +8`.
    pub fn percent(&self) -> String {
        let away = |value: f64| if self.median == 0.0 { 0.0 } else { (value / self.median - 1.0) * 100.0 };
        format!("-{:.0} +{:.0}", away(self.least).abs(), away(self.most))
    }

    /// As JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::json!({ "median": self.median, "least": self.least, "most": self.most })
    }
}

/// Three digits that say something: `0.0123`, `1.23`, `12.3`, `123`, `1,234`; zero and what is no number are `–`.
pub fn short(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return "–".into();
    }
    let before_point = value.abs().log10().floor() as i32 + 1;
    grouped(&format!("{value:.*}", (3 - before_point).clamp(0, 6) as usize))
}

/// A whole number with its thousands parted: `1,234,567`.
pub fn whole(value: f64) -> String {
    grouped(&format!("{value:.0}"))
}

fn grouped(number: &str) -> String {
    let (integer, fraction) = number.find('.').map_or((number, ""), |point| number.split_at(point));
    let mut text = String::new();
    for (place, digit) in integer.chars().enumerate() {
        let left = integer.len() - place;
        if place > 0 && left % 3 == 0 && !text.ends_with('-') {
            text.push(',');
        }
        text.push(digit);
    }
    text + fraction
}

/// Octets with their unit, in powers of 1024: `4 KiB`.
pub fn octets(count: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match UNITS.iter().find(|(unit, _)| count >= *unit && count.is_multiple_of(*unit)) {
        Some((unit, name)) => format!("{} {name}", whole((count / unit) as f64)),
        None => format!("{} B", whole(count as f64)),
    }
}

/// A part of a whole, in per cent.
pub fn share(part: f64, all: f64) -> String {
    if all == 0.0 || !part.is_finite() || !all.is_finite() {
        return "–".into();
    }
    format!("{:.0} %", part / all * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        let cases = [(0.0, "–"), (0.01234, "0.0123"), (1.234, "1.23"), (12.34, "12.3"), (999.6, "1,000")];
        for (value, text) in cases.into_iter().chain([(123.4, "123"), (1234567.8, "1,234,568"), (-4321.0, "-4,321")]) {
            assert_eq!(short(value), text);
        }
        assert_eq!((octets(4096), octets(10 << 20), octets(1500)), ("4 KiB".into(), "10 MiB".into(), "1,500 B".into()));
        assert_eq!((share(1.0, 4.0), share(1.0, 0.0)), ("25 %".into(), "–".into()));
    }

    #[test]
    fn the_middle_and_the_ends() {
        assert_eq!(Spread::of(&[3.0, 1.0, 2.0]), Spread { median: 2.0, least: 1.0, most: 3.0 });
        assert_eq!(Spread::of(&[4.0, 1.0]).median, 2.5);
        assert_eq!(Spread::of(&[90.0, 100.0, 120.0]).percent(), "-10 +20");
        assert_eq!(Spread::of(&[]), Spread::default());
    }
}
