//! What must hold of a store after a crash.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use kinfold_protocol::causality::{Content, Debt, DebtChange, Stored};
use kinfold_protocol::id::{Key, NodeId};
use kinfold_protocol::ring::{Partition, Position, Tree};
use kinfold_protocol::store::{Bodies, Store, StoreError};
use kinfold_protocol::tree::{self, Sums};
use kinfold_storage::Disk;

use crate::load::{
    COPIES, Counts, KEYS, LANES, LEASE, Load, MARKED, Op, PARTITIONS, actor, bucket, lane_of,
    lease, options, position,
};

/// What was found in a store that holds what it must.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// How many operations of each lane are there: all before, none after.
    pub there: Counts,
    /// Bytes of the journal that made no sense.
    pub cut_bytes: u64,
}

/// Opens the store twice, and checks everything. `durable` operations of each lane were acknowledged.
///
/// # Errors
/// What does not hold, or why the store can't be opened or read.
pub fn judge(path: &Path, load: &Load, durable: Counts) -> Result<Found, String> {
    let open = || Disk::open(path, &options()).map_err(|error| format!("not opened: {error}"));
    let disk = open()?;
    let cut_bytes = disk.cut_bytes();
    let first = Contents::read(&disk)?;
    let there = first.check(load, durable)?;
    drop(disk);
    let disk = open()?;
    if disk.cut_bytes() != 0 {
        return Err(format!("a second recovery cuts off {} bytes", disk.cut_bytes()));
    }
    if Contents::read(&disk)? != first {
        return Err("a second recovery changes what is there".into());
    }
    Ok(Found { there, cut_bytes })
}

/// All that a store holds.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Contents {
    objects: BTreeMap<Key, Stored>,
    sums: BTreeMap<Tree, Sums>,
    debts: BTreeMap<NodeId, Debt>,
    lease: Option<bytes::Bytes>,
    mark: u64,
}

impl Contents {
    fn read(disk: &Disk) -> Result<Self, String> {
        Self::try_read(disk).map_err(|error| format!("not read: {error}"))
    }

    fn try_read(disk: &Disk) -> Result<Self, StoreError> {
        let (mut objects, mut sums) = (BTreeMap::new(), BTreeMap::new());
        for partition in (0..PARTITIONS).map(Partition) {
            for (key, _) in disk.heads(partition, &bucket(), None, usize::MAX)? {
                let key = Key { bucket: bucket(), key };
                let stored = disk.read(&key, position(&key), Bodies::All)?;
                objects.insert(key, stored.unwrap_or_default());
            }
            let tree = Tree { partition, copies: COPIES };
            sums.insert(tree, disk.sums(tree)?);
        }
        let (tree, actor) = MARKED;
        Ok(Self {
            objects,
            sums,
            debts: disk.debts()?,
            lease: disk.load(LEASE)?,
            mark: disk.marks(tree)?.of(actor).0,
        })
    }

    /// Which operation wrote what a key holds.
    fn writer(key: &Key, stored: &Stored) -> Result<u64, String> {
        let [version] = stored.object.versions.as_slice() else {
            return Err(format!("{key:?} has {} versions", stored.object.versions.len()));
        };
        if version.dot.actor != actor(lane_of(key)) {
            return Err(format!("{key:?} was written by {:?}", version.dot));
        }
        Ok(version.dot.time.0 - 1)
    }

    /// How many operations of each lane there must have been.
    fn there(&self) -> Result<Counts, String> {
        let mut there = [0; LANES];
        for (key, stored) in &self.objects {
            let lane = lane_of(key);
            there[lane] = there[lane].max(Self::writer(key, stored)? + 1);
        }
        if let Some(bytes) = &self.lease {
            let number = bytes.as_ref().try_into().map_err(|_| "a lease of another length")?;
            there[0] = there[0].max(u64::from_be_bytes(number) + 1);
        }
        there[0] = there[0].max(self.mark);
        Ok(there)
    }

