//! The disk of one simulated node: the core's Store port in memory, with a tail that is not durable yet.
//!
//! A sync makes durable what was written before it began. A crash takes back a random part of the tail, the last writes
//! first, so what survives is always a prefix of what was written, as with a write-ahead log.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;

use bytes::Bytes;
use kinfold_protocol::causality::{Debt, DebtChange, Marks, Owed};
use kinfold_protocol::cbor;
use kinfold_protocol::encoding;
use kinfold_protocol::id::{BucketName, Key, NodeId};
use kinfold_protocol::io::{StoreEvent, saved};
use kinfold_protocol::replica::Ticket;
use kinfold_protocol::ring::{Partition, Position, Tree};
use kinfold_protocol::store::{Bodies, DueChange, DueKey, Store, StoreError, Stored, Write};
use kinfold_protocol::time::Expiry;
use kinfold_protocol::tree::{self, Sums};

use crate::rng::Rng;

/// Values up to so many bytes stand in the head.
const INLINE: u32 = 64;

/// One in so many writes goes through the encoding.
const ENCODED: u64 = 8;

/// How much of what is not durable is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Nothing, as when only the process ends.
    Nothing,
    /// The last writes, from none to all: a power cut.
    Some,
    /// Everything.
    All,
}

/// What undoes one write.
#[derive(Clone, Debug)]
enum Undo {
    Object {
        key: Key,
        position: Position,
        before: Option<Box<Stored>>,
        leaf_change: u128,
        debts: Vec<DebtChange>,
        due: DueChange,
        tombstones: i8,
    },
    Saved {
        name: String,
        before: Option<Bytes>,
    },
    Marks(Vec<(Tree, Marks)>),
}

impl Undo {
    fn key(&self) -> Option<&Key> {
        match self {
            Self::Object { key, .. } => Some(key),
            Self::Saved { .. } | Self::Marks(_) => None,
        }
    }
}

/// The disk of one node.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    objects: BTreeMap<Partition, BTreeMap<Key, (Position, Stored)>>,
    leaves: BTreeMap<Position, u128>,
    marks: BTreeMap<Tree, Marks>,
    saved: BTreeMap<String, Bytes>,
    hints: BTreeMap<(NodeId, Partition, Key), Owed>,
    due: BTreeSet<DueKey>,
    tombstones: i64,
    /// The tail: how to take back what is not durable, oldest first.
    tail: VecDeque<Undo>,
    written: u64,
    key_writes: u64,
    /// Jobs to be told of once so many writes are durable.
    waiting: VecDeque<(u64, Ticket)>,
    /// The sync in progress makes so many writes durable.
    syncing: Option<u64>,
    full: bool,
    /// The next sync fails.
    doomed: bool,
    /// A sync has failed: nothing is read or written any more.
    poisoned: bool,
    /// Keys whose records can't be read.
    unreadable: BTreeSet<Key>,
    /// Ways in which the core broke the contract of the port.
    breaches: Vec<String>,
}

impl Disk {
    /// A piece of the node's own state.
    #[must_use]
    pub fn saved(&self, name: &str) -> Option<&Bytes> {
        self.saved.get(name)
    }

    /// What is visible of a key.
    #[must_use]
    pub fn visible(&self, key: &Key) -> Option<&Stored> {
        self.objects.values().find_map(|keys| keys.get(key)).map(|(_, stored)| stored)
    }

    /// All that is visible.
    pub fn all(&self) -> impl Iterator<Item = (&Key, &Position, &Stored)> {
        let all = self.objects.values().flatten();
        all.map(|(key, (position, stored))| (key, position, stored))
    }

    /// How many writes of keys were made.
    #[must_use]
    pub fn key_writes(&self) -> u64 {
        self.key_writes
    }

    /// Is there room for nothing more?
    pub fn set_full(&mut self, full: bool) {
        self.full = full;
    }

    /// The next sync fails, and after that nothing is read or written until the node is started anew.
    pub fn doom(&mut self) {
        self.doomed = true;
    }

    /// The disk is sound and has room.
    pub fn mend(&mut self) {
        self.full = false;
        self.doomed = false;
        self.poisoned = false;
    }

