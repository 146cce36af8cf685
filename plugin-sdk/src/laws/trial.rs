//! A trial of the laws on siblings by chance.

use std::marker::PhantomData;

use super::breach::Breach;
use super::shrink::smallest;
use super::steps::{check, tried};
use super::values::Values;
use crate::{Chance, Context, Resolver, Samples, Sibling};

/// As many siblings as a node merges at once.
const MANY: usize = 64;

/// Tries the laws on a plugin. Without anything else said: 256 cases, always the same.
#[must_use = "`assert` or `run` makes the trial"]
pub struct Trial<P> {
    ctx: Context,
    corpus: Vec<Vec<u8>>,
    deletes: bool,
    cases: usize,
    seed: u64,
    plugin: PhantomData<P>,
}

/// What a trial tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tally {
    /// Cases of siblings.
    pub cases: usize,
    /// Those that the plugin merged. The laws say nothing about the others.
    pub merged: usize,
}

impl<P: Resolver + Samples> Trial<P> {
    /// A trial of `P`.
    pub fn new() -> Self {
        Self {
            ctx: Context::default(),
            corpus: Vec::new(),
            deletes: false,
            cases: 256,
            seed: 1,
            plugin: PhantomData,
        }
    }

    /// What an operator set on the bucket for the plugin.
    pub fn config(mut self, config: impl Into<Vec<u8>>) -> Self {
        self.ctx.config = config.into();
        self
    }

    /// Values that the plugin should merge, besides its samples.
    pub fn corpus(mut self, values: impl IntoIterator<Item = impl Into<Vec<u8>>>) -> Self {
        self.corpus.extend(values.into_iter().map(Into::into));
        self
    }

    /// Some of the siblings are deletes: for a plugin with `tombstones = "pass"`.
    pub fn deletes(mut self) -> Self {
        self.deletes = true;
        self
    }

    /// How many cases to try.
    pub fn cases(mut self, cases: usize) -> Self {
        self.cases = cases;
        self
    }

    /// Where chance comes from: the same seed tries the same siblings.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Makes the trial.
    ///
    /// # Panics
    /// If a law is broken, with the smallest siblings that were found to show it; and if nothing was merged at all, which shows
    /// nothing.
    #[track_caller]
    pub fn assert(self) {
        match self.run() {
            Ok(Tally { cases, merged: 0 }) => {
                panic!(
                    "none of {cases} cases was merged: does `merge` accept the values of `sample`?"
                )
            }
            Ok(Tally { .. }) => {}
            Err(breach) => panic!("{breach}"),
        }
    }

    /// Makes the trial, and says what was tried.
    ///
    /// # Errors
    /// A law that is broken, with the smallest siblings that were found to show it.
    pub fn run(self) -> Result<Tally, Box<Breach>> {
        let mut chance = Chance::new(self.seed);
        let values = Values::gather::<P>(&self.corpus, &mut chance);
        let mut tally = Tally { cases: 0, merged: 0 };
        for number in 0..=self.cases {
            // Small ones first: what breaks on them needs less shrinking. The last case is one of very many.
            let count = match number {
                _ if number == self.cases => MANY,
                _ => 2 + chance.below(4) as usize,
            };
            let reach = 100 * (number + 1) / (self.cases + 1);
            let siblings = self.siblings(number, count, reach, &values, &mut chance);
            tally.cases += 1;
            match tried::<P>(&self.ctx, &siblings) {
                Ok(merged) => tally.merged += usize::from(merged),
                Err(breach) => {
                    let breaks = |siblings: &[Sibling]| check::<P>(&self.ctx, siblings).err();
                    return Err(smallest(siblings, breach, breaks));
                }
            }
        }
        Ok(tally)
    }

    fn siblings(
        &self,
        number: usize,
        count: usize,
        reach: usize,
        values: &Values,
        chance: &mut Chance,
    ) -> Vec<Sibling> {
        let mut siblings: Vec<_> = (0..count)
            .map(|_| {
                let fine = !number.is_multiple_of(4) || count == MANY;
                let value =
                    if fine { values.fine(reach, chance) } else { values.any(reach, chance) };
                // Few times, so that they tie; in every third case all of them do.
                let time = if number.is_multiple_of(3) { 1 } else { 1 + chance.below(4) };
                Sibling { value: Some(value), time }
            })
            .collect();
        if let Some(sibling) = siblings.get_mut(chance.below(count as u64) as usize) {
            match number % 8 {
                1 => sibling.value = Some(Vec::new()),
                3 | 6 if self.deletes => sibling.value = None,
                _ => {}
            }
        }
        siblings
    }
}

impl<P: Resolver + Samples> Default for Trial<P> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::super::planted::{Concatenate, Fragile, Greatest, LaterPosition};
    use super::*;

    fn broken<P: Resolver + Samples>() -> Breach {
        *Trial::<P>::new().run().unwrap_err()
    }

    #[test]
    fn what_keeps_the_laws_passes() {
        let tally = Trial::<Greatest>::new().deletes().corpus([b"milk"]).run().unwrap();
        assert_eq!(tally, Tally { cases: 257, merged: 257 });
        Trial::<Greatest>::default().seed(7).cases(8).config("config").assert();
    }

    #[test]
    fn what_breaks_them_is_found_and_made_small() {
        let size = |breach: &Breach| {
            breach.siblings.iter().flat_map(|sibling| &sibling.value).map(Vec::len).sum::<usize>()
        };
        let concatenation = broken::<Concatenate>();
        assert!(concatenation.siblings.len() == 2 && size(&concatenation) <= 2, "{concatenation}");
        let position = broken::<LaterPosition>();
        assert_eq!(position.siblings.len(), 3, "{position}");
        assert!(size(&position) <= 10, "{position}");
        let panic = broken::<Fragile>();
        assert_eq!((panic.law, size(&panic)), ("total", 1), "{panic}");
    }

    #[test]
    fn the_same_seed_finds_the_same() {
        assert_eq!(broken::<LaterPosition>(), broken::<LaterPosition>());
    }

    #[test]
    #[should_panic = "not total:"]
    fn a_failed_trial_shows_the_counterexample() {
        Trial::<Fragile>::new().assert();
    }
}
