//! What an operator sets: limits, and the properties of a bucket.

use alloc::string::String;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::pacer::PaceLimits;
use crate::time::{Duration, MAX_CLOCK_AHEAD};

/// The longest bucket name, in bytes.
pub const MAX_BUCKET_NAME: usize = 64;

/// The most copies of a key that a layout may keep.
pub const MAX_COPIES: u8 = 7;

/// Bounds of one node. Every queue that they name answers `overloaded` when it is full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest key, in bytes.
    pub key_bytes: usize,
    /// Longest value, in bytes.
    pub value_bytes: usize,
    /// Most siblings that a put may leave in a key.
    pub siblings: usize,
    /// Most bytes that the siblings of a key may hold together after a put.
    pub object_bytes: u64,
    /// Client requests in progress at one time.
    pub requests: usize,
    /// Discarded versions that are remembered, without their bytes; none if zero.
    pub discarded: usize,
    /// Steps that may wait for one key.
    pub waiting_for_key: usize,
    /// Jobs in the store at one time.
    pub store_jobs: usize,
    /// Deadline of a request that brings none.
    pub default_deadline: Duration,
    /// Longest deadline that a request may ask for.
    pub max_deadline: Duration,
    /// How long a get waits for the owners it asked first before it asks the rest, while it does not know how fast they are.
    pub hedge: Duration,
    /// How long an owner may be silent before a fallback is asked to stand in for it. Well above a usual answer, which
    /// includes a sync of the disk, and well below a client's deadline.
    pub stand_in: Duration,
    /// How often a node greets its peers.
    pub hello: Duration,
    /// How long a node waits, about, after it compared its trees with one peer before it does with the next one.
    pub exchange: Duration,
    /// How background work yields to the foreground.
    pub pace: PaceLimits,
    /// How far behind this node's clock a ballot of a conditional put may be: what is older is refused, and so the promises that
    /// hold it off may be forgotten. Longer than any request lives.
    pub ballot_age: Duration,
    /// How a node finds out who is reachable.
    pub gossip: GossipLimits,
    /// What a node keeps for other owners and how it hands it over.
    pub hints: HintLimits,
    /// How a node drops what deletes have left.
    pub collect: CollectLimits,
    /// How a node lets go of what has expired.
    pub expiry: ExpiryLimits,
}

/// How a node lets go of what has expired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpiryLimits {
    /// How long after its time an expired version becomes a tombstone: as far as the clocks of nodes may be apart, so that no
    /// replica lets go of what it should show by the clock of another. It is hidden from readers before.
    pub grace: Duration,
    /// How long a node waits between two looks for what is due.
    pub pause: Duration,
    /// Most keys that are let go at one time.
    pub batch: usize,
}

impl Default for ExpiryLimits {
    fn default() -> Self {
        Self { grace: MAX_CLOCK_AHEAD, pause: Duration::from_millis(1_000), batch: 256 }
    }
}

/// How a node drops what deletes have left, once nothing can need it any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectLimits {
    /// How long a node waits between two pages of the keys that it looks through; four times as long while it serves clients.
    pub pause: Duration,
    /// How old what is left of a key must be, however stable it is: as long as a retry of a write is recognised by what is
    /// left of its key.
    pub age: Duration,
}

impl Default for CollectLimits {
    fn default() -> Self {
        Self { pause: Duration::from_millis(250), age: Duration::from_millis(5 * 60 * 1_000) }
    }
}

/// How a node finds out who is reachable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GossipLimits {
    /// How often a node probes another one. A member that is gone is suspected after about two of them, and declared down
    /// after a further number that grows with the logarithm of the cluster: three for three nodes, ten for 256.
    pub period: Duration,
    /// How long a probed member may take before others are asked to probe it: below half of the period.
    pub round_trip: Duration,
}

impl Default for GossipLimits {
    fn default() -> Self {
        Self { period: Duration::from_millis(500), round_trip: Duration::from_millis(150) }
    }
}

/// Bounds on hints. Nothing that was taken is dropped before its owner has it: a full fallback takes no more, and the next
/// one clockwise is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HintLimits {
    /// Most bytes of keys and values owed to all owners together. What is under way in the store comes on top.
    pub bytes: u64,
    /// An owner that has been owed something for so long gets no new hints: it is gone rather than late, and will be
    /// repaired from its fellow owners.
    pub age: Duration,
    /// Hints on their way to owners at one time. An owner's durable answer makes room for the next, so it sets the pace.
    pub in_flight: usize,
    /// Most bytes a second on their way to owners.
    pub rate: u64,
}

