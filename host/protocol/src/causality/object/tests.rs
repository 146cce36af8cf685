use super::*;
use alloc::collections::BTreeSet;
use alloc::vec;
use bytes::Bytes;

const REQUEST: RequestId = RequestId([7; 16]);

fn dot(actor: u64, time: u64) -> Dot {
    Dot { actor: Actor(actor), time: Timestamp(time) }
}

fn content(n: u64) -> Content {
    Content::value(Bytes::copy_from_slice(&n.to_be_bytes()))
}

fn dots(object: &Object) -> Vec<Dot> {
    object.versions.iter().map(|v| v.dot).collect()
}

/// A replica with its local note.
#[derive(Clone, Default, PartialEq, Debug)]
struct Replica {
    object: Object,
    opened: Option<Opened>,
}

impl Replica {
    fn put(&mut self, seen: &Context, dot: Dot) {
        self.object.put(seen, dot, content(dot.time.0), REQUEST, &mut self.opened);
    }
}

#[test]
fn a_put_replaces_what_it_has_seen_and_no_more() {
    let mut a = Replica::default();
    a.put(&Context::new(), dot(1, 1));
    let seen = a.object.context.clone();
    a.put(&Context::new(), dot(1, 2));
    a.put(&seen, dot(1, 3));
    assert_eq!(dots(&a.object), [dot(1, 2), dot(1, 3)]);
    assert_eq!(a.object.context.intervals().len(), 1);
}

#[test]
fn a_new_life_opens_a_new_interval() {
    let mut a = Replica::default();
    a.put(&Context::new(), dot(1, 5));
    a.put(&Context::new(), dot(2, 9));
    let intervals: Vec<_> =
        a.object.context.intervals().iter().map(|i| (i.actor.0, i.from.0, i.to.0)).collect();
    assert_eq!(intervals, [(1, 5, 5), (2, 9, 9)]);
}

/// A coordinator replicates dot 1, loses it in a crash, and comes back as another actor: its next write must not
/// kill the one that others hold.
#[test]
fn a_write_lost_at_its_coordinator_survives_elsewhere() {
    let mut coordinator = Replica::default();
    coordinator.put(&Context::new(), dot(1, 1));
    let elsewhere = coordinator.object.clone();
    let mut reborn = Replica::default();
    reborn.put(&Context::new(), dot(2, 2));
    let mut joined = elsewhere.clone();
    joined.join(&reborn.object);
    assert_eq!(dots(&joined), [dot(1, 1), dot(2, 2)]);

    // The planted fault: the same actor goes on after the crash, with the interval of its former life.
    let mut same_life = Replica { opened: coordinator.opened, ..Replica::default() };
    same_life.put(&Context::new(), dot(1, 2));
    let mut lost = elsewhere;
    lost.join(&same_life.object);
    assert_eq!(dots(&lost), [dot(1, 2)]);
}

#[test]
fn one_dot_with_two_contents_is_kept_twice() {
    let mut a = Replica::default();
    a.put(&Context::new(), dot(1, 1));
    let mut b = a.clone();
    b.object.versions[0].content = content(99);
    let (mut ab, mut ba) = (a.object.clone(), b.object.clone());
    ab.join(&b.object);
    ba.join(&a.object);
    assert_eq!(ab, ba);
    assert_eq!(ab.versions.len(), 2);
    assert!(ab.has_clash());
}

#[test]
fn requests_are_remembered_and_bounded() {
    let mut a = Replica::default();
    for time in 1..=20u8 {
        let id = RequestId([time; 16]);
        let seen = a.object.context.clone();
        a.object.put(&seen, dot(1, time.into()), content(1), id, &mut a.opened);
    }
    assert_eq!(a.object.requests.len(), MAX_REQUESTS);
    assert_eq!(a.object.dot_of(RequestId([20; 16])), Some(dot(1, 20)));
    assert_eq!(a.object.dot_of(RequestId([1; 16])), None);
}

#[test]
fn an_object_lacks_what_a_join_would_change_and_nothing_else() {
    let mut old = Replica::default();
    old.put(&Context::new(), dot(1, 1));
    let mut new = old.clone();
    new.put(&old.object.context, dot(1, 2));
    let mut beside = old.clone();
    beside.put(&Context::new(), dot(2, 3));
    let mut clashing = old.clone();
    clashing.object.versions[0].content = content(99);
    let all = [Replica::default(), old, new, beside, clashing].map(|replica| replica.object);
    for a in &all {
        for b in &all {
            let mut joined = a.clone();
            joined.join(b);
            assert_eq!(a.lacks_of(b), joined != *a, "{a:?} of {b:?}");
        }
    }
}

