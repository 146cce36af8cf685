//! What goes into a node and what comes out: the whole of its contact with the world.
//!
//! - [`Node::handle`](crate::node::Node::handle) takes one [`Input`] and the time;
//! - [`Node::poll_output`](crate::node::Node::poll_output) gives [`Output`]s until it has none: call it after every input;
//! - [`Node::deadline`](crate::node::Node::deadline) says when [`Input::Tick`] is due, if nothing else happens before.
//!
//! Facts come in, intentions go out. A shell carries the intentions out, in any order and with any delay, and may lose
//! messages; it must not lose the outcome of a store job or of a merge while the node lives.

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;

use crate::catalogue::{Component, PluginPlan, Release};
use crate::causality::Digest;
pub use crate::id::Origin;
use crate::id::{Actor, Key, NodeId};
use crate::layout::Member;
use crate::merge::{MergeFailure, MergeRequest, MergeResult, ValidateRequest, Validity};
use crate::message::client::{RequestHeader, ResponseHeader};
use crate::message::peer::Envelope;
use crate::message::plugin::ComponentState;
use crate::replica::{Outcome, StoreJob, Ticket};
use crate::ring::Partition;
use crate::store::StoreError;
use crate::survey::Surveyed;
use crate::time::Timestamp;

/// A fact.
#[derive(Clone, Debug)]
pub enum Input {
    /// A client asks. There is exactly one [`Output::Reply`] for it.
    Client {
        /// The shell's name for the request.
        origin: Origin,
        /// May the client change buckets?
        admin: bool,
        /// The request.
        header: RequestHeader,
        /// Its body.
        body: Bytes,
    },
    /// A peer, whose certificate was checked, says something.
    Peer {
        /// Who.
        from: NodeId,
        /// What.
        envelope: Envelope,
    },
    /// A datagram of a peer, whose certificate was checked.
    Datagram {
        /// Who sent it.
        from: NodeId,
        /// What it holds.
        bytes: Bytes,
    },
    /// The store says something.
    Store(StoreEvent),
    /// A merge is done.
    Merged {
        /// Which.
        ticket: Ticket,
        /// What it came to.
        result: MergeResult,
    },
    /// A plugin has looked at a value.
    Validated {
        /// Which.
        ticket: Ticket,
        /// What it says.
        validity: Validity,
    },
    /// The shell has tried a component and keeps it durably: it is to be installed. There is exactly one [`Output::Reply`] for it.
    Install {
        /// The shell's name for the request.
        origin: Origin,
        /// The name and version that it goes by.
        release: Release,
        /// What the catalogue is to say of it.
        component: Component,
    },
    /// How this node is with a component, from now on.
    Component {
        /// The hash of its bytes.
        hash: Digest,
        /// How it is.
        state: ComponentState,
    },
    /// The plugins, by the names that buckets call them by, that look at values before they are written.
    Validators(BTreeSet<String>),
    /// The deadline has come.
    Tick,
}

/// What the store says of a job. `Done` comes first, once for every job. For jobs that write, `Synced` or `SyncFailed` follows
/// if `Done` was good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreEvent {
    /// The job was carried out, or not: what it wrote is visible, and not yet durable.
    Done {
        /// Which job.
        ticket: Ticket,
        /// What it came to.
        result: Result<Done, StoreError>,
    },
    /// What the job wrote is durable, and everything that was written before it.
    Synced {
        /// Which job.
        ticket: Ticket,
    },
    /// What the job wrote may be lost.
    SyncFailed {
        /// Which job.
        ticket: Ticket,
        /// Why.
        error: StoreError,
    },
}

/// What a job came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// A job on a key.
    Key(Outcome),
    /// A piece of the node's state was kept.
    Saved,
    /// Keys that are owed to an owner, in the order of the store.
    Hints(Vec<(Partition, Key)>),
    /// A survey.
    Surveyed(Surveyed),
}

/// An intention.
#[derive(Clone, Debug)]
pub enum Output {
    /// Answer a client.
    Reply {
        /// Which request.
        origin: Origin,
        /// The answer.
        header: ResponseHeader,
        /// Its body, in pieces.
        body: Vec<Bytes>,
    },
    /// Say something to a peer. It may be lost.
    Send {
        /// To whom.
        to: NodeId,
        /// What.
        envelope: Envelope,
        /// On whose behalf, where it is for a request.
        cause: Option<Cause>,
    },
    /// Send a datagram of at most 1 100 bytes to a peer. It may be lost.
    Datagram {
        /// To whom.
        to: NodeId,
        /// What it holds.
        bytes: Bytes,
    },
    /// Have the store do something.
    Store {
        /// Name of the job.
        ticket: Ticket,
        /// The job.
        job: StoreJob,
    },
    /// Have a plugin merge something, off this thread.
    Merge {
        /// Name of the merge.
        ticket: Ticket,
        /// What to merge.
        request: MergeRequest,
    },
    /// Have a plugin look at a value, off this thread.
    Validate {
        /// Name of the question.
        ticket: Ticket,
        /// What to look at.
        request: ValidateRequest,
    },
    /// Have these components ready to merge, and no others; say how that stands by [`Input::Component`].
    Plugins(PluginPlan),
    /// These are the members by now, and perhaps this node itself among them: connect to the others, let no other node in.
    Members(Vec<Member>),
    /// Close the connections of the process that greets as this actor, and tell it to stop: another one is that node already.
    Refuse {
        /// Who both say that they are.
        node: NodeId,
        /// The one that started later.
        actor: Actor,
    },
    /// Something that an operator should see.
    Alarm(Alarm),
}

/// On whose behalf a node does something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A client's request to this node.
    Client(Origin),
    /// A request that a peer passed on, under this number.
    Peer(NodeId, u64),
}

/// Something that an operator should see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Alarm {
    /// One dot, or one coverage, with two different contents: the bucket's plugin broke its laws, or a node is damaged. Both
    /// are kept as siblings.
    Clash {
        /// The bucket and key, for people.
        key: String,
    },
    /// A plugin did not merge what a write brought together: the siblings stay.
    MergeFailed {
        /// The bucket and key, for people.
        key: String,
        /// Why.
        failure: MergeFailure,
    },
    /// A peer's clock is too far ahead: its writes are refused.
    ClockAhead {
        /// The peer.
        peer: NodeId,
        /// The time that it sent.
        timestamp: Timestamp,
    },
    /// The store failed.
    Store(StoreError),
}

/// What a node saves of itself, under these names, and is given back at its next start.
pub mod saved {
    /// The buckets of the catalogue, as their CBOR.
    pub const CATALOGUE: &str = "catalogue";
    /// The plugins of the catalogue, as their CBOR.
    pub const PLUGINS: &str = "plugins";
    /// The changes of the ring that are staged, as their CBOR.
    pub const STAGED: &str = "staged";
    /// What it knows of the ring, as the CBOR of [`crate::record::Kept`].
    pub const RING: &str = "ring";
    /// The partitions of which the disk has lost something, as CBOR: see [`crate::node::Boot::lost`].
    pub const LOST: &str = "lost";
    /// As which actors the other members were met, as the CBOR of a map of [`crate::life::Met`].
    pub const MET: &str = "met";
    /// The life: see [`crate::life::Life`].
    pub const LIFE: &str = "life";
}
