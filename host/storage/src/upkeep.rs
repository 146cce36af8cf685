//! What an operator may ask of the engine besides its own pace: to write memory out, and to give space back.

use kinfold_protocol::store::StoreError;

use crate::Disk;
use crate::fault::read_failed;

/// At most: the first finds out which values are gone, each other one leaves half of the files that hold too many of them.
const COMPACTION_PASSES: usize = 8;

impl Disk {
    /// Writes what is in memory out as tables, and waits for it. Reads and writes go on meanwhile.
    ///
    /// The engine does it by itself as memory fills; this is for a backup, or for an operator who wants a short journal.
    ///
    /// # Errors
    /// [`StoreError::Io`]; what was stored stays as it was.
    pub fn flush(&self) -> Result<(), StoreError> {
        self.alive()?;
        for (_, keyspace) in self.engine().keyspaces() {
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
        let bodies = &self.engine().bodies;
        let mut stale = u64::MAX;
        for _ in 0..COMPACTION_PASSES {
            for (_, keyspace) in self.engine().keyspaces() {
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
        let engine = self.engine();
        let mut batch = engine.database.batch();
        batch.remove(&engine.node, "no piece has this name");
        self.commit(batch)?;
        engine.node.rotate_memtable_and_wait().map_err(read_failed)
    }
}