#[test]
fn bytes_are_taken_over_where_a_head_lacks_them() {
    let mut a = Replica::default();
    a.put(&Context::new(), dot(1, 1));
    let mut head = a.object.head(0);
    assert!(head.lacks_bytes());
    head.join(&a.object);
    assert!(!head.lacks_bytes());
    assert_eq!(head, a.object);
}

/// What the object should hold, by the definition of causality: every write with the set of writes it had seen.
#[derive(Clone, Default, PartialEq, Debug)]
struct Model {
    seen: BTreeSet<Dot>,
    alive: BTreeSet<Dot>,
}

impl Model {
    fn put(&mut self, context: &BTreeSet<Dot>, dot: Dot) {
        self.alive.retain(|d| !context.contains(d));
        self.seen.extend(context);
        self.seen.insert(dot);
        self.alive.insert(dot);
    }

    fn join(&mut self, other: &Self) {
        let mine = self.alive.iter().filter(|d| other.alive.contains(d) || !other.seen.contains(d));
        let theirs =
            other.alive.iter().filter(|d| self.alive.contains(d) || !self.seen.contains(d));
        self.alive = mine.chain(theirs).copied().collect();
        self.seen.extend(&other.seen);
    }
}

/// One step of the small world: 3 replicas, 2 clients.
#[derive(Clone, Copy, Debug)]
enum Step {
    Get { client: usize, replica: usize },
    Put { client: usize, replica: usize },
    Sync { from: usize, to: usize },
}

const REPLICAS: usize = 3;
const CLIENTS: usize = 2;

fn steps() -> Vec<Step> {
    let mut all = vec![];
    for replica in 0..REPLICAS {
        for client in 0..CLIENTS {
            all.push(Step::Get { client, replica });
            all.push(Step::Put { client, replica });
        }
        for to in (0..REPLICAS).filter(|to| *to != replica) {
            all.push(Step::Sync { from: replica, to });
        }
    }
    all
}

#[derive(Clone, Default)]
struct World {
    replicas: [(Replica, Model); REPLICAS],
    clients: [(Context, BTreeSet<Dot>); CLIENTS],
    time: u64,
}

impl World {
    fn step(&mut self, step: Step) {
        match step {
            Step::Get { client, replica } => {
                let (real, model) = &self.replicas[replica];
                self.clients[client] = (real.object.context.clone(), model.seen.clone());
            }
            Step::Put { client, replica } => {
                self.time += 1;
                let dot = dot(replica as u64, self.time);
                let (context, seen) = &self.clients[client];
                let (real, model) = &mut self.replicas[replica];
                real.put(context, dot);
                model.put(seen, dot);
            }
            Step::Sync { from, to } => {
                let (real, model) = self.replicas[from].clone();
                self.replicas[to].0.object.join(&real.object);
                self.replicas[to].1.join(&model);
            }
        }
    }

    fn check(&self) {
        for (real, model) in &self.replicas {
            assert_eq!(dots(&real.object), model.alive.iter().copied().collect::<Vec<_>>());
        }
        let (a, b, c) =
            (&self.replicas[0].0.object, &self.replicas[1].0.object, &self.replicas[2].0.object);
        let join = |x: &Object, y: &Object| {
            let mut joined = x.clone();
            joined.join(y);
            joined
        };
        assert_eq!(join(a, b), join(b, a), "commutative");
        assert_eq!(join(&join(a, b), c), join(a, &join(b, c)), "associative");
        assert_eq!(join(a, a), *a, "idempotent");
        assert!(join(a, b).includes(&join(b, a)));
    }
}

fn explore(world: &World, depth: usize, steps: &[Step], count: &mut u64) {
    world.check();
    *count += 1;
    if depth == 0 {
        return;
    }
    for step in steps {
        let mut next = world.clone();
        next.step(*step);
        explore(&next, depth - 1, steps, count);
    }
}

/// Every sequence of gets, puts and syncs up to a length, against the definition of causality. The first step is a put
/// by client 0 on replica 0: all others are the same world with other names, or a world without writes.
#[test]
fn small_worlds_agree_with_the_definition() {
    let mut world = World::default();
    world.step(Step::Put { client: 0, replica: 0 });
    let mut count = 0;
    let depth = if cfg!(debug_assertions) { 3 } else { 5 };
    explore(&world, depth, &steps(), &mut count);
    assert!(count > 6_000);
}

use proptest::prelude::{Strategy, any, prop, proptest};

proptest! {
    #[test]
    fn long_histories_agree_with_the_definition(
        choices in prop::collection::vec(any::<prop::sample::Index>().prop_map(|i| *i.get(&steps())), 0..60),
    ) {
        let mut world = World::default();
        for step in choices {
            world.step(step);
            world.check();
        }
    }
}
