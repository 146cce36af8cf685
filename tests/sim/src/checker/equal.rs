//! The replicas are equal in the end: every owner of a key holds the same versions.
//!
//! Not the same contexts: a write that was replaced before an owner came to see it is known there by what replaced it.
//! And a key of which only tombstones are left may be gone from some owners already.

use std::collections::BTreeMap;

use crate::ending::{Ending, Held};
use crate::keyspace::Spot;

/// What does not hold.
#[must_use]
pub fn check(ending: &Ending<'_>) -> Vec<String> {
    let nothing = BTreeMap::new();
    let unread = ending.keys.spots.iter().filter(|spot| !ending.finals.contains_key(&spot.key));
    let unread = unread.map(|spot| format!("{:?} can't be read in the end", spot.key));
    let held = |spot: &Spot| ending.held.get(&spot.key).unwrap_or(&nothing);
    let differing = ending.keys.spots.iter().filter_map(|spot| unequal(spot, held(spot)));
    unread.chain(differing).collect()
}

/// Two owners of a key that do not hold the same, if there are any, of what each node holds of it.
#[must_use]
pub fn unequal(spot: &Spot, held: &BTreeMap<usize, Held>) -> Option<String> {
    let none = Held::default();
    let held = |owner: usize| held.get(&owner).unwrap_or(&none);
    let (first, others) = spot.owners.split_first()?;
    let a = held(*first);
    let other = others.iter().find(|other| !same(a, held(**other)))?;
    let b = held(*other);
    Some(format!(
        "{:?}: node {first} holds {:?} under {:?}, node {other} holds {:?} under {:?}",
        spot.key, a.versions, a.context, b.versions, b.context
    ))
}

fn same(a: &Held, b: &Held) -> bool {
    (a.is_deleted() && b.is_deleted()) || a.versions == b.versions
}
