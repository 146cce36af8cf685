//! Components as files in the data directory, each named by the hash of its bytes.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use kinfold_protocol::causality::Digest;
use tracing::error;

const FOLDER: &str = "components";
/// The end of the name of a file that is being written.
const DRAFT: &str = "draft";

/// The folder of components.
#[derive(Debug)]
pub(crate) struct ComponentStore {
    folder: PathBuf,
}

impl ComponentStore {
    /// Opens the folder, or makes it. Drafts that a crash left behind go.
    pub(crate) fn open(data_dir: &Path) -> io::Result<Self> {
        let folder = data_dir.join(FOLDER);
        match DirBuilder::new().mode(0o700).create(&folder) {
            Ok(()) => File::open(data_dir)?.sync_all()?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|end| end == DRAFT) {
                fs::remove_file(path)?;
            }
        }
        Ok(Self { folder })
    }

    /// Keeps a component: it is durable when this returns.
    pub(crate) fn keep(&self, hash: Digest, bytes: &[u8]) -> io::Result<()> {
        if self.read(hash)?.is_some() {
            return Ok(());
        }
        let draft = self.path(hash).with_extension(DRAFT);
        let mut file = File::create(&draft)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(draft, self.path(hash))?;
        File::open(&self.folder)?.sync_all()
    }

    /// A component's bytes, if they are here. Damaged ones are not: they go, to be fetched anew.
    pub(crate) fn read(&self, hash: Digest) -> io::Result<Option<Vec<u8>>> {
        let path = self.path(hash);
        match fs::read(&path) {
            Ok(bytes) if Digest::of(&bytes) == hash => Ok(Some(bytes)),
            Ok(_damaged) => {
                error!(path = %path.display(), "a component is damaged, and is fetched anew from a peer");
                fs::remove_file(path)?;
                Ok(None)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Clears away all but these.
    pub(crate) fn keep_only(&self, wanted: impl Iterator<Item = Digest>) -> io::Result<()> {
        let wanted: Vec<PathBuf> = wanted.map(|hash| self.path(hash)).collect();
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if !wanted.contains(&path) {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    fn path(&self, hash: Digest) -> PathBuf {
        let hash = blake3::Hash::from_bytes(hash.0).to_hex();
        self.folder.join(format!("{hash}.wasm"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_until_it_is_damaged_or_not_wanted() {
        let data_dir = tempfile::tempdir().unwrap();
        let store = ComponentStore::open(data_dir.path()).unwrap();
        let [a, b] = [Digest::of(b"a"), Digest::of(b"b")];
        assert_eq!(store.read(a).unwrap(), None);
        store.keep(a, b"a").unwrap();
        store.keep(b, b"b").unwrap();
        let draft = store.path(Digest::of(b"c")).with_extension(DRAFT);
        fs::write(&draft, "half").unwrap();
        let store = ComponentStore::open(data_dir.path()).unwrap();
        assert!(!draft.exists());
        assert_eq!(store.read(a).unwrap(), Some(b"a".to_vec()));
        store.keep_only([b].into_iter()).unwrap();
        assert_eq!(store.read(a).unwrap(), None);
        fs::write(store.path(b), "c").unwrap();
        assert_eq!(store.read(b).unwrap(), None);
        assert!(!store.path(b).exists());
    }
}
