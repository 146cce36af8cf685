//! The collector: looks through what this node owns, page by page, for what deletes have left, and drops what is stable.
//!
//! A tombstone goes once all that its object has seen lies within the marks, not once it is old: clocks alone bring data back.
//! In a lattice bucket it waits, besides, until it stood unchanged for two whole [`rounds`](crate::rounds): a folded value
//! can't be unfolded, so whoever had not seen the delete would bring the old part back.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use crate::causality::{Context, Dot};
use crate::config::CollectLimits;
use crate::id::{Actor, BucketName, Key};
use crate::replica::{Collect, is_stable};
use crate::ring::Tree;
use crate::survey::{Left, Survey};
use crate::time::{Duration, Time, Timestamp};

/// Lattice tombstones that may be waited for at one time. Others have their turn later.
const MOST_CANDIDATES: usize = 4_096;

/// A page takes so many times its pause while clients are served.
const BUSY: u64 = 4;

/// What is to be done with a page.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Steps for keys.
    pub(crate) steps: Vec<(Key, Collect)>,
    /// Writes that objects have seen and no mark covers, of actors whose marks the rounds may raise.
    pub(crate) open: Vec<Dot>,
}

/// How far a pass has come.
#[derive(Debug)]
struct Pass {
    trees: VecDeque<Tree>,
    after: Option<Key>,
    waiting: u64,
    held: BTreeMap<Actor, u64>,
    young: u64,
}

/// What the last whole pass found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Waiting {
    /// Tombstones that wait.
    pub(crate) tombstones: u64,
    /// By whom: whose writes no mark covers yet.
    pub(crate) held: BTreeMap<Actor, u64>,
    /// Those that are stable and too young, or wait for rounds.
    pub(crate) young: u64,
}

/// The collector of a node.
#[derive(Debug)]
pub(crate) struct Collector {
    limits: CollectLimits,
    next: Time,
    pass: Option<Pass>,
    out: Option<Tree>,
    waiting: Waiting,
    /// Lattice tombstones: their contexts, and how many rounds their trees had gone through when they were first seen.
    candidates: BTreeMap<Key, (Context, u64)>,
    resting: bool,
}

impl Collector {
    pub(crate) fn new(limits: CollectLimits, now: Time) -> Self {
        Self {
            next: now.after(limits.pause),
            limits,
            pass: None,
            out: None,
            waiting: Waiting::default(),
            candidates: BTreeMap::new(),
            resting: false,
        }
    }

    /// Nothing goes on any more: the node is about to end.
    pub(crate) fn rest(&mut self) {
        self.resting = true;
    }

    /// When the next page is due.
    pub(crate) fn wake(&self) -> Time {
        if self.resting { Time(u64::MAX) } else { self.next }
    }

    /// What waits, by the last whole pass.
    pub(crate) fn waiting(&self) -> &Waiting {
        &self.waiting
    }

    /// The next page, if one is due. `busy`: does the node serve clients at present?
    pub(crate) fn advance(
        &mut self,
        now: Time,
        busy: bool,
        trees: impl Iterator<Item = Tree>,
        buckets: &BTreeMap<u8, Vec<BucketName>>,
    ) -> Option<(Tree, Survey)> {
        if self.resting || now < self.next {
            return None;
        }
        let Duration(pause) = self.limits.pause;
        let pass = self.pass.get_or_insert_with(|| Pass {
            trees: trees.collect(),
            after: None,
            waiting: 0,
            held: BTreeMap::new(),
            young: 0,
        });
        let Some(tree) = pass.trees.front().copied() else {
            self.end();
            self.next = now.after(self.limits.pause);
            return None;
        };
        self.next = now.after(if busy { Duration(BUSY * pause) } else { Duration(pause) });
        if self.out.is_some() {
            return None;
        }
        self.out = Some(tree);
        let buckets = buckets.get(&tree.copies).cloned().unwrap_or_default();
        Some((tree, Survey::Left { tree, buckets, after: pass.after.clone() }))
    }

    fn end(&mut self) {
        if let Some(Pass { waiting, held, young, .. }) = self.pass.take() {
            self.waiting = Waiting { tombstones: waiting, held, young };
        }
    }

    /// A page could not be read: its tree has its turn with the next pass.
    pub(crate) fn failed(&mut self) {
        self.out = None;
        if let Some(pass) = &mut self.pass {
            pass.trees.pop_front();
            pass.after = None;
        }
    }

    /// A page. `wall` is this node's clock, `rounds` how many of them the tree has gone through, `folds` says which buckets are
    /// lattice buckets.
    pub(crate) fn found(
        &mut self,
        wall: Timestamp,
        left: Left,
        rounds: u64,
        folds: impl Fn(&BucketName) -> bool,
    ) -> Found {
        let mut found = Found::default();
        let (Some(_), Some(pass)) = (self.out.take(), &mut self.pass) else {
            return found;
        };
        match left.upto {
            Some(upto) => pass.after = Some(upto),
            None => {
                pass.after = None;
                pass.trees.pop_front();
            }
        }
        let before = Timestamp(wall.0.saturating_sub(self.limits.age.0));
        found.open = left.open;
        found
            .steps
            .extend(left.long.into_iter().map(|key| (key, Collect { before, waited: None })));
        for (key, object) in left.tombstones {
            pass.waiting += 1;
            if !is_stable(&object, &left.marks) {
                self.candidates.remove(&key);
                let beyond =
                    object.context.intervals().iter().map(|i| Dot { actor: i.actor, time: i.to });
                let beyond = beyond.chain(object.versions.iter().map(|v| v.dot));
                let beyond: Vec<Dot> = beyond.filter(|dot| !left.marks.covers_dot(*dot)).collect();
                for dot in &beyond {
                    *pass.held.entry(dot.actor).or_default() += 1;
                }
                found.open.extend(beyond);
                continue;
            }
            if !folds(&key.bucket) {
                pass.young += u64::from(object.latest() > before);
                if object.latest() <= before {
                    found.steps.push((key, Collect { before, waited: None }));
                }
                continue;
            }
            pass.young += 1;
            match self.candidates.get(&key) {
                Some((context, since)) if *context == object.context => {
                    // The round that was under way then does not count, and two whole ones do.
                    if rounds >= since + 3 && object.latest() <= before {
                        let waited = Some(object.context);
                        self.candidates.remove(&key);
                        found.steps.push((key, Collect { before, waited }));
                    }
                }
                Some(_) | None => {
                    let known = self.candidates.contains_key(&key);
                    if known || self.candidates.len() < MOST_CANDIDATES {
                        self.candidates.insert(key, (object.context, rounds));
                    }
                }
            }
        }
        found
    }
}
