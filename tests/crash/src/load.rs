//! The load: what is written, in which order, as a function of a seed.
//!
//! There are as many lanes as the store has workers. The operations of a lane are numbered, and the store commits them in that
//! order. An operation that was submitted after others of the other lane were done is committed after these; its value says
//! how many. So what a crash leaves can be held against the order of commits, although two threads commit at one time.

use bytes::Bytes;
use kinfold_protocol::causality::{Content, Context, Dot, Interval, Marks};
use kinfold_protocol::config::Shape;
use kinfold_protocol::id::{Actor, BucketName, Key, NodeId, RequestId};
use kinfold_protocol::replica::{Job, Put, Rules, StandsIn, Step, StoreJob, Task};
use kinfold_protocol::ring::{Partition, Position, Ring, Tree};
use kinfold_protocol::time::Timestamp;
use kinfold_storage::{Durability, Options};

use crate::chance::Chance;

/// One a worker of the store.
pub const LANES: usize = 2;

/// Keys of a lane: few, so that most operations replace something.
pub const KEYS: usize = 48;

/// Partitions of the ring.
pub const PARTITIONS: u32 = 4;

/// Copies of a key.
pub const COPIES: u8 = 3;

/// The name of the piece of the node's own state that only ever grows.
pub const LEASE: &str = "lease";

/// The tree and the actor whose mark only ever rises.
pub const MARKED: (Tree, Actor) = (Tree { partition: Partition(0), copies: COPIES }, Actor(77));

/// Whom hints are owed to.
const OWNER: NodeId = NodeId(9);

/// Bytes in front of a value that say which operation wrote it: seed, lane, number, and how far each lane was.
const STAMP: usize = 8 * (3 + LANES);

/// How many operations of each lane.
pub type Counts = [u64; LANES];

/// A small store whose memory fills often, so that crashes meet tables and compactions, too.
#[must_use]
pub fn options() -> Options {
    Options {
        cache_mib: 8,
        memtable_mib: 1,
        reserve_mib: 0,
        durability: Durability::Sync,
        workers: LANES,
        readers: 1,
        queue: 1_024,
    }
}

/// The load of a seed.
#[derive(Clone, Debug)]
pub struct Load {
    seed: u64,
    keys: [Vec<Key>; LANES],
}

/// One operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Replaces a key's value by one of this length.
    Put {
        /// Which key of the lane.
        key: usize,
        /// Length of the value, in bytes.
        len: usize,
        /// Is it also kept for another node?
        owed: bool,
    },
    /// Deletes a key.
    Delete {
        /// Which key of the lane.
        key: usize,
    },
    /// Saves the number of the operation as the node's own state. First lane only: all such jobs run there.
    Lease,
    /// Raises a mark to the number of the operation. First lane only.
    Raise,
}

