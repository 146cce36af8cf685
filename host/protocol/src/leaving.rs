//! Leaving: how a node drops what it does not own any more, tree by tree.
//!
//! First its marks of the tree go, durably: of all that is dropped after that, also of a hint that is handed over, they would
//! claim that it was here and is replaced, and so kill it elsewhere. A hint that is handed over before that stays, as if it were
//! owned. Then the node gives each owner all that it holds, so that a
//! write that only it took is not lost. Then the keys go, page by page, but for those that it keeps for an owner; and a tree is
//! done after a pass that finds none.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use crate::id::{BucketName, Key, NodeId};
use crate::ring::Tree;
use crate::survey::Survey;
use crate::time::{Duration, Time};

/// How long it waits after something failed.
const PAUSE: Duration = Duration::from_millis(200);

/// What is to be done next.
#[derive(Debug)]
pub(crate) enum Order {
    /// Forget the marks of a tree, durably.
    Forget(Tree),
    /// Look for keys of a tree.
    Look(Survey),
    /// Drop these keys.
    Drop(Vec<Key>),
    /// Nothing is left of the tree.
    Done(Tree),
}

/// Where the tree stands that is being dropped.
#[derive(Debug)]
enum Stage {
    Idle,
    Forgetting(Tree),
    /// A page is being looked for.
    Looking {
        tree: Tree,
        found: bool,
    },
    /// So many keys of a page are being dropped; the next page begins after this key, if there is one.
    Dropping {
        tree: Tree,
        left: usize,
        upto: Option<Key>,
        found: bool,
    },
    /// A pass begins then.
    Waiting {
        tree: Tree,
        until: Time,
    },
}

/// What a node still has to drop.
#[derive(Debug)]
pub(crate) struct Leaving {
    /// Trees of which it has no marks any more.
    forgotten: BTreeSet<Tree>,
    /// Which owners have been given all of which trees.
    given: BTreeSet<(Tree, NodeId)>,
    stage: Stage,
    /// Marks that could not be forgotten are not tried again before.
    after: Time,
}

impl Default for Leaving {
    fn default() -> Self {
        Self {
            forgotten: BTreeSet::new(),
            given: BTreeSet::new(),
            stage: Stage::Idle,
            after: Time(0),
        }
    }
}

impl Leaving {
    /// An owner has all that this node holds of a tree.
    pub(crate) fn given(&mut self, tree: Tree, owner: NodeId) {
        self.given.insert((tree, owner));
    }

    /// May this node have marks of a tree that it is to drop?
    pub(crate) fn may_have_marks(&self, tree: Tree) -> bool {
        !self.forgotten.contains(&tree)
    }

    /// The next exchange that is wanted: of a tree with one of its owners. `turn` says with which one to begin.
    pub(crate) fn wanted(
        &self,
        turn: usize,
        dropping: &BTreeSet<Tree>,
        owners: impl Fn(Tree) -> Vec<NodeId>,
        is_near: impl Fn(NodeId) -> bool,
    ) -> Option<(Tree, NodeId)> {
        let ready = dropping.iter().filter(|tree| self.forgotten.contains(tree));
        let open = ready.flat_map(|tree| {
            owners(*tree).into_iter().map(|owner| (*tree, owner)).collect::<Vec<_>>()
        });
        let open = open.filter(|pair| !self.given.contains(pair) && is_near(pair.1));
        let open: Vec<_> = open.collect();
        open.get(turn.checked_rem(open.len())?).copied()
    }

    /// When to go on, if nothing else happens before.
    pub(crate) fn wake(&self) -> Time {
        if let Stage::Waiting { until, .. } = self.stage { until } else { Time(u64::MAX) }
    }

