//! Marks: how much of what an actor wrote in a tree is here, or was replaced.
//!
//! A mark (actor, time) of a replica says of every key of a tree: each of that actor's writes up to that time is in this
//! replica's object of the key, or something that it has seen replaced it. So an object's context, also that of a key of
//! which nothing is left, counts as united with the marks of whoever holds it: what they cover and the object does not hold
//! is gone for good. That lets a tombstone go without a trace, and contexts be cut to what the marks don't say (Gonçalves et
//! al. 2017, "DottedDB", who keep one such clock a node).
//!
//! Marks only grow, and what they say of a replica stays true while it keeps its data. So a message may carry them later than
//! they were read, but never with an object that was read before them.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::causality::{Context, ContextError, Dot, Interval};
use crate::id::Actor;
use crate::time::Timestamp;

/// Up to which time everything of an actor is here or was replaced. Clones share their memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<(u64, u64)>", into = "Vec<(u64, u64)>")]
pub struct Marks {
    times: Arc<BTreeMap<Actor, Timestamp>>,
}

impl Marks {
    /// The most actors whose marks stand in one message with an object: those that wrote last. Fewer marks claim less, which
    /// is always true.
    pub const IN_MESSAGE: usize = 256;

    /// The most marks that anything from outside may have.
    pub const MOST: usize = 65_536;

    /// Are there none?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// How many actors have one.
    #[must_use]
    pub fn len(&self) -> usize {
        self.times.len()
    }

    /// All of them, by actor.
    pub fn iter(&self) -> impl Iterator<Item = (Actor, Timestamp)> + '_ {
        self.times.iter().map(|(actor, time)| (*actor, *time))
    }

    /// The mark of an actor; zero if it has none.
    #[must_use]
    pub fn of(&self, actor: Actor) -> Timestamp {
        self.times.get(&actor).copied().unwrap_or_default()
    }

    /// Is this write here or replaced, by what the marks say?
    #[must_use]
    pub fn covers_dot(&self, dot: Dot) -> bool {
        dot.time <= self.of(dot.actor)
    }

    /// Are all of them here or replaced?
    #[must_use]
    pub fn covers(&self, context: &Context) -> bool {
        context.intervals().iter().all(|i| i.to <= self.of(i.actor))
    }

    /// Takes over a mark that is later. Says whether it is.
    pub fn raise(&mut self, actor: Actor, time: Timestamp) -> bool {
        let later = time > self.of(actor);
        if later {
            Arc::make_mut(&mut self.times).insert(actor, time);
        }
        later
    }

    /// Takes over all marks of `other` that are later. Says whether there were any.
    pub fn unite(&mut self, other: &Self) -> bool {
        if Arc::ptr_eq(&self.times, &other.times) || other.is_empty() {
            return false;
        }
        if self.is_empty() {
            self.clone_from(other);
            return true;
        }
        other.iter().fold(false, |changed, (actor, time)| self.raise(actor, time) || changed)
    }

    /// Those that are later than what `known` says.
    #[must_use]
    pub fn beyond(&self, known: &Self) -> Self {
        let later = self.iter().filter(|(actor, time)| *time > known.of(*actor));
        later.collect()
    }

    /// The marks of at most `most` actors: of those that have the latest.
    #[must_use]
    pub fn latest(&self, most: usize) -> Self {
        if self.len() <= most {
            return self.clone();
        }
        let mut times: Vec<(Timestamp, Actor)> = self.iter().map(|(a, t)| (t, a)).collect();
        times.sort_unstable();
        times.drain(..times.len() - most);
        times.into_iter().map(|(time, actor)| (actor, time)).collect()
    }

    /// `context` without what the marks say anyway; none if they say nothing of it.
    #[must_use]
    pub fn strip(&self, context: &Context) -> Option<Context> {
        let within = |i: &Interval| i.from <= self.of(i.actor);
        if !context.intervals().iter().any(within) {
            return None;
        }
        let mut left = Context::new();
        for interval in context.intervals() {
            let mark = self.of(interval.actor);
            if interval.to > mark {
                let from = interval.from.max(Timestamp(mark.0 + 1));
                left.insert(Interval { from, ..*interval });
            }
        }
        Some(left)
    }

    /// Equal for equal marks, and hardly ever for others; zero if there are none.
    #[must_use]
    pub fn digest(&self) -> u64 {
        if self.is_empty() {
            return 0;
        }
        let mut hasher = blake3::Hasher::new_derive_key("kinfold 2026 marks");
        for (actor, time) in self.iter() {
            hasher.update(&actor.0.to_be_bytes());
            hasher.update(&time.0.to_be_bytes());
        }
        let mut first = [0; 8];
        first.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
        u64::from_be_bytes(first)
    }
}

