//! A chain of crashes: the same directory is written to, crashes, recovers, is judged, and is written to again.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use crate::chance::Chance;
use crate::child::{Said, Writing};
use crate::image::Image;
use crate::judge::judge;
use crate::load::{Counts, LANES, Load};
use crate::writer;

/// Crashes of a chain. The next one begins in an empty directory, so that crashes also meet a store that is being made.
pub const LINKS: u64 = 20;

/// Size of a file system that loses power.
const IMAGE_MIB: u64 = 384;

/// How the writing process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// SIGKILL.
    Kill,
    /// Its file system loses power.
    PowerCut,
}

impl Crash {
    fn command(self) -> &'static str {
        match self {
            Self::Kill => "kills",
            Self::PowerCut => "cuts",
        }
    }
}

/// What a number of crashes came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Crashes.
    pub crashes: u64,
    /// Of these, while the store was being opened or made.
    pub while_opening: u64,
    /// Acknowledged operations that were there afterwards.
    pub acknowledged: u64,
    /// Crashes after which the journal's end made no sense and was cut off.
    pub torn: u64,
    /// Operations that nobody was told of, and that were there.
    pub untold: u64,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} crashes, {} of them while the store was opened; {} acknowledged operations, none lost; {} untold ones; {} torn journals",
            self.crashes, self.while_opening, self.acknowledged, self.untold, self.torn
        )
    }
}

/// Where a chain's store is.
enum Place {
    Folder(TempDir),
    Image(Image),
}

impl Place {
    fn path(&self) -> PathBuf {
        match self {
            Self::Folder(folder) => folder.path().join("store"),
            Self::Image(image) => image.path().join("store"),
        }
    }
}

/// Crashes `exe`, this program, so many times: chain after chain, each of a seed, from `seed` on.
///
/// # Errors
/// What does not hold, and the command that tries the same chain again.
pub fn crash(exe: &Path, crash: Crash, crashes: u64, seed: u64) -> Result<Tally, String> {
    crash_writer(exe, crash, crashes, seed, false)
}

/// As [`crash()`]; a `hasty` writer acknowledges what is not durable yet, which must be seen.
///
/// # Errors
/// As [`crash()`].
pub fn crash_writer(
    exe: &Path,
    crash: Crash,
    crashes: u64,
    seed: u64,
    hasty: bool,
) -> Result<Tally, String> {
    let mut tally = Tally::default();
    let started = Start { exe, hasty };
    for seed in seed.. {
        let links = LINKS.min(crashes - tally.crashes);
        if links == 0 {
            break;
        }
        chain(&started, crash, links, seed, &mut tally).map_err(|text| {
            let command = crash.command();
            format!(
                "crash {} of seed {seed}: {text}\ntry it again, several times, as the moment is never quite the same: cargo run -p crash -- {command} {LINKS} --seed {seed}",
                tally.crashes % LINKS + 1
            )
        })?;
    }
    Ok(tally)
}

/// How the writing process is started.
struct Start<'e> {
    exe: &'e Path,
    hasty: bool,
}

fn chain(
    start: &Start<'_>,
    crash: Crash,
    links: u64,
    seed: u64,
    tally: &mut Tally,
) -> Result<(), String> {
    let place = match crash {
        Crash::Kill => Place::Folder(tempfile::tempdir().map_err(|error| error.to_string())?),
        Crash::PowerCut => Place::Image(Image::new(IMAGE_MIB)?),
    };
    let load = Load::new(seed);
    let mut chance = Chance::new(seed);
    let mut there = [0; LANES];
    for _ in 0..links {
        let said = strike(start, &place, &mut chance, seed, there)?;
        let found = judge(&place.path(), &load, said.durable)?;
        tally.crashes += 1;
        tally.while_opening += u64::from(!said.opened);
        tally.acknowledged += said.acknowledged;
        tally.torn += u64::from(found.cut_bytes > 0);
        tally.untold += (0..LANES).map(|lane| found.there[lane] - said.durable[lane]).sum::<u64>();
        there = found.there;
    }
    Ok(())
}

/// Has a process write from the operations `from` on, and crashes it at a random point.
fn strike(
    start: &Start<'_>,
    place: &Place,
    chance: &mut Chance,
    seed: u64,
    from: Counts,
) -> Result<Said, String> {
    let failed = |error: io::Error| error.to_string();
    let mut command = Command::new(start.exe);
    command.args(writer::arguments(&place.path(), seed, from));
    if start.hasty {
        command.arg("--hasty");
    }
    if chance.below(4) == 0 {
        command.arg("--compact");
    }
    let mut writing = Writing::start(command, from).map_err(failed)?;
    let switch = match place {
        Place::Folder(_) => None,
        Place::Image(image) => Some(image.switch().map_err(failed)?),
    };
    // One of four comes while the store is being opened, or shortly after.
    let (acknowledged, micros) = match chance.below(4) {
        0 => (0, chance.below(40_000)),
        _ => (1 + chance.below(250), chance.below(3_000)),
    };
    if !writing.acknowledged(acknowledged) {
        let (status, said, errors) = writing.end().map_err(failed)?;
        return Err(format!("it ended by itself, {status}, {}: {errors}", said.failed.join("; ")));
    }
    thread::sleep(Duration::from_micros(micros));
    let before = writing.so_far().clone();
    if !before.failed.is_empty() {
        return Err(format!("before the crash: {}", before.failed.join("; ")));
    }
    let Place::Image(image) = place else {
        writing.kill();
        // What is in the pipe was acknowledged before the kill.
        return writing.end().map(|(_, said, _)| said).map_err(failed);
    };
    if let Some(switch) = switch {
        switch.cut().map_err(failed)?;
    }
    // An fsync that was under way may have returned success although its bytes are gone: what comes now does not count.
    writing.kill();
    writing.end().map_err(failed)?;
    image.restart()?;
    Ok(before)
}
