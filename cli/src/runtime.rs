//! The runtimes that commands run on.
//!
//! A runtime opens some descriptors for itself, and tokio panics where there is none left for the pair of sockets that signals come
//! over: so it is tried out before whether they are to be had.

use std::fs::File;

use kinfold_sandbox::MergerConfig;
use tokio::runtime::{Builder, Runtime};

use crate::exit::Failure;

/// More than a runtime opens for itself.
const OWN: usize = 12;

/// What tokio gives a thread, in bytes.
const USUAL_STACK: usize = 2 * 1024 * 1024;

/// For nodes: many threads, on which quick merges run too, and as many descriptors as the system lets this process have.
pub(crate) fn of_nodes() -> Result<Runtime, Failure> {
    kinfold_host::take_descriptors().map_err(|source| Failure::start("the node", source))?;
    room()?;
    let stack = MergerConfig::default().stack().max(USUAL_STACK);
    Ok(Builder::new_multi_thread().thread_stack_size(stack).enable_all().build()?)
}

/// For a client: this thread.
pub(crate) fn of_a_client() -> Result<Runtime, Failure> {
    room()?;
    Ok(Builder::new_current_thread().enable_all().build()?)
}

/// Are there as many descriptors as a runtime opens?
fn room() -> Result<(), Failure> {
    let opened: Result<Vec<File>, _> = (0..OWN).map(|_| File::open("/dev/null")).collect();
    opened.map(drop).map_err(Failure::Descriptors)
}
