//! Figures of the store.

use kinfold_storage::{KeyspaceStats, Stats};

use super::sheet::{Sheet, label};

const MIB: f64 = 1024.0 * 1024.0;

pub(super) fn add(sheet: &mut Sheet, stats: &Stats) {
    sheet.level(
        "store_disk_bytes",
        "Bytes on the disk, journals included",
        stats.disk_bytes as f64,
    );
    let free = stats.free_mib as f64 * MIB;
    sheet.level("store_disk_free_bytes", "Free space of the file system", free);
    sheet.level("store_journals", "Files of the journal", stats.journals as f64);
    sheet.level("store_journal_bytes", "Bytes of the journal", stats.journal_bytes as f64);
    sheet.level("store_memtable_bytes", "Bytes in memtables", stats.memtable_bytes as f64);
    let help = "Keys of which only a delete is left, whether it may go yet or not";
    sheet.level("store_tombstones", help, stats.tombstones as f64);
    let help = "Memtables that wait to be written out";
    sheet.level("store_flushes_waiting", help, stats.flushes_waiting as f64);
    let help = "Compactions running";
    sheet.level("store_compactions_active", help, stats.compactions_active as f64);
    sheet.count("store_compactions", "Compactions finished", stats.compactions as u64);
    let seconds = [
        (label("activity", "compaction"), stats.compacting.as_secs_f64()),
        (label("activity", "stall"), stats.stalled.as_secs_f64()),
        (label("activity", "sync"), stats.syncing.as_secs_f64()),
    ];
    sheet.sums("store_seconds", "Time spent compacting, syncing, and held back", seconds);
    sheet.count("store_commits", "Batches committed", stats.commits);
    let help = "Commits held back for more than 50 ms, since the background could not keep up";
    sheet.count("store_stalls", help, stats.stalls);
    sheet.count("store_syncs", "Group commits: fsyncs of the journal", stats.syncs);

    let keyspaces =
        || stats.keyspaces.iter().map(|(name, stats)| (label("keyspace", *name), stats));
    let levels = |figure: fn(&KeyspaceStats) -> f64| {
        keyspaces().map(move |(labels, stats)| (labels, figure(stats)))
    };
    let tables = stats.keyspaces.iter().flat_map(|(name, stats)| {
        stats.tables_by_level.iter().enumerate().map(|(level, tables)| {
            let labels = vec![("keyspace", (*name).to_owned()), ("level", level.to_string())];
            (labels, *tables as f64)
        })
    });
    sheet.levels("store_tables", "Tables by the level that they lie in", tables);
    let help = "Bytes of tables and value files";
    sheet.levels("store_keyspace_bytes", help, levels(|stats| stats.disk_bytes as f64));
    let help = "Files of values kept apart from the tables";
    sheet.levels("store_value_files", help, levels(|stats| stats.value_files as f64));
    let help = "Bytes in value files that nothing refers to any more";
    sheet.levels("store_stale_value_bytes", help, levels(|stats| stats.stale_value_bytes as f64));
    type Pair = [(&'static str, usize); 2];
    let pairs = |pair: fn(&KeyspaceStats) -> Pair| {
        stats.keyspaces.iter().flat_map(move |(name, stats)| {
            pair(stats).map(|(outcome, count)| {
                let labels =
                    vec![("keyspace", (*name).to_owned()), ("outcome", outcome.to_owned())];
                (labels, count as u64)
            })
        })
    };
    let help = "Point reads that asked a bloom filter, and those of them that it answered with no";
    let blooms =
        |stats: &KeyspaceStats| [("asked", stats.filter_queries), ("answered", stats.filter_hits)];
    sheet.counts("store_filter_reads", help, pairs(blooms));
    let help = "Data blocks that reads touched, and those of them that were in the cache";
    let blocks =
        |stats: &KeyspaceStats| [("touched", stats.blocks_read), ("cached", stats.blocks_cached)];
    sheet.counts("store_blocks", help, pairs(blocks));
}
