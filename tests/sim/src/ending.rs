//! What is there in the end, in a form that the simulator and a cluster of processes can both give to the checkers.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use kinfold_protocol::causality::{Context, Digest, Dot, Object};
use kinfold_protocol::id::Key;

use crate::checker::authors;
use crate::clock::Readings;
use crate::history::{History, OpId};
use crate::keyspace::Keyspace;

/// What a key holds in the end, by a strict read of all its owners.
#[derive(Clone, Debug, Default)]
pub struct Final {
    /// The values.
    pub values: Vec<Bytes>,
    /// Is a delete among what was seen?
    pub deleted: bool,
}

impl Final {
    /// The writes that the values name.
    #[must_use]
    pub fn authors(&self) -> BTreeSet<OpId> {
        authors(&self.values)
    }
}

/// What a node holds of a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Its versions, in order: the dot, and the digest of the value if it is no tombstone.
    pub versions: Vec<(Dot, Option<Digest>)>,
    /// What the object has seen.
    pub context: Context,
}

impl Held {
    /// What an object holds.
    #[must_use]
    pub fn of(object: &Object) -> Self {
        let versions = object.versions.iter().map(|v| (v.dot, v.content.digest())).collect();
        Self { versions, context: object.context.clone() }
    }

    /// Is there no version but tombstones?
    #[must_use]
    pub fn is_deleted(&self) -> bool {
        self.versions.iter().all(|(_, digest)| digest.is_none())
    }
}

/// All that there is to judge.
pub struct Ending<'w> {
    /// What happened.
    pub history: &'w History,
    /// The buckets and keys.
    pub keys: &'w Keyspace,
    /// What each key holds in the end; keys that can't be read are missing.
    pub finals: &'w BTreeMap<Key, Final>,
    /// What each node holds of each key, owner or not; those that hold nothing are missing.
    pub held: &'w BTreeMap<Key, BTreeMap<usize, Held>>,
    /// What nodes still keep for others, in words.
    pub debts: &'w [String],
    /// Ways in which the nodes broke their contract, in words.
    pub breaches: &'w [String],
    /// What the nodes' wall clocks read.
    pub readings: Readings,
    /// When the last reads had been answered.
    pub ended: u64,
}
