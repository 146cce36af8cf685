//! The whole port against a model: whatever jobs run, the disk answers as a map in memory would, before and after a restart.

use std::collections::BTreeMap;

use bytes::Bytes;
use kinfold_protocol::causality::{Content, Dot, Marks, Object};
use kinfold_protocol::config::{Shape, Tombstones};
use kinfold_protocol::id::{Actor, BucketName, Key, NodeId, RequestId};
use kinfold_protocol::replica::{
    HandedOver, Job, Outcome, Put, Rules, StandsIn, Step, Task, execute,
};
use kinfold_protocol::ring::{Partition, Position, Ring, Tree};
use kinfold_protocol::store::{Bodies, DueKey, Store, StoreError, Stored, Write};
use kinfold_protocol::time::{Expiry, Timestamp};
use kinfold_protocol::tree::{self, Sums};
use kinfold_storage::{Disk, INLINE};
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop, prop_oneof, proptest};

use crate::support::{noise, options};

/// Copies of each key.
const COPIES: u8 = 3;

const BUCKETS: [&str; 2] = ["siblings", "lattice"];

/// A store that is obviously right.
#[derive(Default)]
struct Model {
    objects: BTreeMap<Key, Stored>,
    sums: BTreeMap<Position, u128>,
    node: BTreeMap<String, Bytes>,
    marks: BTreeMap<Tree, Marks>,
}

impl Store for Model {
    fn read(&self, key: &Key, _: Position, bodies: Bodies) -> Result<Option<Stored>, StoreError> {
        Ok(self.objects.get(key).map(|stored| match bodies {
            Bodies::All => stored.clone(),
            Bodies::Heads => Stored { object: stored.object.head(INLINE), ..stored.clone() },
        }))
    }

    fn hints(
        &self,
        owner: NodeId,
        after: Option<&(Partition, Key)>,
        limit: usize,
    ) -> Result<Vec<(Partition, Key)>, StoreError> {
        // In the order of the disk: shorter bucket names first.
        let mut owed: Vec<(Partition, usize, Key)> = self
            .objects
            .iter()
            .filter(|(_, stored)| stored.owed.iter().any(|owed| owed.owner == owner))
            .map(|(key, _)| (ring().partition(key), key.bucket.as_str().len(), key.clone()))
            .collect();
        owed.sort();
        let owed = owed.into_iter().map(|(partition, _, key)| (partition, key));
        let at =
            after.map_or(0, |after| owed.clone().position(|found| found == *after).unwrap() + 1);
        Ok(owed.skip(at).take(limit).collect())
    }

    fn due(
        &self,
        upto: Expiry,
        after: Option<&DueKey>,
        limit: usize,
    ) -> Result<Vec<DueKey>, StoreError> {
        // In the order of the disk: shorter bucket names first.
        let mut due: Vec<(Expiry, Partition, usize, Key)> = self
            .objects
            .iter()
            .filter_map(|(key, stored)| Some((stored.object.due()?, key)))
            .map(|(at, key)| (at, ring().partition(key), key.bucket.as_str().len(), key.clone()))
            .filter(|(at, ..)| *at <= upto)
            .collect();
        due.sort();
        let due = due.into_iter().map(|(at, partition, _, key)| (at, partition, key));
        let at =
            after.map_or(0, |after| due.clone().position(|found| found == *after).unwrap() + 1);
        Ok(due.skip(at).take(limit).collect())
    }

    fn write(&mut self, write: Write) -> Result<(), StoreError> {
        let Write { key, position, mut stored, leaf_change, .. } = write;
        if let Some(before) = self.objects.get(&key) {
            stored.object.adopt_bytes(&before.object);
        }
        let sum = self.sums.entry(position).or_default();
        *sum = sum.wrapping_add(leaf_change);
        if stored == Stored::default() {
            self.objects.remove(&key);
        } else {
            self.objects.insert(key, stored);
        }
        Ok(())
    }

    fn sums(&self, tree: Tree) -> Result<Sums, StoreError> {
        let sums = self.sums.iter().filter(|(position, _)| position.tree == tree);
        Ok(sums.map(|(position, sum)| (position.leaf, *sum)).collect())
    }

