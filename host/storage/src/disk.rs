//! The core's [`Store`] port over the engine: one write is one atomic batch.

use std::ops::Bound;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use fjall::{PersistMode, Readable, Slice, Snapshot};
use kinfold_protocol::causality::{Content, Digest};
use kinfold_protocol::encoding;
use kinfold_protocol::id::Key;
use kinfold_protocol::ring::{Partition, Position};
use kinfold_protocol::store::{Bodies, Store, StoreError, Stored, Write};

use crate::engine::Engine;
use crate::fault::read_failed;
use crate::journal::{Journal, Tails};
use crate::leaves::Leaves;
use crate::space::Space;
use crate::stats::{Counters, Stats};
use crate::{OpenError, Options, keys};

/// Values up to so many bytes stand in the head itself. It may fall in later versions, not rise: bodies that would then
/// count as small are removed only while they count as large.
pub const INLINE: u32 = 512;

/// At most: the first finds out which values are gone, each other one leaves half of the files that hold too many of them.
const COMPACTION_PASSES: usize = 8;

/// How the record of a head is laid out: the first byte of each.
const FORMAT: u8 = 1;

/// A replica's disk. Clones share it, and any thread may use any clone; two threads must not write one key at one time.
#[derive(Clone)]
pub struct Disk {
    shared: Arc<Shared>,
}

struct Shared {
    engine: Engine,
    cut_bytes: u64,
    leaves: Leaves,
    space: Space,
    journal: Mutex<Journal>,
    /// Why the store takes nothing more.
    poison: OnceLock<String>,
    /// Batches committed, and how many of them are durable.
    commits: AtomicU64,
    durable: AtomicU64,
    counters: Counters,
}

