//! How long a node usually takes to answer: an estimate that forgets.
//!
//! Answers are counted in bins, each a quarter of an octave wide, so that a quantile is right within a fifth at any scale
//! (the idea of HDR histograms: Tene 2012). Once 128 answers are counted all counts are halved: an answer weighs half
//! as much after sixty others, and a node that changes its pace is known by its new one soon. Where all answers of a window are to
//! count alike, [`Latency::that_forgets_nothing`]. Times that passed go in; there is no clock here, and equal answers in equal order
//! give equal estimates.

use crate::time::Duration;

/// Bins: from 16 µs, four to the octave, to 4.4 minutes.
const BINS: usize = 96;

/// The lowest bin ends here, in microseconds, as a power of two.
const FIRST_OCTAVE: u32 = 4;

/// The highest bin ends here.
const LAST_OCTAVE: u32 = FIRST_OCTAVE + 24;

/// Counts are halved when so many answers are counted.
const FULL: u32 = 128;

/// With fewer answers than this there is no estimate.
const FEW: u32 = 8;

/// How long somebody's answers took, lately.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Latency {
    bins: [u32; BINS],
    total: u32,
    full: u32,
}

impl Default for Latency {
    fn default() -> Self {
        Self { bins: [0; BINS], total: 0, full: FULL }
    }
}

impl Latency {
    /// All answers weigh the same, however many follow: the slowest hundredth of many needs them all.
    #[must_use]
    pub fn that_forgets_nothing() -> Self {
        Self { full: u32::MAX, ..Self::default() }
    }

    /// How many answers are counted.
    #[must_use]
    pub fn answers(&self) -> u32 {
        self.total
    }

    /// One more answer.
    pub fn add(&mut self, took: Duration) {
        if self.total >= self.full {
            self.bins.iter_mut().for_each(|bin| *bin /= 2);
            self.total = self.bins.iter().sum();
        }
        self.bins[bin_of(took)] += 1;
        self.total += 1;
    }

    /// The time within which so many of a thousand answers came, rounded up to the end of its bin; `None` while too few are
    /// counted.
    #[must_use]
    pub fn quantile(&self, permille: u32) -> Option<Duration> {
        if self.total < FEW {
            return None;
        }
        let wanted = (u64::from(self.total) * u64::from(permille)).div_ceil(1_000).max(1);
        let mut counted = 0;
        let bin = self.bins.iter().position(|count| {
            counted += u64::from(*count);
            counted >= wanted
        });
        bin.map(end_of)
    }

    /// The time within which 95 of 100 answers came, after which it is worth asking somebody else (Dean and Barroso 2013).
    #[must_use]
    pub fn p95(&self) -> Option<Duration> {
        self.quantile(950)
    }
}

/// The bin that a time falls into: its octave, and which quarter of that.
fn bin_of(Duration(micros): Duration) -> usize {
    let micros = micros.clamp(1 << FIRST_OCTAVE, (1 << LAST_OCTAVE) - 1);
    let octave = micros.ilog2();
    let quarter = ((micros - (1 << octave)) * 4) >> octave;
    let bin = u64::from(octave - FIRST_OCTAVE) * 4 + quarter;
    usize::try_from(bin).expect("below the number of bins")
}

/// The first time that is above a bin.
fn end_of(bin: usize) -> Duration {
    let (octave, quarter) = (bin as u64 / 4 + u64::from(FIRST_OCTAVE), bin as u64 % 4);
    Duration((1 << octave) + ((quarter + 1) << octave) / 4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn of(answers: impl IntoIterator<Item = u64>) -> Latency {
        let mut latency = Latency::default();
        answers.into_iter().for_each(|micros| latency.add(Duration(micros)));
        latency
    }

    #[test]
    fn bins_meet_and_hold_what_falls_into_them() {
        for micros in (16..100_000).chain([1 << 27, (1 << 28) - 1]) {
            let bin = bin_of(Duration(micros));
            assert!(micros < end_of(bin).0, "{micros} is below the end of bin {bin}");
            assert!(bin == 0 || end_of(bin - 1).0 <= micros, "{micros} is in bin {bin}");
        }
        assert_eq!((bin_of(Duration(0)), bin_of(Duration(u64::MAX))), (0, BINS - 1));
    }

    #[test]
    fn a_few_slow_answers_of_a_hundred_are_above_it() {
        let mixed = (0..100).map(|n| if n % 25 == 0 { 1_000_000 } else { 1_000 });
        let p95 = of(mixed.clone()).p95().unwrap();
        assert!((1_000..=1_250).contains(&p95.0), "{p95:?}");
        assert!(of(mixed).quantile(990).unwrap().0 > 1_000_000);
    }

    #[test]
    fn nothing_is_said_of_somebody_hardly_known() {
        assert_eq!(of(vec![5; 7]).p95(), None);
        assert!(of(vec![5; 8]).p95().is_some());
    }

    #[test]
    fn the_slowest_of_many_are_remembered_where_nothing_is_forgotten() {
        let mut whole = Latency::that_forgets_nothing();
        let mut lately = Latency::default();
        // Two of a hundred are slow, and long past.
        for micros in (0..20).map(|_| 50_000).chain((0..980).map(|_| 1_000)) {
            whole.add(Duration(micros));
            lately.add(Duration(micros));
        }
        assert_eq!(whole.answers(), 1_000);
        assert!(whole.quantile(990).unwrap().0 > 50_000);
        assert!(lately.quantile(990).unwrap().0 <= 1_250);
    }

    #[test]
    fn an_old_pace_is_forgotten() {
        let mut latency = of(vec![1_000; 10_000]);
        (0..300).for_each(|_| latency.add(Duration(50_000)));
        assert!(latency.quantile(500).unwrap().0 > 50_000);
        (0..2_000).for_each(|_| latency.add(Duration(1_000)));
        assert!(latency.p95().unwrap().0 <= 1_250);
    }
}
