//! What makes a node's wall clock step, and its syncs slow or fail: a small library that is loaded into the process, and a file with
//! three numbers that both sides have open.
//!
//! So the product needs no switch for tests. The library is C, since it stands in for functions of the C library, and it is
//! compiled by the compiler that the build needs anyway.

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::Error;

/// The error of a disk that can't be written: EIO.
pub const FAILS: i64 = 5;

/// Compiles the library into a folder, and says where it is.
///
/// # Errors
/// There is no C compiler, or it fails.
pub fn build(folder: &Path) -> Result<PathBuf, Error> {
    let source = folder.join("shim.c");
    let library = folder.join("shim.so");
    fs::write(&source, include_str!("shim.c")).map_err(Error::at("writing", &source))?;
    let compiler = std::env::var_os("CC").unwrap_or_else(|| OsString::from("cc"));
    let mut command = Command::new(&compiler);
    command.args(["-shared", "-fPIC", "-O2", "-o"]).arg(&library).arg(&source);
    let output = command.output().map_err(Error::at("starting", Path::new(&compiler)))?;
    if output.status.success() {
        Ok(library)
    } else {
        let said = String::from_utf8_lossy(&output.stderr);
        Err(Error::Stage(format!("the library that steps clocks can't be compiled: {said}")))
    }
}

/// What one node's library is told.
#[derive(Debug)]
pub struct Shim {
    file: File,
    path: PathBuf,
}

impl Shim {
    /// Nothing goes wrong yet.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn new(path: PathBuf) -> Result<Self, Error> {
        fs::write(&path, [0; 24]).map_err(Error::at("writing", &path))?;
        let file = File::options().write(true).open(&path).map_err(Error::at("opening", &path))?;
        Ok(Self { file, path })
    }

    /// Where the library finds it.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The node's wall clock is so many milliseconds ahead of what it would be.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn step_clock(&self, ms: i64) -> Result<(), Error> {
        self.tell(0, ms * 1_000_000)
    }

    /// Each sync takes so many microseconds longer.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn slow_syncs(&self, by_us: i64) -> Result<(), Error> {
        self.tell(1, by_us)
    }

    /// Each sync fails with this error; zero for none.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn fail_syncs(&self, errno: i64) -> Result<(), Error> {
        self.tell(2, errno)
    }

    fn tell(&self, place: u64, number: i64) -> Result<(), Error> {
        let told = self.file.write_all_at(&number.to_ne_bytes(), place * 8);
        told.map_err(Error::at("writing", &self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    fn date(library: &Path, shim: &Shim) -> u64 {
        let mut date = Command::new("date");
        date.arg("+%s").env("LD_PRELOAD", library).env("KINFOLD_CHAOS_SHIM", shim.path());
        let said = String::from_utf8(date.output().unwrap().stdout).unwrap();
        said.trim().parse().unwrap()
    }

    #[test]
    fn a_process_sees_the_clock_step_and_its_syncs_fail() {
        let folder = tempfile::tempdir().unwrap();
        let library = build(folder.path()).unwrap();
        let shim = Shim::new(folder.path().join("told")).unwrap();
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        shim.step_clock(-3_600_000).unwrap();
        let before = now() - Duration::from_secs(3_600);
        let there = date(&library, &shim);
        let after = now() - Duration::from_secs(3_600);
        assert!((before.as_secs()..=after.as_secs() + 1).contains(&there), "{there}");

        let sync = |errno| {
            shim.fail_syncs(errno).unwrap();
            let mut sync = Command::new("sync");
            sync.arg(&library).env("LD_PRELOAD", &library).env("KINFOLD_CHAOS_SHIM", shim.path());
            sync.output().unwrap().status.success()
        };
        assert!(sync(0));
        assert!(!sync(FAILS));
    }
}
