//! Every decoder of Kinfold as a function of bytes that mean harm.
//!
//! A [`Target`] takes any bytes and must come back: with no panic, and without ever having held more memory than a constant and a multiple
//! of the bytes. What it understands it also writes again, which must mean the same. Its seeds are real encodings: the examples of
//! docs/PROTOCOL.md, and what `records` and `shell` make.
//!
//! `tests/it` runs the seeds, what was kept of fuzzers' finds, and some thousand mutations of both, the same on every run. For a night,
//! KINFOLD_HOSTILE_TIMES says how many times as many, and KINFOLD_HOSTILE_SEED from where. `fuzz/decoder.rs` gives the same functions to
//! libFuzzer.

#![expect(
    clippy::unwrap_used,
    reason = "a stage that can't be set fails, and so does a broken promise"
)]

pub mod corpus;
mod document;
pub mod meter;
pub mod mutation;
mod records;
#[cfg(feature = "shell")]
mod shell;
mod wire;

/// A decoder.
pub struct Target {
    /// What it is called.
    pub name: &'static str,
    /// Gives it bytes. Panics if a promise is broken.
    pub run: fn(&[u8]),
    /// Real encodings.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Most bytes that it may hold at one time, whatever it is given.
    pub constant: usize,
    /// And so many more for each byte that it is given.
    pub factor: usize,
    /// Mutations that the tests try. Components take milliseconds each.
    pub tries: u32,
}

/// The decoders of the core, and with the feature `shell` those around it.
#[must_use]
pub fn targets() -> Vec<Target> {
    let mut targets = wire::targets();
    targets.extend(records::targets());
    #[cfg(feature = "shell")]
    targets.extend(shell::targets());
    targets
}

impl Target {
    /// What fuzzers found for it and was kept.
    #[must_use]
    pub fn kept(&self) -> Vec<Vec<u8>> {
        corpus::of(self.name)
    }

    /// Runs it, and holds it to its bound.
    ///
    /// # Panics
    /// If the decoder panics, breaks a promise or allocates too much.
    pub fn check(&self, bytes: &[u8]) {
        let ((), peak) = meter::peak_of(|| (self.run)(bytes));
        let most = self.constant + self.factor * bytes.len();
        assert!(
            peak <= most,
            "{}: {peak} bytes held for {} bytes of input, where {most} are allowed",
            self.name,
            bytes.len()
        );
    }
}