    /// Has a sync failed, or will the next one?
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.doomed || self.poisoned
    }

    /// A record, of those that are durable, can't be read any more. Says whether there was one.
    pub fn damage(&mut self, rng: &mut Rng) -> bool {
        let fresh: BTreeSet<&Key> = self.tail.iter().filter_map(Undo::key).collect();
        let keys: Vec<Key> =
            self.all().map(|(key, ..)| key.clone()).filter(|key| !fresh.contains(key)).collect();
        let damaged = (!keys.is_empty()).then(|| rng.pick(&keys).clone());
        self.unreadable.extend(damaged.clone());
        damaged.is_some()
    }

    /// Is there a record that can't be read?
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        !self.unreadable.is_empty()
    }

    /// What a shell does before it starts a node on a damaged disk: what can't be read is taken out, with all that claims that
    /// it is there, and the node is told of which partitions something is lost.
    pub fn take_out(&mut self, mut lost: BTreeSet<Partition>, forget_marks: bool) {
        for key in core::mem::take(&mut self.unreadable) {
            for keys in self.objects.values_mut() {
                if let Some((position, stored)) = keys.remove(&key) {
                    self.tombstones -= i64::from(stored.object.is_tombstone());
                    let leaf = self.leaves.entry(position).or_default();
                    *leaf = leaf.wrapping_sub(tree::contribution(&key, Some(&stored.object)));
                    lost.insert(position.tree.partition);
                }
            }
            self.hints.retain(|(_, _, owed), _| *owed != key);
            self.due.retain(|(_, _, due)| *due != key);
        }
        if forget_marks {
            self.marks.retain(|tree, _| !lost.contains(&tree.partition));
        }
        self.saved.insert(saved::LOST.to_owned(), cbor::encode(&lost).into());
    }

    /// A job that writes was carried out: it is to be told of once all that is written by now is durable. Says whether it is
    /// already.
    pub fn await_sync(&mut self, ticket: Ticket) -> bool {
        if self.tail.is_empty() && self.waiting.is_empty() {
            return true;
        }
        self.waiting.push_back((self.written, ticket));
        false
    }

    /// Begins a sync, if there is need of one and none is in progress.
    pub fn begin_sync(&mut self) -> bool {
        let needed = self.syncing.is_none() && !self.waiting.is_empty();
        if needed {
            self.syncing = Some(self.written);
        }
        needed
    }

    /// The sync in progress ends: what is to be told of it.
    pub fn end_sync(&mut self) -> Vec<StoreEvent> {
        let Some(upto) = self.syncing.take() else {
            return Vec::new();
        };
        if self.is_failing() {
            self.poisoned = true;
            let error = StoreError::Poisoned("simulated".into());
            let failed = |(_, ticket)| StoreEvent::SyncFailed { ticket, error: error.clone() };
            return self.waiting.drain(..).map(failed).collect();
        }
        let volatile = usize::try_from(self.written - upto).expect("the tail fits in memory");
        self.tail.drain(..self.tail.len() - volatile);
        let told = self.waiting.partition_point(|(number, _)| *number <= upto);
        self.waiting.drain(..told).map(|(_, ticket)| StoreEvent::Synced { ticket }).collect()
    }

    /// Makes everything durable at once.
    pub fn sync_all(&mut self) {
        self.tail.clear();
        self.waiting.clear();
        self.syncing = None;
    }

    /// The node ends without notice. Of the writes that are not durable, the last ones are lost.
    pub fn crash(&mut self, rng: &mut Rng, loss: Loss) {
        let lost = match loss {
            Loss::Nothing => 0,
            Loss::Some => rng.index(self.tail.len() + 1),
            Loss::All => self.tail.len(),
        };
        for _ in 0..lost {
            self.undo_last();
        }
        self.sync_all();
        self.doomed = false;
        self.poisoned = false;
    }

    fn undo_last(&mut self) {
        match self.tail.pop_back() {
            Some(Undo::Object { key, position, before, leaf_change, debts, due, tombstones }) => {
                let back = DueChange { before: due.after, after: due.before };
                self.change_due(position.tree.partition, &key, back);
                self.tombstones -= i64::from(tombstones);
                for DebtChange { owner, before, after } in debts {
                    let back = DebtChange { owner, before: after, after: before };
                    self.change_debt(position.tree.partition, &key, &back);
                }
                let leaf = self.leaves.entry(position).or_default();
                *leaf = leaf.wrapping_sub(leaf_change);
                let keys = self.objects.entry(position.tree.partition).or_default();
                match before {
                    Some(stored) => keys.insert(key, (position, *stored)),
                    None => keys.remove(&key),
                };
            }
            Some(Undo::Marks(before)) => {
                for (tree, marks) in before.into_iter().rev() {
                    self.marks.insert(tree, marks);
                }
            }
            Some(Undo::Saved { name, before: Some(bytes) }) => {
                self.saved.insert(name, bytes);
            }
            Some(Undo::Saved { name, before: None }) => {
                self.saved.remove(&name);
            }
            None => {}
        }
    }

    fn change_debt(&mut self, partition: Partition, key: &Key, change: &DebtChange) {
        let at = (change.owner, partition, key.clone());
        let before = match change.after {
            Some(owed) => self.hints.insert(at, owed),
            None => self.hints.remove(&at),
        };
        if before != change.before {
            self.breaches.push(format!("a hint of {key:?} was {before:?}, and {change:?} came"));
        }
    }

    fn change_due(&mut self, partition: Partition, key: &Key, change: DueChange) {
        let at = |due: Option<Expiry>| Some((due?, partition, key.clone()));
        let known = at(change.before).is_none_or(|before| self.due.remove(&before));
        let new = at(change.after).is_none_or(|after| self.due.insert(after));
        if !known || !new {
            self.breaches.push(format!("{key:?} was not due as {change:?} says"));
        }
    }

    /// Of how many keys only a delete is left.
    #[must_use]
    pub fn tombstones(&self) -> i64 {
        self.tombstones
    }

    /// What is owed to other nodes, for the node's start.
    #[must_use]
    pub fn debts(&self) -> BTreeMap<NodeId, Debt> {
        let mut debts: BTreeMap<NodeId, Debt> = BTreeMap::new();
        for ((owner, ..), owed) in &self.hints {
            let change = DebtChange { owner: *owner, before: None, after: Some(*owed) };
            debts.entry(*owner).or_default().apply(&change);
        }
        debts
    }

    /// The ways in which the core broke the contract of the port, and leaves whose sum is not that of their keys.
    #[must_use]
    pub fn breaches(&self) -> Vec<String> {
        let mut sums: BTreeMap<Position, u128> = BTreeMap::new();
        for (key, position, stored) in self.all() {
            let sum = sums.entry(*position).or_default();
            *sum = sum.wrapping_add(tree::contribution(key, Some(&stored.object)));
        }
        let wrong = self
            .leaves
            .iter()
            .filter(|(position, sum)| sums.get(*position).copied().unwrap_or_default() != **sum);
        let wrong = wrong.map(|(at, _)| format!("the sum of leaf {at:?} is not that of its keys"));
        let noted: usize = self.all().map(|(_, _, stored)| stored.owed.len()).sum();
        let hints = self.hints.len();
        let lost =
            (noted != hints).then(|| format!("{noted} debts are noted, {hints} hints are kept"));
        let due = self.all().filter_map(|(key, position, stored)| {
            Some((stored.object.due()?, position.tree.partition, key.clone()))
        });
        let due: BTreeSet<DueKey> = due.collect();
        let undue = (due != self.due)
            .then(|| format!("{due:?} are due, and {:?} are kept as such", self.due));
        let left = self.all().filter(|(_, _, stored)| stored.object.is_tombstone()).count() as i64;
        let miscounted = (left != self.tombstones)
            .then(|| format!("{left} tombstones are kept, and {} counted", self.tombstones));
        let found = self.breaches.iter().cloned().chain(wrong).chain(lost);
        found.chain(undue).chain(miscounted).collect()
    }

    fn refuse_if_poisoned(&self) -> Result<(), StoreError> {
        if self.poisoned { Err(StoreError::Poisoned("simulated".into())) } else { Ok(()) }
    }

    fn refuse_if_unreadable(&self, key: &Key) -> Result<(), StoreError> {
        let damaged = StoreError::Corrupt("simulated".into());
        if self.unreadable.contains(key) { Err(damaged) } else { Ok(()) }
    }

    fn refuse_if_unable(&self) -> Result<(), StoreError> {
        self.refuse_if_poisoned()?;
        let full = StoreError::DiskFull { free_mib: 1, reserve_mib: 64 };
        if self.full { Err(full) } else { Ok(()) }
    }

    fn check(&mut self, write: &Write, complete: &Stored) {
        if complete.versions().any(|v| v.content.lacks_bytes()) {
            let before = self.visible(&write.key).map(|stored| &stored.object.versions);
            let text = format!(
                "{:?} was written without bytes that are not here: {:?}, after {before:?}",
                write.key, complete.object.versions
            );
            self.breaches.push(text);
        }
        let kept = |digest| complete.versions().any(|v| v.content.digest() == Some(digest));
        if write.dropped.iter().any(|(digest, _)| kept(*digest)) {
            self.breaches.push(format!("{:?} drops a value that it keeps", write.key));
        }
    }
}

