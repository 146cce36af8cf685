//! The words in which a replica is told what to do, and tells what came of it.

use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;

use crate::ballot::{BallotAnswer, BallotStep};
use crate::causality::{Content, Context, DebtChange, Dot, Marks, Object};
use crate::config::Shape;
use crate::id::{Key, NodeId, RequestId};
use crate::ledger::{Cause, Discarded};
use crate::ring::{Partition, Position, Tree};
use crate::store::{Bodies, Stored};
use crate::survey::Survey;
use crate::time::{Expiry, Timestamp};

/// Names a job, and later its outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// A write of this node as coordinator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Put {
    /// The siblings that the client has seen, and that this write replaces.
    pub seen: Context,
    /// The name of this write.
    pub dot: Dot,
    /// A value, or a tombstone for a delete.
    pub content: Content,
    /// When the value expires.
    pub expires: Option<Expiry>,
    /// What this node's wall clock read: siblings that expired by then have no part in a merge.
    pub wall: Timestamp,
    /// The client's name for it.
    pub request: RequestId,
    /// The coordinator is no owner, and stands in for one.
    pub stands_in: Option<StandsIn>,
}

/// For whom a fallback keeps an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StandsIn {
    /// The owner.
    pub owner: NodeId,
    /// Since when.
    pub since: Timestamp,
}

/// An owner has durably joined what this replica kept for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandedOver {
    /// The owner.
    pub owner: NodeId,
    /// What it has joined; what came here since is still owed to it.
    pub object: Object,
    /// Does the object stay when the last debt goes: because this replica owns the key by now, or has owned it, and its marks may still
    /// claim what would go?
    pub stays: bool,
}

/// Drops what is left of a deleted key, if nothing can need it any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collect {
    /// Only if its latest write is at least as old: so long a retry of it must be recognised.
    pub before: Timestamp,
    /// Lattice buckets: only if this is still its context. It stood the waiting that a folded value needs.
    pub waited: Option<Context>,
}

/// What was kept for a node that does not own the key any more is owed to others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reassign {
    /// The node that it was owed to.
    pub from: NodeId,
    /// Those it is owed to from now on; none where this replica owns the key by now.
    pub to: Vec<NodeId>,
}

/// One change of a key's object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A write of this node as coordinator.
    Put(Put),
    /// What another replica holds.
    Join(Object),
    /// What another replica holds, to be kept for an owner.
    Keep(Object, StandsIn),
    /// An owner has what was kept for it.
    HandedOver(HandedOver),
    /// A step in a ballot.
    Ballot(BallotStep),
    /// Nothing can need what is left of a deleted key any more, it is thought.
    Collect(Collect),
    /// What expires up to then becomes tombstones.
    Expire(Expiry),
    /// What was owed to one node is owed to others.
    Reassign(Reassign),
    /// This replica does not own the key any more, and its owners have all: the object goes, unless it is kept for somebody.
    Leave,
}

impl Step {
    /// What it may make the replica let go of versions by.
    pub(super) fn cause(&self) -> Cause {
        match self {
            Self::Put(put) => Cause::Put(put.dot),
            // A write that ballots decided comes as the object that it made.
            Self::Join(_) | Self::Keep(..) | Self::Ballot(_) => Cause::Join,
            Self::HandedOver(_) | Self::Reassign(_) | Self::Leave => Cause::HandedOver,
            Self::Collect(_) => Cause::Collect,
            Self::Expire(_) => Cause::Expire,
        }
    }
}

/// What became of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is part of the object now.
    Done,
    /// What was left of the key is gone.
    Collected,
    /// An earlier try of the same request is part of the object, under this dot.
    Duplicate(Dot),
    /// A put that would leave more siblings than the bound: refused, nothing changed.
    TooManySiblings {
        /// How many siblings the key has that the put has not seen.
        siblings: usize,
    },
    /// A put after which the siblings would hold more bytes than the bound: refused, nothing changed.
    TooManyBytes {
        /// How many bytes they would hold.
        bytes: u64,
    },
    /// What became of a step in a ballot.
    Ballot(BallotAnswer),
}

/// Bounds and rules for the steps of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// How the bucket's objects join.
    pub shape: Shape,
    /// May the node have this bucket's versions merged at present?
    pub can_merge: bool,
    /// The change of the bucket since which it merges as it does; none if it always has.
    pub epoch: Option<Dot>,
    /// Most siblings that a put may leave.
    pub siblings: usize,
    /// Most bytes that the siblings may hold together after a put.
    pub object_bytes: u64,
}

/// Work for the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// Reads a key.
    Read {
        /// Which bytes to bring.
        bodies: Bodies,
    },
    /// Applies steps to a key, in order.
    Apply {
        /// The bounds.
        rules: Rules,
        /// At least one step.
        steps: Vec<Step>,
    },
    /// Stores what a key was folded to. Only after [`Outcome::Fold`], while the key waits.
    Replace {
        /// The folded object and its note.
        stored: Stored,
    },
}

/// One job on one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// The key.
    pub key: Key,
    /// Where it lies.
    pub position: Position,
    /// What to do.
    pub task: Task,
}

/// What a job came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// What a read found.
    Read(Option<Stored>),
    /// The steps are applied: visible, and durable once the shell says so.
    Applied(Applied),
    /// Lattice buckets: the steps are applied to `stored`, but nothing is written. The node has its versions folded and
    /// comes back with [`Task::Replace`].
    Fold {
        /// The object with all bytes at hand.
        stored: Stored,
        /// One answer a step.
        answers: Vec<Answer>,
        /// The last dot that this node gave out among the steps, to be claimed once folded.
        claim: Option<Dot>,
        /// Versions that went before the fold.
        discarded: Vec<Discarded>,
    },
    /// Resolver buckets: the steps before `put` are applied, but `put` would leave too many siblings. The node merges
    /// those of `object` that it has not seen with its value, and comes back with a put of the result.
    Crowded {
        /// The steps that were applied before; `None` if there were none.
        before: Option<Applied>,
        /// The object as it is, with all bytes at hand.
        object: Object,
        /// The put.
        put: Put,
        /// Steps that were not looked at.
        rest: Vec<Step>,
    },
}

/// Steps that were applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The object afterwards; if there was a put among the steps, with all bytes at hand.
    pub object: Object,
    /// One answer a step.
    pub answers: Vec<Answer>,
    /// What changed of the hints.
    pub debts: Vec<DebtChange>,
    /// Versions that went.
    pub discarded: Vec<Discarded>,
}

/// Work for the store, as the node hands it out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreJob {
    /// A job on a key.
    Key(Job),
    /// Keeps a piece of the node's own state.
    Save {
        /// Its name.
        name: String,
        /// Its bytes.
        bytes: Bytes,
    },
    /// Lists keys that are owed to an owner.
    Hints {
        /// The owner.
        owner: NodeId,
        /// Where the list before this one ended.
        after: Option<(Partition, Key)>,
        /// Most keys.
        limit: usize,
    },
    /// Reads of the partitions' trees.
    Survey(Survey),
    /// Takes over marks; with none, it only is told of when all before it is durable.
    Raise(Vec<(Tree, Marks)>),
    /// Forgets all marks of a tree.
    Forget(Tree),
}
