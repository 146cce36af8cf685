//! Who stands in for which silent owner: fallbacks clockwise on the ring, each for one owner (DeCandia et al. 2007, section
//! 4.6).

use alloc::collections::{BTreeMap, VecDeque};

use crate::id::NodeId;

/// The fallbacks of one request.
#[derive(Clone, Debug)]
pub struct StandIns {
    /// Not asked yet, clockwise.
    free: VecDeque<NodeId>,
    /// The owner whose place each fallback took. An owner whose fallback was silent too has several.
    owner_of: BTreeMap<NodeId, NodeId>,
}

impl StandIns {
    /// Fallbacks in the order in which they are to be asked.
    #[must_use]
    pub fn new(fallbacks: impl IntoIterator<Item = NodeId>) -> Self {
        Self { free: fallbacks.into_iter().collect(), owner_of: BTreeMap::new() }
    }

    /// These are the ones that are not asked yet, from now on: those who stand in already are left out of them.
    pub fn renew(&mut self, fallbacks: impl IntoIterator<Item = NodeId>) {
        let free = fallbacks.into_iter().filter(|node| !self.owner_of.contains_key(node));
        self.free = free.collect();
    }

    /// All who stand in, with the owners in whose place they do.
    pub fn all(&self) -> impl Iterator<Item = (NodeId, NodeId)> + '_ {
        self.owner_of.iter().map(|(fallback, owner)| (*fallback, *owner))
    }

    /// `fallback` takes `owner`'s place, whatever the order: a node that coordinates a request without owning its key.
    pub fn take(&mut self, fallback: NodeId, owner: NodeId) {
        self.free.retain(|node| *node != fallback);
        self.owner_of.insert(fallback, owner);
    }

    /// The next fallback takes `owner`'s place; `None` if all are taken.
    pub fn next_for(&mut self, owner: NodeId) -> Option<NodeId> {
        let fallback = self.free.pop_front()?;
        self.owner_of.insert(fallback, owner);
        Some(fallback)
    }

    /// In whose place that fallback is; `None` if it is an owner itself, or was not asked.
    #[must_use]
    pub fn owner_of(&self, fallback: NodeId) -> Option<NodeId> {
        self.owner_of.get(&fallback).copied()
    }

    /// Has somebody taken `owner`'s place?
    #[must_use]
    pub fn has(&self, owner: NodeId) -> bool {
        self.owner_of.values().any(|served| *served == owner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fallback_stands_in_once_in_order() {
        let [a, b, x, y, z] = [1, 2, 11, 12, 13].map(NodeId);
        let mut stand_ins = StandIns::new([x, y, z]);
        stand_ins.take(y, a);
        assert_eq!(stand_ins.next_for(b), Some(x));
        assert_eq!(stand_ins.next_for(b), Some(z), "the first was silent too");
        assert_eq!(stand_ins.next_for(a), None);
        assert_eq!(
            [x, y, z, a].map(|node| stand_ins.owner_of(node)),
            [Some(b), Some(a), Some(b), None]
        );
        assert!(stand_ins.has(a) && stand_ins.has(b) && !stand_ins.has(x));
    }
}
