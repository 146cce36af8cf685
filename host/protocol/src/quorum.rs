//! A quorum as a value: add results, ask whether they suffice.
//!
//! A strict quorum counts owners only. A sloppy one admits fallbacks that stand in for owners: W different nodes have to
//! succeed, whoever they are.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use crate::id::NodeId;
use crate::planted::{self, Bug};

/// What the results so far amount to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Not enough yet.
    Pending,
    /// Enough have succeeded.
    Reached,
    /// So many have failed that enough can't succeed any more.
    Impossible,
}

/// Results of the owners of one key, and of the fallbacks that were admitted, of whom a number has to succeed.
#[derive(Clone, Debug)]
pub struct Tally {
    needed: usize,
    waiting: BTreeSet<NodeId>,
    succeeded: BTreeSet<NodeId>,
    failed: BTreeSet<NodeId>,
}

impl Tally {
    /// A tally over `owners`, of whom `needed` have to succeed.
    #[must_use]
    pub fn new(owners: impl IntoIterator<Item = NodeId>, needed: u8) -> Self {
        Self {
            needed: usize::from(needed),
            waiting: owners.into_iter().collect(),
            succeeded: BTreeSet::new(),
            failed: BTreeSet::new(),
        }
    }

    /// Counts a fallback from now on.
    pub fn admit(&mut self, node: NodeId) {
        if !self.succeeded.contains(&node) && !self.failed.contains(&node) {
            self.waiting.insert(node);
        }
    }

    /// `node` succeeded. A result of a node that does not count, or that has one already, changes nothing.
    pub fn success(&mut self, node: NodeId) -> Verdict {
        if self.waiting.remove(&node) {
            self.succeeded.insert(node);
        }
        self.verdict()
    }

    /// `node` failed.
    pub fn failure(&mut self, node: NodeId) -> Verdict {
        if self.waiting.remove(&node) {
            self.failed.insert(node);
        }
        self.verdict()
    }

    /// What the results so far amount to.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        if self.succeeded.len() >= self.needed {
            Verdict::Reached
        } else if self.succeeded.len() + self.waiting.len() < self.needed {
            Verdict::Impossible
        } else {
            Verdict::Pending
        }
    }

    /// How many have to succeed.
    #[must_use]
    pub fn needed(&self) -> usize {
        self.needed
    }

    /// How many have succeeded.
    #[must_use]
    pub fn succeeded(&self) -> usize {
        self.succeeded.len()
    }

    /// Nodes without a result.
    pub fn waiting(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.waiting.iter().copied()
    }
}

/// Results of which each of several sets of owners needs enough: while the ring changes, the old owners and the new ones.
#[derive(Clone, Debug)]
pub struct Joint {
    sets: Vec<(BTreeSet<NodeId>, Tally)>,
}

impl Joint {
    /// Of each set so many have to succeed.
    #[must_use]
    pub fn new(sets: &[Vec<NodeId>], needed: u8) -> Self {
        Self::of(sets, |_| needed)
    }

    /// Of each set a majority has to succeed, or `least` if that is more.
    #[must_use]
    pub fn majorities(sets: &[Vec<NodeId>], least: u8) -> Self {
        let more = usize::from(!planted::has(Bug::HalfIsMajority));
        let majority = |owners: usize| u8::try_from((owners / 2 + more).max(1)).unwrap_or(u8::MAX);
        Self::of(sets, |owners| majority(owners).max(least))
    }

    fn of(sets: &[Vec<NodeId>], needed: impl Fn(usize) -> u8) -> Self {
        let sets = sets.iter().map(|owners| {
            let tally = Tally::new(owners.iter().copied(), needed(owners.len()));
            (owners.iter().copied().collect(), tally)
        });
        Self { sets: sets.collect() }
    }

    /// Counts a fallback in the place of an owner from now on.
    pub fn admit(&mut self, fallback: NodeId, owner: NodeId) {
        let sets = self.sets.iter_mut().filter(|(owners, _)| owners.contains(&owner));
        sets.for_each(|(_, tally)| tally.admit(fallback));
    }

    /// `node` succeeded.
    pub fn success(&mut self, node: NodeId) -> Verdict {
        self.sets.iter_mut().for_each(|(_, tally)| _ = tally.success(node));
        self.verdict()
    }

    /// `node` failed.
    pub fn failure(&mut self, node: NodeId) -> Verdict {
        self.sets.iter_mut().for_each(|(_, tally)| _ = tally.failure(node));
        self.verdict()
    }

