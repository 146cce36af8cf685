//! What is known to be damaged on a disk, until it is mended.
//!
//! A read that meets damage fails, and notes where. What is noted stands in the file `damage` of the store's directory, one
//! line each, so that a crash does not forget it. The next start mends it: see [`crate::mend()`].

use std::collections::BTreeSet;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use kinfold_protocol::ring::Partition;

/// The name of the file, in the store's directory. The engine looks at its own files only.
const FILE: &str = "damage";

/// Files that are noted by name; of more of them the number is of no use.
const MOST_FILES: usize = 64;

/// Something that is damaged.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Damage {
    /// Bytes of one of the engine's files are not those that were written. By its path in the store's directory.
    File(String),
    /// Something stored of this partition can't be read.
    Partition(Partition),
    /// The engine stopped by itself, as it does where it meets a damaged block while it compacts.
    Engine,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(name) => write!(f, "file {name}"),
            Self::Partition(Partition(number)) => write!(f, "partition {number}"),
            Self::Engine => write!(f, "engine stopped"),
        }
    }
}

impl Damage {
    fn parse(line: &str) -> Option<Self> {
        match line.split_once(' ')? {
            ("file", name) => Some(Self::File(name.to_owned())),
            ("partition", number) => number.parse().ok().map(|n| Self::Partition(Partition(n))),
            ("engine", _) => Some(Self::Engine),
            _ => None,
        }
    }
}

/// The damage that is known of a store.
pub(crate) struct Known {
    path: PathBuf,
    known: Mutex<BTreeSet<Damage>>,
    /// Partitions whose damage can't be mended, since nobody else has a copy: they are not noted again.
    left: Mutex<BTreeSet<Partition>>,
}

impl Known {
    /// What was noted of the store in `directory` and not mended yet.
    pub(crate) fn load(directory: &Path) -> io::Result<Self> {
        let path = directory.join(FILE);
        Ok(Self { known: Mutex::new(read(&path)?), left: Mutex::default(), path })
    }

    pub(crate) fn all(&self) -> BTreeSet<Damage> {
        lock(&self.known).clone()
    }

    pub(crate) fn leave(&self, partitions: impl IntoIterator<Item = Partition>) {
        lock(&self.left).extend(partitions);
    }

    /// Notes damage, durably. Says whether it was not known yet.
    pub(crate) fn note(&self, damage: Damage) -> bool {
        if let Damage::Partition(partition) = &damage
            && lock(&self.left).contains(partition)
        {
            return false;
        }
        let mut known = lock(&self.known);
        let full = matches!(damage, Damage::File(_)) && known.len() >= MOST_FILES;
        if full || !known.insert(damage.clone()) {
            return false;
        }
        tracing::error!(%damage, "stored data is damaged: it is not read until it is mended");
        if let Err(error) = append(&self.path, &damage) {
            // It is met again.
            tracing::warn!(%error, "the damage could not be noted on the disk");
        }
        true
    }
}

impl Known {
    /// All of it is mended.
    pub(crate) fn forget(&self) -> io::Result<()> {
        let mut known = lock(&self.known);
        remove(&self.path)?;
        known.clear();
        Ok(())
    }
}

/// The damage that was noted of the store in `directory`.
pub(crate) fn noted(directory: &Path) -> io::Result<BTreeSet<Damage>> {
    read(&directory.join(FILE))
}

/// Notes damage of a store that is closed.
pub(crate) fn note(directory: &Path, damage: &Damage) -> io::Result<()> {
    append(&directory.join(FILE), damage)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn read(path: &Path) -> io::Result<BTreeSet<Damage>> {
    match fs::read_to_string(path) {
        // A line that a crash cut short names no damage, and is met again.
        Ok(text) => Ok(text.lines().filter_map(Damage::parse).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeSet::new()),
        Err(error) => Err(error),
    }
}

fn append(path: &Path, damage: &Damage) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    file.write_all(format!("{damage}\n").as_bytes())?;
    file.sync_all()?;
    path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noted_outlives_the_process_until_it_is_mended() {
        let directory = tempfile::tempdir().unwrap();
        let damage = [Damage::File("keyspaces/1/tables/3".into()), Damage::Partition(Partition(7))];
        let known = Known::load(directory.path()).unwrap();
        assert!(damage.iter().all(|damage| known.note(damage.clone())));
        assert!(!known.note(damage[1].clone()), "known already");
        known.leave([Partition(9)]);
        assert!(!known.note(Damage::Partition(Partition(9))), "it was tried, and can't be mended");
        assert_eq!(Known::load(directory.path()).unwrap().all(), damage.into());
        let known = Known::load(directory.path()).unwrap();
        known.forget().unwrap();
        known.forget().unwrap();
        assert!(known.all().is_empty());
        assert!(noted(directory.path()).unwrap().is_empty());
    }
}
