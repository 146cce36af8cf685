#![forbid(unsafe_code)]
//! The `kinfold` command.
//!
//! `command` has a file for each command; what they print and how they end is in `exit` and `table`; how they find and
//! reach a cluster is in `cluster_args` and `dev_folder`; `toolchain` knows the languages of plugins.

mod bench;
mod bytes_text;
mod change;
mod cluster_args;
mod command;
mod demo;
mod dev_folder;
mod duration;
mod exit;
mod join;
mod logging;
mod manifest;
mod meeting;
mod moment;
mod output;
mod runtime;
mod signals;
mod table;
mod toolchain;

use std::process::ExitCode;

use clap::Parser;

use crate::command::Cli;

// Bugs are planted to test the tests (`planted.rs` in the core). What is released does not compile with them.
const _: () = assert!(
    !kinfold_host::CAN_BE_PLANTED,
    "the feature `planted` is for tests: docs/TESTING.md has the command, under \"The bug bank\""
);

/// A node's threads hand buffers to each other all the time: one asks for what another gives back. The system's allocator
/// takes a lock for that, and keeps what was used once in each thread's share.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    exit::report(Cli::parse().run())
}
