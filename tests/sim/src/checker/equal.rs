//! The replicas are equal in the end: every owner of a key holds the same versions.
//!
//! Not the same contexts: a write that was replaced before an owner came to see it is known there by what replaced it.
//! And a key of which only tombstones are left may be gone from some owners already.

use kinfold_protocol::causality::{Object, Version};

use crate::checker::Ending;
use crate::keyspace::Spot;
use crate::machine::Machine;

/// What does not hold.
#[must_use]
pub fn check(ending: &Ending<'_>) -> Vec<String> {
    let unread = ending.keys.spots.iter().filter(|spot| !ending.finals.contains_key(&spot.key));
    let unread = unread.map(|spot| format!("{:?} can't be read in the end", spot.key));
    let unequal = ending.keys.spots.iter().filter_map(|spot| unequal(spot, ending.machines));
    unread.chain(unequal).collect()
}

/// Two owners of a key that do not hold the same, if there are any.
#[must_use]
pub fn unequal(spot: &Spot, machines: &[Machine]) -> Option<String> {
    let none = Object::default();
    let held = |owner: usize| {
        let stored = machines[owner].disk.visible(&spot.key);
        stored.map_or(&none, |stored| &stored.object)
    };
    let (first, others) = spot.owners.split_first()?;
    let a = held(*first);
    let other = others.iter().find(|other| !same(a, held(**other)))?;
    let b = held(*other);
    Some(format!(
        "{:?}: node {first} holds {:?} under {:?}, node {other} holds {:?} under {:?}",
        spot.key, a.versions, a.context, b.versions, b.context
    ))
}

fn same(a: &Object, b: &Object) -> bool {
    let identity = |v: &Version| (v.dot, v.content.digest());
    (a.is_deleted() && b.is_deleted())
        || a.versions.iter().map(identity).eq(b.versions.iter().map(identity))
}
