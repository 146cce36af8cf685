//! Hints are handed over: in the end nobody keeps what it does not own.

use crate::checker::Ending;

/// What does not hold.
#[must_use]
pub fn check(ending: &Ending<'_>) -> Vec<String> {
    let mut found = Vec::new();
    for (node, machine) in ending.machines.iter().enumerate() {
        for (owner, debt) in machine.disk.debts() {
            found.push(format!("node {node} still keeps {} keys for {owner}", debt.keys));
        }
        for spot in ending.keys.spots.iter().filter(|spot| !spot.owners.contains(&node)) {
            if machine.disk.visible(&spot.key).is_some() {
                found.push(format!("node {node} holds {:?}, which it does not own", spot.key));
            }
        }
    }
    found
}
