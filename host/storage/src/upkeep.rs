//! What an operator may ask of the engine besides its own pace: to write memory out, and to give space back.

use std::thread;
use std::time::Duration;

use fjall::{AbstractTree, Keyspace, PersistMode};
use kinfold_protocol::store::StoreError;

use crate::Disk;
use crate::fault::read_failed;

/// How often it is looked whether memory is written out.
const LOOK: Duration = Duration::from_millis(5);

/// At most: the first finds out which values are gone, each other one leaves half of the files that hold too many of them.
const COMPACTION_PASSES: usize = 8;

impl Disk {
    /// Writes what is in memory out as tables, and waits for it. Reads and writes go on meanwhile.
    ///
    /// The engine does it by itself as memory fills; this is for a backup, or for an operator who wants a short journal.
    ///
    /// # Errors
    /// [`StoreError::Poisoned`] if it can't be written: the store takes nothing more, and the journal has what was stored.
    pub fn flush(&self) -> Result<(), StoreError> {
        self.alive()?;
        for (_, keyspace) in self.engine().keyspaces() {
            self.write_out(keyspace)?;
        }
        Ok(())
    }

    /// Writes the memory of one keyspace out.
    ///
    /// The engine's own wait for it never ends once a failed call has ended the threads that do it.
    fn write_out(&self, keyspace: &Keyspace) -> Result<(), StoreError> {
        if !keyspace.rotate_memtable().map_err(read_failed)? {
            return Ok(());
        }
        while keyspace.tree.sealed_memtable_count() > 0 {
            // Refused by an engine that has stopped.
            let lives = self.engine().database.persist(PersistMode::Buffer);
            lives.map_err(|error| self.poison(&format!("writing memory out failed: {error}")))?;
            thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Compacts everything, and gives back the space of what was replaced or removed. Reads and writes go on meanwhile.
    ///
    /// The engine compacts by itself as it is written to; this is for an operator who wants the space now.
    ///
    /// # Errors
    /// [`StoreError::Io`] or [`StoreError::Corrupt`], or as of [`Disk::flush`]; what was stored stays as it was.
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
        self.write_out(&engine.node)
    }
}
