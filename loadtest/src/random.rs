//! Numbers that look random and follow from a seed, so that a run can be had again.

/// A generator (SplitMix64); its quality is far beyond what loads need.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The numbers that follow from `seed`.
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// The next one.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// The next one, from 0 and below 1.
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// The next one of an exponential distribution of mean 1.
    pub fn exponential(&mut self) -> f64 {
        -(1.0 - self.unit()).ln()
    }

    /// The next one of a normal distribution of mean 0 and deviation 1 (Box and Muller).
    #[cfg(test)]
    pub fn normal(&mut self) -> f64 {
        (2.0 * self.exponential()).sqrt() * (std::f64::consts::TAU * self.unit()).cos()
    }
}

/// A number that follows from two and tells nothing of them.
pub fn hash(one: u64, other: u64) -> u64 {
    mix(mix(one.wrapping_add(0x9e37_79b9_7f4a_7c15)).wrapping_add(other))
}

fn mix(mut number: u64) -> u64 {
    number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_the_moments_it_claims() {
        let mut random = Random::new(7);
        let count = 200_000;
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let unit: Vec<f64> = (0..count).map(|_| random.unit()).collect();
        assert!((mean(&unit) - 0.5).abs() < 0.005 && unit.iter().all(|value| (0.0..1.0).contains(value)));
        let exponential: Vec<f64> = (0..count).map(|_| random.exponential()).collect();
        assert!((mean(&exponential) - 1.0).abs() < 0.01);
        let normal: Vec<f64> = (0..count).map(|_| random.normal()).collect();
        let squares: Vec<f64> = normal.iter().map(|value| value * value).collect();
        assert!(mean(&normal).abs() < 0.01 && (mean(&squares) - 1.0).abs() < 0.02);
    }
}
