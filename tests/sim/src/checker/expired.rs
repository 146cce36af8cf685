//! What has expired is not read any more.
//!
//! By the clocks: a read that began when no clock could read less than the time at which a write expires may not return its
//! value. That nothing is gone before its time is for `acknowledged` and `monotonic` to say.

use crate::checker::Ending;
use crate::history::{self, Outcome};
use crate::keyspace::Semantics;

/// What does not hold.
#[must_use]
pub fn check(ending: &Ending<'_>) -> Vec<String> {
    let mut found = Vec::new();
    // A set that a client wrote back holds what it read, and a value that a plugin made expires with the last of its parts.
    let spots = ending.keys.spots.iter().filter(|spot| spot.semantics == Semantics::Causal);
    for spot in spots.filter(|spot| spot.expires) {
        for read in ending.history.ops().iter().filter(|op| op.key == spot.key) {
            let (Outcome::Found { values, .. } | Outcome::Conflict { values, .. }) = &read.outcome
            else {
                continue;
            };
            let wall = ending.readings.least(read.invoked);
            for id in values.iter().filter_map(|value| history::authors(value)).flatten() {
                let write = ending.history.op(id);
                let expired = write.and_then(|op| ending.history.must_have_expired(op, wall));
                if let Some(expired) = expired {
                    found.push(format!(
                        "{:?}: {:?} read {id:?} at {} ms or later, which expired at {} ms",
                        spot.key,
                        read.id,
                        wall.0 / 1_000,
                        expired.0
                    ));
                }
            }
        }
    }
    found
}
