//! The name that was probably meant.

/// The name most like `wanted`, where one is like it: off by case or by less than about a third of its letters, or begun
/// the same way.
pub fn nearest<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let lower = wanted.to_lowercase();
    let bound = (wanted.chars().count() / 3).clamp(1, 4);
    let rank = |name: &'a str| match (distance(&lower, &name.to_lowercase()), name.to_lowercase().starts_with(&lower)) {
        (edits, true) if lower.len() > 3 => (edits.min(bound), name),
        (edits, _) => (edits, name),
    };
    let near = names.map(rank).min()?;
    (near.0 <= bound).then_some(near.1)
}

/// How many letters must be added, removed, changed or swapped with the next to make one of the other. Looks at 80 letters.
fn distance(a: &str, b: &str) -> usize {
    let [a, b] = [a, b].map(|text| text.chars().take(80).collect::<Vec<char>>());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let cell =
                |up: usize, left: usize| Some(*rows.get((i + 1).checked_sub(up)?)?.get((j + 1).checked_sub(left)?)?);
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(y) && b.get(j - 1) == Some(x);
            let edits = [
                cell(1, 1).map(|edits| edits + usize::from(x != y)),
                cell(1, 0).map(|edits| edits + 1),
                row.last().map(|edits| edits + 1),
                cell(2, 2).filter(|_| swapped).map(|edits| edits + 1),
            ];
            row.push(edits.into_iter().flatten().min().unwrap_or(usize::MAX));
        }
        rows.push(row);
    }
    rows.last().and_then(|row| row.last()).copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_is_the_least_number_of_edits() {
        for (a, b, edits) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("kitten", "sitting", 3),
            ("bnid", "bind", 1),
            ("prot", "port", 1),
            ("ab", "ba", 1),
            ("abc", "ca", 3),
        ] {
            assert_eq!(distance(a, b), edits, "{a} {b}");
            assert_eq!(distance(b, a), edits, "{b} {a}");
        }
    }

    #[test]
    fn only_what_is_like_a_name_is_suggested() {
        let names = ["bind", "connectiontimeout", "connectionBacklog"];
        assert_eq!(nearest("connectionTimeout", names.into_iter()), Some("connectiontimeout"));
        assert_eq!(nearest("bnd", names.into_iter()), Some("bind"));
        assert_eq!(nearest("connection", names.into_iter()), Some("connectionBacklog"));
        assert_eq!(nearest("something", names.into_iter()), None);
        assert_eq!(nearest("bind", [].into_iter()), None);
    }
}