impl Disk {
    /// Opens or makes the store in the directory `path`.
    ///
    /// What the journal holds of an earlier life is replayed, and durable when this returns.
    ///
    /// # Errors
    /// [`OpenError`] if it is in use, damaged or not accessible.
    pub fn open(path: &Path, options: &Options) -> Result<Self, OpenError> {
        let tails = Tails::look(path)?;
        let engine = Engine::open(path, options)?;
        let cut_bytes = tails.cut()?;
        if cut_bytes > 0 {
            tracing::warn!(cut_bytes, "the end of the journal made no sense and was cut off");
        }
        let shared = Shared {
            engine,
            cut_bytes,
            leaves: Leaves::new(),
            space: Space::new(path, options.reserve_mib),
            journal: Mutex::new(Journal::new(path)),
            poison: OnceLock::new(),
            commits: AtomicU64::new(0),
            durable: AtomicU64::new(0),
            counters: Counters::default(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// How many bytes at the end of the journal made no sense when it was opened, and were cut off.
    ///
    /// After a crash that is the write that was under way, and possibly others that nobody was told of. After an orderly
    /// stop it is damage, and acknowledged writes are missing: then the node must not go on as the same actor.
    #[must_use]
    pub fn cut_bytes(&self) -> u64 {
        self.shared.cut_bytes
    }

    /// Makes every write durable that was applied before this call. Commits go on meanwhile.
    ///
    /// # Errors
    /// [`StoreError::Poisoned`]: it is unknown which of them are durable, and the store takes nothing more.
    pub fn sync(&self) -> Result<(), StoreError> {
        self.alive()?;
        let shared = &*self.shared;
        let applied = shared.commits.load(Ordering::Acquire);
        if shared.durable.load(Ordering::Acquire) >= applied {
            return Ok(());
        }
        let started = Instant::now();
        let flush = || shared.engine.database.persist(PersistMode::Buffer);
        let mut journal = shared.journal.lock().unwrap_or_else(PoisonError::into_inner);
        flush().map_err(|error| self.poison(&error.to_string()))?;
        journal.sync().map_err(|error| self.poison(&error.to_string()))?;
        // The engine, too, syncs a journal that is full: had that failed, it would refuse this.
        flush().map_err(|error| self.poison(&error.to_string()))?;
        shared.durable.fetch_max(applied, Ordering::AcqRel);
        shared.counters.synced(started.elapsed());
        Ok(())
    }

    /// A piece of the node's own state; `None` if there is none of that name.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] or [`StoreError::Io`] if it can't be read, [`StoreError::Poisoned`] after a failed write.
    pub fn load(&self, name: &str) -> Result<Option<Bytes>, StoreError> {
        self.alive()?;
        let found = self.shared.engine.node.get(name).map_err(read_failed)?;
        Ok(found.map(Bytes::from))
    }

    /// The sum of a leaf; zero if nothing was ever stored there.
    ///
    /// # Errors
    /// As [`Disk::load`].
    pub fn leaf(&self, position: Position) -> Result<u128, StoreError> {
        self.alive()?;
        let found = self.shared.engine.trees.get(keys::leaf(position)).map_err(read_failed)?;
        found.map_or(Ok(0), |bytes| {
            let bytes = bytes.as_ref().try_into();
            bytes.map(u128::from_be_bytes).map_err(|_| corrupt("a leaf's sum is not 16 bytes long"))
        })
    }

    /// The keys of a partition in their order, after `after`, at most `limit`. Fewer than `limit` means that was all.
    ///
    /// # Errors
    /// As [`Disk::load`].
    pub fn partition_keys(
        &self,
        partition: Partition,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<Key>, StoreError> {
        self.alive()?;
        let from = match after {
            Some(key) => Bound::Excluded(keys::head(key, partition)),
            None => Bound::Included(partition.0.to_be_bytes().to_vec()),
        };
        let to = match partition.0.checked_add(1) {
            Some(next) => Bound::Excluded(next.to_be_bytes().to_vec()),
            None => Bound::Unbounded,
        };
        let heads = self.shared.engine.heads.range((from, to)).take(limit);
        heads
            .map(|entry| {
                let bytes = entry.key().map_err(read_failed)?;
                keys::parse_head(&bytes).ok_or_else(|| corrupt("a head stands under no key"))
            })
            .collect()
    }

    /// Writes what is in memory out as tables, and waits for it. Reads and writes go on meanwhile.
    ///
    /// The engine does it by itself as memory fills; this is for a backup, or for an operator who wants a short journal.
    ///
    /// # Errors
    /// [`StoreError::Io`]; what was stored stays as it was.
    pub fn flush(&self) -> Result<(), StoreError> {
        self.alive()?;
        for (_, keyspace) in self.shared.engine.keyspaces() {
            keyspace.rotate_memtable_and_wait().map_err(read_failed)?;
        }
        Ok(())
    }

    /// Compacts everything, and gives back the space of what was replaced or removed. Reads and writes go on meanwhile.
    ///
    /// The engine compacts by itself as it is written to; this is for an operator who wants the space now.
    ///
    /// # Errors
    /// [`StoreError::Io`] or [`StoreError::Corrupt`]; what was stored stays as it was.
    pub fn compact(&self) -> Result<(), StoreError> {
        self.flush()?;
        let bodies = &self.shared.engine.bodies;
        let mut stale = u64::MAX;
        for _ in 0..COMPACTION_PASSES {
            for (_, keyspace) in self.shared.engine.keyspaces() {
                keyspace.major_compact().map_err(read_failed)?;
            }
            self.forget_old_versions()?;
            if bodies.fragmented_blob_bytes() >= stale {
                break;
            }
            stale = bodies.fragmented_blob_bytes();
        }
        Ok(())
    }

    /// Has the engine remove files that no reader needs any more. It does so when a memtable is full, and an idle store's
    /// never is: so it gets one to write out, with nothing in it but the removal of what was never there.
    fn forget_old_versions(&self) -> Result<(), StoreError> {
        let engine = &self.shared.engine;
        let mut batch = engine.database.batch();
        batch.remove(&engine.node, "no piece has this name");
        self.commit(batch)?;
        engine.node.rotate_memtable_and_wait().map_err(read_failed)
    }

    /// The engine's and this disk's own figures.
    ///
    /// # Errors
    /// [`StoreError::Io`] if the file system does not answer.
    pub fn stats(&self) -> Result<Stats, StoreError> {
        let shared = &*self.shared;
        Stats::of(&shared.engine, &shared.counters, shared.space.free_mib()?)
    }

    /// Why the store takes nothing more, if that is so.
    pub(crate) fn alive(&self) -> Result<(), StoreError> {
        match self.shared.poison.get() {
            None => Ok(()),
            Some(reason) => Err(StoreError::Poisoned(reason.clone())),
        }
    }

    /// Stops the store for good. The first reason stays.
    pub(crate) fn poison(&self, reason: &str) -> StoreError {
        let reason = self.shared.poison.get_or_init(|| {
            tracing::error!(reason, "the store stopped: a write failed");
            reason.into()
        });
        StoreError::Poisoned(reason.clone())
    }

    fn commit(&self, batch: fjall::OwnedWriteBatch) -> Result<(), StoreError> {
        let started = Instant::now();
        batch.commit().map_err(|error| self.poison(&error.to_string()))?;
        self.shared.commits.fetch_add(1, Ordering::Release);
        self.shared.counters.committed(started.elapsed());
        Ok(())
    }

    /// The bytes of a value, checked against its digest.
    fn body(
        &self,
        snapshot: &Snapshot,
        head: &[u8],
        digest: &Digest,
        len: u32,
    ) -> Result<Bytes, StoreError> {
        let found = snapshot.get(&self.shared.engine.bodies, keys::body(head, digest));
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

impl Store for Disk {
    fn read(
        &self,
        key: &Key,
        position: Position,
        bodies: Bodies,
    ) -> Result<Option<Stored>, StoreError> {
        self.alive()?;
        let engine = &self.shared.engine;
        let head = keys::head(key, position.partition);
        match bodies {
            Bodies::Heads => engine.heads.get(&head).map_err(read_failed)?.map(decode).transpose(),
            Bodies::All => {
                // One view of both: a write in between would replace the head and remove the body.
                let snapshot = engine.database.snapshot();
                let Some(record) = snapshot.get(&engine.heads, &head).map_err(read_failed)? else {
                    return Ok(None);
                };
                let mut stored = decode(record)?;
                for version in &mut stored.object.versions {
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

    fn write(&mut self, write: Write) -> Result<(), StoreError> {
        self.alive()?;
        self.shared.space.check()?;
        let engine = &self.shared.engine;
        let Write { key, position, stored, dropped, leaf_change } = write;
        let head = keys::head(&key, position.partition);
        let mut batch = engine.database.batch();
        for version in &stored.object.versions {
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
        if leaf_change == 0 {
            return self.commit(batch);
        }
        let mut sums = self.shared.leaves.lock(position);
        let before = match sums.get(&position) {
            Some(sum) => *sum,
            None => self.leaf(position)?,
        };
        let after = before.wrapping_add(leaf_change);
        batch.insert(&engine.trees, keys::leaf(position), after.to_be_bytes());
        self.commit(batch)?;
        sums.insert(position, after);
        Ok(())
    }

    fn save(&mut self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.alive()?;
        self.shared.space.check()?;
        let engine = &self.shared.engine;
        let mut batch = engine.database.batch();
        batch.insert(&engine.node, name, bytes);
        self.commit(batch)
    }
}

fn encode(stored: &Stored) -> Vec<u8> {
    let mut record = encoding::encode_stored(stored, INLINE);
    record.insert(0, FORMAT);
    record
}

fn decode(record: Slice) -> Result<Stored, StoreError> {
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

fn corrupt(what: &str) -> StoreError {
    StoreError::Corrupt(what.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use kinfold_protocol::causality::{Dot, Version};
    use kinfold_protocol::id::{Actor, BucketName};
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
        let position = Position { partition: Partition(3), leaf: 7 };
        let write =
            |stored, dropped| Write { key: key.clone(), position, stored, dropped, leaf_change: 1 };
        let named = |disk: &Disk| disk.shared.engine.bodies.iter().count();
        let digest = |stored: &Stored| stored.object.versions[0].content.digest().unwrap();

        disk.write(write(stored(1), vec![])).unwrap();
        assert_eq!(named(&disk), 1);
        // The same value again, without its bytes: they are here.
        let head = Stored { object: stored(1).object.head(0), opened: None };
        disk.write(write(head, vec![])).unwrap();
        assert_eq!(named(&disk), 1);
        disk.write(write(stored(2), vec![(digest(&stored(1)), 2_000)])).unwrap();
        assert_eq!(named(&disk), 1);
        let head = Stored { object: stored(3).object.head(0), opened: None };
        assert!(matches!(disk.write(write(head, vec![])), Err(StoreError::Corrupt(_))));
        assert_eq!(disk.leaf(position), Ok(3), "what was refused left no trace");
        disk.write(write(Stored::default(), vec![(digest(&stored(2)), 2_000)])).unwrap();
        assert_eq!(named(&disk), 0);
        assert_eq!(disk.read(&key, position, Bodies::Heads), Ok(None));
    }
}
