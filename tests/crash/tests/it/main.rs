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

/// Says that a check can't run here, and has it counted: it has not passed.
fn skip(why: &str) {
    eprintln!("SKIPPED: {why}");
    if let Some(file) = std::env::var_os("KINFOLD_SKIPPED") {
        let mut file = OpenOptions::new().create(true).append(true).open(file).unwrap();
        writeln!(file, "{why}").unwrap();
    }
}