    fn heads(
        &self,
        partition: Partition,
        bucket: &BucketName,
        after: Option<&Bytes>,
        limit: usize,
    ) -> Result<Vec<(Bytes, Stored)>, StoreError> {
        let heads = self.objects.iter().filter(|(key, _)| {
            let here = ring().partition(key) == partition && key.bucket == *bucket;
            here && after.is_none_or(|after| key.key > *after)
        });
        let heads = heads.take(limit).map(|(key, stored)| {
            let object = stored.object.head(INLINE);
            (key.key.clone(), Stored { object, ..stored.clone() })
        });
        Ok(heads.collect())
    }

    fn marks(&self, tree: Tree) -> Result<Marks, StoreError> {
        Ok(self.marks.get(&tree).cloned().unwrap_or_default())
    }

    fn raise_marks(&mut self, marks: &[(Tree, Marks)]) -> Result<(), StoreError> {
        for (tree, marks) in marks {
            self.marks.entry(*tree).or_default().unite(marks);
        }
        Ok(())
    }

    fn forget_marks(&mut self, tree: Tree) -> Result<(), StoreError> {
        self.marks.remove(&tree);
        Ok(())
    }

    fn save(&mut self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.node.insert(name.into(), Bytes::copy_from_slice(bytes));
        Ok(())
    }
}

/// What happens next. Keys and values are few, so that the same ones meet again.
#[derive(Clone, Debug)]
enum Event {
    /// A put here, or at the peer.
    Put {
        here: bool,
        key: u8,
        value: Option<u8>,
        seen: bool,
    },
    /// The peer's object of a key arrives.
    Join {
        key: u8,
    },
    /// The peer's object of a key arrives, to be kept for an owner.
    Keep {
        key: u8,
        owner: u8,
    },
    /// An owner has all of a key that is here.
    HandedOver {
        key: u8,
        owner: u8,
    },
    /// What expires up to a time becomes tombstones.
    Expire {
        key: u8,
        upto: u64,
    },
    /// All that is known of a key is collected.
    Collect {
        key: u8,
    },
    Save {
        name: u8,
        value: u8,
    },
    /// A mark rises.
    Raise {
        partition: u32,
        actor: u64,
        time: u64,
    },
    Flush,
    Compact,
    Restart,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let key = 0..6u8;
    let put = (any::<bool>(), key.clone(), prop::option::weighted(0.8, 0..6u8), any::<bool>())
        .prop_map(|(here, key, value, seen)| Event::Put { here, key, value, seen });
    let event = prop_oneof![
        20 => put,
        8 => key.clone().prop_map(|key| Event::Join { key }),
        8 => (key.clone(), 0..2u8).prop_map(|(key, owner)| Event::Keep { key, owner }),
        4 => (key.clone(), 0..2u8).prop_map(|(key, owner)| Event::HandedOver { key, owner }),
        4 => (key.clone(), 0..12u64).prop_map(|(key, upto)| Event::Expire { key, upto }),
        2 => key.prop_map(|key| Event::Collect { key }),
        2 => (0..3u8, any::<u8>()).prop_map(|(name, value)| Event::Save { name, value }),
        3 => (0..2u32, 1..3u64, 1..60u64)
            .prop_map(|(partition, actor, time)| Event::Raise { partition, actor, time }),
        3 => Just(Event::Flush),
        1 => Just(Event::Compact),
        1 => Just(Event::Restart),
    ];
    prop::collection::vec(event, 1..50)
}

/// Around the limit between inline values and others.
fn value(number: u8) -> Bytes {
    let inline = INLINE as usize;
    noise(number.into(), [0, 1, inline, inline + 1, 2_000, 40_000][usize::from(number)])
}

fn ring() -> Ring {
    Ring::new(2).unwrap()
}

fn key(number: u8) -> Key {
    let bucket = BUCKETS[usize::from(number % 2)];
    Key { bucket: BucketName::new(bucket).unwrap(), key: Bytes::from(vec![number; number.into()]) }
}

fn is_lattice(key: &Key) -> bool {
    key.bucket.as_str() == "lattice"
}

fn rules(key: &Key) -> Rules {
    let lattice = is_lattice(key);
    let shape = if lattice { Shape::Lattice(Tombstones::Reset) } else { Shape::Siblings };
    Rules { shape, can_merge: lattice, epoch: None, siblings: 4, object_bytes: 200_000 }
}

