//! Group commit: many writes, one fsync.
//!
//! Whatever was applied while the last fsync ran forms the next group, so the group grows by itself to what the disk's
//! latency asks for, and a lone write waits for nobody.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use kinfold_protocol::replica::Ticket;

use crate::queue::Queue;
use crate::{Disk, StoreEvent};

/// Syncs for as long as tickets come, and says so of each. Ends once `applied` is closed and empty.
pub(crate) fn run(disk: &Disk, applied: &Queue<Ticket>, on_event: &dyn Fn(StoreEvent)) {
    while let Some(group) = applied.pop_all() {
        let result = disk.sync();
        for ticket in group {
            on_event(match &result {
                Ok(()) => StoreEvent::Synced { ticket },
                Err(error) => StoreEvent::SyncFailed { ticket, error: error.clone() },
            });
        }
    }
}

/// A clock that can be stopped.
#[derive(Default)]
pub(crate) struct Ticking {
    stopped: Mutex<bool>,
    stop: Condvar,
}

impl Ticking {
    /// Syncs at every interval until stopped. A failure poisons the disk, which then tells everybody else.
    pub(crate) fn run(&self, disk: &Disk, interval: Duration) {
        let mut stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        while !*stopped && disk.sync().is_ok() {
            stopped = self
                .stop
                .wait_timeout_while(stopped, interval, |stopped| !*stopped)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Ends [`Ticking::run`].
    pub(crate) fn stop(&self) {
        *self.stopped.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.stop.notify_all();
    }
}
