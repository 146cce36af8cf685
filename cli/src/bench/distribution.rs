//! Which of the keys a request names.

use super::chance::Chance;

/// The skew of `zipfian`: YCSB's, under which a hundredth of a million keys gets about two thirds of the requests.
const SKEW: f64 = 0.99;

/// How requests are spread over the keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Distribution {
    /// Each key as often as any other.
    Uniform,
    /// Few keys often, most of them seldom.
    Zipfian,
    /// One after the other, each client from a place of its own.
    Sequential,
}

/// Draws keys, by number.
#[derive(Clone, Debug)]
pub(crate) enum Draw {
    /// See [`Distribution::Uniform`].
    Uniform(u64),
    /// See [`Distribution::Zipfian`].
    Zipfian(Zipf),
    /// See [`Distribution::Sequential`]: how many keys there are, and which is next.
    Sequential(u64, u64),
}

impl Draw {
    /// What draws from `keys` keys, of which there is one at least. `client` of `clients` is who draws.
    pub(crate) fn new(distribution: Distribution, keys: u64, client: u64, clients: u64) -> Self {
        match distribution {
            Distribution::Uniform => Self::Uniform(keys),
            Distribution::Zipfian => Self::Zipfian(Zipf::new(keys)),
            Distribution::Sequential => Self::Sequential(keys, keys / clients.max(1) * client),
        }
    }

    /// The next key's number.
    pub(crate) fn next(&mut self, chance: &mut Chance) -> u64 {
        match self {
            Self::Uniform(keys) => chance.below(*keys),
            Self::Zipfian(zipf) => zipf.at(chance.unit()),
            Self::Sequential(keys, next) => {
                let key = *next % *keys;
                *next = key + 1;
                key
            }
        }
    }
}

/// Zipf's distribution, by the method of Gray et al., "Quickly generating billion-record synthetic databases" (1994): key
/// 0 is the most frequent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Zipf {
    keys: f64,
    sum: f64,
    alpha: f64,
    eta: f64,
}

impl Zipf {
    /// The distribution over so many keys.
    pub(super) fn new(keys: u64) -> Self {
        Self::with_sum(keys, weights(1, keys))
    }

    /// The same, where the sum of the weights of all keys is known.
    pub(super) fn with_sum(keys: u64, sum: f64) -> Self {
        let n = keys as f64;
        let eta = (1.0 - (2.0 / n).powf(1.0 - SKEW)) / (1.0 - weights(1, 2) / sum);
        Self { keys: n, sum, alpha: 1.0 / (1.0 - SKEW), eta }
    }

    /// Goes over to more keys, at the cost of those that are new.
    pub(super) fn grow(&mut self, keys: u64) {
        let known = self.keys as u64;
        if keys > known {
            *self = Self::with_sum(keys, self.sum + weights(known + 1, keys));
        }
    }

    /// The key at a place from 0 up to 1.
    pub(super) fn at(&self, unit: f64) -> u64 {
        let place = unit * self.sum;
        let key = if place < 1.0 {
            0.0
        } else if place < 1.0 + 0.5_f64.powf(SKEW) {
            1.0
        } else {
            self.keys * (self.eta * unit - self.eta + 1.0).powf(self.alpha)
        };
        key.min(self.keys - 1.0) as u64
    }
}

/// What the ranks from `first` to `last` weigh together.
fn weights(first: u64, last: u64) -> f64 {
    (first..=last).map(|rank| (rank as f64).powf(-SKEW)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: u64 = 1_000;
    const DRAWS: u32 = 200_000;

    fn counts(distribution: Distribution) -> Vec<f64> {
        let mut counts = vec![0.0; KEYS as usize];
        let mut draw = Draw::new(distribution, KEYS, 0, 1);
        let mut chance = Chance::new(7);
        for _ in 0..DRAWS {
            counts[draw.next(&mut chance) as usize] += 1.0;
        }
        counts
    }

    /// The frequency of rank k is that of rank 1 divided by k^skew. The method is exact for the first two and close for the
    /// others.
    #[test]
    fn zipfian_draws_have_zipfs_shape() {
        let counts = counts(Distribution::Zipfian);
        let sum: f64 = (1..=KEYS).map(|rank| (rank as f64).powf(-SKEW)).sum();
        let expected = |rank: u64| f64::from(DRAWS) / sum / (rank as f64).powf(SKEW);
        for rank in [1, 2] {
            let found = counts[rank as usize - 1];
            assert!((found / expected(rank) - 1.0).abs() < 0.03, "rank {rank}: {found}");
        }
        for (from, to) in [(3, 10), (11, 100), (101, KEYS)] {
            let found: f64 = counts[from as usize - 1..to as usize].iter().sum();
            let expected: f64 = (from..=to).map(expected).sum();
            assert!((found / expected - 1.0).abs() < 0.15, "{from} to {to}: {found} of {expected}");
        }
    }

    #[test]
    fn uniform_draws_are_even() {
        let even = f64::from(DRAWS) / KEYS as f64;
        for count in counts(Distribution::Uniform) {
            assert!((count / even - 1.0).abs() < 0.5, "{count}");
        }
    }

    #[test]
    fn sequential_draws_walk_around_from_places_apart() {
        let mut chance = Chance::new(1);
        let mut draw = Draw::new(Distribution::Sequential, 10, 1, 2);
        let drawn: Vec<_> = (0..7).map(|_| draw.next(&mut chance)).collect();
        assert_eq!(drawn, [5, 6, 7, 8, 9, 0, 1]);
    }

    #[test]
    fn few_keys_are_no_trouble() {
        let mut chance = Chance::new(1);
        for distribution in [Distribution::Uniform, Distribution::Zipfian, Distribution::Sequential]
        {
            for keys in 1..4 {
                let mut draw = Draw::new(distribution, keys, 0, 1);
                assert!((0..1_000).all(|_| draw.next(&mut chance) < keys), "{distribution:?}");
            }
        }
    }
}
