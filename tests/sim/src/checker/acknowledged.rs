//! Acknowledged writes survive: each is there in the end, unless another write that may have happened replaced it, or
//! its time is over.

use std::collections::BTreeSet;

use crate::checker::{earliest, latest, may_reset};
use crate::ending::{Ending, Final};
use crate::history::{Kind, Op, OpId};
use crate::keyspace::{Semantics, Spot};
use crate::past::Past;

/// What does not hold.
#[must_use]
pub fn check(ending: &Ending<'_>) -> Vec<String> {
    let mut found = Vec::new();
    for spot in &ending.keys.spots {
        let Some(last) = ending.finals.get(&spot.key) else {
            continue;
        };
        let past = Past::new(ending.history, &spot.key);
        let acknowledged: Vec<&Op> =
            past.writes.iter().copied().filter(|op| op.acknowledged()).collect();
        for op in &acknowledged {
            if ending.history.is_watched() && ending.history.effects(op).next().is_none() {
                found.push(format!(
                    "{:?}: {:?} was acknowledged and no node wrote it",
                    op.key, op.id
                ));
            }
        }
        match spot.semantics {
            // The last reads are among what `linearizable` puts in order.
            Semantics::Register => {}
            Semantics::Causal | Semantics::CausalSets => {
                let here = last.authors();
                let wall = ending.readings.most(ending.ended);
                let lost = missing(&acknowledged, &here)
                    .filter(|op| past.place(op.id).is_some_and(|at| !past.may_be_replaced(at)))
                    .filter(|op| !ending.history.may_have_expired(op, wall));
                found.extend(lost.map(lost_write));
            }
            Semantics::Union => {
                let here = last.authors();
                let lost = missing(&acknowledged, &here)
                    .filter(|op| !may_reset(ending.history, past.deletes(), op));
                found.extend(lost.map(lost_write));
            }
            Semantics::Latest => found.extend(not_the_latest(ending, spot, &acknowledged, last)),
        }
    }
    found
}

fn lost_write(op: &Op) -> String {
    format!(
        "{:?}: {:?} was acknowledged, is gone, and no write can have replaced it",
        op.key, op.id
    )
}

fn missing<'a>(
    acknowledged: &'a [&'a Op],
    here: &'a BTreeSet<OpId>,
) -> impl Iterator<Item = &'a Op> {
    acknowledged
        .iter()
        .copied()
        .filter(|op| matches!(op.kind, Kind::Put(_)) && !here.contains(&op.id))
}

/// Of two writes the later one wins, so what is there may not be older than any that was acknowledged.
fn not_the_latest(
    ending: &Ending<'_>,
    spot: &Spot,
    acknowledged: &[&Op],
    last: &Final,
) -> Option<String> {
    let history = ending.history;
    let newest =
        acknowledged.iter().filter_map(|op| Some((earliest(history, op)?, op.id))).max()?;
    let here = match last.values.as_slice() {
        [value] => history.dots(&spot.key, value).map(|dot| dot.time).max(),
        [] => history
            .of(&spot.key)
            .filter(|op| op.kind == Kind::Delete && op.may_have_happened())
            .filter_map(|op| latest(history, op))
            .max(),
        [_, _, ..] => return Some(format!("{:?} holds several values in the end", spot.key)),
    };
    (here < Some(newest.0)).then(|| {
        format!(
            "{:?}: {:?} was acknowledged at {}, and the end holds {:?} of {:?}",
            spot.key,
            newest.1,
            newest.0.0,
            last.authors(),
            here
        )
    })
}
