//! The catalogue: what all nodes have to agree on beside the layout; at present, the buckets.
//!
//! Each entry is a versioned value. The greatest version wins, so catalogues join in any order; nodes compare digests when
//! they greet each other, and pull where they differ.

use alloc::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::causality::{Digest, Dot};
use crate::cbor;
use crate::config::BucketConfig;
use crate::id::BucketName;

/// One bucket, as of one change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BucketEntry {
    /// The change that made it so.
    pub version: Dot,
    /// Its properties.
    pub config: BucketConfig,
}

/// All buckets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Catalogue {
    buckets: BTreeMap<BucketName, BucketEntry>,
}

impl Catalogue {
    /// The properties of a bucket.
    #[must_use]
    pub fn bucket(&self, name: &BucketName) -> Option<&BucketConfig> {
        self.buckets.get(name).map(|entry| &entry.config)
    }

    /// All buckets by name.
    #[must_use]
    pub fn buckets(&self) -> &BTreeMap<BucketName, BucketEntry> {
        &self.buckets
    }

    /// Takes in one change, unless a later one is here. Says whether anything changed.
    pub fn set(&mut self, name: BucketName, entry: BucketEntry) -> bool {
        match self.buckets.get(&name) {
            Some(present) if present.version >= entry.version => false,
            Some(_) | None => {
                self.buckets.insert(name, entry);
                true
            }
        }
    }

    /// Takes in all changes of another catalogue. Says whether anything changed.
    pub fn join(&mut self, other: Self) -> bool {
        other
            .buckets
            .into_iter()
            .fold(false, |changed, (name, entry)| self.set(name, entry) | changed)
    }

    /// The latest change.
    #[must_use]
    pub fn latest(&self) -> Option<Dot> {
        self.buckets.values().map(|entry| entry.version).max()
    }

    /// Equal for equal catalogues.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&cbor::encode(self))
    }
}
