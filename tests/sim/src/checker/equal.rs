//! The replicas are equal in the end: every owner of a key holds the same versions under the same context.

use kinfold_protocol::causality::Object;

use crate::checker::Ending;

/// What does not hold.
#[must_use]
pub fn check(ending: &Ending<'_>) -> Vec<String> {
    let mut found = Vec::new();
    for spot in &ending.keys.spots {
        if !ending.finals.contains_key(&spot.key) {
            found.push(format!("{:?} can't be read in the end", spot.key));
        }
        let none = Object::default();
        let held = |owner: usize| {
            let stored = ending.machines[owner].disk.visible(&spot.key);
            stored.map_or(&none, |stored| &stored.object)
        };
        let Some((first, others)) = spot.owners.split_first() else {
            continue;
        };
        for other in others {
            let (a, b) = (held(*first), held(*other));
            if a.versions != b.versions || a.context != b.context {
                found.push(format!(
                    "{:?}: node {first} holds {:?} under {:?}, node {other} holds {:?} under {:?}",
                    spot.key, a.versions, a.context, b.versions, b.context
                ));
            }
        }
    }
    found
}
