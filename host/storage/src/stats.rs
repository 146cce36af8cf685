//! Figures: the engine's own, and what this disk counts itself.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fjall::{AbstractTree, Keyspace};
use kinfold_protocol::store::StoreError;

use crate::engine::Engine;
use crate::fault::read_failed;

/// A commit that takes longer waited for the background: the engine holds writers back when it can't keep up.
const STALL: Duration = Duration::from_millis(50);

/// The figures of a store. Counts start at zero when it is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stats {
    /// Bytes on the disk, journals included.
    pub disk_bytes: u64,
    /// Free space of the file system, in MiB.
    pub free_mib: u64,
    /// Files of the journal.
    pub journals: usize,
    /// Bytes of them.
    pub journal_bytes: u64,
    /// Bytes in memtables, those being written out included.
    pub memtable_bytes: u64,
    /// Memtables that wait to be written out.
    pub flushes_waiting: usize,
    /// Compactions running.
    pub compactions_active: usize,
    /// Compactions finished, those that found nothing to do included.
    pub compactions: usize,
    /// Time spent in them.
    pub compacting: Duration,
    /// Batches committed.
    pub commits: u64,
    /// Commits that were held back by the background, for more than 50 ms.
    pub stalls: u64,
    /// Time lost in them.
    pub stalled: Duration,
    /// Group commits: fsyncs of the journal.
    pub syncs: u64,
    /// Time spent in them.
    pub syncing: Duration,
    /// Keys of which only a delete is left, whether it may go yet or not.
    pub tombstones: u64,
    /// By name: `bodies`, `due`, `heads`, `hints`, `marks`, `node`, `tombstones`, `trees`.
    pub keyspaces: BTreeMap<&'static str, KeyspaceStats>,
}

/// The figures of a keyspace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyspaceStats {
    /// Bytes of tables and value files.
    pub disk_bytes: u64,
    /// Tables.
    pub tables: usize,
    /// Tables of level 0, not compacted yet.
    pub tables_in_level_0: usize,
    /// Tables of each level, from 0 on.
    pub tables_by_level: Vec<usize>,
    /// Files of values kept apart from the tables.
    pub value_files: usize,
    /// Bytes in them that nothing refers to any more.
    pub stale_value_bytes: u64,
    /// Point reads that asked a bloom filter.
    pub filter_queries: usize,
    /// Those that a filter answered: the key is not in the table.
    pub filter_hits: usize,
    /// Data blocks of tables that point reads and scans touched.
    pub blocks_read: usize,
    /// Those that were in the cache.
    pub blocks_cached: usize,
}

impl Stats {
    pub(crate) fn of(
        engine: &Engine,
        counters: &Counters,
        free_mib: u64,
        tombstones: u64,
    ) -> Result<Self, StoreError> {
        let database = &engine.database;
        let micros = |counter: &AtomicU64| Duration::from_micros(counter.load(Ordering::Relaxed));
        Ok(Self {
            disk_bytes: database.disk_space().map_err(read_failed)?,
            free_mib,
            journals: database.journal_count(),
            journal_bytes: database.journal_disk_space().map_err(read_failed)?,
            memtable_bytes: database.write_buffer_size(),
            flushes_waiting: database.outstanding_flushes(),
            compactions_active: database.active_compactions(),
            compactions: database.compactions_completed(),
            compacting: database.time_compacting(),
            commits: counters.commits.load(Ordering::Relaxed),
            stalls: counters.stalls.load(Ordering::Relaxed),
            stalled: micros(&counters.stalled_micros),
            syncs: counters.syncs.load(Ordering::Relaxed),
            syncing: micros(&counters.syncing_micros),
            tombstones,
            keyspaces: engine
                .keyspaces()
                .into_iter()
                .map(|(name, keyspace)| (name, KeyspaceStats::of(keyspace)))
                .collect(),
        })
    }
}

impl KeyspaceStats {
    fn of(keyspace: &Keyspace) -> Self {
        let metrics = keyspace.metrics();
        Self {
            disk_bytes: keyspace.disk_space(),
            tables: keyspace.table_count(),
            tables_in_level_0: keyspace.l0_table_count(),
            tables_by_level: (0..)
                .map_while(|level| keyspace.tree.level_table_count(level))
                .collect(),
            value_files: keyspace.blob_file_count(),
            stale_value_bytes: keyspace.fragmented_blob_bytes(),
            filter_queries: metrics.filter_queries(),
            filter_hits: metrics.io_skipped_by_filter(),
            blocks_read: metrics.data_block_load_count(),
            blocks_cached: metrics.data_block_load_cached_count(),
        }
    }
}

/// What the disk counts itself.
#[derive(Default)]
pub(crate) struct Counters {
    commits: AtomicU64,
    stalls: AtomicU64,
    stalled_micros: AtomicU64,
    syncs: AtomicU64,
    syncing_micros: AtomicU64,
}

impl Counters {
    pub(crate) fn committed(&self, took: Duration) {
        self.commits.fetch_add(1, Ordering::Relaxed);
        if took > STALL {
            self.stalls.fetch_add(1, Ordering::Relaxed);
            self.stalled_micros.fetch_add(micros(took), Ordering::Relaxed);
        }
    }

    pub(crate) fn synced(&self, took: Duration) {
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.syncing_micros.fetch_add(micros(took), Ordering::Relaxed);
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
