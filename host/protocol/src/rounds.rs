//! Rounds: how an owner comes to know that nothing of a tree is under way any more between the nodes.
//!
//! Exchanges give an owner the marks of the other owners' present actors. Two things they can't tell: how much of an actor
//! that writes no more, or of a node that only stood in, there is to be had; and whether every owner has seen a delete that a
//! folded value can't be cut out of. For both an owner goes through rounds, tree by tree, of two halves:
//!
//! 1. *Clear*: every other member has said, after the half began, which actor it is by now, up to which of its own writes it
//!    has applied them, and that it keeps nothing for anybody. So whatever an actor that nobody is any more has written, and
//!    whatever those who stand in had written until then, is at an owner now, or nowhere.
//! 2. *Exchange*: with every other owner, each begun after the half did. Then all of it is here.
//!
//! So after both halves the marks of those actors rise. That holds also where an owner's disk was lost between a hint's
//! hand-over and the mark: a fallback that had an owner's word for it could not know.
//!
//! A delete that stood here, unchanged, when a round began is known to all owners when its exchanges are done, and what others
//! kept from before is gone when the next clear half is. After one more round the marks cover all that was written without
//! having seen it.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use crate::causality::{Dot, Marks};
use crate::id::{Actor, NodeId};
use crate::ring::Tree;
use crate::time::{Time, Timestamp};

/// The most actors of one tree that wait for their marks. What is above waits for a later round.
const MOST_WANTED: usize = 4_096;

/// What a member has said of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    /// Which actor it is.
    pub(crate) actor: Actor,
    /// All its own writes up to then are applied on its own disk.
    pub(crate) upto: Timestamp,
    /// The last of this node's greetings that it had heard when it said that it keeps nothing.
    pub(crate) heard: u64,
}

/// Where a round stands.
#[derive(Debug)]
enum Half {
    /// Waiting for words that answer this greeting, or a later one. `asked` are actors of which a write had been seen before
    /// it was sent: so whoever is one of them by now says so in such a word.
    Clear { since: u64, asked: BTreeMap<Actor, Timestamp> },
    /// Waiting for exchanges with these owners, begun at this time or later.
    Exchange { since: Time, left: BTreeSet<NodeId>, settled: Vec<(Actor, Timestamp)> },
}

#[derive(Debug)]
struct Round {
    half: Half,
    /// Rounds that were gone through.
    done: u64,
    /// Actors of which the objects here have seen writes that no mark covers, and the latest of them.
    wanted: BTreeMap<Actor, Timestamp>,
}

/// The rounds of all trees that this node owns.
#[derive(Debug, Default)]
pub(crate) struct Rounds {
    trees: BTreeMap<Tree, Round>,
}

impl Rounds {
    /// These are the trees now. `greeting` is the number of the next greeting.
    pub(crate) fn own(&mut self, trees: impl IntoIterator<Item = Tree>, greeting: u64) {
        let trees: BTreeSet<Tree> = trees.into_iter().collect();
        self.trees.retain(|tree, _| trees.contains(tree));
        for tree in trees {
            self.trees.entry(tree).or_insert_with(|| Round {
                half: Half::Clear { since: greeting, asked: BTreeMap::new() },
                done: 0,
                wanted: BTreeMap::new(),
            });
        }
    }

    /// The members have changed, or who owns what: what was gone through by half counts for nothing. `greeting` is the number
    /// of the next greeting.
    pub(crate) fn begin_anew(&mut self, greeting: u64) {
        for round in self.trees.values_mut() {
            let mut asked = core::mem::take(&mut round.wanted);
            if let Half::Clear { asked: before, .. } = &mut round.half {
                asked.append(before);
            }
            // Asked for anew only by a later greeting: whoever it is may not have been it when it last gave its word.
            round.wanted = asked;
            round.half = Half::Clear { since: greeting, asked: BTreeMap::new() };
        }
    }

