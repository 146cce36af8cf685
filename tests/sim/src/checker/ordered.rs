//! A write is later than every write that its writer had seen, whatever the clocks of the nodes say: so the latest write
//! never loses to one that it was meant to replace.

use crate::checker::{earliest, latest};
use crate::ending::Ending;
use crate::keyspace::Semantics;
use crate::past::Past;

/// What does not hold.
#[must_use]
pub fn check(ending: &Ending<'_>) -> Vec<String> {
    let mut found = Vec::new();
    for spot in ending.keys.spots.iter().filter(|spot| spot.semantics == Semantics::Latest) {
        let past = Past::new(ending.history, &spot.key);
        for (at, op) in past.writes.iter().enumerate() {
            let Some(own) = earliest(ending.history, op) else {
                continue;
            };
            // A write that was tried at several nodes has several times, of which its reader need not have seen all.
            let seen = past
                .must_be_behind(at)
                .filter(|seen| ending.history.effects(seen).count() == 1)
                .find(|seen| latest(ending.history, seen) >= Some(own));
            if let Some(seen) = seen {
                found.push(format!(
                    "{:?}: {:?} is not later than {:?}, which its writer had seen",
                    spot.key, op.id, seen.id
                ));
            }
        }
    }
    found
}
