//! Requests of clients and their answers. ALPN `kinfold/1`: one bidirectional stream a request.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::catalogue::BucketEntry;
use crate::config::{BucketConfig, Consistency};
use crate::id::{Actor, BucketName, NodeId, RequestId};
use crate::layout::Layout;
use crate::message::cluster::{ClusterRequest, ClusterResponse};
use crate::message::explain::{Explain, Explanation};
use crate::message::plugin::{PluginRequest, PluginResponse};

/// The header of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestHeader {
    /// The version of the layout that the client knows; zero for none.
    pub layout: u64,
    /// How long the client will wait, in milliseconds; zero for the node's default.
    #[serde(default)]
    pub deadline_ms: u32,
    /// The W3C's `traceparent` of the client's span, where it records one. What can't be read counts as none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
    /// What it asks.
    pub request: Request,
}

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Reads a key. Answer: [`Response::Found`].
    Get(Get),
    /// Writes a key; the value is the body. Answer: [`Response::Written`].
    Put(Write),
    /// Deletes a key. Answer: [`Response::Written`].
    Delete(Write),
    /// Lists keys of a bucket. Answer: [`Response::Listed`].
    List(List),
    /// Makes a bucket. Needs the admin role. Answer: [`Response::BucketSaved`].
    BucketCreate(BucketChange),
    /// Changes a bucket. Needs the admin role. Answer: [`Response::BucketSaved`].
    BucketSet(BucketChange),
    /// Lists the buckets. Answer: [`Response::Buckets`].
    BucketList,
    /// Asks who owns what. Answer: [`Response::Layout`].
    Layout,
    /// Asks how the node is. Answer: [`Response::Status`].
    Status,
    /// Has the node read its whole disk back, now. Needs the admin role. Answer: [`Response::Status`], at once.
    Scrub,
    /// Asks what all replicas hold of a key. Answer: [`Response::Explained`].
    Explain(Explain),
    /// Asks about plugins. Answer: [`Response::Plugin`].
    Plugin(PluginRequest),
    /// Asks about the ring. Answer: [`Response::Cluster`].
    Cluster(ClusterRequest),
}

impl Request {
    /// What kind of request it is, in a word as it stands in the header.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Get(_) => "get",
            Self::List(_) => "list",
            Self::Put(_) => "put",
            Self::Delete(_) => "delete",
            Self::BucketCreate(_) => "bucket_create",
            Self::BucketSet(_) => "bucket_set",
            Self::BucketList => "bucket_list",
            Self::Layout => "layout",
            Self::Status => "status",
            Self::Scrub => "scrub",
            Self::Plugin(_) => "plugin",
            Self::Cluster(_) => "cluster",
            Self::Explain(_) => "explain",
        }
    }

    /// Does a value or a component follow its header?
    #[must_use]
    pub fn has_body(&self) -> bool {
        match self {
            Self::Put(_) | Self::Plugin(PluginRequest::Install(_)) => true,
            Self::Get(_)
            | Self::List(_)
            | Self::Delete(_)
            | Self::BucketCreate(_)
            | Self::BucketSet(_)
            | Self::BucketList
            | Self::Layout
            | Self::Status
            | Self::Scrub
            | Self::Plugin(_)
            | Self::Cluster(_)
            | Self::Explain(_) => false,
        }
    }
}

/// Reads a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Get {
    /// The bucket.
    pub bucket: BucketName,
    /// The key.
    pub key: Bytes,
    /// Owners to wait for; the bucket's, if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub r: Option<u8>,
    /// The bucket's, if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consistency: Option<Consistency>,
}

/// Lists keys of a bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct List {
    /// The bucket.
    pub bucket: BucketName,
    /// What the keys begin with; nothing for all of them.
    #[serde(default, skip_serializing_if = "Bytes::is_empty")]
    pub prefix: Bytes,
    /// Most keys of the answer; zero for the node's default.
    #[serde(default)]
    pub limit: u32,
    /// Where the answer before ended; none to begin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<Bytes>,
    /// Owners of each partition to ask; the bucket's r, if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub r: Option<u8>,
}

/// Writes or deletes a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Write {
    /// The bucket.
    pub bucket: BucketName,
    /// The key.
    pub key: Bytes,
    /// The context of the read that this write is based on, as it was received; none replaces nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<Bytes>,
    /// Owners whose durable acknowledgement to wait for; the bucket's, if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub w: Option<u8>,
    /// The client's name for this write: a retry carries the same.
    pub request: RequestId,
    /// Only if the key's object is still the one that `context` has seen; without a context, only if there is none.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub conditional: bool,
    /// Of a put: how long the value is to be there, in milliseconds, zero for ever; the bucket's, if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<u64>,
}