    /// Begins with a tree whose marks are to be forgotten, or that all owners have been given, or goes on with the one that is
    /// being dropped. `is_quiet`: is nothing of the tree with the store?
    pub(crate) fn advance(
        &mut self,
        now: Time,
        dropping: &BTreeSet<Tree>,
        owners: impl Fn(Tree) -> Vec<NodeId>,
        is_quiet: impl Fn(Tree) -> bool,
        buckets: &BTreeMap<u8, Vec<BucketName>>,
    ) -> Option<Order> {
        match self.stage {
            Stage::Idle if now < self.after => None,
            Stage::Idle => {
                let marked = |tree: &&Tree| !self.forgotten.contains(*tree) && is_quiet(**tree);
                if let Some(tree) = dropping.iter().find(marked).copied() {
                    self.stage = Stage::Forgetting(tree);
                    return Some(Order::Forget(tree));
                }
                let all_have = |tree: &&Tree| {
                    let mut owners = owners(**tree).into_iter();
                    let all = owners.all(|owner| self.given.contains(&(**tree, owner)));
                    all && self.forgotten.contains(*tree) && is_quiet(**tree)
                };
                let tree = dropping.iter().find(all_have).copied()?;
                Some(self.look(tree, None, false, buckets))
            }
            Stage::Waiting { tree, until } if until <= now => {
                Some(self.look(tree, None, false, buckets))
            }
            Stage::Waiting { .. }
            | Stage::Forgetting(_)
            | Stage::Looking { .. }
            | Stage::Dropping { .. } => None,
        }
    }

    fn look(
        &mut self,
        tree: Tree,
        after: Option<Key>,
        found: bool,
        buckets: &BTreeMap<u8, Vec<BucketName>>,
    ) -> Order {
        self.stage = Stage::Looking { tree, found };
        let buckets = buckets.get(&tree.copies).cloned().unwrap_or_default();
        Order::Look(Survey::Leftover { tree, buckets, after })
    }

    /// The marks are forgotten, or are not.
    pub(crate) fn forgot(&mut self, now: Time, durable: bool) {
        if let Stage::Forgetting(tree) = self.stage {
            self.forgotten.extend(durable.then_some(tree));
            if !durable {
                self.after = now.after(PAUSE);
            }
            self.stage = Stage::Idle;
        }
    }

    /// A page of keys, and the last one that was looked at; nothing if it could not be read.
    pub(crate) fn found(
        &mut self,
        now: Time,
        page: Option<(Vec<Key>, Option<Key>)>,
        buckets: &BTreeMap<u8, Vec<BucketName>>,
    ) -> Option<Order> {
        let Stage::Looking { tree, found } = &self.stage else {
            return None;
        };
        let (tree, found) = (*tree, *found);
        let Some((keys, upto)) = page else {
            self.stage = Stage::Waiting { tree, until: now.after(PAUSE) };
            return None;
        };
        if !keys.is_empty() {
            self.stage = Stage::Dropping { tree, left: keys.len(), upto, found: true };
            return Some(Order::Drop(keys));
        }
        match upto {
            Some(_) => Some(self.look(tree, upto, found, buckets)),
            None => self.passed(now, tree, found),
        }
    }

    /// A key is dropped, or could not be.
    pub(crate) fn dropped(
        &mut self,
        now: Time,
        buckets: &BTreeMap<u8, Vec<BucketName>>,
    ) -> Option<Order> {
        let Stage::Dropping { tree, left, upto, found } = &mut self.stage else {
            return None;
        };
        *left = left.saturating_sub(1);
        if *left > 0 {
            return None;
        }
        let (tree, upto, found) = (*tree, upto.take(), *found);
        match upto {
            Some(_) => Some(self.look(tree, upto, found, buckets)),
            None => self.passed(now, tree, found),
        }
    }

    /// A pass has come to its end.
    fn passed(&mut self, now: Time, tree: Tree, found: bool) -> Option<Order> {
        if found {
            self.stage = Stage::Waiting { tree, until: now.after(PAUSE) };
            return None;
        }
        self.stage = Stage::Idle;
        self.given.retain(|(given, _)| *given != tree);
        self.forgotten.remove(&tree);
        Some(Order::Done(tree))
    }
}
