//! The LSM engine, opened as this node uses it.

use std::path::Path;

use fjall::config::{BloomConstructionPolicy, FilterPolicy, FilterPolicyEntry};
use fjall::{
    CompressionType, Database, Keyspace, KeyspaceCreateOptions, KvSeparationOptions, PersistMode,
};

use crate::{OpenError, Options};

const MIB: u64 = 1024 * 1024;

/// The database and its keyspaces.
pub(crate) struct Engine {
    /// By [`crate::keys::head`]: what is known of a key, with small values.
    pub(crate) heads: Keyspace,
    /// By [`crate::keys::body`]: larger values, kept apart from the tables that index them.
    pub(crate) bodies: Keyspace,
    /// By [`crate::keys::leaf`]: sums, 16 bytes, big-endian.
    pub(crate) trees: Keyspace,
    /// By owner: what is kept for other nodes; see [`crate::hints`].
    pub(crate) hints: Keyspace,
    /// By the time at which a key is due to expire; see [`crate::due`].
    pub(crate) due: Keyspace,
    /// By [`crate::keys::tree`]: the number of keys of which only a delete is left, 8 bytes, big-endian.
    pub(crate) tombstones: Keyspace,
    /// By [`crate::keys::mark`]: the time up to which everything of an actor is here or was replaced.
    pub(crate) marks: Keyspace,
    /// By name: the node's own state.
    pub(crate) node: Keyspace,
    pub(crate) database: Database,
}

impl Engine {
    pub(crate) fn open(path: &Path, options: &Options) -> Result<Self, OpenError> {
        let database = Database::builder(path)
            .cache_size(options.cache_mib * MIB)
            // Values are compressed, if at all, once: where they stay.
            .journal_compression(CompressionType::None)
            .manual_journal_persist(true)
            .worker_threads(BACKGROUND_THREADS)
            .max_journaling_size((options.memtable_mib * MIB * 8).max(512 * MIB))
            .open()?;
        let memtable = options.memtable_mib * MIB;
        let small = || base(memtable);
        let large = || base(memtable).with_kv_separation(Some(separation()));
        let engine = Self {
            heads: database.keyspace("heads", small)?,
            bodies: database.keyspace("bodies", large)?,
            trees: database.keyspace("trees", small)?,
            hints: database.keyspace("hints", small)?,
            due: database.keyspace("due", small)?,
            tombstones: database.keyspace("tombstones", small)?,
            marks: database.keyspace("marks", small)?,
            node: database.keyspace("node", small)?,
            database,
        };
        engine.database.persist(PersistMode::SyncAll)?;
        Ok(engine)
    }

    /// The keyspaces with their names, in the order of their names.
    pub(crate) fn keyspaces(&self) -> [(&'static str, &Keyspace); 8] {
        [
            ("bodies", &self.bodies),
            ("due", &self.due),
            ("heads", &self.heads),
            ("hints", &self.hints),
            ("marks", &self.marks),
            ("node", &self.node),
            ("tombstones", &self.tombstones),
            ("trees", &self.trees),
        ]
    }
}

/// Threads that write memtables out and compact.
const BACKGROUND_THREADS: usize = 2;

/// Every level has a filter: a put of a new key looks for the old one, and must not touch the disk to find none.
fn base(memtable: u64) -> KeyspaceCreateOptions {
    let filter = |bits| FilterPolicyEntry::Bloom(BloomConstructionPolicy::BitsPerKey(bits));
    KeyspaceCreateOptions::default()
        .max_memtable_size(memtable)
        .manual_journal_persist(true)
        .expect_point_read_hits(false)
        .filter_policy(FilterPolicy::new([filter(16.0), filter(10.0)]))
}

/// Bodies never stand in the tables, however small, so that compactions move only their keys.
///
/// A compaction moves what is left in the older half of the files of which a quarter is stale. All of them at once would
/// take as much space as they hold, on a disk that may be nearly full.
fn separation() -> KvSeparationOptions {
    KvSeparationOptions::default()
        .compression(CompressionType::Lz4)
        .separation_threshold(256)
        .staleness_threshold(0.25)
        .age_cutoff(0.5)
}
