//! A file system of our own that can lose power: ext4 in a file, on a loop device.
//!
//! The shutdown request of ext4, with the flag that leaves its journal as it is on the disk, ends all writing at once: what the
//! page cache holds never gets there, as when the power goes. Then the file system is mounted again, and recovers.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use rustix::ioctl::{Opcode, Setter, ioctl};
use tempfile::TempDir;

/// `FS_IOC_SHUTDOWN`: `_IOR('X', 125, __u32)`.
const SHUTDOWN: Opcode = 0x8004_587d;

/// Neither the file system's journal nor anything else is written out.
const NO_LOG_FLUSH: u32 = 2;

/// How often a file system that is still in use is asked to go.
const TRIES: u32 = 400;

/// A file system in a file. It is unmounted and removed when dropped.
pub struct Image {
    folder: TempDir,
}

impl Image {
    /// Makes and mounts one of so many MiB.
    ///
    /// # Errors
    /// Why this machine can't: it needs root, `mkfs.ext4` and loop devices.
    pub fn new(mib: u64) -> Result<Self, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("mounting a file system needs root".into());
        }
        let folder = tempfile::Builder::new().prefix("kinfold-power-").tempdir();
        let image = Self { folder: folder.map_err(|error| format!("a folder: {error}"))? };
        let file = File::create(image.file()).and_then(|file| file.set_len(mib << 20));
        file.map_err(|error| format!("a file for it: {error}"))?;
        std::fs::create_dir(image.path()).map_err(|error| format!("a folder: {error}"))?;
        let file = image.file();
        run(Command::new("mkfs.ext4").args(["-q", "-F", "-E", "lazy_itable_init=0"]).arg(file))?;
        image.mount()?;
        Ok(image)
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("image")
    }

    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("mounted")
    }

    fn mount(&self) -> Result<(), String> {
        run(Command::new("mount").args(["-o", "loop"]).arg(self.file()).arg(self.path()))
    }

    /// A handle that cuts the power later, at once.
    ///
    /// # Errors
    /// If its root can't be opened.
    pub fn switch(&self) -> io::Result<Switch> {
        File::open(self.path()).map(Switch)
    }

    /// Mounts it again, as a start of the machine does. Whoever used it must have ended.
    ///
    /// # Errors
    /// If it is still in use, or does not recover.
    pub fn restart(&self) -> Result<(), String> {
        self.unmount()?;
        self.mount()
    }

    fn unmount(&self) -> Result<(), String> {
        let mut tries = 0;
        while let Err(error) = run(Command::new("umount").arg(self.path())) {
            tries += 1;
            if tries == TRIES {
                return Err(error);
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        if let Err(error) = self.unmount() {
            // So that the folder is not removed with somebody in it.
            eprintln!("{error}");
            let _ = Command::new("umount").arg("-l").arg(self.path()).status();
        }
    }
}

/// Cuts the power of an image.
pub struct Switch(File);

impl Switch {
    /// Cuts it.
    ///
    /// # Errors
    /// If the file system does not know the request.
    pub fn cut(self) -> io::Result<()> {
        #[expect(
            unsafe_code,
            reason = "the request takes a pointer to 32 bits, which Setter gives"
        )]
        // SAFETY: the kernel reads four bytes through the pointer and writes none.
        unsafe {
            ioctl(self.0.as_fd(), Setter::<SHUTDOWN, u32>::new(NO_LOG_FLUSH))?;
        }
        Ok(())
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    let program = Path::new(command.get_program()).display().to_string();
    let output = command.output().map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}
