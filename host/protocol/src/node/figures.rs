//! What a node tells of itself to operators, as values: the shell exports them.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

use crate::causality::Debt;
use crate::id::{BucketName, NodeId};
use crate::layout::Layout;
use crate::ledger::Reason;
use crate::message::client::Reach;
use crate::node::Node;
use crate::pacer::Pacer;
use crate::ring::Partition;
use crate::spread::Spread;
use crate::time::{Duration, Time};

/// Bounds between which the siblings that gets find are counted.
pub(super) const SIBLINGS: &[u64] = &[0, 1, 2, 3, 4, 6, 8, 16, 32, 64];

/// A node's figures at one moment.
#[derive(Clone, Debug)]
pub struct Figures {
    /// Counts since the start, by name.
    pub counters: BTreeMap<&'static str, u64>,
    /// How many versions the gets found that this node coordinated, before any merge.
    pub siblings: Spread,
    /// Versions that this node no longer holds, by bucket and reason.
    pub discarded: BTreeMap<(BucketName, Reason), u64>,
    /// Requests in progress that this node coordinates or passed on.
    pub operations: usize,
    /// Requests that may be in progress.
    pub most_operations: usize,
    /// Keys and reads in work.
    pub keys_in_work: usize,
    /// Version of the layout.
    pub layout: u64,
    /// Partitions that this node owns.
    pub partitions: usize,
    /// Trees that it keeps: one a partition that it owns and number of copies that buckets have.
    pub trees: usize,
    /// Buckets in the catalogue.
    pub buckets: usize,
    /// Lattice buckets whose plugin broke its laws.
    pub suspended: BTreeSet<BucketName>,
    /// Is an exchange of this node in progress?
    pub exchanging: bool,
    /// Partitions of which this node has lost something that it does not have back.
    pub lost: usize,
    /// The pace of exchanges.
    pub pace: PaceFigures,
    /// What it knows of its peers.
    pub peers: Vec<PeerFigures>,
}

/// How background work goes beside the foreground.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PaceFigures {
    /// Bytes a second that it may take.
    pub rate: u64,
    /// The foreground's p99 without it, where that is known.
    pub quiet: Option<Duration>,
    /// The foreground's p99 in the last window in which enough was answered.
    pub latest: Option<Duration>,
    /// How often it had to yield.
    pub yielded: u64,
}

impl PaceFigures {
    pub(super) fn of(pacer: &Pacer) -> Self {
        let (quiet, latest) = pacer.p99();
        Self { rate: pacer.rate(), quiet, latest, yielded: pacer.yielded() }
    }
}

/// What a node knows of a peer.
#[derive(Clone, Debug)]
pub struct PeerFigures {
    /// The peer.
    pub node: NodeId,
    /// Its name.
    pub name: String,
    /// How it is seen.
    pub reach: Reach,
    /// How long ago it was last heard of; none if never.
    pub heard: Option<Duration>,
    /// The time within which it answers 95 of 100 questions about keys, where that is known.
    pub pace: Option<Duration>,
    /// How long ago an exchange of this node with it was completed; none if never.
    pub exchanged: Option<Duration>,
    /// What this node keeps for it.
    pub owed: Debt,
}

/// What of the ring is this node's: counted anew where the layout or the buckets have changed, since there may be many
/// partitions.
#[derive(Clone, Debug, Default)]
pub(super) struct Share {
    layout: u64,
    copies: Vec<u8>,
    partitions: usize,
    trees: usize,
}

impl Share {
    fn of(node: NodeId, layout: &Layout, copies: Vec<u8>) -> Self {
        let mut share = Self { layout: layout.version(), copies, partitions: 0, trees: 0 };
        for partition in (0..layout.ring().partitions()).map(Partition) {
            let owns = |n: u8| layout.owners(partition, n).any(|owner| owner == node);
            share.partitions += usize::from(owns(layout.copies()));
            share.trees += share.copies.iter().filter(|n| owns(**n)).count();
        }
        share
    }
}

impl Node {
    /// This node's figures.
    pub fn figures(&mut self, now: Time) -> Figures {
        let copies: Vec<u8> = self.buckets_by_copies().into_keys().collect();
        let version = self.ring.acting.version;
        if self.share.layout != version || self.share.copies != copies {
            let layout = self.layout().clone().numbered(version);
            self.share = Share::of(self.boot.id, &layout, copies);
        }
        Figures {
            counters: self.counters.clone(),
            siblings: self.siblings.clone(),
            discarded: self.ledger.counts().clone(),
            operations: self.operations.len(),
            most_operations: self.boot.limits.requests,
            keys_in_work: self.keys.in_work(),
            layout: version,
            partitions: self.share.partitions,
            trees: self.share.trees,
            buckets: self.boot.catalogue.buckets().len(),
            suspended: self.suspended.clone(),
            exchanging: self.repair.is_exchanging(),
            lost: self.healing.lost().len(),
            pace: self.repair.pace(),
            peers: self.peers.keys().map(|peer| self.peer_figures(*peer, now)).collect(),
        }
    }

    fn peer_figures(&self, node: NodeId, now: Time) -> PeerFigures {
        let heard = self.peers.get(&node).and_then(|peer| peer.heard);
        PeerFigures {
            node,
            name: self.ring.acting.members().get(&node).map(|m| m.name.clone()).unwrap_or_default(),
            reach: self.membership.reach(node),
            heard: heard.map(|at| now.since(at)),
            pace: self.pace(node),
            exchanged: self.repair.exchanged(node).map(|at| now.since(at)),
            owed: self.handoff.debt(node),
        }
    }
}
