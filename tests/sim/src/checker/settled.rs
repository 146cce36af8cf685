//! Hints are handed over: in the end nobody keeps what it does not own.

use crate::ending::Ending;

/// What does not hold.
#[must_use]
pub fn check(ending: &Ending<'_>) -> Vec<String> {
    let mut found = ending.debts.to_vec();
    for spot in &ending.keys.spots {
        let holders = ending.held.get(&spot.key).into_iter().flat_map(|held| held.keys());
        let strangers = holders.filter(|node| !spot.owners.contains(node));
        found.extend(
            strangers
                .map(|node| format!("node {node} holds {:?}, which it does not own", spot.key)),
        );
    }
    found
}
