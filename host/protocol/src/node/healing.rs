//! The node's part in healing: which of its trees have lost something, and what it does not answer for until they are whole.

use alloc::collections::BTreeSet;

use super::{Node, Saving};
use crate::cbor;
use crate::healing::Healing;
use crate::id::{Actor, NodeId};
use crate::io::saved;
use crate::life::Met;
use crate::planted::{self, Bug};
use crate::ring::{Partition, Tree};
use crate::store::StoreError;
use crate::time::Duration;

/// An exchange begins so soon after the last one while something is lost.
pub(super) const HASTE: Duration = Duration::from_millis(250);

impl Node {
    /// The trees of this node in the partitions that have lost something, with whom else they are to be had from.
    pub(super) fn lost_trees(&self) -> Healing {
        let copies = self.buckets_by_copies();
        let trees = self.boot.lost.iter().flat_map(|partition| {
            copies.keys().map(|copies| Tree { partition: *partition, copies: *copies })
        });
        let record = &self.ring.acting;
        let own = trees.filter(|tree| record.holds(self.boot.id, *tree));
        Healing::new(own.map(|tree| {
            let others = self.peers.keys().copied().filter(|peer| record.holds(*peer, tree));
            (tree, others.collect())
        }))
    }

    /// A peer greets as an actor, which is kept. Says whether it was met as another one before.
    pub(super) fn meet(&mut self, peer: NodeId, actor: Actor) -> bool {
        let known = self.boot.met.get(&peer).copied();
        let mut met = known.unwrap_or(Met::new(actor));
        let is_new = met.again(actor);
        if known != Some(met) {
            self.boot.met.insert(peer, met);
            let met = cbor::encode(&self.boot.met).into();
            self.save(saved::MET, met, Saving::Nothing);
        }
        is_new
    }

    /// The last actor as which a peer was met, but for the one that has been heard in this life.
    pub(super) fn met_before(&self, peer: NodeId, heard: Option<Actor>) -> Option<Actor> {
        let met = self.boot.met.get(&peer)?;
        if heard == Some(met.last) { met.before } else { Some(met.last) }
    }

    /// A peer says, for the first time in this life, as which actors it has known this node. One that its disk does not know was
    /// a life that the disk has forgotten: it is an empty one in the place of another, or an old copy of itself. So it
    /// is not the replica that acknowledged what it did in that life.
    pub(super) fn on_known_as(
        &mut self,
        peer: NodeId,
        heard: Option<Actor>,
        before: Option<Actor>,
    ) {
        if !self.healing.is_first_word(peer) || planted::has(Bug::UnnoticedLoss) {
            return;
        }
        let life = self.boot.life;
        let known =
            |actor: &Actor| *actor == life.actor || life.former.actors().any(|f| f == *actor);
        if heard.iter().chain(&before).all(known) {
            return;
        }
        self.count("lives_forgotten");
        let all = (0..self.ring.acting.ring().partitions()).map(Partition);
        self.boot.lost = all.collect();
        let lost = cbor::encode(&self.boot.lost).into();
        self.save(saved::LOST, lost, Saving::Nothing);
        let trees = self.lost_trees();
        self.healing.lose(trees);
    }

    /// Buckets may have become known, and with them trees that were on a disk that is lost.
    pub(super) fn review_lost_trees(&mut self) {
        if self.healing.is_blank() {
            let trees = self.lost_trees();
            self.healing.lose(trees);
        }
    }

    /// The ring may have changed: waits for nobody who has no copy any more.
    pub(super) fn review_healing(&mut self) {
        let Self { healing, ring, boot, .. } = self;
        healing.keep(boot.id, |node, tree| ring.acting.holds(node, tree));
    }

    /// Has a tree of this node lost something?
    pub(super) fn lacks(&self, tree: Tree) -> bool {
        self.healing.lacks(tree)
    }

    /// Partitions of which this node has lost something that it does not have back.
    #[must_use]
    pub fn lost(&self) -> BTreeSet<Partition> {
        self.healing.lost()
    }

    /// An exchange with `peer` is complete: trees may be whole by that.
    pub(super) fn heal(&mut self, peer: NodeId, trees: &[Tree]) {
        let whole = self.healing.alike(peer, trees);
        if whole > 0 {
            self.count_more("trees_healed", whole as u64);
            let lost = cbor::encode(&self.healing.lost()).into();
            self.save(saved::LOST, lost, Saving::Nothing);
        }
    }
}

/// Why a node does not answer for a tree that has lost something.
pub(super) fn lost() -> StoreError {
    StoreError::Corrupt(
        "some of it was lost here, and has not come back from the other owners yet".into(),
    )
}
