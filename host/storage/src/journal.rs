//! The journal's files, to make them durable without holding up writers.
//!
//! The engine can sync its journal itself, but holds the lock that every commit needs for as long as the disk takes. So
//! the bytes are handed to the operating system through the engine, which is quick, and the fsync is done here, on a file
//! handle of our own: commits go on meanwhile, and form the next group.
//!
//! Why it is enough to sync the newest file: the engine syncs a journal before it starts the next, and the directory after.
//! A sync of its own that fails stops the engine, which is looked at after ours; and a handle that was open when a page
//! failed to reach the disk hears of it, whoever else has heard of it before.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// The newest file of the journal in a directory.
pub(crate) struct Journal {
    directory: PathBuf,
    newest: Option<(u64, File)>,
}

impl Journal {
    pub(crate) fn new(directory: &Path) -> Self {
        Self { directory: directory.to_path_buf(), newest: None }
    }

    /// Makes durable whatever the operating system has of the journal.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        loop {
            let number = self.newest_number()?;
            if let Some((_, file)) = self.newest.as_ref().filter(|(open, _)| *open == number) {
                return file.sync_data();
            }
            match File::open(self.directory.join(format!("{number}.jnl"))) {
                Ok(file) => self.newest = Some((number, file)),
                // It was full, written out as tables and removed since the directory was read.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn newest_number(&self) -> io::Result<u64> {
        let mut newest = None;
        for entry in fs::read_dir(&self.directory)? {
            let name = entry?.file_name();
            let number = name.to_str().and_then(|name| name.strip_suffix(".jnl")?.parse().ok());
            newest = newest.max(number);
        }
        newest.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the journal is gone"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_file_is_found_by_number_and_followed_when_it_changes() {
        let directory = tempfile::tempdir().unwrap();
        let mut journal = Journal::new(directory.path());
        assert_eq!(journal.sync().unwrap_err().kind(), io::ErrorKind::NotFound);
        for number in ["9", "10", "2"] {
            fs::write(directory.path().join(format!("{number}.jnl")), b"x").unwrap();
        }
        fs::write(directory.path().join("lock"), b"").unwrap();
        journal.sync().unwrap();
        assert_eq!(journal.newest.as_ref().unwrap().0, 10);
        fs::write(directory.path().join("11.jnl"), b"x").unwrap();
        journal.sync().unwrap();
        assert_eq!(journal.newest.as_ref().unwrap().0, 11);
    }
}
