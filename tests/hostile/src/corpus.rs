//! What fuzzers found and was kept: `corpus/NAME.hex`, an input a line, and after `#` what is to be said of the next ones. Inputs that broke
//! something stand there for good; the others reach what the seeds do not.

use std::fs;
use std::path::{Path, PathBuf};

/// Where they lie.
#[must_use]
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

/// What was kept for the decoder of this name.
pub(crate) fn of(name: &str) -> Vec<Vec<u8>> {
    let text = fs::read_to_string(folder().join(format!("{name}.hex"))).unwrap_or_default();
    text.lines().filter(|line| !line.starts_with('#')).map(bytes).collect()
}

fn bytes(digits: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    (0..digits.len()).step_by(2).map(digit).collect()
}
