#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "what fails in a test's helper fails the test")]
//! The store in crashes, at the size of CI.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

mod crashes;
mod faults;
mod judge;

/// The program of this lane.
fn exe() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_crash"))
}

/// Says that a check can't run here, and has that counted apart in the file that `KINFOLD_SKIPPED` names, as `tests/all` does: the check
/// has not passed. Where nobody counts, it fails.
fn skip(why: &str) {
    let Some(file) = std::env::var_os("KINFOLD_SKIPPED") else {
        panic!(
            "not checked: {why}\n(KINFOLD_SKIPPED=FILE has such tests note this there instead of failing)"
        );
    };
    eprintln!("SKIPPED: {why}");
    let mut file = OpenOptions::new().create(true).append(true).open(file).unwrap();
    writeln!(file, "{why}").unwrap();
}
