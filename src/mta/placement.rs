//! Which shard runs on which CPU, and which logs of earlier runs it looks after.

/// The number of the shard's log in the name of its directory, if it is one.
pub fn log_number(name: &str) -> Option<usize> {
    let shard = name.strip_prefix("shard-")?.parse().ok()?;
    // Another way to write the same number would be another directory for the same log.
    (name == log_name(shard)).then_some(shard)
}

/// The name of the directory of a shard's log.
pub fn log_name(shard: usize) -> String {
    format!("shard-{shard}")
}

/// The logs that shard number `shard` of `shards` adopts, of those that exist: those of shards that are no more, spread evenly.
pub fn adopted(shard: usize, shards: usize, existing: &[usize]) -> Vec<usize> {
    existing.iter().copied().filter(|log| *log >= shards && log % shards == shard).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_log_has_exactly_one_keeper() {
        for shards in 1..5 {
            let existing: Vec<_> = (0..9).collect();
            let mut kept: Vec<_> = (0..shards).collect();
            kept.extend((0..shards).flat_map(|shard| adopted(shard, shards, &existing)));
            kept.sort_unstable();
            assert_eq!(kept, existing);
        }
        assert_eq!(log_number(&log_name(12)), Some(12));
        assert_eq!(log_number("lock"), None);
    }
}
