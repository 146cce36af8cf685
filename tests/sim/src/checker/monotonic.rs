//! Strict reads never go back: each reflects every write that was acknowledged before it, and all that strict reads before
//! it returned, wherever the numbers of owners guarantee that they met.
//!
//! A write that K owners have acknowledged meets a strict read of R owners where K + R > N. A strict read has made sure of
//! W owners before it answered, so it counts as K = W. Where a disk was lost one of them may not hold it any more, and no more than
//! one: it counts as K - 1.

use std::collections::BTreeSet;

use kinfold_protocol::time::Timestamp;

use crate::bits::Bits;
use crate::checker::{authors, earliest, latest, may_reset};
use crate::ending::Ending;
use crate::history::{Kind, Op, Outcome, Seen};
use crate::keyspace::{Semantics, Spot};
use crate::past::Past;

/// What must be reflected from now on by whoever meets so many owners.
#[derive(Clone, Debug, Default)]
struct Floor {
    writes: Bits,
    time: Option<Timestamp>,
}

/// What does not hold.
#[must_use]
pub fn check(ending: &Ending<'_>) -> Vec<String> {
    let spots = ending.keys.spots.iter();
    spots.flat_map(|spot| Watch::new(ending, spot).check()).collect()
}

/// The strict reads of one key.
struct Watch<'w> {
    ending: &'w Ending<'w>,
    spot: &'w Spot,
    past: Past<'w>,
    /// The floor for each number of owners that hold it.
    floors: Vec<Floor>,
}

impl<'w> Watch<'w> {
    fn new(ending: &'w Ending<'w>, spot: &'w Spot) -> Self {
        let floors = vec![Floor::default(); usize::from(spot.config.n) + 1];
        Self { ending, spot, past: Past::new(ending.history, &spot.key), floors }
    }

    fn check(mut self) -> Vec<String> {
        let ops = self.ending.history.of(&self.spot.key);
        let mut moments: Vec<(u64, bool, &Op)> = Vec::new();
        for op in ops {
            moments.push((op.invoked, false, op));
            if let Some(returned) = op.returned {
                moments.push((returned, true, op));
            }
        }
        moments.sort_by_key(|(at, returns, op)| (*at, *returns, op.id));
        let mut found = Vec::new();
        let mut begun = Vec::new();
        for (_, returns, op) in moments {
            if returns {
                self.returned(op);
            } else if let Kind::Get { r, strict: true } = op.kind {
                begun.push((op, self.floor(r)));
            }
        }
        for (read, floor) in begun {
            if let Outcome::Found { values, .. } = &read.outcome {
                // What a delete leaves is collected, or was merged with siblings by a crowded put: any that may have happened
                // by now may stand behind what was read.
                // And so does what has expired.
                let returned = read.returned.unwrap_or(u64::MAX);
                let wall = self.ending.readings.most(returned);
                let expired = self.past.writes.iter().filter(|op| {
                    self.spot.expires && self.ending.history.may_have_expired(op, wall)
                });
                let writes = authors(values).into_iter().chain(expired.map(|op| op.id));
                let seen = Seen { writes: writes.collect(), deletes_before: Some(returned) };
                found.extend(self.goes_back(read, &seen, &floor));
            }
        }
        found
    }

    /// What a strict read of `r` owners has to reflect if it begins now.
    fn floor(&self, r: u8) -> Floor {
        let mut all = Floor::default();
        for floor in self.floors.iter().skip(usize::from(self.spot.config.n - r) + 1) {
            all.writes.unite(&floor.writes);
            all.time = all.time.max(floor.time);
        }
        all
    }

    fn returned(&mut self, op: &Op) {
        let history = self.ending.history;
        let (owners, writes, time) = match (&op.kind, &op.outcome) {
            (Kind::Put(_) | Kind::Delete, Outcome::Acknowledged { owners }) => {
                (*owners, BTreeSet::from([op.id]), earliest(history, op))
            }
            (Kind::Get { strict: true, .. }, Outcome::Found { values, .. }) => {
                let times = values.iter().filter_map(|value| {
                    history.dots(&self.spot.key, value).map(|dot| dot.time).min()
                });
                (self.spot.config.w, authors(values), times.max())
            }
            _ => return,
        };
        let owners = owners.min(self.spot.config.n).saturating_sub(u8::from(self.spot.exposed));
        let floor = &mut self.floors[usize::from(owners)];
        writes
            .into_iter()
            .filter_map(|id| self.past.place(id))
            .for_each(|at| floor.writes.insert(at));
        floor.time = floor.time.max(time);
    }

    fn goes_back(&self, read: &Op, seen: &Seen, floor: &Floor) -> Option<String> {
        let key = &self.spot.key;
        match self.spot.semantics {
            // That is what `linearizable` looks at.
            Semantics::Register => None,
            Semantics::Causal | Semantics::CausalSets => {
                let behind = self.past.may_be_behind(seen);
                let mut missed = floor.writes.without(&behind).map(|at| self.past.writes[at]);
                // A delete has no value to be read.
                let missed = missed.find(|op| op.kind != Kind::Delete)?;
                Some(format!("{key:?}: {:?} does not reflect {:?}", read.id, missed.id))
            }
            Semantics::Union => {
                let mut here = Bits::default();
                let places = seen.writes.iter().filter_map(|id| self.past.place(*id));
                places.for_each(|at| here.insert(at));
                let mut missed = floor.writes.without(&here).map(|at| self.past.writes[at]);
                let missed =
                    missed.find(|op| op.kind != Kind::Delete && !self.may_be_reset(op, read))?;
                Some(format!("{key:?}: {:?} does not hold {:?}", read.id, missed.id))
            }
            Semantics::Latest => {
                let time = self.time_of(read, seen);
                let text =
                    || format!("{key:?}: {:?} is of {time:?}, before {:?}", read.id, floor.time);
                (time < floor.time).then(text)
            }
        }
    }

    /// The latest time that what was read can be of.
    fn time_of(&self, read: &Op, seen: &Seen) -> Option<Timestamp> {
        let history = self.ending.history;
        let values = match &read.outcome {
            Outcome::Found { values, .. } => values.as_slice(),
            Outcome::Open
            | Outcome::Acknowledged { .. }
            | Outcome::Refused(_)
            | Outcome::Conflict { .. }
            | Outcome::Unknown => &[],
        };
        let values = values.iter().flat_map(|value| history.dots(&self.spot.key, value));
        let deletes = self.past.writes.iter().filter(|op| {
            seen.deletes_before.is_some_and(|before| op.kind == Kind::Delete && op.invoked < before)
        });
        let deletes = deletes.filter_map(|op| latest(history, op));
        values.map(|dot| dot.time).chain(deletes).max()
    }

    /// May a delete have emptied the set of this write before the read returned?
    fn may_be_reset(&self, op: &Op, read: &Op) -> bool {
        let deletes = self.past.deletes().filter(|delete| Some(delete.invoked) < read.returned);
        may_reset(self.ending.history, deletes, op)
    }
}
