//! What an operator sets.

use std::time::Duration;

/// When a write counts as durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// After an fsync, shared by all writes that were waiting for one.
    Sync,
    /// At once, with an fsync at this interval. When the machine or the power fails, every write of the last interval may be
    /// lost although it was acknowledged; when only the process dies, those that had not reached the operating system.
    Interval(Duration),
}

/// The settings of a [`Storage`](crate::Storage).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Memory for blocks and values that were read, in MiB.
    pub cache_mib: u64,
    /// Memory that new writes of a keyspace fill before it is written out as a table, in MiB. At most five times as much is
    /// held while the disk is slower than the writers. Fixed when the data directory is made: the engine keeps it there.
    pub memtable_mib: u64,
    /// Free space to keep on the disk, in MiB: below it writes are refused. The engine needs it to write out its memtables
    /// and to compact, and stops for good where it meets a full disk: leave at least ten times `memtable_mib`.
    pub reserve_mib: u64,
    /// When a write counts as durable.
    pub durability: Durability,
    /// Threads that write; each has its own partitions. At least one.
    pub workers: usize,
    /// Threads that read. At least one.
    pub readers: usize,
    /// Jobs that may wait for a worker, and for the readers together; beyond it [`Storage::submit`](crate::Storage::submit)
    /// answers `overloaded`. At least one.
    pub queue: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            cache_mib: 256,
            memtable_mib: 64,
            reserve_mib: 1_024,
            durability: Durability::Sync,
            workers: 2,
            readers: 2,
            queue: 16_384,
        }
    }
}
