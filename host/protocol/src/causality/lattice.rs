//! Objects of lattice buckets, whose versions are folded into one value.
//!
//! The invariant: *the value of a version is the join of every write that it covers.* So a version whose `covers` lies
//! within another's is already part of that other and can go; two versions of which neither covers the other have to be
//! merged by the bucket's plugin, and until that is done, or where it can't be done, both are kept. Never is a version
//! replaced by mere coverage of the *object*: the values of an object's versions only together hold all that it covers.

use alloc::vec::Vec;

use crate::causality::{Content, Context, Dot, Object, Opened, Version};
use crate::config::Tombstones;
use crate::id::RequestId;

impl Object {
    /// Joins the parts that another replica holds. What neither side covers stays beside the rest until it is folded.
    pub fn join_lattice(&mut self, other: &Self, tombstones: Tombstones) {
        for theirs in &other.versions {
            for mine in &mut self.versions {
                mine.content.adopt(&theirs.content);
            }
        }
        self.versions.extend(other.versions.iter().cloned());
        self.context.unite(&other.context);
        self.unite_requests(other);
        if tombstones == Tombstones::Reset {
            self.keep_latest_generation();
        }
        self.keep_maximal();
    }

    /// Writes `content` as a part of its own under `dot`, to be folded with the others.
    pub fn put_part(&mut self, dot: Dot, content: Content, request: RequestId) {
        let generation = self.versions.iter().map(|v| v.generation).max().flatten();
        self.context.unite(&Context::of(dot));
        self.versions.push(Version { dot, content, covers: Context::of(dot), generation });
        self.remember(dot, request);
        self.keep_maximal();
    }

    /// Starts a new generation, named by its dot, without a value: the parts that are here go, and parts that others hold
    /// and that had not seen this delete go when they meet it.
    pub fn reset(&mut self, dot: Dot, request: RequestId, opened: &mut Option<Opened>) {
        self.claim(dot, opened);
        self.versions = alloc::vec![Version {
            dot,
            content: Content::Tombstone,
            covers: self.context.clone(),
            generation: Some(dot),
        }];
        self.remember(dot, request);
    }

    /// Drops values of older generations, and bare markers of this one beside values; what they covered stays covered.
    pub(crate) fn keep_latest_generation(&mut self) {
        let Some(latest) = self.versions.iter().map(|v| v.generation).max() else {
            return;
        };
        let in_latest = |v: &Version| v.generation == latest;
        let valued = self.versions.iter().any(|v| in_latest(v) && !v.content.is_tombstone());
        let (mut kept, silent): (Vec<_>, Vec<_>) = core::mem::take(&mut self.versions)
            .into_iter()
            .partition(|v| in_latest(v) && !(valued && v.content.is_tombstone()));
        let mut absorbed = Context::new();
        for version in &silent {
            absorbed.unite(&version.covers);
        }
        for version in &mut kept {
            version.covers.unite(&absorbed);
        }
        self.versions = kept;
    }

    /// Drops every version whose writes all lie within another's.
    fn keep_maximal(&mut self) {
        // Equal coverage and equal bytes are one version, under the greater dot.
        self.versions.sort_by(|a, b| {
            (&a.covers, a.content.digest(), b.dot).cmp(&(&b.covers, b.content.digest(), a.dot))
        });
        self.versions.dedup_by(|a, b| a.covers == b.covers && a.content == b.content);
        let all = core::mem::take(&mut self.versions);
        self.versions = all
            .iter()
            .filter(|v| !all.iter().any(|w| w.covers != v.covers && w.covers.covers(&v.covers)))
            .cloned()
            .collect();
        self.versions.sort_by_key(|v| (v.dot, v.content.digest()));
    }

    /// Replaces the versions by `content`, which they were folded to, under the latest of their dots.
    pub fn replace_by_fold(&mut self, content: Content) {
        let Some(dot) = self.versions.iter().map(|v| v.dot).max() else {
            return;
        };
        let generation = self.versions.iter().map(|v| v.generation).max().flatten();
        let covers = self.context.clone();
        self.versions = alloc::vec![Version { dot, content, covers, generation }];
    }

