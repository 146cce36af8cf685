//! How much room the disk has left.
//!
//! The engine stops for good where it meets a full disk in the middle of a flush, so writes are refused well before that.
//! Nothing is remembered but the last look: when there is room again, writes go on.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use kinfold_protocol::store::StoreError;

const MIB: u64 = 1024 * 1024;

/// How old a look at the disk may be. A disk that takes 1 GiB/s loses 10 MiB meanwhile, little against any sane reserve.
const MAX_AGE: Duration = Duration::from_millis(10);

/// The free space of the file system that holds a directory, and the reserve.
pub(crate) struct Space {
    path: PathBuf,
    reserve_mib: u64,
    opened: Instant,
    /// Microseconds from `opened` to the last look.
    looked: AtomicU64,
    free_mib: AtomicU64,
}

impl Space {
    pub(crate) fn new(path: &Path, reserve_mib: u64) -> Self {
        Self {
            path: path.to_path_buf(),
            reserve_mib,
            opened: Instant::now(),
            looked: AtomicU64::new(u64::MAX),
            free_mib: AtomicU64::new(0),
        }
    }

    /// Is there room to write?
    ///
    /// # Errors
    /// [`StoreError::DiskFull`] below the reserve; [`StoreError::Io`] if the file system does not say.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        let reserve_mib = self.reserve_mib;
        let free_mib = self.free_mib()?;
        if free_mib < reserve_mib {
            return Err(StoreError::DiskFull { free_mib, reserve_mib });
        }
        Ok(())
    }

    /// Free space in MiB, as unprivileged processes may use it, not older than [`MAX_AGE`].
    pub(crate) fn free_mib(&self) -> Result<u64, StoreError> {
        let now = u64::try_from(self.opened.elapsed().as_micros()).unwrap_or(u64::MAX - 1);
        let looked = self.looked.load(Ordering::Acquire);
        if looked != u64::MAX && u128::from(now.saturating_sub(looked)) < MAX_AGE.as_micros() {
            return Ok(self.free_mib.load(Ordering::Relaxed));
        }
        let found = rustix::fs::statvfs(&self.path).map_err(|error| {
            StoreError::Io(format!("the file system did not say how full it is: {error}"))
        })?;
        let free_mib = found.f_bavail.saturating_mul(found.f_frsize) / MIB;
        self.free_mib.store(free_mib, Ordering::Relaxed);
        self.looked.store(now, Ordering::Release);
        Ok(free_mib)
    }
}
