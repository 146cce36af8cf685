//! The ring's record: who owns what by now, and, while that changes, who did and who will.
//!
//! A record is a value with a version, and each next version is decided by one vote (`coordinator::vote`) whose voters are the
//! members of the one before. So there is one sequence of records, two operators who commit at once can't both win, and a
//! minority can't change anything; it goes on serving by the record that it knows. A node takes a record only with a greater
//! version, and answers nothing that was asked by another one.
//!
//! A change goes through two phases, so that at any two neighbouring versions whatever is read by the one meets what is written
//! by the other (joint consensus: Ongaro 2014, section 4.3; SMART: Lorch et al. 2006):
//!
//! | record | reads ask | writes reach a quorum of |
//! | --- | --- | --- |
//! | stable | the owners | the owners |
//! | copying | the old owners | the old owners, and the new ones |
//! | handing over | the new owners | the old owners, and the new ones |
//! | stable | the new owners | the new owners |
//!
//! From copying it may go back: then it is stable by the old layout again.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::causality::Ballot;
use crate::id::NodeId;
use crate::layout::{Layout, Member};
use crate::ring::{Partition, Ring, Tree};

/// How far a change has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// New owners get their copies, and are not read from.
    Copying,
    /// All new owners have theirs: they are read from, and old ones are still written to.
    Handing,
}

/// Who owns what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Nothing changes.
    Stable {
        /// The layout.
        layout: Layout,
        /// Nodes that own nothing any more, and have not dropped all that they held.
        leaving: Vec<Member>,
    },
    /// A change is in progress.
    Changing {
        /// The layout before.
        old: Layout,
        /// The layout to come.
        new: Layout,
        /// Members of the old layout that nobody waits for: they are lost.
        gone: Vec<NodeId>,
        /// How far it has come.
        phase: Phase,
    },
}

/// The record of the ring as of one version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The version: a later record has a greater one.
    pub version: u64,
    /// The number of changes that were committed. What was staged is meant for one number, and void after it.
    pub change: u64,
    /// Who owns what.
    pub state: State,
}

/// What a node keeps of the ring, durable before it acts by it or answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The latest record that it knows.
    pub record: Record,
    /// In the vote on the next record: it accepts nothing before this ballot.
    #[serde(default)]
    pub promised: Option<Ballot>,
    /// In the vote on the next record: what it has accepted, and under which ballot.
    #[serde(default)]
    pub accepted: Option<(Ballot, Record)>,
    /// Of which old owners it has copied all of a tree, as a new owner by this record.
    #[serde(default)]
    pub copied: BTreeSet<(Tree, NodeId)>,
    /// Trees that it does not own any more, and still holds something of.
    #[serde(default)]
    pub dropping: BTreeSet<Tree>,
}

impl Kept {
    /// What a node starts with that knows a record and nothing else.
    #[must_use]
    pub fn new(record: Record) -> Self {
        let (copied, dropping) = (BTreeSet::new(), BTreeSet::new());
        Self { record, promised: None, accepted: None, copied, dropping }
    }

    /// Takes a record, if it is a later one: trees that `node` owned and does not own by it are to be dropped. Says whether it
    /// was later.
    pub fn take(&mut self, node: NodeId, record: Record) -> bool {
        if record.version <= self.record.version {
            return false;
        }
        let before = self.record.trees().filter(|tree| self.record.owns(node, *tree));
        self.dropping.extend(before);
        self.dropping.retain(|tree| !record.owns(node, *tree));
        let dropping = core::mem::take(&mut self.dropping);
        *self = Self { dropping, ..Self::new(record) };
        true
    }
}

impl Record {
    /// The record of a cluster that is founded with this layout.
    #[must_use]
    pub fn founding(layout: Layout) -> Self {
        let version = layout.version();
        Self { version, change: 0, state: State::Stable { layout, leaving: Vec::new() } }
    }

