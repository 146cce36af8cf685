//! Objects of lattice buckets, whose versions are folded into one value.
//!
//! The invariant: *the value of a version is the join of every write that it covers.* So a version whose `covers` lies
//! within another's is already part of that other and can go; two versions of which neither covers the other have to be
//! merged by the bucket's plugin, and until that is done, or where it can't be done, both are kept. Never is a version
//! replaced by mere coverage of the *object*: the values of an object's versions only together hold all that it covers.
//!
//! Where the bucket's merge function changes, [`Epoch`] says which of two values for the same writes stands.

use alloc::vec::Vec;

use crate::causality::{Content, Context, Dot, Epoch, Object, Opened, Version};
use crate::config::Tombstones;
use crate::id::RequestId;
use crate::planted::{self, Bug};

impl Version {
    /// Has `other` seen every write of this part, and is none of them in what it holds? Then they were deleted there, and no
    /// trace of that is left but in the marks. What covers a write that is there cannot be told apart from it.
    pub(crate) fn is_gone_from(&self, other: &Object) -> bool {
        other.has_seen_all(&self.covers)
            && !other.versions.iter().any(|theirs| theirs.covers.meets(&self.covers))
    }
}

impl Object {
    /// Joins the parts that another replica holds. What neither side covers stays beside the rest until it is folded.
    pub fn join_lattice(&mut self, other: &Self, tombstones: Tombstones) {
        for theirs in &other.versions {
            for mine in &mut self.versions {
                mine.content.adopt(&theirs.content);
            }
        }
        let here = |v: &&Version| !v.is_gone_from(self);
        let theirs: Vec<Version> = other.versions.iter().filter(here).cloned().collect();
        self.versions.retain(|v| !v.is_gone_from(other));
        self.versions.extend(theirs);
        self.context.unite(&other.context);
        self.marks.unite(&other.marks);
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
        if planted::has(Bug::ReplacingPut) {
            self.versions.clear();
        }
        let (covers, epoch) = (Context::of(dot), Epoch::default());
        self.versions.push(Version { covers, generation, epoch, ..Version::new(dot, content) });
        self.remember(dot, request);
        self.keep_maximal();
    }

