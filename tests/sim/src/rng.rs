//! Chance from a seed: xoshiro256++ (Blackman and Vigna 2019), seeded by splitmix64.
//!
//! Written out here, since a seed has to mean the same run for as long as this repository lives.

use core::ops::RangeInclusive;

/// A stream of chance.
#[derive(Clone, Debug)]
pub struct Rng {
    state: [u64; 4],
}

impl Rng {
    /// The stream of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut at = seed;
        let mut next = || {
            at = at.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = at;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        };
        Self { state: [next(), next(), next(), next()] }
    }

    /// A stream of its own, so that drawing more there changes nothing here.
    #[must_use]
    pub fn fork(&mut self) -> Self {
        Self::new(self.draw())
    }

    /// 64 bits.
    pub fn draw(&mut self) -> u64 {
        let [a, b, c, d] = self.state;
        let result = a.wrapping_add(d).rotate_left(23).wrapping_add(a);
        let t = b << 17;
        let (c, d) = (c ^ a, d ^ b);
        self.state = [a ^ d, b ^ c, c ^ t, d.rotate_left(45)];
        result
    }

    /// A number below `n`; zero if `n` is zero.
    pub fn below(&mut self, n: u64) -> u64 {
        // The high half of a 128-bit product: as good as even for the small numbers that are drawn here.
        let product = u128::from(self.draw()) * u128::from(n);
        (product >> 64) as u64
    }

    /// A number of a range.
    pub fn within(&mut self, range: RangeInclusive<u64>) -> u64 {
        range.start() + self.below(range.end() - range.start() + 1)
    }

    /// An index into something of that length.
    pub fn index(&mut self, len: usize) -> usize {
        self.below(len as u64) as usize
    }

    /// True in so many of a thousand cases.
    pub fn chance(&mut self, per_mille: u32) -> bool {
        self.below(1_000) < u64::from(per_mille)
    }

    /// One of several.
    ///
    /// # Panics
    /// If there are none.
    pub fn pick<'t, T>(&mut self, of: &'t [T]) -> &'t T {
        &of[self.index(of.len())]
    }

    /// A duration that is mostly around `mean` and rarely several times as long.
    pub fn spread(&mut self, mean: u64) -> u64 {
        let unit = self.below(1 << 20) + 1;
        let halvings = u64::from(20 - unit.ilog2());
        mean / 2 + mean * halvings / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A seed printed today replays tomorrow: these numbers never change.
    #[test]
    fn a_seed_means_the_same_for_ever() {
        let mut rng = Rng::new(0);
        assert_eq!(
            [rng.draw(), rng.draw(), rng.draw()],
            [5_987_356_902_031_041_503, 7_051_070_477_665_621_255, 6_633_766_593_972_829_180]
        );
    }

    #[test]
    fn numbers_stay_in_their_range() {
        let mut rng = Rng::new(1);
        for _ in 0..1_000 {
            assert!((3..=5).contains(&rng.within(3..=5)));
            assert_eq!(rng.below(1), 0);
            assert!(rng.spread(100) >= 50);
        }
    }
}