/// Runs a job as the node would, folding where it has to. Gives every outcome.
fn run(key: &Key, task: Task, store: &mut impl Store) -> Vec<Outcome> {
    let job = |task| Job { key: key.clone(), position: ring().position(key, COPIES), task };
    let outcome = execute(job(task), store).unwrap();
    let mut all = vec![outcome.clone()];
    if let Outcome::Fold { mut stored, claim, .. } = outcome {
        // The greatest value wins.
        let values = stored.object.versions.iter().map(|version| version.content.bytes().cloned());
        let winner = values.max().flatten();
        stored.object.replace_by_fold(Content::from_option(winner), None);
        if let Some(dot) = claim {
            stored.object.claim_folded(dot, &mut stored.opened);
        }
        all.push(execute(job(Task::Replace { stored }), store).unwrap());
    }
    all
}

fn put(store: &Model, key: &Key, dot: Dot, value_of: Option<u8>, seen: bool) -> Task {
    let context = store.objects.get(key).filter(|_| seen).map(|s| s.object.context.clone());
    let put = Put {
        seen: context.unwrap_or_default(),
        dot,
        content: Content::from_option(value_of.map(value)),
        // Few times, so that several keys are due at one.
        expires: value_of.filter(|_| !is_lattice(key)).map(|n| Expiry(u64::from(n % 4) * 3)),
        wall: Timestamp(0),
        request: RequestId(u128::from(dot.time.0).to_be_bytes()),
        stands_in: None,
    };
    Task::Apply { rules: rules(key), steps: vec![Step::Put(put)] }
}

/// The same object with all the same bytes at hand: equality of contents looks at digests only.
fn assert_same_bytes(disk: &Object, model: &Object) {
    assert_eq!(disk, model);
    for (found, expected) in disk.versions.iter().zip(&model.versions) {
        assert_eq!(found.content.bytes(), expected.content.bytes());
    }
}

fn check(disk: &Disk, model: &Model) {
    for number in 0..6 {
        let key = key(number);
        let position = ring().position(&key, COPIES);
        for bodies in [Bodies::Heads, Bodies::All] {
            let found = disk.read(&key, position, bodies).unwrap();
            let expected = model.read(&key, position, bodies).unwrap();
            assert_eq!(found.is_some(), expected.is_some(), "{key:?}");
            if let (Some(found), Some(expected)) = (found, expected) {
                assert_eq!(found.opened, expected.opened);
                assert_eq!(found.owed, expected.owed);
                assert_same_bytes(&found.object, &expected.object);
            }
        }
        // As kept, and as it would be computed from what is there.
        let in_leaf = model.objects.iter().filter(|(k, _)| ring().position(k, COPIES) == position);
        let sum = in_leaf
            .map(|(key, stored)| tree::contribution(key, Some(&stored.object)))
            .fold(0, u128::wrapping_add);
        assert_eq!(disk.leaf(position).unwrap(), sum);
        assert_eq!(model.sums.get(&position).copied().unwrap_or(0), sum);
    }
    for name in ["0", "1", "2"] {
        assert_eq!(disk.load(name).unwrap(), model.node.get(name).cloned());
    }
    for owner in [NodeId(0), NodeId(1)] {
        let all = model.hints(owner, None, 100).unwrap();
        assert_eq!(disk.hints(owner, None, 100).unwrap(), all);
        if let Some(first) = all.first() {
            assert_eq!(disk.hints(owner, Some(first), 1).unwrap(), all[1..all.len().min(2)]);
        }
        let debt = disk.debts().unwrap().get(&owner).copied().unwrap_or_default();
        let owed = model.objects.values().flat_map(|stored| &stored.owed);
        let bytes: u64 = owed.filter(|owed| owed.owner == owner).map(|owed| owed.bytes).sum();
        assert_eq!((debt.keys, debt.bytes), (all.len() as u64, bytes));
    }
    for upto in [0, 3, 6, 9, u64::MAX].map(Expiry) {
        let all = model.due(upto, None, 100).unwrap();
        assert_eq!(disk.due(upto, None, 100).unwrap(), all);
        if let Some(first) = all.first() {
            assert_eq!(disk.due(upto, Some(first), 1).unwrap(), all[1..all.len().min(2)]);
        }
    }
    let left = model.objects.values().filter(|stored| stored.object.is_tombstone()).count();
    assert_eq!(disk.tombstones(), left as u64);
    for partition in [Partition(0), Partition(1)] {
        let tree = Tree { partition, copies: COPIES };
        assert_eq!(disk.sums(tree).unwrap(), model.sums(tree).unwrap());
        assert_eq!(disk.marks(tree).unwrap(), model.marks(tree).unwrap());
        for bucket in BUCKETS.map(|name| BucketName::new(name).unwrap()) {
            assert_eq!(listed(disk, partition, &bucket), listed(model, partition, &bucket));
        }
    }
}

