//! Calls of the operating system that fail: one after the other, each in a run of its own.
//!
//! A library of a hundred lines of C stands before the C library of the writing process, counts its calls on the store's files,
//! and has one of them fail.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::chance::Chance;
use crate::child::Writing;
use crate::judge::judge;
use crate::load::{Counts, LANES, Load};
use crate::writer;

/// Operations of each lane in a run.
const OPERATIONS: u64 = 12;

/// Runs in one directory, before the next begins in an empty one.
const LINKS: u64 = 25;

/// A process that says nothing for so long hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// The library, as source.
const SHIM: &str = include_str!("shim.c");

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum How {
    /// The disk is broken, once.
    Io,
    /// The disk is broken, from then on for all such calls.
    IoForGood,
    /// The disk is full, once.
    Full,
    /// The disk is full, from then on for all such calls.
    FullForGood,
    /// A write or read of half of the bytes, which is no error. What is no write or read fails as if the disk were broken.
    Short,
}

impl How {
    const ALL: [Self; 5] = [Self::Io, Self::IoForGood, Self::Full, Self::FullForGood, Self::Short];

    fn number(self) -> i32 {
        match self {
            Self::Io | Self::IoForGood => rustix::io::Errno::IO.raw_os_error(),
            Self::Full | Self::FullForGood => rustix::io::Errno::NOSPC.raw_os_error(),
            Self::Short => -1,
        }
    }

    fn is_for_good(self) -> bool {
        matches!(self, Self::IoForGood | Self::FullForGood)
    }
}

/// Which runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::Args)]
pub struct Plan {
    /// How each call fails, and in which order.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Only every so manieth call fails.
    #[arg(long, default_value_t = 1)]
    pub stride: u64,
    /// Only calls with at least this number.
    #[arg(long, default_value_t = 1)]
    pub first: u64,
    /// Always in an empty directory; otherwise what one run leaves the next one finds.
    #[arg(long)]
    pub fresh: bool,
}

/// What the runs came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// By the kind of the call that failed: runs that were told of it, and runs that went on.
    pub told: BTreeMap<String, (u64, u64)>,
    /// Acknowledged operations that were there afterwards.
    pub acknowledged: u64,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let runs: u64 = self.told.values().map(|(told, on)| told + on).sum();
        write!(f, "{runs} failed calls; {} acknowledged operations, none lost", self.acknowledged)?;
        for (kind, (told, went_on)) in &self.told {
            write!(f, "\n    {kind}: {told} stopped with an error, {went_on} went on")?;
        }
        Ok(())
    }
}

/// The library, compiled.
pub struct Shim {
    folder: TempDir,
}

impl Shim {
    /// Compiles it.
    ///
    /// # Errors
    /// Why this machine can't.
    pub fn new() -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let source = folder.path().join("shim.c");
        fs::write(&source, SHIM).map_err(|error| error.to_string())?;
        let mut cc = Command::new("cc");
        cc.args(["-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-o"]);
        cc.arg(folder.path().join("shim.so")).arg(&source).arg("-ldl");
        let output = cc.output().map_err(|error| format!("cc: {error}"))?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        Ok(Self { folder })
    }

    fn library(&self) -> PathBuf {
        self.folder.path().join("shim.so")
    }

    fn count(&self) -> PathBuf {
        self.folder.path().join("count")
    }
}

/// Lets call after call fail, until a run ends before its call comes.
///
/// # Errors
/// What does not hold, and the command that tries it again.
pub fn faults(exe: &Path, shim: &Shim, plan: Plan) -> Result<Tally, String> {
    let mut tally = Tally::default();
    let mut chance = Chance::new(plan.seed);
    let load = Load::new(plan.seed);
    let mut place = Place::new()?;
    let mut number = plan.first;
    for run in 0.. {
        let how = How::ALL[chance.below(How::ALL.len() as u64) as usize];
        if plan.fresh || run % LINKS == LINKS - 1 {
            place = Place::new()?;
        }
        let came = place.fail(exe, shim, &load, plan.seed, (number, how), &mut tally).map_err(|text| {
            let fresh = if plan.fresh { " --fresh" } else { "" };
            format!(
                "call {number}, {how:?}: {text}\ntry it again: cargo run -p crash -- faults --seed {} --stride {}{fresh}",
                plan.seed, plan.stride
            )
        })?;
        if !came {
            break;
        }
        number += plan.stride;
    }
    Ok(tally)
}

/// A store that is run again and again.
struct Place {
    folder: TempDir,
    there: Counts,
}

impl Place {
    fn new() -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        Ok(Self { folder, there: [0; LANES] })
    }

    /// One run. False if there were fewer calls.
    fn fail(
        &mut self,
        exe: &Path,
        shim: &Shim,
        load: &Load,
        seed: u64,
        (number, how): (u64, How),
        tally: &mut Tally,
    ) -> Result<bool, String> {
        let failed = |error: io::Error| error.to_string();
        let path = self.folder.path().join("store");
        let mut command = Command::new(exe);
        command
            .args(writer::arguments(&path, seed, self.there))
            .args(["--window", "1", "--most", &OPERATIONS.to_string(), "--tidy"])
            .env("LD_PRELOAD", shim.library())
            .env("FAULT_PATH", self.folder.path())
            .env("FAULT_COUNT", shim.count())
            .env("FAULT_AT", number.to_string())
            .env("FAULT_HOW", how.number().to_string());
        if how.is_for_good() {
            command.env("FAULT_STUCK", "1");
        }
        let mut writing = Writing::start(command, self.there).map_err(failed)?;
        if writing.hangs(PATIENCE) {
            let (_, said, errors) = writing.end().map_err(failed)?;
            return Err(format!("it hangs after it said {said:?}: {errors}"));
        }
        let (status, said, errors) = writing.end().map_err(failed)?;
        let count = fs::read_to_string(shim.count()).unwrap_or_default();
        let (_, kind) = count.trim().split_once(' ').unwrap_or(("", "?"));
        if !status.success() || errors.contains("panicked") {
            return Err(format!("{kind} failed, and it ended with {status}: {errors}"));
        }
        let found = judge(&path, load, said.durable).map_err(|text| {
            format!("{kind} failed, it said {:?}, and then: {text}", said.failed)
        })?;
        self.there = found.there;
        if kind == "-" {
            return Ok(false);
        }
        tally.acknowledged += said.acknowledged;
        let (told, went_on) = tally.told.entry(kind.to_owned()).or_default();
        *if said.failed.is_empty() { went_on } else { told } += 1;
        Ok(true)
    }
}