    /// The trees.
    pub(crate) fn trees(&self) -> impl Iterator<Item = Tree> + '_ {
        self.trees.keys().copied()
    }

    /// How many rounds a tree has gone through since this node's start.
    pub(crate) fn done(&self, tree: Tree) -> u64 {
        self.trees.get(&tree).map_or(0, |round| round.done)
    }

    /// An object of the tree has seen this write, and no mark covers it. Of a conditional one none ever will: whether it is made
    /// may be decided at any time.
    pub(crate) fn want(&mut self, tree: Tree, dot: Dot) {
        if dot.actor.is_conditional() {
            return;
        }
        if let Some(round) = self.trees.get_mut(&tree) {
            let full = round.wanted.len() >= MOST_WANTED;
            if !full || round.wanted.contains_key(&dot.actor) {
                let latest = round.wanted.entry(dot.actor).or_default();
                *latest = dot.time.max(*latest);
            }
        }
    }

    /// An exchange with `peer` that began then is complete.
    pub(crate) fn exchanged(&mut self, peer: NodeId, begun: Time, trees: &[Tree]) {
        for tree in trees {
            if let Some(Round { half: Half::Exchange { since, left, .. }, .. }) =
                self.trees.get_mut(tree)
                && begun >= *since
            {
                left.remove(&peer);
            }
        }
    }

    /// Goes on with every round. `words` are those of the other members who said that they keep nothing, `owners` tells the
    /// other owners of a tree, `greeting` is the number of the next greeting. The marks that have come to be known.
    pub(crate) fn advance(
        &mut self,
        now: Time,
        clock: Timestamp,
        words: &BTreeMap<NodeId, Option<Word>>,
        greeting: u64,
        owners: impl Fn(Tree) -> BTreeSet<NodeId>,
    ) -> Vec<(Tree, Marks)> {
        let heard = words.values().map(|word| word.map_or(0, |word| word.heard)).min();
        let heard = heard.unwrap_or(u64::MAX);
        let mut raised = Vec::new();
        for (tree, round) in &mut self.trees {
            match &mut round.half {
                Half::Clear { since, asked } if heard >= *since => {
                    let left = owners(*tree);
                    let settled = settled(asked, words, &left, clock);
                    round.half = Half::Exchange { since: now, left, settled };
                }
                Half::Exchange { left, settled, .. } if left.is_empty() => {
                    let marks: Marks = core::mem::take(settled).into_iter().collect();
                    if !marks.is_empty() {
                        raised.push((*tree, marks));
                    }
                    round.done += 1;
                    let asked = core::mem::take(&mut round.wanted);
                    round.half = Half::Clear { since: greeting, asked };
                }
                Half::Clear { .. } | Half::Exchange { .. } => {}
            }
        }
        raised
    }

    /// Whom the rounds wait for, and for how many trees.
    pub(crate) fn waits_for(
        &self,
        words: &BTreeMap<NodeId, Option<Word>>,
    ) -> BTreeMap<NodeId, u64> {
        let mut waits: BTreeMap<NodeId, u64> = BTreeMap::new();
        for round in self.trees.values() {
            let silent = |since: u64| {
                let late = words.iter().filter(move |(_, w)| w.is_none_or(|w| w.heard < since));
                late.map(|(node, _)| *node).collect::<Vec<_>>()
            };
            let nodes = match &round.half {
                Half::Clear { since, .. } => silent(*since),
                Half::Exchange { left, .. } => left.iter().copied().collect(),
            };
            for node in nodes {
                *waits.entry(node).or_default() += 1;
            }
        }
        waits
    }
}

/// How far the marks of the actors that are wanted will rise, once there was an exchange with all `owners`. Not those of the
/// present actors of owners: exchanges tell them.
fn settled(
    asked: &BTreeMap<Actor, Timestamp>,
    words: &BTreeMap<NodeId, Option<Word>>,
    owners: &BTreeSet<NodeId>,
    clock: Timestamp,
) -> Vec<(Actor, Timestamp)> {
    let present = |actor: Actor| {
        words.iter().find_map(|(node, word)| {
            word.filter(|word| word.actor == actor).map(|word| (*node, word.upto))
        })
    };
    let settle = |(actor, latest): (&Actor, &Timestamp)| match present(*actor) {
        Some((node, _)) if owners.contains(&node) => None,
        Some((_, upto)) => (upto > Timestamp(0)).then_some((*actor, upto)),
        // It writes no more, and what it wrote is not later than this node's clock, which has seen it.
        None => Some((*actor, (*latest).max(clock))),
    };
    asked.iter().filter_map(settle).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::Partition;

    const TREE: Tree = Tree { partition: Partition(1), copies: 2 };
    const OWNER: NodeId = NodeId(1);
    const OTHER: NodeId = NodeId(2);

    fn word(actor: u64, heard: u64) -> Option<Word> {
        Some(Word { actor: Actor(actor), upto: Timestamp(70), heard })
    }

    fn advance(
        rounds: &mut Rounds,
        now: u64,
        words: [Option<Word>; 2],
        greeting: u64,
    ) -> Vec<(Tree, Marks)> {
        let words = BTreeMap::from([(OWNER, words[0]), (OTHER, words[1])]);
        let owners = |_| BTreeSet::from([OWNER]);
        rounds.advance(Time(now), Timestamp(90), &words, greeting, owners)
    }

    #[test]
    fn a_mark_rises_after_words_of_all_and_exchanges_that_began_after_them() {
        let mut rounds = Rounds::default();
        rounds.own([TREE], 1);
        assert!(advance(&mut rounds, 0, [word(11, 1), word(12, 1)], 2).is_empty());
        rounds.exchanged(OWNER, Time(0), &[TREE]);
        for actor in [11, 12, 13, 14] {
            rounds.want(TREE, Dot { actor: Actor(actor), time: Timestamp(actor) });
        }
        assert!(advance(&mut rounds, 0, [word(11, 1), word(12, 1)], 5).is_empty());
        assert!(advance(&mut rounds, 1, [word(11, 5), word(12, 4)], 6).is_empty());
        rounds.exchanged(OWNER, Time(1), &[TREE]);
        assert!(advance(&mut rounds, 2, [word(11, 5), None], 6).is_empty());
        assert!(advance(&mut rounds, 3, [word(11, 6), word(12, 5)], 7).is_empty());
        rounds.exchanged(OWNER, Time(2), &[TREE]);
        assert!(advance(&mut rounds, 4, [word(11, 6), word(12, 5)], 7).is_empty(), "begun before");
        // Seen too late: whoever it is may not have been it when it gave its word.
        rounds.want(TREE, Dot { actor: Actor(15), time: Timestamp(15) });
        rounds.exchanged(OWNER, Time(3), &[TREE]);
        let raised = advance(&mut rounds, 5, [word(11, 6), word(12, 5)], 7);
        let expected = [(12, 70), (13, 90), (14, 90)].map(|(a, t)| (Actor(a), Timestamp(t)));
        assert_eq!(raised, [(TREE, expected.into_iter().collect())]);
        assert_eq!(rounds.done(TREE), 2);
        let silent = BTreeMap::from([(OWNER, word(11, 7)), (OTHER, word(12, 6))]);
        assert_eq!(rounds.waits_for(&silent), BTreeMap::from([(OTHER, 1)]));
    }
}