    /// Extends the interval that this replica opened by `dot`, in the context and in the one folded version.
    ///
    /// Only right where this object is folded: a part that covered more than it holds would swallow the others.
    pub fn claim_folded(&mut self, dot: Dot, opened: &mut Option<Opened>) {
        self.claim(dot, opened);
        if let [only] = self.versions.as_mut_slice() {
            only.covers.clone_from(&self.context);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Actor;
    use crate::time::Timestamp;
    use alloc::collections::BTreeSet;
    use bytes::Bytes;
    use proptest::prelude::{Strategy, any, prop, prop_assert, prop_assert_eq, proptest};

    const REPLICAS: usize = 3;

    fn bits(content: &Content) -> Option<u64> {
        content.bytes().map(|b| u64::from_be_bytes(b.as_ref().try_into().unwrap()))
    }

    fn value(bits: u64) -> Content {
        Content::value(Bytes::copy_from_slice(&bits.to_be_bytes()))
    }

    /// One write of the model: the bit it adds, or a delete with the writes that it had seen.
    #[derive(Clone, Debug)]
    struct Made {
        dot: Dot,
        bit: u64,
        generation: Option<Dot>,
    }

    #[derive(Clone, Copy, Debug)]
    enum Op {
        Put {
            replica: usize,
            folds: bool,
        },
        Delete {
            replica: usize,
        },
        Sync {
            from: usize,
            to: usize,
            folds: bool,
        },
        /// A crash after which the replica goes on as another actor.
        Reborn {
            replica: usize,
        },
    }

    fn ops() -> impl Strategy<Value = Op> {
        let (r, f) = (0..REPLICAS, any::<bool>());
        proptest::prop_oneof![
            4 => (r.clone(), f).prop_map(|(replica, folds)| Op::Put { replica, folds }),
            1 => r.clone().prop_map(|replica| Op::Delete { replica }),
            4 => (r.clone(), r.clone(), f).prop_map(|(from, to, folds)| Op::Sync { from, to, folds }),
            1 => r.prop_map(|replica| Op::Reborn { replica }),
        ]
    }

    #[derive(Default)]
    struct World {
        replicas: [(Object, Option<Opened>, u64); REPLICAS],
        made: alloc::vec::Vec<Made>,
        time: u64,
    }

    impl World {
        fn next_dot(&mut self, replica: usize) -> Dot {
            self.time += 1;
            let actor = self.replicas[replica].2 * 10 + replica as u64;
            Dot { time: Timestamp(self.time), actor: Actor(actor) }
        }

        /// Folds as the node does: bitwise or, of which every write has a bit of its own.
        fn fold(object: &mut Object) {
            if object.versions.len() > 1 && !object.has_clash() {
                let all: alloc::vec::Vec<u64> =
                    object.versions.iter().filter_map(|v| bits(&v.content)).collect();
                let content = if all.is_empty() {
                    Content::Tombstone
                } else {
                    value(all.into_iter().fold(0, |a, b| a | b))
                };
                object.replace_by_fold(content);
            }
        }

        fn apply(&mut self, op: Op, tombstones: Tombstones) {
            let request = RequestId([0; 16]);
            match op {
                Op::Put { replica, folds } => {
                    let dot = self.next_dot(replica);
                    let bit = 1 << (self.made.len() % 64);
                    let (object, opened, _) = &mut self.replicas[replica];
                    let generation = object.versions.iter().map(|v| v.generation).max().flatten();
                    object.put_part(dot, value(bit), request);
                    if tombstones == Tombstones::Reset {
                        object.keep_latest_generation();
                    }
                    if folds {
                        Self::fold(object);
                    }
                    if object.versions.len() == 1 {
                        object.claim_folded(dot, opened);
                    }
                    self.made.push(Made { dot, bit, generation });
                }
                Op::Delete { replica } if tombstones == Tombstones::Reset => {
                    let dot = self.next_dot(replica);
                    let (object, opened, _) = &mut self.replicas[replica];
                    object.reset(dot, request, opened);
                }
                Op::Delete { .. } => {}
                Op::Sync { from, to, folds } => {
                    let theirs = self.replicas[from].0.clone();
                    let mine = &mut self.replicas[to].0;
                    mine.join_lattice(&theirs, tombstones);
                    if folds {
                        Self::fold(mine);
                    }
                }
                Op::Reborn { replica } => self.replicas[replica].2 += 1,
            }
        }

        /// What the writes that `object` covers join to, by their definition.
        fn expected(&self, object: &Object) -> Option<u64> {
            let latest = object.versions.iter().map(|v| v.generation).max().flatten();
            let bits: BTreeSet<u64> = self
                .made
                .iter()
                .filter(|m| object.context.covers_dot(m.dot) && m.generation == latest)
                .map(|m| m.bit)
                .collect();
            (!bits.is_empty()).then(|| bits.into_iter().fold(0, |a, b| a | b))
        }

        fn found(object: &Object) -> Option<u64> {
            let all: BTreeSet<u64> =
                object.versions.iter().filter_map(|v| bits(&v.content)).collect();
            (!all.is_empty()).then(|| all.into_iter().fold(0, |a, b| a | b))
        }
    }

    fn run(history: &[Op], tombstones: Tombstones) -> World {
        let mut world = World::default();
        for op in history {
            world.apply(*op, tombstones);
        }
        world
    }

    proptest! {
        /// The invariant of this module: an object's value is the join of every write that it covers.
        #[test]
        fn the_value_is_the_join_of_every_write_covered(
            history in prop::collection::vec(ops(), 0..40),
            reset in any::<bool>(),
        ) {
            let tombstones = if reset { Tombstones::Reset } else { Tombstones::Pass };
            let mut world = World::default();
            for op in history {
                world.apply(op, tombstones);
                for (object, ..) in &world.replicas {
                    prop_assert!(!object.has_clash());
                    prop_assert_eq!(World::found(object), world.expected(object), "{:?}", object);
                }
            }
        }

        /// What an exchange leaves at its place would change neither values nor context. Markers of a generation that are not
        /// folded yet say the same whichever of them are kept.
        #[test]
        fn an_object_lacks_what_a_join_would_change(
            history in prop::collection::vec(ops(), 0..30),
            reset in any::<bool>(),
        ) {
            let tombstones = if reset { Tombstones::Reset } else { Tombstones::Pass };
            let world = run(&history, tombstones);
            for (a, ..) in &world.replicas {
                for (b, ..) in &world.replicas {
                    let mut joined = a.clone();
                    joined.join_lattice(b, tombstones);
                    let values = |o: &Object| -> BTreeSet<_> {
                        o.versions.iter().filter_map(|v| v.content.digest()).collect()
                    };
                    let changes = values(&joined) != values(a) || joined.context != a.context;
                    prop_assert!(a.lacks_of(b) || !changes, "{:?} of {:?}", a, b);
                }
            }
        }

        /// Whoever joins whom in whatever order, folded or not: in the end all hold one value.
        #[test]
        fn joins_converge_in_any_order(
            history in prop::collection::vec(ops(), 0..30),
            reset in any::<bool>(),
            order in prop::collection::vec((0..REPLICAS, 0..REPLICAS, any::<bool>()), 0..6),
        ) {
            let tombstones = if reset { Tombstones::Reset } else { Tombstones::Pass };
            let mut world = run(&history, tombstones);
            for (from, to, folds) in order {
                world.apply(Op::Sync { from, to, folds }, tombstones);
            }
            for _ in 0..2 {
                for from in 0..REPLICAS {
                    for to in 0..REPLICAS {
                        world.apply(Op::Sync { from, to, folds: true }, tombstones);
                    }
                }
            }
            let (first, ..) = &world.replicas[0];
            for (other, ..) in &world.replicas[1..] {
                prop_assert_eq!(&first.versions, &other.versions);
                prop_assert_eq!(&first.context, &other.context);
            }
        }
    }
}