impl Default for HintLimits {
    fn default() -> Self {
        Self {
            bytes: 1024 * 1024 * 1024,
            age: Duration::from_millis(3 * 60 * 60 * 1_000),
            in_flight: 16,
            rate: 16 * 1024 * 1024,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            key_bytes: 4 * 1024,
            value_bytes: 16 * 1024 * 1024,
            siblings: 64,
            object_bytes: 48 * 1024 * 1024,
            requests: 4_096,
            discarded: 0,
            waiting_for_key: 256,
            store_jobs: 16_384,
            default_deadline: Duration::from_millis(5_000),
            max_deadline: Duration::from_millis(60_000),
            hedge: Duration::from_millis(20),
            stand_in: Duration::from_millis(150),
            hello: Duration::from_millis(1_000),
            gossip: GossipLimits::default(),
            hints: HintLimits::default(),
            collect: CollectLimits::default(),
            expiry: ExpiryLimits::default(),
            exchange: Duration::from_millis(30_000),
            pace: PaceLimits::default(),
            ballot_age: Duration::from_millis(120_000),
        }
    }
}

/// How deletes join in a lattice bucket; the plugin's manifest says which its merge is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tombstones {
    /// A delete is a value of its own kind, and goes into the merge.
    Pass,
    /// A delete starts a new generation: it wins over all writes that had not seen it.
    Reset,
}

/// How a bucket lives with siblings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// All siblings are stored and answered; the client resolves them.
    Siblings,
    /// All siblings are stored; a read answers what the plugin makes of them.
    Resolver {
        /// The plugin's name.
        plugin: String,
    },
    /// One folded value is stored, the join of every write seen.
    Lattice {
        /// The plugin's name.
        plugin: String,
        /// How deletes join.
        tombstones: Tombstones,
    },
}

impl Mode {
    /// The plugin that merges this bucket's siblings, if it has one.
    #[must_use]
    pub fn plugin(&self) -> Option<&str> {
        match self {
            Self::Siblings => None,
            Self::Resolver { plugin } | Self::Lattice { plugin, .. } => Some(plugin),
        }
    }

    /// How the bucket's objects join.
    #[must_use]
    pub fn shape(&self) -> Shape {
        match self {
            Self::Siblings | Self::Resolver { .. } => Shape::Siblings,
            Self::Lattice { tombstones, .. } => Shape::Lattice(*tombstones),
        }
    }
}

/// How a bucket's objects join. It can't change once the bucket holds objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// As sets of siblings.
    Siblings,
    /// As values to fold.
    Lattice(Tombstones),
}

/// Which acknowledgements count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Consistency {
    /// Always writable: others may stand in for owners that do not answer.
    #[default]
    Sloppy,
    /// Only owners count, and a read repairs what it returns before it answers: it never goes back.
    Strict,
}

/// The properties of a bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BucketConfig {
    /// How siblings are dealt with.
    pub mode: Mode,
    /// Copies of each key.
    pub n: u8,
    /// Owners that a get waits for, unless it says otherwise.
    pub r: u8,
    /// Owners whose durable acknowledgement a put waits for, unless it says otherwise.
    pub w: u8,
    /// Which acknowledgements count.
    pub consistency: Consistency,
    /// Bytes handed to the plugin at every merge.
    pub plugin_config: Bytes,
    /// How long values are there whose put says nothing of it, in milliseconds; for ever if none. Never in a lattice bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<u64>,
}

/// The longest that a value may be there before it expires: a hundred years, in milliseconds.
pub const MAX_TTL_MS: u64 = 100 * 366 * 24 * 60 * 60 * 1_000;

impl Default for BucketConfig {
    fn default() -> Self {
        Self {
            mode: Mode::Siblings,
            n: 3,
            r: 2,
            w: 2,
            consistency: Consistency::Sloppy,
            plugin_config: Bytes::new(),
            ttl_ms: None,
        }
    }
}

/// Numbers of copies and acknowledgements that can't be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadQuorum {
    /// More copies than the layout keeps.
    #[error(
        "n = {n} asks for more copies than the cluster keeps ({copies}): choose n from 1 to {copies}"
    )]
    Copies {
        /// What was asked for.
        n: u8,
        /// The copies that the layout keeps.
        copies: u8,
    },
    /// A quorum of nobody, or of more than all.
    #[error("{which} = {asked} is impossible with n = {n}: choose {which} from 1 to {n}")]
    Size {
        /// `r` or `w`.
        which: &'static str,
        /// What was asked for.
        asked: u8,
        /// The bucket's copies.
        n: u8,
    },
}

/// Checks that `asked` of `n` is a quorum that can be.
///
/// # Errors
/// [`BadQuorum::Size`] if it is none, or more than all.
pub fn check_quorum(which: &'static str, asked: u8, n: u8) -> Result<u8, BadQuorum> {
    if (1..=n).contains(&asked) { Ok(asked) } else { Err(BadQuorum::Size { which, asked, n }) }
}

impl BucketConfig {
    /// Checks that the numbers can be met by a layout of so many copies.
    ///
    /// # Errors
    /// [`BadQuorum`] says which can't.
    pub fn check(&self, copies: u8) -> Result<(), BadQuorum> {
        if !(1..=copies).contains(&self.n) {
            return Err(BadQuorum::Copies { n: self.n, copies });
        }
        check_quorum("r", self.r, self.n)?;
        check_quorum("w", self.w, self.n)?;
        Ok(())
    }
}
