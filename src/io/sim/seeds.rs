//! Which seeds a test tries.

use std::ops::RangeInclusive;

/// The seeds for a test that tries `count` of them. The environment has the last word: RINGPOST_SEED names the only one to try,
/// RINGPOST_SEEDS says how many.
///
/// # Panics
/// Where one of them is not a number: a search that looks for something else than it was told is worse than none.
pub fn seeds(count: u64) -> impl Iterator<Item = u64> {
    let variable = |name| std::env::var(name).ok();
    chosen(variable("RINGPOST_SEED").as_deref(), variable("RINGPOST_SEEDS").as_deref(), count)
}

fn chosen(only: Option<&str>, how_many: Option<&str>, count: u64) -> RangeInclusive<u64> {
    let number = |text: &str| {
        text.parse().unwrap_or_else(|_| panic!("RINGPOST_SEED and RINGPOST_SEEDS are numbers, not {text:?}"))
    };
    match only.map(number) {
        Some(seed) => seed..=seed,
        None => 1..=how_many.map_or(count, number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_has_the_last_word() {
        assert_eq!(chosen(None, None, 3), 1..=3);
        assert_eq!(chosen(None, Some("200"), 3), 1..=200);
        assert_eq!(chosen(Some("77"), Some("200"), 3), 77..=77);
    }

    #[test]
    #[should_panic(expected = "are numbers")]
    fn what_is_no_number_is_refused() {
        chosen(Some("0x7"), None, 3);
    }
}
