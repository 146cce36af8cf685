//! A small file system in memory that can be filled up, and copies of data directories.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::Error;

/// Its size, MiB.
const SIZE: u32 = 256;

const MIB: usize = 1024 * 1024;

/// A file system of its own. It is gone when dropped, and with the namespace of mounts in any case.
#[derive(Debug)]
pub struct SmallDisk {
    folder: PathBuf,
}

impl SmallDisk {
    /// Mounts one on a folder; `None` where the system does not let us.
    #[must_use]
    pub fn mount(folder: PathBuf) -> Option<Self> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={SIZE}m,mode=0700"), "kinfold-chaos"]);
        let output = mount.arg(&folder).output();
        output.is_ok_and(|output| output.status.success()).then_some(Self { folder })
    }

    /// Fills it up, until so many MiB are left.
    ///
    /// # Errors
    /// It can't be written, for another reason than that it is full.
    pub fn fill(&self, left: u64) -> Result<(), Error> {
        let path = self.ballast();
        let failed = |error| Error::at("writing", &path)(error);
        let mut file = File::create(&path).map_err(failed)?;
        let block = vec![1; MIB / 4];
        while self.left()? > left * MIB as u64 {
            match file.write_all(&block) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => break,
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(())
    }

    /// There is room again.
    ///
    /// # Errors
    /// The ballast can't be removed.
    pub fn make_room(&self) -> Result<(), Error> {
        let path = self.ballast();
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(Error::at("removing", &path)(error))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn ballast(&self) -> PathBuf {
        self.folder.join("ballast")
    }

    fn left(&self) -> Result<u64, Error> {
        let stat = rustix::fs::statvfs(&self.folder)
            .map_err(|errno| Error::at("asking for the room in", &self.folder)(errno.into()))?;
        Ok(stat.f_bavail * stat.f_frsize)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.folder).output();
    }
}

/// Copies a folder with all that is in it. What is there already is replaced.
///
/// # Errors
/// Something can't be read or written.
pub fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    remove(to)?;
    let output = Command::new("cp").arg("-a").arg(from).arg(to).output();
    let output = output.map_err(Error::at("copying", from))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Error::Stage(format!("{} can't be copied: {said}", from.display())))
}

/// Removes a folder with all that is in it, if it is there.
///
/// # Errors
/// Something can't be removed.
pub fn remove(folder: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(Error::at("removing", folder)(error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}