/// Makes or changes a bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BucketChange {
    /// The bucket.
    pub bucket: BucketName,
    /// Its properties.
    pub config: BucketConfig,
    /// Change it though its plugin is not ready everywhere.
    #[serde(default, skip_serializing_if = "is_false")]
    pub force: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
fn is_false(flag: &bool) -> bool {
    !*flag
}

/// The header of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResponseHeader {
    /// The version of the layout that the node knows: a client with an older one asks for it.
    pub layout: u64,
    /// The answer.
    pub response: Response,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Response {
    /// What a get found. The values are the body.
    Found(Found),
    /// A write is durable as often as was asked.
    Written(Written),
    /// A conditional write was not made: the key's object is another one. Its values are the body.
    Conflict(Conflict),
    /// Some keys.
    Listed(Listed),
    /// A bucket is made or changed.
    BucketSaved {
        /// Members that do not have the change yet; they get it when they are heard of again.
        missing: Vec<NodeId>,
    },
    /// All buckets.
    Buckets(BTreeMap<BucketName, BucketEntry>),
    /// Who owns what.
    Layout(Layout),
    /// How the node is.
    Status(Status),
    /// About plugins.
    Plugin(PluginResponse),
    /// About the ring.
    Cluster(ClusterResponse),
    /// What all replicas hold of a key. The values are the body.
    Explained(Box<Explanation>),
    /// The request was not done, or nobody knows whether it was.
    Failed(Failure),
}

/// What a get found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// What was seen: to be sent back with the next write of the key.
    pub context: Bytes,
    /// The lengths of the values in the body. None: there is no value.
    pub values: Vec<u32>,
    /// When each of the values expires, milliseconds since 1970, zero for never; left out where none does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expires: Vec<u64>,
    /// Is a delete among what was seen?
    pub deleted: bool,
    /// Did the plugin make the one value out of several?
    pub merged: bool,
    /// Why the plugin did not, where the bucket has one and there are several values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merge_failure: Option<String>,
    /// Owners that answered.
    pub owners: u8,
    /// Others that answered in place of owners.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub fallbacks: u8,
}

/// Some keys of a bucket, in the order of the listing: by partition, and within a partition by their bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// The keys. There may be less than were asked for, or none, before the end.
    pub keys: Vec<Bytes>,
    /// Where to go on; none at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<Bytes>,
}

/// Why a conditional write was not made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conflict {
    /// The key's object as it is: a majority of the owners holds it.
    pub found: Found,
    /// No earlier try of this request was made, nor will be. Where that is not known, the answer is sure of this try alone: the
    /// key may have changed so often since that its owners do not remember.
    pub settled: bool,
}

/// Left out where it is none, as it was before fallbacks answered.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
fn is_zero(n: &u8) -> bool {
    *n == 0
}

/// A write is durable as often as was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// What the client has now seen: its context and its own write.
    pub context: Bytes,
    /// Owners that had acknowledged durably when the answer was sent.
    pub owners: u8,
    /// Others that stood in.
    pub fallbacks: u8,
}

/// The request was not done, or nobody knows whether it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What kind.
    pub code: Code,
    /// What happened, what state it left, what to do.
    pub message: String,
    /// When to try again, in milliseconds, where that makes sense.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u32>,
}

impl Failure {
    /// A failure that says nothing of trying again.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retry_after_ms: None }
    }
}

/// Kinds of failure. All but [`Code::Unknown`] mean that nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The frame or its header is malformed.
    Malformed,
    /// A parameter can't be: the message says which.
    BadRequest,
    /// The context does not parse.
    BadContext,
    /// There is no such bucket.
    UnknownBucket,
    /// There is such a bucket already, with other properties.
    BucketExists,
    /// The key or the value is too large.
    TooLarge,
    /// The key has too many siblings: read it and write with the context.
    TooManySiblings,
    /// The certificate's role does not allow it.
    Forbidden,
    /// Too few owners answered, and nothing was written.
    Unavailable,
    /// A write may or may not have happened: too few owners acknowledged it in time.
    Unknown,
    /// The node has too much to do.
    Overloaded,
    /// The disk is nearly full: writes are refused.
    DiskFull,
    /// The store is stopped or its data damaged.
    Storage,
    /// The client's layout is older than the node's, or the other way round.
    StaleLayout,
    /// What the request was made from is not so any more: of a plan that is out of date, nothing was done.
    Outdated,
}

