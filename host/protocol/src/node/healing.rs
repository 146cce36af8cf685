//! The node's part in healing: which of its trees have lost something, and what it does not answer for until they are whole.

use alloc::collections::BTreeSet;

use super::{Node, Saving};
use crate::cbor;
use crate::healing::Healing;
use crate::id::NodeId;
use crate::io::saved;
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