    fn check(&self, load: &Load, durable: Counts) -> Result<Counts, String> {
        let there = self.there()?;
        let mut wrong = String::new();
        for lane in 0..LANES {
            if there[lane] < durable[lane] {
                let lost = durable[lane] - there[lane];
                let _ =
                    write!(wrong, "lane {lane}: the last {lost} acknowledged writes are gone; ");
            }
            self.check_lane(load, lane, there, &mut wrong);
        }
        self.check_trees(&mut wrong);
        self.check_debts(&mut wrong);
        if wrong.is_empty() { Ok(there) } else { Err(wrong) }
    }

    /// What is there is what the first operations of the lane leave, all of them and no others.
    fn check_lane(&self, load: &Load, lane: usize, there: Counts, wrong: &mut String) {
        let mut last = [None; KEYS];
        let (mut leased, mut mark) = (None, 0);
        for number in 0..there[lane] {
            match load.op(lane, number) {
                Op::Put { key, .. } | Op::Delete { key } => last[key] = Some(number),
                Op::Lease => leased = Some(lease(number)),
                Op::Raise => mark = number + 1,
            }
        }
        if lane == 0 && (self.lease != leased || self.mark != mark) {
            let _ = write!(wrong, "the lease or the mark went back; ");
        }
        for (at, last) in last.into_iter().enumerate() {
            let key = load.key(lane, at);
            if let Err(text) = self.check_key(load, lane, key, last, there) {
                let _ = write!(wrong, "{key:?}: {text}; ");
            }
        }
    }

    fn check_key(
        &self,
        load: &Load,
        lane: usize,
        key: &Key,
        last: Option<u64>,
        there: Counts,
    ) -> Result<(), String> {
        let stored = self.objects.get(key);
        let found = stored.map(|stored| Self::writer(key, stored)).transpose()?;
        if found != last {
            return Err(format!("a hole: operation {last:?} is the last, {found:?} is there"));
        }
        let (Some(number), Some(stored)) = (last, stored) else { return Ok(()) };
        let deleted = matches!(load.op(lane, number), Op::Delete { .. });
        match &stored.object.versions[0].content {
            Content::Tombstone if deleted => Ok(()),
            Content::Value { bytes: Some(bytes), .. } if !deleted => {
                let before = load.check_value(lane, number, bytes)?;
                if (0..LANES).any(|lane| before[lane] > there[lane]) {
                    return Err(format!("a hole: {before:?} was there before it, {there:?} is"));
                }
                Ok(())
            }
            Content::Tombstone | Content::Value { .. } => {
                Err(format!("operation {number} left {:?}", stored.object.versions))
            }
        }
    }

    fn check_trees(&self, wrong: &mut String) {
        let mut sums: BTreeMap<Position, u128> = BTreeMap::new();
        for (key, stored) in &self.objects {
            let sum = sums.entry(position(key)).or_default();
            *sum = sum.wrapping_add(tree::contribution(key, Some(&stored.object)));
        }
        let of = |tree: &Tree| {
            let sums = sums.iter().filter(|(position, _)| position.tree == *tree);
            sums.map(|(position, sum)| (position.leaf, *sum)).collect::<Sums>()
        };
        if self.sums.iter().any(|(tree, found)| of(tree) != *found) {
            wrong.push_str("the trees don't agree with the data; ");
        }
    }

    fn check_debts(&self, wrong: &mut String) {
        let mut debts: BTreeMap<NodeId, Debt> = BTreeMap::new();
        for owed in self.objects.values().flat_map(|stored| &stored.owed) {
            let (owner, after) = (owed.owner, Some(*owed));
            debts.entry(owner).or_default().apply(&DebtChange { owner, before: None, after });
        }
        if debts != self.debts {
            wrong.push_str("the hints don't agree with the heads; ");
        }
    }
}
