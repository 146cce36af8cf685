//! A store whose making was cut short: by a kill, a power cut or a full disk, before anything was stored.
//!
//! The engine makes its journal first and the file `version` last. Without that file it begins anew, finds the journal that it made
//! before, and gives up, at this start and all later ones. So what an unfinished making left is cleared away. That it was unfinished is
//! sure only where nothing can have been stored: no keyspace was begun, and the one journal has nothing in it. Anything else
//! without a version is damage, and is left as it is.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use crate::OpenError;

/// The engine's mark of a whole store, and its length.
const VERSION: &str = "version";
const VERSION_BYTES: u64 = 4;

/// The first journal.
const JOURNAL: &str = "0.jnl";

/// The folder of keyspaces.
const KEYSPACES: &str = "keyspaces";

/// Bytes at the beginning of a journal of which one at least is not zero if anything was written to it.
const BEGINNING: u64 = 4_096;

/// Clears away what an unfinished making left, so that the store can be made.
///
/// # Errors
/// [`OpenError::Damaged`] if the version is missing of a store that may hold something; nothing was touched.
pub(crate) fn clear(path: &Path) -> Result<(), OpenError> {
    let version = match fs::metadata(path.join(VERSION)) {
        Ok(found) => Some(found.len()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error.into()),
    };
    if !path.exists() || version.is_some_and(|length| length >= VERSION_BYTES) {
        return Ok(());
    }
    let mut begun = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let name = entry.file_name();
        let used = if name == KEYSPACES {
            fs::read_dir(entry.path())?.next().is_some()
        } else if name == JOURNAL {
            begun.push(entry.path());
            has_entries(&entry.path())?
        } else if name == VERSION {
            begun.push(entry.path());
            false
        } else {
            name.to_string_lossy().ends_with(".jnl")
        };
        if used {
            return Err(OpenError::Damaged(format!(
                "the file {VERSION} is missing or cut off, and {} is there",
                name.display()
            )));
        }
    }
    if !begun.is_empty() {
        tracing::warn!(
            "the store was not made to the end, and nothing was stored: it is made anew"
        );
    }
    for file in begun {
        fs::remove_file(file)?;
    }
    Ok(())
}

fn has_entries(journal: &Path) -> io::Result<bool> {
    let mut bytes = Vec::new();
    File::open(journal)?.take(BEGINNING).read_to_end(&mut bytes)?;
    Ok(bytes.iter().any(|byte| *byte != 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Disk, Options};

    fn opens(path: &Path) {
        drop(Disk::open(path, &Options::default()).unwrap());
    }

    #[test]
    fn a_store_that_was_not_made_to_the_end_is_made_anew() {
        for version in [None, Some(&b""[..]), Some(b"FJ")] {
            for keyspaces in [false, true] {
                let folder = tempfile::tempdir().unwrap();
                let path = folder.path();
                File::create(path.join("lock")).unwrap();
                let journal = File::create(path.join(JOURNAL)).unwrap();
                journal.set_len(64 * 1024 * 1024).unwrap();
                if keyspaces {
                    fs::create_dir(path.join(KEYSPACES)).unwrap();
                }
                if let Some(bytes) = version {
                    fs::write(path.join(VERSION), bytes).unwrap();
                }
                opens(path);
                opens(path);
            }
        }
    }

    #[test]
    fn a_whole_store_without_its_version_is_damaged_and_not_cleared_away() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        opens(path);
        let version = fs::read(path.join(VERSION)).unwrap();
        assert_eq!(version.len() as u64, VERSION_BYTES);
        for damage in [None, Some(&version[..2])] {
            fs::remove_file(path.join(VERSION)).unwrap();
            if let Some(bytes) = damage {
                fs::write(path.join(VERSION), bytes).unwrap();
            }
            let error = Disk::open(path, &Options::default()).err().unwrap();
            assert!(matches!(error, OpenError::Damaged(_)), "{error}");
            assert!(error.to_string().contains("version"), "{error}");
            fs::write(path.join(VERSION), &version).unwrap();
            opens(path);
        }
    }
}
