//! How often a number came out how large: counts between fixed bounds, for operators.

use alloc::vec;
use alloc::vec::Vec;

/// Counts of numbers by their size. Each only rises.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spread {
    bounds: &'static [u64],
    /// One a bound, for numbers up to it and above the one before, and one for what is above all.
    counts: Vec<u64>,
    sum: u64,
}

impl Spread {
    /// No numbers yet; `bounds` rise.
    #[must_use]
    pub fn new(bounds: &'static [u64]) -> Self {
        Self { bounds, counts: vec![0; bounds.len() + 1], sum: 0 }
    }

    /// One more number.
    pub fn add(&mut self, number: u64) {
        self.counts[self.bounds.partition_point(|bound| *bound < number)] += 1;
        self.sum = self.sum.saturating_add(number);
    }

    /// The bounds with how many numbers were up to each and above the one before.
    pub fn bins(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.bounds.iter().copied().zip(self.counts.iter().copied())
    }

    /// How many numbers there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// What they come to together.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_counts_at_the_first_bound_that_is_not_below_it() {
        let mut spread = Spread::new(&[0, 1, 4]);
        [0, 1, 2, 4, 5, 9].into_iter().for_each(|number| spread.add(number));
        assert_eq!(spread.bins().collect::<Vec<_>>(), [(0, 1), (1, 1), (4, 2)]);
        assert_eq!((spread.count(), spread.sum()), (6, 21));
    }
}
