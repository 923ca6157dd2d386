//! What can be said of two builds after so many paired rounds, and how sure that is.
//!
//! Each round gives the logarithm of B's processor time a message over A's. After certain numbers of rounds, fixed beforehand, a t
//! interval is laid round their mean. Who looks several times finds something sooner or later, so each look may be wrong with the
//! stated probability divided by the number of looks (Bonferroni): over all looks together the true ratio lies outside an interval with no
//! more than that probability.

use super::statistics::t_quantile;

/// Rounds before the first look.
pub const LEAST_ROUNDS: usize = 6;

/// What is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// B takes more, by more than the margin.
    Slower,
    /// B takes less, by more than the margin.
    Faster,
    /// Whatever the difference is, it is within the margin.
    NoChange,
    /// The rounds do not suffice to tell.
    Undecided,
}

/// How it is decided.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The ratio from which on a difference matters, as a fraction: 0.02 for 2 %.
    pub margin: f64,
    /// After how many rounds to look, ascending; the last is the most there will be.
    pub looks: Vec<usize>,
    /// For each look, how many deviations of the mean its interval reaches to either side.
    reaches: Vec<f64>,
}

/// An interval of the ratio B over A.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The estimate.
    pub ratio: f64,
    /// Its lower end.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
}

impl Rule {
    /// Looks after six rounds and then each time there are a third more, up to `most`.
    pub fn new(margin: f64, error: f64, most: usize) -> Rule {
        let mut looks = vec![LEAST_ROUNDS.min(most)];
        while let Some(&last) = looks.last()
            && last < most
        {
            looks.push((last + last.div_ceil(3)).min(most));
        }
        Rule::with_looks(margin, error, looks)
    }

    fn with_looks(margin: f64, error: f64, looks: Vec<usize>) -> Rule {
        let tail = error / looks.len() as f64 / 2.0;
        let reaches = looks.iter().map(|look| t_quantile(tail, *look as f64 - 1.0)).collect();
        Rule { margin, looks, reaches }
    }

    /// Whether it is time to look.
    pub fn is_look(&self, rounds: usize) -> bool {
        self.looks.contains(&rounds)
    }

    /// The interval that the logarithms of the ratios give, at one of the looks; it needs two or more.
    pub fn interval(&self, logarithms: &[f64]) -> Interval {
        let count = logarithms.len() as f64;
        let mean = logarithms.iter().sum::<f64>() / count;
        let squares: f64 = logarithms.iter().map(|value| (value - mean).powi(2)).sum();
        let deviation = (squares / (count - 1.0) / count).sqrt();
        let look = self.looks.iter().position(|look| *look == logarithms.len());
        let reach = look.map_or(f64::INFINITY, |look| self.reaches[look] * deviation);
        Interval { ratio: mean.exp(), low: (mean - reach).exp(), high: (mean + reach).exp() }
    }

    /// What the interval shows.
    pub fn find(&self, interval: &Interval) -> Finding {
        let (slower, faster) = (1.0 + self.margin, 1.0 / (1.0 + self.margin));
        if faster < interval.low && interval.high < slower {
            Finding::NoChange
        } else if interval.low > 1.0 && interval.ratio > slower {
            Finding::Slower
        } else if interval.high < 1.0 && interval.ratio < faster {
            Finding::Faster
        } else {
            Finding::Undecided
        }
    }
}

impl Finding {
    /// For a reader and a program alike.
    pub fn name(self) -> &'static str {
        match self {
            Finding::Slower => "SLOWER",
            Finding::Faster => "FASTER",
            Finding::NoChange => "NO CHANGE",
            Finding::Undecided => "UNDECIDED",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    /// A comparison of builds whose true ratio is given, with noise as on shared cores: a few per cent, and now and then a round
    /// that something else fell into. The finding, and after how many rounds.
    fn compare(rule: &Rule, ratio: f64, noise: f64, random: &mut Random) -> (Finding, usize) {
        let mut logarithms = Vec::new();
        loop {
            let disturbed = if random.unit() < 0.1 { 3.0 } else { 1.0 };
            logarithms.push(ratio.ln() + noise * disturbed * random.normal());
            if rule.is_look(logarithms.len()) {
                let finding = rule.find(&rule.interval(&logarithms));
                if finding != Finding::Undecided || Some(&logarithms.len()) == rule.looks.last() {
                    return (finding, logarithms.len());
                }
            }
        }
    }

    /// The share of each finding over many comparisons, and the mean number of rounds.
    fn shares(ratio: f64, noise: f64, wanted: Finding) -> (f64, f64) {
        let rule = Rule::new(0.02, 0.05, 60);
        let mut random = Random::new(11);
        let count = 2000;
        let all: Vec<_> = (0..count).map(|_| compare(&rule, ratio, noise, &mut random)).collect();
        let found = all.iter().filter(|(finding, _)| *finding == wanted).count() as f64 / f64::from(count);
        (found, all.iter().map(|(_, rounds)| *rounds as f64).sum::<f64>() / f64::from(count))
    }

    #[test]
    fn five_per_cent_are_caught() {
        for noise in [0.01, 0.03] {
            let (caught, rounds) = shares(1.05, noise, Finding::Slower);
            println!("5 % slower, noise {noise}: caught {caught:.4}, {rounds:.1} rounds");
            assert!(caught >= 0.95, "noise {noise}: {caught}");
            let (caught, _) = shares(1.0 / 1.05, noise, Finding::Faster);
            assert!(caught >= 0.95, "noise {noise}: {caught}");
        }
    }

    #[test]
    fn nothing_is_not_mistaken_for_something() {
        for noise in [0.01, 0.03, 0.1] {
            let (slower, rounds) = shares(1.0, noise, Finding::Slower);
            let (faster, _) = shares(1.0, noise, Finding::Faster);
            println!("unchanged, noise {noise}: false {:.4}, {rounds:.1} rounds", slower + faster);
            assert!(slower + faster <= 0.05, "noise {noise}: {slower} and {faster}");
        }
        let (same, _) = shares(1.0, 0.01, Finding::NoChange);
        assert!(same >= 0.95, "{same}");
    }

    #[test]
    fn a_difference_is_not_called_none() {
        let (missed, _) = shares(1.05, 0.03, Finding::NoChange);
        assert!(missed <= 0.05, "{missed}");
        // Just as large as the margin: to call it none is wrong.
        let (missed, _) = shares(1.021, 0.02, Finding::NoChange);
        assert!(missed <= 0.05, "{missed}");
    }

    #[test]
    fn looks_are_few_and_end_at_the_most() {
        assert_eq!(Rule::new(0.02, 0.05, 60).looks, [6, 8, 11, 15, 20, 27, 36, 48, 60]);
        assert_eq!(Rule::new(0.02, 0.05, 4).looks, [4]);
    }

    #[test]
    fn an_interval_is_as_wide_as_it_should_be() {
        let rule = Rule::with_looks(0.02, 0.05, vec![5]);
        // Mean 0, deviation of the mean sqrt(0.00025 / 5); t of 4 degrees at 2.5 % is 2.776.
        let interval = rule.interval(&[-0.02, -0.01, 0.0, 0.01, 0.02]);
        assert!((interval.ratio - 1.0).abs() < 1e-12);
        assert!((interval.high.ln() - 2.7764 * (0.00025f64 / 5.0).sqrt()).abs() < 1e-5);
    }
}
