//! The port through which a replica reaches its disk.
//!
//! Reads see every write that was applied, durable or not. A write becomes durable later, by a group commit outside of this
//! port: its shell reports that to the node as an event of its own, and nothing is acknowledged before.

use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;

pub use crate::causality::Stored;
use crate::causality::{DebtChange, Digest, Marks};
use crate::id::{BucketName, Key, NodeId};
use crate::ring::{Partition, Position, Tree};
use crate::time::Expiry;
use crate::tree::Sums;

/// Which bytes a read brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bodies {
    /// Only what stands in the head anyway.
    Heads,
    /// The bytes of all values.
    All,
}

/// One write: all of it becomes visible and durable together, or nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// The key.
    pub key: Key,
    /// Where it lies.
    pub position: Position,
    /// What to store; values whose bytes are not at hand are on the disk already.
    pub stored: Stored,
    /// Values that were stored for this key and no longer are, with their lengths in bytes.
    pub dropped: Vec<(Digest, u32)>,
    /// To be added to the leaf's sum, modulo 2^128.
    pub leaf_change: u128,
    /// What this changes of the hints: one entry an owner that the key is owed to.
    pub debts: Vec<DebtChange>,
    /// What this changes of when the key is due to expire.
    pub due: DueChange,
    /// By how much this changes the number of keys of the tree of which only a delete is left: one, none or minus one.
    pub tombstones: i8,
}

impl Write {
    /// Does it leave nothing, or nothing but a delete of what has expired? That is taken on a nearly full disk, too.
    #[must_use]
    pub fn gives_room(&self) -> bool {
        let expired = self.due.before.is_some() && self.stored.object.is_tombstone();
        expired || self.stored == Stored::default()
    }
}

/// When a key is due: the first of its versions that expires. The store keeps its keys by that, too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DueChange {
    /// Before the write; none if nothing of it was to expire.
    pub before: Option<Expiry>,
    /// After it.
    pub after: Option<Expiry>,
}

/// Where a key stands among those that expire: ordered by time, then by partition and key in an order of the store's own.
pub type DueKey = (Expiry, Partition, Key);

/// Why the disk did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Too little space is left. Nothing was written; reads go on; writes do again once there is space.
    #[error(
        "the disk is nearly full: {free_mib} MiB are free, {reserve_mib} MiB are kept in reserve"
    )]
    DiskFull {
        /// Free space, in MiB.
        free_mib: u64,
        /// The reserve, in MiB.
        reserve_mib: u64,
    },
    /// An earlier write could not be made durable. The store takes nothing more until the node is restarted.
    #[error("the store stopped after a failed write: {0}; restart the node once the disk is sound")]
    Poisoned(String),
    /// What was read is damaged. That is "unknown", never "not found".
    #[error("stored data is damaged: {0}")]
    Corrupt(String),
    /// The store has more to do than it may take on.
    #[error("the store is overloaded")]
    Overloaded,
    /// The operating system refused.
    #[error("input or output failed: {0}")]
    Io(String),
}

/// The disk of one replica.
pub trait Store {
    /// Reads a key; `None` if nothing was ever stored, or all of it was collected.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] or [`StoreError::Io`]: the key's state is unknown.
    fn read(
        &self,
        key: &Key,
        position: Position,
        bodies: Bodies,
    ) -> Result<Option<Stored>, StoreError>;

    /// The keys owed to `owner`, in an order of the store's own, after `after`, at most `limit`. Fewer means that was all.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] or [`StoreError::Io`] if they can't be read.
    fn hints(
        &self,
        owner: NodeId,
        after: Option<&(Partition, Key)>,
        limit: usize,
    ) -> Result<Vec<(Partition, Key)>, StoreError>;

    /// The keys that are due up to `upto`, the first ones first, after `after`, at most `limit`. Fewer means that was all.
    ///
    /// # Errors
    /// As of [`Store::read`].
    fn due(
        &self,
        upto: Expiry,
        after: Option<&DueKey>,
        limit: usize,
    ) -> Result<Vec<DueKey>, StoreError>;

    /// Applies a write: visible to reads at once, durable later. On a nearly full disk only a write that gives room is taken:
    /// see [`Write::gives_room`].
    ///
    /// # Errors
    /// Nothing was written.
    fn write(&mut self, write: Write) -> Result<(), StoreError>;

    /// The sums of a tree's leaves.
    ///
    /// # Errors
    /// As of [`Store::read`].
    fn sums(&self, tree: Tree) -> Result<Sums, StoreError>;

    /// What is stored under the keys of a bucket in a partition, in their order, after `after`, at most `limit` of them:
    /// larger values as heads. Fewer than `limit` means that was all.
    ///
    /// # Errors
    /// As of [`Store::read`].
    fn heads(
        &self,
        partition: Partition,
        bucket: &BucketName,
        after: Option<&Bytes>,
        limit: usize,
    ) -> Result<Vec<(Bytes, Stored)>, StoreError>;

    /// The marks of a tree.
    ///
    /// # Errors
    /// As of [`Store::read`].
    fn marks(&self, tree: Tree) -> Result<Marks, StoreError>;

    /// Takes over marks that are later than those of these trees, all in one batch; with none at all it still is a write, and
    /// when that is durable so is everything before it. Also on a nearly full disk.
    ///
    /// # Errors
    /// Nothing was written.
    fn raise_marks(&mut self, marks: &[(Tree, Marks)]) -> Result<(), StoreError>;

    /// Forgets all marks of a tree, also on a nearly full disk.
    ///
    /// # Errors
    /// Nothing was written.
    fn forget_marks(&mut self, tree: Tree) -> Result<(), StoreError>;

    /// Keeps a piece of the node's own state under a name, replacing what was there.
    ///
    /// # Errors
    /// Nothing was written.
    fn save(&mut self, name: &str, bytes: &[u8]) -> Result<(), StoreError>;
}
