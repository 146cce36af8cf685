//! The core's [`Store`] port over the engine: one write is one atomic batch.

use std::ops::Bound;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use fjall::{Readable, Slice, Snapshot};
use kinfold_protocol::causality::{Content, Digest, Marks};
use kinfold_protocol::encoding;
use kinfold_protocol::id::{BucketName, Key, NodeId};
use kinfold_protocol::ring::{Partition, Position, Tree};
use kinfold_protocol::store::{Bodies, DueKey, Store, StoreError, Stored, Write};
use kinfold_protocol::time::Expiry;
use kinfold_protocol::tree::Sums;

use crate::fault::{corrupt, read_failed};
use crate::{Disk, keys};

/// Values up to so many bytes stand in the head itself. It may fall in later versions, not rise: bodies that would then
/// count as small are removed only while they count as large.
pub const INLINE: u32 = 512;

/// How the record of a head is laid out: the first byte of each.
const FORMAT: u8 = 1;

impl Store for Disk {
    fn read(
        &self,
        key: &Key,
        position: Position,
        bodies: Bodies,
    ) -> Result<Option<Stored>, StoreError> {
        self.alive()?;
        let engine = self.engine();
        let head = keys::head(key, position.tree.partition);
        match bodies {
            Bodies::Heads => engine.heads.get(&head).map_err(read_failed)?.map(decode).transpose(),
            Bodies::All => {
                // One view of both: a write in between would replace the head and remove the body.
                let snapshot = engine.database.snapshot();
                let Some(record) = snapshot.get(&engine.heads, &head).map_err(read_failed)? else {
                    return Ok(None);
                };
                let mut stored = decode(record)?;
                for version in stored.versions_mut() {
                    if let Content::Value { digest, len, bytes: bytes @ None } =
                        &mut version.content
                    {
                        *bytes = Some(self.body(&snapshot, &head, digest, *len)?);
                    }
                }
                Ok(Some(stored))
            }
        }
    }

    fn hints(
        &self,
        owner: NodeId,
        after: Option<&(Partition, Key)>,
        limit: usize,
    ) -> Result<Vec<(Partition, Key)>, StoreError> {
        self.hints_of(owner, after, limit)
    }

    fn due(
        &self,
        upto: Expiry,
        after: Option<&DueKey>,
        limit: usize,
    ) -> Result<Vec<DueKey>, StoreError> {
        self.due_keys(upto, after, limit)
    }

    fn write(&mut self, write: Write) -> Result<(), StoreError> {
        self.alive()?;
        if !write.gives_room() {
            self.room()?;
        }
        let engine = self.engine();
        let Write { key, position, stored, dropped, leaf_change, debts, due, tombstones } = write;
        let head = keys::head(&key, position.tree.partition);
        let mut batch = engine.database.batch();
        for version in stored.versions() {
            let Content::Value { digest, len, bytes } = &version.content else {
                continue;
            };
            if bytes.is_some() && *len <= INLINE {
                continue;
            }
            let body = keys::body(&head, digest);
            let known = engine.bodies.contains_key(&body).map_err(read_failed)?;
            match bytes {
                Some(bytes) if !known => batch.insert(&engine.bodies, body, bytes.clone()),
                None if !known => return Err(corrupt("the bytes of a stored value are missing")),
                Some(_) | None => {}
            }
        }
        for (digest, _) in dropped.iter().filter(|(_, len)| *len > INLINE) {
            batch.remove(&engine.bodies, keys::body(&head, digest));
        }
        if stored == Stored::default() {
            batch.remove(&engine.heads, head);
        } else {
            batch.insert(&engine.heads, head, encode(&stored));
        }
        for change in &debts {
            self.change_hint(&mut batch, position.tree.partition, &key, change);
        }
        self.change_due(&mut batch, position.tree.partition, &key, due);
        if leaf_change == 0 && tombstones == 0 {
            return self.commit(batch);
        }
        let mut sums = self.leaves().lock(position);
        let leaf = match sums.leaves.get(&position) {
            Some(sum) => *sum,
            None => self.leaf(position)?,
        };
        let leaf = leaf.wrapping_add(leaf_change);
        if leaf_change != 0 {
            batch.insert(&engine.trees, keys::leaf(position), leaf.to_be_bytes());
        }
        let tree = position.tree;
        let were = match sums.tombstones.get(&tree) {
            Some(were) => *were,
            None => self.tombstones_of(tree)?,
        };
        let left = were.saturating_add_signed(tombstones.into());
        if tombstones != 0 {
            batch.insert(&engine.tombstones, keys::tree(tree), left.to_be_bytes());
        }
        self.commit(batch)?;
        sums.leaves.insert(position, leaf);
        sums.tombstones.insert(tree, left);
        let all = &self.leaves().tombstones;
        all.fetch_add(left.wrapping_sub(were), Ordering::Relaxed);
        Ok(())
    }

    fn sums(&self, tree: Tree) -> Result<Sums, StoreError> {
        self.alive()?;
        let leaf = |leaf| keys::leaf(Position { tree, leaf });
        let found = self.engine().trees.range(leaf(0)..=leaf(u16::MAX));
        let sums = found.map(|entry| {
            let (key, sum) = entry.into_inner().map_err(read_failed)?;
            let leaf =
                keys::parse_leaf(&key).ok_or_else(|| corrupt("a sum stands under no leaf"))?;
            Ok((leaf, decode_sum(&sum)?))
        });
        sums.collect()
    }

