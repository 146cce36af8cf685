//! The leaf sums of the partitions' trees, in memory once they were used.
//!
//! A sum is read, changed and written back with every write, so it is kept at hand: 16 bytes a leaf, 262 144 leaves in a
//! ring of 256 partitions. The lock of a partition is held until the batch with the new sum is committed, so the sums stay
//! exact whichever thread writes.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use kinfold_protocol::ring::Position;

/// Locks; partitions share them.
const STRIPES: usize = 64;

/// Leaf sums by partition and leaf.
pub(crate) struct Leaves {
    stripes: Vec<Mutex<Sums>>,
}

/// The sums under one lock.
pub(crate) type Sums = BTreeMap<Position, u128>;

impl Leaves {
    pub(crate) fn new() -> Self {
        Self { stripes: (0..STRIPES).map(|_| Mutex::default()).collect() }
    }

    /// The sums among which `position`'s stands, if it was used before.
    pub(crate) fn lock(&self, position: Position) -> MutexGuard<'_, Sums> {
        let stripe = position.tree.partition.0 as usize % STRIPES;
        // A sum is only put here once its batch is committed, so what a panicking thread left is right.
        self.stripes[stripe].lock().unwrap_or_else(PoisonError::into_inner)
    }
}
