//! Nodes keep their contract with the shell: one answer to every request, one writing job on a key at a time, sums of leaves
//! that are those of their keys, messages that can be read, and nothing left in progress when nothing happens any more.

use crate::checker::Ending;

/// What does not hold.
#[must_use]
pub fn check(ending: &Ending<'_>) -> Vec<String> {
    let mut found = ending.breaches.to_vec();
    for (number, machine) in ending.machines.iter().enumerate() {
        found.extend(machine.breaches().into_iter().map(|text| format!("node {number}: {text}")));
        if !machine.is_idle() {
            found.push(format!("node {number} never comes to rest"));
        }
    }
    found
}
