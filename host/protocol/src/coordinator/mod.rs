//! The machines that carry out one client request each. They do not know each other, nor the store, nor the network: they
//! are told facts and give [`Order`]s.

pub(crate) mod change;
pub(crate) mod conditional;
pub(crate) mod explain;
pub(crate) mod forward;
mod found;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod put;
pub(crate) mod readiness;
pub(crate) mod validate;
pub(crate) mod vote;

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;

use crate::causality::{Ballot, Object};
use crate::id::{NodeId, Origin};
use crate::merge::{MergeRequest, ValidateRequest, Validity};
use crate::message::ballot::{BallotQuestion, BallotReply};
use crate::message::client::{
    BucketChange, Code, Failure, RequestHeader, Response, ResponseHeader,
};
use crate::message::listing::{KeyPage, ListQuestion};
use crate::message::peer::{Message, Refusal};
use crate::message::plugin::ComponentState;
use crate::message::vote::{VoteQuestion, VoteReply};
use crate::record::Record;
use crate::replica::{Answer, Step};
use crate::ring::Partition;
use crate::store::StoreError;
use crate::time::{Duration, Time};

/// How long a coordinator waits for an owner before it asks again, where the message may have been lost.
pub(crate) const NUDGE: Duration = Duration::from_millis(500);

/// Where an answer goes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ReplyTo {
    /// To a client of this node.
    Client(Origin),
    /// To a peer that passed a client's request on.
    Peer(NodeId, u64),
    /// To nobody: this node began it by itself.
    Nobody,
}

/// Was another node asked for the same write before, which may have made it?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Doubtful(pub(crate) bool);

