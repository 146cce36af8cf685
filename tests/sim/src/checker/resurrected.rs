//! What was replaced or deleted stays away: no value is there in the end that an acknowledged write had seen.

use crate::ending::Ending;
use crate::history::{Kind, Op};
use crate::keyspace::Semantics;
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
        let here = last.authors();
        let is_here = |op: &Op| here.contains(&op.id);
        match spot.semantics {
            Semantics::Causal => {
                for (at, by) in past.writes.iter().enumerate().filter(|(_, op)| op.acknowledged()) {
                    // A write that was tried at several nodes may be there twice: the reader saw, and replaced, one.
                    let back = past
                        .must_be_behind(at)
                        .filter(|op| is_here(op) && ending.history.was_made_once(op));
                    found.extend(back.map(|op| came_back(op, by)));
                }
            }
            // Which delete a set's write was made after, only nodes know.
            Semantics::Union if !ending.history.is_watched() => {}
            Semantics::Union => {
                for delete in past.writes.iter().filter(|op| op.kind == Kind::Delete) {
                    let back =
                        past.writes.iter().filter(|op| is_here(op) && is_reset(ending, op, delete));
                    found.extend(back.map(|op| came_back(op, delete)));
                }
            }
            // A set that a client wrote back holds what it read. Of the latest, the times say all: see `acknowledged`.
            Semantics::Register | Semantics::CausalSets | Semantics::Latest => {}
        }
    }
    found
}

fn came_back(op: &Op, by: &Op) -> String {
    format!("{:?}: {:?} is back, which {:?} had replaced", op.key, op.id, by.id)
}

/// Was the write made in a generation that an acknowledged delete ended? Not one that began after the delete had returned: if it
/// does not know of it, all traces of the delete had been collected.
fn is_reset(ending: &Ending<'_>, op: &Op, delete: &Op) -> bool {
    let generation = ending.history.effects(op).map(|effect| effect.at_most).max().flatten();
    let reset = ending.history.effects(delete).map(|effect| effect.dot).min();
    let before = delete.returned.is_some_and(|returned| op.invoked < returned);
    delete.acknowledged() && before && reset > generation
}
