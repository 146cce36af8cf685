//! Calls of the operating system that fail: one after the other, each in a run of its own.
//!
//! A small library in C meets the calls of the writing process where they enter the kernel, counts those on the store's files by their
//! kind, and has one of them fail.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::chance::Chance;
use crate::child::{Said, Writing};
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
    /// Of each kind of call about so many fail, spread over a run; otherwise all, one after the other
    #[arg(long)]
    pub each: Option<u64>,
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

    /// Calls of the last run, by their kind.
    fn counted(&self) -> Result<BTreeMap<String, u64>, String> {
        let count =
            fs::read_to_string(self.count()).map_err(|error| format!("no count: {error}"))?;
        let line = |line: &str| {
            let (kind, calls) = line.split_once(' ')?;
            Some((kind.to_owned(), calls.parse().ok()?))
        };
        Ok(count.lines().filter_map(line).collect())
    }
}

/// A call that fails: its kind, which one of that kind, and how.
type Failing<'k> = (&'k str, u64, How);

/// Lets call after call of each kind fail, until a run ends before its call comes.
///
/// # Errors
/// What does not hold, and the command that tries it again.
pub fn faults(exe: &Path, shim: &Shim, plan: Plan) -> Result<Tally, String> {
    let mut tally = Tally::default();
    let mut chance = Chance::new(plan.seed);
    let load = Load::new(plan.seed);
    let mut place = Place::new()?;
    let fresh = if plan.fresh { " --fresh" } else { "" };
    let again = format!("try it again: cargo run -p crash -- faults --seed {}{fresh}", plan.seed);
    let kinds = place
        .calls(exe, shim, &load, plan.seed)
        .map_err(|text| format!("no call failed, and {text}"))?;
    let mut runs = 0;
    for (kind, calls) in kinds {
        let stride = plan.each.map_or(1, |each| calls.div_ceil(each));
        for number in (0..).map(|n| 1 + n * stride) {
            let how = How::ALL[chance.below(How::ALL.len() as u64) as usize];
            runs += 1;
            if plan.fresh || runs % LINKS == 0 {
                place = Place::new()?;
            }
            let came = place.fail(exe, shim, &load, plan.seed, (&kind, number, how), &mut tally);
            if !came.map_err(|text| format!("{kind} {number}, {how:?}: {text}\n{again}"))? {
                break;
            }
        }
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

    /// A run in which nothing fails: how many calls of each kind there are.
    fn calls(
        &mut self,
        exe: &Path,
        shim: &Shim,
        load: &Load,
        seed: u64,
    ) -> Result<BTreeMap<String, u64>, String> {
        let command = self.command(exe, shim, seed);
        self.run(command, load)?;
        shim.counted()
    }

    /// One run. False if there were fewer calls of that kind.
    fn fail(
        &mut self,
        exe: &Path,
        shim: &Shim,
        load: &Load,
        seed: u64,
        (kind, number, how): Failing<'_>,
        tally: &mut Tally,
    ) -> Result<bool, String> {
        let mut command = self.command(exe, shim, seed);
        command
            .env("FAULT_KIND", kind)
            .env("FAULT_AT", number.to_string())
            .env("FAULT_HOW", how.number().to_string());
        if how.is_for_good() {
            command.env("FAULT_STUCK", "1");
        }
        let said = self.run(command, load)?;
        if shim.counted()?.get(kind).is_none_or(|calls| *calls < number) {
            return Ok(false);
        }
        tally.acknowledged += said.acknowledged;
        let (told, went_on) = tally.told.entry(kind.to_owned()).or_default();
        *if said.failed.is_empty() { went_on } else { told } += 1;
        Ok(true)
    }

    fn command(&self, exe: &Path, shim: &Shim, seed: u64) -> Command {
        let mut command = Command::new(exe);
        command
            .args(writer::arguments(&self.store(), seed, self.there))
            .args(["--window", "1", "--most", &OPERATIONS.to_string(), "--tidy"])
            .env("LD_PRELOAD", shim.library())
            .env("FAULT_PATH", self.folder.path())
            .env("FAULT_COUNT", shim.count());
        command
    }

    fn store(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    /// Carries it out, and judges what is left.
    fn run(&mut self, command: Command, load: &Load) -> Result<Said, String> {
        let failed = |error: io::Error| error.to_string();
        let mut writing = Writing::start(command, self.there).map_err(failed)?;
        if writing.hangs(PATIENCE) {
            let (_, said, errors) = writing.end().map_err(failed)?;
            return Err(format!("it hangs after it said {said:?}: {errors}"));
        }
        let (status, said, errors) = writing.end().map_err(failed)?;
        if !status.success() || errors.contains("panicked") {
            return Err(format!("it ended with {status}: {errors}"));
        }
        let found = judge(&self.store(), load, said.durable)
            .map_err(|text| format!("it said {:?}, and then: {text}", said.failed))?;
        self.there = found.there;
        Ok(said)
    }
}
