//! The tree of a partition: what an object adds to its leaf, and how two trees are compared.
//!
//! A leaf is the sum, modulo 2^128, of the contributions of its keys: so a write changes it in constant time, in the same
//! batch as the data, and nothing is ever rebuilt. Contexts do not go in, since replicas may strip them differently; digests
//! of values do, so that equal dots with unequal bytes are seen.
//!
//! Above the leaves stand branches, of so many leaves each, and a root: hashes of what is below them (Merkle 1987), made when
//! they are asked for, from 16 KiB of sums.

use alloc::vec;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::causality::Object;
use crate::id::Key;
use crate::planted::{self, Bug};
use crate::ring::LEAVES;

/// Branches of a tree.
pub const BRANCHES: u16 = 32;

/// Leaves of a branch.
const LEAVES_OF_BRANCH: u16 = LEAVES / BRANCHES;

/// The contribution of `object` under `key`; zero where nothing but tombstones is left, as if it were gone.
#[must_use]
pub fn contribution(key: &Key, object: Option<&Object>) -> u128 {
    object.filter(|o| !o.is_deleted()).map_or(0, |object| hash(key, object))
}

fn hash(key: &Key, object: &Object) -> u128 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(key.bucket.as_str().as_bytes());
    hasher.update(&[0]);
    hasher.update(&(key.key.len() as u64).to_be_bytes());
    hasher.update(&key.key);
    for version in &object.versions {
        hasher.update(&version.dot.time.0.to_be_bytes());
        hasher.update(&version.dot.actor.0.to_be_bytes());
        match version.content.digest() {
            Some(digest) => hasher.update(&[1]).update(&digest.0),
            None => hasher.update(&[0]),
        };
    }
    let mut first = [0; 16];
    first.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    u128::from_be_bytes(first)
}

/// What tells a key's object from another one of the key, and from those of other keys.
#[must_use]
pub fn print(key: &Key, object: &Object) -> u64 {
    (hash(key, object) >> 64) as u64
}

/// The sums of a tree's leaves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// By leaf, without those that are zero.
    sums: Vec<(u16, u128)>,
}

impl FromIterator<(u16, u128)> for Sums {
    fn from_iter<I: IntoIterator<Item = (u16, u128)>>(sums: I) -> Self {
        let mut sums: Vec<_> = sums.into_iter().filter(|(_, sum)| *sum != 0).collect();
        sums.sort_unstable();
        Self { sums }
    }
}

impl Sums {
    /// Equal for equal trees; zero for an empty one.
    #[must_use]
    pub fn root(&self) -> u64 {
        digest(self.sums.iter())
    }

    /// A digest of each branch, in order; zero for an empty one.
    #[must_use]
    pub fn branches(&self) -> Vec<u64> {
        (0..BRANCHES).map(|branch| digest(self.branch(branch))).collect()
    }

    /// A digest of each leaf of some branches, in order; zero for an empty one.
    #[must_use]
    pub fn leaves(&self, branches: BranchSet) -> Vec<u64> {
        let leaves = branches.iter().flat_map(leaves_of);
        leaves.map(|leaf| digest(self.sums.iter().filter(|(at, _)| *at == leaf))).collect()
    }

    fn branch(&self, branch: u16) -> impl Iterator<Item = &(u16, u128)> {
        self.sums.iter().filter(move |(leaf, _)| leaf / LEAVES_OF_BRANCH == branch)
    }
}

fn leaves_of(branch: u16) -> core::ops::Range<u16> {
    branch * LEAVES_OF_BRANCH..(branch + 1) * LEAVES_OF_BRANCH
}

fn digest<'s>(sums: impl Iterator<Item = &'s (u16, u128)>) -> u64 {
    let mut sums = sums.peekable();
    if sums.peek().is_none() {
        return 0;
    }
    let mut hasher = blake3::Hasher::new();
    for (leaf, sum) in sums {
        hasher.update(&leaf.to_be_bytes());
        hasher.update(&sum.to_be_bytes());
    }
    let mut first = [0; 8];
    first.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    u64::from_be_bytes(first)
}

