//! The buckets and keys of a run, and what may be expected of them.

use kinfold_protocol::config::BucketConfig;
use kinfold_protocol::id::{BucketName, Key};

/// What a key's value is, as far as the checkers are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Semantics {
    /// Siblings: a write goes when another one that had seen it replaces it.
    Causal,
    /// As [`Semantics::Causal`], and all writes are conditional: one register with compare-and-set.
    Register,
    /// Siblings that hold sets, read as their union: the same for every line.
    CausalSets,
    /// One set, to which every write adds, and which a delete empties.
    Union,
    /// The latest write.
    Latest,
}

impl Semantics {
    /// By how much deletes are rarer than elsewhere.
    #[must_use]
    pub fn delete_rarity(self) -> u32 {
        match self {
            Self::Causal | Self::Register | Self::CausalSets | Self::Latest => 1,
            Self::Union => 5,
        }
    }
}

/// A bucket.
#[derive(Clone, Debug)]
pub struct Bucket {
    /// Its name.
    pub name: BucketName,
    /// Its properties.
    pub config: BucketConfig,
    /// What its values are.
    pub semantics: Semantics,
}

/// A key.
#[derive(Clone, Debug)]
pub struct Spot {
    /// The key.
    pub key: Key,
    /// Its bucket's properties.
    pub config: BucketConfig,
    /// What its value is.
    pub semantics: Semantics,
    /// The machines that own it.
    pub owners: Vec<usize>,
}

/// All keys.
#[derive(Clone, Debug, Default)]
pub struct Keyspace {
    /// The buckets.
    pub buckets: Vec<Bucket>,
    /// The keys.
    pub spots: Vec<Spot>,
}
