//! What `MetricsMailet` counts, over all cores.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::mailet::mailets::Mailet;
use crate::mailet::mailets::told::Told;
use crate::mailet::pipeline::Pipeline;

/// A count for every name that stands in the pipeline. Nothing else can be counted, so that there are as many as these.
#[derive(Debug, Default)]
pub struct Metrics(Vec<(Box<str>, AtomicU64)>);

impl Metrics {
    /// Those that a pipeline names.
    pub fn of(pipeline: &Pipeline) -> Metrics {
        let pairs = pipeline.processors.iter().flat_map(|processor| &processor.pairs);
        let mut names: Vec<Box<str>> = pairs
            .filter_map(|pair| match &pair.mailet {
                Mailet::Told(Told::Metric(name)) => Some(Box::from(&**name)),
                _ => None,
            })
            .collect();
        names.sort();
        names.dedup();
        Metrics(names.into_iter().map(|name| (name, AtomicU64::new(0))).collect())
    }

    /// One more of that name.
    pub fn count(&self, name: &str) {
        let place = self.0.binary_search_by(|(own, _)| (**own).cmp(name));
        if let Some((_, count)) = place.ok().and_then(|place| self.0.get(place)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// All of them, sorted by their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().map(|(name, count)| (&**name, count.load(Ordering::Relaxed)))
    }
}