/// What a machine wants done.
#[derive(Debug)]
pub(crate) enum Order {
    /// Say something to a peer.
    Send(NodeId, Message),
    /// Read this node's own copy of the machine's key, with all bytes, and tell the machine.
    Read,
    /// Apply a step to this node's own copy of the machine's key, and tell the machine.
    Step(Step),
    /// Apply a step to this node's own copy, and tell nobody.
    StepQuietly(Step),
    /// Answer a question of a ballot for this node's own copy, and tell the machine.
    Ballot {
        /// The ballot.
        ballot: Ballot,
        /// The question.
        question: BallotQuestion,
    },
    /// Answer a question of a vote on the ring's record of this version, and tell the machine.
    Vote {
        /// The version.
        version: u64,
        /// The ballot.
        ballot: Ballot,
        /// The question.
        question: VoteQuestion,
    },
    /// The members have decided on a record of the ring: take it, and tell all.
    Decided(Record),
    /// Look up keys on this node's own disk, and tell the machine.
    List(ListQuestion),
    /// Give the machine a new ballot, later than all that this node has seen.
    Tick,
    /// Have the bucket's plugin merge these.
    Merge(MergeRequest),
    /// Have the bucket's plugin look at a value.
    Validate(ValidateRequest),
    /// The joined object holds one dot, or one coverage, with two contents.
    Clash,
    /// Count something.
    Count(&'static str),
    /// A get found so many versions, before any merge.
    Found(usize),
    /// A peer took so long to answer a question about a key.
    Took(NodeId, Duration),
    /// A peer was asked about a key then, and has not answered in the usual time.
    Silent(NodeId, Time),
    /// Answer, with the values as body.
    Reply(Response, Vec<Bytes>),
    /// Pass an answer on as it came.
    PassOn(ResponseHeader, Vec<Bytes>),
    /// No owner answered: have this node stand in and carry the request out itself, until the deadline. The machine is
    /// forgotten.
    StandIn(RequestHeader, Bytes, Time),
    /// The value may be written: have the put begun. The machine is forgotten.
    Put(RequestHeader, Bytes, Time, Doubtful),
    /// All members are ready: have the bucket changed. The machine is forgotten.
    Change(BucketChange, Time),
    /// Nothing more is to come: forget the machine.
    End,
}

/// What a machine may be told.
#[derive(Debug)]
pub(crate) enum Fact {
    /// The step that it ordered is applied here, or was refused.
    Applied { answer: Answer, object: Object },
    /// The step is durable here.
    Durable,
    /// The step or the read failed here.
    Failed(StoreError),
    /// What this node holds.
    Read(Object),
    /// A peer has joined an object durably, or not.
    Replicated { from: NodeId, refused: Option<Refusal> },
    /// What a peer holds.
    Held { from: NodeId, object: Result<Object, Refusal> },
    /// An owner, perhaps this node, has answered a question of a ballot.
    Balloted { from: NodeId, ballot: Ballot, reply: Result<BallotReply, Refusal> },
    /// The ring has changed: who is concerned by now.
    Moved(Placed),
    /// A voter, perhaps this node, has answered a question of a vote.
    Voted { from: NodeId, ballot: Ballot, reply: VoteReply },
    /// An owner, perhaps this node, has looked up keys of a partition.
    Keys { from: NodeId, partition: Partition, page: Result<KeyPage, Refusal> },
    /// The new ballot; none while the clock may give out no readings.
    Ballot(Option<Ballot>),
    /// A merge is done.
    Merged(crate::merge::MergeResult),
    /// The plugin has looked at a value.
    Validated(Validity),
    /// How a member is with a component.
    Component { from: NodeId, state: ComponentState },
    /// A peer has answered the request that was passed on.
    Forwarded { header: ResponseHeader, body: Vec<Bytes> },
    /// A peer has the catalogue.
    CatalogueHave { from: NodeId },
    /// This node's catalogue is durable.
    CatalogueSaved,
    /// The time that the machine asked for has come.
    Time,
}

/// Whom a request about a key concerns, by the ring's record.
#[derive(Clone, Debug)]
pub(crate) struct Placed {
    /// The owners that are read from, and coordinate, in order of preference.
    pub(crate) readers: Vec<NodeId>,
    /// The owners: writes have to reach a quorum of each of these sets.
    pub(crate) sets: Vec<Vec<NodeId>>,
    /// Owners that are not worth waiting for.
    pub(crate) down: BTreeSet<NodeId>,
    /// Who may stand in, in order.
    pub(crate) fallbacks: Vec<NodeId>,
}

impl Placed {
    /// All owners, each once: those that are read from first.
    pub(crate) fn owners(&self) -> Vec<NodeId> {
        let mut owners = self.readers.clone();
        for owner in self.sets.iter().flatten() {
            if !owners.contains(owner) {
                owners.push(*owner);
            }
        }
        owners
    }
}

/// Orders of a machine, in order.
pub(crate) type Orders = Vec<Order>;

/// A machine that waits.
pub(crate) trait Machine {
    /// Takes a fact and says what to do.
    fn on(&mut self, now: Time, fact: Fact) -> Orders;

    /// When it wants to be told the time.
    fn wake(&self) -> Time;
}

/// The answer to a request that failed.
pub(crate) fn failed(code: Code, message: impl Into<String>) -> Response {
    Response::Failed(Failure::new(code, message))
}

/// The answer where this node's own store failed before anything was written.
pub(crate) fn store_failed(error: &StoreError) -> Response {
    let code = match error {
        StoreError::DiskFull { .. } => Code::DiskFull,
        StoreError::Overloaded => Code::Overloaded,
        StoreError::Poisoned(_) | StoreError::Corrupt(_) | StoreError::Io(_) => Code::Storage,
    };
    failed(code, alloc::format!("{error}; nothing was written"))
}

/// What owners that refused said, for people.
pub(crate) fn refusals(refused: &[(NodeId, Refusal)]) -> String {
    let mut text = String::new();
    for (node, refusal) in refused {
        text.push_str(&alloc::format!("; node {node} {}", refusal.describe()));
    }
    text
}