impl Load {
    /// The load of this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let ours = |lane: usize| {
            let keys = (0..).map(key).filter(move |key| lane_of(key) == lane);
            keys.take(KEYS).collect()
        };
        Self { seed, keys: [ours(0), ours(1)] }
    }

    /// A key of a lane.
    #[must_use]
    pub fn key(&self, lane: usize, key: usize) -> &Key {
        &self.keys[lane][key]
    }

    /// An operation.
    #[must_use]
    pub fn op(&self, lane: usize, number: u64) -> Op {
        let mut chance = self.chance(lane, number);
        let key = chance.below(KEYS as u64) as usize;
        match chance.below(32) {
            0 if lane == 0 => Op::Lease,
            1 if lane == 0 => Op::Raise,
            2..5 => Op::Delete { key },
            5..8 => Op::Put { key, len: chance.below(8_000) as usize, owed: true },
            // About as many stand in their heads as apart.
            8..20 => Op::Put { key, len: chance.below(300) as usize, owed: false },
            _ => Op::Put { key, len: 300 + chance.below(8_000) as usize, owed: false },
        }
    }

    /// The job that carries an operation out, submitted when so many operations of each lane are done.
    #[must_use]
    pub fn job(&self, lane: usize, number: u64, done: Counts) -> StoreJob {
        match self.op(lane, number) {
            Op::Put { key, len, owed } => {
                let value = [&self.stamp(lane, number, done)[..], &self.noise(lane, number, len)];
                let stands_in = owed.then_some(StandsIn { owner: OWNER, since: Timestamp(1) });
                self.put(lane, key, number, Content::value(value.concat().into()), stands_in)
            }
            Op::Delete { key } => self.put(lane, key, number, Content::Tombstone, None),
            Op::Lease => StoreJob::Save { name: LEASE.into(), bytes: lease(number) },
            Op::Raise => {
                let (tree, actor) = MARKED;
                StoreJob::Raise(vec![(tree, Marks::from_iter([(actor, Timestamp(number + 1))]))])
            }
        }
    }

    fn put(
        &self,
        lane: usize,
        key: usize,
        number: u64,
        content: Content,
        stands_in: Option<StandsIn>,
    ) -> StoreJob {
        let dot = Dot { time: Timestamp(number + 1), actor: actor(lane) };
        let mut seen = Context::new();
        if number > 0 {
            seen.insert(Interval { actor: dot.actor, from: Timestamp(1), to: Timestamp(number) });
        }
        let request = RequestId(((lane as u128) << 64 | u128::from(number)).to_be_bytes());
        let (expires, wall) = (None, Timestamp(0));
        let put = Put { seen, dot, content, expires, wall, request, stands_in };
        let rules = Rules {
            shape: Shape::Siblings,
            can_merge: false,
            epoch: None,
            siblings: 64,
            object_bytes: u64::MAX,
        };
        let key = self.key(lane, key).clone();
        let position = position(&key);
        StoreJob::Key(Job {
            key,
            position,
            task: Task::Apply { rules, steps: vec![Step::Put(put)] },
        })
    }

    fn stamp(&self, lane: usize, number: u64, done: Counts) -> Vec<u8> {
        let words = [self.seed, lane as u64, number].into_iter().chain(done);
        words.flat_map(u64::to_be_bytes).collect()
    }

    /// How far the lanes were when the operation that wrote `value` was submitted.
    ///
    /// # Errors
    /// What is wrong with the value: it is not the one that this operation writes.
    pub fn check_value(&self, lane: usize, number: u64, value: &[u8]) -> Result<Counts, String> {
        let Op::Put { len, .. } = self.op(lane, number) else {
            return Err(format!("operation {number} of lane {lane} writes no value"));
        };
        let (stamp, noise) = value.split_at_checked(STAMP).ok_or("a value without its stamp")?;
        let mut words = stamp
            .chunks_exact(8)
            .map(|word| u64::from_be_bytes(word.try_into().expect("chunks of 8")));
        let mut next = || words.next().expect("a stamp has that many words");
        let said = (next(), next(), next());
        if said != (self.seed, lane as u64, number) {
            return Err(format!("operation {number} of lane {lane} has a value of {said:?}"));
        }
        if noise != self.noise(lane, number, len) {
            return Err(format!("operation {number} of lane {lane} has other bytes"));
        }
        Ok([next(), next()])
    }

    fn noise(&self, lane: usize, number: u64, len: usize) -> Vec<u8> {
        let mut chance = self.chance(lane, number);
        let words = (0..len.div_ceil(8)).flat_map(|_| chance.draw().to_le_bytes());
        words.take(len).collect()
    }

    fn chance(&self, lane: usize, number: u64) -> Chance {
        Chance::new(self.seed << 32 ^ number << 1 ^ lane as u64)
    }
}

/// The bytes that [`Op::Lease`] saves.
#[must_use]
pub fn lease(number: u64) -> Bytes {
    Bytes::copy_from_slice(&number.to_be_bytes())
}

/// Who writes in a lane.
#[must_use]
pub fn actor(lane: usize) -> Actor {
    Actor(1 + lane as u64)
}

/// Where a key lies.
#[must_use]
pub fn position(key: &Key) -> Position {
    ring().position(key, COPIES)
}

fn ring() -> Ring {
    Ring::new(PARTITIONS).expect("a power of two")
}

/// The bucket of all keys.
#[must_use]
pub fn bucket() -> BucketName {
    BucketName::new("load").expect("a bucket's name")
}

fn key(number: u32) -> Key {
    Key { bucket: bucket(), key: Bytes::from(format!("key-{number}")) }
}

/// The worker that has a key's partition.
#[must_use]
pub fn lane_of(key: &Key) -> usize {
    ring().partition(key).0 as usize % LANES
}