    fn heads(
        &self,
        partition: Partition,
        bucket: &BucketName,
        after: Option<&Bytes>,
        limit: usize,
    ) -> Result<Vec<(Bytes, Stored)>, StoreError> {
        self.alive()?;
        let at = |key: Bytes| keys::head(&Key { bucket: bucket.clone(), key }, partition);
        let all = at(Bytes::new());
        let from = match after {
            Some(after) => Bound::Excluded(at(after.clone())),
            None => Bound::Included(all.clone()),
        };
        let mut heads = Vec::new();
        for entry in self.engine().heads.range::<Vec<u8>, _>((from, Bound::Unbounded)).take(limit) {
            let (head, record) = entry.into_inner().map_err(read_failed)?;
            let Some(key) = head.strip_prefix(all.as_slice()) else {
                break;
            };
            heads.push((Bytes::copy_from_slice(key), decode(record)?));
        }
        Ok(heads)
    }

    fn marks(&self, tree: Tree) -> Result<Marks, StoreError> {
        self.marks_of(tree)
    }

    fn raise_marks(&mut self, marks: &[(Tree, Marks)]) -> Result<(), StoreError> {
        self.raise(marks)
    }

    fn forget_marks(&mut self, tree: Tree) -> Result<(), StoreError> {
        self.forget(tree)
    }

    fn save(&mut self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.alive()?;
        // Also on a nearly full disk: it is a few hundred bytes, and without them the node could not stop in good order.
        let engine = self.engine();
        let mut batch = engine.database.batch();
        batch.insert(&engine.node, name, bytes);
        self.commit(batch)
    }
}

/// A leaf's sum from its bytes.
pub(crate) fn decode_sum(bytes: &[u8]) -> Result<u128, StoreError> {
    let bytes = bytes.try_into();
    bytes.map(u128::from_be_bytes).map_err(|_| corrupt("a leaf's sum is not 16 bytes long"))
}

fn encode(stored: &Stored) -> Vec<u8> {
    let mut record = encoding::encode_stored(stored, INLINE);
    record.insert(0, FORMAT);
    record
}

/// A head from its record.
pub(crate) fn decode(record: Slice) -> Result<Stored, StoreError> {
    match record.split_first() {
        Some((&FORMAT, record)) => {
            encoding::decode_stored(record).map_err(|error| StoreError::Corrupt(error.to_string()))
        }
        Some((format, _)) => Err(StoreError::Corrupt(format!(
            "a head has format {format}, this version knows {FORMAT}"
        ))),
        None => Err(corrupt("a head is empty")),
    }
}

impl Disk {
    /// The bytes of a value, checked against its digest.
    pub(crate) fn body(
        &self,
        snapshot: &Snapshot,
        head: &[u8],
        digest: &Digest,
        len: u32,
    ) -> Result<Bytes, StoreError> {
        let found = snapshot.get(&self.engine().bodies, keys::body(head, digest));
        let bytes = found
            .map_err(read_failed)?
            .map(Bytes::from)
            .ok_or_else(|| corrupt("the bytes of a value are missing"))?;
        if bytes.len() == len as usize && Digest::of(&bytes) == *digest {
            Ok(bytes)
        } else {
            Err(corrupt("the bytes of a value do not have its digest"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Options;
    use kinfold_protocol::causality::{Dot, Version};
    use kinfold_protocol::id::Actor;
    use kinfold_protocol::store::DueChange;
    use kinfold_protocol::time::Timestamp;

    fn stored(seed: u8) -> Stored {
        let dot = Dot { time: Timestamp(seed.into()), actor: Actor(1) };
        let content = Content::value(vec![seed; 2_000].into());
        let mut stored = Stored::default();
        stored.object.versions.push(Version::new(dot, content));
        stored
    }

    #[test]
    fn a_body_goes_when_no_head_names_it_and_a_head_without_its_body_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let options = Options { reserve_mib: 0, ..Options::default() };
        let mut disk = Disk::open(directory.path(), &options).unwrap();
        let key = Key { bucket: BucketName::new("b").unwrap(), key: Bytes::from_static(b"k") };
        let position = Position { tree: Tree { partition: Partition(3), copies: 3 }, leaf: 7 };
        let write = |stored, dropped| Write {
            key: key.clone(),
            position,
            stored,
            dropped,
            leaf_change: 1,
            debts: vec![],
            due: DueChange::default(),
            tombstones: 0,
        };
        let named = |disk: &Disk| disk.engine().bodies.iter().count();
        let digest = |stored: &Stored| stored.object.versions[0].content.digest().unwrap();

        disk.write(write(stored(1), vec![])).unwrap();
        assert_eq!(named(&disk), 1);
        // The same value again, without its bytes: they are here.
        let head = Stored { object: stored(1).object.head(0), ..Stored::default() };
        disk.write(write(head, vec![])).unwrap();
        assert_eq!(named(&disk), 1);
        disk.write(write(stored(2), vec![(digest(&stored(1)), 2_000)])).unwrap();
        assert_eq!(named(&disk), 1);
        let head = Stored { object: stored(3).object.head(0), ..Stored::default() };
        assert!(matches!(disk.write(write(head, vec![])), Err(StoreError::Corrupt(_))));
        assert_eq!(disk.leaf(position), Ok(3), "what was refused left no trace");
        disk.write(write(Stored::default(), vec![(digest(&stored(2)), 2_000)])).unwrap();
        assert_eq!(named(&disk), 0);
        assert_eq!(disk.read(&key, position, Bodies::Heads), Ok(None));
    }
}