impl Store for Disk {
    fn read(
        &self,
        key: &Key,
        position: Position,
        bodies: Bodies,
    ) -> Result<Option<Stored>, StoreError> {
        self.refuse_if_poisoned()?;
        self.refuse_if_unreadable(key)?;
        let keys = self.objects.get(&position.tree.partition);
        let stored = keys.and_then(|keys| keys.get(key)).map(|(_, stored)| match bodies {
            Bodies::All => stored.clone(),
            Bodies::Heads => head(stored),
        });
        Ok(stored)
    }

    fn hints(
        &self,
        owner: NodeId,
        after: Option<&(Partition, Key)>,
        limit: usize,
    ) -> Result<Vec<(Partition, Key)>, StoreError> {
        self.refuse_if_poisoned()?;
        let all = self.hints.keys().filter(|(to, ..)| *to == owner);
        let all = all.map(|(_, partition, key)| (*partition, key.clone()));
        Ok(all.filter(|at| after.is_none_or(|after| at > after)).take(limit).collect())
    }

    fn due(
        &self,
        upto: Expiry,
        after: Option<&DueKey>,
        limit: usize,
    ) -> Result<Vec<DueKey>, StoreError> {
        self.refuse_if_poisoned()?;
        let later = self.due.iter().filter(|due| after.is_none_or(|after| *due > after));
        Ok(later.take_while(|(at, ..)| *at <= upto).take(limit).cloned().collect())
    }

