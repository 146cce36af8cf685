//! The ring: Q equal partitions of the space of key hashes (strategy 3 of DeCandia et al. 2007).

use serde::{Deserialize, Serialize};

use crate::id::Key;

/// Leaves of a partition's tree.
pub const LEAVES: u16 = 1_024;

/// One of the Q equal parts of the ring, counted clockwise from zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Partition(pub u32);

/// Names a tree: of a partition, the keys whose buckets have so many copies.
///
/// The first `copies` owners of the partition hold the same keys there, and nobody else does: so two of them may compare
/// their trees, whatever other buckets each of them holds besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "(Partition, u8)", into = "(Partition, u8)")]
pub struct Tree {
    /// The partition.
    pub partition: Partition,
    /// Copies of each key.
    pub copies: u8,
}

impl From<(Partition, u8)> for Tree {
    fn from((partition, copies): (Partition, u8)) -> Self {
        Self { partition, copies }
    }
}

impl From<Tree> for (Partition, u8) {
    fn from(tree: Tree) -> Self {
        (tree.partition, tree.copies)
    }
}

/// Where a key lies: its tree, and its leaf there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The tree.
    pub tree: Tree,
    /// The leaf, below [`LEAVES`].
    pub leaf: u16,
}

/// The number of partitions: a power of two, fixed when the cluster is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Ring {
    partitions: u32,
}

/// A number of partitions that can't be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} partitions can't be: use a power of two from 1 to 65536")]
pub struct BadRing(pub u32);

impl Ring {
    /// A ring of so many partitions.
    ///
    /// # Errors
    /// [`BadRing`] unless it is a power of two up to 65 536.
    pub fn new(partitions: u32) -> Result<Self, BadRing> {
        if partitions.is_power_of_two() && partitions <= 65_536 {
            Ok(Self { partitions })
        } else {
            Err(BadRing(partitions))
        }
    }

    /// The number of partitions.
    #[must_use]
    pub fn partitions(self) -> u32 {
        self.partitions
    }

    /// The partition of `key`: the top bits of blake3(bucket, 0, key).
    #[must_use]
    pub fn partition(self, key: &Key) -> Partition {
        self.place(key).0
    }

    /// Where `key` lies, if its bucket has so many copies. The bits after those of the partition are the leaf.
    #[must_use]
    pub fn position(self, key: &Key, copies: u8) -> Position {
        let (partition, leaf) = self.place(key);
        Position { tree: Tree { partition, copies }, leaf }
    }

    /// The partition of `key`, and its leaf in whichever of the partition's trees it lies.
    #[must_use]
    pub fn place(self, key: &Key) -> (Partition, u16) {
        let mut hasher = blake3::Hasher::new();
        hasher.update(key.bucket.as_str().as_bytes());
        hasher.update(&[0]);
        hasher.update(&key.key);
        let mut top = [0; 8];
        top.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
        let hash = u128::from(u64::from_be_bytes(top)) << 64;
        let bits = self.partitions.trailing_zeros();
        let partition = u32::try_from(hash >> 64 >> (64 - bits)).expect("at most 16 bits are left");
        let leaf = (hash << bits) >> (128 - 10);
        (Partition(partition), u16::try_from(leaf).expect("ten bits are left"))
    }

    /// All partitions, clockwise, starting after `partition`.
    pub fn clockwise(self, partition: Partition) -> impl Iterator<Item = Partition> {
        (1..self.partitions).map(move |step| Partition((partition.0 + step) % self.partitions))
    }
}

impl TryFrom<u32> for Ring {
    type Error = BadRing;
    fn try_from(partitions: u32) -> Result<Self, BadRing> {
        Self::new(partitions)
    }
}

impl From<Ring> for u32 {
    fn from(ring: Ring) -> Self {
        ring.partitions
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::BucketName;
    use alloc::vec;
    use bytes::Bytes;

    #[test]
    fn keys_spread_evenly_over_partitions_and_leaves() {
        let ring = Ring::new(64).unwrap();
        let mut partitions = vec![0u32; 64];
        let mut leaves = vec![0u32; usize::from(LEAVES)];
        for n in 0..64_000u32 {
            let key = Key {
                bucket: BucketName::new("b").unwrap(),
                key: Bytes::copy_from_slice(&n.to_be_bytes()),
            };
            let at = ring.position(&key, 3);
            partitions[at.tree.partition.0 as usize] += 1;
            leaves[usize::from(at.leaf)] += 1;
        }
        // 1 000 keys a partition on average: six standard deviations either way.
        assert!(partitions.iter().all(|n| (810..1_190).contains(n)));
        assert!(leaves.iter().all(|n| (15..125).contains(n)));
    }

    #[test]
    fn one_partition_holds_everything() {
        let key = Key { bucket: BucketName::new("b").unwrap(), key: Bytes::from_static(b"k") };
        assert_eq!(Ring::new(1).unwrap().partition(&key), Partition(0));
        for bad in [0, 3, 131_072] {
            assert_eq!(Ring::new(bad), Err(BadRing(bad)));
        }
    }
}