impl Code {
    /// The code as it stands in the header.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::BadRequest => "bad_request",
            Self::BadContext => "bad_context",
            Self::UnknownBucket => "unknown_bucket",
            Self::BucketExists => "bucket_exists",
            Self::TooLarge => "too_large",
            Self::TooManySiblings => "too_many_siblings",
            Self::Forbidden => "forbidden",
            Self::Unavailable => "unavailable",
            Self::Unknown => "unknown",
            Self::Overloaded => "overloaded",
            Self::DiskFull => "disk_full",
            Self::Storage => "storage",
            Self::StaleLayout => "stale_layout",
            Self::Outdated => "outdated",
        }
    }
}

/// How a node is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The node.
    pub node: NodeId,
    /// Its name.
    pub name: String,
    /// The cluster's name.
    pub cluster: String,
    /// The program's version.
    pub version: String,
    /// The version of its layout.
    pub layout: u64,
    /// Its peers.
    pub peers: Vec<PeerStatus>,
    /// Counts since the start, by name.
    pub counters: BTreeMap<String, u64>,
    /// Buckets whose plugin broke its laws, and that are therefore not folded.
    pub suspended: Vec<BucketName>,
    /// Versions that this node no longer holds, by bucket and reason, since its start.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub discarded: BTreeMap<BucketName, BTreeMap<String, u64>>,
    /// Is an exchange of this node in progress?
    #[serde(default)]
    pub exchanging: bool,
    /// What is left of deleted keys, and why.
    #[serde(default)]
    pub deletes: DeleteStatus,
    /// How far the node is with reading its disk back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scrub: Option<ScrubStatus>,
}

/// How far a node is with reading its disk back, and what that found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScrubStatus {
    /// Has an operator asked for the pass that is under way?
    pub hurried: bool,
    /// The pass that is under way.
    pub pass: ScrubPass,
    /// Bytes that a whole pass reads, about.
    pub whole: u64,
    /// The last whole pass; none if there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<ScrubPass>,
    /// Whole passes so far.
    pub passes: u64,
    /// Is there damage that is not taken out yet? The node starts again to do that.
    pub damaged: bool,
}

/// One reading of a whole disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScrubPass {
    /// When it began, by the node's wall clock: microseconds since 1970; none if it has not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began_us: Option<u64>,
    /// When it ended; none if it has not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_us: Option<u64>,
    /// Bytes that were read.
    pub bytes: u64,
    /// Records that were read.
    pub records: u64,
    /// Files and partitions that were found damaged.
    pub damage: u64,
    /// Leaves of trees that were wrong, and were set right.
    pub leaves: u64,
}

/// What is left of deleted keys at a node, as it last looked through all that it owns.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteStatus {
    /// Keys of which nothing but a delete is left.
    pub waiting: u64,
    /// Those of them that wait only for their age, or in a lattice bucket for all owners to confirm.
    pub stable: u64,
    /// Whose writes hold the others back: this node does not know yet that it has seen all of them.
    pub held: Vec<HeldBack>,
    /// Members that this node waits for before it can know more, and for how many trees.
    pub rounds_wait_for: Vec<(NodeId, u64)>,
}

/// Deleted keys that have seen writes of an actor of which the node may not have seen all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldBack {
    /// The actor.
    pub actor: Actor,
    /// The node whose present actor it is; none if it is a former one's, or was not heard of.
    pub node: Option<NodeId>,
    /// How many.
    pub tombstones: u64,
}

/// What a node knows of a peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerStatus {
    /// The peer.
    pub node: NodeId,
    /// Milliseconds since it was last heard of; none if never.
    pub heard_ms: Option<u64>,
    /// Has it the same buckets?
    pub same_catalogue: bool,
    /// Keys that this node keeps for it, to be handed over.
    #[serde(default)]
    pub hints: u64,
    /// Their bytes.
    #[serde(default)]
    pub hint_bytes: u64,
    /// How it is seen.
    #[serde(default)]
    pub reach: Reach,
    /// The round trip of the connection to it, in microseconds; none without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtt_us: Option<u64>,
    /// The time within which it answers 95 of 100 questions about keys, in microseconds, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer_p95_us: Option<u64>,
    /// Milliseconds since an exchange of this node with it was completed; none if none was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exchanged_ms: Option<u64>,
}

/// How a node sees another one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// It was never heard of.
    #[default]
    Unknown,
    /// It answers.
    Up,
    /// It did not answer lately, and may refute that it is down.
    Suspect,
    /// It was declared down, and is not waited for.
    Down,
}