    fn write(&mut self, write: Write) -> Result<(), StoreError> {
        if write.gives_room() {
            self.refuse_if_poisoned()?;
        } else {
            self.refuse_if_unable()?;
        }
        let keys = self.objects.entry(write.position.tree.partition).or_default();
        let before = keys.get(&write.key).map(|(_, stored)| Box::new(stored.clone()));
        let mut stored = write.stored.clone();
        if let Some(before) = &before {
            stored.adopt_bytes(before);
        }
        self.check(&write, &stored);
        if self.written.is_multiple_of(ENCODED) {
            let bytes = encoding::encode_stored(&stored, u32::MAX);
            match encoding::decode_stored(&bytes) {
                Ok(decoded) if decoded == stored => stored = decoded,
                other => self.breaches.push(format!("{:?} was encoded to {other:?}", write.key)),
            }
        }
        let Write { key, position, leaf_change, debts, due, tombstones, .. } = write;
        self.change_due(position.tree.partition, &key, due);
        self.tombstones += i64::from(tombstones);
        let leaf = self.leaves.entry(position).or_default();
        *leaf = leaf.wrapping_add(leaf_change);
        for change in &debts {
            self.change_debt(position.tree.partition, &key, change);
        }
        let keys = self.objects.entry(position.tree.partition).or_default();
        if stored == Stored::default() {
            keys.remove(&key);
        } else {
            keys.insert(key.clone(), (position, stored));
        }
        let undo = Undo::Object { key, position, before, leaf_change, debts, due, tombstones };
        self.tail.push_back(undo);
        self.written += 1;
        self.key_writes += 1;
        Ok(())
    }