/// The branches in which two trees differ, by the digests of all branches of each.
#[must_use]
pub fn differing_branches(mine: &[u64], theirs: &[u64]) -> BranchSet {
    (0..BRANCHES)
        .zip(mine.iter().zip(theirs))
        .skip(planted::has(Bug::SkippedBranch).into())
        .filter(|(_, (a, b))| a != b)
        .map(|(at, _)| at)
        .collect()
}

/// The leaves in which two trees differ, by the digests of all leaves of `branches` of each.
#[must_use]
pub fn differing_leaves(branches: BranchSet, mine: &[u64], theirs: &[u64]) -> LeafSet {
    let leaves = branches.iter().flat_map(leaves_of);
    leaves.zip(mine.iter().zip(theirs)).filter(|(_, (a, b))| a != b).map(|(at, _)| at).collect()
}

/// Some branches of a tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BranchSet(u32);

impl FromIterator<u16> for BranchSet {
    fn from_iter<I: IntoIterator<Item = u16>>(branches: I) -> Self {
        Self(branches.into_iter().fold(0, |all, branch| all | 1 << (branch % BRANCHES)))
    }
}

impl BranchSet {
    /// The branches, in order.
    pub fn iter(self) -> impl Iterator<Item = u16> {
        (0..BRANCHES).filter(move |branch| self.0 >> branch & 1 == 1)
    }

    /// Are there none?
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// Some leaves of a tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "serde_bytes::ByteBuf", into = "serde_bytes::ByteBuf")]
pub struct LeafSet {
    /// One bit a leaf, the first one the highest.
    bits: Vec<u8>,
}

/// Bytes that are no set of leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a set of leaves has 128 bytes, not {0}")]
pub struct BadLeafSet(usize);

impl LeafSet {
    /// Is this leaf one of them?
    #[must_use]
    pub fn contains(&self, leaf: u16) -> bool {
        let byte = self.bits.get(usize::from(leaf / 8));
        byte.is_some_and(|byte| byte >> (7 - leaf % 8) & 1 == 1)
    }

    /// Are there none?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bits.iter().all(|byte| *byte == 0)
    }
}

impl FromIterator<u16> for LeafSet {
    fn from_iter<I: IntoIterator<Item = u16>>(leaves: I) -> Self {
        let mut bits = vec![0; usize::from(LEAVES / 8)];
        for leaf in leaves {
            bits[usize::from(leaf % LEAVES / 8)] |= 1 << (7 - leaf % 8);
        }
        Self { bits }
    }
}

impl TryFrom<serde_bytes::ByteBuf> for LeafSet {
    type Error = BadLeafSet;
    fn try_from(bits: serde_bytes::ByteBuf) -> Result<Self, BadLeafSet> {
        let bits = bits.into_vec();
        if bits.len() == usize::from(LEAVES / 8) {
            Ok(Self { bits })
        } else {
            Err(BadLeafSet(bits.len()))
        }
    }
}

impl From<LeafSet> for serde_bytes::ByteBuf {
    fn from(set: LeafSet) -> Self {
        Self::from(set.bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};

    proptest! {
        #[test]
        fn the_way_down_leads_to_the_leaves_that_differ(
            common in prop::collection::btree_map(0..LEAVES, any::<u128>(), 0..200),
            changed in prop::collection::btree_map(0..LEAVES, 1..u128::MAX, 0..5),
        ) {
            let mine: Sums = common.clone().into_iter().collect();
            let mut other = common.clone();
            for (leaf, change) in &changed {
                let sum = other.entry(*leaf).or_default();
                *sum = sum.wrapping_add(*change);
            }
            let theirs: Sums = other.into_iter().collect();
            prop_assert_eq!(mine.root() == theirs.root(), changed.is_empty());
            let branches = differing_branches(&mine.branches(), &theirs.branches());
            prop_assert_eq!(branches.is_empty(), changed.is_empty());
            let (a, b) = (mine.leaves(branches), theirs.leaves(branches));
            let leaves = differing_leaves(branches, &a, &b);
            let expected: LeafSet = changed.keys().copied().collect();
            prop_assert_eq!(&leaves, &expected);
            prop_assert!(changed.keys().all(|leaf| leaves.contains(*leaf)));
        }
    }
}
