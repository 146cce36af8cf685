//! A context: the set of writes that an object, or a client, has seen.
//!
//! Held as intervals of each actor's dots, in one canonical form: sorted, disjoint, never touching. Two contexts that
//! hold the same dots are therefore equal, byte for byte.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::causality::Dot;
use crate::id::Actor;
use crate::time::Timestamp;

/// Every dot of `actor` from `from` to `to`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Interval {
    /// Whose dots.
    pub actor: Actor,
    /// The first.
    pub from: Timestamp,
    /// The last.
    pub to: Timestamp,
}

/// The set of writes that an object, or a client, has seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "Vec<(u64, u64, u64)>", into = "Vec<(u64, u64, u64)>")]
pub struct Context {
    intervals: Vec<Interval>,
}

/// Bytes that are no context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContextError {
    /// Not canonical: unsorted, overlapping, touching or reversed intervals, or times out of range.
    #[error(
        "the context's intervals are not in canonical form: send back a context just as it was received"
    )]
    NotCanonical,
    /// More intervals than [`Context::MAX_INTERVALS`].
    #[error("the context has more than {max} intervals", max = Context::MAX_INTERVALS)]
    TooLong,
    /// Not the encoding of a context at all.
    #[error("the context does not parse: send back a context just as it was received")]
    Malformed,
}

impl Context {
    /// The most intervals that a context from outside may have.
    pub const MAX_INTERVALS: usize = 4_096;

    /// The context that has seen nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self { intervals: Vec::new() }
    }

    /// The context that has seen just `dot`.
    #[must_use]
    pub fn of(dot: Dot) -> Self {
        let mut context = Self::new();
        context.insert(Interval { actor: dot.actor, from: dot.time, to: dot.time });
        context
    }

    /// Has it seen nothing?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.intervals.is_empty()
    }

    /// Its intervals, by actor, then by time.
    #[must_use]
    pub fn intervals(&self) -> &[Interval] {
        &self.intervals
    }

    /// The latest time it has seen; zero where it has seen nothing.
    #[must_use]
    pub fn latest(&self) -> Timestamp {
        self.intervals.iter().map(|i| i.to).max().unwrap_or_default()
    }

    /// Has it seen `dot`?
    #[must_use]
    pub fn covers_dot(&self, dot: Dot) -> bool {
        self.interval_of(dot).is_some()
    }

    /// Has it seen all that `other` has?
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        other.intervals.iter().all(|theirs| {
            self.interval_of(Dot { actor: theirs.actor, time: theirs.from })
                .is_some_and(|ours| theirs.to <= ours.to)
        })
    }

    /// Have both seen one write?
    #[must_use]
    pub fn meets(&self, other: &Self) -> bool {
        other.intervals.iter().any(|theirs| {
            let mine =
                self.intervals.partition_point(|i| (i.actor, i.to) < (theirs.actor, theirs.from));
            self.intervals.get(mine).is_some_and(|i| i.actor == theirs.actor && i.from <= theirs.to)
        })
    }

    /// The interval that holds `dot`.
    fn interval_of(&self, dot: Dot) -> Option<&Interval> {
        let after = self.intervals.partition_point(|i| (i.actor, i.from) <= (dot.actor, dot.time));
        let candidate = self.intervals.get(after.checked_sub(1)?)?;
        (candidate.actor == dot.actor && dot.time <= candidate.to).then_some(candidate)
    }

    /// Takes in one interval.
    pub fn insert(&mut self, new: Interval) {
        let touches = |i: &Interval, new: &Interval| {
            i.actor == new.actor && i.from.0 <= new.to.0 + 1 && new.from.0 <= i.to.0 + 1
        };
        let start = self.intervals.partition_point(|i| {
            i.actor < new.actor || (i.actor == new.actor && i.to.0 + 1 < new.from.0)
        });
        let mut end = start;
        let mut merged = new;
        while let Some(next) = self.intervals.get(end)
            && touches(next, &merged)
        {
            merged.from = merged.from.min(next.from);
            merged.to = merged.to.max(next.to);
            end += 1;
        }
        self.intervals.splice(start..end, core::iter::once(merged));
    }

    /// Takes in all that `other` has seen.
    pub fn unite(&mut self, other: &Self) {
        if self.intervals.is_empty() {
            self.intervals.clone_from(&other.intervals);
            return;
        }
        for interval in &other.intervals {
            self.insert(*interval);
        }
    }

    /// All that either has seen.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        let mut all = self.clone();
        all.unite(other);
        all
    }
}

