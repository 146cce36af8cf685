#![forbid(unsafe_code)]
//! The commands of this lane.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use crash::chain::{Crash, crash};
use crash::faults::{Plan, Shim, faults};
use crash::writer;

/// Crashes the real store, and judges what is left.
#[derive(Parser)]
#[command(name = "crash")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Kills the writing process at random points.
    Kills {
        /// How often.
        count: u64,
        /// The seed of the first chain.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Cuts the power of the file system at random points. Needs root, for a loop mount.
    Cuts {
        /// How often.
        count: u64,
        /// The seed of the first chain.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Lets one call after the other of the writing process fail. Needs `cc`.
    Faults(Plan),
    /// The writing process itself.
    #[command(hide = true)]
    Write(writer::Task),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Kills { count, seed } => crashes(Crash::Kill, count, seed),
        Command::Cuts { count, seed } => crashes(Crash::PowerCut, count, seed),
        Command::Faults(plan) => fail_calls(plan),
        Command::Write(task) => {
            writer::run(&task).map(|()| String::new()).map_err(|error| error.to_string())
        }
    };
    match result {
        Ok(said) => {
            if !said.is_empty() {
                println!("{said}");
            }
            ExitCode::SUCCESS
        }
        Err(said) => {
            eprintln!("{said}");
            ExitCode::FAILURE
        }
    }
}

fn crashes(kind: Crash, count: u64, seed: u64) -> Result<String, String> {
    let exe = std::env::current_exe().map_err(|error| error.to_string())?;
    crash(&exe, kind, count, seed).map(|tally| tally.to_string())
}

fn fail_calls(plan: Plan) -> Result<String, String> {
    let exe = std::env::current_exe().map_err(|error| error.to_string())?;
    faults(&exe, &Shim::new()?, plan).map(|tally| tally.to_string())
}