    fn sums(&self, tree: Tree) -> Result<Sums, StoreError> {
        self.refuse_if_poisoned()?;
        let leaves = Position { tree, leaf: 0 }..=Position { tree, leaf: u16::MAX };
        Ok(self.leaves.range(leaves).map(|(position, sum)| (position.leaf, *sum)).collect())
    }

    fn heads(
        &self,
        partition: Partition,
        bucket: &BucketName,
        after: Option<&Bytes>,
        limit: usize,
    ) -> Result<Vec<(Bytes, Stored)>, StoreError> {
        self.refuse_if_poisoned()?;
        let Some(keys) = self.objects.get(&partition) else {
            return Ok(Vec::new());
        };
        let at = |key: &Bytes| Key { bucket: bucket.clone(), key: key.clone() };
        let from = match after {
            Some(after) => Bound::Excluded(at(after)),
            None => Bound::Included(at(&Bytes::new())),
        };
        let heads =
            keys.range((from, Bound::Unbounded)).take_while(|(key, _)| key.bucket == *bucket);
        let heads = heads.take(limit).map(|(key, (_, stored))| {
            self.refuse_if_unreadable(key)?;
            Ok((key.key.clone(), head(stored)))
        });
        heads.collect()
    }

    fn marks(&self, tree: Tree) -> Result<Marks, StoreError> {
        self.refuse_if_poisoned()?;
        Ok(self.marks.get(&tree).cloned().unwrap_or_default())
    }

    fn raise_marks(&mut self, marks: &[(Tree, Marks)]) -> Result<(), StoreError> {
        self.refuse_if_poisoned()?;
        let mut undo = Vec::new();
        for (tree, marks) in marks {
            let here = self.marks.entry(*tree).or_default();
            undo.push((*tree, here.clone()));
            here.unite(marks);
        }
        self.tail.push_back(Undo::Marks(undo));
        self.written += 1;
        Ok(())
    }

    fn forget_marks(&mut self, tree: Tree) -> Result<(), StoreError> {
        self.refuse_if_poisoned()?;
        let before = self.marks.remove(&tree).unwrap_or_default();
        self.tail.push_back(Undo::Marks(vec![(tree, before)]));
        self.written += 1;
        Ok(())
    }

    fn save(&mut self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.refuse_if_unable()?;
        let before = self.saved.insert(name.to_owned(), Bytes::copy_from_slice(bytes));
        self.tail.push_back(Undo::Saved { name: name.to_owned(), before });
        self.written += 1;
        Ok(())
    }
}

/// Without the bytes of larger values.
fn head(stored: &Stored) -> Stored {
    let mut head = stored.clone();
    for version in head.versions_mut().filter(|v| v.content.len() > INLINE) {
        version.content = version.content.head();
    }
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saved(disk: &Disk) -> Vec<&[u8]> {
        disk.saved.values().map(Bytes::as_ref).collect()
    }

    #[test]
    fn a_crash_loses_the_end_of_the_tail_and_nothing_that_was_synced() {
        for seed in 0..50 {
            let mut disk = Disk::default();
            disk.save("a", b"1").unwrap();
            assert!(!disk.await_sync(Ticket(1)));
            assert!(disk.begin_sync());
            disk.save("b", b"2").unwrap();
            disk.await_sync(Ticket(2));
            assert_eq!(disk.end_sync(), [StoreEvent::Synced { ticket: Ticket(1) }]);
            disk.save("c", b"3").unwrap();
            disk.crash(&mut Rng::new(seed), Loss::Some);
            let all: [&[u8]; 3] = [b"1", b"2", b"3"];
            let left = saved(&disk);
            assert!(!left.is_empty() && left == all[..left.len()], "{left:?}");
        }
    }

    #[test]
    fn after_a_failed_sync_nothing_is_taken() {
        let mut disk = Disk::default();
        disk.save("a", b"1").unwrap();
        disk.await_sync(Ticket(1));
        disk.begin_sync();
        disk.doom();
        assert!(matches!(disk.end_sync().as_slice(), [StoreEvent::SyncFailed { .. }]));
        assert!(disk.save("b", b"2").is_err());
        disk.crash(&mut Rng::new(1), Loss::Some);
        assert!(disk.save("b", b"2").is_ok());
    }
}
