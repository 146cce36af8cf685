//! The leaf sums of the partitions' trees, and how many tombstones each tree has, in memory once they were used.
//!
//! A sum is read, changed and written back with every write, so it is kept at hand: 16 bytes a leaf, 262 144 leaves in a
//! ring of 256 partitions. The lock of a partition is held until the batch with the new sum is committed, so the sums stay
//! exact whichever thread writes.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use kinfold_protocol::ring::{Position, Tree};
use kinfold_protocol::store::StoreError;

use crate::fault::{corrupt, read_failed};
use crate::{Disk, keys};

/// Locks; partitions share them.
const STRIPES: usize = 64;

/// Leaf sums by partition and leaf.
pub(crate) struct Leaves {
    stripes: Vec<Mutex<Sums>>,
    /// Keys of all trees of which only a delete is left.
    pub(crate) tombstones: AtomicU64,
}

/// The sums under one lock.
#[derive(Default)]
pub(crate) struct Sums {
    pub(crate) leaves: BTreeMap<Position, u128>,
    /// Keys of a tree of which only a delete is left.
    pub(crate) tombstones: BTreeMap<Tree, u64>,
}

impl Leaves {
    pub(crate) fn new() -> Self {
        let stripes = (0..STRIPES).map(|_| Mutex::default()).collect();
        Self { stripes, tombstones: AtomicU64::new(0) }
    }

    /// The sums among which `position`'s stands, if it was used before.
    pub(crate) fn lock(&self, position: Position) -> MutexGuard<'_, Sums> {
        let stripe = position.tree.partition.0 as usize % STRIPES;
        // A sum is only put here once its batch is committed, so what a panicking thread left is right.
        self.stripes[stripe].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Disk {
    /// Of how many keys only a delete is left, whether it may go yet or not.
    #[must_use]
    pub fn tombstones(&self) -> u64 {
        self.leaves().tombstones.load(Ordering::Relaxed)
    }

    /// The same, as it stands on the disk: the sum of what each batch keeps for its tree.
    pub(crate) fn count_tombstones(&self) -> Result<(), StoreError> {
        let counts = self.engine().tombstones.iter();
        let all = counts.map(|entry| count(&entry.value().map_err(read_failed)?));
        let sum = all.sum::<Result<u64, StoreError>>()?;
        self.leaves().tombstones.store(sum, Ordering::Relaxed);
        Ok(())
    }

    /// The number of a tree.
    pub(crate) fn tombstones_of(&self, tree: Tree) -> Result<u64, StoreError> {
        let found = self.engine().tombstones.get(keys::tree(tree)).map_err(read_failed)?;
        found.map_or(Ok(0), |bytes| count(&bytes))
    }
}

fn count(bytes: &[u8]) -> Result<u64, StoreError> {
    let bytes = bytes.try_into();
    bytes.map(u64::from_be_bytes).map_err(|_| corrupt("a number of tombstones is not 8 bytes long"))
}
