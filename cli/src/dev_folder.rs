//! Where `kinfold dev` keeps its cluster, so that other commands find it without being told.
//!
//! The folder is in the system's temporary folder, where others may write too. What must hold: a folder there that is not
//! this user's alone is never read from nor written to, since a profile says whom to trust.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::exit::Failure;

/// The name of the profile in a cluster's folder.
pub(crate) const PROFILE: &str = "client.toml";

/// The folder of the development cluster that belongs to nobody else.
pub(crate) fn default_path() -> PathBuf {
    std::env::temp_dir().join(format!("kinfold-dev-{}", rustix::process::getuid().as_raw()))
}

/// The profile of the development cluster, if one is there and it can be trusted.
pub(crate) fn default_profile() -> Result<Option<PathBuf>, Failure> {
    let folder = default_path();
    let profile = folder.join(PROFILE);
    if !profile.exists() {
        return Ok(None);
    }
    check(&folder)?;
    Ok(Some(profile))
}

/// Makes a folder that only this user can enter, or checks that the one that is there is so.
pub(crate) fn ensure(folder: &Path) -> Result<(), Failure> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Ok(()) => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => check(folder),
        Err(e) => Err(Failure::file(folder)(e)),
    }
}

/// Makes a folder in `parent` for one run, which goes when it is dropped.
pub(crate) fn throw_away(prefix: &str, parent: &Path) -> Result<TempDir, Failure> {
    tempfile::Builder::new()
        .prefix(prefix)
        .permissions(Permissions::from_mode(0o700))
        .tempdir_in(parent)
        .map_err(Failure::file(parent))
}

fn check(folder: &Path) -> Result<(), Failure> {
    let found = fs::symlink_metadata(folder).map_err(Failure::file(folder))?;
    let ours = found.uid() == rustix::process::getuid().as_raw();
    if found.is_dir() && ours && found.mode() & 0o077 == 0 {
        return Ok(());
    }
    Err(Failure::Usage(format!(
        "{folder} is not a folder that only you can enter: run `chmod 700 {folder}` if it is yours, or choose another",
        folder = folder.display()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_folder_of_our_own_will_do() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("dev");
        ensure(&folder).unwrap();
        ensure(&folder).unwrap();
        fs::set_permissions(&folder, PermissionsExt::from_mode(0o755)).unwrap();
        assert!(matches!(ensure(&folder), Err(Failure::Usage(_))));
        let link = root.path().join("link");
        std::os::unix::fs::symlink(root.path(), &link).unwrap();
        assert!(matches!(ensure(&link), Err(Failure::Usage(_))));
    }
}
