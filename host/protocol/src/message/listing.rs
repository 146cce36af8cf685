//! What the node that makes a listing and the owners of a partition say to each other.

use alloc::vec::Vec;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::causality::{Marks, Object};
use crate::id::BucketName;
use crate::ring::Partition;

/// Some keys of a bucket in one partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListQuestion {
    /// The partition.
    pub partition: Partition,
    /// How many copies the bucket has.
    pub copies: u8,
    /// The bucket.
    pub bucket: BucketName,
    /// What the keys begin with.
    pub prefix: Bytes,
    /// The last key before; none to begin with the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Bytes>,
    /// Most keys.
    pub limit: u32,
}

/// An owner's keys, in order, with what it knows of them and without their values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyPage {
    /// The keys. Also of deletes: who lists has to join what several owners know.
    pub keys: Vec<(Bytes, Object)>,
    /// The last key that was looked at; none if there is nothing after.
    pub upto: Option<Bytes>,
    /// What the owner says of all keys of the tree, also of those that it does not hold any more.
    pub marks: Marks,
}
