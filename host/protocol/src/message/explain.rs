//! Explaining a key: what each replica holds of it and discarded, and what the plugin makes of it.
//!
//! Between nodes it is a question for one replica's [`Account`]; a client gets all of them, in an [`Explanation`].

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::causality::{Context, Digest, Dot, Generation, Object, Owed, Stored};
use crate::config::Mode;
use crate::encoding::{DecodeError, ObjectRecord};
use crate::id::{Actor, BucketName, NodeId};
use crate::ledger::Discarded;
use crate::time::{Expiry, Timestamp};

/// Asks what all replicas hold of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explain {
    /// The bucket.
    pub bucket: BucketName,
    /// The key.
    pub key: Bytes,
}

/// What one replica tells of a key. It is what stands there at this moment, durable or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The actor of its present life.
    pub actor: Actor,
    /// The actors of lives before, the latest first, as far as they are remembered.
    pub former: Vec<Actor>,
    /// What it holds, with the bytes of all values; none if nothing.
    pub stored: Option<Stored>,
    /// Versions that it no longer holds, and when they went; none where it does not remember any.
    pub discarded: Option<Vec<(Timestamp, Discarded)>>,
}

/// [`Account`] as it stands in a header; the bytes of larger values stand in the body.
#[derive(Serialize, Deserialize)]
pub(super) struct WireAccount {
    actor: Actor,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    former: Vec<Actor>,
    object: Option<ObjectRecord>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    owed: Vec<Owed>,
    discarded: Option<Vec<(Timestamp, Discarded)>>,
}

impl WireAccount {
    pub(super) fn new(account: Account, record: &mut impl FnMut(&Object) -> ObjectRecord) -> Self {
        let Account { actor, former, stored, discarded } = account;
        let object = stored.as_ref().map(|stored| record(&stored.object));
        let owed = stored.map(|stored| stored.owed).unwrap_or_default();
        Self { actor, former, object, owed, discarded }
    }

    pub(super) fn with_bodies(self, body: Bytes) -> Result<Account, DecodeError> {
        let Self { actor, former, object, owed, discarded } = self;
        let stored = match object {
            Some(record) => {
                let object = record.with_bodies(body)?;
                // Which interval the replica opened, and what it promised to whom, is its own affair.
                Some(Stored { object, owed, ..Stored::default() })
            }
            None if body.is_empty() => None,
            None => {
                return Err(DecodeError::Length { expected: 0, found: body.len() as u64 });
            }
        };
        Ok(Account { actor, former, stored, discarded })
    }
}

/// What all replicas told of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// The partition that the key lies in.
    pub partition: u32,
    /// How the bucket lives with siblings.
    pub mode: Mode,
    /// The owners, in order of preference.
    pub owners: Vec<NodeId>,
    /// What owners told, and others that hold something: owners first.
    pub replicas: Vec<Replica>,
    /// Other members that hold nothing.
    pub empty_handed: u32,
    /// Members that did not answer, with the reason.
    pub silent: BTreeMap<NodeId, String>,
    /// Every version that a replica holds, the earliest first.
    pub versions: Vec<VersionTold>,
    /// What the plugin makes of the versions that stand; none where it was not asked, since there is no plugin or no more than
    /// one version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merge: Option<Merge>,
    /// The values in the body: digests and lengths, in order. Those for which there is no room are left out.
    pub values: Vec<(Digest, u32)>,
}

/// What one replica told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replica {
    /// Which node.
    pub node: NodeId,
    /// The actor of its present life.
    pub actor: Actor,
    /// Actors of its lives before, the latest first, as far as they are remembered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub former: Vec<Actor>,
    /// Which writes its object has seen; none if it holds no object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<Context>,
    /// The versions that it holds: indices into [`Explanation::versions`].
    pub holds: Vec<u32>,
    /// For whom it keeps them, if it does not own the key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub owed: Vec<Owed>,
    /// Versions that it no longer holds, and when they went; none where it remembers none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discarded: Option<Vec<(Timestamp, Discarded)>>,
}

/// A version that a replica holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionTold {
    /// The write; of a folded version, the latest that is folded in.
    pub dot: Dot,
    /// The digest of its bytes; none for a tombstone.
    pub digest: Option<Digest>,
    /// How many bytes it has.
    pub len: u32,
    /// Lattice buckets: the writes that are folded into it.
    #[serde(default, skip_serializing_if = "Context::is_empty")]
    pub covers: Context,
    /// Lattice buckets with resetting deletes: the delete that it was written after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Generation,
    /// When it expires, milliseconds since 1970; of a delete, when the value that it was expired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Expiry>,
    /// Does it stand when all replicas are joined?
    pub stands: bool,
    /// Replicas that have seen it, or all of its writes, and no longer hold it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gone_at: Vec<NodeId>,
}

/// What the plugin made, and of what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Merge {
    /// The plugin.
    pub plugin: String,
    /// What went in, in the order in which the plugin saw it.
    pub inputs: Vec<Input>,
    /// What came out.
    pub outcome: Outcome,
}

/// One input of a merge. Versions with equal bytes are one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// The digest of its bytes; none for a delete.
    pub digest: Option<Digest>,
    /// The versions: indices into [`Explanation::versions`].
    pub versions: Vec<u32>,
}

/// What came out of a merge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// A value.
    Value {
        /// Its digest.
        digest: Digest,
        /// Its length in bytes.
        len: u32,
        /// The input that it equals: an index into [`Merge::inputs`].
        #[serde(default, skip_serializing_if = "Option::is_none")]
        equals: Option<u32>,
    },
    /// A delete.
    Delete,
    /// Nothing, for this reason: the siblings stay.
    Failed(String),
}
