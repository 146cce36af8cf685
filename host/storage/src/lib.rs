#![forbid(unsafe_code)]
//! The disk of a storage node: `fjall`'s LSM behind the core's [`Store`](kinfold_protocol::store::Store) port.
//!
//! In reading order: [`Storage`] takes jobs and answers with events; its workers run them on a [`Disk`], which turns one
//! write into one atomic batch; a thread of its own makes whatever was applied durable, many writes with one fsync.
//!
//! What must hold:
//!
//! 1. A write's head, bodies and leaf sum become visible and durable together, or not at all.
//! 2. `Synced` is said of a ticket only after an fsync that began after its write was applied.
//! 3. After a failed commit or fsync nothing more is taken or answered: the page cache may no longer hold what the disk
//!    lacks, so a second fsync that succeeds proves nothing (Rebello et al. 2020).
//! 4. Damaged bytes are an error, never a missing key and never other bytes. One kind can't be told from a crash: where the
//!    journal stops making sense, it ends. [`Storage::cut_bytes`] says so, and a node then goes on as another actor.
//!    Where damage was met is noted ([`Damage`]), a [`Scrub`] looks for more of it, and [`mend()`] takes it out before a start.
//! 5. Reads wait neither for an fsync nor for a write.

mod damage;
mod disk;
mod due;
mod engine;
mod fault;
mod group_commit;
mod hints;
mod journal;
mod keys;
mod leaves;
mod manifests;
mod marks;
mod mend;
mod options;
mod port;
mod queue;
mod salvage;
mod scrub;
mod space;
mod stats;
mod storage;
mod unfinished;
mod upkeep;
mod worker;

pub use damage::Damage;
pub use disk::Disk;
pub use fault::OpenError;
pub use keys::read_and_written;
pub use kinfold_protocol::io::{Done, StoreEvent};
pub use mend::{Mended, mend};
pub use options::{Durability, Options};
pub use port::INLINE;
pub use scrub::{Cursor, Places, Scrub, Step};
pub use stats::{KeyspaceStats, Stats};
pub use storage::Storage;