    /// What the results so far amount to.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let verdicts: Vec<Verdict> = self.sets.iter().map(|(_, tally)| tally.verdict()).collect();
        if verdicts.contains(&Verdict::Impossible) {
            Verdict::Impossible
        } else if verdicts.contains(&Verdict::Pending) {
            Verdict::Pending
        } else {
            Verdict::Reached
        }
    }

    /// How many have to succeed, of the set that needs most.
    #[must_use]
    pub fn needed(&self) -> usize {
        self.sets.iter().map(|(_, tally)| tally.needed()).max().unwrap_or_default()
    }

    /// How many have succeeded, of the set that has least.
    #[must_use]
    pub fn succeeded(&self) -> usize {
        self.sets.iter().map(|(_, tally)| tally.succeeded()).min().unwrap_or_default()
    }

    /// How many of the nodes that `counts` says have succeeded, of the set that has least of them.
    #[must_use]
    pub fn least(&self, counts: impl Fn(NodeId) -> bool) -> usize {
        let succeeded = |tally: &Tally| tally.succeeded.iter().filter(|n| counts(**n)).count();
        self.sets.iter().map(|(_, tally)| succeeded(tally)).min().unwrap_or_default()
    }

    /// Nodes without a result, each once.
    #[must_use]
    pub fn waiting(&self) -> Vec<NodeId> {
        let mut waiting: Vec<NodeId> = Vec::new();
        for node in self.sets.iter().flat_map(|(_, tally)| tally.waiting()) {
            if !waiting.contains(&node) {
                waiting.push(node);
            }
        }
        waiting
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes() -> Vec<NodeId> {
        [1, 2, 3].map(NodeId).to_vec()
    }

    #[test]
    fn it_is_reached_by_enough_different_owners() {
        let mut tally = Tally::new(nodes(), 2);
        assert_eq!(tally.success(NodeId(1)), Verdict::Pending);
        assert_eq!(tally.success(NodeId(1)), Verdict::Pending, "a second answer of the same node");
        assert_eq!(tally.success(NodeId(9)), Verdict::Pending, "a node that is no owner");
        assert_eq!(tally.success(NodeId(2)), Verdict::Reached);
        assert_eq!(tally.failure(NodeId(2)), Verdict::Reached, "what succeeded stays");
    }

    #[test]
    fn a_fallback_counts_once_it_is_admitted() {
        let mut tally = Tally::new(nodes(), 2);
        assert_eq!(tally.success(NodeId(9)), Verdict::Pending, "strict: only owners count");
        tally.admit(NodeId(9));
        assert_eq!(tally.success(NodeId(1)), Verdict::Pending);
        assert_eq!(tally.success(NodeId(9)), Verdict::Reached);
        let mut tally = Tally::new(nodes(), 2);
        tally.failure(NodeId(1));
        tally.admit(NodeId(1));
        assert_eq!(
            tally.failure(NodeId(2)),
            Verdict::Impossible,
            "who failed is not admitted again"
        );
    }

    #[test]
    fn both_sets_need_enough_and_a_fallback_counts_where_its_owner_does() {
        let sets = [[1, 2, 3].map(NodeId).to_vec(), [2, 3, 4].map(NodeId).to_vec()];
        let mut joint = Joint::new(&sets, 2);
        assert_eq!(joint.success(NodeId(1)), Verdict::Pending);
        assert_eq!(joint.success(NodeId(2)), Verdict::Pending, "one of the new ones");
        assert_eq!((joint.succeeded(), joint.needed()), (1, 2));
        joint.admit(NodeId(9), NodeId(1));
        assert_eq!(joint.success(NodeId(9)), Verdict::Pending, "in the place of an old one");
        joint.admit(NodeId(8), NodeId(4));
        assert_eq!(joint.success(NodeId(8)), Verdict::Reached);
        let mut joint = Joint::majorities(&sets, 1);
        joint.failure(NodeId(4));
        assert_eq!(joint.failure(NodeId(3)), Verdict::Impossible, "of the new ones");
        assert_eq!(joint.waiting(), [1, 2].map(NodeId));
    }

    #[test]
    fn it_is_impossible_once_too_many_failed() {
        let mut tally = Tally::new(nodes(), 2);
        assert_eq!(tally.failure(NodeId(1)), Verdict::Pending);
        assert_eq!(tally.failure(NodeId(3)), Verdict::Impossible);
        assert_eq!(tally.success(NodeId(3)), Verdict::Impossible, "a failure is final");
    }

    /// Every order of every outcome of three owners: the verdict depends only on the numbers.
    #[test]
    fn exhaustively_the_verdict_is_that_of_the_numbers() {
        for needed in 1..=3u8 {
            for outcomes in 0..27u32 {
                let mut tally = Tally::new(nodes(), needed);
                let (mut yes, mut no) = (0, 0);
                for (i, node) in nodes().into_iter().enumerate() {
                    match outcomes / 3u32.pow(u32::try_from(i).unwrap()) % 3 {
                        0 => {}
                        1 => {
                            yes += 1;
                            tally.success(node);
                        }
                        _ => {
                            no += 1;
                            tally.failure(node);
                        }
                    }
                }
                let expected = if yes >= needed {
                    Verdict::Reached
                } else if 3 - no < needed {
                    Verdict::Impossible
                } else {
                    Verdict::Pending
                };
                assert_eq!(tally.verdict(), expected);
            }
        }
    }
}
