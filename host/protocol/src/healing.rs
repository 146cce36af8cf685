//! Partitions of which this node's disk has lost something: what it must not say until it has it back.
//!
//! A replica that has lost a write which it had acknowledged is worse than one that is away: with R + W > N, a read counts on
//! each owner that acknowledged to remember. So of a tree that has lost something it answers nobody, and promises nothing in
//! ballots, but takes in whatever comes; and it is whole again once it has exchanged the tree with all its other owners, since
//! whatever is to be had then is here.

use alloc::collections::{BTreeMap, BTreeSet};

use crate::id::NodeId;
use crate::ring::{Partition, Tree};

/// The trees that have lost something, and with whom they have to be compared yet.
#[derive(Debug, Default)]
pub(crate) struct Healing {
    waits: BTreeMap<Tree, BTreeSet<NodeId>>,
    /// Who has said by now what it knows of this node's lives.
    known: BTreeSet<NodeId>,
    /// A whole disk was lost, and it is not known yet which trees were on it.
    blank: bool,
}

impl Healing {
    /// `trees` with their other owners. One that nobody else owns is as whole as it will ever be.
    pub(crate) fn new(trees: impl Iterator<Item = (Tree, BTreeSet<NodeId>)>) -> Self {
        let waits = trees.filter(|(_, others)| !others.is_empty()).collect();
        Self { waits, known: BTreeSet::new(), blank: false }
    }

    /// Is this the first word of a peer on this node's lives?
    pub(crate) fn is_first_word(&mut self, peer: NodeId) -> bool {
        self.known.insert(peer)
    }

    /// All of `trees` are lost, and so are those that are heard of before these are whole.
    pub(crate) fn lose(&mut self, trees: Self) {
        self.blank = true;
        self.waits.extend(trees.waits);
    }

    /// Is a whole disk lost, and nothing whole yet?
    pub(crate) fn is_blank(&self) -> bool {
        self.blank
    }

    /// Is nothing lost?
    pub(crate) fn is_over(&self) -> bool {
        self.waits.is_empty()
    }

    /// Has this tree lost something?
    pub(crate) fn lacks(&self, tree: Tree) -> bool {
        self.waits.contains_key(&tree)
    }

    /// This node and `peer` are alike in these trees. How many of them are whole by that.
    pub(crate) fn alike(&mut self, peer: NodeId, trees: &[Tree]) -> usize {
        let before = self.waits.len();
        for tree in trees {
            if let Some(others) = self.waits.get_mut(tree) {
                others.remove(&peer);
                if others.is_empty() {
                    self.waits.remove(tree);
                }
            }
        }
        let whole = before - self.waits.len();
        self.blank &= whole == 0 || !self.is_over();
        whole
    }

    /// Only those hold copies any more of whom `holds` says so; `me` is this node.
    pub(crate) fn keep(&mut self, me: NodeId, holds: impl Fn(NodeId, Tree) -> bool) {
        self.waits.retain(|tree, others| {
            others.retain(|other| holds(*other, *tree));
            holds(me, *tree) && !others.is_empty()
        });
    }

    /// Who has to be compared with.
    pub(crate) fn waits_for(&self) -> BTreeSet<NodeId> {
        self.waits.values().flatten().copied().collect()
    }

    /// The partitions that have lost something.
    pub(crate) fn lost(&self) -> BTreeSet<Partition> {
        self.waits.keys().map(|tree| tree.partition).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_whole_once_it_is_alike_at_all_its_owners() {
        let tree = |n| Tree { partition: Partition(n), copies: 3 };
        let [a, b] = [NodeId(1), NodeId(2)];
        let trees = [(tree(1), [a, b].into()), (tree(2), [a].into()), (tree(3), BTreeSet::new())];
        let mut healing = Healing::new(trees.into_iter());
        assert!(healing.lacks(tree(1)) && !healing.lacks(tree(3)), "nobody else has it");
        assert_eq!(healing.alike(a, &[tree(1), tree(2)]), 1);
        assert_eq!((healing.lost(), healing.waits_for()), ([Partition(1)].into(), [b].into()));
        assert_eq!(healing.alike(a, &[tree(1)]), 0);
        assert_eq!(healing.alike(b, &[tree(1)]), 1);
        assert!(healing.is_over());
        let mut healing =
            Healing::new([(tree(1), [a, b].into()), (tree(2), [b].into())].into_iter());
        healing.keep(NodeId(3), |node, at| node != b || at == tree(1));
        assert_eq!((healing.lost(), healing.waits_for().len()), ([Partition(1)].into(), 2));
    }
}
