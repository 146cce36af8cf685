//! Which records YCSB's operations name, after its own generators: zipfian with a constant of 0.99 (Gray et al. 1994), scrambled,
//! and latest.
//!
//! Scrambled zipfian draws a rank among ten thousand million and hashes it onto the records, so popular records lie anywhere, and how
//! popular they are does not depend on how many there are. Latest draws a rank back from the newest record.

use crate::bench::chance::Chance;
use crate::bench::distribution::Zipf;

/// Ranks that scrambled zipfian draws from.
const RANKS: u64 = 10_000_000_000;

/// What their weights sum to, as YCSB has it: summing them takes minutes.
const RANKS_SUM: f64 = 26.469_028_201_783_02;

/// Popular records lie anywhere.
#[derive(Clone, Debug)]
pub(super) struct Scrambled {
    ranks: Zipf,
    records: u64,
}

impl Scrambled {
    /// Draws from so many records, of which there is one at least.
    pub(super) fn new(records: u64) -> Self {
        Self { ranks: Zipf::with_sum(RANKS, RANKS_SUM), records }
    }

    pub(super) fn next(&self, chance: &mut Chance) -> u64 {
        fnv(self.ranks.at(chance.unit())) % self.records
    }
}

/// The newest records are the popular ones.
#[derive(Clone, Debug)]
pub(super) struct Latest(Zipf);

impl Latest {
    /// Draws from so many records at first.
    pub(super) fn new(records: u64) -> Self {
        Self(Zipf::new(records))
    }

    /// The next one, of as many as there are by now.
    pub(super) fn next(&mut self, records: u64, chance: &mut Chance) -> u64 {
        self.0.grow(records);
        (records - 1).saturating_sub(self.0.at(chance.unit()))
    }
}

/// FNV-1a of the eight bytes of a number, the lowest one first, and without a sign, as YCSB has it.
fn fnv(mut n: u64) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for _ in 0..8 {
        hash = (hash ^ (n & 0xff)).wrapping_mul(0x0100_0000_01b3);
        n >>= 8;
    }
    hash.cast_signed().unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRAWS: u32 = 400_000;

    fn counts(records: u64, mut draw: impl FnMut(&mut Chance) -> u64) -> Vec<f64> {
        let mut counts = vec![0.0; usize::try_from(records).unwrap()];
        let mut chance = Chance::new(11);
        for _ in 0..DRAWS {
            counts[usize::try_from(draw(&mut chance)).unwrap()] += 1.0;
        }
        counts
    }

    fn share(hits: f64) -> f64 {
        hits / f64::from(DRAWS)
    }

    /// The published vector of FNV-1a for eight zero bytes, and one that is negative as YCSB's signed number.
    #[test]
    fn numbers_are_hashed_as_ycsb_hashes_them() {
        assert_eq!(fnv(0), 0xa8c7f832281a39c5_u64.cast_signed().unsigned_abs());
        assert_eq!(
            [fnv(0), fnv(1), fnv(2)],
            [6_284_781_860_667_377_211, 8_517_097_267_634_966_620, 1_820_151_046_732_198_393]
        );
    }

    /// Rank 0 has 1 / zeta(10^10, 0.99) = 3.78 % of the draws and rank 1 has 2^-0.99 of that, whatever the number of records is.
    #[test]
    fn the_hottest_records_have_their_published_shares_wherever_they_lie() {
        for records in [1_000, 100_000] {
            let scrambled = Scrambled::new(records);
            let counts = counts(records, |chance| scrambled.next(chance));
            let place = |rank| usize::try_from(fnv(rank) % records).unwrap();
            let (first, second) = (share(counts[place(0)]), share(counts[place(1)]));
            assert!((first - 1.0 / RANKS_SUM).abs() < 0.002, "{first}");
            assert!((second - 0.5_f64.powf(0.99) / RANKS_SUM).abs() < 0.002, "{second}");
            assert_ne!(place(0), 0, "the hottest record is not the first one");
            assert!(place(0).abs_diff(place(1)) > 1, "nor are the hottest neighbours");
        }
    }

    /// Both halves of the records get their part: what is popular is spread.
    #[test]
    fn scrambling_spreads_what_is_popular() {
        let scrambled = Scrambled::new(10_000);
        let counts = counts(10_000, |chance| scrambled.next(chance));
        let low: f64 = counts[..5_000].iter().sum();
        assert!((0.35..0.65).contains(&share(low)), "{}", share(low));
        // Unscrambled, a hundredth of the records would have more than half of the draws.
        let low: f64 = counts[..100].iter().sum();
        assert!(share(low) < 0.15, "{}", share(low));
    }

    /// Of `n` records the newest has 1 / zeta(n, 0.99) of the draws, and the newest tenth most of them.
    #[test]
    fn the_newest_records_are_the_popular_ones() {
        let sum: f64 = (1..=1_000).map(|rank| f64::from(rank).powf(-0.99)).sum();
        let mut latest = Latest::new(1_000);
        let counts = counts(1_000, |chance| latest.next(1_000, chance));
        let newest = share(counts[999]);
        assert!((newest - 1.0 / sum).abs() < 0.003, "{newest} of {}", 1.0 / sum);
        let tenth = share(counts[900..].iter().sum());
        assert!((0.65..0.75).contains(&tenth), "{tenth}");
        assert!(counts[0] < counts[999] / 100.0);
    }

    /// Growing one by one comes to what there would be at once.
    #[test]
    fn the_newest_stay_popular_while_records_are_added() {
        let (mut grown, mut chance) = (Latest::new(10), Chance::new(5));
        for records in 11..=2_000 {
            assert!(grown.next(records, &mut chance) < records);
        }
        let mut fresh = Latest::new(2_000);
        let (mut one, mut other) = (Chance::new(9), Chance::new(9));
        for _ in 0..1_000 {
            assert_eq!(grown.next(2_000, &mut one), fresh.next(2_000, &mut other));
        }
    }
}