impl FromIterator<(Actor, Timestamp)> for Marks {
    fn from_iter<I: IntoIterator<Item = (Actor, Timestamp)>>(marks: I) -> Self {
        let mut all = Self::default();
        for (actor, time) in marks {
            all.raise(actor, time);
        }
        all
    }
}

impl From<Marks> for Vec<(u64, u64)> {
    fn from(marks: Marks) -> Self {
        marks.iter().map(|(actor, time)| (actor.0, time.0)).collect()
    }
}

impl TryFrom<Vec<(u64, u64)>> for Marks {
    type Error = ContextError;

    fn try_from(raw: Vec<(u64, u64)>) -> Result<Self, ContextError> {
        if raw.len() > Self::MOST {
            return Err(ContextError::TooLong);
        }
        let ordered = raw.windows(2).all(|pair| pair[0].0 < pair[1].0);
        let timely = raw.iter().all(|(_, time)| (1..=Timestamp::MAX.0).contains(time));
        if !ordered || !timely {
            return Err(ContextError::NotCanonical);
        }
        Ok(raw.into_iter().map(|(actor, time)| (Actor(actor), Timestamp(time))).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{Strategy, prop, prop_assert, prop_assert_eq, proptest};

    fn context() -> impl Strategy<Value = Context> {
        prop::collection::vec((0..4u64, 1..20u64, 0..5u64), 0..8).prop_map(|raw| {
            let mut context = Context::new();
            for (actor, from, length) in raw {
                let (from, to) = (Timestamp(from), Timestamp(from + length));
                context.insert(Interval { actor: Actor(actor), from, to });
            }
            context
        })
    }

    fn marks() -> impl Strategy<Value = Marks> {
        let raw = prop::collection::vec((0..4u64, 1..25u64), 0..5);
        raw.prop_map(|raw| raw.into_iter().map(|(a, t)| (Actor(a), Timestamp(t))).collect())
    }

    proptest! {
        #[test]
        fn what_is_stripped_is_what_the_marks_say(context in context(), marks in marks()) {
            let left = marks.strip(&context).unwrap_or_else(|| context.clone());
            for actor in 0..4 {
                for time in 1..30 {
                    let dot = Dot { actor: Actor(actor), time: Timestamp(time) };
                    let both = |c: &Context| c.covers_dot(dot) || marks.covers_dot(dot);
                    prop_assert_eq!(both(&left), both(&context), "{:?}", dot);
                    prop_assert!(!(left.covers_dot(dot) && marks.covers_dot(dot)));
                }
            }
            prop_assert_eq!(marks.covers(&context), left.is_empty());
        }

        #[test]
        fn marks_travel_unchanged(marks in marks()) {
            let raw: Vec<(u64, u64)> = marks.clone().into();
            prop_assert_eq!(Marks::try_from(raw), Ok(marks));
        }
    }

    #[test]
    fn the_latest_are_kept_and_what_is_beyond_is_told() {
        let marks: Marks = (1..=9).map(|n| (Actor(n), Timestamp(10 * n))).collect();
        let latest = marks.latest(2);
        assert_eq!(
            latest.iter().collect::<Vec<_>>(),
            [8, 9].map(|n| (Actor(n), Timestamp(10 * n)))
        );
        assert_eq!(marks.beyond(&latest).len(), 7);
        assert_eq!(latest.beyond(&marks).len(), 0);
        assert!(Marks::try_from(alloc::vec![(1, 0)]).is_err());
        assert!(Marks::try_from(alloc::vec![(2, 1), (1, 1)]).is_err());
    }
}