/// All heads of a bucket in a partition, in pages.
fn listed(store: &impl Store, partition: Partition, bucket: &BucketName) -> Vec<(Bytes, Stored)> {
    let mut listed: Vec<(Bytes, Stored)> = Vec::new();
    loop {
        let after = listed.last().map(|(key, _)| key.clone());
        let page = store.heads(partition, bucket, after.as_ref(), 2).unwrap();
        let last = page.len() < 2;
        listed.extend(page);
        if last {
            return listed;
        }
    }
}

fn agree(events: Vec<Event>) {
    let directory = tempfile::tempdir().unwrap();
    let mut disk = Disk::open(directory.path(), &options()).unwrap();
    let (mut model, mut peer) = (Model::default(), Model::default());
    for (time, event) in (1..).zip(events) {
        let both = |disk: &mut Disk, model: &mut Model, key: &Key, task: Task| {
            assert_eq!(run(key, task.clone(), disk), run(key, task, model));
        };
        match event {
            Event::Put { here, key: number, value, seen } => {
                let (key, time) = (key(number), Timestamp(time));
                if here {
                    let task = put(&model, &key, Dot { time, actor: Actor(1) }, value, seen);
                    both(&mut disk, &mut model, &key, task);
                } else {
                    let task = put(&peer, &key, Dot { time, actor: Actor(2) }, value, seen);
                    run(&key, task, &mut peer);
                }
            }
            Event::Join { key: number } => {
                let key = key(number);
                if let Some(theirs) = peer.objects.get(&key) {
                    let steps = vec![Step::Join(theirs.object.clone())];
                    let task = Task::Apply { rules: rules(&key), steps };
                    both(&mut disk, &mut model, &key, task);
                }
            }
            Event::Keep { key: number, owner } => {
                let key = key(number);
                if let Some(theirs) = peer.objects.get(&key) {
                    let owner = NodeId(owner.into());
                    let stands_in = StandsIn { owner, since: Timestamp(time) };
                    let steps = vec![Step::Keep(theirs.object.clone(), stands_in)];
                    let task = Task::Apply { rules: rules(&key), steps };
                    both(&mut disk, &mut model, &key, task);
                }
            }
            Event::HandedOver { key: number, owner } => {
                let key = key(number);
                if let Some(ours) = model.objects.get(&key) {
                    let owner = NodeId(owner.into());
                    let handed = HandedOver { owner, object: ours.object.clone(), stays: false };
                    let steps = vec![Step::HandedOver(handed)];
                    let task = Task::Apply { rules: rules(&key), steps };
                    both(&mut disk, &mut model, &key, task);
                }
            }
            Event::Expire { key: number, upto } => {
                let (key, steps) = (key(number), vec![Step::Expire(Expiry(upto))]);
                let task = Task::Apply { rules: rules(&key), steps };
                both(&mut disk, &mut model, &key, task);
            }
            Event::Collect { key: number } => {
                let task = Task::Replace { stored: Stored::default() };
                both(&mut disk, &mut model, &key(number), task);
            }
            Event::Save { name, value } => {
                disk.save(&name.to_string(), &[value]).unwrap();
                model.save(&name.to_string(), &[value]).unwrap();
            }
            Event::Raise { partition, actor, time } => {
                let tree = Tree { partition: Partition(partition), copies: COPIES };
                let marks = [(tree, [(Actor(actor), Timestamp(time))].into_iter().collect())];
                disk.raise_marks(&marks).unwrap();
                model.raise_marks(&marks).unwrap();
            }
            Event::Flush => disk.flush().unwrap(),
            Event::Compact => disk.compact().unwrap(),
            Event::Restart => {
                disk.sync().unwrap();
                drop(disk);
                disk = Disk::open(directory.path(), &options()).unwrap();
            }
        }
    }
    check(&disk, &model);
    drop(disk);
    check(&Disk::open(directory.path(), &options()).unwrap(), &model);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn the_disk_agrees_with_a_map(events in events()) {
        agree(events);
    }
}