    /// The layout that clients are told, and reads go by, under the version of the record.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        match &self.state {
            State::Stable { layout, .. } => layout,
            State::Changing { old, phase: Phase::Copying, .. } => old,
            State::Changing { new, phase: Phase::Handing, .. } => new,
        }
    }

    /// The layouts in force: one, or while it changes the old one and the new one.
    fn layouts(&self) -> Vec<&Layout> {
        match &self.state {
            State::Stable { layout, .. } => vec![layout],
            State::Changing { old, new, .. } => vec![old, new],
        }
    }

    /// The ring.
    #[must_use]
    pub fn ring(&self) -> Ring {
        self.layout().ring()
    }

    /// Copies that can be kept of every key.
    #[must_use]
    pub fn copies(&self) -> u8 {
        self.layouts().iter().map(|layout| layout.copies()).min().unwrap_or(1)
    }

    /// Does the ring change at present?
    #[must_use]
    pub fn is_changing(&self) -> bool {
        matches!(self.state, State::Changing { .. })
    }

    /// How far a change has come; none if the ring does not change.
    #[must_use]
    pub fn phase(&self) -> Option<Phase> {
        match &self.state {
            State::Stable { .. } => None,
            State::Changing { phase, .. } => Some(*phase),
        }
    }

    /// All who take part, by identity: members of the layouts in force, and those that leave.
    #[must_use]
    pub fn members(&self) -> BTreeMap<NodeId, &Member> {
        let leaving = match &self.state {
            State::Stable { leaving, .. } => leaving.as_slice(),
            State::Changing { .. } => &[],
        };
        let all = self.layouts().into_iter().flat_map(Layout::members).chain(leaving);
        all.map(|member| (member.id, member)).collect()
    }

    /// Those who take part and are waited for.
    #[must_use]
    pub fn present(&self) -> BTreeSet<NodeId> {
        let mut present: BTreeSet<NodeId> = self.members().into_keys().collect();
        present.retain(|node| !self.is_gone(*node));
        present
    }

    /// Is that member lost, and not waited for?
    #[must_use]
    pub fn is_gone(&self, node: NodeId) -> bool {
        matches!(&self.state, State::Changing { gone, .. } if gone.contains(&node))
    }

    /// Who votes on the next record: a majority of each of these has to agree.
    #[must_use]
    pub fn voters(&self) -> Vec<Vec<NodeId>> {
        let members = |layout: &Layout| layout.members().iter().map(|m| m.id).collect();
        self.layouts().into_iter().map(members).collect()
    }

    /// The owners that reads ask, and that coordinate, in order of preference.
    #[must_use]
    pub fn readers(&self, tree: Tree) -> Vec<NodeId> {
        self.layout().owners(tree.partition, tree.copies).collect()
    }

    /// The owners of a tree: writes have to reach a quorum of each of these sets.
    #[must_use]
    pub fn write_sets(&self, tree: Tree) -> Vec<Vec<NodeId>> {
        let owners = |layout: &Layout| layout.owners(tree.partition, tree.copies).collect();
        let mut sets: Vec<Vec<NodeId>> = self.layouts().into_iter().map(owners).collect();
        if let [old, new] = sets.as_slice()
            && old.len() == new.len()
            && old.iter().all(|owner| new.contains(owner))
        {
            sets.truncate(1);
        }
        sets
    }

    /// All who own a tree, each once: those that reads ask first.
    #[must_use]
    pub fn owners(&self, tree: Tree) -> Vec<NodeId> {
        let mut owners = self.readers(tree);
        for owner in self.write_sets(tree).into_iter().flatten() {
            if !owners.contains(&owner) {
                owners.push(owner);
            }
        }
        owners
    }

    /// Does a node own a tree?
    #[must_use]
    pub fn owns(&self, node: NodeId, tree: Tree) -> bool {
        let owns = |layout: &Layout| layout.owners(tree.partition, tree.copies).any(|o| o == node);
        self.layouts().into_iter().any(owns)
    }

    /// Does a node own a tree, with a copy that can be read from?
    #[must_use]
    pub fn holds(&self, node: NodeId, tree: Tree) -> bool {
        match &self.state {
            State::Changing { old, phase: Phase::Copying, .. } => {
                old.owners(tree.partition, tree.copies).any(|owner| owner == node)
            }
            State::Stable { .. } | State::Changing { phase: Phase::Handing, .. } => {
                self.owns(node, tree)
            }
        }
    }

    /// The old owners that a new owner copies a tree from: all that are not lost.
    #[must_use]
    pub fn sources(&self, node: NodeId, tree: Tree) -> Vec<NodeId> {
        match &self.state {
            State::Changing { old, phase: Phase::Copying, .. } if self.owns(node, tree) => {
                let owners: Vec<NodeId> = old.owners(tree.partition, tree.copies).collect();
                if owners.contains(&node) {
                    return Vec::new();
                }
                owners.into_iter().filter(|owner| !self.is_gone(*owner)).collect()
            }
            State::Changing { .. } | State::Stable { .. } => Vec::new(),
        }
    }

    /// Those who may stand in for the owners of a tree, in order.
    #[must_use]
    pub fn fallbacks(&self, tree: Tree) -> Vec<NodeId> {
        let owners = self.owners(tree);
        let fallbacks = self.layout().fallbacks(tree.partition, tree.copies);
        fallbacks.filter(|node| !owners.contains(node)).collect()
    }

    /// All trees that there can be.
    pub fn trees(&self) -> impl Iterator<Item = Tree> + '_ {
        let most = self.layouts().iter().map(|layout| layout.copies()).max().unwrap_or(1);
        let partitions = (0..self.ring().partitions()).map(Partition);
        partitions
            .flat_map(move |partition| (1..=most).map(move |copies| Tree { partition, copies }))
    }

    // What comes next

    fn next(&self, change: u64, state: State) -> Self {
        Self { version: self.version + 1, change, state }
    }

    /// The record with which a change begins; none while another one is in progress.
    #[must_use]
    pub fn begun(&self, new: Layout, gone: Vec<NodeId>) -> Option<Self> {
        let State::Stable { layout, .. } = &self.state else {
            return None;
        };
        let (old, phase) = (layout.clone(), Phase::Copying);
        Some(self.next(self.change + 1, State::Changing { old, new, gone, phase }))
    }

    /// The record by which a change is taken back; none once new owners are read from, or without one.
    #[must_use]
    pub fn aborted(&self) -> Option<Self> {
        let State::Changing { old, new, phase: Phase::Copying, .. } = &self.state else {
            return None;
        };
        let leaving = left_out(new, old, &[]);
        Some(self.next(self.change, State::Stable { layout: old.clone(), leaving }))
    }

    /// The record that comes next by itself once everybody is ready for it; none if nothing is to come.
    #[must_use]
    pub fn following(&self) -> Option<Self> {
        let state = match &self.state {
            State::Changing { old, new, gone, phase: Phase::Copying } => State::Changing {
                old: old.clone(),
                new: new.clone(),
                gone: gone.clone(),
                phase: Phase::Handing,
            },
            State::Changing { old, new, gone, phase: Phase::Handing } => {
                State::Stable { layout: new.clone(), leaving: left_out(old, new, gone) }
            }
            State::Stable { leaving, .. } if leaving.is_empty() => return None,
            State::Stable { layout, .. } => {
                State::Stable { layout: layout.clone(), leaving: Vec::new() }
            }
        };
        Some(self.next(self.change, state))
    }
}

