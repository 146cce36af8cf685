//! Nodes keep their contract with the shell: one answer to every request, one writing job on a key at a time, sums of leaves
//! that are those of their keys, messages that can be read, and nothing left in progress when nothing happens any more.

use crate::ending::Ending;

/// What does not hold: it was noted when it happened.
#[must_use]
pub fn check(ending: &Ending<'_>) -> Vec<String> {
    ending.breaches.to_vec()
}