    /// Starts a new generation, named by its dot, without a value: the parts that are here go, and parts that others hold
    /// and that had not seen this delete go when they meet it.
    pub fn reset(&mut self, dot: Dot, request: RequestId, opened: &mut Option<Opened>) {
        self.claim(dot, opened);
        self.versions = alloc::vec![Version {
            covers: self.context.clone(),
            generation: Some(dot),
            ..Version::new(dot, Content::Tombstone)
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

    /// Drops every version whose writes all lie within another's, and of values for the same writes those that another one
    /// stands over.
    fn keep_maximal(&mut self) {
        // Equal coverage and equal bytes are one version, under the greater dot.
        self.versions.sort_by(|a, b| {
            let same = (&a.covers, a.content.digest()).cmp(&(&b.covers, b.content.digest()));
            let dots = (b.dot, b.epoch.since).cmp(&(a.dot, a.epoch.since));
            same.then(dots).then(a.epoch.blends.cmp(&b.epoch.blends))
        });
        self.versions.dedup_by(|a, b| a.covers == b.covers && a.content == b.content);
        let all = core::mem::take(&mut self.versions);
        self.versions = all
            .iter()
            .filter(|v| {
                !all.iter().any(|w| {
                    if w.covers == v.covers {
                        w.content != v.content && w.epoch.stands_over(v.epoch)
                    } else {
                        w.covers.covers(&v.covers)
                    }
                })
            })
            .cloned()
            .collect();
        self.versions.sort_by_key(|v| (v.dot, v.content.digest()));
    }

    /// Replaces the versions by `content`, which they were folded to in the epoch that began with `since`, under the latest of
    /// their dots.
    pub fn replace_by_fold(&mut self, content: Content, since: Option<Dot>) {
        let Some(dot) = self.versions.iter().map(|v| v.dot).max() else {
            return;
        };
        let generation = self.versions.iter().map(|v| v.generation).max().flatten();
        let epoch = Epoch { since, blends: self.blends(since) };
        let covers = self.context.clone();
        self.versions =
            alloc::vec![Version { covers, generation, epoch, ..Version::new(dot, content) }];
    }

    /// How mixed a value is that is folded from the versions here in the epoch that began with `since`.
    fn blends(&self, since: Option<Dot>) -> u8 {
        let of = |v: &Version| {
            let plain = v.epoch.is_default() && v.covers == Context::of(v.dot);
            if v.epoch.since == since || plain { v.epoch.blends } else { v.epoch.blends.max(1) }
        };
        let most = self.versions.iter().map(of).max().unwrap_or(0);
        let settles = self.versions.iter().enumerate().any(|(at, v)| {
            self.versions[at + 1..].iter().any(|w| v.covers == w.covers && v.content != w.content)
        });
        if settles { most.saturating_add(1) } else { most }
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
                object.replace_by_fold(content, None);
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
                    // A part that says no more than another one may go: what all say together is what counts.
                    let found = World::found(&joined) != World::found(a);
                    let changes = found || joined.context != a.context;
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

    // Epochs

    /// One replica of a bucket whose merge function changes: its object, and the change since which it merges as it does.
    type Replica = (Object, Option<Dot>);

    fn since(n: u64) -> Option<Dot> {
        (n > 0).then_some(Dot { time: Timestamp(1_000_000 + n), actor: Actor(0) })
    }

    /// Folds as epoch `n` does: bitwise or, with a mark of the epoch that stays. So a value shows by which functions it was made,
    /// and the same writes give other bytes by other ways: what really happens when a plugin writes its values in a new form.
    fn fold_marked(object: &mut Object, n: u64) {
        if object.versions.len() < 2 || object.has_clash() {
            return;
        }
        let all = object.versions.iter().filter_map(|v| bits(&v.content));
        let joined = all.fold(0, |a, b| a | b) | 1 << (60 + n);
        object.replace_by_fold(value(joined), since(n));
    }

    #[derive(Clone, Copy, Debug)]
    enum Turn {
        Put {
            replica: usize,
            folds: bool,
        },
        Sync {
            from: usize,
            to: usize,
            folds: bool,
        },
        /// The replica learns of the next change of the bucket.
        Learn {
            replica: usize,
        },
    }

    fn turns() -> impl Strategy<Value = Turn> {
        let (r, f) = (0..REPLICAS, any::<bool>());
        proptest::prop_oneof![
            4 => (r.clone(), f).prop_map(|(replica, folds)| Turn::Put { replica, folds }),
            4 => (r.clone(), r.clone(), f)
                .prop_map(|(from, to, folds)| Turn::Sync { from, to, folds }),
            1 => r.prop_map(|replica| Turn::Learn { replica }),
        ]
    }

    fn epoch_of(replica: &Replica) -> u64 {
        replica.1.map_or(0, |dot| dot.time.0 - 1_000_000)
    }

    fn take(replicas: &mut [Replica; REPLICAS], turn: Turn, made: &mut u64) {
        match turn {
            Turn::Put { replica, folds } => {
                let dot = Dot { time: Timestamp(*made + 1), actor: Actor(replica as u64 + 1) };
                let n = epoch_of(&replicas[replica]);
                let object = &mut replicas[replica].0;
                object.put_part(dot, value(1 << (*made % 60)), RequestId([0; 16]));
                *made += 1;
                if folds {
                    fold_marked(object, n);
                }
            }
            Turn::Sync { from, to, folds } => {
                let theirs = replicas[from].0.clone();
                let n = epoch_of(&replicas[to]);
                let mine = &mut replicas[to].0;
                mine.join_lattice(&theirs, Tombstones::Pass);
                if folds {
                    fold_marked(mine, n);
                }
            }
            Turn::Learn { replica } => {
                let next = (epoch_of(&replicas[replica]) + 1).min(3);
                replicas[replica].1 = since(next);
            }
        }
    }

    proptest! {
        /// While nodes learn of another merge function one after the other, nothing is taken for a breach of laws, no write is
        /// lost, and in the end all hold one value.
        #[test]
        fn a_change_of_the_merge_function_converges_without_an_alarm(
            history in prop::collection::vec(turns(), 0..60),
        ) {
            let mut replicas: [Replica; REPLICAS] = Default::default();
            let mut made = 0;
            for turn in history {
                take(&mut replicas, turn, &mut made);
                for (object, _) in &replicas {
                    prop_assert!(!object.has_clash(), "{:?}", object);
                    let held = object.versions.iter().filter_map(|v| bits(&v.content));
                    let held = held.fold(0, |a, b| a | b) & ((1 << 60) - 1);
                    let dot = |n: u64| {
                        let by = |a| Dot { time: Timestamp(n + 1), actor: Actor(a) };
                        (1..=REPLICAS as u64).any(|a| object.context.covers_dot(by(a)))
                    };
                    let expected = (0..made).filter(|n| dot(*n)).fold(0, |all, n| all | 1 << (n % 60));
                    prop_assert_eq!(held, expected, "{:?}", object);
                }
            }
            for replica in 0..REPLICAS {
                for _ in 0..3 {
                    take(&mut replicas, Turn::Learn { replica }, &mut made);
                }
            }
            for _ in 0..3 {
                for from in 0..REPLICAS {
                    for to in 0..REPLICAS {
                        take(&mut replicas, Turn::Sync { from, to, folds: true }, &mut made);
                    }
                }
            }
            let values = |replica: &Replica| -> alloc::vec::Vec<_> {
                replica.0.versions.iter().map(|v| (v.dot, v.content.digest())).collect()
            };
            prop_assert!(replicas[0].0.versions.len() <= 1);
            for other in &replicas[1..] {
                prop_assert_eq!(values(&replicas[0]), values(other));
            }
        }
    }

    #[test]
    fn two_values_of_one_function_for_the_same_writes_are_a_breach_and_those_of_two_are_not() {
        let part = |bit: u64, n: u64, blends| {
            let mut object = Object::default();
            for time in 1..=2 {
                let dot = Dot { time: Timestamp(time), actor: Actor(1) };
                object.put_part(dot, value(bit), RequestId([0; 16]));
            }
            object.replace_by_fold(value(bit), since(n));
            object.versions[0].epoch.blends = blends;
            object
        };
        let joined = |a: &Object, b: &Object| {
            let (mut ab, mut ba) = (a.clone(), b.clone());
            ab.join_lattice(b, Tombstones::Pass);
            ba.join_lattice(a, Tombstones::Pass);
            assert_eq!(ab, ba);
            ab
        };
        assert!(joined(&part(1, 0, 0), &part(2, 0, 0)).has_clash());
        assert!(joined(&part(1, 2, 0), &part(2, 2, 0)).has_clash());
        // The later function's value stands, and so does one that has nothing of an earlier function in it.
        assert_eq!(joined(&part(1, 1, 0), &part(2, 2, 0)), part(2, 2, 0));
        assert_eq!(joined(&part(1, 2, 0), &part(2, 2, 1)), part(1, 2, 0));
        // Those that have are joined by the plugin; but not for ever.
        let mut both = joined(&part(1, 2, 1), &part(2, 2, 3));
        assert!(!both.has_clash() && both.versions.len() == 2);
        fold_marked(&mut both, 2);
        assert_eq!(both.versions[0].epoch.blends, 4);
        let most = crate::causality::MOST_BLENDS;
        assert!(joined(&part(1, 2, most), &part(2, 2, most)).has_clash());
    }
}