impl From<Context> for Vec<(u64, u64, u64)> {
    fn from(context: Context) -> Self {
        context.intervals.iter().map(|i| (i.actor.0, i.from.0, i.to.0)).collect()
    }
}

impl TryFrom<Vec<(u64, u64, u64)>> for Context {
    type Error = ContextError;

    fn try_from(raw: Vec<(u64, u64, u64)>) -> Result<Self, ContextError> {
        if raw.len() > Self::MAX_INTERVALS {
            return Err(ContextError::TooLong);
        }
        let intervals: Vec<Interval> = raw
            .into_iter()
            .map(|(actor, from, to)| Interval {
                actor: Actor(actor),
                from: Timestamp(from),
                to: Timestamp(to),
            })
            .collect();
        let ordered = intervals.iter().all(|i| i.from <= i.to && i.to <= Timestamp::MAX);
        // Only below the largest time is there a next one.
        let apart = ordered
            && intervals.windows(2).all(|pair| {
                pair[0].actor < pair[1].actor
                    || (pair[0].actor == pair[1].actor && pair[0].to.0 + 1 < pair[1].from.0)
            });
        if apart { Ok(Self { intervals }) } else { Err(ContextError::NotCanonical) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;
    use alloc::vec;
    use proptest::prelude::{Strategy, prop, prop_assert_eq, proptest};

    fn interval(actor: u64, from: u64, to: u64) -> Interval {
        Interval { actor: Actor(actor), from: Timestamp(from), to: Timestamp(to) }
    }

    fn intervals() -> impl Strategy<Value = Vec<(u64, u64, u64)>> {
        prop::collection::vec(
            (0..3u64, 1..12u64, 0..4u64).prop_map(|(a, f, l)| (a, f, f + l)),
            0..6,
        )
    }

    fn build(raw: &[(u64, u64, u64)]) -> (Context, BTreeSet<(u64, u64)>) {
        let mut context = Context::new();
        let mut dots = BTreeSet::new();
        for &(actor, from, to) in raw {
            context.insert(interval(actor, from, to));
            dots.extend((from..=to).map(|t| (actor, t)));
        }
        (context, dots)
    }

    #[test]
    fn touching_intervals_become_one() {
        let (context, _) = build(&[(1, 5, 6), (1, 1, 2), (1, 3, 4), (2, 7, 7)]);
        assert_eq!(context.intervals(), [interval(1, 1, 6), interval(2, 7, 7)]);
    }

    #[test]
    fn a_context_from_outside_must_be_canonical() {
        for bad in [
            vec![(1, 5, 4)],
            vec![(2, 1, 1), (1, 1, 1)],
            vec![(1, 1, 3), (1, 3, 5)],
            vec![(1, 1, 3), (1, 4, 5)],
            vec![(1, 1, 1 << 53)],
        ] {
            assert_eq!(Context::try_from(bad), Err(ContextError::NotCanonical));
        }
        assert!(Context::try_from(vec![(1, 1, 3), (1, 5, 5), (2, 1, 1)]).is_ok());
        assert_eq!(
            Context::try_from(vec![(1, 1, 1); Context::MAX_INTERVALS + 1]),
            Err(ContextError::TooLong)
        );
    }

    proptest! {
        #[test]
        fn a_context_is_the_set_of_its_dots(a in intervals(), b in intervals()) {
            let ((a, dots_a), (b, dots_b)) = (build(&a), build(&b));
            for actor in 0..3 {
                for time in 0..20 {
                    let dot = Dot { actor: Actor(actor), time: Timestamp(time) };
                    prop_assert_eq!(a.covers_dot(dot), dots_a.contains(&(actor, time)));
                }
            }
            prop_assert_eq!(a.covers(&b), dots_b.is_subset(&dots_a));
            prop_assert_eq!(a == b, dots_a == dots_b);
            prop_assert_eq!(a.meets(&b), !dots_a.is_disjoint(&dots_b));
            let union = a.union(&b);
            prop_assert_eq!(&union, &b.union(&a));
            prop_assert_eq!(union.covers(&a) && union.covers(&b), true);
            let raw: Vec<_> = union.clone().into();
            prop_assert_eq!(Context::try_from(raw), Ok(union));
        }
    }
}
