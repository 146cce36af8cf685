//! A replica's disk: the engine, and what must be known beside it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use fjall::PersistMode;
use kinfold_protocol::ring::{Partition, Position};
use kinfold_protocol::store::StoreError;

use crate::damage::{self, Damage};
use crate::engine::Engine;
use crate::fault::read_failed;
use crate::journal::{Journal, Tails};
use crate::leaves::Leaves;
use crate::marks::Known;
use crate::port::decode_sum;
use crate::space::Space;
use crate::stats::{Counters, Stats};
use crate::{OpenError, Options, keys, manifests, unfinished};

/// A replica's disk. Clones share it, and any thread may use any clone; two threads must not write one key at one time.
#[derive(Clone)]
pub struct Disk {
    shared: Arc<Shared>,
}

struct Shared {
    path: PathBuf,
    engine: Engine,
    cut_bytes: u64,
    leaves: Leaves,
    marks: Known,
    space: Space,
    damage: damage::Known,
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
        unfinished::clear(path)?;
        manifests::check(path)?;
        let tails = Tails::look(path)?;
        let engine = Engine::open(path, options)?;
        let cut_bytes = tails.cut()?;
        if cut_bytes > 0 {
            tracing::warn!(cut_bytes, "the end of the journal made no sense and was cut off");
        }
        let shared = Shared {
            path: path.to_path_buf(),
            damage: damage::Known::load(path)?,
            engine,
            cut_bytes,
            leaves: Leaves::new(),
            marks: Known::default(),
            space: Space::new(path, options.reserve_mib),
            journal: Mutex::new(Journal::new(path)),
            poison: OnceLock::new(),
            commits: AtomicU64::new(0),
            durable: AtomicU64::new(0),
            counters: Counters::default(),
        };
        let disk = Self { shared: Arc::new(shared) };
        disk.count_tombstones().map_err(|error| OpenError::Damaged(error.to_string()))?;
        Ok(disk)
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
        found.map_or(Ok(0), |bytes| decode_sum(&bytes))
    }

    /// The engine's and this disk's own figures.
    ///
    /// # Errors
    /// [`StoreError::Io`] if the file system does not answer.
    pub fn stats(&self) -> Result<Stats, StoreError> {
        let shared = &*self.shared;
        Stats::of(&shared.engine, &shared.counters, shared.space.free_mib()?, self.tombstones())
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.shared.engine
    }

    pub(crate) fn leaves(&self) -> &Leaves {
        &self.shared.leaves
    }

    /// The directory.
    pub(crate) fn path(&self) -> &Path {
        &self.shared.path
    }

    pub(crate) fn known_damage(&self) -> &damage::Known {
        &self.shared.damage
    }

    /// Damage of these partitions can't be mended: it is not noted.
    pub fn leave(&self, partitions: &BTreeSet<Partition>) {
        self.shared.damage.leave(partitions.iter().copied());
    }

    pub(crate) fn known_marks(&self) -> &Known {
        &self.shared.marks
    }

    /// Is there room to write?
    pub(crate) fn room(&self) -> Result<(), StoreError> {
        self.shared.space.check()
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

    /// Applies a batch, and counts it. A failure stops the store.
    pub(crate) fn commit(&self, batch: fjall::OwnedWriteBatch) -> Result<(), StoreError> {
        let started = Instant::now();
        batch.commit().map_err(|error| {
            if matches!(error, fjall::Error::Poisoned) {
                self.shared.damage.note(Damage::Engine);
            }
            self.poison(&error.to_string())
        })?;
        self.shared.commits.fetch_add(1, Ordering::Release);
        self.shared.counters.committed(started.elapsed());
        Ok(())
    }
}