/// Members of `before` that are not in `after`, but for those that are lost.
fn left_out(before: &Layout, after: &Layout, gone: &[NodeId]) -> Vec<Member> {
    let left = before.members().iter().filter(|m| after.member(m.id).is_none());
    left.filter(|m| !gone.contains(&m.id)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    fn layout(members: &[u64]) -> Layout {
        let member = |n: &u64| Member {
            id: NodeId(*n),
            name: format!("n{n}"),
            address: format!("127.0.0.1:{n}"),
            zone: "z".into(),
            capacity: 1,
        };
        let ring = Ring::new(8).unwrap();
        Layout::compute(members.iter().map(member).collect(), ring, 2, None).unwrap()
    }

    const NODES: [u64; 4] = [1, 2, 3, 4];

    /// Of each two neighbouring records, every read of the one meets every write of the other.
    #[test]
    fn reads_and_writes_of_neighbouring_records_meet() {
        let stable = Record::founding(layout(&[1, 2, 3]));
        let copying = stable.begun(layout(&[2, 3, 4]), Vec::new()).unwrap();
        let handing = copying.following().unwrap();
        let after = handing.following().unwrap();
        let back = copying.aborted().unwrap();
        let pairs =
            [(&stable, &copying), (&copying, &handing), (&handing, &after), (&copying, &back)];
        for (a, b) in pairs {
            assert_eq!(a.version + 1, b.version);
            for tree in a.trees() {
                assert!(a.write_sets(tree).contains(&b.readers(tree)), "{tree:?}");
                assert!(b.write_sets(tree).contains(&a.readers(tree)), "{tree:?}");
            }
        }
        assert_eq!(after.change, 1);
        let State::Stable { leaving, .. } = &after.state else { panic!("{after:?}") };
        assert_eq!(leaving.iter().map(|m| m.id).collect::<Vec<_>>(), [NodeId(1)]);
        let State::Stable { leaving, .. } = &back.state else { panic!("{back:?}") };
        assert_eq!(leaving.iter().map(|m| m.id).collect::<Vec<_>>(), [NodeId(4)]);
        assert_eq!(after.members().len(), 4);
        assert_eq!(after.following().unwrap().members().len(), 3);
        assert!(handing.aborted().is_none() && handing.begun(layout(&[1]), Vec::new()).is_none());
    }

    #[test]
    fn a_new_owner_copies_from_all_old_ones_that_are_not_lost() {
        let stable = Record::founding(layout(&[1, 2, 3]));
        let copying = stable.begun(layout(&[2, 3, 4]), vec![NodeId(1)]).unwrap();
        assert_eq!(copying.voters(), [[1, 2, 3].map(NodeId), [2, 3, 4].map(NodeId)]);
        assert_eq!(copying.present(), [2, 3, 4].map(NodeId).into());
        let mut moved = 0;
        for tree in copying.trees() {
            let sources = copying.sources(NodeId(4), tree);
            assert_eq!(sources.is_empty(), !copying.owns(NodeId(4), tree) || sources.is_empty());
            assert!(!sources.contains(&NodeId(1)));
            moved += usize::from(!sources.is_empty());
            assert!(!copying.holds(NodeId(4), tree));
            for node in NODES.map(NodeId) {
                assert_eq!(copying.owners(tree).contains(&node), copying.owns(node, tree));
            }
        }
        assert!(moved > 0);
    }
}
